"""How the GitLab stand-in takes a request apart: routes by the raw path, tokens, scopes, roles, pages.

A project's path is one part of the URL (`group%2Fname`), so paths are split before they are decoded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from gitlab_world import Group, Level, Project, Token, User, World

_TRUE = ("true", "1", "t", "yes", "on")
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer."""

    status: int = 200
    body: bytes = b""
    headers: Headers = ()

    def with_headers(self, *more: tuple[str, str]) -> Reply:
        """Return the same with more headers."""
        return Reply(status=self.status, body=self.body, headers=(*self.headers, *more))


class Refusal(Exception):  # noqa: N818  # an answer, not an error of ours
    """Ends a request with an answer."""

    def __init__(
        self, status: int, message: object, *, key: str = "message", reply: Reply | None = None
    ) -> None:
        super().__init__(f"{status} {message}")
        self.reply = answer({key: message}, status) if reply is None else reply


def answer(value: object, status: int = 200, headers: Headers = ()) -> Reply:
    """Return an answer in JSON."""
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return Reply(status=status, body=body, headers=(("Content-Type", "application/json"), *headers))


def missing(what: str) -> Refusal:
    """Return a 404."""
    return Refusal(404, f"404 {what} Not Found")


def forbidden(why: str = "") -> Refusal:
    """Return a 403."""
    return Refusal(403, f"403 Forbidden{' - ' if why else ''}{why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a request needs."""

    level: int = Level.NONE
    """The role in the project or group."""
    code: bool = False
    """Whether it reads the repository."""
    login: bool = True
    """Whether nobody may do it without a token; project reads may where the project is public."""
    admin: bool = False


@dataclass(slots=True, kw_only=True)
class Call:
    """One request on its way through."""

    world: World
    method: str
    template: str
    parts: Mapping[str, str]
    query: Sequence[tuple[str, str]]
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    token: Token | None = None
    _user: User | None = None
    _project: Project | None = None
    _group: Group | None = None

    @property
    def anyone(self) -> User | None:
        """Who asks, if anybody that is known."""
        return self._user

    @property
    def user(self) -> User:
        """Who asks; raises a 401 where nobody is known."""
        if self._user is None:
            raise Refusal(401, "401 Unauthorized")
        return self._user

    @property
    def project(self) -> Project:
        """The project that the path names."""
        assert self._project is not None
        return self._project

    @property
    def group(self) -> Group:
        """The group that the path names."""
        assert self._group is not None
        return self._group

    def asked(self, name: str, default: str = "") -> str:
        """Return a query parameter's last value."""
        return next((value for key, value in reversed(self.query) if key == name), default)

    def flag(self, name: str) -> bool | None:
        """Return a query parameter as a truth value, or None where it is absent."""
        text = self.asked(name)
        return None if not text else text.lower() in _TRUE

    def number(self, name: str, default: int) -> int:
        """Return a query parameter as a number; raises a 400 where it is none."""
        text = self.asked(name) or str(default)
        if not text.isdigit() or not int(text):
            raise Refusal(400, f"{name} is invalid", key="error")
        return int(text)

    @property
    def per_page(self) -> int:
        """How many rows a page has: 20 unless asked for, 100 at most."""
        return min(self.number("per_page", 20), 100)

    def link(self, **changed: str | int | None) -> str:
        """Return this request's URL with other query parameters."""
        values = {**dict(self.query), **{name: value for name, value in changed.items() if value is not None}}
        path = self.template
        for name, value in self.parts.items():
            path = path.replace(f"{{{name}}}", quote(value, safe=""))
        return f"{self.world.url}{path}?{urlencode(values)}"


Handler = Callable[[Call], Reply]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation."""

    method: str
    template: str
    handler: Handler
    need: Need = field(default_factory=Need)


class Router:
    """Finds the route of a raw path."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._by_size: dict[tuple[str, int], list[tuple[tuple[str, ...], Route]]] = {}
        for route in routes:
            parts = tuple(route.template.split("/"))
            self._by_size.setdefault((route.method, len(parts)), []).append((parts, route))
        for found in self._by_size.values():
            found.sort(key=lambda one: sum(part.startswith("{") for part in one[0]))

    def find(self, method: str, raw: str) -> tuple[Route, dict[str, str]] | None:
        """Return the route and its values, decoded."""
        parts = raw.split("/")
        for template, route in self._by_size.get((method, len(parts)), ()):
            values = {}
            for wanted, part in zip(template, parts, strict=True):
                if wanted.startswith("{") and part:
                    values[wanted[1:-1]] = unquote(part)
                elif wanted != part:
                    break
            else:
                return route, values
        return None


def paged(call: Call, rows: Sequence[Any], shape: Callable[[Any], object]) -> Reply:
    """Return one page by number, with GitLab's `X-` and `Link` headers."""
    page, size = call.number("page", 1), call.per_page
    last = max(1, -(-len(rows) // size))
    links = [("first", 1), ("last", last)]
    if page < last:
        links.insert(0, ("next", page + 1))
    if page > 1:
        links.insert(0, ("prev", page - 1))
    headers: Headers = (
        ("Link", ", ".join(f'<{call.link(page=number)}>; rel="{name}"' for name, number in links)),
        ("X-Page", str(page)),
        ("X-Per-Page", str(size)),
        ("X-Prev-Page", str(page - 1) if page > 1 else ""),
        ("X-Next-Page", str(page + 1) if page < last else ""),
    )
    if len(rows) <= 10_000:
        headers += (("X-Total", str(len(rows))), ("X-Total-Pages", str(last)))
    return answer([shape(row) for row in rows[(page - 1) * size : page * size]], 200, headers)


def authenticate(call: Call) -> None:
    """Find out who asks; raises a 401 for a bad token and a 403 for one without the scope."""
    bearer = call.headers.get("authorization", "")
    value = call.headers.get("private-token") or (
        bearer.removeprefix("Bearer ").strip() if bearer.startswith("Bearer ") else ""
    )
    if not value:
        if bearer:
            raise Refusal(401, "401 Unauthorized")
        return
    token = call.world.tokens.get(value)
    if token is None:
        raise Refusal(401, "401 Unauthorized")
    if token.revoked or (token.expires is not None and token.expires <= call.world.clock().date()):
        why = (
            "Token was revoked. You have to re-authorize from the user."
            if token.revoked
            else "Token is expired. You can either do re-authorization or token refresh."
        )
        raise Refusal(401, why, reply=answer({"error": "invalid_token", "error_description": why}, 401))
    if token.user.state != "active":
        raise forbidden("Your account has been blocked.")
    _check_scope(call, token)
    minute = int(call.world.clock().timestamp()) // 60
    token.used = token.used + 1 if token.minute == minute else 1
    token.minute = minute
    call.token, call._user = token, token.user


def _check_scope(call: Call, token: Token) -> None:
    reads = call.method in ("GET", "HEAD") or call.template == "/api/graphql"
    enough = {"api"} | ({"read_api"} if reads else set())
    if call.template == "/api/v4/user":
        enough.add("read_user")
    if call.template == "/api/v4/personal_access_tokens/self" or token.scopes & enough:
        return
    if call.method == "GET" and "/repository/" in call.template and "read_repository" in token.scopes:
        return
    said = {
        "error": "insufficient_scope",
        "error_description": "The request requires higher privileges than provided by the access token.",
        "scope": " ".join(sorted(enough)),
    }
    raise Refusal(403, said, reply=answer(said, 403))


def admit(call: Call, need: Need) -> None:
    """Find the project or group of the path and check the role."""
    if call.template.startswith("/api/v4/projects/{id}"):
        _admit_project(call, need)
    elif call.template.startswith("/api/v4/groups/{id}"):
        _admit_group(call, need)
    elif need.login:
        _ = call.user
    if need.admin and not call.user.admin:
        raise forbidden()


def _admit_project(call: Call, need: Need) -> None:
    world, name = call.world, call.parts["id"]
    project = world.projects.get(int(name)) if name.isdigit() else world.by_path(name)
    moved = project is None and name in world.moved
    if moved:
        project = world.projects.get(world.moved[name])
    if project is None or not world.sees(call.anyone, project):
        raise missing("Project") if call.anyone else Refusal(401, "401 Unauthorized")
    if moved:
        _send_on(call, project)
    call._project = project
    writes = call.method != "GET"
    if writes or need.level > Level.NONE:
        _ = call.user
    admin = call.anyone is not None and call.anyone.admin
    if need.code and not world.reads_code(call.anyone, project):
        raise forbidden()
    if need.level > world.level(call.anyone, project) and not admin:
        raise forbidden()
    if writes and project.archived and "/hooks" not in call.template:
        raise forbidden()


def _send_on(call: Call, project: Project) -> None:
    """Answer for a project that moved: a 301 for reads, a 405 for everything else, as GitLab does."""
    if call.method != "GET":
        raise Refusal(405, "Non GET methods are not allowed for moved projects")
    path = call.template.replace("{id}", str(project.id), 1)
    for part, value in call.parts.items():
        path = path.replace(f"{{{part}}}", quote(value, safe=""))
    url = f"{call.world.url}{path}" + (f"?{urlencode(call.query)}" if call.query else "")
    body = f"This resource has been moved permanently to {url}".encode()
    headers = (("Content-Type", "text/plain"), ("Location", url))
    raise Refusal(301, "moved", reply=Reply(status=301, body=body, headers=headers))


def _admit_group(call: Call, need: Need) -> None:
    world, name = call.world, call.parts["id"]
    found = [one for one in world.groups.values() if (str(one.id) if name.isdigit() else one.path) == name]
    user = call.anyone
    level = world.group_level(user, found[0]) if found else 0
    admin = user is not None and user.admin
    if not found or not (level or admin or found[0].visibility == "public"):
        raise missing("Group")
    if need.level > level and not admin:
        raise forbidden()
    call._group = found[0]


def parse_query(text: str) -> list[tuple[str, str]]:
    """Return a query's pairs."""
    return parse_qsl(text, keep_blank_values=True)


def weak_etag(body: bytes) -> str:
    """Return the tag that Rack makes of a body."""
    return f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'
