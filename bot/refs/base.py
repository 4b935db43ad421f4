"""What the pipeline and the trust checks ask of git hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bot.model import GitReference, Resolution, Unresolved


@dataclass(frozen=True, slots=True, kw_only=True)
class Advertised:
    """The refs that a host advertises under some prefixes."""

    source: str
    """The host that answered, a mirror included."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Short tag name to commit, annotated tags peeled."""
    branches: Mapping[str, str] = field(default_factory=dict)
    """Short branch name to commit."""
    annotated: frozenset[str] = frozenset()
    """Names of the tags that are annotated."""


class GitRefs(Protocol):
    """Looks git references up by smart HTTP; safe to call from threads.

    Equal questions within a run are asked once.
    """

    def resolve(self, reference: GitReference) -> Resolution | Unresolved:
        """Return the commit that an advertised tag or branch names; a tag wins over a branch.

        A full commit is answered from the advertised refs too: NOT_FOUND where none names it,
        since a host serves commits of forks under a repository's name.
        """

    def advertised(self, reference: GitReference) -> Advertised | Unresolved:
        """Return the refs whose name starts with the reference's ref, or its version's major."""

    def files(
        self, reference: GitReference, commit: str, paths: Sequence[str]
    ) -> Mapping[str, bytes] | Unresolved:
        """Return those of `paths` that exist in the repository at `commit`, bounded in size."""

    def close(self) -> None:
        """Give the connections back."""
