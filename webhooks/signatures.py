"""Signatures of deliveries: HMAC-SHA256 over the raw body, as GitHub documents it.  Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

_PREFIX = "sha256="


def sign(secret: str, body: bytes) -> str:
    """Return `sha256=` and the lower-case hex HMAC-SHA256 of `body`."""
    return _PREFIX + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def is_signed(secrets: Iterable[str], body: bytes, header: str) -> bool:
    """Return whether `header` is the signature of `body` with any of the secrets.

    The time taken does not tell how much of it is right, nor with which secret.
    """
    given = header.encode(errors="replace")
    matches = [hmac.compare_digest(sign(secret, body).encode(), given) for secret in secrets]
    return any(matches)
