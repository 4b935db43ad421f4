"""What clients remember of each kind of look-up."""

from __future__ import annotations

import math
from dataclasses import dataclass

from bot.model import Manifest, Resolution, Unresolved, UnresolvedReason
from bot.registries.manifests import Descriptor
from bot.registries.memo import Memo

_MANIFEST_BYTES = 32 * 1024 * 1024
_LISTED = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Memos:
    """One memo for each kind of answer, whose keys carry the scope that asked.

    Only a run remembers what a registry says: the next one asks anew, since a stale answer must
    never make an edit.  The runs of one sweep are one look at the world, and share theirs.
    """

    resolutions: Memo[Resolution | Unresolved]
    manifests: Memo[Manifest | Unresolved]
    tags: Memo[tuple[str, ...] | Unresolved]
    referrers: Memo[tuple[Descriptor, ...] | Unresolved]

    @classmethod
    def of_one_run(cls) -> Memos:
        """Return memos for one run: whatever was answered stays answered, trouble too."""
        return cls.of_one_sweep(math.inf, math.inf)

    @classmethod
    def of_one_sweep(cls, seconds: float, trouble: float) -> Memos:
        """Return memos for many runs at about the same time: how long answers and trouble are kept."""

        def keep(answer: object) -> float:
            if not isinstance(answer, Unresolved):
                return seconds
            # That one run has asked enough says nothing to the next.
            over = answer.reason is UnresolvedReason.DEFERRED and math.isfinite(trouble)
            return 0 if over else trouble

        return cls(
            resolutions=Memo(capacity=100_000, keep=keep),
            manifests=Memo(capacity=_MANIFEST_BYTES, weigh=_bytes, keep=keep),
            tags=Memo(capacity=_LISTED, weigh=_entries, keep=keep),
            referrers=Memo(capacity=_LISTED, weigh=_entries, keep=keep),
        )

    @staticmethod
    def shared() -> Memo[Manifest]:
        """Return what the clients of one process share: the bodies that hash to their digests, for good."""
        return Memo(capacity=_MANIFEST_BYTES, weigh=_bytes)


def _bytes(answer: Manifest | Unresolved) -> int:
    return 1024 + (len(answer.body) if isinstance(answer, Manifest) else 0)


def _entries(answer: tuple[object, ...] | Unresolved) -> int:
    return 1 if isinstance(answer, Unresolved) else 1 + len(answer)
