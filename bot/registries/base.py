"""What the pipeline and the trust checks ask of container registries."""

from __future__ import annotations

from typing import Protocol

from bot.model import ImageReference, Manifest, Resolution, Unresolved


class Images(Protocol):
    """Looks images up for one scope (a forge owner and its trust); safe to call from threads.

    Equal questions within a run are asked once.
    """

    def resolve(self, reference: ImageReference) -> Resolution | Unresolved:
        """Return what the reference's tag points to now: one HEAD, the index before a platform."""

    def manifest(self, reference: ImageReference, digest: str) -> Manifest | Unresolved:
        """Return the manifest or index with this digest: one GET, its body hashed."""

    def tags(self, reference: ImageReference) -> tuple[str, ...] | Unresolved:
        """Return the tags of the reference's repository, all pages up to a bound."""

    def close(self) -> None:
        """Give the connections back."""
