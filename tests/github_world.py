"""What the GitHub stand-in knows: people, repositories, pull requests, installations, tokens, deliveries."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from github_git import Git
from moving_lines import followed

WEB_FLOW = ("GitHub", "noreply@github.com")
LEVELS = {"none": 0, "read": 1, "triage": 2, "write": 3, "maintain": 4, "admin": 5}
# Levels of an App's permission.
GRANTS = {"read": 1, "write": 2, "admin": 3}
SIGNATURE = (
    "-----BEGIN PGP SIGNATURE-----\n\nwebflowwebflowwebflowwebflowwebflowwebflow\n=ghsi\n"
    "-----END PGP SIGNATURE-----"
)
"""What stands for the forge's own signature in a commit that it signs."""


class Refused(Exception):  # noqa: N818  # an answer, not an error of the stand-in's
    """An answer that is a refusal, with the words GitHub uses."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: list[Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors
        self.headers = dict(headers or {})


def invalid(resource: str, field_name: str = "", *, code: str = "invalid", message: str = "") -> Refused:
    """Return GitHub's 422 about one field, or with a message of its own."""
    error: dict[str, object] = {"resource": resource, "code": "custom" if message else code}
    if field_name:
        error["field"] = field_name
    if message:
        error["message"] = message
    return Refused(422, "Validation Failed", errors=[error])


@dataclass(slots=True)
class Clock:
    """The stand-in's time: the real one, moved by whatever a test says."""

    ahead: float = 0.0

    def now(self) -> float:
        """Return seconds since 1970."""
        return time.time() + self.ahead

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.ahead += seconds

    def stamp(self, seconds: float | None = None) -> str:
        """Return a time as the API writes it."""
        moment = datetime.fromtimestamp(self.now() if seconds is None else seconds, UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True, kw_only=True)
class Account:
    id: int
    login: str
    type: str
    """`User`, `Organization` or `Bot`."""


@dataclass(slots=True, kw_only=True)
class Label:
    id: int
    name: str
    color: str = "ededed"
    description: str | None = None


@dataclass(slots=True, kw_only=True)
class Comment:
    id: int
    number: int
    """Of the issue or pull request."""
    author: Account
    body: str
    created_at: str
    updated_at: str
    reactions: list[tuple[str, str]] = field(default_factory=list)
    """Who reacted, and how."""


@dataclass(slots=True, kw_only=True)
class ReviewComment:
    id: int
    number: int
    author: Account
    body: str
    path: str
    commit: str
    created_at: str
    line: int | None = None
    start_line: int | None = None
    side: str = "RIGHT"
    reply_to: int | None = None
    review: int | None = None
    updated_at: str = ""
    reactions: list[tuple[str, str]] = field(default_factory=list)
    resolved: bool = False
    """Whether the thread that it begins is resolved."""
    minimized: str = ""
    """Why it is hidden, in lower case; empty while it is not."""
    original_line: int | None = None
    """Where it was made; `line` and `start_line` follow what is pushed, None once their line was changed."""
    original_start: int | None = None

    def __post_init__(self) -> None:
        self.original_line, self.original_start = self.line, self.start_line

    def follow(self, before: bytes, after: bytes | None) -> None:
        """Let it stand where its line is after a push; once that was changed it stands nowhere any more."""
        now = followed(before, after) if after is not None else {}
        if self.line is not None:
            self.line = now.get(self.line)
        if self.start_line is not None:
            self.start_line = now.get(self.start_line)
            self.line = self.line if self.start_line is not None else None


@dataclass(slots=True, kw_only=True)
class Review:
    id: int
    number: int
    author: Account
    body: str
    state: str
    commit: str
    submitted_at: str
    minimized: str = ""
    edited_at: str | None = None
    """When its summary was edited last, by whom."""
    editor: Account | None = None
    reactions: list[tuple[str, str]] = field(default_factory=list)
    """Who reacted, and how, by REST's names of reactions."""


@dataclass(slots=True, kw_only=True)
class Issue:
    """An issue, or what a pull request has in common with one."""

    id: int
    number: int
    author: Account
    title: str
    body: str | None
    created_at: str
    updated_at: str
    state: str = "open"
    closed_at: str | None = None
    closed_by: Account | None = None
    labels: list[Label] = field(default_factory=list)
    assignees: list[Account] = field(default_factory=list)
    locked: bool = False


@dataclass(slots=True, kw_only=True)
class Pull(Issue):
    head_repository: Repository | None
    """None where the fork is gone."""
    head_label: str
    head_ref: str
    head_sha: str
    base_ref: str
    base_sha: str
    draft: bool = False
    merged_at: str | None = None
    merged_by: Account | None = None
    merge_commit: str | None = None
    reviewers: list[Account] = field(default_factory=list)
    maintainer_can_modify: bool = False
    disturbed: str = ""
    """Why a closed one cannot be opened again: its branch was `deleted` or `force-pushed or recreated`."""


@dataclass(slots=True, kw_only=True)
class CheckRun:
    id: int
    name: str
    head_sha: str
    app: App | None
    status: str = "queued"
    conclusion: str | None = None
    external_id: str = ""
    details_url: str | None = None
    started_at: str | None = None
    completed_at: str | None = None
    output: dict[str, Any] = field(default_factory=dict)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    actions: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Repository:
    id: int
    owner: Account
    name: str
    git: Git
    created_at: str
    private: bool = True
    archived: bool = False
    disabled: bool = False
    default_branch: str = "main"
    parent: Repository | None = None
    pushed_at: str = ""
    drafts: bool = True
    """Whether its plan knows draft pull requests."""
    issues: dict[int, Issue] = field(default_factory=dict)
    comments: dict[int, Comment] = field(default_factory=dict)
    reviews: dict[int, Review] = field(default_factory=dict)
    review_comments: dict[int, ReviewComment] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    """By name in lower case."""
    checks: dict[int, CheckRun] = field(default_factory=dict)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    rules: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Active rules by branch; `*` for every branch."""
    bypassed: set[int] = field(default_factory=set)
    """Rulesets that the App may pass."""
    roles: dict[str, str] = field(default_factory=dict)
    """Collaborators: login to `read`, `triage`, `write`, `maintain`, `admin`."""
    releases: list[dict[str, Any]] = field(default_factory=list)
    actions_policy: dict[str, Any] = field(
        default_factory=lambda: {"enabled": True, "allowed_actions": "all"}
    )

    @property
    def full_name(self) -> str:
        return f"{self.owner.login}/{self.name}"

    @property
    def pulls(self) -> dict[int, Pull]:
        """Pull requests by number."""
        return {number: issue for number, issue in self.issues.items() if isinstance(issue, Pull)}

    @property
    def empty(self) -> bool:
        """Whether nothing was ever pushed."""
        return not self.git.refs

    def rules_for(self, branch: str) -> list[dict[str, Any]]:
        """Return the rules in force for a branch, whether it exists or not."""
        return self.rules.get("*", []) + self.rules.get(branch, [])


@dataclass(slots=True, kw_only=True)
class App:
    id: int
    slug: str
    owner: Account
    bot: Account
    client_id: str
    public_key: str
    created_at: str
    permissions: dict[str, str]
    events: list[str]


@dataclass(slots=True, kw_only=True)
class Installation:
    id: int
    account: Account
    permissions: dict[str, str]
    created_at: str
    repositories: list[Repository] | None = None
    """None where all of the account's repositories are selected."""
    suspended_at: str | None = None
    suspended_by: Account | None = None


@dataclass(slots=True, kw_only=True)
class Token:
    value: str
    installation: Installation
    permissions: dict[str, str]
    repositories: list[Repository] | None
    """None where it was not narrowed."""
    expires: float


@dataclass(slots=True, kw_only=True)
class Delivery:
    id: int
    guid: str
    event: str
    action: str | None
    delivered_at: str
    headers: dict[str, str]
    body: bytes
    payload: dict[str, Any]
    installation_id: int | None
    repository_id: int | None
    status_code: int = 202
    """What the receiver said; 0 where nobody answered."""
    redelivery: bool = False

    @property
    def ok(self) -> bool:
        return 200 <= self.status_code < 400


@dataclass(slots=True, kw_only=True)
class World:
    url: str
    """The base of the REST interface, without a slash at its end."""
    web: str
    """The base of the pages for people."""
    enterprise: bool
    app: App
    folder: Path | None = None
    clock: Clock = field(default_factory=Clock)
    accounts: dict[str, Account] = field(default_factory=dict)
    """By login in lower case."""
    repositories: dict[int, Repository] = field(default_factory=dict)
    former: dict[str, int] = field(default_factory=dict)
    """Where a repository was once: full name in lower case to its id."""
    installations: dict[int, Installation] = field(default_factory=dict)
    tokens: dict[str, Token] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    """Oldest first."""
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1001))
    hook_url: str = ""
    hook_secret: str = ""
    redeliver: list[Delivery] = field(default_factory=list)
    """What the App asked to be delivered once more."""
    manifests: dict[str, dict[str, str]] = field(default_factory=dict)
    """Codes of the manifest flow, each good once, and the secrets that they are exchanged for."""
    hourly: int = 5000
    """The primary limit of one installation an hour, for REST and for GraphQL each; 0 for none."""
    resets: float = field(default_factory=lambda: time.time() + 3600)
    used: Counter[tuple[int, str]] = field(default_factory=Counter)
    """By installation and `core` or `graphql`."""
    signs: bool = True
    """Whether the server signs commits made through it; Enterprise Server only does where it was set up."""

    def next(self) -> int:
        """Return an id that nothing has yet."""
        return next(self.numbers)

    def account(self, login: str, kind: str = "User") -> Account:
        """Return an account, made where there is none."""
        found = self.accounts.get(login.lower())
        if found is None:
            found = self.accounts[login.lower()] = Account(id=self.next(), login=login, type=kind)
        return found

    def named(self, full_name: str) -> Repository | None:
        """Return the repository that has this name now, or None."""
        wanted = full_name.lower()
        return next((one for one in self.repositories.values() if one.full_name.lower() == wanted), None)

    def moved(self, full_name: str) -> Repository | None:
        """Return the repository that had this name once, or None."""
        return self.repositories.get(self.former.get(full_name.lower(), 0))

    def covered(self, installation: Installation) -> list[Repository]:
        """Return the repositories of an installation, by id."""
        if installation.repositories is not None:
            # What was deleted, or given to somebody else, is covered no more.
            return sorted(
                (
                    one
                    for one in installation.repositories
                    if one.id in self.repositories and one.owner is installation.account
                ),
                key=lambda one: one.id,
            )
        return [one for one in self.repositories.values() if one.owner is installation.account]

    def installation_of(self, repository: Repository) -> Installation | None:
        """Return the installation that covers a repository, or None."""
        for one in self.installations.values():
            if one.account is repository.owner and any(each is repository for each in self.covered(one)):
                return one
        return None

    def role(self, repository: Repository, login: str) -> str:
        """Return a person's role: owners administrate, everybody reads what is public."""
        if repository.owner.login.lower() == login.lower():
            return "admin"
        for name, role in repository.roles.items():
            if name.lower() == login.lower():
                return role
        return "none" if repository.private else "read"

    def budget(self, token: Token | None, resource: str) -> int:
        """Return how many requests are left of an installation's hour."""
        if self.clock.now() >= self.resets:
            self.used.clear()
            self.resets = self.clock.now() + 3600
        spent = 0 if token is None else self.used[token.installation.id, resource]
        return max(0, self.hourly - spent)

    def recent_deliveries(self) -> list[Delivery]:
        """Return what is kept: three days, or seven on Enterprise Server."""
        kept = (7 if self.enterprise else 3) * 86400
        since = self.clock.stamp(self.clock.now() - kept)
        return [one for one in self.deliveries if one.delivered_at >= since]

    def comment(self, repository: Repository, one: Issue, author: Account, body: str) -> Comment:
        """Add a comment to an issue or pull request."""
        now = self.clock.stamp()
        made = Comment(
            id=self.next(), number=one.number, author=author, body=body, created_at=now, updated_at=now
        )
        repository.comments[made.id] = made
        one.updated_at = now
        return made

    def merge(self, repository: Repository, pull: Pull, by: Account, *, squash: bool = False) -> str:
        """Merge a pull request by a merge commit, or squashed into one, that the forge signs; return it."""
        sha = self.merge_commit(repository, pull, by, squash=squash)
        self.move(repository, f"refs/heads/{pull.base_ref}", sha, by)
        if squash:
            self.merged(pull, sha, by)
        return sha

    def merge_commit(self, repository: Repository, pull: Pull, by: Account, *, squash: bool = False) -> str:
        """Return a commit that merges a pull request into its base's head, on no branch yet."""
        git = repository.git
        tree, base = git.tree_of(pull.head_sha), git.branch(pull.base_ref)
        assert tree is not None
        assert base is not None
        fork = git.merge_base(base, pull.head_sha)
        before = None if fork is None else git.tree_of(fork)
        changes = {
            change.path: None if change.new is None else (change.new.mode, change.new.sha)
            for change in git.changes(before, tree)
        }
        now = int(self.clock.now())
        return git.commit(
            git.grafted(git.tree_of(base), changes),
            [base] if squash else [base, pull.head_sha],
            f"{pull.title} (#{pull.number})"
            if squash
            else f"Merge pull request #{pull.number} from {pull.head_label.replace(':', '/')}",
            author=(by.login, f"{by.id}+{by.login}@users.noreply.github.com", now),
            committer=(*WEB_FLOW, now),
            signature=SIGNATURE,
        )

    # --- what every move of a branch brings with it

    def move(self, repository: Repository, ref: str, sha: str | None, by: Account) -> None:
        """Create, move or (by None) delete a ref; pull requests follow as they do on GitHub."""
        before = repository.git.ref(ref)
        if sha is None:
            repository.git.drop_ref(ref)
        else:
            repository.git.set_ref(ref, sha)
        repository.pushed_at = self.clock.stamp()
        if not ref.startswith("refs/heads/"):
            return
        branch = ref.removeprefix("refs/heads/")
        for base in list(self.repositories.values()):
            for pull in base.pulls.values():
                if pull.head_repository is repository and pull.head_ref == branch:
                    self._follow(base, pull, before, sha, by)
                if base is repository and pull.base_ref == branch and pull.state == "open":
                    self._landed(base, pull, sha, by)

    def _follow_lines(self, base: Repository, pull: Pull, was: str) -> None:
        for one in base.review_comments.values():
            if one.number != pull.number or one.line is None:
                continue
            before, after = (self._file(base, sha, one.path) for sha in (was, pull.head_sha))
            if before is not None:
                one.follow(before, after)

    @staticmethod
    def _file(repository: Repository, commit: str, path: str) -> bytes | None:
        tree = repository.git.tree_of(commit)
        found = None if tree is None else repository.git.lookup(tree, path)
        return None if found is None or found.type != "blob" else repository.git.data(found.sha)

    def _follow(self, base: Repository, pull: Pull, before: str | None, sha: str | None, by: Account) -> None:
        if pull.state == "closed":
            if sha is None:
                pull.disturbed = "deleted"
            elif sha == pull.head_sha:
                pull.disturbed = ""
            elif before is None or pull.head_sha not in base.git.ancestors(sha):
                pull.disturbed = "force-pushed or recreated"
            return
        if sha is None:
            self.close(pull, by)
            pull.disturbed = "deleted"
            return
        was, pull.head_sha = pull.head_sha, sha
        self._follow_lines(base, pull, was)
        pull.updated_at = self.clock.stamp()
        base.git.set_ref(f"refs/pull/{pull.number}/head", sha)
        # A branch that has nothing of its own left closes its pull request.
        base_head = base.git.branch(pull.base_ref)
        if base_head is not None and not base.git.between(base_head, sha):
            self.close(pull, by)

    def _landed(self, base: Repository, pull: Pull, sha: str | None, by: Account) -> None:
        if sha is None:
            self.close(pull, by)
        elif pull.head_sha in base.git.ancestors(sha):
            self.merged(pull, sha, by)
        else:
            pull.base_sha = sha

    def close(self, pull: Issue, by: Account) -> None:
        """Close an issue or pull request."""
        pull.state = "closed"
        pull.closed_at = pull.updated_at = self.clock.stamp()
        pull.closed_by = by

    def merged(self, pull: Pull, sha: str, by: Account) -> None:
        """Take a pull request as merged by a commit."""
        self.close(pull, by)
        pull.merged_at, pull.merged_by, pull.merge_commit = pull.closed_at, by, sha

    def open_pull(
        self,
        base: Repository,
        *,
        author: Account,
        head_repository: Repository,
        head: str,
        into: str,
        title: str,
        body: str | None = None,
        draft: bool = False,
        modifiable: bool = False,
    ) -> Pull:
        """Open a pull request; raises `Refused` where GitHub would."""
        sha = head_repository.git.branch(head)
        onto = base.git.branch(into)
        wrong = [name for name, found in (("head", sha), ("base", onto)) if found is None]
        if sha is None or onto is None:
            raise Refused(
                422,
                "Validation Failed",
                errors=[{"resource": "PullRequest", "field": name, "code": "invalid"} for name in wrong],
            )
        label = f"{head_repository.owner.login}:{head}"
        for pull in base.pulls.values():
            if (
                pull.state == "open"
                and pull.head_repository is head_repository
                and (pull.head_ref, pull.base_ref) == (head, into)
            ):
                raise invalid("PullRequest", message=f"A pull request already exists for {label}.")
        if draft and not base.drafts:
            raise Refused(422, "Draft pull requests are not supported in this repository.")
        if not base.git.between(onto, sha):
            raise invalid("PullRequest", message=f"No commits between {into} and {head}")
        now = self.clock.stamp()
        number = max(base.issues, default=0) + 1
        made = Pull(
            id=self.next(),
            number=number,
            author=author,
            title=title,
            body=body,
            created_at=now,
            updated_at=now,
            head_repository=head_repository,
            head_label=label,
            head_ref=head,
            head_sha=sha,
            base_ref=into,
            base_sha=onto,
            draft=draft,
            maintainer_can_modify=modifiable,
        )
        base.issues[number] = made
        base.git.set_ref(f"refs/pull/{number}/head", sha)
        return made

    def reopen(self, base: Repository, pull: Issue) -> None:
        """Open a closed issue or pull request again; raises `Refused` where GitHub would."""
        if isinstance(pull, Pull):
            if pull.merged_at is not None:
                raise invalid(
                    "PullRequest", "state", message="state cannot be changed. The pull request is merged."
                )
            head = pull.head_repository
            if pull.disturbed or head is None or head.git.branch(pull.head_ref) is None:
                why = pull.disturbed or "deleted"
                raise invalid(
                    "PullRequest",
                    "state",
                    message=f"state cannot be changed. The {pull.head_ref} branch "
                    + ("has been deleted." if why == "deleted" else f"was {why}."),
                )
            for other in base.pulls.values():
                if (
                    other.state == "open"
                    and other.head_repository is head
                    and (other.head_ref, other.base_ref) == (pull.head_ref, pull.base_ref)
                ):
                    raise invalid(
                        "PullRequest",
                        "state",
                        message="state cannot be changed. There is already an open pull request from "
                        f"{pull.head_label} to {pull.base_ref}.",
                    )
            sha = head.git.branch(pull.head_ref)
            assert sha is not None
            was, pull.head_sha = pull.head_sha, sha
            self._follow_lines(base, pull, was)
        pull.state, pull.closed_at, pull.closed_by = "open", None, None
        pull.updated_at = self.clock.stamp()
