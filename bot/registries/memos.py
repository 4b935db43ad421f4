"""What clients remember of each kind of look-up."""

from __future__ import annotations

from dataclasses import dataclass

from bot.model import Manifest, Resolution, Unresolved
from bot.registries.manifests import Descriptor
from bot.registries.memo import Memo

_MANIFEST_BYTES = 32 * 1024 * 1024
_LISTED = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Memos:
    """One memo for each kind of answer of one run, whose keys carry the scope that asked.

    Only a run remembers what a registry says: the next one asks anew, since a stale answer must
    never make an edit.
    """

    resolutions: Memo[Resolution | Unresolved]
    manifests: Memo[Manifest | Unresolved]
    tags: Memo[tuple[str, ...] | Unresolved]
    referrers: Memo[tuple[Descriptor, ...] | Unresolved]

    @classmethod
    def of_one_run(cls) -> Memos:
        """Return memos for one run: whatever was answered stays answered, trouble too."""
        return cls(
            resolutions=Memo(capacity=100_000),
            manifests=Memo(capacity=_MANIFEST_BYTES, weigh=_bytes),
            tags=Memo(capacity=_LISTED, weigh=_entries),
            referrers=Memo(capacity=_LISTED, weigh=_entries),
        )

    @staticmethod
    def shared() -> Memo[Manifest]:
        """Return what the clients of one process share: the bodies that hash to their digests, for good."""
        return Memo(capacity=_MANIFEST_BYTES, weigh=_bytes)


def _bytes(answer: Manifest | Unresolved) -> int:
    return 1024 + (len(answer.body) if isinstance(answer, Manifest) else 0)


def _entries(answer: tuple[object, ...] | Unresolved) -> int:
    return 1 if isinstance(answer, Unresolved) else 1 + len(answer)
