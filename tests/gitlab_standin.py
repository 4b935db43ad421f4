"""A GitLab for tests: its REST and GraphQL as far as a bot needs them, over real git repositories.

It is held to a **derived** contract (tests/contracts/gitlab.md): made of two clients' types and of what we
read in GitLab's documentation, not GitLab's own document.  That is weaker evidence than the GitHub stand-in
has; a test that passes here says that the bot does what the documentation says, not what GitLab does.

    with gitlab() as lab:
        bot = lab.user("moorline", bot=True)
        lab.join("acme", bot, Level.DEVELOPER)
        project = lab.project("acme/web", {"Dockerfile": b"FROM nginx:latest\\n"})
        client = gitlab.Gitlab(lab.url, private_token=lab.token(bot))

Requests and answers that break the contract are kept in `violations`, and raise at the end of the block.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gitlab_api_merge_requests import merge_now
from gitlab_faults import BAD_GATEWAY, Fault, too_many
from gitlab_git import Content, GitRepository
from gitlab_http import Reply
from gitlab_serving import Application, Asked, Listener
from gitlab_webhooks import Delivery, Sent, compose, compose_for, listeners, post, record
from gitlab_world import (
    Executed,
    Group,
    Happening,
    Hook,
    HookEvent,
    Level,
    MergeRequest,
    Note,
    Project,
    Protection,
    Token,
    User,
    World,
)

__all__ = [
    "Asked",
    "Delivery",
    "GitLab",
    "Hook",
    "Level",
    "MergeRequest",
    "Note",
    "Project",
    "User",
    "gitlab",
]


class GitLab:
    """The test's side of the stand-in: `url` for the bot, everything else for the test."""

    def __init__(self, application: Application, folder: Path | None) -> None:
        self.application = application
        self.world: World = application.world
        self._folder = folder
        self.root = self.user("root", admin=True)

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        return self.world.url

    @property
    def requests(self) -> list[Asked]:
        """Every request so far."""
        return self.application.requests

    @property
    def violations(self) -> list[str]:
        """What broke the contract so far."""
        return self.world.violations

    @property
    def executed(self) -> list[Executed]:
        """Quick actions that were carried out because some text held them."""
        return self.world.executed

    def count(self, method: str = "*", path: str = "*") -> int:
        """Return how many requests there were of a method and a path (a glob over path or operation)."""
        return sum(
            method in ("*", one.method) and (fnmatchcase(one.path, path) or one.template == path)
            for one in self.requests
        )

    def writes(self) -> list[Asked]:
        """Return the requests that were no reads."""
        return [one for one in self.requests if one.method != "GET" and one.template != "/api/graphql"]

    # People, groups, tokens

    def user(self, username: str, name: str = "", *, bot: bool = False, admin: bool = False) -> User:
        """Make a user: a person, or with `bot` a service account or an access token's user."""
        made = User(
            id=next(self.world.ids),
            username=username,
            name=name or username,
            created=self.world.clock(),
            bot=bot,
            admin=admin,
        )
        self.world.users[made.id] = made
        return made

    def group(self, path: str, *, visibility: str = "private") -> Group:
        """Return a group, made with those above it where it is not there yet."""
        with self.world.lock:
            if path in self.world.groups:
                return self.world.groups[path]
            above = path.rpartition("/")[0]
            if above:
                self.group(above)
            made = Group(
                id=next(self.world.ids),
                path=path,
                name=path.rpartition("/")[2],
                created=self.world.clock(),
                visibility=visibility,
            )
            self.world.groups[path] = made
            return made

    def join(self, where: str | Project | Group, user: User, level: int = Level.DEVELOPER) -> None:
        """Give a user a role in a group (by path) or a project; `Level.NONE` takes it away."""
        (self.group(where) if isinstance(where, str) else where).members[user.id] = level

    def token(
        self,
        user: User,
        scopes: Iterable[str] = ("api",),
        *,
        days: int | None = 300,
        prefix: str = "glpat-",
    ) -> str:
        """Return the value of a new access token that runs so many days (none: it never expires)."""
        value = prefix + secrets.token_urlsafe(20)
        now = self.world.clock()
        expires: date | None = None if days is None else now.date() + timedelta(days=days)
        self.world.tokens[value] = Token(
            id=next(self.world.ids),
            name="a token",
            value=value,
            user=user,
            scopes=frozenset(scopes),
            expires=expires,
            created=now,
        )
        return value

    def revoke(self, value: str) -> None:
        """Let a token be of no use any more."""
        self.world.tokens[value].revoked = True

    # Projects

    def project(
        self,
        path: str,
        files: Mapping[str, Content] | None = None,
        *,
        visibility: str = "private",
        default: str = "main",
        protect: bool = True,
    ) -> Project:
        """Make a project and its groups; without files its repository is empty.

        The default branch is protected as GitLab does it: maintainers push, nobody forces.
        """
        with self.world.lock:
            self.group(path.rpartition("/")[0])
            now, identity = self.world.clock(), next(self.world.ids)
            folder = None if self._folder is None else self._folder / f"{identity}.git"
            made = Project(
                id=identity,
                path=path,
                name=path.rpartition("/")[2],
                repository=GitRepository(folder, default=default),
                visibility=visibility,
                default_branch=default,
                created=now,
                active=now,
                creator=self.root,
            )
            if protect:
                self.protect(made, default)
            if files:
                commit = made.repository.commit_on(
                    None, files, "first", author=self.root.person, when=int(now.timestamp())
                )
                made.repository.set_head(default, commit)
            self.world.projects[identity] = made
            self.world.happen("project_create", made, self.root)
            return made

    def protect(
        self, project: Project, name: str, *, push: int = Level.MAINTAINER, merge: int = Level.MAINTAINER
    ) -> None:
        """Protect a branch or a wildcard; 0 lets nobody push."""
        project.protections[name] = Protection(
            id=next(self.world.ids), name=name, push=push or 1_000, merge=merge
        )

    def fork(self, project: Project, path: str) -> Project:
        """Make a project that is a fork of another, with its default branch's files."""
        head = project.repository.head(project.default_branch)
        found = {} if head is None else project.repository.files(head)
        files: dict[str, Content] = {
            name: (entry.mode, project.repository.blob(entry.oid) or b"") for name, entry in found.items()
        }
        made = self.project(path, files, visibility=project.visibility, default=project.default_branch)
        made.forked_from = project
        return made

    def rename(self, project: Project, path: str, user: User | None = None) -> None:
        """Give a project another path, as a rename or a transfer; the old path leads there."""
        with self.world.lock:
            old = project.path
            kind = (
                "project_rename" if old.rpartition("/")[0] == path.rpartition("/")[0] else "project_transfer"
            )
            self.group(path.rpartition("/")[0])
            self.world.moved[old] = project.id
            self.world.moved.pop(path, None)
            project.path, project.name = path, path.rpartition("/")[2]
            self.world.happen(kind, project, user or self.root, old=old)

    def archive(self, project: Project, *, archived: bool = True) -> None:
        """Archive a project, or bring it back."""
        project.archived = archived

    def destroy(self, project: Project) -> None:
        """Remove a project for good."""
        with self.world.lock:
            del self.world.projects[project.id]
            self.world.happen("project_destroy", project, self.root)

    # Pushes and reads

    def push(
        self,
        project: Project,
        changes: Mapping[str, Content | None],
        branch: str = "",
        *,
        user: User | None = None,
        message: str = "a change",
        start: str = "",
        force: bool = False,
    ) -> str:
        """Push a commit as a person and return it; a new branch starts at `start` or at the default one.

        With `force` the commit is made on `start` and the branch moved there, whatever it was at.
        """
        who, repository = user or self.root, project.repository
        branch = branch or project.default_branch
        with self.world.lock:
            before = repository.head(branch)
            parent = before
            if before is None or force:
                parent = repository.resolve(start or project.default_branch)
            now = int(self.world.clock().timestamp())
            commit = repository.commit_on(parent, changes, message, author=who.person, when=now)
            repository.set_head(branch, commit)
            self.world.moved_branch(project, who, branch, before, commit)
            return commit

    def push_many(
        self, project: Project, branches: Mapping[str, Mapping[str, Content | None]], user: User | None = None
    ) -> dict[str, str]:
        """Push several branches at once; with more than three of them GitLab tells no hook of any push."""
        who, repository = user or self.root, project.repository
        moves: dict[str, tuple[str | None, str | None]] = {}
        with self.world.lock:
            now = int(self.world.clock().timestamp())
            for branch, changes in branches.items():
                before = repository.head(branch)
                parent = before or repository.head(project.default_branch)
                commit = repository.commit_on(parent, changes, "a change", author=who.person, when=now)
                repository.set_head(branch, commit)
                moves[branch] = (before, commit)
            self.world.moved_branches(project, who, moves)
        return {branch: str(after) for branch, (_, after) in moves.items()}

    def delete_branch(self, project: Project, branch: str, user: User | None = None) -> None:
        """Remove a branch as a person."""
        with self.world.lock:
            before = project.repository.head(branch)
            project.repository.set_head(branch, None)
            self.world.moved_branch(project, user or self.root, branch, before, None)

    def tag(self, project: Project, name: str, commit: str = "", *, annotated: bool = False) -> str:
        """Push a tag; return what its ref holds."""
        with self.world.lock:
            target = commit or project.repository.head(project.default_branch)
            assert target is not None
            held = project.repository.set_tag(name, target, annotated=annotated)
            self.world.happen(
                "tag_push", project, self.root, tag=name, before=None, after=held, commit=target
            )
            return held

    def head(self, project: Project, branch: str = "") -> str | None:
        """Return a branch's commit."""
        return project.repository.head(branch or project.default_branch)

    def read(self, project: Project, path: str, ref: str = "") -> bytes | None:
        """Return a file's bytes at a branch, tag or commit."""
        commit = project.repository.resolve(ref or project.default_branch)
        entry = None if commit is None else project.repository.entry(commit, path)
        return None if entry is None else project.repository.blob(entry.oid)

    def mode(self, project: Project, path: str, ref: str = "") -> int | None:
        """Return a file's mode."""
        commit = project.repository.resolve(ref or project.default_branch)
        entry = None if commit is None else project.repository.entry(commit, path)
        return None if entry is None else entry.mode

    # Merge requests

    def merge_requests(self, project: Project, state: str = "") -> list[MergeRequest]:
        """Return a project's merge requests, the oldest first; those of a state where one is given."""
        with self.world.lock:
            found = sorted(project.merge_requests.values(), key=lambda one: one.iid)
            return [one for one in found if not state or one.state == state]

    def close(self, one: MergeRequest, user: User | None = None) -> None:
        """Close a merge request as a person."""
        with self.world.lock:
            self.world.set_state(one, user or self.root, "closed")

    def reopen(self, one: MergeRequest, user: User | None = None) -> None:
        """Reopen a merge request as a person."""
        with self.world.lock:
            self.world.set_state(one, user or self.root, "opened")

    def merge(self, one: MergeRequest, user: User | None = None) -> str:
        """Merge a merge request as a person; return the commit."""
        with self.world.lock:
            return merge_now(self.world, one, user or self.root)

    def comment(self, one: MergeRequest, body: str, user: User | None = None) -> Note:
        """Comment as a person."""
        with self.world.lock:
            who = user or self.root
            made = self.world.add_note(one, who, body)
            self.world.happen("note", one.project, who, merge_request=one, note=made, action="create")
            return made

    # Hooks

    def hook(
        self,
        where: Project | Group | None,
        url: str,
        *,
        token: str | None = None,
        signing_token: str | None = None,
        **settings: Any,
    ) -> Hook:
        """Make a hook of a project, a group or (None) the system, as a person would."""
        kind = "project" if isinstance(where, Project) else "group" if where is not None else "system"
        made = Hook(
            id=next(self.world.ids),
            url=url,
            kind=kind,
            owner=0 if where is None else where.id,
            token=token,
            signing_token=signing_token,
            settings=dict(settings),
            created=self.world.clock(),
        )
        (self.world.system_hooks if where is None else where.hooks)[made.id] = made
        return made

    def payload(
        self,
        kind: str,
        project: Project,
        *,
        user: User | None = None,
        hook: Hook | None = None,
        scope: str = "project",
        token: str | None = None,
        signing_token: str | None = None,
        identity: str = "",
        event: str = "",
        at: datetime | None = None,
        **more: Any,
    ) -> Delivery:
        """Return the headers and body of what GitLab would send; `identity` is the Idempotency-Key.

        Kinds, with what they take: push (branch, before, after), tag_push (tag, before, after, commit),
        merge_request (merge_request, action, oldrev, changes), note (merge_request, note, action), pipeline,
        and for the system's hooks (scope "system") those, repository_update (changes: ref, before, after) and
        project_create, project_rename, project_transfer (old), project_destroy.  The secrets are the hook's,
        unless they are given.
        """
        if kind == "push":
            more = self._move(project, more)
        happening = Happening(
            kind=kind, project=project, user=user or self.root, more=more, at=self.world.clock()
        )
        if event:
            happening.event = event
        return compose(
            self.world,
            happening,
            scope=scope if hook is None else hook.kind,
            token=token if hook is None else hook.token,
            signing_token=signing_token if hook is None else hook.signing_token,
            identity=identity,
            webhook="" if hook is None else hook.uuid,
            at=at or self.world.clock(),
        )

    def _move(self, project: Project, given: Mapping[str, Any]) -> dict[str, Any]:
        branch = given.get("branch") or project.default_branch
        after = given.get("after", project.repository.head(branch))
        parents = project.repository.info(after).parents if after else []
        return {
            "branch": branch,
            "before": given.get("before", parents[0].decode() if parents else None),
            "after": after,
        }

    def deliver(self, *, down: bool = False) -> list[Sent]:
        """Send what has happened since the last call to every hook that wants it; return the answers.

        With `down` nobody is there to receive: GitLab logs an internal error.  A disabled hook is sent
        nothing, and nothing is logged.
        """
        sent: list[Sent] = []
        with self.world.lock:
            pending, self.world.happened[:] = list(self.world.happened), []
        for happening in pending:
            for hook in listeners(self.world, happening):
                if hook.status(self.world.clock()) != "executable":
                    continue
                delivery = compose_for(self.world, hook, happening)
                status, said = (
                    (None, "") if down else self.world.send(hook.url, delivery.headers, delivery.body)
                )
                with self.world.lock:
                    record(self.world, hook, f"{happening.kind}_hooks", delivery, status, said)
                sent.append(Sent(hook, happening, status))
        return sent

    def forget(self) -> None:
        """Let nobody be told of what has happened so far, as if there had been no hooks."""
        with self.world.lock:
            self.world.happened.clear()

    def report(self, hook: Hook, delivery: Delivery, status: int | None) -> None:
        """Log what a hook's receiver answered to a delivery that the test sent itself; None: nobody did."""
        with self.world.lock:
            name = delivery.headers["X-Gitlab-Event"].removesuffix(" Hook").lower().replace(" ", "_")
            record(self.world, hook, f"{name}_hooks", delivery, status)

    def missed(self, hook: Hook) -> list[HookEvent]:
        """Return the deliveries of a hook that were not answered well, the oldest first."""
        return [one for one in hook.events if not one.status.startswith("2")]

    # Faults

    def _fault(self, fault: Fault) -> Fault:
        self.application.faults.append(fault)
        return fault

    def rate_limit(
        self, method: str = "*", path: str = "*", times: int = 1, *, retry_after: int = 1
    ) -> Fault:
        """Answer 429, as plain text."""
        reply = too_many(retry_after, self.world.limit, self.world.clock())
        return self._fault(Fault(method=method, path=path, times=times, reply=reply))

    def bad_gateway(self, method: str, path: str = "*", times: int = 1, *, done: bool) -> Fault:
        """Answer 502; with `done` what was asked has happened all the same."""
        return self._fault(Fault(method=method, path=path, times=times, reply=BAD_GATEWAY, done=done))

    def cut(self, method: str, path: str = "*", times: int = 1, *, done: bool = False) -> Fault:
        """End the connection without an answer."""
        return self._fault(Fault(method=method, path=path, times=times, cut=True, done=done))

    def slow(self, method: str, path: str = "*", times: int = 1) -> Fault:
        """Hold a request until the fault's `gate` is set; `reached` tells that one waits."""
        return self._fault(Fault(method=method, path=path, times=times, gate=threading.Event()))

    def fail(self, method: str, path: str = "*", times: int = 1, *, reply: Reply) -> Fault:
        """Answer something else."""
        return self._fault(Fault(method=method, path=path, times=times, reply=reply))


@contextmanager
def gitlab(folder: Path | None = None, *, validate: bool = True, prefix: str = "") -> Iterator[GitLab]:
    """Run a GitLab on loopback; with a folder its repositories are bare ones on disk, else in memory.

    A `prefix` like `/git` is where an instance lives that is not at the root of its host.

    `validate` off spares the contract's checks, for measuring.  Raises `AssertionError` at the end where
    something broke the contract.
    """
    application = Application(World(), validate)
    lab = GitLab(application, folder)
    listener = Listener(application)
    application.world.send = post
    application.world.url = f"http://127.0.0.1:{listener.server_port}{prefix}"
    application.prefix = prefix
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield lab
    finally:
        for fault in application.faults:
            if fault.gate is not None:
                fault.gate.set()
        listener.shutdown()
        thread.join()
        for one in tuple(listener.open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        listener.server_close()
        for project in application.world.projects.values():
            project.repository.close()
    assert not lab.violations, "\n".join(lab.violations)
