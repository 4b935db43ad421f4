"""One git repository over smart HTTP: what it advertises, and a shallow pack of one commit.

Protocol 2 is used where the server knows it, with ref prefixes and, once that is known of a server,
in one request; servers that only know the older ones are read too (gitprotocol-http,
gitprotocol-v2, gitprotocol-pack).  Dumb HTTP is not supported.  Redirects are followed on the same
server only.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urljoin, urlsplit

import urllib3
from urllib3.exceptions import (
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    SSLError,
)
from urllib3.exceptions import TimeoutError as PoolTimeoutError
from urllib3.response import BaseHTTPResponse

from bot.model import UnresolvedReason
from bot.reference import is_commit
from bot.refs.pktline import Mark, OversizedError, PktError, Reader, pkt

MAX_ADVERTISEMENT = 32 * 1024 * 1024
MAX_REFS = 200_000
MAX_PACK = 16 * 1024 * 1024
MAX_BLOB = 65536
_MAX_REDIRECTS = 3
_MAX_SECONDS = 60.0
_PIECE = 65536
_LONGEST = 86400.0
_AGENT = b"agent=git/moorline"
_SMALL = b"filter blob:limit=%d" % MAX_BLOB
# `thin-pack` changes nothing where we have nothing, and some servers insist on it; `filter` beside
# `deepen` is not understood by all that advertise both.
_WANTED = (b"side-band-64k", b"thin-pack", b"no-progress", b"ofs-delta", b"shallow")
_HEADERS = {"User-Agent": "git/moorline", "Accept-Encoding": "identity", "Pragma": "no-cache"}
_ANONYMOUS = (
    "; Moorline logs in to no git host; name a mirror that may read it in MOORLINE_GIT_MIRRORS,"
    " or ignore the reference"
)
_REDIRECTS = frozenset({301, 302, 307, 308})
_ADVERTISEMENT = "application/x-git-upload-pack-advertisement"
_RESULT = "application/x-git-upload-pack-result"
_FORMAT = re.compile(rb"object-format=(sha1|sha256)")


class TroubleError(Exception):
    """Why a repository gave no answer that may be used."""

    def __init__(self, reason: UnresolvedReason, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after


class _NotSpokenError(Exception):
    """The server does not answer this form of request; another one may do."""


@dataclass(frozen=True, slots=True)
class Ref:
    """One advertised ref."""

    name: str
    commit: str
    annotated: bool


@dataclass(slots=True)
class _Listing:
    """Refs as they are read, the older protocols' `^{}` lines folded in."""

    found: dict[str, Ref] = field(default_factory=dict)

    def add(self, name: bytes, identity: bytes, peeled: bytes | None) -> None:
        text, target = _decoded(name), (peeled or identity).decode("ascii", "replace")
        if not is_commit(target) or not is_commit(identity.decode("ascii", "replace")):
            raise PktError("an object id that is none")
        if text.endswith("^{}"):
            text, peeled = text[:-3], identity
        self.found[text] = Ref(text, target, peeled is not None)
        if len(self.found) > MAX_REFS:
            raise OversizedError("more refs than are read")


class Remote:
    """A repository at `base`, such as `https://github.com/actions/checkout.git`.

    `protocols` remembers which protocol each server speaks, by host and port.
    """

    def __init__(
        self,
        pool: urllib3.PoolManager,
        base: str,
        *,
        protocols: dict[str, int] | None = None,
        blocked: tuple[type[Exception], ...] = (),
        seconds: float = _MAX_SECONDS,
    ) -> None:
        self._pool = pool
        self._base = base.rstrip("/")
        self._protocols = protocols if protocols is not None else {}
        self._blocked = blocked
        self._seconds = seconds
        self.host = urlsplit(base).netloc.rpartition("@")[2]

    # --- refs -----------------------------------------------------------------------------

    def refs(self, prefixes: Sequence[str]) -> dict[str, Ref]:
        """Return the advertised refs whose full names begin with one of `prefixes`, tags peeled.

        Raises `TroubleError`.
        """
        if self._protocols.get(self.host) == 2:
            try:
                return self._listed(prefixes, b"")
            except _NotSpokenError:
                pass  # a server may speak differently of each repository
        version, capabilities, listed = self._discovered()
        if version == 2:
            try:
                return self._listed(prefixes, _object_format(capabilities))
            except _NotSpokenError as error:
                raise self._invalid("does not list its refs") from error
        return {name: ref for name, ref in listed.items() if name.startswith(tuple(prefixes))}

    def _listed(self, prefixes: Sequence[str], object_format: bytes) -> dict[str, Ref]:
        arguments = [b"peel", *(b"ref-prefix " + prefix.encode("utf-8") for prefix in prefixes)]
        listing = _Listing()
        with self._exchange("ls-refs", object_format, arguments, limit=MAX_ADVERTISEMENT) as lines:
            for line in lines:
                if line is Mark.FLUSH:
                    break
                if isinstance(line, Mark):
                    raise _NotSpokenError
                words = line.rstrip(b"\n").split(b" ")
                if words[0] == b"ERR":
                    raise _NotSpokenError
                if len(words) < 2:
                    raise _NotSpokenError
                if words[0] == b"unborn":
                    continue
                peeled = next((word[7:] for word in words[2:] if word.startswith(b"peeled:")), None)
                listing.add(words[1], words[0], peeled)
            else:
                raise _NotSpokenError
        return {name: ref for name, ref in listing.found.items() if name.startswith(tuple(prefixes))}

    def _discovered(self) -> tuple[int, tuple[bytes, ...], dict[str, Ref]]:
        """Return protocol, capabilities and, before protocol 2, the refs of the advertisement."""
        version, capabilities, listed = self._advertisement()
        self._protocols[self.host] = version
        return version, capabilities, listed

    def _advertisement(self) -> tuple[int, tuple[bytes, ...], dict[str, Ref]]:
        response = self._request("GET", "/info/refs?service=git-upload-pack", {"Git-Protocol": "version=2"})
        with self._reading(response, _ADVERTISEMENT, MAX_ADVERTISEMENT) as lines:
            first = next(lines, None)
            if isinstance(first, bytes) and first.startswith(b"# service="):
                if next(lines, None) is not Mark.FLUSH:
                    raise PktError("no flush behind the service")
                first = next(lines, None)
            if isinstance(first, bytes) and first.rstrip(b"\n") == b"version 2":
                found = [line.rstrip(b"\n") for line in lines if isinstance(line, bytes)]
                return 2, tuple(found[:100]), {}
            if isinstance(first, bytes) and first.rstrip(b"\n") == b"version 1":
                first = next(lines, None)
            return self._classic(first, lines)

    def _classic(
        self, first: bytes | Mark | None, lines: Iterator[bytes | Mark]
    ) -> tuple[int, tuple[bytes, ...], dict[str, Ref]]:
        listing = _Listing()
        capabilities: tuple[bytes, ...] = ()
        line = first
        while isinstance(line, bytes):
            text, nul, rest = line.rstrip(b"\n").partition(b"\0")
            if nul:
                capabilities = tuple(rest.split())
            identity, space, name = text.partition(b" ")
            if identity == b"ERR":
                raise self._refusal(name)
            if not space:
                if not identity.startswith(b"shallow"):
                    raise PktError("a line that names no ref")
            elif name != b"capabilities^{}" and identity != b"shallow":
                listing.add(name, identity, None)
            line = next(lines, None)
        if line is not Mark.FLUSH:
            raise PktError("an advertisement without end")
        return 0, capabilities, listing.found

    # --- packs ----------------------------------------------------------------------------

    def pack(self, commit: str) -> bytes:
        """Return a pack with `commit`, its trees and, where the server filters, its small blobs only.

        Raises `TroubleError`, TOO_LARGE where the pack is beyond the limit.
        """
        version = self._protocols.get(self.host)
        capabilities: tuple[bytes, ...] = ()
        if version is None:
            version, capabilities, _ = self._discovered()
        if version != 2:
            return self._classic_pack(commit)
        arguments = [b"want " + commit.encode("ascii"), b"deepen 1", b"no-progress", b"ofs-delta"]
        object_format = b"sha256" if len(commit) == 64 else _object_format(capabilities)
        for asked in ([*arguments, _SMALL, b"done"], [*arguments, b"done"]):
            try:
                with self._exchange("fetch", object_format, asked, limit=MAX_PACK) as lines:
                    return _packed(lines)
            except _NotSpokenError:
                continue
        raise TroubleError(UnresolvedReason.NOT_FOUND, f"{self.host} does not give out the commit {commit}.")

    def _classic_pack(self, commit: str) -> bytes:
        _, capabilities, _ = self._discovered()
        wanted = [name for name in _WANTED if name in capabilities]
        body = pkt(b" ".join([b"want " + commit.encode("ascii"), *wanted, _AGENT]) + b"\n")
        if b"shallow" in wanted:
            body += pkt(b"deepen 1")
        body += Mark.FLUSH.value + pkt(b"done\n")
        headers = {"Content-Type": "application/x-git-upload-pack-request", "Accept": _RESULT}
        if b"side-band-64k" not in wanted:
            raise self._invalid("speaks a protocol without side bands")
        response = self._request("POST", "/git-upload-pack", headers, body)
        with self._reading(response, _RESULT, MAX_PACK) as lines:
            for line in lines:
                if isinstance(line, Mark) or line.startswith((b"shallow ", b"unshallow ")):
                    continue
                if line.startswith(b"ERR "):
                    raise self._refusal(line[4:])
                if line.startswith((b"NAK", b"ACK ")):
                    return _banded(lines)
                break
        raise self._invalid("sends no pack")

    # --- requests -------------------------------------------------------------------------

    def _exchange(
        self, command: str, object_format: bytes, arguments: Sequence[bytes], *, limit: int
    ) -> _Reading:
        head = [b"command=" + command.encode("ascii"), _AGENT]
        if object_format:
            head.append(b"object-format=" + object_format)
        body = b"".join(
            [
                *(pkt(one + b"\n") for one in head),
                Mark.DELIMITER.value,
                *(pkt(one + b"\n") for one in arguments),
            ]
        )
        headers = {
            "Content-Type": "application/x-git-upload-pack-request",
            "Accept": _RESULT,
            "Git-Protocol": "version=2",
        }
        response = self._request("POST", "/git-upload-pack", headers, body + Mark.FLUSH.value, lenient=True)
        return self._reading(response, _RESULT, limit, lenient=True)

    def _request(
        self,
        method: str,
        tail: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        lenient: bool = False,
    ) -> BaseHTTPResponse:
        """Return an answer of status 200; `lenient`: what may mean another protocol is `_NotSpokenError`."""
        for _ in range(_MAX_REDIRECTS + 1):
            url = self._base + tail
            try:
                response = self._pool.urlopen(
                    method,
                    url,
                    body=body,
                    headers={**_HEADERS, **headers},
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    decode_content=False,
                )
            except HTTPError as error:
                raise self._trouble(error) from error
            if response.status == 200:
                return response
            location = response.headers.get("location")
            status, wait = response.status, _seconds(response.headers.get("retry-after"))
            response.close()
            if status in _REDIRECTS and location:
                self._base = self._moved(url, location, tail, lenient=lenient)
                continue
            if lenient and status not in (401, 429, 503):
                raise _NotSpokenError
            raise self._status(status, wait)
        raise self._invalid("redirects in circles")

    def _moved(self, url: str, location: str, tail: str, *, lenient: bool) -> str:
        """Return the base that a redirect leads to: a renamed repository on the same server."""
        try:
            old, new = urlsplit(url), urlsplit(urljoin(url, location))
        except ValueError as error:
            raise self._invalid("redirects to what is no address") from error
        if _server(old) != _server(new):
            raise TroubleError(
                UnresolvedReason.NOT_FOUND,
                f"The repository moved from {self.host} to another server, which is not followed;"
                " name it where it is now.",
            )
        target = new.path + (f"?{new.query}" if new.query else "")
        if not target.endswith(tail):
            if lenient:
                raise _NotSpokenError
            raise TroubleError(
                UnresolvedReason.UNAUTHORIZED,
                f"{self.host} answers with another page: the repository is private or does not exist{_ANONYMOUS}.",
            )
        return f"{new.scheme}://{new.netloc}{target[: -len(tail)]}"

    def _reading(
        self, response: BaseHTTPResponse, content_type: str, limit: int, *, lenient: bool = False
    ) -> _Reading:
        return _Reading(self, response, content_type, limit, lenient)

    # --- trouble --------------------------------------------------------------------------

    def _invalid(self, what: str) -> TroubleError:
        return TroubleError(UnresolvedReason.INVALID, f"{self.host} {what}.")

    def _refusal(self, text: bytes) -> TroubleError:
        plain = "".join(char for char in text[:200].decode("utf-8", "replace") if char.isprintable())
        lower = plain.lower()
        gone = "not found" in lower or "not our ref" in lower or "access denied" in lower
        reason = UnresolvedReason.NOT_FOUND if gone else UnresolvedReason.INVALID
        return TroubleError(reason, f"{self.host} refuses: {plain!r}.")

    def _status(self, status: int, wait: float | None) -> TroubleError:
        reasons = UnresolvedReason
        if status == 403 and wait is not None:
            status = 429  # how some hosts say that too much was asked
        reason, what = {
            401: (
                reasons.UNAUTHORIZED,
                f"wants credentials: the repository is private or does not exist{_ANONYMOUS}",
            ),
            403: (reasons.FORBIDDEN, f"forbids reading the repository{_ANONYMOUS}"),
            404: (reasons.NOT_FOUND, f"has no such repository, or it is private{_ANONYMOUS}"),
            410: (reasons.NOT_FOUND, "no longer has the repository"),
            429: (reasons.RATE_LIMITED, "limits our requests; a later run asks again"),
        }.get(status) or (
            (reasons.SERVER_ERROR, f"answers with the error {status}; a later run asks again")
            if status >= 500
            else (reasons.INVALID, f"answers {status}, which no git host should")
        )
        return TroubleError(reason, f"{self.host} {what}.", retry_after=wait)

    def _trouble(self, error: HTTPError) -> TroubleError:
        reasons = UnresolvedReason
        cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
        if isinstance(cause, self._blocked):
            return TroubleError(
                reasons.BLOCKED,
                f"{cause} Set MOORLINE_GIT_MIRRORS, or MOORLINE_EGRESS_ALLOW if it is meant to be reached.",
            )
        if isinstance(cause, NameResolutionError):
            return TroubleError(reasons.UNREACHABLE, f"The name {self.host} does not resolve.")
        if isinstance(cause, SSLError):
            return TroubleError(
                reasons.TLS,
                f"No trusted TLS connection to {self.host}; if its certificate is your own authority's,"
                " name that in MOORLINE_CA_BUNDLE.",
            )
        if isinstance(cause, NewConnectionError):
            return TroubleError(reasons.UNREACHABLE, f"{self.host} does not accept connections.")
        if isinstance(cause, PoolTimeoutError):
            return TroubleError(reasons.TIMEOUT, f"{self.host} did not answer in time.")
        return TroubleError(
            reasons.UNREACHABLE, f"{self.host} broke the connection off or does not speak HTTP."
        )


class _Reading:
    """The pkt-lines of one answer, for a `with` block that turns what goes wrong into `TroubleError`."""

    def __init__(
        self, remote: Remote, response: BaseHTTPResponse, content_type: str, limit: int, lenient: bool
    ) -> None:
        self._remote = remote
        self._response = response
        self._content_type = content_type
        self._limit = limit
        self._lenient = lenient

    def __enter__(self) -> Iterator[bytes | Mark]:
        headers = self._response.headers
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != self._content_type or headers.get("content-encoding", "identity") != "identity":
            self._response.close()
            if self._lenient:
                raise _NotSpokenError
            raise self._remote._invalid("is no git host that speaks smart HTTP")  # noqa: SLF001  # one module, one job
        return Reader(self._pieces(), limit=self._limit).lines()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._finish(used=error is None)
        remote, reasons = self._remote, UnresolvedReason
        if isinstance(error, OversizedError):
            raise TroubleError(
                reasons.TOO_LARGE,
                f"{remote.host} sends more than {self._limit:,} bytes or {MAX_REFS:,} refs.",
            ) from error
        if isinstance(error, PktError):
            if self._lenient:
                raise _NotSpokenError from error
            raise remote._invalid(f"breaks git's protocol: {error}") from error  # noqa: SLF001  # the same
        if isinstance(error, HTTPError):
            raise remote._trouble(error) from error  # noqa: SLF001  # the same

    def _finish(self, *, used: bool) -> None:
        """Give the connection back where the answer was read to its end, so that it serves again."""
        try:
            at_end = used and not self._response.read1(1)
        except HTTPError:
            at_end = False
        if at_end:
            self._response.release_conn()
        else:
            self._response.close()

    def _pieces(self) -> Callable[[], bytes]:
        until = time.monotonic() + self._remote._seconds  # noqa: SLF001  # the same
        response, host = self._response, self._remote.host

        def piece() -> bytes:
            if time.monotonic() > until:
                raise TroubleError(UnresolvedReason.TIMEOUT, f"{host} did not finish its answer in time.")
            return response.read1(_PIECE)  # as much as has come, so that the time is looked at

        return piece


def _packed(lines: Iterator[bytes | Mark]) -> bytes:
    """Return the pack of a protocol 2 answer, whose sections a delimiter keeps apart."""
    for line in lines:
        if line is Mark.DELIMITER:
            continue
        if isinstance(line, Mark) or line.startswith(b"ERR "):
            break
        if line.rstrip(b"\n") == b"packfile":
            return _banded(lines)
    raise _NotSpokenError


def _banded(lines: Iterator[bytes | Mark]) -> bytes:
    """Return what the first side band carries."""
    data = bytearray()
    for line in lines:
        if isinstance(line, Mark):
            return bytes(data)
        if line[:1] == b"\1":
            data += line[1:]
        elif line[:1] not in (b"\2", b""):
            raise PktError("the server gave up or sent what is no side band")
    raise PktError("a pack without end")


def _object_format(capabilities: Sequence[bytes]) -> bytes:
    found = next((match for one in capabilities if (match := _FORMAT.fullmatch(one))), None)
    return found.group(1) if found else b""


def _decoded(name: bytes) -> str:
    # No ref holds a backslash, so that two names never become one.
    return name.decode("utf-8", "backslashreplace")


def _server(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or {"http": 80, "https": 443}.get(url.scheme)


def _seconds(header: str | None) -> float | None:
    """Return the seconds of a `Retry-After` header, as a number or a date."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), _LONGEST)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), _LONGEST)
