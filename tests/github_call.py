"""One request to the GitHub stand-in on its way: who asks, for what, and how an answer is given."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode

from flask import Request, Response
from github_shapes import Json, Shapes
from github_world import GRANTS, Account, Installation, Issue, Pull, Refused, Repository, Token, World

NOT_ACCESSIBLE = "Resource not accessible by integration"
_DOCS = "https://docs.github.com/rest"
Item = TypeVar("Item")


@dataclass(slots=True, kw_only=True)
class Switches:
    """What a test may set on a running stand-in."""

    graphql: int = 200
    """200 where GraphQL is served; 404 or 403 for a server or proxy that refuses it."""
    graphql_objects: int = 500
    """How many objects one GraphQL query may ask for before it times out."""
    tree_entries: int = 100_000
    """How many entries a recursive tree lists before it is truncated."""
    token_format: str = "classic"
    """`classic` (`ghs_` and 36 characters) or `long` (`ghs_APPID_` and a signed part with dots)."""
    limit_status: int = 403
    """The status of an exhausted limit: 403 or 429."""
    drop_unverified: bool = False
    """Whether the server, though it signs, leaves this App's commits unsigned."""
    resolves: bool = True
    """Whether the App may resolve threads."""
    minimizes: bool = True
    """Whether the App may hide comments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks."""

    kind: str
    """`app`, `installation` or `anonymous`."""
    token: Token | None = None

    @property
    def installation(self) -> Installation | None:
        return None if self.token is None else self.token.installation

    def may(self, permission: str, level: str) -> bool:
        """Return whether the token has a permission; metadata may always be read."""
        if self.token is None:
            return False
        if (permission, level) == ("metadata", "read"):
            return True
        return GRANTS.get(self.token.permissions.get(permission, ""), 0) >= GRANTS[level]


class Answer(NamedTuple):
    body: Any
    status: int = 200
    headers: Mapping[str, str] = {}


@dataclass(slots=True, kw_only=True)
class Call:
    world: World
    shapes: Shapes
    switches: Switches
    caller: Caller
    request: Request
    parameters: Mapping[str, str]
    target: Repository | None = None
    changed: list[tuple[str, str, Json]] = field(default_factory=list)
    """What happened: event, action and what its payload is about."""

    @property
    def repository(self) -> Repository:
        """The repository that the request is about."""
        assert self.target is not None
        return self.target

    @property
    def actor(self) -> Account:
        """Who does what is asked."""
        return self.world.app.bot

    @property
    def body(self) -> Json:
        """The request's JSON object; an empty body is an empty object."""
        data = self.request.get_data()
        if not data:
            return {}
        try:
            parsed = json.loads(data)
        except ValueError:
            raise Refused(400, "Problems parsing JSON") from None
        if not isinstance(parsed, dict):
            raise Refused(400, "Body should be a JSON object")
        return parsed

    def accepts(self, kind: str) -> bool:
        """Return whether a media type of GitHub's own is asked for: `raw`, `object`, `sha`, `diff`."""
        accept = self.request.headers.get("Accept", "")
        return any(f"application/vnd.github.{version}{kind}" in accept for version in ("", "v3."))

    def query(self, name: str, default: str = "") -> str:
        return self.request.args.get(name, default)

    def number(self, name: str, default: int) -> int:
        """Return a number of the query, at least one."""
        try:
            return max(1, int(self.query(name, str(default))))
        except ValueError:
            return default

    def page(self, items: Sequence[Item], *, default: int = 30) -> tuple[Sequence[Item], dict[str, str]]:
        """Return the page that is asked for and its Link header, in GitHub's manner."""
        size, page = min(self.number("per_page", default), 100), self.number("page", 1)
        last = max(1, -(-len(items) // size))
        links: dict[str, int] = {}
        if page < last:
            links |= {"next": page + 1, "last": last}
        if page > 1:
            links |= {"prev": min(page - 1, last), "first": 1}
        return items[(page - 1) * size : page * size], self.link(
            {name: {"page": str(number)} for name, number in links.items()}
        )

    def link(self, links: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        """Return a Link header by which query leads where."""
        if not links:
            return {}
        base = self.world.url + self.parameters[""]
        said = [
            f'<{base}?{urlencode({**self.request.args, **query})}>; rel="{name}"'
            for name, query in links.items()
        ]
        return {"Link": ", ".join(said)}

    def issue(self, name: str = "issue_number") -> Issue:
        """Return the issue or pull request that the path names."""
        found = self.repository.issues.get(_whole(self.parameters[name]))
        if found is None:
            raise Refused(404, "Not Found")
        return found

    def pull(self) -> Pull:
        """Return the pull request that the path names."""
        found = self.issue("pull_number")
        if not isinstance(found, Pull):
            raise Refused(404, "Not Found")
        return found

    def identity(self, name: str) -> int:
        """Return a numeric id of the path; what is none is nowhere."""
        return _whole(self.parameters[name])

    def happened(self, event: str, action: str = "", **about: Any) -> None:
        """Note an event that GitHub would tell the App of."""
        self.changed.append((event, action, {"repository": self.repository, **about}))


Handler = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How an operation is answered and who may ask for it."""

    handler: Handler
    permissions: tuple[str, ...] = ()
    """Any of these is enough; none: whoever sees the repository."""
    level: str = "read"
    by_app: bool = False
    """Asked by the App itself, with its JWT."""
    by_anyone: bool = False
    """Asked without any credentials."""


def refusal(refused: Refused) -> Answer:
    """Return a refusal as GitHub words it."""
    body: Json = {"message": refused.message, "documentation_url": _DOCS, "status": str(refused.status)}
    if refused.errors is not None:
        body["errors"] = refused.errors
    return Answer(body, refused.status, refused.headers)


def response(answer: Answer) -> Response:
    """Return an answer as HTTP; bytes and nothing stay what they are."""
    if answer.body is None:
        made = Response(status=answer.status)
        made.headers.pop("Content-Type", None)
    elif isinstance(answer.body, bytes):
        made = Response(answer.body, status=answer.status)
    else:
        made = Response(
            json.dumps(answer.body, separators=(",", ":")),
            status=answer.status,
            content_type="application/json; charset=utf-8",
        )
    for name, value in answer.headers.items():
        made.headers[name] = value
    return made


def _whole(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else 0
