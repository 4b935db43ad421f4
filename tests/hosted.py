"""A forge with requests, in memory: for what runs decide, not for how a forge is spoken to.

It counts what it is asked, and lets a test do what people do.
"""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from bot.errors import ForgeError, MissingError, MovedError, SupersededError, SuspendedError
from bot.forges import guard
from bot.forges.base import (
    Account,
    Change,
    ChangedFile,
    Check,
    Comment,
    Missed,
    Opened,
    Reaction,
    Remark,
    Request,
    RequestState,
    Review,
    Role,
    Said,
    Spoken,
    Standing,
    Symptom,
    Wish,
    unheard,
)
from bot.model import HookState, Repository, Snapshot, Webhook
from bot.settling import settle
from bot.source import splice


@dataclass(slots=True)
class Project:
    """One repository."""

    id: str
    default: str = "main"
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    made: dict[str, tuple[str, str]] = field(default_factory=dict)
    requests: dict[int, Request] = field(default_factory=dict)
    comments: list[tuple[int, str]] = field(default_factory=list)
    checks: dict[str, Check] = field(default_factory=dict)
    heard: dict[str, Heard] = field(default_factory=dict)
    roles: dict[str, Role] = field(default_factory=dict)
    sticky: dict[str, tuple[int, str]] = field(default_factory=dict)
    reviews: dict[int, list[Review]] = field(default_factory=dict)
    settled: list[tuple[int, Remark]] = field(default_factory=list)
    archived: bool = False
    fork: bool = False
    obstacles: tuple[str, ...] = ()


@dataclass(slots=True)
class Heard:
    """A comment, and how it was reacted to."""

    comment: Comment
    reactions: list[Reaction] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Hosted:
    """`Forge` and `Hosting`, and what people do."""

    name: str = "github"
    projects: dict[str, Project] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    suspended: set[str] = field(default_factory=set)
    """Owners."""
    asked: Counter[str] = field(default_factory=Counter)
    writing: str = ""
    lost: list[Missed] = field(default_factory=list)
    hooks: list[Webhook] = field(default_factory=list)
    mended: set[str] = field(default_factory=set)
    """Ids of the hooks that would be answered well if they were tried."""
    """Deliveries that did not reach us."""
    tells_late: bool = False
    """Whether a commit is named only after it was made, as on GitLab."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    fail: Callable[[str], None] = lambda _what: None
    """Called with the name of each write that was done; may raise, as an answer that got lost."""

    @property
    def hosting(self) -> Hosted:
        return self

    # --- what people do -------------------------------------------------------------------

    def create(self, name: str, files: Mapping[str, bytes]) -> str:
        self.projects[name] = Project(id=str(len(self.projects) + 1))
        return self.push(name, files)

    def push(
        self, name: str, files: Mapping[str, bytes], branch: str = "main", onto: str | None = None
    ) -> str:
        """Return the commit after which a branch holds these files; a new one branches off `onto`."""
        project = self.projects[name]
        parent = project.branches.get(branch, project.branches.get(onto or "", ""))
        text = repr((branch, parent, sorted(files.items()), len(project.commits)))
        commit = hashlib.sha1(text.encode()).hexdigest()  # git's own length
        project.parents[commit] = parent
        project.commits[commit] = dict(files)
        project.branches[branch] = commit
        return commit

    def rename(self, old: str, new: str) -> None:
        self.projects[new] = self.projects.pop(old)
        self.moved[old] = new

    def propose(self, name: str, files: Mapping[str, bytes], *, fork: bool = False) -> Request:
        """Return the request of a person who wants these files."""
        project = self.projects[name]
        number = max(project.requests, default=0) + 1
        request = Request(
            number=number,
            url=f"https://forge.example/{name}/pull/{number}",
            state=RequestState.OPEN,
            branch=f"feature-{number}",
            base="main",
            head=self.push(name, files, f"feature-{number}", "main"),
            title="A change",
            body="",
            ours=False,
            fork=fork,
        )
        project.requests[number] = request
        return request

    def settle(self, name: str, number: int, state: RequestState) -> None:
        """Close, merge or reopen a request."""
        project = self.projects[name]
        request = project.requests[number]
        project.requests[number] = replace(request, state=state)
        if state is RequestState.MERGED:
            self.push(name, project.commits[request.head], request.base)

    def open_requests(self, name: str) -> list[Request]:
        return [one for one in self.projects[name].requests.values() if one.state is RequestState.OPEN]

    def say(self, name: str, number: int, text: str, by: str = "ada", **said: object) -> Comment:
        """Comment on a request as a person does."""
        project = self.projects[name]
        ref = f"comment/issue/{len(project.heard) + 1}"
        made = Comment(
            ref=ref,
            number=number,
            author=Account(id=f"id-{by}", login=by),
            bot=False,
            text=text,
            edited=False,
            created=self.clock(),
            url=f"https://forge.example/{name}/pull/{number}#{ref}",
        )
        made = replace(made, **said)  # type: ignore[arg-type]  # a test names the fields
        project.heard[ref] = Heard(comment=made)
        return made

    # --- Forge ----------------------------------------------------------------------------

    def _project(self, name: str, what: str) -> Project:
        self.asked[what] += 1
        if name.partition("/")[0] in self.suspended:
            raise SuspendedError(f"We are suspended for {name}.")
        if name in self.projects:
            return self.projects[name]
        if name in self.moved:
            raise MovedError(f"{name} has moved.", name=self.moved[name])
        raise MissingError(f"There is no {name}.")

    def head(self, repository: str, ref: str) -> tuple[str, str]:
        project = self._project(repository, "head")
        name = ref or project.default
        if name not in project.branches:
            raise MissingError(f"There is no branch {name}.")
        return name, project.branches[name]

    def snapshot(self, repository: str, commit: str, claims: Callable[[str, bytes], bool]) -> Snapshot:
        files = self._files(repository, commit, "snapshot")
        return Snapshot(
            commit=commit, files={path: data for path, data in files.items() if claims(path, data)}
        )

    def read(self, repository: str, commit: str, paths: Iterable[str]) -> Mapping[str, bytes]:
        files = self._files(repository, commit, "read")
        return {path: files[path] for path in paths if path in files}

    def _files(self, repository: str, commit: str, what: str) -> Mapping[str, bytes]:
        project = self._project(repository, what)
        if commit not in project.commits:
            raise MissingError(f"There is no commit {commit}.")
        return project.commits[commit]

    def merge_base(self, repository: str, one: str, other: str) -> str:
        return _common(self._project(repository, "merge_base"), one, other)

    def standing(self, repository: str, base: str, branch: str) -> Standing:
        project = self._project(repository, "standing")
        mine = [
            one for one in project.requests.values() if one.ours and (one.branch, one.base) == (branch, base)
        ]
        return Standing(
            base=project.branches.get(base),
            branch=project.branches.get(branch),
            request=max(mine, key=lambda one: one.number, default=None),
            obstacles=project.obstacles,
        )

    @contextmanager
    def publishing(self, repository: str) -> Iterator[None]:
        assert not self.writing, "two at a time"
        self.writing = repository
        try:
            yield
        finally:
            self.writing = ""

    def _written(self, repository: str, what: str) -> Project:
        assert self.writing == repository, f"{what} outside of publishing"
        project = self._project(repository, what)
        if project.archived:
            raise ForgeError(f"{repository} is archived.")
        return project

    def write(self, change: Change, intend: Callable[[str], None] = unheard) -> str:
        project = self._written(change.repository, "write")
        if project.branches.get(change.branch) != change.expected:
            raise SupersededError(f"{change.branch} moved.")
        files = dict(project.commits[change.parent])
        guard.judge(change.edits, files)
        for path in {edit.path for edit in change.edits}:
            files[path] = splice(files.get(path, b""), [one for one in change.edits if one.path == path])
        text = repr((change.parent, change.message, sorted(files.items()), len(project.commits)))
        commit = hashlib.sha1(text.encode()).hexdigest()  # git's own length
        project.parents[commit] = change.parent
        if not self.tells_late:
            intend(commit)
        project.commits[commit] = files
        project.branches[change.branch] = commit
        for number, one in project.requests.items():
            if one.branch == change.branch and one.state is RequestState.OPEN:
                project.requests[number] = replace(one, head=commit)
        project.made[commit] = (change.parent, change.message)
        self.fail("write")
        if self.tells_late:
            intend(commit)
        return commit

    def made(self, change: Change, commit: str) -> bool:
        project = self.projects[change.repository]
        return self.tells_late and project.made.get(commit) == (change.parent, change.message)

    def delete(self, repository: str, branch: str, expected: str) -> None:
        project = self._written(repository, "delete")
        if project.branches.get(branch) != expected:
            raise SupersededError(f"{branch} moved.")
        del project.branches[branch]
        self.fail("delete")

    # --- Hosting --------------------------------------------------------------------------

    @property
    def talk(self) -> Talking:
        return Talking(self)

    def account(self) -> Account:
        return Account(id="1", login="moorline[bot]")

    def repository(self, name: str) -> Repository:
        return self._told(name, self._project(name, "repository"))

    def _told(self, name: str, project: Project) -> Repository:
        head = project.branches.get(project.default, "")
        return Repository(
            name=name,
            id=project.id,
            default_branch=project.default if head else "",
            head=head,
            archived=project.archived,
            fork=project.fork,
        )

    def repositories(self, owner: str = "") -> Iterator[Repository]:
        self.asked["repositories"] += 1
        for name, project in sorted(self.projects.items()):
            if not owner or name.casefold().startswith(f"{owner.casefold()}/"):
                yield self._told(name, project)

    def branches(self, repository: str) -> Iterator[tuple[str, str]]:
        yield from self._project(repository, "branches").branches.items()

    def verified(self, repository: str, commit: str) -> str:
        del repository, commit
        return ""

    def request(self, repository: str, number: int) -> Request:
        project = self._project(repository, "request")
        found = project.requests[number]
        known = found.base in project.branches and found.head in project.commits
        return replace(found, files=len(_changes(project, found)) if known else None)

    def open(self, repository: str, base: str, branch: str, wish: Wish) -> Opened:
        project = self._written(repository, "open")
        number = max(project.requests, default=0) + 1
        request = Request(
            number=number,
            url=f"https://forge.example/{repository}/pull/{number}",
            state=RequestState.OPEN,
            branch=branch,
            base=base,
            head=project.branches[branch],
            title=wish.title,
            body=wish.body,
            ours=True,
        )
        for one in self.open_requests(repository):
            if (one.branch, one.base) == (branch, base):  # as a forge does, which opens no second one
                request = replace(request, number=one.number, url=one.url)
        project.requests[request.number] = request
        self.fail("open")
        return Opened(request=request)

    def edit(self, repository: str, number: int, wish: Wish) -> Opened:
        project = self._written(repository, "edit")
        project.requests[number] = replace(project.requests[number], title=wish.title, body=wish.body)
        self.fail("edit")
        return Opened(request=project.requests[number])

    def close(self, repository: str, number: int, comment: str) -> None:
        project = self._written(repository, "close")
        project.comments.append((number, comment))
        project.requests[number] = replace(project.requests[number], state=RequestState.CLOSED)
        self.fail("close")

    def comment(self, repository: str, number: int, body: str) -> None:
        self._written(repository, "comment").comments.append((number, body))

    def check(self, repository: str, commit: str, check: Check, *, first: bool = False) -> None:
        del first
        self._written(repository, "check").checks[commit] = check
        self.fail("check")

    @property
    def reviewing(self) -> Hosted:
        return self

    @property
    def comparing(self) -> None:
        return

    def changed(self, repository: str, number: int) -> tuple[ChangedFile, ...]:
        project = self._project(repository, "changed")
        return _changes(project, project.requests[number])

    def review(
        self,
        repository: str,
        number: int,
        review: Review,
        before: tuple[Spoken, ...] = (),
        *,
        uncertain: bool = False,
    ) -> Said:
        project = self._written(repository, "review")
        said = project.reviews.setdefault(number, [])
        there = settle(review.remarks, before)
        fresh = there.fresh
        if uncertain and said and said[-1].remarks == fresh:
            fresh = ()
        if fresh:
            said.append(replace(review, remarks=fresh))
        for one in there.gone:
            project.settled.append((number, one.remark))
        self.fail("review")
        place = str(len(said))
        return Said(spoken=(*there.kept, *(Spoken(remark=one, place=place) for one in there.fresh)))

    def advise(self, repository: str, commit: str, paths: Iterable[str]) -> str:
        del repository, commit, paths
        return ""

    def missed(self, since: datetime) -> Iterator[Missed]:
        self.asked["missed"] += 1
        yield from (one for one in self.lost if one.delivered >= since)

    def webhooks(self) -> tuple[Webhook, ...]:
        self.asked["webhooks"] += 1
        return tuple(self.hooks)

    def test(self, webhook: Webhook) -> bool:
        self.asked["test"] += 1
        if webhook.id not in self.mended:
            return False
        [place] = [number for number, one in enumerate(self.hooks) if one.id == webhook.id]
        self.hooks[place] = replace(webhook, state=HookState.CALLING, text="", advice="")
        return True

    def examine(self) -> Iterator[Symptom]:
        return iter(())


def _changes(project: Project, request: Request) -> tuple[ChangedFile, ...]:
    base = _common(project, project.branches[request.base], request.head)
    before, after = project.commits[base], project.commits[request.head]
    return tuple(
        _shown(path, before.get(path, b""), after.get(path, b""))
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    )


def _shown(path: str, old: bytes, new: bytes) -> ChangedFile:
    """Return a file with the hunks of its diff, three lines around each change."""
    before, after = old.split(b"\n"), new.split(b"\n")
    groups = difflib.SequenceMatcher(a=before, b=after, autojunk=False).get_grouped_opcodes(3)
    return ChangedFile(path=path, hunks=tuple((one[0][3] + 1, one[-1][4]) for one in groups))


def _common(project: Project, one: str, other: str) -> str:
    line = list(_line(project, one))
    for commit in _line(project, other):
        if commit in line:
            return commit
    raise ForgeError("They have nothing in common.")


@dataclass(slots=True)
class Talking:
    """`Talk`."""

    forge: Hosted

    def said(self, repository: str, ref: str, number: int) -> Comment:
        del number
        heard = self.forge._project(repository, "said").heard
        if ref not in heard:
            raise MissingError("It was taken back.")
        return heard[ref].comment

    def role(self, repository: str, account: Account) -> Role:
        return self.forge._project(repository, "role").roles.get(account.login, Role.READ)

    def react(self, repository: str, comment: Comment, reaction: Reaction) -> None:
        heard = self._heard(repository, comment, "react")
        if reaction not in heard.reactions:
            heard.reactions.append(reaction)
        self.forge.fail("react")

    def answer(
        self, repository: str, comment: Comment, body: str, *, maybe_since: datetime | None = None
    ) -> None:
        heard = self._heard(repository, comment, "answer")
        if maybe_since is None or body not in heard.answers:
            heard.answers.append(body)
        self.forge.fail("answer")

    def _heard(self, repository: str, comment: Comment, what: str) -> Heard:
        heard = self.forge._written(repository, what).heard
        if comment.ref not in heard:
            raise MissingError("It was taken back.")
        return heard[comment.ref]

    def sticky(self, repository: str, number: int, known: str, body: str) -> str:
        project = self.forge._written(repository, "sticky")
        if not body:
            project.sticky.pop(known, None)
            return ""
        id_ = known if known in project.sticky else str(len(project.sticky) + 1)
        project.sticky[id_] = number, body
        return id_


def _line(project: Project, commit: str) -> Iterator[str]:
    while commit:
        yield commit
        commit = project.parents.get(commit, "")
