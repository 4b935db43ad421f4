"""Registries and git hosts that have everything: each name leads to something made up from it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import fakes

from bot.model import (
    GitReference,
    ImageReference,
    Manifest,
    Resolution,
    Unresolved,
    UnresolvedReason,
)
from bot.reference import is_commit
from bot.refs.base import Advertised


class AnyImages:
    """Every tag exists, for two platforms; counts what it is asked."""

    def __init__(self, *, gone: frozenset[str] = frozenset()) -> None:
        self._gone = gone
        self._made: dict[str, Manifest] = {}
        self.heads: Counter[str] = Counter()
        self.gets: Counter[str] = Counter()

    def resolve(self, reference: ImageReference) -> Resolution | Unresolved:
        self.heads[str(reference)] += 1
        if reference.name in self._gone:
            return Unresolved(
                reference=reference, reason=UnresolvedReason.NOT_FOUND, detail="The registry has no such tag."
            )
        made = fakes.index("linux/amd64", "linux/arm64/v8", name=str(replace(reference, digest=None)))
        self._made[made.digest] = made
        return Resolution(
            reference=reference, digest=made.digest, source=reference.registry, media_type=made.media_type
        )

    def manifest(self, reference: ImageReference, digest: str) -> Manifest | Unresolved:
        self.gets[digest] += 1
        if digest not in self._made:
            return Unresolved(
                reference=reference,
                reason=UnresolvedReason.NOT_FOUND,
                detail="The registry has no such digest.",
            )
        return replace(self._made[digest], source=reference.registry)

    def tags(self, reference: ImageReference) -> tuple[str, ...] | Unresolved:
        raise AssertionError(f"nobody should ask for the tags of {reference}")

    def close(self) -> None:
        """Nothing is open."""


class AnyRefs:
    """Every ref exists; `v4` is `v4.9.1` too, and annotated."""

    def _commit(self, reference: GitReference) -> str:
        if is_commit(reference.ref):
            return reference.ref
        text = f"{reference.host}/{reference.repository} {reference.ref}"
        return hashlib.sha256(text.encode()).hexdigest()[:40]

    def resolve(self, reference: GitReference) -> Resolution | Unresolved:
        major = reference.ref[:1] == "v" and reference.ref[1:].isdigit()
        return Resolution(
            reference=reference,
            digest=self._commit(reference),
            source=reference.host,
            version=f"{reference.ref}.9.1" if major else reference.ref,
            annotated=major,
        )

    def advertised(self, reference: GitReference) -> Advertised | Unresolved:
        commit = self._commit(reference)
        if reference.ref == "main" or reference.ref.startswith("release/"):
            return Advertised(source=reference.host, branches={reference.ref: commit})
        return Advertised(source=reference.host, tags={reference.ref: commit})

    def files(
        self, reference: GitReference, commit: str, paths: Sequence[str]
    ) -> Mapping[str, bytes] | Unresolved:
        del reference, commit
        return {path: b"runs:\n  using: node20\n" for path in paths if path.endswith("action.yml")}

    def close(self) -> None:
        """Nothing is open."""
