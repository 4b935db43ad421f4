"""The part of GitLab's GraphQL that reads repositories: a small strict parser and a schema of our own.

Names and types are those of GitLab's documented schema; anything else is refused in GitLab's words.  Known
traps are kept: at most 100 nodes a page, `size` as text, text that is not UTF-8 changed on its way, missing
paths simply absent, a project that one cannot see is null.  The limit of complexity is a number of blobs set
by the test, since GitLab's own sum is not documented per field.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitlab_git import FOLDER, SUBMODULE, Entry
from gitlab_http import Call, Need, Refusal, Reply, Route, answer
from gitlab_world import Group, MergeRequest, Project, User, World, iso

_TOKEN = re.compile(
    r'[\s,]*(?:#[^\n]*[\s,]*)*(?:(\.\.\.|[!$(){}:=\[\]@|])|([A-Za-z_]\w*)|(-?\d+)|("(?:[^"\\\n]|\\.)*"))'
)
_END = re.compile(r"[\s,]*(?:#[^\n]*[\s,]*)*\Z")
_MAX_PAGE = 100


class QueryError(Exception):
    """A query that GitLab's schema does not know: answered with `errors`, and a violation."""


class LimitError(QueryError):
    """A query that asks for too much: answered with `errors`, and no violation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """One field of a query."""

    name: str
    alias: str
    arguments: Mapping[str, Any]
    inner: Sequence[Selected]


@dataclass(slots=True)
class _Parser:
    tokens: list[str]
    variables: Mapping[str, Any]
    at: int = 0
    declared: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        found = self.peek()
        if not found or (wanted and found != wanted):
            raise QueryError(f"Expected {wanted or 'more'}, actual: {found or 'end of file'!r}")
        self.at += 1
        return found

    def document(self) -> Sequence[Selected]:
        if self.peek() == "query":
            self.take()
            if self.peek() not in ("(", "{"):
                self.take()
            if self.peek() == "(":
                self._declarations()
        elif self.peek() != "{":
            raise QueryError(f"the stand-in answers queries only, not {self.peek()!r}")
        found = self._selection()
        if self.peek():
            raise QueryError("the stand-in takes one operation, and no fragments")
        for name in sorted(self.declared - self.used):
            raise QueryError(f"Variable ${name} is declared by anonymous query but not used")
        return found

    def _declarations(self) -> None:
        self.take("(")
        while self.peek() != ")":
            self.take("$")
            name = self.take()
            self.take(":")
            needed = self._type()
            if self.peek() == "=":
                self.take()
                self._value()
            elif needed and self.variables.get(name) is None:
                raise QueryError(f"Variable ${name} of type was provided invalid value")
            self.declared.add(name)
        self.take(")")

    def _type(self) -> bool:
        if self.peek() == "[":
            self.take()
            self._type()
            self.take("]")
        else:
            self.take()
        needed = self.peek() == "!"
        if needed:
            self.take()
        return needed

    def _selection(self) -> list[Selected]:
        self.take("{")
        found = []
        while self.peek() != "}":
            found.append(self._field())
        self.take("}")
        if not found:
            raise QueryError("a selection must not be empty")
        return found

    def _field(self) -> Selected:
        name = self.take()
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise QueryError(f"Parse error on {name!r}")
        alias = name
        if self.peek() == ":":
            self.take()
            name = self.take()
        arguments: dict[str, Any] = {}
        if self.peek() == "(":
            self.take()
            while self.peek() != ")":
                key = self.take()
                self.take(":")
                arguments[key] = self._value()
            self.take(")")
        inner = self._selection() if self.peek() == "{" else []
        return Selected(name=name, alias=alias, arguments=arguments, inner=inner)

    def _value(self) -> Any:
        token = self.take()
        if token == "$":
            name = self.take()
            if name not in self.declared:
                raise QueryError(f"Variable ${name} is used by anonymous query but not declared")
            self.used.add(name)
            return self.variables.get(name)
        if token == "[":
            found = []
            while self.peek() != "]":
                found.append(self._value())
            self.take("]")
            return found
        if token.startswith('"'):
            return _text(token)
        if re.fullmatch(r"-?\d+", token):
            return int(token)
        return {"true": True, "false": False, "null": None}.get(token, token)


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


def _text(token: str) -> str:
    def plain(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPES.get(code, code)

    return re.sub(r"\\(u[0-9a-fA-F]{4}|.)", plain, token[1:-1])


def parse(text: str, variables: Mapping[str, Any]) -> Sequence[Selected]:
    """Return what a query selects; raises `QueryError`."""
    tokens, at = [], 0
    while not _END.match(text, at):
        match = _TOKEN.match(text, at)
        if match is None:
            raise QueryError(f"Parse error on {text[at : at + 20]!r}")
        tokens.append(next(group for group in match.groups() if group is not None))
        at = match.end()
    return _Parser(tokens, variables).document()


@dataclass(slots=True)
class _Budget:
    world: World
    user: User | None
    blobs: int = 0
    size: int = 0
    heads: int = 0


@dataclass(frozen=True, slots=True)
class _Field:
    """`kind` is another type's name, or empty for a leaf; a dot before it marks a connection."""

    kind: str
    resolve: Callable[[_Budget, Any, Mapping[str, Any]], Any]
    arguments: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Held:
    """A value with the project that it belongs to."""

    project: Project
    value: Any


def _plain(name: str) -> _Field:
    return _Field("", lambda _, held, __: held[name] if isinstance(held, dict) else getattr(held, name))


def _gid(kind: str) -> _Field:
    return _Field("", lambda _, held, __: f"gid://gitlab/{kind}/{held.id}")


def _project(budget: _Budget, _: Any, given: Mapping[str, Any]) -> Project | None:
    found = budget.world.by_path(given["fullPath"])  # a former path leads nowhere here, unlike in REST
    return found if found is not None and budget.world.sees(budget.user, found) else None


def _projects(budget: _Budget, _: Any, given: Mapping[str, Any]) -> list[Project]:
    ids = None if given.get("ids") is None else [str(one).rpartition("/")[2] for one in given["ids"]]
    paths = given.get("fullPaths")
    member = given.get("membership")
    if ids is not None and len(ids) > _MAX_PAGE:
        raise LimitError("Too many IDs: at most 100 are allowed")
    found = [
        one
        for one in budget.world.projects.values()
        if budget.world.sees(budget.user, one)
        and (ids is None or str(one.id) in ids)
        and (paths is None or one.path in paths)
        and (not member or budget.world.level(budget.user, one))
    ]
    return sorted(found, key=lambda one: one.id, reverse=given.get("sort", "id_desc") != "id_asc")


def _group(budget: _Budget, _: Any, given: Mapping[str, Any]) -> Group | None:
    found = budget.world.groups.get(given["fullPath"])
    if found is None or not (budget.world.group_level(budget.user, found) or found.visibility == "public"):
        return None
    return found


def _group_projects(budget: _Budget, held: Group, given: Mapping[str, Any]) -> list[Project]:
    deep = given.get("includeSubgroups")
    return [
        one
        for one in budget.world.projects.values()
        if (one.namespace == held.path or (deep and one.namespace.startswith(f"{held.path}/")))
        and budget.world.sees(budget.user, one)
    ]


def _repository(budget: _Budget, held: Project, _: Any) -> Project | None:
    return held if budget.world.reads_code(budget.user, held) else None


def _complex(asked: int, allowed: int) -> LimitError:
    score = 250 * asked // max(allowed, 1) + 1
    return LimitError(f"Query has complexity of {score}, which exceeds max complexity of 250")


def _blobs(budget: _Budget, held: Project, given: Mapping[str, Any]) -> list[_Held]:
    paths = given["paths"]
    if not isinstance(paths, list):
        raise QueryError(
            "Argument 'paths' on Field 'blobs' has an invalid value. Expected type '[String!]!'."
        )
    budget.blobs += len(paths)
    if budget.blobs > budget.world.graphql_blobs:
        raise _complex(budget.blobs, budget.world.graphql_blobs)
    commit = held.repository.resolve(given.get("ref") or "HEAD")
    if commit is None:
        return []
    found = (held.repository.entry(commit, path) for path in paths)
    return [_Held(held, one) for one in found if one is not None and one.mode not in (FOLDER, SUBMODULE)]


def _data(held: _Held) -> bytes:
    data = held.project.repository.blob(held.value.oid)
    assert data is not None
    return data


def _raw(budget: _Budget, held: _Held, _: Any) -> str:
    data = _data(held)
    budget.size += len(data)
    if budget.size > budget.world.graphql_bytes:
        raise LimitError("The total size of the requested blobs exceeds the maximum of 20 MiB")
    try:
        return data.decode()
    except UnicodeDecodeError:
        # GitLab guesses an encoding and turns the text into UTF-8: these are no longer the file's bytes.
        return data.decode("latin-1")


def _raw_text(budget: _Budget, held: _Held, given: Any) -> str | None:
    return None if b"\0" in _data(held)[:8000] else _raw(budget, held, given)


def _tree(_: _Budget, held: Project, given: Mapping[str, Any]) -> dict[str, Any] | None:
    commit = held.repository.resolve(given.get("ref") or "HEAD")
    if commit is None:
        return None
    rows = held.repository.walk(commit, given.get("path") or "", recursive=bool(given.get("recursive")))
    return {"project": held, "commit": commit, "rows": rows or [], "path": given.get("path") or ""}


def _rows(kind: str) -> Callable[[_Budget, Any, Mapping[str, Any]], list[Entry]]:
    return lambda _, held, __: [row for row in held["rows"] if row.kind == kind]


def _last_commit(budget: _Budget, held: dict[str, Any], _: Any) -> _Held:
    budget.heads += 1
    if budget.heads > budget.world.graphql_projects:
        raise _complex(budget.heads, budget.world.graphql_projects)
    project, commit, path = held["project"], held["commit"], held["path"]
    last = project.repository.last_touching(commit, path) if path else commit
    return _Held(project, last or commit)


def _merge_requests(_: _Budget, held: Project, given: Mapping[str, Any]) -> list[MergeRequest]:
    found = []
    for one in held.merge_requests.values():
        checks = (
            ("iids", str(one.iid)),
            ("sourceBranches", one.source_branch),
            ("targetBranches", one.target_branch),
        )
        if any(given.get(name) is not None and value not in given[name] for name, value in checks):
            continue
        if given.get("state") in (None, "all", one.state) and given.get("authorUsername") in (
            None,
            one.author.username,
        ):
            found.append(one)
    return sorted(found, key=lambda one: one.iid, reverse=True)


def _merge_request(_: _Budget, held: Project, given: Mapping[str, Any]) -> MergeRequest | None:
    return held.merge_requests.get(int(given["iid"]))


def _head_pipeline(_: _Budget, held: MergeRequest, __: Any) -> dict[str, Any] | None:
    found = [one for one in held.project.statuses if (one.sha, one.ref) == (held.sha, held.source_branch)]
    if not found:
        return None
    newest = max(found, key=lambda one: one.pipeline)
    return {"id": f"gid://gitlab/Ci::Pipeline/{newest.pipeline}", "iid": "1", "sha": newest.sha}


def _diff_refs(_: _Budget, held: MergeRequest, __: Any) -> dict[str, Any] | None:
    if not held.prepared:
        return None
    return {"baseSha": held.base_sha, "headSha": held.sha, "startSha": held.start_sha}


def _diff_summary(_: _Budget, held: MergeRequest, __: Any) -> dict[str, Any]:
    assert held.sha is not None
    count = len(held.project.repository.diffs(held.base_sha, held.sha)) if held.prepared else 0
    return {"fileCount": count, "additions": 0, "deletions": 0, "changes": 0}


def _diff_stats(_: _Budget, held: MergeRequest, __: Any) -> list[dict[str, Any]]:
    assert held.sha is not None
    there = held.project.repository.diffs(held.base_sha, held.sha) if held.prepared else []
    return [{"path": one["new_path"], "additions": 0, "deletions": 0} for one in there]


def _commit_of(name: str) -> _Field:
    def read(_: _Budget, held: _Held, __: Any) -> Any:
        info = held.project.repository.info(held.value)
        message = info.message.decode("utf-8", "replace")
        return {
            "sha": held.value,
            "shortId": held.value[:8],
            "message": message,
            "title": message.split("\n", 1)[0],
            "authorName": info.author.decode("utf-8", "replace").rpartition(" <")[0],
        }[name]

    return _Field("", read)


def _text_of(read: Callable[[Any], Any]) -> _Field:
    return _Field("", lambda _, held, __: read(held))


_PAGE = {"first": "Int", "after": "String"}
_SCHEMA: dict[str, dict[str, _Field]] = {
    "Query": {
        "project": _Field("Project", _project, {"fullPath": "ID!"}),
        "projects": _Field(
            ".Project",
            _projects,
            {
                "ids": "[ID!]",
                "fullPaths": "[String!]",
                "membership": "Boolean",
                "sort": "String",
                **_PAGE,
            },
        ),
        "group": _Field("Group", _group, {"fullPath": "ID!"}),
        "currentUser": _Field("UserCore", lambda budget, _, __: budget.user),
        "metadata": _Field("Metadata", lambda budget, _, __: budget.world),
        "queryComplexity": _Field("QueryComplexity", lambda budget, _, __: budget),
    },
    "QueryComplexity": {
        "score": _text_of(lambda held: held.blobs + 1),
        "limit": _text_of(lambda _: 250),
    },
    "Metadata": {"version": _plain("version"), "revision": _text_of(lambda _: "0123abcd")},
    "UserCore": {"id": _gid("User"), "username": _plain("username"), "name": _plain("name")},
    "Group": {
        "id": _gid("Group"),
        "name": _plain("name"),
        "fullPath": _plain("path"),
        "projects": _Field(".Project", _group_projects, {"includeSubgroups": "Boolean", **_PAGE}),
    },
    "Project": {
        "id": _gid("Project"),
        "name": _plain("name"),
        "path": _plain("slug"),
        "fullPath": _plain("path"),
        "archived": _plain("archived"),
        "visibility": _plain("visibility"),
        "webUrl": _Field("", lambda budget, held, _: f"{budget.world.url}/{held.path}"),
        "lastActivityAt": _text_of(lambda held: iso(held.active)),
        "mergeRequestsEnabled": _plain("merge_requests_enabled"),
        "repository": _Field("Repository", _repository),
        "mergeRequest": _Field("MergeRequest", _merge_request, {"iid": "String!"}),
        "mergeRequests": _Field(
            ".MergeRequest",
            _merge_requests,
            {
                "iids": "[String!]",
                "sourceBranches": "[String!]",
                "targetBranches": "[String!]",
                "state": "MergeRequestState",
                "authorUsername": "String",
                **_PAGE,
            },
        ),
    },
    "MergeRequest": {
        "id": _gid("MergeRequest"),
        "iid": _text_of(lambda held: str(held.iid)),
        "title": _plain("title"),
        "description": _plain("description"),
        "state": _plain("state"),
        "draft": _plain("draft"),
        "sourceBranch": _plain("source_branch"),
        "targetBranch": _plain("target_branch"),
        "diffHeadSha": _plain("sha"),
        "author": _Field("UserCore", lambda _, held, __: held.author),
        "webUrl": _Field(
            "", lambda budget, held, _: f"{budget.world.url}/{held.project.path}/-/merge_requests/{held.iid}"
        ),
        "sourceProjectId": _text_of(lambda held: held.project.id),
        "targetProjectId": _text_of(lambda held: held.project.id),
        "diffRefs": _Field("DiffRefs", _diff_refs),
        "diffStatsSummary": _Field("DiffStatsSummary", _diff_summary),
        "diffStats": _Field("DiffStats", _diff_stats),
        "headPipeline": _Field("Pipeline", _head_pipeline),
    },
    "DiffRefs": {name: _plain(name) for name in ("baseSha", "headSha", "startSha")},
    "DiffStats": {name: _plain(name) for name in ("path", "additions", "deletions")},
    "DiffStatsSummary": {name: _plain(name) for name in ("fileCount", "additions", "deletions", "changes")},
    "Pipeline": {name: _plain(name) for name in ("id", "iid", "sha")},
    "Repository": {
        "rootRef": _text_of(lambda held: None if held.empty else held.default_branch),
        "empty": _plain("empty"),
        "exists": _text_of(lambda _: True),
        "blobs": _Field(
            ".RepositoryBlob", _blobs, {"paths": "[String!]!", "ref": "String", "refType": "RefType", **_PAGE}
        ),
        "tree": _Field(
            "Tree", _tree, {"path": "String", "ref": "String", "recursive": "Boolean", "refType": "RefType"}
        ),
        "branchNames": _Field(
            "",
            lambda _, held, given: [
                name
                for name in held.repository.branches()
                if re.fullmatch(re.escape(given["searchPattern"]).replace(r"\*", ".*"), name)
            ][given["offset"] : given["offset"] + given["limit"]],
            {"searchPattern": "String!", "offset": "Int!", "limit": "Int!"},
        ),
    },
    "RepositoryBlob": {
        "id": _text_of(lambda held: f"gid://gitlab/Blob/{held.value.oid}"),
        "oid": _text_of(lambda held: held.value.oid),
        "name": _text_of(lambda held: held.value.name),
        "path": _text_of(lambda held: held.value.path),
        "mode": _text_of(lambda held: f"{held.value.mode:o}"),
        "size": _text_of(lambda held: str(len(_data(held)))),
        "rawSize": _text_of(lambda held: str(len(_data(held)))),
        "rawBlob": _Field("", _raw),
        "rawTextBlob": _Field("", _raw_text),
    },
    "Tree": {
        "lastCommit": _Field("Commit", _last_commit),
        "blobs": _Field(".TreeEntry", _rows("blob"), _PAGE),
        "trees": _Field(".TreeEntry", _rows("tree"), _PAGE),
        "submodules": _Field(".TreeEntry", _rows("commit"), _PAGE),
    },
    "TreeEntry": {
        "id": _text_of(lambda held: f"gid://gitlab/Gitlab::Git::Tree/{held.oid}"),
        "sha": _plain("oid"),
        "name": _plain("name"),
        "path": _plain("path"),
        "flatPath": _plain("path"),
        "type": _plain("kind"),
        "mode": _text_of(lambda held: f"{held.mode:o}"),
    },
    "Commit": {name: _commit_of(name) for name in ("sha", "shortId", "title", "message", "authorName")},
    "PageInfo": {
        name: _plain(name) for name in ("hasNextPage", "hasPreviousPage", "startCursor", "endCursor")
    },
}


def _object(budget: _Budget, kind: str, held: Any, selected: Sequence[Selected]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in selected:
        if one.name == "__typename":
            found[one.alias] = kind
            continue
        known = _SCHEMA[kind].get(one.name)
        if known is None:
            raise QueryError(f"Field '{one.name}' doesn't exist on type '{kind}'")
        _check_arguments(one, known)
        found[one.alias] = _value(budget, known, known.resolve(budget, held, one.arguments), one)
    return found


def _check_arguments(one: Selected, known: _Field) -> None:
    for name in one.arguments:
        if name not in known.arguments:
            raise QueryError(f"Field '{one.name}' doesn't accept argument '{name}'")
    for name, kind in known.arguments.items():
        if kind.endswith("!") and one.arguments.get(name) is None:
            raise QueryError(f"Field '{one.name}' is missing required arguments: {name}")


def _value(budget: _Budget, known: _Field, value: Any, one: Selected) -> Any:
    if bool(known.kind) != bool(one.inner):
        why = "must have selections" if known.kind else "returns a scalar and can't have selections"
        raise QueryError(f"Field '{one.name}' {why}")
    if not known.kind or value is None:
        return value
    if known.kind.startswith("."):
        return _connection(budget, known.kind[1:], value, one)
    if isinstance(value, list):
        return [_object(budget, known.kind, each, one.inner) for each in value]
    return _object(budget, known.kind, value, one.inner)


def _connection(budget: _Budget, kind: str, rows: Sequence[Any], one: Selected) -> dict[str, Any]:
    after = one.arguments.get("after")
    start = int(base64.b64decode(after)) if after else 0
    first = one.arguments.get("first")
    size = min(_MAX_PAGE if first is None else first, _MAX_PAGE)
    part = rows[start : start + size]
    cursors = [base64.b64encode(str(start + at + 1).encode()).decode() for at in range(len(part))]
    found: dict[str, Any] = {}
    for each in one.inner:
        if each.name == "nodes":
            found[each.alias] = [_object(budget, kind, row, each.inner) for row in part]
        elif each.name == "count":
            found[each.alias] = len(rows)
        elif each.name == "pageInfo":
            page = {
                "hasNextPage": start + len(part) < len(rows),
                "hasPreviousPage": start > 0,
                "startCursor": cursors[0] if cursors else None,
                "endCursor": cursors[-1] if cursors else None,
            }
            found[each.alias] = _object(budget, "PageInfo", page, each.inner)
        else:
            raise QueryError(f"Field '{each.name}' doesn't exist on type '{kind}Connection'")
    return found


def graphql(call: Call) -> Reply:
    """Answer a query: 200 with `data` or `errors`, or whatever the test set."""
    world = call.world
    if world.graphql_status != 200:
        raise Refusal(world.graphql_status, f"{world.graphql_status} GraphQL is not served here")
    budget = _Budget(world, call.anyone)
    try:
        selected = parse(str(call.body.get("query", "")), call.body.get("variables") or {})
        return answer({"data": _object(budget, "Query", None, selected)})
    except QueryError as error:
        if not isinstance(error, LimitError):
            world.violations.append(f"POST /api/graphql: {error}")
        return answer({"errors": [{"message": str(error)}]})


ROUTES = (Route("POST", "/api/graphql", graphql, Need(login=False)),)
