"""The places that scenarios happen at: what people do and see on `git`, GitHub, Enterprise Server and GitLab.

Each stands in front of the real thing (git repositories on disk) or of a stand-in that holds every request
and answer to a contract, so that a scenario is written once.  What a place cannot do it does not claim to:
`can` says it, and a scenario that needs more is skipped there by name.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from github_git import File
from github_standin import GitHub
from gitlab_git import GitRepository, Person
from gitlab_standin import GitLab, Level, MergeRequest, Project, User
from gitlab_world import refresh

Content = bytes | tuple[int, bytes] | None
"""A file's bytes, its mode with them, or None to take it away."""
Receive = Callable[[str, Mapping[str, str], bytes], int]
"""Gives a delivery to the receiver; returns the status."""

GIT_SECRET = "a secret of the git hook"
GITHUB_SECRET = "a secret of the App's hook"
GITLAB_SIGNING = "whsec_c2l4dGVlbiBieXRlcyBvciBtb3JlIG9mIGEga2V5"
EXECUTABLE, LINK, SUBMODULE = 0o100755, 0o120000, 0o160000


class Can(StrEnum):
    """What not every place can do."""

    REQUESTS = "pull or merge requests"
    REOPEN = "closed requests opened again after their branch was kept"
    COUNTS = "requests that can be counted"
    OWNERS = "an owner's own configuration"
    GROUPS = "groups within groups"
    SIGNS = "commits that the forge signs"
    QUEUE = "merge queues"
    LINT = "a lint of pipeline configuration"
    RULES = "rulesets that can be asked for"
    PROTECTS = "branches by a wildcard that we may not push to"
    GRAPHQL = "GraphQL that can be refused"
    TRUNCATES = "trees that are listed in part"
    TEAMS = "teams as reviewers"
    SQUASH = "requests that say whether to squash"
    INSTALLS = "installations"
    FORKS = "requests from forks (the GitLab stand-in has none)"


HOSTED = frozenset({Can.REQUESTS, Can.REOPEN, Can.COUNTS, Can.OWNERS, Can.GRAPHQL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """A proposal of ours, as people see it."""

    number: int
    """Of its request; 0 where there are none."""
    title: str
    body: str
    branch: str
    base: str
    head: str
    state: str = "open"
    """`open`, `closed` or `merged`."""
    labels: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()
    assignees: tuple[str, ...] = ()
    draft: bool = False
    squash: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What we said of a commit."""

    state: str
    """`success`, `failure`, `neutral`; GitLab says `failed` and knows nothing neutral."""
    text: str
    url: str = ""
    """Where it leads to, if anywhere."""


class Place(ABC):
    """One forge; names are `owner/name`."""

    forge: str
    can: frozenset[Can]
    enterprise = False

    @abstractmethod
    def settings(self) -> dict[str, object]:
        """Return what the service is told of this place, by the names of its settings."""

    @abstractmethod
    def variables(self) -> dict[str, str]:
        """Return the variables of the look-ups that lead here."""

    @abstractmethod
    def identity(self, name: str) -> str:
        """Return the name under which the service knows a repository."""

    @abstractmethod
    def create(self, name: str, files: Mapping[str, Content] | None, default: str = "main") -> None:
        """Make a repository that the bot may work in, an empty one for None; nobody is told."""

    @abstractmethod
    def push(
        self, name: str, files: Mapping[str, Content], branch: str, *, start: str = "", force: bool = False
    ) -> str:
        """Push one commit as a person and return it.

        A new or forced branch starts at `start`, a branch or commit, else at the default branch.
        """

    @abstractmethod
    def drop(self, name: str, branch: str) -> None:
        """Remove a branch as a person."""

    @abstractmethod
    def heads(self, name: str) -> dict[str, str]:
        """Return every branch with its commit."""

    @abstractmethod
    def read(self, name: str, path: str, at: str) -> bytes | None:
        """Return a file's bytes."""

    @abstractmethod
    def mode(self, name: str, path: str, at: str) -> int | None:
        """Return a file's mode."""

    @abstractmethod
    def message(self, name: str, commit: str) -> str:
        """Return a commit's message."""

    @abstractmethod
    def proposals(self, name: str) -> list[Proposed]:
        """Return everything that we ever proposed, oldest first; for plain git what there is now."""

    @abstractmethod
    def tell(self, receive: Receive) -> list[int]:
        """Deliver what happened since the last call; return what was answered."""

    @abstractmethod
    def forget(self) -> None:
        """Let nobody be told of what happened so far."""

    @abstractmethod
    def turn_round(self) -> None:
        """Tell last of what happened first: no forge promises an order."""

    @abstractmethod
    def violations(self) -> list[str]:
        """Return what broke a contract since the last call."""

    @abstractmethod
    def texts(self) -> Iterator[str]:
        """Yield everything that people can read of us."""

    def secrets(self) -> list[str]:
        """Return what must stand nowhere."""
        return []

    # What only hosted places do; a scenario asks for it first.

    def settle(self, name: str, number: int, state: str) -> None:
        """Close, merge or reopen a request as a person."""
        raise NotImplementedError

    def comments(self, name: str, number: int) -> list[str]:
        """Return the comments on a request, those that the forge made itself aside."""
        raise NotImplementedError

    def checks(self, name: str, commit: str) -> list[Checked]:
        """Return what we said of a commit."""
        raise NotImplementedError

    def request(self, name: str, branch: str, *, fork: bool = False) -> int:
        """Open a person's request from a branch, or from a fork's branch of that name; return its number."""
        raise NotImplementedError

    def fork(self, name: str, files: Mapping[str, Content], branch: str) -> tuple[str, str]:
        """Fork a repository as a stranger and push there; return the fork's name and the commit."""
        raise NotImplementedError

    def announce(self, name: str) -> None:
        """Have it told that a repository is new to the bot."""
        raise NotImplementedError

    def rename(self, old: str, new: str) -> None:
        """Give a repository another name, or another owner."""
        raise NotImplementedError

    def archive(self, name: str) -> None:
        """Archive a repository."""
        raise NotImplementedError

    def hide(self, name: str) -> None:
        """Take a repository out of what we may see."""
        raise NotImplementedError

    def forbid(self, name: str) -> None:
        """Forbid the bot's branches by a rule or a protection."""
        raise NotImplementedError

    def fork_here(self, name: str, made: str) -> None:
        """Fork a repository under another name of a served owner."""
        raise NotImplementedError

    def queue(self, name: str, branch: str) -> tuple[Mapping[str, str], bytes]:
        """Return what a merge queue tells of a branch that it is about to merge."""
        raise NotImplementedError

    def refuse_graphql(self, status: int) -> None:
        """Refuse GraphQL by a status; 200 serves it again."""
        raise NotImplementedError

    def asked(self) -> list[str]:
        """Return every request so far as method and operation, what a connection asks once included."""
        raise NotImplementedError


# --- git ----------------------------------------------------------------------------------


@dataclass(slots=True)
class GitPlace(Place):
    """Bare repositories on disk, and the signed hook that tells of pushes."""

    root: Path
    repositories: dict[str, GitRepository] = field(default_factory=dict)
    told: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Name, branch and commit of what nobody was told of yet."""
    clock: Iterator[int] = field(default_factory=lambda: itertools.count(1_770_000_000))

    forge = "git"
    can = frozenset[Can]()

    def settings(self) -> dict[str, object]:
        return {"git_webhook_secret": (GIT_SECRET,), "git_roots": (str(self.root),)}

    def variables(self) -> dict[str, str]:
        return {}

    def identity(self, name: str) -> str:
        return str(self.root / f"{name}.git")

    def create(self, name: str, files: Mapping[str, Content] | None, default: str = "main") -> None:
        folder = Path(self.identity(name))
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.repositories[name] = GitRepository(folder, default=default)
        if files is not None:
            self.push(name, files, default)
        self.forget()

    def push(
        self, name: str, files: Mapping[str, Content], branch: str, *, start: str = "", force: bool = False
    ) -> str:
        one = self.repositories[name]
        parent = None if force else one.head(branch)
        if parent is None and one.branches():
            parent = one.resolve(start or "HEAD")
        person = Person(name="Ann", email="ann@example.com")
        commit = one.commit_on(parent, dict(files), "a change", author=person, when=next(self.clock))
        one.set_head(branch, commit)
        self.told.append((name, branch, commit))
        return commit

    def drop(self, name: str, branch: str) -> None:
        self.repositories[name].set_head(branch, None)
        self.told.append((name, branch, None))

    def heads(self, name: str) -> dict[str, str]:
        return self.repositories[name].branches()

    def read(self, name: str, path: str, at: str) -> bytes | None:
        one = self.repositories[name]
        commit = one.resolve(at)
        entry = None if commit is None else one.entry(commit, path)
        return None if entry is None else one.blob(entry.oid)

    def mode(self, name: str, path: str, at: str) -> int | None:
        one = self.repositories[name]
        commit = one.resolve(at)
        entry = None if commit is None else one.entry(commit, path)
        return None if entry is None else entry.mode

    def message(self, name: str, commit: str) -> str:
        return str(self.repositories[name].info(commit).message.decode())

    def proposals(self, name: str) -> list[Proposed]:
        made = []
        for branch, head in sorted(self.heads(name).items()):
            if "Moorline-Digest: " not in self.message(name, head):
                continue
            subject, _, rest = self.message(name, head).partition("\n")
            base = branch.partition("/pin/")[2] or branch.partition("/pins/")[2].rsplit("/", 2)[0]
            made.append(
                Proposed(
                    number=0,
                    title=subject,
                    body=rest,
                    branch=branch,
                    base=base,
                    head=head,
                )
            )
        return made

    def tell(self, receive: Receive) -> list[int]:
        told, self.told[:] = list(self.told), []
        said = []
        for name, branch, commit in told:
            event = {
                "repository": self.identity(name),
                "ref": f"refs/heads/{branch}",
                "after": commit or "0" * 40,
            }
            body = json.dumps(event).encode()
            headers = {
                "Content-Type": "application/json",
                "X-Moorline-Delivery": secrets.token_hex(8),
                "X-Moorline-Signature-256": "sha256="
                + hmac.new(GIT_SECRET.encode(), body, hashlib.sha256).hexdigest(),
            }
            said.append(receive("/webhooks/git", headers, body))
        return said

    def forget(self) -> None:
        self.told.clear()

    def turn_round(self) -> None:
        self.told.reverse()

    def violations(self) -> list[str]:
        return []

    def texts(self) -> Iterator[str]:
        for name in self.repositories:
            for head in self.heads(name).values():
                yield self.message(name, head)

    def secrets(self) -> list[str]:
        return [GIT_SECRET]


# --- GitHub -------------------------------------------------------------------------------


def _content(content: Content) -> bytes | File | None:
    return File(content[1], content[0]) if isinstance(content, tuple) else content


@dataclass(slots=True)
class GitHubPlace(Place):
    """A stand-in for github.com or Enterprise Server, with the App installed for every owner."""

    hub: GitHub
    owners: set[str] = field(default_factory=set)

    forge = "github"
    can = HOSTED | {Can.SIGNS, Can.QUEUE, Can.RULES, Can.TRUNCATES, Can.TEAMS, Can.INSTALLS, Can.FORKS}

    def settings(self) -> dict[str, object]:
        return {
            "github_app_id": str(self.hub.app_id),
            "github_private_key": self.hub.private_key,
            "github_webhook_secret": (GITHUB_SECRET,),
        }

    def variables(self) -> dict[str, str]:
        return {"MOORLINE_GITHUB_URL": self.hub.url}

    def identity(self, name: str) -> str:
        return name

    def _welcome(self, owner: str) -> None:
        if owner not in self.owners:
            self.owners.add(owner)
            self.hub.install(owner)

    def create(self, name: str, files: Mapping[str, Content] | None, default: str = "main") -> None:
        self._welcome(name.partition("/")[0])
        content = None if files is None else {path: _content(one) for path, one in files.items()}
        self.hub.repository(name, content, branch=default, roles={"ann": "write", "bob": "write"})
        self.forget()

    def push(
        self, name: str, files: Mapping[str, Content], branch: str, *, start: str = "", force: bool = False
    ) -> str:
        onto = self.heads(name).get(start, start) if start else None
        content = {path: self._kept(name, path, one, branch) for path, one in files.items()}
        return self.hub.push(name, content, branch=branch, by="ann", onto=onto, force=force)

    def _kept(self, name: str, path: str, content: Content, branch: str) -> bytes | File | None:
        """Return a file with the mode that it has already."""
        if not isinstance(content, bytes):
            return _content(content)
        mode = self.hub.mode(name, path, branch) if branch in self.heads(name) else None
        return content if mode is None else File(content, mode)

    def drop(self, name: str, branch: str) -> None:
        self.hub.move(name, branch, None, by="ann")

    def heads(self, name: str) -> dict[str, str]:
        return self.hub.branches(name)

    def read(self, name: str, path: str, at: str) -> bytes | None:
        return self.hub.read(name, path, at)

    def mode(self, name: str, path: str, at: str) -> int | None:
        return self.hub.mode(name, path, at)

    def message(self, name: str, commit: str) -> str:
        found = self.hub[name].git.commit_at(commit)
        assert found is not None
        return str(found.message.decode())

    def is_signed(self, name: str, commit: str) -> bool:
        """Return whether the forge signed a commit."""
        found = self.hub[name].git.commit_at(commit)
        return found is not None and found.gpgsig is not None

    def proposals(self, name: str) -> list[Proposed]:
        return [
            Proposed(
                number=one.number,
                title=one.title,
                body=one.body or "",
                branch=one.head_ref,
                base=one.base_ref,
                head=one.head_sha,
                state="merged" if one.merged_at else one.state,
                labels=tuple(each.name for each in one.labels),
                reviewers=tuple(each.login for each in one.reviewers),
                assignees=tuple(each.login for each in one.assignees),
                draft=one.draft,
            )
            for one in self.hub.pulls(name)
            if one.author.login == self.hub.bot
        ]

    def tell(self, receive: Receive) -> list[int]:
        sent = self.hub.deliver(lambda headers, body: receive("/webhooks/github", headers, body))
        return [one.status_code for one in sent]

    def forget(self) -> None:
        with self.hub.lock:
            self.hub.queue.clear()

    def turn_round(self) -> None:
        with self.hub.lock:
            self.hub.queue.reverse()

    def violations(self) -> list[str]:
        found, self.hub.violations[:] = list(self.hub.violations), []
        return found

    def texts(self) -> Iterator[str]:
        for one in list(self.hub.world.repositories.values()):
            for pull in one.pulls.values():
                yield f"{pull.title}\n{pull.body}"
            yield from (comment.body for comment in one.comments.values())
            yield from (review.body for review in one.reviews.values())
            yield from (remark.body for remark in one.review_comments.values())
            yield from (json.dumps([check.output, check.annotations]) for check in one.checks.values())
            for sha in self.hub.branches(one.full_name).values():
                yield self.message(one.full_name, sha)

    def secrets(self) -> list[str]:
        lines = [line for line in self.hub.private_key.splitlines() if "-----" not in line]
        return [
            GITHUB_SECRET,
            *self.hub.world.tokens,
            *(one.token for one in self.hub.requests if one.token),
            *lines,
        ]

    def settle(self, name: str, number: int, state: str) -> None:
        match state:
            case "closed":
                self.hub.close_pull(name, number, by="ann")
            case "merged":
                self.hub.merge_pull(name, number, by="ann", delete_branch=True)
            case _:
                self.hub.reopen_pull(name, number, by="ann")

    def comments(self, name: str, number: int) -> list[str]:
        return [one.body for one in self.hub.comments(name, number)]

    def checks(self, name: str, commit: str) -> list[Checked]:
        return [
            Checked(state=one.conclusion or "", text=json.dumps([one.output, one.annotations]))
            for one in self.hub.checks(name, commit)
        ]

    def request(self, name: str, branch: str, *, fork: bool = False) -> int:
        source = f"stranger/{name.partition('/')[2]}-{name.partition('/')[0]}" if fork else ""
        return self.hub.open_pull(
            name, branch, by="stranger" if fork else "ann", head_repository=source
        ).number

    def fork(self, name: str, files: Mapping[str, Content], branch: str) -> tuple[str, str]:
        made = f"{name.partition('/')[2]}-{name.partition('/')[0]}"
        self.hub.fork(name, "stranger", name=made)
        source = f"stranger/{made}"
        content = {path: _content(one) for path, one in files.items()}
        return source, self.hub.push(source, content, branch=branch)

    def announce(self, name: str) -> None:
        one = self.hub[name]
        installation = self.hub.world.installation_of(one)
        with self.hub.lock:
            self.hub._happened(
                "installation_repositories", "added", installation=installation, sender=one.owner, added=[one]
            )

    def rename(self, old: str, new: str) -> None:
        owner, _, name = new.partition("/")
        if owner != old.partition("/")[0]:
            self._welcome(owner)
            self.hub.transfer(old, owner)
            old = f"{owner}/{old.partition('/')[2]}"
        if old != new:
            self.hub.rename(old, name)

    def archive(self, name: str) -> None:
        self.hub.archive(name)

    def hide(self, name: str) -> None:
        installation = self.hub.world.installation_of(self.hub[name])
        assert installation is not None
        self.hub.select(installation, remove=[name])

    def forbid(self, name: str) -> None:
        rule = {
            "type": "branch_name_pattern",
            "ruleset_source_type": "Repository",
            "ruleset_source": name,
            "ruleset_id": 42,
            "parameters": {"operator": "starts_with", "pattern": "feature/"},
        }
        self.hub[name].rules["*"] = [rule]

    def fork_here(self, name: str, made: str) -> None:
        owner, _, short = made.partition("/")
        self._welcome(owner)
        self.hub.fork(name, owner, name=short)
        self.forget()

    def queue(self, name: str, branch: str) -> tuple[Mapping[str, str], bytes]:
        head, base = self.heads(name)[branch], self.heads(name)["main"]
        ref = f"gh-readonly-queue/main/pr-1-{base}"
        self.hub.move(name, ref, head)
        self.forget()
        return self.hub.payload(
            "merge_group",
            "checks_requested",
            repository=name,
            sender="ann",
            head_sha=head,
            head_ref=f"refs/heads/{ref}",
            base_sha=base,
        )

    def refuse_graphql(self, status: int) -> None:
        self.hub.switches.graphql = status

    def asked(self) -> list[str]:
        return self.hub.asked()


class EnterprisePlace(GitHubPlace):
    """The same on Enterprise Server, which signs nothing unless it was set up to."""

    enterprise = True
    can = GitHubPlace.can - {Can.SIGNS}


# --- GitLab -------------------------------------------------------------------------------


@dataclass(slots=True)
class GitLabPlace(Place):
    """A stand-in for GitLab; each owner is a group with a hook, and the bot a Developer in it."""

    lab: GitLab
    bot: User = field(init=False)
    people: dict[str, User] = field(init=False)
    token: str = field(init=False)
    owners: set[str] = field(default_factory=set)
    receive: list[Receive] = field(default_factory=list)

    forge = "gitlab"
    can = HOSTED | {Can.GROUPS, Can.LINT, Can.PROTECTS, Can.SQUASH}

    def __post_init__(self) -> None:
        self.bot = self.lab.user("moorline", "Moorline", bot=True)
        self.people = {name: self.lab.user(name) for name in ("ann", "bob", "stranger")}
        self.token = self.lab.token(self.bot)
        self.lab.world.send = self._send
        # Renames and transfers are told to the system's hooks alone.
        self._hook(None, repository_update_events=False)

    def _hook(self, owner: str | None, **settings: bool) -> None:
        self.lab.hook(
            None if owner is None else self.lab.group(owner),
            "https://bot.example/webhooks/gitlab",
            token=None,
            signing_token=GITLAB_SIGNING,
            **settings,
        )

    def _send(self, _url: str, headers: Mapping[str, str], body: bytes) -> tuple[int | None, str]:
        return (self.receive[-1]("/webhooks/gitlab", headers, body), "") if self.receive else (None, "")

    def settings(self) -> dict[str, object]:
        return {"gitlab_token": self.token, "gitlab_signing_token": GITLAB_SIGNING}

    def variables(self) -> dict[str, str]:
        return {"MOORLINE_GITLAB_URL": self.lab.url}

    def identity(self, name: str) -> str:
        return name

    def _welcome(self, owner: str) -> None:
        if owner in self.owners:
            return
        self.owners.add(owner)
        self.lab.join(owner, self.bot, Level.DEVELOPER)
        self.lab.join(owner, self.people["ann"], Level.MAINTAINER)
        self.lab.join(owner, self.people["bob"], Level.DEVELOPER)
        self._hook(owner, push_events=True, merge_requests_events=True, note_events=True)

    def project(self, name: str) -> Project:
        found = self.lab.world.by_path(name)
        assert found is not None, name
        return found

    def create(self, name: str, files: Mapping[str, Content] | None, default: str = "main") -> None:
        self._welcome(name.partition("/")[0])
        content = None if files is None else {path: one for path, one in files.items() if one is not None}
        self.lab.project(name, content, default=default)
        self.forget()

    def push(
        self, name: str, files: Mapping[str, Content], branch: str, *, start: str = "", force: bool = False
    ) -> str:
        project = self.project(name)
        held = project.protections.get(branch)
        if force and held is not None:
            held.force = True  # whoever protects a branch may allow that
        return self.lab.push(project, files, branch, user=self.people["ann"], start=start, force=force)

    def drop(self, name: str, branch: str) -> None:
        self.lab.delete_branch(self.project(name), branch, self.people["ann"])

    def heads(self, name: str) -> dict[str, str]:
        return self.project(name).repository.branches()

    def read(self, name: str, path: str, at: str) -> bytes | None:
        return self.lab.read(self.project(name), path, at)

    def mode(self, name: str, path: str, at: str) -> int | None:
        return self.lab.mode(self.project(name), path, at)

    def message(self, name: str, commit: str) -> str:
        return str(self.project(name).repository.info(commit).message.decode())

    def proposals(self, name: str) -> list[Proposed]:
        return [
            Proposed(
                number=one.iid,
                title=one.title,
                body=one.description,
                branch=one.source_branch,
                base=one.target_branch,
                head=one.sha or "",
                state={"opened": "open"}.get(one.state, one.state),
                labels=tuple(one.labels),
                reviewers=tuple(each.username for each in one.reviewers),
                assignees=tuple(each.username for each in one.assignees),
                draft=one.draft,
                squash=one.squash,
            )
            for one in self.lab.merge_requests(self.project(name))
            if one.author is self.bot
        ]

    def tell(self, receive: Receive) -> list[int]:
        self.receive.append(receive)
        try:
            return [one.status or 0 for one in self.lab.deliver()]
        finally:
            self.receive.pop()

    def forget(self) -> None:
        self.lab.forget()

    def turn_round(self) -> None:
        with self.lab.world.lock:
            self.lab.world.happened.reverse()

    def violations(self) -> list[str]:
        found, self.lab.violations[:] = list(self.lab.violations), []
        return found

    def texts(self) -> Iterator[str]:
        for project in list(self.lab.world.projects.values()):
            for one in project.merge_requests.values():
                yield f"{one.title}\n{one.description}"
                yield from (note.body for note in one.notes)
            yield from (f"{one.description} {one.target_url}" for one in project.statuses)
            for head in project.repository.branches().values():
                yield project.repository.info(head).message.decode("utf-8", "replace")

    def secrets(self) -> list[str]:
        return [GITLAB_SIGNING, self.token]

    def _merge_request(self, name: str, number: int) -> MergeRequest:
        return self.project(name).merge_requests[number]

    def settle(self, name: str, number: int, state: str) -> None:
        one, ann = self._merge_request(name, number), self.people["ann"]
        match state:
            case "closed":
                self.lab.close(one, ann)
            case "merged":
                self.lab.merge(one, ann)
            case _:
                self.lab.reopen(one, ann)

    def comments(self, name: str, number: int) -> list[str]:
        return [one.body for one in self._merge_request(name, number).notes if not one.system]

    def checks(self, name: str, commit: str) -> list[Checked]:
        return [
            Checked(state=one.state, text=one.description or "", url=one.target_url or "")
            for one in self.project(name).statuses
            if one.sha == commit
        ]

    def request(self, name: str, branch: str, *, fork: bool = False) -> int:
        assert not fork
        project, world, ann = self.project(name), self.lab.world, self.people["ann"]
        now = world.clock()
        made = MergeRequest(
            id=next(world.ids),
            iid=max(project.merge_requests, default=0) + 1,
            project=project,
            author=ann,
            title="A change",
            description="",
            source_branch=branch,
            target_branch=project.default_branch,
            sha=project.repository.head(branch),
            base_sha=None,
            start_sha=None,
            created=now,
            updated=now,
        )
        with world.lock:
            refresh(made)
            project.merge_requests[made.iid] = made
            world.happen("merge_request", project, ann, merge_request=made, action="open")
        return made.iid

    def announce(self, name: str) -> None:
        self.lab.world.happen("project_create", self.project(name), self.people["ann"])

    def rename(self, old: str, new: str) -> None:
        self._welcome(new.partition("/")[0])
        self.lab.rename(self.project(old), new, self.people["ann"])

    def archive(self, name: str) -> None:
        self.lab.archive(self.project(name))

    def hide(self, name: str) -> None:
        owner = name.partition("/")[0]
        self.lab.join(owner, self.bot, Level.NONE)

    def forbid(self, name: str) -> None:
        self.lab.protect(self.project(name), "moorline/*", push=Level.MAINTAINER)

    def fork_here(self, name: str, made: str) -> None:
        self._welcome(made.partition("/")[0])
        self.lab.fork(self.project(name), made)
        self.forget()

    def refuse_graphql(self, status: int) -> None:
        self.lab.world.graphql_status = status

    def asked(self) -> list[str]:
        return [f"{one.method} {one.template or one.path}" for one in self.lab.requests]
