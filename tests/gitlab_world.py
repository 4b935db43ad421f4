"""What the GitLab stand-in knows: users, tokens, groups, projects, merge requests, hooks, and what happened.

Nothing here speaks HTTP.  Everything is guarded by one lock, which whoever reads or writes holds.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import IntEnum
from fnmatch import fnmatchcase
from itertools import count
from typing import Any

from gitlab_git import GitRepository, Person
from moving_lines import followed


class Level(IntEnum):
    """Roles, by GitLab's numbers."""

    NONE = 0
    GUEST = 10
    REPORTER = 20
    DEVELOPER = 30
    MAINTAINER = 40
    OWNER = 50


@dataclass(slots=True, kw_only=True, eq=False)
class User:
    """A person, a service account or the bot of an access token."""

    id: int
    username: str
    name: str
    created: datetime
    bot: bool = False
    admin: bool = False
    state: str = "active"

    @property
    def person(self) -> Person:
        """Who stands in this user's commits."""
        return Person(name=self.name, email=f"{self.username}@example.com")


@dataclass(slots=True, kw_only=True, eq=False)
class Token:
    """An access token."""

    id: int
    name: str
    value: str = field(repr=False)
    user: User
    scopes: frozenset[str]
    expires: date | None
    created: datetime
    revoked: bool = False
    used: int = 0
    """Requests in the minute `minute`."""
    minute: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Group:
    """A group or subgroup, or a user's own namespace."""

    id: int
    path: str
    name: str
    members: dict[int, int] = field(default_factory=dict)
    hooks: dict[int, Hook] = field(default_factory=dict)
    created: datetime
    visibility: str = "private"


@dataclass(slots=True, kw_only=True, eq=False)
class Label:
    """A project's label."""

    id: int
    name: str
    color: str = "#6699cc"
    description: str | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class Note:
    """A comment or a system note."""

    id: int
    author: User
    body: str
    created: datetime
    updated: datetime
    discussion: str
    system: bool = False
    internal: bool = False
    individual: bool = True
    position: Mapping[str, Any] | None = None
    resolved: bool = False
    resolved_by: User | None = None
    emoji: list[tuple[User, str]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True, eq=False)
class Draft:
    """A note that nobody but its author sees yet."""

    id: int
    author: User
    body: str
    position: Mapping[str, Any] | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class MergeRequest:
    """A merge request within one project."""

    id: int
    iid: int
    project: Project
    author: User
    title: str
    description: str
    source_branch: str
    target_branch: str
    sha: str | None
    base_sha: str | None
    start_sha: str | None
    created: datetime
    updated: datetime
    state: str = "opened"
    labels: list[str] = field(default_factory=list)
    assignees: list[User] = field(default_factory=list)
    reviewers: list[User] = field(default_factory=list)
    squash: bool = False
    remove_source: bool | None = None
    notes: list[Note] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    published: int = 0
    """How often drafts were published: one notification each time."""
    closed_by: User | None = None
    closed: datetime | None = None
    merged_by: User | None = None
    merged: datetime | None = None
    merge_commit: str | None = None
    approved_by: list[User] = field(default_factory=list)
    prepared: bool = True
    """Whether GitLab has looked at it: before, there is no diff and no merge status."""
    sent: Mapping[str, Any] = field(default_factory=dict)
    """The body that it was created with."""

    @property
    def draft(self) -> bool:
        """Whether the title says that it is a draft."""
        return is_draft(self.title)


@dataclass(slots=True, kw_only=True, eq=False)
class Status:
    """One status of a commit."""

    id: int
    sha: str
    ref: str
    name: str
    state: str
    author: User
    created: datetime
    description: str | None
    target_url: str | None
    pipeline: int


@dataclass(slots=True, kw_only=True, eq=False)
class Happening:
    """Something that hooks are told of, not yet delivered."""

    kind: str
    project: Project
    user: User
    more: Mapping[str, Any]
    at: datetime
    event: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(slots=True, kw_only=True, eq=False)
class HookEvent:
    """One delivery in a hook's log."""

    id: int
    trigger: str
    headers: Mapping[str, str]
    body: bytes
    status: str
    """What the receiver answered, or `internal error`."""
    answer: str
    at: datetime


@dataclass(slots=True, kw_only=True, eq=False)
class Hook:
    """A project's, a group's or the system's hook."""

    id: int
    url: str
    kind: str
    """`project`, `group` or `system`."""
    owner: int
    """The id of the project or group; 0 for the system."""
    token: str | None = field(default=None, repr=False)
    signing_token: str | None = field(default=None, repr=False)
    settings: dict[str, Any] = field(default_factory=dict)
    created: datetime
    failures: int = 0
    disabled_until: datetime | None = None
    disabled: bool = False
    events: list[HookEvent] = field(default_factory=list)
    resent: dict[int, list[datetime]] = field(default_factory=dict)
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))

    def status(self, now: datetime) -> str:
        """Return `alert_status`."""
        if self.disabled:
            return "disabled"
        waiting = self.disabled_until is not None and self.disabled_until > now
        return "temporarily_disabled" if waiting else "executable"


@dataclass(slots=True, kw_only=True, eq=False)
class Protection:
    """A protected branch or wildcard; who has the level may push or merge."""

    id: int
    name: str
    push: int = Level.MAINTAINER
    merge: int = Level.MAINTAINER
    force: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class Project:
    """A project with its repository."""

    id: int
    path: str
    """With its namespace."""
    name: str
    repository: GitRepository = field(repr=False)
    visibility: str
    default_branch: str
    created: datetime
    active: datetime
    creator: User
    archived: bool = False
    merge_requests_enabled: bool = True
    members: dict[int, int] = field(default_factory=dict)
    merge_requests: dict[int, MergeRequest] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    hooks: dict[int, Hook] = field(default_factory=dict)
    statuses: list[Status] = field(default_factory=list)
    protections: dict[str, Protection] = field(default_factory=dict)
    push_rule: dict[str, Any] = field(default_factory=dict)
    forked_from: Project | None = None
    ci_config_path: str | None = None
    remove_source_after_merge: bool = True

    @property
    def namespace(self) -> str:
        """The path of its group."""
        return self.path.rpartition("/")[0]

    @property
    def slug(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    @property
    def empty(self) -> bool:
        """Whether there is no branch at all."""
        return not self.repository.branches()

    def protection(self, branch: str) -> Protection | None:
        """Return the protection of a branch, if it has one."""
        return next((one for name, one in self.protections.items() if fnmatchcase(branch, name)), None)


@dataclass(slots=True, kw_only=True, eq=False)
class Executed:
    """A quick action that GitLab carried out because a text held it."""

    project: str
    merge_request: int
    where: str
    """`note` or `description`."""
    command: str
    argument: str
    user: str


@dataclass(slots=True, eq=False)
class World:
    """Everything."""

    url: str = ""
    version: str = "19.5.0-ee"
    licensed: bool = True
    """Premium: group hooks, push rules, more than one reviewer or assignee."""
    signing_tokens: bool = True
    """Whether hooks know signing tokens; where they do not, the attribute is silently ignored."""
    hooks_disable: bool = True
    """Whether failing hooks disable themselves; off by default on self-managed instances."""
    draft_notes: bool = True
    """Whether merge requests have draft notes."""
    prepares_at_once: bool = True
    """Whether a new merge request is ready in the very answer; else only in later ones."""
    log_bytes: int = 25 * 1024 * 1024
    """What a hook's log keeps of a body: of a larger one only that it was too large."""
    limit: int = 2_000
    """Requests a minute, by the headers of every answer."""
    limited: bool = False
    """Whether requests beyond the limit are answered 429."""
    graphql_status: int = 200
    """Anything else, and the GraphQL endpoint answers that and nothing more."""
    graphql_blobs: int = 100
    """How many blobs one query may ask for before it is too complex."""
    graphql_projects: int = 100
    """How many projects one query may ask the heads of before it is too complex."""
    graphql_bytes: int = 20 * 1024 * 1024
    """How much data one query may ask for."""
    lint: Callable[[Project, str], Mapping[str, Any]] | Mapping[str, Any] | None = None
    """What the CI lint answers: an answer, or a function of the project and the text."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    send: Callable[[str, Mapping[str, str], bytes], tuple[int | None, str]] = lambda *_: (None, "")
    """Sends a delivery to a URL; returns the status and what was said."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    ids: Iterator[int] = field(default_factory=lambda: count(101))
    users: dict[int, User] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    projects: dict[int, Project] = field(default_factory=dict)
    moved: dict[str, int] = field(default_factory=dict)
    """Former paths."""
    system_hooks: dict[int, Hook] = field(default_factory=dict)
    executed: list[Executed] = field(default_factory=list)
    happened: list[Happening] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    """Requests and answers that break the contract."""

    def by_path(self, path: str) -> Project | None:
        """Return the project that is at a path now, letters' case aside."""
        wanted = path.lower()
        return next((one for one in self.projects.values() if one.path.lower() == wanted), None)

    def level(self, user: User | None, project: Project) -> int:
        """Return the highest role that a user has in a project, through its groups too."""
        if user is None:
            return Level.NONE
        found = [project.members.get(user.id, 0)]
        namespace = project.namespace
        while namespace:
            if namespace in self.groups:
                found.append(self.groups[namespace].members.get(user.id, 0))
            namespace = namespace.rpartition("/")[0]
        return max(found)

    def group_level(self, user: User | None, group: Group) -> int:
        """Return the highest role that a user has in a group, through those above it too."""
        if user is None:
            return Level.NONE
        parts = group.path.split("/")
        above = [self.groups.get("/".join(parts[:end])) for end in range(1, len(parts) + 1)]
        return max(one.members.get(user.id, 0) for one in above if one is not None)

    def sees(self, user: User | None, project: Project) -> bool:
        """Return whether the project exists for a user."""
        if project.visibility == "public" or (user is not None and user.admin):
            return True
        if user is not None and project.visibility == "internal":
            return True
        return self.level(user, project) >= Level.GUEST

    def reads_code(self, user: User | None, project: Project) -> bool:
        """Return whether a user may read the repository."""
        if project.visibility == "private" and not (user is not None and user.admin):
            return self.level(user, project) >= Level.REPORTER
        return self.sees(user, project)

    def pushes(self, user: User, project: Project, branch: str) -> bool:
        """Return whether a user may move a branch, protection included."""
        level = Level.OWNER if user.admin else self.level(user, project)
        held = project.protection(branch)
        return level >= (Level.DEVELOPER if held is None else held.push)

    def happen(self, kind: str, project: Project, user: User, **more: Any) -> None:
        """Note something that hooks are told of."""
        self.happened.append(Happening(kind=kind, project=project, user=user, more=more, at=self.clock()))

    def moved_branch(
        self, project: Project, user: User, branch: str, before: str | None, after: str | None
    ) -> None:
        """Do what a push does besides moving the branch: merge requests follow, hooks hear of it."""
        self.moved_branches(project, user, {branch: (before, after)})

    def moved_branches(
        self, project: Project, user: User, moves: Mapping[str, tuple[str | None, str | None]]
    ) -> None:
        """Do the same for one push of several branches: with more than three of them no push is told of."""
        project.active = self.clock()
        changes = [(f"refs/heads/{name}", *move) for name, move in moves.items()]
        self.happen("repository_update", project, user, changes=changes)
        for branch, (before, after) in moves.items():
            if len(moves) <= 3:
                self.happen("push", project, user, branch=branch, before=before, after=after)
            self._follow(project, user, branch, before, after)

    def _follow(
        self, project: Project, user: User, branch: str, before: str | None, after: str | None
    ) -> None:
        for one in project.merge_requests.values():
            if one.state != "opened":
                continue
            if one.source_branch == branch and after is not None:
                was, one.sha = one.sha, after
                refresh(one)
                follow(one, was)
                one.updated = self.clock()
                self.happen("merge_request", project, user, merge_request=one, action="update", oldrev=before)
            elif one.target_branch == branch and after is not None and one.sha is not None:
                merged = project.repository.reaches(one.sha, after)
                if merged:
                    self.set_merged(one, user, after)

    def set_merged(self, one: MergeRequest, user: User, commit: str) -> None:
        """Let a merge request be merged."""
        one.state, one.merged_by, one.merged, one.merge_commit = "merged", user, self.clock(), commit
        one.updated = one.merged
        self.happen("merge_request", one.project, user, merge_request=one, action="merge")

    def set_state(self, one: MergeRequest, user: User, state: str) -> None:
        """Close or reopen a merge request, where that changes anything."""
        if one.state in (state, "merged"):
            return
        one.state, one.updated = state, self.clock()
        closed = state == "closed"
        one.closed_by, one.closed = (user, one.updated) if closed else (None, None)
        self.add_note(one, user, "closed" if closed else "reopened", system=True)
        action = "close" if closed else "reopen"
        self.happen("merge_request", one.project, user, merge_request=one, action=action)

    def add_note(self, one: MergeRequest, user: User, body: str, **more: Any) -> Note:
        """Add a note and return it."""
        now = self.clock()
        more.setdefault("discussion", uuid.uuid4().hex + uuid.uuid4().hex[:8])
        note = Note(id=next(self.ids), author=user, body=body, created=now, updated=now, **more)
        one.notes.append(note)
        return note


def refresh(one: MergeRequest) -> None:
    """Let a merge request know its branches' commits as they are now."""
    repository = one.project.repository
    target = repository.head(one.target_branch)
    if one.sha is not None and target is not None:
        one.start_sha, one.base_sha = target, repository.merge_base(one.sha, target)


def follow(one: MergeRequest, before: str | None) -> None:
    """Let notes stand where their lines are by now.

    One whose line was changed keeps its last place, head and all, and is not looked at any more.
    """
    files = one.project.repository
    for note in one.notes:
        position = note.position
        if position is None or position.get("head_sha") != before or one.sha is None or before is None:
            continue
        old, new = (files.entry(sha, str(position["new_path"])) for sha in (before, one.sha))
        if old is None or new is None:
            continue
        there = followed(files.blob(old.oid) or b"", files.blob(new.oid) or b"").get(position["new_line"])
        if there is not None:
            refs = {"base_sha": one.base_sha, "start_sha": one.start_sha, "head_sha": one.sha}
            note.position = {**position, **refs, "new_line": there}


def is_draft(title: str) -> bool:
    """Return whether a title marks a draft."""
    return re.match(r"\s*(?:\[draft\]|\(draft\)|draft:)", title, re.IGNORECASE) is not None


def iso(at: datetime) -> str:
    """Return a time as GitLab writes it: milliseconds, UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
