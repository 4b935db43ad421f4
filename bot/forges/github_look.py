"""Where repositories, branches and requests are on GitHub now: by one query, or by REST where it must be."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bot.errors import ForgeError, MissingError, MovedError
from bot.forges.base import ChangedFile, Request, RequestState, Standing
from bot.forges.github_client import (
    Client,
    NoGraphQLError,
    QueryError,
    RefusedError,
    repository_path,
)
from bot.forges.github_threads import THREADS, Told, following, threads
from bot.forges.github_transport import clean
from bot.model import Repository
from bot.reference import is_commit

_REQUEST_REF = re.compile(r"refs/pull/([1-9][0-9]{0,9})/head")
_REPOSITORY = (
    "id databaseId nameWithOwner isArchived isDisabled isEmpty isFork isPrivate"
    " defaultBranchRef { name target { oid } }"
)
_REQUEST = (
    "number url state isCrossRepository headRefName baseRefName headRefOid title body"
    " author { __typename login ... on Bot { databaseId } } mergedBy { login }"
    " timelineItems(last: 1, itemTypes: [CLOSED_EVENT]) { nodes { ... on ClosedEvent { actor { login } } } }"
)
_PROPOSED = (
    f"pullRequest(number: $number) {{ {_REQUEST} baseRefOid baseRef {{ target {{ oid }} }}"
    " commits(first: 100) { totalCount nodes { commit { oid parents(first: 10) { totalCount nodes { oid } } } } }"
    " files(first: 100) { totalCount nodes { path changeType } } %s }"
)
_WITH_THREADS, _ALONE = _PROPOSED % THREADS, _PROPOSED % ""
_TOLD = frozenset({"ADDED", "DELETED", "MODIFIED", "CHANGED"})
"""Of the others the name before is not told."""
_ALL = 10**9
_LATEST = 20
"""Requests of one branch among which the newest of ours is looked for."""
_MOST_KEPT = 5_000
_MOST_PAGES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was last seen of a repository."""

    node: str
    """Its id in GraphQL; empty where REST alone told us."""
    default_branch: str


class Seen:
    """What was last seen of repositories, for all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Known] = OrderedDict()

    def get(self, repository: str) -> Known | None:
        with self._lock:
            return self._known.get(repository.lower())

    def put(self, repository: str, known: Known) -> None:
        with self._lock:
            self._known[repository.lower()] = known
            self._known.move_to_end(repository.lower())
            if len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)


class Look:
    """Looks at one repository with one client."""

    def __init__(
        self, client: Client, repository: str, seen: Seen, is_ours: Callable[[object], bool], told: Told
    ) -> None:
        """`is_ours` tells whether an author is our own account; `told` keeps what was told along."""
        self._client = client
        self._repository = repository
        self._seen = seen
        self._is_ours = is_ours
        self._told = told

    def repository(self) -> Repository:
        """Return what GitHub says of it; raises `MissingError` or `MovedError`."""
        place = self._asked("", {}, "")
        if place is None:
            return self._by_rest()
        return _repository(place)

    def head(self, ref: str) -> tuple[str, str]:
        """Return a branch's short name, or a request's ref, and its commit."""
        number = _REQUEST_REF.fullmatch(ref)
        if number:
            return ref, self._proposed(int(number[1]))
        name = ref.removeprefix("refs/heads/")
        place = None
        if name:
            place = self._asked(
                "$ref: String!",
                {"ref": f"refs/heads/{name}"},
                "ref(qualifiedName: $ref) { name target { oid } }",
            )
        else:
            place = self._asked("", {}, "")
        if place is None:
            name = name or self._by_rest().default_branch
            return name, self._required(self.branch(name) if name else None, name)
        found = place.get("ref") if name else place.get("defaultBranchRef")
        if not name and isinstance(found, dict):
            name = str(found.get("name") or "")
        return name, self._required(_oid(found), name)

    def branch(self, name: str) -> str | None:
        """Return the commit of a branch by REST, which is as fresh as can be; None where it does not exist."""
        path = repository_path(self._repository, "git", "ref", "heads", name)
        try:
            said = self._client.get(path).json()
        except MissingError:
            return None
        except RefusedError as error:
            if error.status == 409:  # so it answers of an empty repository
                return None
            raise
        # An old server answers with every ref that begins so.
        found = (
            said.get("object") if isinstance(said, dict) and said.get("ref") == f"refs/heads/{name}" else None
        )
        sha = found.get("sha") if isinstance(found, dict) else None
        return sha if isinstance(sha, str) and is_commit(sha) else None

    def branches(self) -> Iterator[tuple[str, str]]:
        """Yield the name and commit of every branch, a hundred by each request."""
        fields = (
            'refs(refPrefix: "refs/heads/", first: 100, after: $after)'
            " { nodes { name target { oid } } pageInfo { hasNextPage endCursor } }"
        )
        after: str | None = None
        for _ in range(_MOST_PAGES):
            place = self._asked("$after: String", {"after": after}, fields)
            if place is None:
                yield from self._branches_by_rest()
                return
            page = place.get("refs")
            found = page if isinstance(page, dict) else {}
            nodes = found.get("nodes")
            for one in nodes if isinstance(nodes, list) else ():
                commit = _oid(one)
                if commit is not None and isinstance(one.get("name"), str):
                    yield one["name"], commit
            more = found.get("pageInfo")
            after = (
                more.get("endCursor") if isinstance(more, dict) and more.get("hasNextPage") is True else None
            )
            if not isinstance(after, str):
                return

    def _branches_by_rest(self) -> Iterator[tuple[str, str]]:
        for one in self._client.pages(repository_path(self._repository, "branches"), most=_MOST_PAGES):
            if not isinstance(one, dict) or not isinstance(one.get("name"), str):
                continue
            commit = one.get("commit")
            sha = commit.get("sha") if isinstance(commit, dict) else None
            if isinstance(sha, str) and is_commit(sha):
                yield one["name"], sha

    def standing(self, base: str, branch: str) -> tuple[Standing, bool]:
        """Return where a base and a branch of ours are, the newest request of ours between them, and whether
        there can be rules at all: most repositories have none, and need not be asked for them.
        """
        try:
            place = self._asked(*_standing(base, branch, rulesets=self._client.rulesets_told))
        except QueryError as error:
            if "rulesets" not in error.message or not self._client.rulesets_told:
                raise
            self._client.rulesets_told = False
            place = self._asked(*_standing(base, branch, rulesets=False))
        if place is None:
            require_writable(self._by_rest())
            request = self.request_of(base, branch)
            return Standing(base=self.branch(base), branch=self.branch(branch), request=request), True
        _writable(place.get("isArchived") is True, place.get("isDisabled") is True, self._repository)
        requests = place.get("pullRequests")
        nodes = requests.get("nodes") if isinstance(requests, dict) else None
        found = [
            _queried(one)
            for one in (nodes if isinstance(nodes, list) else ())
            if isinstance(one, dict) and self._is_ours(one.get("author"))
        ]
        request = next(
            (one for one in found if not one.fork and (one.branch, one.base) == (branch, base)), None
        )
        rulesets = place.get("rulesets")
        ruled = not isinstance(rulesets, dict) or rulesets.get("totalCount") != 0
        return Standing(
            base=_oid(place.get("base")), branch=_oid(place.get("branch")), request=request
        ), ruled

    def request_of(self, base: str, branch: str, state: str = "all") -> Request | None:
        """Return the newest request of our own between two branches, by REST."""
        owner = self._repository.partition("/")[0]
        path = repository_path(self._repository, "pulls")
        said = self._client.get(
            path,
            head=f"{owner}:{branch}",
            base=base,
            state=state,
            sort="created",
            direction="desc",
            per_page=_LATEST,
        ).json()
        made = [self.told(one) for one in said if isinstance(one, dict)] if isinstance(said, list) else []
        return next(
            (one for one in made if one.ours and not one.fork and (one.branch, one.base) == (branch, base)),
            None,
        )

    def proposed(self, number: int) -> Request:
        """Return a request with all that a query can tell of it at once; raises `MissingError`."""
        asked = "$number: Int!, $after: String", {"number": number, "after": None}
        try:
            place = self._asked(*asked, _WITH_THREADS)
        except QueryError:
            try:
                place = self._asked("$number: Int!", {"number": number}, _ALONE)
            except QueryError:
                place = None  # an older server knows less
        found = place.get("pullRequest") if place is not None else None
        if not isinstance(found, dict):
            return self.request(number)
        told = replace(_queried(found), ours=self._is_ours(found.get("author")))
        talk = found.get("reviewThreads")
        if isinstance(talk, dict) and following(talk) is None:
            self._told.put(self._repository, number, told.head, tuple(threads(talk, self._is_ours)))
        onto = _oid(found.get("baseRef"))
        # What it holds is counted from where its base was when somebody last pushed to it.
        if onto is None or onto != found.get("baseRefOid"):
            return told
        return replace(told, onto=onto, since=_branched_off(found), changed=_changed(found))

    def request(self, number: int) -> Request:
        """Return a request by REST; raises `MissingError`."""
        return self.told(self._client.get(repository_path(self._repository, "pulls", str(number))).json())

    def told(self, said: object) -> Request:
        """Return a request of REST's JSON; raises `ForgeError` where it is none."""
        try:
            return _rest_request(said, self._is_ours)
        except (AttributeError, KeyError, TypeError, ValueError):  # another shape than any request has
            raise ForgeError("GitHub's answer is no pull request.") from None

    def _proposed(self, number: int) -> str:
        place = self._asked(
            "$number: Int!", {"number": number}, "pullRequest(number: $number) { headRefOid }"
        )
        if place is None:
            return self.request(number).head
        found = place.get("pullRequest")
        oid = found.get("headRefOid") if isinstance(found, dict) else None
        if not isinstance(oid, str) or not is_commit(oid):
            raise MissingError(f"There is no pull request {number}.")
        return oid

    def _asked(self, types: str, variables: Mapping[str, Any], fields: str) -> Mapping[str, Any] | None:
        """Return the answer to a query about the repository; None where only REST is served."""
        if not self._client.graphql_served:
            return None
        owner, _, name = self._repository.partition("/")
        repository_path(self._repository)
        types = f"$owner: String!, $name: String!, {types}".rstrip(", ")
        text = f"query({types}) {{ repository(owner: $owner, name: $name) {{ {_REPOSITORY} {fields} }} }}"
        try:
            place = self._client.query(text, {"owner": owner, "name": name, **variables}).get("repository")
        except NoGraphQLError:
            return None
        if not isinstance(place, dict):
            raise _unknown(self._repository)
        self._note(str(place.get("nameWithOwner") or ""), place)
        return place

    def _note(self, name: str, place: Mapping[str, Any]) -> None:
        if name.count("/") != 1:
            raise ForgeError("GitHub's answer is no repository.")
        if name.lower() != self._repository.lower():
            raise MovedError(f"{clean(self._repository)} is {clean(name)} by now.", name=name)
        default = place.get("defaultBranchRef")
        branch = default.get("name") if isinstance(default, dict) else ""
        node = place.get("id")
        self._seen.put(
            self._repository,
            Known(node=node if isinstance(node, str) else "", default_branch=str(branch or "")),
        )

    def _by_rest(self) -> Repository:
        said = self._client.get(repository_path(self._repository)).json()
        made = rest_repository(said)
        if made is None:
            raise ForgeError("GitHub's answer is no repository.")
        if made.name.lower() != self._repository.lower():
            raise MovedError(f"{clean(self._repository)} is {clean(made.name)} by now.", name=made.name)
        node = said.get("node_id")
        self._seen.put(
            self._repository,
            Known(node=node if isinstance(node, str) else "", default_branch=made.default_branch),
        )
        return made

    def _required(self, commit: str | None, name: str) -> str:
        if commit is None:
            what = (
                f"There is no branch {clean(name)!a}"
                if name
                else f"{clean(self._repository)} has no commit yet"
            )
            raise MissingError(f"{what}.")
        return commit


def _branched_off(said: Mapping[str, Any]) -> str:
    """Return the one commit that all commits of a request stand on; empty where it is not that simple."""
    connection = said.get("commits")
    nodes = connection.get("nodes") if isinstance(connection, dict) else None
    if not isinstance(connection, dict) or not isinstance(nodes, list) or not nodes:
        return ""
    parents: dict[str, list[str]] = {}
    for one in nodes:
        commit = one.get("commit") if isinstance(one, dict) else None
        oid, found = (commit.get("oid"), commit.get("parents")) if isinstance(commit, dict) else (None, None)
        inner = found.get("nodes") if isinstance(found, dict) else None
        if not isinstance(oid, str) or not isinstance(found, dict) or not isinstance(inner, list):
            return ""
        above = [each["oid"] for each in inner if isinstance(each, dict) and isinstance(each.get("oid"), str)]
        if len(above) != found.get("totalCount") or not all(map(is_commit, above)):
            return ""
        parents[oid] = above
    if len(parents) != connection.get("totalCount"):
        return ""
    below = {each for above in parents.values() for each in above} - parents.keys()
    return below.pop() if len(below) == 1 else ""


def _changed(said: Mapping[str, Any]) -> tuple[ChangedFile, ...] | None:
    """Return the files of a request; None where not all of them are told, or not under which name they were."""
    connection = said.get("files")
    nodes = connection.get("nodes") if isinstance(connection, dict) else None
    if not isinstance(connection, dict) or not isinstance(nodes, list):
        return None
    found: list[ChangedFile] = []
    for one in nodes:
        path, how = (one.get("path"), one.get("changeType")) if isinstance(one, dict) else (None, None)
        if not isinstance(path, str) or how not in _TOLD:
            return None
        found.append(ChangedFile(path=path, hunks=((1, _ALL),) if how == "ADDED" else ()))
    return tuple(found) if len(found) == connection.get("totalCount") else None


def _standing(base: str, branch: str, *, rulesets: bool) -> tuple[str, dict[str, str], str]:
    """Return types, variables and fields of the one query before a write."""
    fields = (
        "base: ref(qualifiedName: $base) { target { oid } }"
        " branch: ref(qualifiedName: $branch) { target { oid } }"
        f" pullRequests(headRefName: $from, baseRefName: $to, first: {_LATEST},"
        f" orderBy: {{field: CREATED_AT, direction: DESC}}) {{ nodes {{ {_REQUEST} }} }}"
        f"{' rulesets(first: 1) { totalCount }' if rulesets else ''}"
    )
    variables = {
        "base": f"refs/heads/{base}",
        "branch": f"refs/heads/{branch}",
        "from": branch,
        "to": base,
    }
    return "$base: String!, $branch: String!, $from: String!, $to: String!", variables, fields


def require_writable(repository: Repository) -> None:
    """Return where a repository may be written to.  Raises `ForgeError`."""
    _writable(repository.archived, False, repository.name)


def rest_repository(said: object) -> Repository | None:
    """Return a repository of REST's JSON, whose head it does not tell; None where it is none."""
    if (
        not isinstance(said, dict)
        or not isinstance(said.get("full_name"), str)
        or not isinstance(said.get("id"), int)
    ):
        return None
    return Repository(
        name=said["full_name"],
        id=str(said["id"]),
        default_branch=str(said.get("default_branch") or ""),
        head="",
        archived=said.get("archived") is True or said.get("disabled") is True,
        fork=said.get("fork") is True,
        private=said.get("private") is not False,
    )


def _repository(place: Mapping[str, Any]) -> Repository:
    default = place.get("defaultBranchRef")
    name = default.get("name") if isinstance(default, dict) else None
    return Repository(
        name=str(place.get("nameWithOwner")),
        id=str(place.get("databaseId") or ""),
        default_branch=name if isinstance(name, str) else "",
        head=_oid(default) or "",
        archived=place.get("isArchived") is True or place.get("isDisabled") is True,
        fork=place.get("isFork") is True,
        private=place.get("isPrivate") is not False,
    )


def _queried(one: Mapping[str, Any]) -> Request:
    try:
        return Request(
            number=int(one["number"]),
            url=str(one["url"]),
            state=RequestState(str(one["state"]).lower()),
            branch=str(one["headRefName"]),
            base=str(one["baseRefName"]),
            head=str(one["headRefOid"]),
            title=str(one["title"]),
            body=str(one["body"]),
            ours=True,
            fork=one["isCrossRepository"] is not False,
            by=_ended_by(one),
        )
    except (KeyError, TypeError, ValueError):
        raise ForgeError("GitHub's answer is no pull request.") from None


def _ended_by(one: Mapping[str, Any]) -> str:
    """Return the login of who merged or closed a request; empty where it is open, or where that is not told."""
    if one["state"] == "MERGED":
        return _login(one.get("mergedBy"))
    timeline = one.get("timelineItems")
    nodes = timeline.get("nodes") if isinstance(timeline, dict) else None
    last = nodes[-1] if isinstance(nodes, list) and nodes else None
    return _login(last.get("actor")) if one["state"] == "CLOSED" and isinstance(last, dict) else ""


def _login(account: object) -> str:
    login = account.get("login") if isinstance(account, dict) else None
    return login if isinstance(login, str) else ""


def _rest_request(said: Any, is_ours: Callable[[object], bool]) -> Request:
    merged = bool(said.get("merged_at")) or said.get("merged") is True
    head, base = said["head"], said["base"]
    from_, into = head.get("repo"), base.get("repo")
    state = RequestState.MERGED if merged else RequestState(said["state"])
    return Request(
        number=int(said["number"]),
        url=str(said["html_url"]),
        state=state,
        branch=str(head["ref"]),
        base=str(base["ref"]),
        head=str(head["sha"]),
        title=str(said["title"]),
        body=str(said.get("body") or ""),
        ours=is_ours(said.get("user")),
        # A fork that was deleted leaves nothing behind that could be asked.
        fork=not isinstance(from_, dict) or not isinstance(into, dict) or from_.get("id") != into.get("id"),
        by=_login(said.get("merged_by")) if merged else "",  # who closed it is told of issues alone
        files=said.get("changed_files") if isinstance(said.get("changed_files"), int) else None,
    )


def _writable(archived: bool, disabled: bool, name: str) -> None:
    if archived or disabled:
        what = "archived" if archived else "disabled"
        raise ForgeError(f"{clean(name)} is {what}, so that nothing can be written to it.")


def _oid(ref: object) -> str | None:
    target = ref.get("target") if isinstance(ref, dict) else None
    oid = target.get("oid") if isinstance(target, dict) else None
    return oid if isinstance(oid, str) and is_commit(oid) else None


def _unknown(repository: str) -> MissingError:
    return MissingError(
        f"GitHub knows no repository {clean(repository)!a}, or does not show it to us.",
        advice="Check its name, and whether the App is installed for it.",
    )
