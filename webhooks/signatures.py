"""Signatures of deliveries, over the raw body, compared in constant time.  Pure.

GitHub's and the plain hook's: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
GitLab's signing tokens: https://www.standardwebhooks.com; its plain token is no signature at all.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from datetime import datetime

TOLERANCE = 300
"""Seconds that a signed delivery's time may differ from ours."""

_PREFIX = "sha256="
_KEY = "whsec_"
_VERSION = "v1,"
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_TIME = re.compile(r"[0-9]{1,12}")
_MOST_SIGNATURES = 16


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


def is_token(tokens: Iterable[str], header: str) -> bool:
    """Return whether `header` is one of the tokens; the time taken does not even tell their lengths."""
    given = hashlib.sha256(header.encode(errors="replace")).digest()
    matches = [hmac.compare_digest(hashlib.sha256(token.encode()).digest(), given) for token in tokens]
    return any(matches)


def signing_key(token: str) -> bytes | None:
    """Return the key of a signing token, `whsec_` and base64 of 24 to 64 bytes, or None where it is none."""
    if not token.startswith(_KEY):
        return None
    try:
        key = base64.b64decode(token.removeprefix(_KEY), validate=True)
    except (ValueError, binascii.Error):
        return None
    return key if 24 <= len(key) <= 64 else None


def sign_message(token: str, id_: str, timestamp: str, body: bytes) -> str:
    """Return `v1,` and the base64 HMAC-SHA256 of id, time and body; raises `ValueError` for no signing token."""
    key = signing_key(token)
    if key is None:
        raise ValueError("This is no signing token.")
    message = hmac.new(key, f"{id_}.{timestamp}.".encode(), hashlib.sha256)
    message.update(body)
    return _VERSION + base64.b64encode(message.digest()).decode()


def is_signed_message(
    tokens: Iterable[str], id_: str, timestamp: str, body: bytes, header: str, now: datetime
) -> bool:
    """Return whether one of the signatures in `header` is that of the message, and its time is about now."""
    # Neither holds a dot, so that the message can be taken apart in one way only.
    if not _ID.fullmatch(id_) or not _TIME.fullmatch(timestamp):
        return False
    given = [one.encode(errors="replace") for one in header.split(" ", _MOST_SIGNATURES)]
    expected = [sign_message(token, id_, timestamp, body).encode() for token in tokens]
    matches = [hmac.compare_digest(one, other) for one in expected for other in given[:_MOST_SIGNATURES]]
    return any(matches) and abs(now.timestamp() - int(timestamp)) <= TOLERANCE
