"""What every forge offers: objects and writes, never workflow.

`Forge` is what any git server has.  `Hosting` is what GitHub and GitLab have beyond it: pull or merge
requests (called requests here), checks, a list of what we may see, and deliveries that got lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Protocol

from bot.model import (
    Annotation,
    ChangedFile,
    CheckRun,
    Conclusion,
    Edit,
    Level,
    Looks,
    Remark,
    Repository,
    Review,
    Snapshot,
    Spoken,
    Webhook,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One commit to be written onto a branch of the bot's own."""

    repository: str
    base: str
    """The branch that it is meant for."""
    parent: str
    """The commit that it is made on."""
    branch: str
    expected: str | None
    """The commit that the branch must be at; None where it must not exist."""
    message: str
    edits: tuple[Edit, ...]


class RequestState(StrEnum):
    OPEN = "open"
    CLOSED = "closed"
    """Closed without being merged."""
    MERGED = "merged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A pull or merge request, as the forge tells of it now."""

    number: int
    url: str
    state: RequestState
    branch: str
    """The branch that it proposes."""
    base: str
    """The branch that it is for."""
    head: str
    """The commit that it proposes."""
    title: str
    body: str
    ours: bool
    """Whether our own account opened it."""
    fork: bool = False
    """Whether it comes from another repository than the one that it is for."""
    by: str = field(default="", compare=False)
    """The login of who merged or closed it; empty where it is open, or the forge does not tell it along."""
    onto: str = field(default="", compare=False)
    """The commit that the branch is at now that it is for; empty where the forge does not tell it along."""
    against: str = field(default="", compare=False)
    """The commit that it was at when the forge last compared the two; empty as above."""
    since: str = field(default="", compare=False)
    """The commit that it branched off; empty as above."""
    changed: tuple[ChangedFile, ...] | None = field(default=None, compare=False)
    """The files that it changes, those that it adds with all of their lines; None as above."""
    files: int | None = field(default=None, compare=False)
    """How many files it changes; None where the forge does not tell it along, or not exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a base and a branch of ours are now: one look before a write."""

    base: str | None
    """The commit of the base branch, or None where there is none."""
    branch: str | None
    """The commit of our branch, or None where it does not exist."""
    request: Request | None = None
    """The newest request of our own from the branch to the base, whatever became of it."""
    obstacles: tuple[str, ...] = ()
    """Rules that forbid what we are about to do, one sentence each for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish(Looks):
    """A request with its texts and looks.  Names that the forge does not know are reported, not fatal."""

    title: str
    body: str
    """Markdown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What became of a wish."""

    request: Request
    notes: tuple[str, ...] = ()
    """What could not be done, such as a reviewer that nobody knows; one sentence each."""


Check = CheckRun
__all__ = ["Annotation", "ChangedFile", "Check", "Conclusion", "Level", "Remark", "Review", "Spoken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """A delivery that the forge could not bring us."""

    headers: Mapping[str, str]
    body: bytes
    delivered: datetime


class Health(StrEnum):
    """Worst last."""

    OK = "ok"
    NOTE = "note"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """One thing that was examined."""

    health: Health
    subject: str
    """What was looked at, in a few words: `permission contents`."""
    text: str
    """What was seen, in one sentence."""
    advice: str = ""
    """What a person can do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who we are on a forge: what this account does never starts work."""

    id: str
    login: str


class Role(IntEnum):
    """What a person may do in a repository.  More is more."""

    NONE = 0
    READ = 1
    WRITE = 2
    MAINTAIN = 3
    ADMIN = 4


class Reaction(StrEnum):
    """What a comment gets at once, or when it was dealt with."""

    SEEN = "seen"
    DONE = "done"
    CONFUSED = "confused"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """What somebody said, read by its id: what a delivery tells of it is not believed."""

    ref: str
    """`comment/issue/9`, `comment/review/9`, `comment/summary/9` or `comment/note/9`."""
    number: int
    """The request that it was said on; 0 where it was said elsewhere."""
    author: Account
    bot: bool
    text: str
    edited: bool
    created: datetime
    url: str
    path: str = ""
    line: int = 0
    """Where a comment on a line stands, in the new file; else nothing and 0."""
    unsure: bool = False
    """Whether the forge does not tell if it was edited: then `edited` says nothing, and nothing is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What became of a review."""

    spoken: tuple[Spoken, ...]
    """Everything of ours that stands on the request now."""
    unplaced: tuple[Remark, ...] = ()
    """What the forge had no place for."""


def unheard(_commit: str) -> None:
    """Nobody wants to know."""


class Forge(Protocol):
    """A place that holds repositories.  Reads may be repeated, writes are compared first."""

    name: str

    @property
    def hosting(self) -> Hosting | None:
        """Return what the forge has beyond git, or None."""

    def head(self, repository: str, ref: str) -> tuple[str, str]:
        """Return the branch's full short name and its commit; an empty `ref` is the default one.

        `refs/pull/7/head` is what request 7 proposes.  Raises `MissingError` where there is no such
        branch, and `MovedError` where the repository has another name.
        """

    def snapshot(self, repository: str, commit: str, claims: Callable[[str, bytes], bool]) -> Snapshot:
        """Return the files at `commit` that `claims` says yes to, first asked by path alone."""

    def read(self, repository: str, commit: str, paths: Iterable[str]) -> Mapping[str, bytes]:
        """Return those of `paths` that are regular files at `commit` and within the size limit."""

    def merge_base(self, repository: str, one: str, other: str) -> str:
        """Return the newest common ancestor of two commits; raises `ForgeError` where there is none."""

    def standing(self, repository: str, base: str, branch: str) -> Standing:
        """Return where a base and a branch of ours are; what does not exist is None."""

    def publishing(self, repository: str) -> AbstractContextManager[None]:
        """Return a context within which the repository may be written to, and no other one.

        What has to be asked for first, such as a narrowed token, is given back at its end.
        """

    def write(self, change: Change, intend: Callable[[str], None] = unheard) -> str:
        """Return the commit that now is the branch's head; `intend` hears of it before it is.

        The publish guard judges the change first.  File modes are kept.  Raises `GuardError`, or
        `SupersededError` where the branch is not at `expected`; nothing is written then.
        """

    def made(self, change: Change, commit: str) -> bool:
        """Return whether `commit` is known to be just what `write` makes of the change.

        After a crash between writing and remembering, this is how a branch is known as our own.  A
        forge on which `intend` always comes first may say no without asking anybody.
        """

    def delete(self, repository: str, branch: str, expected: str) -> None:
        """Remove a branch that is still at `expected`; raises `SupersededError` where it is not."""


class Talk(Protocol):
    """A conversation on requests."""

    def said(self, repository: str, ref: str, number: int) -> Comment:
        """Return a comment by its ref; raises `MissingError` where it is gone."""

    def role(self, repository: str, account: Account) -> Role:
        """Return what an account may do there now, by the forge's own word."""

    def react(self, repository: str, comment: Comment, reaction: Reaction) -> None:
        """Show that a comment was seen, or what became of it; a reaction that is there is left."""

    def answer(
        self, repository: str, comment: Comment, body: str, *, maybe_since: datetime | None = None
    ) -> None:
        """Answer where it was asked: in the same thread, else as a comment that names the asker.

        With `maybe_since` this very answer may have been given since then, before somebody stopped us:
        it is looked for first.
        """

    def sticky(self, repository: str, number: int, known: str, body: str) -> str:
        """Make our comment `known` on a request say this, or say it anew where there is none; return its id.

        An empty body takes it away, and returns no id.
        """


class Reviewing(Protocol):
    """What is said on the lines of requests."""

    def changed(self, repository: str, number: int) -> tuple[ChangedFile, ...]:
        """Return the files of a request with the hunks of their diffs, as far as the forge tells of them."""

    def review(
        self,
        repository: str,
        number: int,
        review: Review,
        before: tuple[Spoken, ...] = (),
        *,
        uncertain: bool = False,
    ) -> Said:
        """Say a review in one go in place of what we said `before`.

        What we said before and this one says again, by its topic, stays; what it does not say any more is
        resolved or hidden.  A review without remarks only does that.  With `uncertain` this very review may
        have been said already, before somebody stopped us: then what stands there is looked for first.
        """


class Comparing(Protocol):
    """Tells how two commits differ."""

    def differing(self, repository: str, before: str, after: str) -> frozenset[str] | None:
        """Return the paths at which the trees of two commits differ, None where not all of them are told."""


class Hosting(Protocol):
    """What GitHub and GitLab have beyond git."""

    @property
    def talk(self) -> Talk:
        """Return what listens and answers."""

    @property
    def reviewing(self) -> Reviewing:
        """Return what reviews requests."""

    @property
    def comparing(self) -> Comparing | None:
        """Return what is to confirm that a push changed no more than its delivery says.

        None where a delivery says whether the push was forced, and so can be believed.
        """

    def account(self) -> Account:
        """Return who we are; the answer is remembered."""

    def repository(self, name: str) -> Repository:
        """Return what the forge says of a repository; raises `MissingError` or `MovedError`."""

    def repositories(self, owner: str = "") -> Iterator[Repository]:
        """Yield every repository that we may see, with heads, in as few questions as can be."""

    def branches(self, repository: str) -> Iterator[tuple[str, str]]:
        """Yield the name and commit of every branch; raises `MissingError` or `MovedError`."""

    def verified(self, repository: str, commit: str) -> str:
        """Return why the forge does not show a commit that we wrote as verified; empty where it does."""

    def request(self, repository: str, number: int) -> Request:
        """Return a request; raises `MissingError`."""

    def open(self, repository: str, base: str, branch: str, wish: Wish) -> Opened:
        """Return the open request from branch to base, made as wished; one that is there already is edited."""

    def edit(self, repository: str, number: int, wish: Wish) -> Opened:
        """Make title and body of an open request as wished; people's labels and reviewers are left."""

    def close(self, repository: str, number: int, comment: str) -> None:
        """Say why, and close a request; one that is closed already is left without a word."""

    def comment(self, repository: str, number: int, body: str) -> None:
        """Add a comment to a request."""

    def check(self, repository: str, commit: str, check: Check, *, first: bool = False) -> None:
        """Report on a commit, in place of what we said of it before; `first` says that we never did."""

    def advise(self, repository: str, commit: str, paths: Iterable[str]) -> str:
        """Return what the forge itself says of changed files at a commit, as Markdown; empty for nothing.

        GitLab lints `.gitlab-ci.yml` where it is among the paths.
        """

    def missed(self, since: datetime) -> Iterator[Missed]:
        """Yield what the forge tried to deliver since then and could not, oldest first, each once."""

    def webhooks(self) -> tuple[Webhook, ...]:
        """Return our webhooks and whether the forge calls us by them, as far as it lets us see them."""

    def test(self, webhook: Webhook) -> bool:
        """Have the forge try a webhook that has disabled itself, which enables it; return whether it did."""

    def examine(self) -> Iterator[Symptom]:
        """Yield what a doctor would look at: permissions, hooks, tokens, the clock."""
