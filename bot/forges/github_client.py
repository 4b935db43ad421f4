"""How GitHub is talked to: what is asked again, what is given up, and what each refusal means.

Reads are repeated a few times on trouble that may pass.  Writes are sent once: whoever wrote looks at what
became of it.  A rate limit ends the run at once with the time to come back at; nobody sleeps for it, and
until then nobody asks with the credential that met it.  A question whose answer REST has as well goes there
where GraphQL's own limit is used up, or GraphQL gives no answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from bot.errors import ForgeError, MissingError, SuspendedError, TransientError
from bot.forges.github_transport import JSON, AmbiguousError, Answer, Transport, clean
from bot.forges.holds import UNTOLD, Holds
from bot.forges.pacing import Pacing, Window

T = TypeVar("T")

_ATTEMPTS = 3
_PAUSES = (0.3, 1.2)
"""Seconds before a read is repeated."""
_PATIENCE = 45.0
"""Seconds after whose passing no read is begun again."""
_LONGEST_WAIT = 2 * 3600.0
_REFUSAL = 3600.0
"""Seconds for which a server that refused GraphQL is asked by REST alone."""
_OUTAGE = 300.0
"""Seconds for which a server whose GraphQL gave no answer is asked by REST alone."""
_RESOURCES = ("core", "graphql")
"""What has an hour's limit of its own: REST and GraphQL."""
_CONTENT = re.compile(r"/repos/[^/]+/[^/]+/(?:pulls|issues)(?:/|$)")
"""What people see and are told of: requests, comments, reviews, labels, reviewers."""
_PROPOSAL = 5
"""Writes of this kind that a proposal takes at most, as a rule."""
_MOST_PAGES = 1000
_NEXT = re.compile(r'<([^<>]{1,2000})>; ?rel="next"')
_PERMISSION = re.compile(
    r"[a-z_]{1,40}=(?:read|write|admin)(?:[;,] ?[a-z_]{1,40}=(?:read|write|admin)){0,20}"
)


class RefusedError(ForgeError):
    """The server understood and said no; nothing was done."""

    def __init__(self, problem: str, *, status: int, message: str = "", advice: str = "") -> None:
        super().__init__(problem, advice=advice)
        self.status = status
        self.message = message
        """What the server said."""


class RedirectedError(ForgeError):
    """The server says that this is elsewhere by now; `path` is where, None for another server."""

    def __init__(self, path: str | None) -> None:
        super().__init__(
            "GitHub says that the repository is elsewhere by now.",
            advice="" if path else "Redirects to other servers are not followed: check MOORLINE_GITHUB_URL.",
        )
        self.path = path


class NoGraphQLError(ForgeError):
    """The server, or a proxy before it, does not serve GraphQL."""


class SpentError(NoGraphQLError):
    """The hour's limit of GraphQL is used up and REST's is not; `retry_after` is in seconds."""

    def __init__(self, retry_after: float | None) -> None:
        super().__init__("GitHub's rate limit for queries is used up.")
        self.retry_after = retry_after


class LimitError(TransientError):
    """A limit keeps us away: what was asked for was not done."""


class QueryError(ForgeError):
    """GraphQL refused a query; `kinds` are the types of its errors."""

    def __init__(self, message: str, kinds: Sequence[str]) -> None:
        super().__init__(f"GitHub refused a query: {message}." if message else "GitHub refused a query.")
        self.message = message
        self.kinds = tuple(kinds)


class Credential(Protocol):
    """Something that opens GitHub's doors."""

    def token(self) -> str:
        """Return a token that is good now."""

    def renew(self, refused: str) -> str:
        """Return another token than the one that was refused."""


@dataclass(slots=True)
class Manners:
    """What is known of a server, for all who talk to it."""

    clock: Callable[[], float]
    """Seconds since 1970."""
    pause: Callable[[float], None] = time.sleep
    windows: Sequence[Window] = ()
    """How fast content may be created with one installation's tokens."""
    graphql_again: float = 0.0
    """When GraphQL may be tried again."""
    rulesets: bool = True
    """Whether GraphQL can say how many rulesets a repository has."""
    skew: float = 0.0
    """Seconds by which our clock is ahead of the server's, as of its last answer."""
    holds: Holds = field(init=False)
    """Until when a credential is not used, by `WHO RESOURCE`."""
    pacing: Pacing = field(init=False)
    """What was created by whom."""

    def __post_init__(self) -> None:
        self.holds = Holds(self.clock)
        self.pacing = Pacing(self.clock, self.windows)

    @property
    def graphql(self) -> bool:
        """Whether GraphQL is worth trying."""
        return self.clock() >= self.graphql_again

    def note(self, answer: Answer) -> None:
        """Compare our clock with the one of an answer."""
        there = served_at(answer)
        if there is not None:
            self.skew = self.clock() - there


class Client:
    """Talks to one server with one credential.

    `who` names what GitHub limits by: all clients of one installation give the same one.
    """

    def __init__(
        self, transport: Transport, credential: Credential, manners: Manners, *, who: str = ""
    ) -> None:
        self.transport = transport
        self._credential = credential
        self._manners = manners
        self._who = who

    @property
    def graphql_offered(self) -> bool:
        """Whether the server answers GraphQL at all, as far as is known, be it that a limit is on."""
        return self._manners.graphql

    @property
    def graphql_served(self) -> bool:
        """Whether GraphQL is worth trying now."""
        return self._manners.graphql and self._manners.holds.left(f"{self._who} graphql") is None

    @property
    def rulesets_told(self) -> bool:
        """Whether GraphQL is worth asking for rulesets, which a server of before them does not know."""
        return self._manners.rulesets

    @rulesets_told.setter
    def rulesets_told(self, told: bool) -> None:
        self._manners.rulesets = told

    def get(self, path: str, *, accept: str = JSON, **parameters: str | int) -> Answer:
        """Return a good answer to a read; raises as `judged` does."""
        return self._patiently(
            lambda: judged(self._send("GET", path, None, parameters, accept), self._manners, self.transport)
        )

    def pages(self, path: str, key: str = "", *, most: int = _MOST_PAGES, status: str = "") -> Iterator[Any]:
        """Yield the items of a list that comes in pages, led on by GitHub's own links.

        `key` names the list within an object.  Stops silently after `most` pages.
        """
        answer = self.get(path, per_page=100, **({"status": status} if status else {}))
        for _ in range(most):
            found = answer.json()
            items = found.get(key) if key and isinstance(found, dict) else found
            yield from items if isinstance(items, list) else ()
            link = _NEXT.search(answer.headers.get("link", ""))
            follow = self.transport.relative(link[1]) if link else None
            if follow is None:
                return
            answer = self.get(follow)

    def write(self, verb: str, path: str, body: Any = None) -> Answer:
        """Return a good answer to a write that is sent once; raises as `judged` does.

        Only where the token was refused is it sent again: then nothing was done.
        """
        return judged(self._send(verb, path, body, {}, JSON), self._manners, self.transport)

    def require_room(self) -> None:
        """Return where there is room for a whole proposal; raises `LimitError` before any of it is written."""
        wait = self._manners.pacing.room(self._who, _PROPOSAL)
        if wait is not None:
            raise _paced(wait)

    def ask_again(self, verb: str, path: str, body: Any = None) -> Answer:
        """Return a good answer to a write that may be repeated, since doing it twice is doing it once."""
        return self._patiently(
            lambda: judged(self._send(verb, path, body, {}, JSON), self._manners, self.transport)
        )

    def query(
        self, text: str, variables: Mapping[str, Any] | None = None, *, patient: bool = True
    ) -> Mapping[str, Any]:
        """Return the data that a query leads to; what is not there is None in it.

        Raises `NoGraphQLError` where GraphQL is not served: not at all, not now, or, as `SpentError`, not before
        a limit is over that leaves REST its own; `QueryError` where the query is refused.
        """

        def once() -> Mapping[str, Any]:
            return self._answered(
                self._send("POST", self.transport.address.graphql, _document(text, variables))
            )

        try:
            return self._patiently(once) if patient else once()
        except LimitError as error:
            if self._manners.holds.left(f"{self._who} core") is not None:
                raise
            raise SpentError(error.retry_after) from None
        except AmbiguousError:
            if not patient:
                raise  # who asks once has asked for much, and asks for less
            self._manners.graphql_again = self._manners.clock() + _OUTAGE
            raise NoGraphQLError("GitHub's GraphQL interface gives no answer.") from None

    def mutate(self, text: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the data of a mutation that is sent once; raises as `query` does, for what is not there, too."""
        answer = self._send("POST", self.transport.address.graphql, _document(text, variables))
        return self._answered(answer, strict=True)

    def _send(
        self,
        verb: str,
        path: str,
        body: Any,
        parameters: Mapping[str, str | int] | None = None,
        accept: str = JSON,
    ) -> Answer:
        resource = "graphql" if path == self.transport.address.graphql else "core"
        left = self._manners.holds.left(f"{self._who} {resource}")
        if left is not None:
            # Whoever goes on asking under a limit may be banned.
            raise LimitError("GitHub's rate limit is used up: nothing was asked.", retry_after=left)
        if verb != "GET" and _CONTENT.match(path):
            wait = self._manners.pacing.take(self._who)
            if wait is not None:
                raise _paced(wait)
        token = self._credential.token()
        answer = self.transport.send(verb, path, token, parameters=parameters, body=body, accept=accept)
        self._manners.note(answer)
        if answer.status == 401:
            token = self._credential.renew(token)
            answer = self.transport.send(verb, path, token, parameters=parameters, body=body, accept=accept)
            self._manners.note(answer)
        if limited(answer, self._manners) is not None:
            raise self._held(answer, resource, answer.message)
        return answer

    def _held(self, answer: Answer, resource: str, said: str) -> LimitError:
        """Return what to raise for a limit, after which nobody asks until it is over.

        An hour's limit is that of REST or of GraphQL alone, a secondary one that of both.
        """
        names = _RESOURCES if _is_secondary(answer, said) else (resource,)
        told = seconds_to_wait(answer, self._manners)
        wait = self._manners.holds.hold([f"{self._who} {name}" for name in names], told)
        what = "rate limit for queries" if resource == "graphql" else "rate limit"
        return LimitError(f"GitHub's {what} is used up.", retry_after=wait if told is None else told)

    def _answered(self, answer: Answer, *, strict: bool = False) -> Mapping[str, Any]:
        if answer.status in (404, 405, 410, 501) or (
            answer.status == 403 and _is_wall(answer, self._manners)
        ):
            self._manners.graphql_again = self._manners.clock() + _REFUSAL
            raise NoGraphQLError("GitHub's GraphQL interface is not served here.")
        found = judged(answer, self._manners, self.transport).json()
        if not isinstance(found, dict):
            raise AmbiguousError("GitHub's answer to a query is none.")
        said = found.get("errors")
        errors = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
        data = found.get("data")
        if _is_limit(errors):
            raise self._held(answer, "graphql", "rate limit: " + " ".join(_texts(errors)))
        if errors:
            _judge_errors(errors)
        if not isinstance(data, dict) or (errors and strict):
            raise QueryError(clean("; ".join(_texts(errors))), _kinds(errors))
        return data

    def _patiently(self, once: Callable[[], T]) -> T:
        began = self._manners.clock()
        for pause in _PAUSES[: _ATTEMPTS - 1]:
            try:
                return once()
            except TransientError as error:
                if error.retry_after is not None or self._manners.clock() - began > _PATIENCE:
                    raise
            self._manners.pause(pause)
        return once()


def _paced(wait: float) -> LimitError:
    return LimitError(
        "As much was written as GitHub lets an App write in so short a time: the rest follows.",
        retry_after=wait,
    )


def repository_path(repository: str, *rest: str) -> str:
    """Return the path of something of a repository, each part escaped but for its slashes.

    Raises `MissingError` for what can be no name, such as one that would lead to another place.
    """
    parts = [*repository.split("/"), *(part for one in rest for part in one.split("/"))]
    try:
        escaped = [quote(part, safe="") for part in parts]
    except UnicodeEncodeError:
        escaped = []
    if repository.count("/") != 1 or not escaped or {"", ".", ".."} & set(parts):
        shown = clean("/".join((repository, *rest)))
        raise MissingError(f"{shown!a} is no name on GitHub: a repository's is `owner/name`.")
    return "/".join(("/repos", *escaped))


def judged(answer: Answer, manners: Manners, transport: Transport) -> Answer:
    """Return a good answer.

    Raises `TransientError` for limits and server trouble, `RedirectedError`, `MissingError`, and
    `ForgeError` with what a person can do for every other refusal.
    """
    status = answer.status
    if status == 202:
        raise AmbiguousError("GitHub is still at it.")
    if 200 <= status < 300:
        return answer
    wait = limited(answer, manners)
    if wait is not None:
        raise TransientError("GitHub's rate limit is used up.", retry_after=wait)
    if status in (301, 302, 303, 307, 308):
        raise RedirectedError(transport.relative(answer.headers.get("location", "")))
    if status >= 500 or status == 408:
        raise AmbiguousError(f"GitHub answered with status {status}.")
    if status in (404, 410):
        raise _missing(answer)
    raise _refusal(answer, manners)


def _missing(answer: Answer) -> ForgeError:
    said = answer.message
    if not said:
        # GitHub says what it does not find.  A proxy's page is no reason to take a repository for gone.
        return AmbiguousError(f"The answer with status {answer.status} is none of GitHub's.")
    if "integration not found" in said.lower():
        return ForgeError(
            "GitHub knows no such App.", advice="Check MOORLINE_GITHUB_APP_ID and MOORLINE_GITHUB_URL."
        )
    return MissingError(
        "GitHub knows no such thing, or shows it to nobody like us.",
        advice="Check the name, and whether the App is installed there.",
    )


def limited(answer: Answer, manners: Manners) -> float | None:
    """Return for how many seconds a limit keeps us away, None where it is no limit that refused."""
    if answer.status not in (403, 429):
        return None
    told = seconds_to_wait(answer, manners)
    if told is not None:
        return told
    if answer.status == 429 or "rate limit" in answer.message.lower():
        return UNTOLD
    return None


def seconds_to_wait(answer: Answer, manners: Manners) -> float | None:
    """Return the time that an answer's headers name, reckoned by the server's own clock."""
    after = _number(answer.headers.get("retry-after", ""))
    if after is not None:
        return min(max(after, 1.0), _LONGEST_WAIT)
    reset = _number(answer.headers.get("x-ratelimit-reset", ""))
    if answer.headers.get("x-ratelimit-remaining", "").strip() == "0" and reset is not None:
        now = served_at(answer)
        return min(max(reset - (manners.clock() if now is None else now), 1.0), _LONGEST_WAIT)
    return None


def served_at(answer: Answer) -> float | None:
    """Return the server's time in seconds since 1970, None where it does not say."""
    try:
        return parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError, IndexError):
        return None


def _is_secondary(answer: Answer, said: str) -> bool:
    """Tell whether a limit is none of an hour's requests."""
    lower = said.lower()
    if "secondary" in lower or "abuse" in lower:
        return True
    return "rate limit" not in lower and answer.headers.get("x-ratelimit-remaining", "").strip() != "0"


def _number(text: str) -> float | None:
    return float(text) if text.isascii() and text.strip().isdigit() and len(text) <= 15 else None


def _document(text: str, variables: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"query": text, "variables": dict(variables or {})}


def _is_wall(answer: Answer, manners: Manners) -> bool:
    """Tell whether a 403 is a proxy's or server's that keeps GraphQL from everybody."""
    said = answer.message.lower()
    ours = ("suspended", "ip allow list", "resource not accessible", "saml", "blocked")
    return limited(answer, manners) is None and not any(word in said for word in ours)


def _texts(errors: Sequence[Mapping[str, Any]]) -> list[str]:
    return [text for one in errors[:5] if isinstance(text := one.get("message"), str)]


def _kinds(errors: Sequence[Mapping[str, Any]]) -> list[str]:
    found = []
    for one in errors:
        extensions = one.get("extensions")
        code = extensions.get("code") if isinstance(extensions, dict) else None
        kind = one.get("type") or code
        found.append(kind if isinstance(kind, str) else "")
    return found


def _is_limit(errors: Sequence[Mapping[str, Any]]) -> bool:
    limits = {"RATE_LIMITED", "RATE_LIMIT"} & set(_kinds(errors))
    return bool(limits) or "rate limit" in clean("; ".join(_texts(errors))).lower()


def _judge_errors(errors: Sequence[Mapping[str, Any]]) -> None:
    """Return where an answer's errors only say that something is not there."""
    kinds, texts = _kinds(errors), _texts(errors)
    text = clean("; ".join(texts))
    lower = text.lower()
    if all(kind == "NOT_FOUND" for kind in kinds):
        return
    if "something went wrong" in lower or "timeout" in lower or "timed out" in lower:
        raise AmbiguousError(f"GitHub could not answer a query: {text}.")
    if any(kind == "FORBIDDEN" for kind in kinds) and "resource not accessible" in lower:
        raise _no_permission("")
    raise QueryError(text, kinds)


def _refusal(answer: Answer, manners: Manners) -> ForgeError:
    said = answer.message
    lower = said.lower()
    shown = f": {said}" if said else ""
    if answer.status == 401:
        away = abs(manners.skew)
        advice = "Check MOORLINE_GITHUB_APP_ID and MOORLINE_GITHUB_PRIVATE_KEY."
        if away > 30:
            advice = f"The clock here is {away:.0f} seconds off GitHub's: set it right."
        return ForgeError(f"GitHub does not accept who we are{shown}.", advice=advice)
    if answer.status == 403:
        if "suspended" in lower:
            return SuspendedError(
                "The App's installation is suspended.",
                advice="An owner of the account can unsuspend it in its settings, or uninstall it.",
            )
        if "workflow" in lower and "permission" in lower:
            return RefusedError(
                "GitHub lets an App change workflows only with a permission for it.",
                status=403,
                message=said,
                advice="Grant the App `workflows: write`, and accept it in the installation.",
            )
        if "archived" in lower:
            return RefusedError(
                "The repository is archived, so that nothing can be written to it.", status=403, message=said
            )
        if "ip allow list" in lower:
            return RefusedError(
                "The account lets only listed addresses in, and ours is none of them.",
                status=403,
                message=said,
                advice="Add this server's address to its IP allow list.",
            )
        if "resource not accessible" in lower:
            return _no_permission(answer.headers.get("x-accepted-github-permissions", ""))
    return RefusedError(
        f"GitHub refused{shown} (status {answer.status}).", status=answer.status, message=said
    )


def _no_permission(needed: str) -> RefusedError:
    found = _PERMISSION.match(needed)
    what = f"one of `{found.group()}`" if found else "the permission for it (`moorline doctor` says which)"
    return RefusedError(
        "The App may not do that here: resource not accessible by integration.",
        status=403,
        message="Resource not accessible by integration",
        advice=f"Grant the App {what}, and accept it in the installation.",
    )
