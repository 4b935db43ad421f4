"""Questions to one GitLab server, by python-gitlab, under our own policy.

Reads are asked again a few times; writes never are: where nobody knows whether one was done,
`UncertainError` is raised, and whoever asked looks what is there.  A rate limit is told at once, with the
time it names, and never slept through: until then nothing is asked.  Pages are followed by their parameters alone, at our own base
URL: a `Link` could name any host, which would be sent the token.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import parse_qsl, urlsplit

import gitlab
import requests
from gitlab.exceptions import GitlabError

from bot.errors import ConfigurationError, ForgeError, MissingError, TransientError
from bot.forges.gitlab_answers import Node, below, node, nodes, text
from bot.forges.gitlab_session import OversizedError, Session, trusting
from bot.forges.holds import Holds
from bot.forges.pacing import Pacing, Window
from bot.visible import visible

T = TypeVar("T")
Query = Mapping[str, object]

LARGEST = 48 * 1024 * 1024
"""Bytes of one answer; what one GraphQL query may read of files is 20 MB."""
_TIMEOUT = 30.0
_PAUSES = (0.3, 1.5)
_PATIENCE = 60.0
"""Seconds after which a read is not tried again."""
_LONGEST_WAIT = 3600.0
_WAIT = 60.0
"""Seconds to wait where a rate limit names no time."""
_EVERYTHING = "token"
"""Whatever is asked with our token: which of GitLab's limits a request counts for is not told before."""
_CONTENT = re.compile(
    r"/projects/[^/]+/merge_requests(?:/[0-9]+/(?:notes|discussions(?:/[^/]+/notes)?|draft_notes/bulk_publish))?"
)
"""What people see and are told of: merge requests and what is said in them."""
_PROPOSAL = 3
"""Writes of this kind that a proposal takes at most, as a rule."""
_NEVER = frozenset({501, 505})
"""Statuses of servers that will not do it, ever."""
_MOST_PAGES = 2_000
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
_PAGED = frozenset({"page", "page_token", "cursor", "id_after", "id_before"})
_GRAPHQL_WORDS = 300


class UncertainError(TransientError):
    """Nobody knows whether the server did what it was asked for."""


class _UnreadableError(UncertainError):
    """What came with a status of success is no answer of the API."""


class RefusedError(ForgeError):
    """The server would not do it."""

    def __init__(self, problem: str, *, status: int, said: str, advice: str = "") -> None:
        super().__init__(problem, advice=advice)
        self.status = status
        self.said = said


class RedirectedError(ForgeError):
    """The server says where else to ask."""

    def __init__(self, problem: str, *, target: str, advice: str = "") -> None:
        super().__init__(problem, advice=advice)
        self.target = target


class QueryError(ForgeError):
    """GraphQL works, and refused one query; `costly` where a smaller one may be answered."""

    def __init__(self, problem: str, *, costly: bool) -> None:
        super().__init__(problem)
        self.costly = costly


class NoGraphQLError(ForgeError):
    """The server, or a proxy before it, does not offer GraphQL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    body: bytes
    headers: Mapping[str, str]

    def json(self) -> object:
        """Return what the answer holds; raises `UncertainError` where that is no JSON.

        A page about maintenance, or of a proxy that wants a login, may be gone in a minute.
        """
        try:
            made: object = json.loads(self.body)
        except (ValueError, RecursionError):
            raise _UnreadableError(
                "GitLab's answer is no JSON.", advice="Look whether MOORLINE_GITLAB_URL is right."
            ) from None
        return made

    def listed(self) -> list[Node]:
        """Return the objects of a list; raises as `json`, where it is no list too."""
        made = self.json()
        if not isinstance(made, list):
            raise _UnreadableError("GitLab's answer is no list.")
        return list(nodes(made))


class Api:
    """One GitLab server and one token, which never appears in a message; safe for threads.

    `url` is the server's base address, a path below the host included.  Raises `ConfigurationError`
    where the address, the token or the file of certificates cannot be used.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        ca_bundle: str | None = None,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
        windows: Sequence[Window] = (),
    ) -> None:
        self.url = _base(url)
        self.local = is_loopback(self.url)
        """Whether the server is on this machine."""
        if not _TOKEN.fullmatch(token):
            raise ConfigurationError(
                "this is no token", key="MOORLINE_GITLAB_TOKEN", expected="printable characters, no blanks"
            )
        self._token = token
        self._context = trusting(ca_bundle) if self.url.startswith("https://") else None
        self._clock = clock
        self._pause = pause
        self._clients = threading.local()
        self._holds = Holds(clock)
        self._pacing = Pacing(clock, windows)
        self.ahead: float | None = None
        """Seconds by which the server's clock is before ours, as of its latest answer."""

    def now(self) -> float:
        """Return the server's time, in seconds since 1970, as far as its latest answer tells."""
        return self._clock() + (self.ahead or 0.0)

    # --- reading --------------------------------------------------------------------------

    def get(self, path: str, query: Query | None = None, *, limit: int = LARGEST) -> object:
        """Return what a path of the API (`/projects/1`) holds; raises `OversizedError` past `limit` bytes."""
        return self._read(lambda: self._ask("get", path, query, limit=limit).json())

    def page(self, path: str, query: Query) -> tuple[list[Node], Query | None]:
        """Return one page of a list, and the query that leads to the next one, None at the end."""

        def ask() -> tuple[list[Node], dict[str, str]]:
            answer = self._ask("get", path, query)
            return answer.listed(), _next(answer.headers)

        found, following = self._read(ask)
        return found, {**query, **following} if following else None

    def pages(self, path: str, query: Query, *, most: int = _MOST_PAGES) -> Iterator[Node]:
        """Yield everything in a list; raises `OversizedError` where it has more than `most` pages."""
        following: Query = {"per_page": 100, **query}
        for _ in range(most):
            found, after = self.page(path, following)
            yield from found
            if after is None:
                return
            following = after
        raise OversizedError(f"GitLab lists more than {most:,} pages.")

    def raw(self, path: str, limit: int) -> bytes:
        """Return a file's bytes; raises `OversizedError` where there are more than `limit`."""
        return self._read(lambda: self._ask("get", path, None, limit=limit)).body

    def graph(self, query: str, variables: Query) -> Node:
        """Return the data of a GraphQL query, which must only read.

        Raises `QueryError` where it is refused, `NoGraphQLError` where there is no GraphQL at all.
        """
        body = {"query": query, "variables": dict(variables)}
        try:
            said = node(self._read(lambda: self._ask("post", f"{self.url}/api/graphql", body=body).json()))
        except OversizedError:
            raise QueryError("GitLab's answer is too large.", costly=True) from None
        except _UnreadableError:
            raise NoGraphQLError("GitLab's GraphQL does not answer in JSON.") from None
        except TransientError:
            raise
        except (MissingError, RefusedError, RedirectedError) as error:
            raise NoGraphQLError(error.problem) from None
        except _UnauthorizedError:
            raise
        except ForgeError:
            raise NoGraphQLError("GitLab's GraphQL does not answer in JSON.") from None
        wrong = " ".join(text(one, "message") for one in nodes(said.get("errors")))[:_GRAPHQL_WORDS]
        data = said.get("data")
        if wrong or not isinstance(data, dict):
            costly = re.search(r"complex|exceed|limit|too (?:large|many)|time", wrong, re.IGNORECASE)
            raise QueryError(
                f"GitLab refused a query: {self._shown(wrong)!r}.", costly=costly is not None
            ) from None
        return data

    # --- writing --------------------------------------------------------------------------

    def require_room(self) -> None:
        """Return where there is room for a whole proposal; raises `TransientError` before any of it is written."""
        wait = self._pacing.room(_EVERYTHING, _PROPOSAL)
        if wait is not None:
            raise _paced(wait)

    def send(self, verb: str, path: str, body: Mapping[str, object] | None = None) -> object:
        """Return the answer to one write, sent once.

        Raises `UncertainError` where it may have been done or not, and `TransientError` where it was not sent
        since too much was created of late.
        """
        if verb == "post" and _CONTENT.fullmatch(path):
            wait = self._pacing.take(_EVERYTHING)
            if wait is not None:
                raise _paced(wait)
        answer = self._ask(verb, path, body=body)
        try:
            return answer.json() if answer.body else None
        except ForgeError:
            raise UncertainError("GitLab's answer to a write was cut off.") from None

    # --- one exchange ---------------------------------------------------------------------

    def _read(self, ask: Callable[[], T]) -> T:
        end = time.monotonic() + _PATIENCE
        for pause in _PAUSES:
            try:
                return ask()
            except UncertainError:
                if time.monotonic() > end:
                    raise
                self._pause(pause)
        return ask()

    def _ask(
        self,
        verb: str,
        path: str,
        query: Query | None = None,
        *,
        body: Mapping[str, object] | None = None,
        limit: int = LARGEST,
    ) -> _Answer:
        left = self._holds.left(_EVERYTHING)
        if left is not None:
            # Whoever goes on asking under a limit makes it longer, and may be blocked.
            raise TransientError("GitLab asks to wait: nothing was asked.", retry_after=left)
        client, session = self._client()
        session.limit = limit
        send = partial(client.http_request, streamed=True, obey_rate_limit=False)
        trouble: ForgeError
        try:
            response = send(
                verb,
                path,
                query_data=dict(query or {}),
                post_data=dict(body) if body is not None else None,
                retry_transient_errors=False,
            )
            body_read = response.content
        except OversizedError:
            raise
        except GitlabError as error:
            answered = session.answered
            headers: Mapping[str, str] = answered.headers if answered is not None else {}
            self._noted(headers)
            trouble = self._trouble(error.response_code or 0, _said(error), headers, f"{verb.upper()} {path}")
        except requests.exceptions.SSLError:
            trouble = UncertainError(
                "GitLab's certificate is not trusted, or the connection is not TLS.",
                advice="Put its authority's certificate into the file that MOORLINE_CA_BUNDLE names.",
            )
        except requests.exceptions.InvalidURL:
            trouble = ForgeError("GitLab's address cannot be used.", advice="Check MOORLINE_GITLAB_URL.")
        except (requests.RequestException, OSError) as error:
            trouble = UncertainError(
                f"{self._host()} cannot be reached, or cut the connection ({type(error).__name__}).",
                advice="Check MOORLINE_GITLAB_URL, the network, and the proxy if there is one.",
            )
        else:
            self._noted(response.headers)
            return _Answer(body=body_read, headers=response.headers)
        finally:
            if session.answered is not None:
                session.answered.close()
        # Outside of the handlers: the library's exceptions hold the request, and with it the token.
        raise trouble

    def _client(self) -> tuple[gitlab.Gitlab, Session]:
        found: tuple[gitlab.Gitlab, Session] | None = getattr(self._clients, "made", None)
        if found is None:
            session = Session(self._context)
            session.trust_env = not self.local  # this machine needs no proxy
            client = gitlab.Gitlab(
                self.url,
                private_token=self._token,
                timeout=_TIMEOUT,
                user_agent="Moorline",
                keep_base_url=True,
                retry_transient_errors=False,
                session=session,
            )
            found = self._clients.made = client, session
        return found

    def _host(self) -> str:
        return visible(urlsplit(self.url).netloc.rpartition("@")[2], 300)

    def _noted(self, headers: Mapping[str, str]) -> None:
        try:
            at = parsedate_to_datetime(headers["Date"])
        except (KeyError, ValueError, TypeError):
            return
        self.ahead = at.timestamp() - self._clock()

    def _trouble(self, status: int, said: str, headers: Mapping[str, str], what: str) -> ForgeError:
        words = self._shown(said)
        quoted = f": {words!r}" if words else ""
        if status == 429:
            wait = self._holds.hold([_EVERYTHING], self._wait(headers))
            return TransientError("GitLab asks to wait.", retry_after=wait)
        if status == 401:
            return _UnauthorizedError(
                f"GitLab does not accept the token{quoted}.",
                advice="It may have expired or been revoked: make a new one and set MOORLINE_GITLAB_TOKEN.",
            )
        if status == 404:
            return MissingError(f"GitLab has nothing there, or does not show it to us ({what}).")
        if 300 <= status < 400:
            return RedirectedError(
                f"GitLab sends us elsewhere ({what}).",
                target=headers.get("Location", ""),
                advice="Set MOORLINE_GITLAB_URL to the address that the server itself uses.",
            )
        if (status >= 500 and status not in _NEVER) or status in (0, 408):
            named = "Retry-After" in headers
            return UncertainError(
                f"GitLab answered {status} ({what}).", retry_after=self._wait(headers) if named else None
            )
        advice = ""
        if status == 403:
            advice = (
                "The token needs the scope `api`."
                if "scope" in words
                else "The token's account needs the role Developer in the project, and the scope `api`."
            )
        return RefusedError(
            f"GitLab refused with {status} ({what}){quoted}.", status=status, said=words, advice=advice
        )

    def _wait(self, headers: Mapping[str, str]) -> float:
        after, reset = headers.get("Retry-After", ""), headers.get("RateLimit-Reset", "")
        if after.isascii() and after.isdigit() and len(after) < 10:
            return min(max(1.0, float(after)), _LONGEST_WAIT)
        if reset.isascii() and reset.isdigit() and len(reset) < 16:
            return min(max(1.0, float(reset) - self.now()), _LONGEST_WAIT)
        return _WAIT

    def _shown(self, said: str) -> str:
        return visible(said.replace(self._token, "..."), 300)


def _paced(wait: float) -> TransientError:
    return TransientError(
        "As much was written as GitLab lets one account write in so short a time: the rest follows.",
        retry_after=wait,
    )


class _UnauthorizedError(ForgeError):
    """The token is not accepted."""


def _said(error: GitlabError) -> str:
    """Return a server's own words about a refusal, bounded."""
    body = error.response_body or b""
    try:
        parsed = json.loads(body[:20_000])
    except (ValueError, RecursionError):
        return body[:2_000].decode("utf-8", "replace")
    found = [below(parsed, key) for key in ("message", "error", "error_description")]
    return " ".join(one if isinstance(one, str) else json.dumps(one) for one in found if one)[:2_000]


def _next(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters that lead to the next page, none at the end (RFC 8288, GitLab's REST API)."""
    for link in requests.utils.parse_header_links(headers.get("Link", "")[:20_000]):
        if link.get("rel") == "next":
            try:
                query = urlsplit(link.get("url", "")).query
                return {name: value for name, value in parse_qsl(query, max_num_fields=100) if name in _PAGED}
            except ValueError:
                return {}
    following = headers.get("X-Next-Page", "")
    return {"page": following} if following.isascii() and following.isdigit() else {}


def is_loopback(url: str) -> bool:
    """Return whether a server's address is this machine's own."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _base(url: str) -> str:
    """Return a server's base address without a slash at its end; raises `ConfigurationError`."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        usable = False
    if not usable or parts.username is not None or parts.query or parts.fragment or not url.isprintable():
        raise ConfigurationError(
            "this is no address of a server",
            key="MOORLINE_GITLAB_URL",
            expected="https://gitlab.example.com, without user, query or fragment",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
