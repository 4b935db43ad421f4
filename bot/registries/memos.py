"""What clients remember of each kind of look-up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from bot.model import Manifest, Resolution, Unresolved
from bot.registries.manifests import Descriptor
from bot.registries.memo import Memo

_KEEP_TAGS = 300.0
_MANIFEST_BYTES = 32 * 1024 * 1024
_LISTED = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Memos:
    """One memo for each kind of answer, whose keys carry the scope that asked."""

    resolutions: Memo[Resolution | Unresolved]
    manifests: Memo[Manifest | Unresolved]
    tags: Memo[tuple[str, ...] | Unresolved]
    referrers: Memo[tuple[Descriptor, ...] | Unresolved]

    @classmethod
    def shared(cls, *, seconds: float = _KEEP_TAGS, clock: Callable[[], float] = time.monotonic) -> Memos:
        """Return memos for the clients of one process: digests for good, the rest for `seconds`.

        Trouble is not kept.
        """

        def briefly(answer: object) -> float:
            return 0.0 if isinstance(answer, Unresolved) else seconds

        def for_good(answer: object) -> float:
            return 0.0 if isinstance(answer, Unresolved) else math.inf

        return cls(
            resolutions=Memo(keep=briefly, clock=clock),
            manifests=Memo(keep=for_good, clock=clock, capacity=_MANIFEST_BYTES, weigh=_bytes),
            tags=Memo(keep=briefly, clock=clock, capacity=_LISTED, weigh=_entries),
            referrers=Memo(keep=briefly, clock=clock, capacity=_LISTED, weigh=_entries),
        )

    @classmethod
    def of_one_run(cls) -> Memos:
        """Return memos for one run: whatever was answered stays answered, trouble too."""
        return cls(
            resolutions=Memo(capacity=100_000),
            manifests=Memo(capacity=_MANIFEST_BYTES, weigh=_bytes),
            tags=Memo(capacity=_LISTED, weigh=_entries),
            referrers=Memo(capacity=_LISTED, weigh=_entries),
        )


def _bytes(answer: Manifest | Unresolved) -> int:
    return 1024 + (len(answer.body) if isinstance(answer, Manifest) else 0)


def _entries(answer: tuple[object, ...] | Unresolved) -> int:
    return 1 if isinstance(answer, Unresolved) else 1 + len(answer)
