"""A thin client of the OCI distribution specification: one HEAD a tag, one GET a digest.

What it returns was either hashed here, or is a tag's digest by the registry's word alone: that is
checked by `manifest` before anything is written.  Trouble with one image is an `Unresolved`.
"""

from __future__ import annotations

import itertools
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar
from urllib.parse import urlsplit

from bot.model import ImageReference, Manifest, Resolution, Unresolved, UnresolvedReason
from bot.reference import is_digest, is_tag
from bot.registries.budget import DOCKER_HUB_API, Budget
from bot.registries.credentials import Credentials, Scope
from bot.registries.egress import GuardedPool
from bot.registries.manifests import (
    ACCEPT,
    OCI_INDEX,
    Descriptor,
    check_media_type,
    hash_of,
    media_type_of,
    read_manifest,
    read_referrers,
    read_tags,
)
from bot.registries.memo import Memo
from bot.registries.memos import Memos
from bot.registries.mirrors import Endpoint, Mirrors
from bot.registries.rules import Allowed
from bot.registries.tokens import Attempt, Authorizer
from bot.registries.trouble import TroubleError, from_status, retry_after
from bot.registries.wire import Answer, Deadline, Wire

LARGEST_MANIFEST: Final = 4 * 1024 * 1024
"""Bytes; the specification asks registries to take manifests of at least this size."""
_LARGEST_ANSWER = LARGEST_MANIFEST + 1024 * 1024
"""Bytes on the wire, chunks' framing and all: http.client reads a chunk of negative size to the end."""
_DIGEST_HEADER = "docker-content-digest"
_NO_SUCH_API = frozenset({400, 404, 405, 406, 501})
_NEXT = re.compile(r'<([^<>"]{1,4096})>\s*;[^,<>]*\brel\s*=\s*"?next\b', re.IGNORECASE)

_Answered = TypeVar("_Answered")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much one client, which is one run, may do."""

    lookup: float = 30.0
    """Seconds for one look-up, with its token, redirects and second try."""
    hosts: int = 100
    lookups: int = 20_000
    pages: int = 50
    entries: int = 20_000
    """Tags or referrers of one image."""


class RegistryClient:
    """Looks images up for one scope during one run; implements `registries.base.Images`."""

    def __init__(
        self,
        *,
        pool: GuardedPool,
        mirrors: Mapping[str, str] | None = None,
        credentials: Credentials | None = None,
        scope: Scope | None = None,
        realms: Mapping[str, Collection[str]] | None = None,
        memo: Memo[Manifest] | None = None,
        answers: Memos | None = None,
        budget: Budget | None = None,
        bounds: Bounds | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raise `ConfigurationError` for mirrors or realms that are no URLs.

        `mirrors`: registry or `*` to base URL (see `Mirrors`).  `realms`: URL of a registry or mirror to
        the URLs of token servers that belong to it: they are reached for it and may see its login.
        `memo`: the bodies that earlier runs hashed (see `Memos.shared`).
        `answers`: what the runs of one sweep share (see `Memos.of_one_sweep`).
        """
        parsed = {
            Allowed.parse(origin): frozenset(Allowed.parse(server) for server in servers)
            for origin, servers in (realms or {}).items()
        }
        self._bounds = bounds or Bounds()
        self._scope = scope or Scope()
        self._budget = budget or Budget(clock=clock)
        self._mirrors = Mirrors(mirrors or {}, pool=pool, realms=parsed, body=_LARGEST_ANSWER)
        self._wire = Wire(budget=self._budget, most_hosts=self._bounds.hosts)
        self._authorizer = Authorizer(
            wire=self._wire,
            credentials=credentials or Credentials(),
            scope=self._scope,
            realms=parsed,
            clock=clock,
        )
        self._bodies = Memos.shared() if memo is None else memo
        # Equal questions of a run are asked once, whatever the answer.
        self._run = Memos.of_one_run() if answers is None else answers
        self._lookups = itertools.count()

    @property
    def requests(self) -> Counter[tuple[str, str]]:
        """Requests sent so far, by host and method."""
        return self._wire.requests

    def close(self) -> None:
        """End waits; the connections stay with the pool, for the next run."""
        self._wire.close()

    def resolve(self, reference: ImageReference) -> Resolution | Unresolved:
        """Return what the reference's tag points to now, by the registry's word; a digest alone is itself.

        One HEAD that accepts indexes, so that it is the index's digest wherever there is one.
        """
        wanted = reference.followed_tag or reference.digest or ""
        found = self._ask(
            reference,
            self._run.resolutions,
            wanted,
            lambda endpoint, deadline: self._resolve(reference, wanted, endpoint, deadline),
        )
        return replace(found, reference=reference)

    def manifest(self, reference: ImageReference, digest: str) -> Manifest | Unresolved:
        """Return the manifest or index with `digest` of the reference's repository, which has it now.

        One GET, whose body hashes to `digest`; one HEAD by the digest where an earlier run hashed it.
        """
        found = self._ask(
            reference,
            self._run.manifests,
            digest,
            lambda endpoint, deadline: self._manifest(reference, digest, endpoint, deadline),
        )
        return found if isinstance(found, Manifest) else replace(found, reference=reference)

    def tags(self, reference: ImageReference) -> tuple[str, ...] | Unresolved:
        """Return the tags of the reference's repository in the registry's order, up to a bound."""
        found = self._ask(
            reference,
            self._run.tags,
            "",
            lambda endpoint, deadline: self._tags(reference, endpoint, deadline),
        )
        return found if isinstance(found, tuple) else replace(found, reference=reference)

    def referrers(self, reference: ImageReference, digest: str) -> tuple[Descriptor, ...] | Unresolved:
        """Return what refers to `digest`: by the referrers API, else by the tag that stands in for it.

        Where a mirror has neither, that is NOT_FOUND rather than an empty answer: a mirror that does not
        carry signatures says nothing about whether there are any.
        """
        found = self._ask(
            reference,
            self._run.referrers,
            digest,
            lambda endpoint, deadline: self._referrers(reference, digest, endpoint, deadline),
        )
        return found if isinstance(found, tuple) else replace(found, reference=reference)

    # --- asking once ----------------------------------------------------------------------

    def _ask(
        self,
        reference: ImageReference,
        memo: Memo[_Answered | Unresolved],
        what: str,
        ask: Callable[[Endpoint, Deadline], _Answered],
    ) -> _Answered | Unresolved:
        endpoint = self._mirrors.route(reference)

        def once() -> _Answered | Unresolved:
            if next(self._lookups) >= self._bounds.lookups:
                detail = f"One run asks no more than {self._bounds.lookups} questions; a later run goes on."
                return Unresolved(reference=reference, reason=UnresolvedReason.DEFERRED, detail=detail)
            try:
                return ask(endpoint, Deadline(self._bounds.lookup))
            except TroubleError as trouble:
                return trouble.about(reference)

        # What is asked for without a login is answered to anybody alike: a sweep asks it once for all owners.
        anyone = not self._authorizer.has_login(endpoint)
        return memo.get(
            ("anyone", self._key(endpoint, what)[1:]) if anyone else self._key(endpoint, what), once
        )

    def _key(self, endpoint: Endpoint, what: str) -> tuple[Hashable, ...]:
        return (self._scope.key, endpoint.origin, endpoint.mirror, endpoint.repository, what)

    # --- the distribution API -------------------------------------------------------------

    def _resolve(
        self, reference: ImageReference, wanted: str, endpoint: Endpoint, deadline: Deadline
    ) -> Resolution:
        if not (is_tag(wanted) or is_digest(wanted)):
            raise TroubleError(UnresolvedReason.INVALID, "What is asked for is neither a tag nor a digest.")
        path = f"manifests/{wanted}"
        answer = self._call("HEAD", endpoint, endpoint.url(path), deadline, accept=ACCEPT)
        if answer.status in (405, 501):
            return self._resolve_by_body(reference, wanted, endpoint, deadline)
        self._expect(answer, endpoint, _one_of(reference, wanted), 200)
        media_type = media_type_of(answer.one("content-type"))
        check_media_type(media_type, endpoint.host)
        digest = _named_digest(answer, endpoint)
        if digest is None:
            return self._resolve_by_body(reference, wanted, endpoint, deadline)
        if is_digest(wanted) and digest != wanted and _same_algorithm(digest, wanted):
            raise _lying(endpoint, wanted)
        return Resolution(
            reference=reference,
            digest=wanted if is_digest(wanted) else digest,
            source=endpoint.host,
            media_type=media_type,
        )

    def _resolve_by_body(
        self, reference: ImageReference, wanted: str, endpoint: Endpoint, deadline: Deadline
    ) -> Resolution:
        digest = wanted if is_digest(wanted) else None
        manifest = self._get_manifest(reference, wanted, digest, endpoint, deadline)
        return Resolution(
            reference=reference,
            digest=manifest.digest,
            source=manifest.source,
            media_type=manifest.media_type,
        )

    def _manifest(
        self, reference: ImageReference, digest: str, endpoint: Endpoint, deadline: Deadline
    ) -> Manifest:
        if not is_digest(digest):
            raise TroubleError(UnresolvedReason.INVALID, "What is asked for is no digest.")
        key = self._key(endpoint, digest)
        known = self._bodies.known(key)
        if known is not None:
            # What the body is cannot change; that the registry still has it, and calls it the same, can.
            now = self._resolve(reference, digest, endpoint, deadline)
            if now.media_type == known.media_type:
                return known
        found = self._get_manifest(reference, digest, digest, endpoint, deadline)
        self._bodies.keep(key, found)
        return found

    def _get_manifest(
        self,
        reference: ImageReference,
        wanted: str,
        digest: str | None,
        endpoint: Endpoint,
        deadline: Deadline,
    ) -> Manifest:
        """GET a manifest by tag or digest; its digest is the body's hash, which must be `digest` if given."""
        wait = self._budget.spend(endpoint.host)
        if wait is not None:
            raise TroubleError(
                UnresolvedReason.DEFERRED,
                f"Our share of requests to {endpoint.host} is used up; a later run goes on.",
                retry_after=wait,
            )
        url = endpoint.url(f"manifests/{wanted}")
        answer = self._call("GET", endpoint, url, deadline, accept=ACCEPT)
        self._expect(answer, endpoint, _one_of(reference, wanted), 200)
        named = _named_digest(answer, endpoint)
        if named is not None and hash_of(answer.body, named) != named:
            raise _lying(endpoint, wanted)
        hashed = hash_of(answer.body, digest or "sha256:")
        if digest is not None and hashed != digest:
            raise _lying(endpoint, wanted)
        return read_manifest(
            answer.body,
            digest=hashed,
            header_type=media_type_of(answer.one("content-type")),
            source=endpoint.host,
        )

    def _tags(self, reference: ImageReference, endpoint: Endpoint, deadline: Deadline) -> tuple[str, ...]:
        found: dict[str, None] = {}
        url = endpoint.url("tags/list?n=1000")
        for _ in range(self._bounds.pages):
            answer = self._call("GET", endpoint, url, deadline, accept="application/json")
            self._expect(answer, endpoint, f"repository {_name(reference)}", 200)
            found.update(dict.fromkeys(read_tags(answer.body, endpoint.host)))
            following = _next_page(url, answer)
            if following in (None, url) or len(found) >= self._bounds.entries:
                break
            url = following
        return tuple(found)[: self._bounds.entries]

    def _referrers(
        self, reference: ImageReference, digest: str, endpoint: Endpoint, deadline: Deadline
    ) -> tuple[Descriptor, ...]:
        if not is_digest(digest):
            raise TroubleError(UnresolvedReason.INVALID, "What is asked for is no digest.")
        found: dict[str, Descriptor] = {}
        url = endpoint.url(f"referrers/{digest}")
        for page in range(self._bounds.pages):
            answer = self._call("GET", endpoint, url, deadline, accept=OCI_INDEX)
            if page == 0 and answer.status in _NO_SUCH_API:
                return self._tagged_referrers(reference, digest, endpoint, deadline)
            self._expect(answer, endpoint, f"referrers of {_name(reference)}", 200)
            header_type = media_type_of(answer.one("content-type"))
            for entry in read_referrers(answer.body, header_type=header_type, source=endpoint.host):
                found[entry.digest] = entry
            following = _next_page(url, answer)
            if following in (None, url) or len(found) >= self._bounds.entries:
                break
            url = following
        return tuple(found.values())[: self._bounds.entries]

    def _tagged_referrers(
        self, reference: ImageReference, digest: str, endpoint: Endpoint, deadline: Deadline
    ) -> tuple[Descriptor, ...]:
        url = endpoint.url(f"manifests/{digest.replace(':', '-')}")
        answer = self._call("GET", endpoint, url, deadline, accept=OCI_INDEX)
        if answer.status == 404 and not endpoint.mirror:
            return ()
        self._expect(answer, endpoint, f"referrers of {_name(reference)}", 200)
        named = _named_digest(answer, endpoint)
        if named is not None and hash_of(answer.body, named) != named:
            raise _lying(endpoint, digest)
        header_type = media_type_of(answer.one("content-type"))
        return read_referrers(answer.body, header_type=header_type, source=endpoint.host)

    # --- one request ----------------------------------------------------------------------

    def _call(self, method: str, endpoint: Endpoint, url: str, deadline: Deadline, *, accept: str) -> Answer:
        """Return the answer to a request, a challenge to it answered at most once."""
        attempt = self._authorizer.first(endpoint, deadline)
        answer = self._send(method, endpoint, url, deadline, accept, attempt.header)
        if not attempt.borrowed or not self._is_refused(answer):
            return self._challenged(answer, attempt, method, endpoint, url, deadline, accept)
        # It may be what we brought along from another repository that is refused.
        plain = self._send(method, endpoint, url, deadline, accept, None)
        plain = self._challenged(plain, Attempt(), method, endpoint, url, deadline, accept)
        return plain if plain.status < 400 else answer

    def _is_refused(self, answer: Answer) -> bool:
        """Return whether an answer is a no that asks for nothing."""
        if answer.redirected or answer.status not in (401, 403):
            return False
        return answer.status == 403 or not self._authorizer.asks(answer.headers.getlist("www-authenticate"))

    def _challenged(
        self,
        answer: Answer,
        attempt: Attempt,
        method: str,
        endpoint: Endpoint,
        url: str,
        deadline: Deadline,
        accept: str,
    ) -> Answer:
        if answer.status != 401 or answer.redirected:
            return answer
        challenges = answer.headers.getlist("www-authenticate")
        another = self._authorizer.answer(endpoint, challenges, attempt, deadline)
        if another is None:
            return answer
        answer = self._send(method, endpoint, url, deadline, accept, another)
        if answer.status < 400:
            self._authorizer.worked(endpoint)
        return answer

    def _send(
        self, method: str, endpoint: Endpoint, url: str, deadline: Deadline, accept: str, header: str | None
    ) -> Answer:
        headers = {"Accept": accept}
        if header is not None:
            headers["Authorization"] = header
        answer = self._wire.ask(
            endpoint.pool, method, url, headers=headers, limit=LARGEST_MANIFEST, deadline=deadline
        )
        self._budget.observe(endpoint.host, answer.headers.get("ratelimit-remaining"))
        return answer

    def _expect(self, answer: Answer, endpoint: Endpoint, what: str, status: int) -> None:
        if answer.status != status:
            raise from_status(
                answer.status,
                endpoint.host,
                what=what,
                hub=endpoint.host == DOCKER_HUB_API,
                known=self._authorizer.has_login(endpoint),
                retry_after=retry_after(answer.headers.get("retry-after")),
            )


def _one_of(reference: ImageReference, wanted: str) -> str:
    """Return what is asked for, as people are told of it."""
    return f"{'digest' if is_digest(wanted) else 'tag'} {wanted} of {_name(reference)}"


def _name(reference: ImageReference) -> str:
    return f"{reference.registry}/{reference.repository}"


def _named_digest(answer: Answer, endpoint: Endpoint) -> str | None:
    """Return the digest in an answer's header, None without one; raises `TroubleError`."""
    digest = answer.one(_DIGEST_HEADER)
    if not digest:
        return None
    if not is_digest(digest):
        raise TroubleError(UnresolvedReason.INVALID, f"{endpoint.host} names a digest that cannot be one.")
    return digest


def _same_algorithm(one: str, other: str) -> bool:
    return one.partition(":")[0] == other.partition(":")[0]


def _lying(endpoint: Endpoint, wanted: str) -> TroubleError:
    return TroubleError(
        UnresolvedReason.LYING,
        f"{endpoint.host} answers for {wanted} with content that does not hash to the digest it names; "
        "nothing is pinned to it.",
    )


def _next_page(url: str, answer: Answer) -> str | None:
    """Return the URL of the next page (RFC 8288), None at the end.

    Of what the registry says only the query is used: a page is always asked where the first one was.
    """
    match = _NEXT.search(answer.headers.get("link", "")[:8192])
    query = urlsplit(match[1]).query if match else ""
    return f"{url.partition('?')[0]}?{query}" if query else None
