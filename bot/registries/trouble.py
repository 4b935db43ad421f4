"""What can go wrong with one look-up: urllib3's errors and HTTP's statuses to reasons and sentences."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import IncompleteRead

from urllib3.exceptions import (
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    SSLError,
)
from urllib3.exceptions import (
    TimeoutError as PoolTimeoutError,
)

from bot.model import Reference, Unresolved, UnresolvedReason
from bot.registries.dial import OversizedError
from bot.registries.rules import BlockedError

_LONGEST = 86400.0


class TroubleError(Exception):
    """Why one look-up has no answer: ends that look-up alone, and becomes an `Unresolved`."""

    def __init__(
        self,
        reason: UnresolvedReason,
        detail: str,
        *,
        retry_after: float | None = None,
        passing: bool = False,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after
        self.passing = passing
        """Whether asking again at once may help."""

    def about(self, reference: Reference) -> Unresolved:
        """Return this trouble as the answer for `reference`."""
        return Unresolved(
            reference=reference, reason=self.reason, detail=self.detail, retry_after=self.retry_after
        )


def from_error(error: HTTPError, host: str) -> TroubleError:
    """Return the trouble that one of urllib3's errors means; `host` is whom we asked."""
    reasons = UnresolvedReason
    if isinstance(error, BlockedError):
        return TroubleError(
            reasons.BLOCKED,
            f"{error} Set MOORLINE_REGISTRY_MIRRORS, or MOORLINE_EGRESS_ALLOW if it is meant to be reached.",
        )
    if isinstance(error, OversizedError):
        return TroubleError(reasons.TOO_LARGE, f"{host} sends more than a registry has any need to.")
    if isinstance(error, ProxyError):
        return TroubleError(
            reasons.UNREACHABLE, f"The proxy does not lead to {host}; check HTTPS_PROXY and NO_PROXY."
        )
    if isinstance(error, SSLError):
        return TroubleError(reasons.TLS, _about_tls(error, host))
    if isinstance(error, NameResolutionError):
        return TroubleError(
            reasons.UNREACHABLE, f"The name {host} does not resolve; check its spelling and the DNS."
        )
    if isinstance(error, NewConnectionError):
        return TroubleError(reasons.UNREACHABLE, f"{host} does not accept connections; is it up?")
    if isinstance(error, PoolTimeoutError):
        return TroubleError(reasons.TIMEOUT, f"{host} did not answer in time; a later run asks again.")
    if isinstance(error, ProtocolError):
        return _from_protocol_error(error, host)
    return not_http(host)


def not_http(host: str) -> TroubleError:
    """Return the trouble of an answer that breaks HTTP."""
    return TroubleError(
        UnresolvedReason.INVALID, f"{host} does not speak HTTP as a registry should; is it one?"
    )


def _about_tls(error: SSLError, host: str) -> str:
    cause = error.args[0] if error.args else None
    why = f" ({cause.verify_message})" if isinstance(cause, ssl.SSLCertVerificationError) else ""
    return (
        f"No trusted TLS connection to {host}{why}; "
        "if its certificate is your own authority's, name that in MOORLINE_CA_BUNDLE."
    )


def _from_protocol_error(error: ProtocolError, host: str) -> TroubleError:
    cause = error.args[1] if len(error.args) > 1 else None
    cut = isinstance(cause, OSError | IncompleteRead) or cause is None
    if not cut:
        return not_http(host)
    detail = f"{host} broke the connection off; a later run asks again."
    return TroubleError(UnresolvedReason.UNREACHABLE, detail, passing=True)


def from_status(
    status: int, host: str, *, what: str, hub: bool, known: bool, retry_after: float | None
) -> TroubleError:
    """Return the trouble that an HTTP status means for a look-up of `what` at `host`.

    `hub`: Docker Hub, which answers 401 for a repository that does not exist; `known`: credentials
    were sent.
    """
    reasons = UnresolvedReason
    if status == 403 and retry_after is not None:
        status = 429  # how some registries say that too much was asked
    if status == 401:
        if known:
            detail = f"{host} does not accept the credentials for {what}; log in again."
        elif hub:
            detail = f"Docker Hub knows no public {what}: it is private or does not exist; check its name or log in."
        else:
            detail = f"{host} wants credentials for {what}; log in, or allow them for this owner."
        return TroubleError(reasons.UNAUTHORIZED, detail)
    if status == 403:
        return TroubleError(
            reasons.FORBIDDEN, f"{host} forbids reading {what}; the account needs permission to pull."
        )
    if status in (404, 410):
        return TroubleError(reasons.NOT_FOUND, f"{host} has no {what}; check its name and tag.")
    if status == 429:
        return TroubleError(
            reasons.RATE_LIMITED,
            f"{host} limits our requests; a later run asks again, and logging in raises the limit.",
            retry_after=retry_after,
        )
    if status >= 500:
        return TroubleError(
            reasons.SERVER_ERROR,
            f"{host} answers with the error {status}; a later run asks again.",
            retry_after=retry_after,
            passing=status in (500, 502, 503, 504),
        )
    return TroubleError(reasons.INVALID, f"{host} answers {status}, which no registry should.")


def retry_after(header: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds that a `Retry-After` header names, as a number or a date; None without one."""
    if not header:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), _LONGEST)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return min(max(0.0, (date - (now or datetime.now(UTC))).total_seconds()), _LONGEST)
