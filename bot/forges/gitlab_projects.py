"""Projects: by name to their number, which outlives renames, and all that the token may see."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from bot.errors import ForgeError, MissingError, MovedError
from bot.forges.gitlab_answers import Node, below, commit, flag, node, nodes, number, text
from bot.forges.gitlab_api import Api, NoGraphQLError, QueryError, RedirectedError
from bot.forges.gitlab_kept import Kept
from bot.forges.gitlab_listing import part
from bot.model import Repository

_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,254}(?:/[A-Za-z0-9_.][A-Za-z0-9_.-]{0,254}){1,30}")
_NUMBER = re.compile(r"/api/v4/projects/([0-9]{1,18})(?:[/?#].*)?")
_FRESH = 600.0
"""Seconds for which a name is taken to lead to the same project."""
_PAGE = 100
_HEADS = """
query($ids: [ID!], $first: Int) {
  projects(ids: $ids, first: $first) {
    nodes { id repository { rootRef tree { lastCommit { sha } } } }
  }
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What GitLab says of a project, as far as we need it."""

    id: int
    name: str
    """Its full path."""
    default_branch: str
    """Empty where there is no commit yet, or where we may not read the code."""
    ci_config_path: str
    access: int
    """Our role's number: 30 is Developer, 40 Maintainer; 0 where it is not told."""
    empty: bool
    archived: bool
    fork: bool
    private: bool

    def repository(self, head: str) -> Repository:
        """Return the noun that the rest of Moorline knows."""
        return Repository(
            name=self.name,
            id=str(self.id),
            default_branch=self.default_branch if not self.empty else "",
            head=head,
            archived=self.archived,
            fork=self.fork,
            private=self.private,
        )


class Projects:
    """Looks projects up; names are remembered for some minutes."""

    def __init__(
        self,
        api: Api,
        clock: Callable[[], float],
        owners: frozenset[str],
        identity: Callable[[str], str] = lambda _name: "",
    ) -> None:
        """`identity` tells the id of the project that others last saw under a name, empty for nobody's."""
        self._api = api
        self._identity = identity
        self._owners = frozenset(owner.casefold() for owner in owners)
        self._known: Kept[str, Project] = Kept(20_000, seconds=_FRESH, clock=clock)
        self._graphql = True

    def find(self, name: str) -> Project:
        """Return a project by its full path, as it was some minutes ago at most; raises as `fresh`.

        Another process may know better by now: its path may have passed to another project.
        """
        known = self._known.get(name)
        if known is None or self._identity(name) not in ("", str(known.id)):
            return self.fresh(name)
        return known

    def fresh(self, name: str) -> Project:
        """Return a project by its full path, as it is now.

        Raises `MissingError`, and `MovedError` where it has another name, be it by a letter's case.
        """
        if not _NAME.fullmatch(name) or any(one in (".", "..") for one in name.split("/")):
            raise MissingError(f"{name[:200]!a} is no name of a project.")
        try:
            made = _project(self._api.get(f"/projects/{part(name)}"))
        except RedirectedError as error:
            made = self._led(error)
        if made.name != name:
            raise MovedError(f"{name!a} is {made.name!a} by now.", name=made.name)
        self._known.put(name, made)
        return made

    def _led(self, error: RedirectedError) -> Project:
        """Return the project that a redirect names, asked for at our own address."""
        try:
            target = urlsplit(error.target)
        except ValueError:
            raise error from None
        here = urlsplit(self._api.url)
        elsewhere = target.netloc and (target.scheme, target.netloc) != (here.scheme, here.netloc)
        path = target.path.removeprefix(here.path)
        found = _NUMBER.fullmatch(path)
        if elsewhere:
            raise error
        if found is not None:
            return _project(self._api.get(f"/projects/{found[1]}"))
        named = re.fullmatch(r"/api/v4/projects/([^/?#]{1,4000})", path)
        if named is None or not _NAME.fullmatch(unquote(named[1])):
            raise error
        return _project(self._api.get(f"/projects/{part(unquote(named[1]))}"))

    def all(self, owner: str = "") -> Iterator[Project]:
        """Yield the projects that we are a member of, in pages, by number."""
        for page in self._pages(owner):
            yield from page

    def repositories(self, owner: str = "") -> Iterator[Repository]:
        """Yield them with their heads: one question more for each hundred, or one each without GraphQL."""
        for page in self._pages(owner):
            live = [one for one in page if not one.archived and not one.empty and one.default_branch]
            heads = self._heads(live)
            for one in page:
                yield one.repository(heads.get(one.id, ""))

    def _pages(self, owner: str) -> Iterator[list[Project]]:
        query: Mapping[str, object] | None = {
            "membership": "true",
            "order_by": "id",
            "sort": "asc",
            "pagination": "keyset",
            "per_page": _PAGE,
        }
        seen: set[int] = set()
        while query is not None:
            rows, query = self._api.page("/projects", query)
            page = [made for row in rows if (made := _listed(row)) is not None and made.id not in seen]
            if not page:
                return  # nothing new: a list that leads around in a circle ends here
            seen |= {one.id for one in page}
            for one in page:
                self._known.put(one.name, one)
            yield [one for one in page if self._wanted(one.name, owner)]

    def _wanted(self, name: str, owner: str) -> bool:
        folded = name.casefold()
        mine = not self._owners or any(folded.startswith(f"{one}/") for one in self._owners)
        return mine and (not owner or folded.startswith(f"{owner.casefold()}/"))

    def _heads(self, page: list[Project]) -> dict[int, str]:
        """Return heads of default branches; one that GitLab does not tell is left out."""
        heads: dict[int, str] = {}
        pending = [page] if page else []
        while pending and self._graphql:
            batch = pending.pop()
            try:
                heads |= self._queried(batch)
            except NoGraphQLError:
                self._graphql = False
            except QueryError:
                if len(batch) > 10:
                    half = len(batch) // 2
                    pending += [batch[:half], batch[half:]]
                else:
                    heads |= self._one_by_one(batch)
        return (
            heads if self._graphql else heads | self._one_by_one([one for one in page if one.id not in heads])
        )

    def _queried(self, batch: list[Project]) -> dict[int, str]:
        ids = [f"gid://gitlab/Project/{one.id}" for one in batch]
        data = self._api.graph(_HEADS, {"ids": ids, "first": len(ids)})
        told = {text(row, "id"): row for row in nodes(below(data, "projects", "nodes"))}
        heads: dict[int, str] = {}
        for one, gid in zip(batch, ids, strict=True):
            row = told.get(gid)
            head = commit(row, "repository", "tree", "lastCommit", "sha")
            # Of another branch than the one that was listed: it has just been changed.
            if head is not None and text(row, "repository", "rootRef") == one.default_branch:
                heads[one.id] = head
        return heads

    def _one_by_one(self, batch: list[Project]) -> dict[int, str]:
        heads: dict[int, str] = {}
        for one in batch:
            try:
                answer = self._api.get(f"/projects/{one.id}/repository/branches/{part(one.default_branch)}")
            except MissingError:
                continue
            head = commit(answer, "commit", "id")
            if head is not None:
                heads[one.id] = head
        return heads


def _listed(row: Node) -> Project | None:
    try:
        return _project(row)
    except ForgeError:
        return None


def _project(answer: object) -> Project:
    """Return what an answer says of a project; raises `ForgeError` where it is none."""
    said = node(answer)
    name, identity = text(said, "path_with_namespace"), number(said, "id")
    if identity <= 0 or not _NAME.fullmatch(name):
        raise ForgeError("GitLab's answer names no project.")
    return Project(
        id=identity,
        name=name,
        default_branch=text(said, "default_branch"),
        ci_config_path=text(said, "ci_config_path") or ".gitlab-ci.yml",
        access=max(
            number(said, "permissions", "project_access", "access_level"),
            number(said, "permissions", "group_access", "access_level"),
        ),
        empty=flag(said, "empty_repo"),
        archived=flag(said, "archived"),
        fork=isinstance(said.get("forked_from_project"), dict),
        private=text(said, "visibility") != "public",
    )
