"""Every noun of Moorline, frozen, in the order in which the pipeline makes them.

Nothing here does anything.  Byte offsets count bytes of the file as it is stored,
lines start at 1, columns are byte offsets within the line and start at 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

# --- why we look, and where ---------------------------------------------------------------


class Trigger(StrEnum):
    """Why we look.  Closed: runs and metrics show it."""

    PUSH = "push"
    PULL_REQUEST = "pull-request"
    """A pull or merge request was opened, changed, closed or reopened."""
    MERGE_QUEUE = "merge-queue"
    """A merge queue wants to know about a commit that it made; never coalesced with another."""
    INSTALLED = "installed"
    """A repository was added, renamed, transferred or taken away: what we know of it is looked up again."""
    SWEEP = "sweep"
    """A person asked for a look at everything."""
    SCHEDULED = "scheduled"
    """A sweep by the clock, which proposes only where the schedule of a repository says that it is time."""
    CATCH_UP = "catch-up"
    """What a forge told nobody, since nobody listened: missed deliveries, heads that moved."""
    REGISTRY = "registry"
    COMMENT = "comment"
    COMMAND_LINE = "command-line"


NOWHERE = "0" * 40
"""The commit that git names for a branch that was deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    forge: str
    """Name of the forge in `forges.FORGES`."""
    repository: str
    """`owner/name` on a forge, a path or URL for the `git` forge."""
    ref: str
    """The branch or commit to look at, without `refs/heads/`; empty is the default branch.

    `refs/pull/7/head` is what pull or merge request 7 proposes, on every forge, and `comment/9` a comment.
    """
    trigger: Trigger
    head: str = ""
    """The commit that whoever told us speaks of, as a hint; empty where nobody said.

    `NOWHERE` says that the branch was deleted.  That is remembered as it arrives; whoever does the job
    finds no head, since the branch may be there again.
    """
    before: str = ""
    """The commit that the branch was at before; with it `changed` is all that changed since."""
    changed: tuple[str, ...] | None = None
    """The paths that were added, changed or removed since `before`; None where that is not known."""
    number: int = 0
    """The pull or merge request that it is about, or 0."""
    identity: str = ""
    """The forge's own number of the repository, as a hint: a name may have passed to another one."""
    default_branch: str = ""
    """The default branch, as a hint: it may have been switched, which is not told by itself everywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository as its forge tells of it now."""

    name: str
    """`owner/name`; with groups on GitLab, `group/sub/name`."""
    id: str
    """The forge's own number, which outlives renames and transfers; empty where it has none."""
    default_branch: str
    """Empty where there is no commit yet."""
    head: str
    """The default branch's commit; empty where there is none, or where it was not told."""
    archived: bool = False
    fork: bool = False
    private: bool = False

    @property
    def owner(self) -> str:
        """The account or top-level group."""
        return self.name.partition("/")[0]


# --- files at one commit ------------------------------------------------------------------


class UnreadReason(StrEnum):
    """Why a file that could hold references was not read, or not to its end."""

    BINARY = "binary"
    TOO_LARGE = "too-large"
    SYMLINK = "symlink"
    SUBMODULE = "submodule"
    LEFT_OUT = "left-out"
    """Vendored, generated or a test's fixture, by its folder; or by configuration."""
    UNPARSABLE = "unparsable"
    NOT_UTF8 = "not-utf-8"
    UNREADABLE = "unreadable"
    """The file system or the forge would not give it."""
    UNCONFIRMED = "unconfirmed"
    """Finding again after the edit did not show exactly what was meant: left untouched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    path: str
    reason: UnreadReason
    detail: str = ""
    line: int | None = None
    identity: str = ""
    """What its content is known by, alike in every forge; empty where that is not known."""
    leads: tuple[str, ...] = ()
    """Of a link the paths that it leads through and to; a glob where a folder on the way is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    commit: str | None
    """The commit's id, or None for a working tree."""
    files: Mapping[str, bytes]
    """The files that a finder claims or needs, by path with `/`, as stored."""
    unread: tuple[Unread, ...] = ()


# --- references and their places ----------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Half-open byte range."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    path: str
    span: Span
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """A container image as the distribution reference grammar reads it."""

    name: str
    """The name as written, without tag and digest: `node`, `ghcr.io/acme/app`."""
    registry: str
    """Normalised host and port: `docker.io`, `127.0.0.1:5000`."""
    repository: str
    """Normalised path within the registry: `library/node`."""
    tag: str | None = None
    digest: str | None = None
    """`sha256:` and 64 lower-case hex digits."""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return f"{self.name}{tag}{digest}"

    @property
    def followed_tag(self) -> str | None:
        """The tag that a registry is asked for; None where only a digest is written."""
        if self.tag is None:
            return None if self.digest else "latest"
        return self.tag


@dataclass(frozen=True, slots=True, kw_only=True)
class GitReference:
    """A ref of a git repository that a pipeline runs code from: an action or an include."""

    host: str
    """`github.com`; empty stands for the server that the repository itself is on."""
    repository: str
    """`owner/name`, or `group/subgroup/name` on GitLab."""
    ref: str
    """Branch, tag or commit as written; empty where none is written."""
    path: str = ""
    """Folder or file within the repository."""

    def __str__(self) -> str:
        host = "" if self.host in ("", "github.com") else f"{self.host}/"
        path = f"/{self.path}" if self.path else ""
        return f"{host}{self.repository}{path}@{self.ref}"


Reference: TypeAlias = ImageReference | GitReference


class Kind(StrEnum):
    IMAGE = "image"
    ACTION = "action"
    INCLUDE = "include"


class State(StrEnum):
    FLOATING = "floating"
    PINNED = "pinned"
    UNKNOWN = "unknown"
    """Cannot be told from the files: a variable, a template, an expression."""


class SkipReason(StrEnum):
    """Why a reference is not edited.  Closed: a new reason is a change of the format."""

    PINNED = "pinned"
    """Already a digest or a commit."""
    VARIABLE = "variable"
    """Holds a variable or expression whose value the files do not show."""
    PARTIAL_VARIABLE = "partial-variable"
    """A variable is a part of it (`node:${VERSION}`): a digest there makes overrides fail."""
    SHARED_VARIABLE = "shared-variable"
    """The variable that holds it feeds another image too."""
    OVERRIDDEN = "overridden"
    """The default is replaced from outside: compose, bake or a workflow passes the argument."""
    BUILT_HERE = "built-here"
    """This repository builds it; a pin would freeze it."""
    OWN = "own"
    """An action, workflow or include of the same owner or group."""
    MUST_STAY_TAG = "must-stay-tag"
    """Its tool needs the tag: SLSA generators, Flux image policies, Quadlet AutoUpdate."""
    IGNORED = "ignored"
    """An inline `# moorline: ignore[...]` or the repository's configuration says so."""
    DISABLED = "disabled"
    """Its format is switched off in the configuration."""
    INVALID = "invalid"
    """Not a reference by its grammar."""
    ESCAPED = "escaped"
    """Written with escapes or over several lines: there is no plain span to replace."""
    NO_PLACE = "no-place"
    """The syntax has no place for a pin here, such as an include without `ref`."""
    UNSUPPORTED = "unsupported"
    """A form that Moorline reports and does not pin."""
    DECLINED = "declined"
    """A person closed the proposal that would pin it."""
    SCHEDULED = "scheduled"
    """Its day has not come: `schedule` in the configuration says when sweeps propose it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """The place behind a value on its line where a version comment stands or could stand."""

    span: Span
    """An existing version comment from its `#` to its end; else empty, right behind the value."""
    text: str = ""
    """The comment as written, `#` included; empty where there is none."""
    version: str = ""
    """The version that an existing comment names: `v4.2.1`."""
    exact: bool = True
    """Whether a full version may replace a shorter one: not where another tool's form holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    format: str
    """Name of the finder in `finders.FINDERS`."""
    kind: Kind
    where: str
    """The construct, for people: `FROM`, `COPY --from`, `jobs.build.container.image`."""
    location: Location
    value: str
    """The exact text in the file that an edit would replace."""
    reference: Reference | None
    """None where the text is no reference by its grammar or its value is not known."""
    state: State
    skip: SkipReason | None = None
    note: str = ""
    """Detail of the skip, or a suggestion, in one plain sentence."""
    comment: Comment | None = None
    """None where the syntax has no room for a version comment."""
    argument: str | None = None
    """The build argument or variable whose default holds the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An image that this repository builds or pushes, by the name it gives it."""

    name: str
    """As written, tag and all."""
    location: Location


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildArgument:
    """A build argument that something in this repository passes to a Dockerfile."""

    name: str
    dockerfile: str | None
    """Path of the Dockerfile; None where the file does not say, so that any may be meant."""
    location: Location


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildContext:
    """A named build context that something in this repository passes to a Dockerfile.

    It masks the image of that name: `node=./base` makes `FROM node` build upon the folder.
    """

    name: str
    """As written: `node`, `docker.io/library/node:20`."""
    dockerfile: str | None
    """Path of the Dockerfile; None where the file does not say, so that any may be meant."""
    location: Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What one finder says of one file."""

    references: tuple[Finding, ...] = ()
    unread: tuple[Unread, ...] = ()
    built: tuple[Built, ...] = ()
    arguments: tuple[BuildArgument, ...] = ()
    contexts: tuple[BuildContext, ...] = ()


# --- what references point to -------------------------------------------------------------


class UnresolvedReason(StrEnum):
    """Why a look-up gave no answer that may be used."""

    NOT_FOUND = "not-found"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    RATE_LIMITED = "rate-limited"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    BLOCKED = "blocked"
    """The egress guard refuses the address."""
    TOO_LARGE = "too-large"
    LYING = "lying"
    """The answer contradicts itself: its body does not hash to the digest it names."""
    INVALID = "invalid"
    """The answer is not what the specification says."""
    DEFERRED = "deferred"
    """Over the request budget of this registry; a later run takes it."""
    SERVER_ERROR = "server-error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    reference: Reference
    digest: str
    """`sha256:...` of an image, 40 hex digits of a commit."""
    source: str
    """Who said so: the registry or git host that answered, a mirror included."""
    media_type: str = ""
    """What the registry's answer to the look-up called itself; empty for git."""
    version: str = ""
    """Git: the most exact advertised version tag on this commit, else the ref as written."""
    annotated: bool = False
    """Git: the ref is an annotated tag, peeled to its commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolved:
    reference: Reference
    reason: UnresolvedReason
    detail: str
    """One sentence for a person, without secrets."""
    retry_after: float | None = None
    """Seconds, where the server named a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A manifest or index fetched by its digest, whose body hashes to that digest."""

    digest: str
    media_type: str
    size: int
    is_index: bool
    platforms: tuple[Platform, ...]
    """Runnable platforms, in the order of the index; empty for a single manifest."""
    body: bytes
    source: str


# --- where a reference should go ----------------------------------------------------------


class Cause(StrEnum):
    FIRST = "first"
    UPDATE = "update"
    KEEP = "keep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    finding: Finding
    current: str | None
    """The digest or commit that is written now."""
    target: str
    """The digest or commit to write."""
    resolution: Resolution
    cause: Cause


# --- evidence and verdicts ----------------------------------------------------------------


class Status(StrEnum):
    VERIFIED = "verified"
    ABSENT = "absent"
    UNSUPPORTED = "unsupported"
    INCOMPLETE = "incomplete"
    INVALID = "invalid"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What evidence is about: one digest of one reference."""

    reference: Reference
    digest: str
    resolution: Resolution | None = None
    """How we came to the digest; None for the one that is written now."""


Fact: TypeAlias = str | int | bool | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    check: str
    digest: str
    status: Status
    facts: Mapping[str, Fact] = field(default_factory=dict)
    detail: str = ""
    """One sentence for a person."""
    source: str = ""


class Ruling(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    check: str
    ruling: Ruling
    text: str
    """One sentence for a person."""
    demand: str = ""
    """`require`, `warn` or `off`: how the policy takes this check here."""


class Outcome(StrEnum):
    """Worst last."""

    PASS = "pass"
    WARN = "warn"
    HOLD = "hold"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    finding: Finding
    """As selection left it: `skip` is final."""
    outcome: Outcome
    reasons: tuple[Reason, ...] = ()
    candidate: Candidate | None = None
    """None where there is nothing to write: skipped, pinned, unresolved."""
    unresolved: Unresolved | None = None
    evidence: tuple[Evidence, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether this verdict lets its candidate be written."""
        return (
            self.candidate is not None
            and self.finding.skip in (None, SkipReason.PINNED)
            and self.candidate.cause is not Cause.KEEP
            and self.outcome in (Outcome.PASS, Outcome.WARN)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    job: Job
    commit: str | None
    files: int
    """How many files a finder read."""
    verdicts: tuple[Verdict, ...]
    unread: tuple[Unread, ...]
    made_at: datetime
    snapshot: Snapshot
    """What was looked at; never stored."""
    found: Mapping[str, tuple[Finding, ...]]
    """What the finders said before selection, by the file that they read."""
    notes: tuple[str, ...] = ()
    """What the repository's configuration says in vain, one sentence each."""
    asked: tuple[str, ...] = ()
    """Paths and globs that were asked for beside the files that finders claim, there or not."""
    stood: int = 0
    """How many references floated before the change that is reported on; 0 where there is none."""


# --- what is written ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    path: str
    span: Span
    expected: bytes
    """The bytes that stand there now; empty for an insertion."""
    replacement: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """What a proposal pins, by what does not change with its digest: a person who declines it means this."""

    path: str
    where: str
    """As the finding says: `jobs.build.container`."""
    reference: str
    """What it follows: the image's name and tag, or the action's repository and version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """How a request for a proposal should look, as far as its forge can do it."""

    labels: tuple[str, ...] = ()
    reviewers: tuple[str, ...] = ()
    """Names of people, or `team:` and the name of a team."""
    assignees: tuple[str, ...] = ()
    draft: bool = False
    squash: bool | None = None
    """None leaves it to the project."""
    remove_branch: bool = True
    """Whether the branch goes when the request is merged, where a request can say so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    repository: str
    base: str
    """The branch that the proposal is for."""
    commit: str
    """The base commit that it was made from."""
    group: str
    branch: str
    title: str
    body: str
    """Markdown."""
    message: str
    """The commit message."""
    edits: tuple[Edit, ...]
    digest: str
    """Content hash: equal for equal edits of equal files, whatever the base commit."""
    pins: tuple[Pinned, ...] = ()
    """What the edits pin."""
    looks: Looks = Looks()


class Conclusion(StrEnum):
    """What a check comes to."""

    SUCCESS = "success"
    NEUTRAL = "neutral"
    FAILURE = "failure"


class Level(StrEnum):
    """How much an annotation matters."""

    NOTICE = "notice"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    path: str
    line: int
    """1-based."""
    level: Level
    title: str
    message: str
    """Plain text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """Something that a check offers to be done."""

    id: str
    """At most 20 characters."""
    label: str
    """At most 20 characters."""
    description: str
    """At most 40 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRun:
    """What we say about one commit: a check run, or a commit status where a forge has only that."""

    conclusion: Conclusion
    title: str
    summary: str
    """Markdown."""
    annotations: tuple[Annotation, ...] = ()
    url: str = ""
    """Where to read more; empty for nowhere."""
    buttons: tuple[Button, ...] = ()
    """At most three."""
    held: bool = False
    """Whether the policy minds that something was not looked at: no forge is to show a success then."""
    brief: str = ""
    """The title and what it is about, on one line, for a forge that shows no more; empty for the title alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedFile:
    """A file of a request, and the hunks of its diff as lines of the new file, first and last, 1-based."""

    path: str
    hunks: tuple[tuple[int, int], ...]
    old_path: str = ""
    """Its name before, where it was renamed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """One remark of a review on lines of the new file, first and last, 1-based; lines end at LF."""

    path: str
    first: int
    last: int
    body: str
    """Markdown, harmless already, without the suggestion."""
    suggestion: str | None = None
    """The lines to stand there instead, without a final newline; None for none.

    Between them is a LF, whatever the file has: forges keep its own line endings.
    """
    topic: str = ""
    """What it is about; those on equal lines of a file have the same."""
    around: str = ""
    """What is around its lines, in few characters, so that equal lines are told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What is said on a request in one go."""

    commit: str
    """The head that it is about."""
    body: str
    """Markdown."""
    remarks: tuple[Remark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A remark that stands on a request."""

    remark: Remark
    place: str
    """Where the forge keeps it, by ids of its own."""


class HookState(StrEnum):
    """Whether a forge calls us by a webhook.  Closed: the audit log shows it."""

    CALLING = "calling"
    FAILING = "failing"
    """It is called, and none of the newest deliveries arrived."""
    PAUSED = "paused"
    """It disabled itself for a time."""
    DISABLED = "disabled"
    """It disabled itself for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A webhook of ours, as the forge tells of it."""

    id: str
    """By which the forge knows it."""
    owner: str
    """The project or group that it is for; empty for one that is for all."""
    state: HookState
    text: str = ""
    """What is wrong, in one sentence; empty where nothing is."""
    advice: str = ""
    """What a person can do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    branch: str
    commit: str
    url: str = ""
    action: str = ""
    """`created`, `updated`, `unchanged`, `closed`, `declined` or `merged`; or it stands back:

    `left-alone` where a person's commits are on the branch, `left-over` where they are and its request was
    merged, `retargeted` where its request is for another base by now.
    """
    detail: str = ""
    number: int = 0
    """Of the pull or merge request; 0 on a forge that has none."""
    by: str = ""
    """The login of who declined or merged it; empty where the forge does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a person settled for one reference and digest, and until when."""

    by: str
    what: str
    """`allow` or `ignore`."""
    reference: str
    digest: str | None
    until: datetime | None
    because: str
    checks: tuple[str, ...] = ()
    """The checks that an `allow` excuses: those that held or refused the digest when it was said."""
    stood: bool = False
    """Whether the repository's configuration was seen to carry it on."""

    @property
    def lines(self) -> tuple[Pinned, ...]:
        """Return the lines of a configuration that carry it on: one for each check, or the one of an ignore."""
        if self.what != "allow":
            return (line_of(self.what, self.reference),)
        return tuple(line_of(self.what, self.reference, one, self.digest or "") for one in self.checks)


def line_of(what: str, reference: str, check: str = "", digest: str = "") -> Pinned:
    """Return what a person means who declines the line of a configuration that carries a decision on."""
    return Pinned(path=".moorline.yml", where=what, reference=f"{reference} {check} {digest}".strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What this installation saw a reference point to."""

    scope: str
    reference: str
    digest: str
    first: datetime
    last: datetime
