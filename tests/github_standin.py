"""A stand-in for GitHub on loopback, held to GitHub's own contract.

It serves the REST interface and GraphQL over real git objects.  Every request that arrives and every answer that
it gives is held to GitHub's OpenAPI description and GraphQL schema (`tests/contracts`); one that is not what
they say is kept in `violations`, answered with 500, and fails the test in the end.  What schemas do not say
(who may what, what refuses what, limits, faults) is written by hand after GitHub's documentation.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import github_graphql
import github_rest_app
import github_rest_git
import github_rest_pulls
from contract_checks import Contract, ContractError, contract, payloads
from flask import Flask, Request, Response, request
from github_access import allow, caller, issue, key_pair, sees
from github_call import Answer, Call, Caller, Route, Switches, refusal, response
from github_faults import Fault, HangUp
from github_git import Content, Git
from github_hooks import Hooks
from github_shapes import Json, Shapes
from github_world import (
    SIGNATURE,
    WEB_FLOW,
    Account,
    App,
    CheckRun,
    Comment,
    Delivery,
    Installation,
    Issue,
    Pull,
    Refused,
    Repository,
    Review,
    ReviewComment,
    Token,
    World,
)
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

__all__ = ["GitHub", "Seen", "github"]

PERMISSIONS = {
    "metadata": "read",
    "contents": "write",
    "pull_requests": "write",
    "workflows": "write",
    "checks": "write",
    "issues": "read",
    "merge_queues": "read",
}
EVENTS = [
    "push",
    "pull_request",
    "issue_comment",
    "pull_request_review",
    "pull_request_review_comment",
    "merge_group",
    "repository",
]
# These come whatever an App subscribes to.
_ALWAYS = frozenset({"ping", "installation", "installation_repositories", "installation_target"})
_OWN_CHECKS = frozenset({"rerequested", "requested_action"})
ROUTES: dict[str, Route] = github_rest_app.ROUTES | github_rest_git.ROUTES | github_rest_pulls.ROUTES
Send = Callable[[Mapping[str, str], bytes], int]


@dataclass(slots=True, kw_only=True)
class Seen:
    """One request as it arrived, and what became of it."""

    method: str
    path: str
    """Below the base, without the query."""
    route: str
    """The contract's operation, `POST /repos/{owner}/{repo}/pulls`; `POST /graphql`; empty for none."""
    query: str
    kind: str
    """`app`, `installation` or `anonymous`."""
    token: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    at: float
    """When it arrived, by the stand-in's clock."""
    status: int = 0
    """What was answered; 0 while nothing was."""


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  # the base's name
        """Say nothing."""


@dataclass(slots=True, kw_only=True)
class GitHub:
    """A running stand-in, and what a test does at it as a person."""

    world: World
    contract: Contract
    host: str
    switches: Switches = field(default_factory=Switches)
    validates: bool = True
    requests: list[Seen] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    queue: list[Delivery] = field(default_factory=list)
    """Webhooks of what happened that were not sent yet, oldest first."""
    most: int = 0
    """How many requests there were at once, at most."""
    _now: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    private_key: str = ""
    shapes: Shapes = field(init=False)
    hooks: Hooks = field(init=False)

    def __post_init__(self) -> None:
        self.shapes = Shapes(self.world)
        self.hooks = Hooks(self.world, self.shapes)

    @property
    def url(self) -> str:
        """The base of the REST interface."""
        return self.world.url

    @property
    def enterprise(self) -> bool:
        return self.world.enterprise

    @property
    def graphql_url(self) -> str:
        return f"{self.world.web}{'/api' if self.enterprise else ''}/graphql"

    @property
    def app_id(self) -> int:
        return self.world.app.id

    @property
    def bot(self) -> str:
        """The login of the App's bot: `moorline[bot]`."""
        return self.world.app.bot.login

    # --- what was asked

    def count(self, method: str = "*", route: str = "*", kind: str = "*") -> int:
        """Return how many requests there were of a method, operation or path, and kind of token; patterns."""
        with self.lock:
            return sum(
                fnmatchcase(one.method, method)
                and (fnmatchcase(one.route.partition(" ")[2], route) or fnmatchcase(one.path, route))
                and fnmatchcase(one.kind, kind)
                for one in self.requests
            )

    def asked(self) -> list[str]:
        """Return every request as `POST /repos/{owner}/{repo}/pulls`, in order."""
        with self.lock:
            return [one.route or f"{one.method} {one.path}" for one in self.requests]

    def forget(self) -> None:
        """Count from here on."""
        with self.lock:
            self.requests.clear()

    # --- accounts, repositories, installations

    def account(self, login: str, kind: str = "User") -> Account:
        """Return an account, made where there is none: a `User` or an `Organization`."""
        with self.lock:
            return self.world.account(login, kind)

    def repository(
        self,
        full_name: str,
        files: Mapping[str, Content] | None = None,
        *,
        private: bool = True,
        branch: str = "main",
        organization: bool = True,
        message: str = "Start",
        roles: Mapping[str, str] | None = None,
        installed: bool = True,
    ) -> Repository:
        """Make a repository with one commit, or an empty one where `files` is None.

        An account's installation on selected repositories takes it in, unless it is not to be `installed`.
        """
        owner, _, name = full_name.partition("/")
        with self.lock:
            assert self.world.named(full_name) is None, f"{full_name} is there already"
            account = self.world.account(owner, "Organization" if organization else "User")
            folder = None if self.world.folder is None else self.world.folder / owner / f"{name}.git"
            made = Repository(
                id=self.world.next(),
                owner=account,
                name=name,
                git=Git(folder),
                created_at=self.world.clock.stamp(),
                private=private,
                default_branch=branch,
                roles=dict(roles or {}),
            )
            for login in made.roles:
                self.world.account(login)
            self.world.repositories[made.id] = made
            self.world.former.pop(full_name.lower(), None)
            if files is not None:
                made.git.set_ref(f"refs/heads/{branch}", self._commit(made, account, None, files, message))
                made.pushed_at = self.world.clock.stamp()
            for one in self.world.installations.values():
                if installed and one.account is account and one.repositories is not None:
                    one.repositories.append(made)
            return made

    def install(
        self,
        owner: str,
        *,
        repositories: Sequence[str] | None = None,
        permissions: Mapping[str, str] | None = None,
        organization: bool = True,
    ) -> Installation:
        """Install the App for an account: on all of its repositories, or on the named ones."""
        with self.lock:
            account = self.world.account(owner, "Organization" if organization else "User")
            made = Installation(
                id=self.world.next(),
                account=account,
                permissions=dict(self.world.app.permissions if permissions is None else permissions),
                created_at=self.world.clock.stamp(),
                repositories=None if repositories is None else [self[name] for name in repositories],
            )
            self.world.installations[made.id] = made
            self._happened("installation", "created", installation=made, sender=account)
            return made

    def uninstall(self, installation: Installation) -> None:
        """Take the App away from an account; its tokens are void."""
        with self.lock:
            self._happened("installation", "deleted", installation=installation, sender=installation.account)
            del self.world.installations[installation.id]

    def suspend(self, installation: Installation, *, by: str = "") -> None:
        """Suspend an installation."""
        with self.lock:
            installation.suspended_by = self.world.account(by) if by else installation.account
            installation.suspended_at = self.world.clock.stamp()
            self._happened("installation", "suspend", installation=installation, sender=installation.account)

    def unsuspend(self, installation: Installation) -> None:
        """Let a suspended installation go on."""
        with self.lock:
            installation.suspended_at = installation.suspended_by = None
            self._happened(
                "installation", "unsuspend", installation=installation, sender=installation.account
            )

    def select(
        self, installation: Installation, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> None:
        """Add repositories to an installation, or take some from it."""
        with self.lock:
            covered = self.world.covered(installation)
            added, removed = [self[name] for name in add], [self[name] for name in remove]
            kept = [one for one in covered if all(one is not each for each in removed)]
            installation.repositories = kept + [one for one in added if all(one is not each for each in kept)]
            for action, about in (("added", {"added": added}), ("removed", {"removed": removed})):
                if about[action]:
                    self._happened(
                        "installation_repositories",
                        action,
                        installation=installation,
                        sender=installation.account,
                        **about,
                    )

    def grant(self, installation: Installation, **permissions: str) -> None:
        """Change what an installation allows, as its owner does by accepting new permissions."""
        with self.lock:
            installation.permissions.update(permissions)
            self._happened(
                "installation",
                "new_permissions_accepted",
                installation=installation,
                sender=installation.account,
            )

    def token(self, installation: Installation, **asked: Any) -> Token:
        """Return a token of an installation without asking for it: `permissions`, `repositories`."""
        with self.lock:
            return issue(self.world, self.switches, installation, asked)

    def fork(self, of: str, owner: str, *, name: str = "", private: bool | None = None) -> Repository:
        """Fork a repository into a person's account; forks share objects with their parent."""
        with self.lock:
            parent = self[of]
            made = self.repository(f"{owner}/{name or parent.name}", None, organization=False)
            made.private = parent.private if private is None else private
            made.parent, made.default_branch = parent, parent.default_branch
            made.git.adopt(parent.git)
            return made

    def __getitem__(self, full_name: str) -> Repository:
        with self.lock:
            found = self.world.named(full_name)
        if found is None:
            raise KeyError(full_name)
        return found

    def rename(self, full_name: str, name: str) -> Repository:
        """Rename a repository; its old name leads to it until another takes it."""
        with self.lock:
            one = self[full_name]
            before, one.name = one.name, name
            self.world.former[full_name.lower()] = one.id
            self._happened("repository", "renamed", repository=one, sender=one.owner, before=before)
            return one

    def transfer(self, full_name: str, owner: str, *, organization: bool = True) -> Repository:
        """Give a repository to another account."""
        with self.lock:
            one = self[full_name]
            before, one.owner = (
                one.owner,
                self.world.account(owner, "Organization" if organization else "User"),
            )
            self.world.former[full_name.lower()] = one.id
            self._happened("repository", "transferred", repository=one, sender=one.owner, before=before)
            return one

    def archive(self, full_name: str, archived: bool = True) -> None:
        """Archive a repository, or bring it back."""
        with self.lock:
            one = self[full_name]
            one.archived = archived
            self._happened(
                "repository", "archived" if archived else "unarchived", repository=one, sender=one.owner
            )

    def remove(self, full_name: str) -> None:
        """Delete a repository."""
        with self.lock:
            one = self[full_name]
            self._happened("repository", "deleted", repository=one, sender=one.owner)
            del self.world.repositories[one.id]
            for each in self.world.repositories.values():
                for pull in each.pulls.values():
                    if pull.head_repository is one:
                        pull.head_repository = None

    # --- branches and files

    def push(
        self,
        full_name: str,
        files: Mapping[str, Content],
        *,
        branch: str = "",
        by: str = "",
        message: str = "A change",
        onto: str | None = None,
        force: bool = False,
        signed: bool = False,
    ) -> str:
        """Push one commit as a person (the bot's login for the bot) and return it.

        It stands on `onto`, else on the branch's head, else on the default branch's.
        """
        with self.lock:
            one = self[full_name]
            person = self._person(one, by)
            branch = branch or one.default_branch
            head = one.git.branch(branch)
            parent = onto or head or one.git.branch(one.default_branch)
            sha = self._commit(one, person, parent, files, message, signed=signed)
            assert force or head is None or head in one.git.ancestors(sha), "not a fast forward"
            self.move(full_name, branch, sha, by=by)
            return sha

    def move(self, full_name: str, branch: str, sha: str | None, *, by: str = "") -> None:
        """Make a branch point to a commit, or (by None) delete it, as a person."""
        with self.lock:
            one = self[full_name]
            person = self._person(one, by)
            ref = branch if branch.startswith("refs/") else f"refs/heads/{branch}"
            before = one.git.ref(ref)
            about = {"ref": ref, "before": before, "after": sha}
            self._moved(one, person, about, lambda: self.world.move(one, ref, sha, person))

    def head(self, full_name: str, branch: str = "") -> str | None:
        """Return the head of a branch, of the default one where none is named; or None."""
        with self.lock:
            one = self[full_name]
            return one.git.branch(branch or one.default_branch)

    def read(self, full_name: str, path: str, at: str = "") -> bytes | None:
        """Return a file at a branch or commit, or None where there is none."""
        with self.lock:
            one = self[full_name]
            entry = self._entry(one, path, at)
            return None if entry is None else one.git.data(entry[1])

    def mode(self, full_name: str, path: str, at: str = "") -> int | None:
        """Return a file's mode at a branch or commit, or None where there is none."""
        with self.lock:
            entry = self._entry(self[full_name], path, at)
            return None if entry is None else entry[0]

    def _entry(self, one: Repository, path: str, at: str) -> tuple[int, str] | None:
        sha = one.git.resolve(at or one.default_branch)
        tree = None if sha is None else one.git.tree_of(sha)
        found = None if tree is None else one.git.lookup(tree, path)
        return None if found is None else (found.mode, found.sha)

    def branches(self, full_name: str) -> dict[str, str]:
        """Return every branch with its head."""
        with self.lock:
            return {
                name.removeprefix("refs/heads/"): sha
                for name, sha in self[full_name].git.refs.items()
                if name.startswith("refs/heads/")
            }

    def _person(self, one: Repository, login: str) -> Account:
        if not login:
            return one.owner
        return self.world.account(login)

    def _commit(
        self,
        one: Repository,
        person: Account,
        parent: str | None,
        files: Mapping[str, Content],
        message: str,
        *,
        signed: bool = False,
    ) -> str:
        now = int(self.world.clock.now())
        tree = one.git.written(None if parent is None else one.git.tree_of(parent), files)
        return one.git.commit(
            tree,
            [] if parent is None else [parent],
            message,
            author=(person.login, f"{person.id}+{person.login}@users.noreply.github.com", now),
            committer=(*WEB_FLOW, now) if signed else None,
            signature=SIGNATURE if signed else "",
        )

    def _moved(self, one: Repository, person: Account, about: Json, act: Callable[[], None]) -> None:
        """Move a branch and tell of it: the push, and what it does to pull requests."""
        pulls = [
            (base, pull, pull.state, pull.head_sha)
            for base in self.world.repositories.values()
            for pull in base.pulls.values()
        ]
        act()
        if about["before"] != about["after"]:
            self._happened("push", repository=one, sender=person, **about)
        for base, pull, state, head in pulls:
            if pull.state != state:
                self._happened("pull_request", "closed", repository=base, sender=person, pull=pull)
            elif pull.head_sha != head:
                ends = {"before": head, "after": pull.head_sha}
                self._happened(
                    "pull_request", "synchronize", repository=base, sender=person, pull=pull, **ends
                )

    # --- pull requests and comments, as a person

    def pulls(self, full_name: str, state: str = "all") -> list[Pull]:
        """Return pull requests by number: `open`, `closed` or `all`."""
        with self.lock:
            found = self[full_name].pulls
            return [found[number] for number in sorted(found) if state in ("all", found[number].state)]

    def comments(self, full_name: str, number: int) -> list[Comment]:
        """Return an issue's or pull request's comments, oldest first."""
        with self.lock:
            return [one for one in self[full_name].comments.values() if one.number == number]

    def checks(self, full_name: str, sha: str = "") -> list[CheckRun]:
        """Return check runs, oldest first."""
        with self.lock:
            return [one for one in self[full_name].checks.values() if sha in ("", one.head_sha)]

    def open_pull(
        self,
        full_name: str,
        head: str,
        *,
        base: str = "",
        by: str = "",
        title: str = "A proposal",
        body: str = "",
        draft: bool = False,
        head_repository: str = "",
    ) -> Pull:
        """Open a pull request as a person, from a fork where one is named."""
        with self.lock:
            one = self[full_name]
            person = self._person(one, by)
            made = self.world.open_pull(
                one,
                author=person,
                head_repository=self[head_repository] if head_repository else one,
                head=head,
                into=base or one.default_branch,
                title=title,
                body=body,
                draft=draft,
            )
            self._happened("pull_request", "opened", repository=one, sender=person, pull=made)
            return made

    def close_pull(self, full_name: str, number: int, *, by: str = "") -> None:
        """Close a pull request (or issue) as a person."""
        with self.lock:
            one = self[full_name]
            person, pull = self._person(one, by), one.issues[number]
            self.world.close(pull, person)
            self._happened("pull_request", "closed", repository=one, sender=person, pull=pull)

    def reopen_pull(self, full_name: str, number: int, *, by: str = "") -> None:
        """Open a closed pull request again as a person."""
        with self.lock:
            one = self[full_name]
            self.world.reopen(one, one.issues[number])
            self._happened(
                "pull_request",
                "reopened",
                repository=one,
                sender=self._person(one, by),
                pull=one.issues[number],
            )

    def merge_pull(
        self,
        full_name: str,
        number: int,
        *,
        by: str = "",
        squash: bool = False,
        delete_branch: bool = False,
    ) -> str:
        """Merge a pull request as a person; return the merge commit."""
        with self.lock:
            one = self[full_name]
            person, pull = self._person(one, by), one.pulls[number]
            before, made = one.git.branch(pull.base_ref), ""

            def act() -> None:
                nonlocal made
                made = self.world.merge(one, pull, person, squash=squash)

            about: Json = {"ref": f"refs/heads/{pull.base_ref}", "before": before, "after": ""}
            self._moved(one, person, {**about, "after": before}, act)
            self._happened("push", repository=one, sender=person, **{**about, "after": made})
            if delete_branch and pull.head_repository is not None:
                self.move(pull.head_repository.full_name, pull.head_ref, None, by=by)
            return made

    def comment(self, full_name: str, number: int, body: str, *, by: str = "") -> Comment:
        """Comment on a pull request or issue as a person."""
        with self.lock:
            one = self[full_name]
            person, issue_ = self._person(one, by), one.issues[number]
            made = self.world.comment(one, issue_, person, body)
            self._happened(
                "issue_comment", "created", repository=one, sender=person, pull=issue_, comment=made
            )
            return made

    def open_issue(self, full_name: str, *, title: str = "A question", by: str = "", body: str = "") -> Issue:
        """Open an issue as a person."""
        with self.lock:
            one, now = self[full_name], self.world.clock.stamp()
            made = Issue(
                id=self.world.next(),
                number=max(one.issues, default=0) + 1,
                author=self._person(one, by),
                title=title,
                body=body,
                created_at=now,
                updated_at=now,
            )
            one.issues[made.number] = made
            return made

    def review_comment(
        self,
        full_name: str,
        number: int,
        path: str,
        line: int,
        body: str,
        *,
        by: str = "",
        reply_to: int | None = None,
    ) -> ReviewComment:
        """Comment on a line of a pull request's diff as a person."""
        with self.lock:
            one = self[full_name]
            person, pull = self._person(one, by), one.pulls[number]
            made = ReviewComment(
                id=self.world.next(),
                number=number,
                author=person,
                body=body,
                path=path,
                line=line,
                commit=pull.head_sha,
                created_at=self.world.clock.stamp(),
                reply_to=reply_to,
            )
            one.review_comments[made.id] = made
            self._happened(
                "pull_request_review_comment",
                "created",
                repository=one,
                sender=person,
                pull=pull,
                comment=made,
            )
            return made

    def review(
        self, full_name: str, number: int, body: str, *, by: str = "", state: str = "COMMENTED"
    ) -> Review:
        """Review a pull request with a summary as a person; a pending review is told to nobody."""
        with self.lock:
            one = self[full_name]
            person, pull = self._person(one, by), one.pulls[number]
            made = Review(
                id=self.world.next(),
                number=number,
                author=person,
                body=body,
                state=state,
                commit=pull.head_sha,
                submitted_at=self.world.clock.stamp(),
            )
            one.reviews[made.id] = made
            if state != "PENDING":
                self._reviewed("submitted", one, made, person)
            return made

    def edit_review(self, full_name: str, review: int, body: str, *, by: str = "") -> None:
        """Edit the summary of a review as a person, by default as its author."""
        with self.lock:
            one = self[full_name]
            made = one.reviews[review]
            before, person = made.body, self._person(one, by or made.author.login)
            made.body, made.editor = body, person
            made.edited_at = self.world.clock.stamp()
            self._reviewed("edited", one, made, person, before=before)

    def dismiss_review(self, full_name: str, review: int, *, by: str = "") -> None:
        """Dismiss a review as a person."""
        with self.lock:
            one = self[full_name]
            made = one.reviews[review]
            assert made.state in ("APPROVED", "CHANGES_REQUESTED"), "GitHub dismisses no other review"
            made.state = "DISMISSED"
            self._reviewed("dismissed", one, made, self._person(one, by))

    def _reviewed(self, action: str, one: Repository, review: Review, person: Account, **about: Any) -> None:
        self._happened(
            "pull_request_review",
            action,
            repository=one,
            sender=person,
            pull=one.pulls[review.number],
            review=review,
            **about,
        )

    def merge_group(self, full_name: str, number: int, *, by: str = "") -> str:
        """Put a pull request into the merge queue; return the group's head, whose checks are asked for."""
        with self.lock:
            one = self[full_name]
            person, pull = self._person(one, by), one.pulls[number]
            base = one.git.branch(pull.base_ref)
            sha = self.world.merge_commit(one, pull, person)
            branch = f"gh-readonly-queue/{pull.base_ref}/pr-{number}-{base}"
            self.move(full_name, branch, sha, by=by)
            self._happened(
                "merge_group",
                "checks_requested",
                repository=one,
                sender=person,
                head_sha=sha,
                head_ref=f"refs/heads/{branch}",
                base_sha=base,
                base_ref=f"refs/heads/{pull.base_ref}",
            )
            return sha

    def rerequest(self, full_name: str, check: int, *, by: str = "") -> None:
        """Ask for a check run of the App's once more, as a person."""
        with self.lock:
            one = self[full_name]
            self._happened(
                "check_run",
                "rerequested",
                repository=one,
                sender=self._person(one, by),
                check=one.checks[check],
            )

    def press(self, full_name: str, check: int, identifier: str, *, by: str = "") -> None:
        """Press a button of a check run of the App's, as a person."""
        with self.lock:
            one = self[full_name]
            run = one.checks[check]
            assert identifier in [button["identifier"] for button in run.actions], "there is no such button"
            self._happened(
                "check_run",
                "requested_action",
                repository=one,
                sender=self._person(one, by),
                check=run,
                identifier=identifier,
            )

    # --- webhooks

    def _happened(self, event: str, action: str = "", **about: Any) -> None:
        """Queue a webhook where the App is told of such."""
        wanted = event in _ALWAYS or event in self.world.app.events
        if event in ("check_run", "check_suite") and action in _OWN_CHECKS:
            wanted = True
        repository, installation = about.get("repository"), about.get("installation")
        if installation is None and repository is not None:
            installation = self.world.installation_of(repository)
        if not wanted or installation is None or (installation.suspended_at and event != "installation"):
            return
        self.queue.append(self._delivery(event, action, **{**about, "installation": installation}))

    def _delivery(self, event: str, action: str, **about: Any) -> Delivery:
        made = self.hooks.delivery(event, action, **about)
        if self.validates:
            try:
                payloads("github-webhooks").check(event, action, made.payload)
            except ContractError as error:
                self.violations.append(str(error))
        return made

    def payload(
        self,
        event: str,
        action: str = "",
        *,
        repository: str = "",
        sender: str = "",
        installation: Installation | None = None,
        status_code: int = 202,
        guid: str = "",
        **about: Any,
    ) -> tuple[dict[str, str], bytes]:
        """Return an event's headers and raw body, and log it as delivered (or, by `status_code`, as failed).

        `about` is what the event is about: `ref`, `before`, `after` of a push, `pull`, `comment`, `check`,
        `head_sha`, `head_ref` and `base_sha` of a merge group, `added` and `removed` of an installation's
        repositories, `before` of what was renamed or transferred.
        """
        with self.lock:
            one = self[repository] if repository else None
            made = self._delivery(
                event,
                action,
                repository=one,
                installation=installation,
                sender=self.world.account(sender) if sender else None,
                guid=guid,
                **about,
            )
            made.status_code = status_code
            self.world.deliveries.append(made)
            return dict(made.headers), made.body

    def deliver(self, send: Send | None) -> list[Delivery]:
        """Send what is queued, oldest first, and what was asked for once more; return what was sent.

        `send` returns the receiver's status; what raises, and everything where `send` is None, went to
        nobody and stands as failed in the log.
        """
        with self.lock:
            waiting, self.queue[:] = list(self.queue), []
            again, self.world.redeliver[:] = list(self.world.redeliver), []
            waiting += [
                Delivery(
                    id=self.world.next(),
                    guid=one.guid,
                    event=one.event,
                    action=one.action,
                    delivered_at=self.world.clock.stamp(),
                    headers=one.headers,
                    body=one.body,
                    payload=one.payload,
                    installation_id=one.installation_id,
                    repository_id=one.repository_id,
                    redelivery=True,
                )
                for one in again
            ]
        for one in waiting:
            try:
                one.status_code = 0 if send is None else send(dict(one.headers), one.body)
            except OSError:
                one.status_code = 0
            with self.lock:
                self.world.deliveries.append(one)
        return waiting

    # --- faults

    def fail(
        self,
        method: str = "*",
        path: str = "*",
        *,
        status: int = 502,
        done: bool = False,
        times: int | None = 1,
        headers: Mapping[str, str] | None = None,
        body: bytes = b'{"message":"Server Error"}',
    ) -> Fault:
        """Answer the next such requests with an error; by `done` what they ask for happens all the same."""
        return self._fault(
            Fault(
                method=method,
                path=path,
                times=times,
                after=done,
                status=status,
                headers=dict(headers or {}),
                body=body,
            )
        )

    def cut(self, method: str = "*", path: str = "*", *, done: bool = False, times: int | None = 1) -> Fault:
        """Cut the connection of the next such requests without an answer."""
        return self._fault(Fault(method=method, path=path, times=times, after=done))

    def slow(self, method: str = "*", path: str = "*", *, done: bool = False, times: int | None = 1) -> Fault:
        """Keep the next such requests waiting until the fault's `release` is called."""
        return self._fault(Fault(method=method, path=path, times=times, after=done, waits=True))

    def secondary_limit(
        self,
        method: str = "*",
        path: str = "*",
        *,
        status: int = 403,
        retry_after: int | None = 60,
        times: int | None = 1,
    ) -> Fault:
        """Answer the next such requests as above a secondary limit, which is not told before it is met."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        body = (
            b'{"documentation_url":"https://docs.github.com/free-pro-team@latest/rest/overview/'
            b'rate-limits-for-the-rest-api#about-secondary-rate-limits","message":"You have exceeded a '
            b'secondary rate limit. Please wait a few minutes before you try again."}'
        )
        return self.fail(method, path, status=status, headers=headers, body=body, times=times)

    def exhaust(self, seconds: float = 600, *, status: int = 403, resource: str = "") -> None:
        """Use up the primary limit of every installation, for `core` or `graphql` or both, for so long."""
        with self.lock:
            self.world.hourly = self.world.hourly or 5000
            self.switches.limit_status = status
            self.world.resets = self.world.clock.now() + seconds
            for one in self.world.installations:
                for name in (resource,) if resource else ("core", "graphql"):
                    self.world.used[one, name] = self.world.hourly

    def _fault(self, fault: Fault) -> Fault:
        with self.lock:
            self.faults.append(fault)
        return fault

    # --- answering

    def answer(self, asked: Request) -> Response:
        """Answer one request; raises `HangUp` where the connection is to be cut."""
        with self.lock:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            return self._answer(asked)
        finally:
            with self.lock:
                self._now -= 1

    def _answer(self, asked: Request) -> Response:
        asked.get_data()
        base = "/api/v3" if self.enterprise else ""
        graphql = "/api/graphql" if self.enterprise else "/graphql"
        path = "/graphql" if asked.path == graphql else asked.path.removeprefix(base)
        inside = asked.path == graphql or asked.path.startswith(f"{base}/")
        seen = self._seen(asked, path)
        with self.lock:
            struck = [one for one in self.faults if inside and one.strikes(asked.method, path)]
        made = self._struck([one for one in struck if not one.after])
        if made is None:
            with self.lock:
                if not inside:
                    made = response(refusal(Refused(404, "Not Found")))
                elif path == "/graphql":
                    made = self._graphql(asked, seen)
                else:
                    made = self._rest(asked, path, seen)
            made = self._struck([one for one in struck if one.after]) or made
        made.headers["X-GitHub-Request-Id"] = f"{len(self.requests):04X}:{id(seen) & 0xFFFF:04X}"
        if self.enterprise:
            made.headers["X-GitHub-Enterprise-Version"] = "3.19.0"
        seen.status = made.status_code
        return made

    def _seen(self, asked: Request, path: str) -> Seen:
        authorization = asked.headers.get("Authorization", "")
        token = authorization.partition(" ")[2].strip()
        kind = "anonymous" if not token else "installation" if token.startswith("ghs_") else "app"
        operation = self.contract.find(asked.method, _plain(path))
        seen = Seen(
            method=asked.method,
            path=path,
            route="POST /graphql" if path == "/graphql" else "" if operation is None else str(operation),
            query=asked.query_string.decode("latin-1"),
            kind=kind,
            token=token,
            headers={name.lower(): value for name, value in asked.headers.items()},
            body=asked.get_data(),
            at=self.world.clock.now(),
        )
        with self.lock:
            self.requests.append(seen)
        return seen

    def _struck(self, faults: Sequence[Fault]) -> Response | None:
        for fault in faults:
            if fault.waits:
                fault.arrived.set()
                fault.released.wait(60)
            elif fault.status == 0:
                raise HangUp
            else:
                made = Response(
                    fault.body, status=fault.status, content_type="application/json; charset=utf-8"
                )
                made.headers.update(fault.headers)
                return made
        return None

    def _violated(self, what: object) -> Response:
        self.violations.append(str(what))
        return response(Answer({"message": f"Contract violated: {what}"}, 500))

    def _rest(self, asked: Request, path: str, seen: Seen) -> Response:
        operation = self.contract.find(asked.method, _plain(path))
        if operation is None:
            return self._violated(f"no operation {asked.method} {path} in the contract")
        route = ROUTES.get(str(operation))
        if path == "/rate_limit":
            return self._rate_limit(asked)
        if route is None:
            return self._violated(f"the stand-in does not know {operation}")
        call = Call(
            world=self.world,
            shapes=self.shapes,
            switches=self.switches,
            caller=Caller(kind="anonymous"),
            request=asked,
            parameters={**operation.parameters, "": path},
        )
        try:
            # Documented as a refusal, and so no violation of the schema that says it too.
            github_rest_pulls.refuse_annotations(path, asked.get_json(force=True, silent=True))
            if self.validates:
                self.contract.check_request(operation, asked)
            answered = self._handled(call, route, path)
        except ContractError as error:
            return self._violated(error)
        except Refused as refused:
            answered = refusal(refused)
        made = self._conditional(asked, response(answered))
        self._budget(made, call.caller, "core", used=made.status_code != 304)
        if self.validates and made.status_code != 304:
            try:
                self.contract.check_response(operation, asked, made)
            except ContractError as error:
                return self._violated(error)
        seen.kind = call.caller.kind
        return made

    def _handled(self, call: Call, route: Route, path: str) -> Answer:
        if "User-Agent" not in call.request.headers:
            raise Refused(
                403,
                "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.",
            )
        call.caller = caller(self.world, call.request.headers.get("Authorization", ""))
        token = call.caller.token
        if self.world.hourly and token is not None and not self.world.budget(token, "core"):
            raise Refused(
                self.switches.limit_status,
                f"API rate limit exceeded for installation ID {token.installation.id}.",
            )
        if "repo" in call.parameters or path.startswith("/repositories/"):
            moved = self._target(call, path)
            if moved is not None:
                return moved
        allow(call, route)
        if not route.by_app and call.target is None and "repo" in call.parameters:
            raise Refused(404, "Not Found")
        pulls = {} if call.request.method == "GET" else self._pull_states()
        made = route.handler(call)
        self._tell(call, pulls)
        return made

    def _target(self, call: Call, path: str) -> Answer | None:
        """Find the repository that a path names; an old name is answered with where it is now."""
        if path.startswith("/repositories/"):
            call.target = self.world.repositories.get(int(path.split("/")[2]))
        else:
            full = f"{call.parameters['owner']}/{call.parameters['repo']}"
            call.target = self.world.named(full)
            moved = None if call.target is not None else self.world.moved(full)
            if moved is not None and (
                call.caller.kind == "app" or sees(self.world, call.caller, moved) or not moved.private
            ):
                rest = path.split("/", 4)[4:]
                url = "/".join([f"{self.url}/repositories/{moved.id}", *rest])
                if query := call.request.query_string.decode("latin-1"):
                    url += f"?{query}"
                status, words = (
                    (301, "Moved Permanently")
                    if call.request.method == "GET"
                    else (307, "Temporary Redirect")
                )
                return Answer(
                    {"message": words, "url": url, "documentation_url": ""}, status, {"Location": url}
                )
        if call.target is None:
            raise Refused(404, "Not Found")
        return None

    def _pull_states(self) -> dict[int, tuple[Repository, Pull, str, str]]:
        return {
            pull.id: (base, pull, pull.state, pull.head_sha)
            for base in self.world.repositories.values()
            for pull in base.pulls.values()
        }

    def _tell(self, call: Call, pulls: Mapping[int, tuple[Repository, Pull, str, str]]) -> None:
        """Queue the webhooks of what the App itself did."""
        bot, told = self.world.app.bot, set()
        for event, action, about in call.changed:
            self._happened(event, action, sender=bot, **about)
            if event == "pull_request":
                told.add(about["pull"].id)
        for base, pull, state, head in pulls.values():
            if pull.id in told:
                continue
            if pull.state != state:
                self._happened("pull_request", "closed", repository=base, sender=bot, pull=pull)
            elif pull.head_sha != head:
                ends = {"before": head, "after": pull.head_sha}
                self._happened("pull_request", "synchronize", repository=base, sender=bot, pull=pull, **ends)

    def _conditional(self, asked: Request, made: Response) -> Response:
        """Give a GET its ETag; what the client has already is not sent again."""
        if asked.method != "GET" or made.status_code != 200:
            return made
        if made.mimetype == "application/vnd.github.sha":
            tag = f'"{made.get_data(as_text=True)}"'
        else:
            tag = f'W/"{hashlib.sha256(made.get_data()).hexdigest()}"'
        made.headers["ETag"] = tag
        known = [one.strip().removeprefix("W/") for one in asked.headers.get("If-None-Match", "").split(",")]
        if tag.removeprefix("W/") not in known:
            return made
        unchanged = Response(status=304)
        unchanged.headers.pop("Content-Type", None)
        unchanged.headers["ETag"] = tag
        for name in ("Link",):
            if name in made.headers:
                unchanged.headers[name] = made.headers[name]
        return unchanged

    def _budget(self, made: Response, who: Caller, resource: str, *, used: bool) -> None:
        """Count a request against its installation's hour and say what is left."""
        if not self.world.hourly or who.token is None:
            return
        left = self.world.budget(who.token, resource)
        if used and left:
            self.world.used[who.token.installation.id, resource] += 1
            left -= 1
        made.headers["X-RateLimit-Limit"] = str(self.world.hourly)
        made.headers["X-RateLimit-Remaining"] = str(left)
        made.headers["X-RateLimit-Used"] = str(self.world.hourly - left)
        made.headers["X-RateLimit-Reset"] = str(int(self.world.resets) + 1)
        made.headers["X-RateLimit-Resource"] = resource

    def _rate_limit(self, asked: Request) -> Response:
        """What is left; asking costs nothing.  A server without limits has no such page."""
        if not self.world.hourly:
            return response(refusal(Refused(404, "Rate limiting is not enabled.")))
        try:
            who = caller(self.world, asked.headers.get("Authorization", ""))
        except Refused as refused:
            return response(refusal(refused))

        def resource(name: str) -> Json:
            left = self.world.budget(who.token, name)
            return {
                "limit": self.world.hourly,
                "used": self.world.hourly - left,
                "remaining": left,
                "reset": int(self.world.resets) + 1,
            }

        made = response(
            Answer(
                {
                    "resources": {name: resource(name) for name in ("core", "search", "graphql")},
                    "rate": resource("core"),
                }
            )
        )
        self._budget(made, who, "core", used=False)
        return made

    def _graphql(self, asked: Request, seen: Seen) -> Response:
        if self.switches.graphql != 200:
            return response(
                refusal(
                    Refused(
                        self.switches.graphql, "Not Found" if self.switches.graphql == 404 else "Forbidden"
                    )
                )
            )
        try:
            who = caller(self.world, asked.headers.get("Authorization", ""))
        except Refused as refused:
            return response(refusal(refused))
        if who.kind != "installation":
            return response(
                Answer(
                    {
                        "message": "This endpoint requires you to be authenticated.",
                        "documentation_url": "https://docs.github.com/graphql",
                    },
                    401,
                )
            )
        body = asked.get_json(force=True, silent=True)
        if asked.method != "POST" or not isinstance(body, dict) or not isinstance(body.get("query"), str):
            return response(refusal(Refused(400, "Problems parsing JSON")))
        if self.world.hourly and not self.world.budget(who.token, "graphql"):
            assert who.token is not None
            words = f"API rate limit exceeded for installation ID {who.token.installation.id}."
            made = response(Answer({"errors": [{"type": "RATE_LIMITED", "message": words}]}))
            self._budget(made, who, "graphql", used=False)
            return made
        call = Call(
            world=self.world,
            shapes=self.shapes,
            switches=self.switches,
            caller=who,
            request=asked,
            parameters={"": "/graphql"},
        )
        pulls = self._pull_states() if "mutation" in body["query"] else {}
        try:
            result = github_graphql.execute(
                call, body["query"], body.get("variables"), body.get("operationName")
            )
        except github_graphql.QueryError as error:
            return self._violated(f"GraphQL: {error}")
        except github_graphql.TimedOutError:
            words = "Something went wrong while executing your query. This may be the result of a timeout, or it could be a GitHub bug."
            return response(Answer({"data": None, "errors": [{"message": words}]}, 502))
        self._tell(call, pulls)
        made = response(Answer(result))
        self._budget(made, who, "graphql", used=True)
        seen.kind = who.kind
        return made


def _plain(path: str) -> str:
    """Return a path by a repository's number as if by its name, for the contract knows no other."""
    if path.startswith("/repositories/"):
        parts = path.split("/", 3)
        if parts[2].isdigit():
            return "/".join(["/repos/by/number", *parts[3:]])
    return path


def _app(standin: Callable[[], GitHub]) -> Flask:
    app = Flask("github")

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    @app.route("/<path:path>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    def answer(path: str) -> Response:
        del path
        try:
            return standin().answer(request)
        except Exception as error:
            if not isinstance(error, HangUp):
                standin().violations.append(f"{request.method} {request.path}: {traceback.format_exc()}")
                return Response(b'{"message":"Server Error"}', 500, content_type="application/json")
            connection = request.environ.get("werkzeug.socket")
            if isinstance(connection, socket.socket):
                connection.shutdown(socket.SHUT_RDWR)
            raise

    app.config["PROPAGATE_EXCEPTIONS"] = True
    return app


@contextmanager
def github(
    *,
    enterprise: bool = False,
    folder: Path | None = None,
    validates: bool = True,
    permissions: Mapping[str, str] | None = None,
    secret: str = "a secret for tests only",
    context: ssl.SSLContext | None = None,
) -> Iterator[GitHub]:
    """Run a stand-in; raises `ContractError` in the end where anything violated the contract.

    Repositories live in memory, or as bare repositories below `folder`.  `validates=False` is for measuring.
    """
    running: list[GitHub] = []
    server = make_server(
        "127.0.0.1", 0, _app(lambda: running[0]), threaded=True, request_handler=_Quiet, ssl_context=context
    )
    web = f"{'http' if context is None else 'https'}://127.0.0.1:{server.server_port}"
    private, public = key_pair()
    account = Account(id=41, login="moorline[bot]", type="Bot")
    app = App(
        id=4242,
        slug="moorline",
        owner=Account(id=40, login="bots", type="Organization"),
        bot=account,
        client_id="Iv23liMoorline",
        public_key=public,
        created_at="2026-01-01T00:00:00Z",
        permissions=dict(PERMISSIONS if permissions is None else permissions),
        events=list(EVENTS),
    )
    world = World(
        url=f"{web}/api/v3" if enterprise else web,
        web=web,
        enterprise=enterprise,
        app=app,
        folder=folder,
        hook_secret=secret,
        hook_url="https://bot.example/webhooks/github",
        # Enterprise Server neither limits nor signs unless it was set up to.
        hourly=0 if enterprise else 5000,
        signs=not enterprise,
    )
    for one in (account, app.owner):
        world.accounts[one.login.lower()] = one
    standin = GitHub(
        world=world,
        contract=contract("github-enterprise" if enterprise else "github"),
        host=f"127.0.0.1:{server.server_port}",
        validates=validates,
        private_key=private,
    )
    running.append(standin)
    with _serving(server):
        try:
            yield standin
        finally:
            for fault in standin.faults:
                fault.release()
    for repository in world.repositories.values():
        repository.git.close()
    if standin.violations:
        raise ContractError("\n".join(standin.violations))


@contextmanager
def _serving(server: BaseWSGIServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
