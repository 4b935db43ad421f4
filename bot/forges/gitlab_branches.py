"""Branches of a project: looked up in pairs, written by one atomic commit call, removed.

GitLab's call names the commit only once the branch is there, and has no lock on the branch's head.
So, for a branch that is rebuilt (`start_sha` and `force`), its head is looked at just before the call;
whoever pushes to our branch in the time between, some tens of milliseconds, is overwritten, and their
commit stays in the project's events and, if a merge request is open, among its versions.  A branch that
is new is made by a call that GitLab refuses where one exists; one that goes forward is locked file by file.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bot.errors import ForgeError, GuardError, MissingError, SupersededError, TransientError
from bot.forges import guard
from bot.forges.base import Change
from bot.forges.gitlab_answers import Node, below, commit, node, text
from bot.forges.gitlab_api import Api, RefusedError, UncertainError
from bot.forges.gitlab_files import Files
from bot.forges.gitlab_listing import part
from bot.forges.gitlab_projects import Project
from bot.forges.gitlab_texts import harmless
from bot.model import Edit
from bot.reference import is_git_ref
from bot.source import splice

_MAX_MESSAGE = 256 * 1024
_MOST_BRANCHES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who we are in a commit: the account's name and the addresses that GitLab may use for it."""

    name: str
    addresses: frozenset[str]
    """Empty where they are not told."""


class Branches:
    """Reads and writes branches of projects; knows a commit of ours by what it is."""

    def __init__(self, api: Api, files: Files, person: Callable[[], Person]) -> None:
        self._api = api
        self._files = files
        self._person = person

    # --- reading --------------------------------------------------------------------------

    def one(self, project: int, name: str) -> Node | None:
        """Return what GitLab says of a branch, or None where it does not exist."""
        try:
            return node(self._api.get(f"/projects/{project}/repository/branches/{part(name)}"))
        except MissingError:
            return None

    def several(self, project: int, *names: str) -> dict[str, Node]:
        """Return what GitLab says of those branches that exist, by name, mostly in one question."""
        pattern = f"^({'|'.join(re.escape(name) for name in names)})$"
        query = {"regex": pattern, "per_page": _MOST_BRANCHES}
        try:
            rows, more = self._api.page(f"/projects/{project}/repository/branches", query)
        except RefusedError:  # an expression that this GitLab does not take
            rows, more = [], {}
        found = {text(row, "name"): row for row in rows if text(row, "name") in names}
        if more is not None:  # an older GitLab lists every branch
            for name in names:
                if name not in found and (asked := self.one(project, name)) is not None:
                    found[name] = asked
        return found

    def every(self, project: int) -> Iterator[tuple[str, str]]:
        """Yield name and commit of every branch."""
        for row in self._api.pages(f"/projects/{project}/repository/branches", {}):
            name, head = text(row, "name"), commit(row, "commit", "id")
            if name and head is not None:
                yield name, head

    def head(self, project: int, name: str) -> str | None:
        """Return a branch's commit, or None where it does not exist."""
        return commit(self.one(project, name), "commit", "id")

    # --- writing --------------------------------------------------------------------------

    def write(self, project: Project, change: Change) -> str:
        """Return the commit that now is the branch's head; raises as `Forge.write`."""
        branch, message = _branch(change.branch), _message(change.message)
        if branch in (change.base, project.default_branch):
            raise ForgeError(
                f"{branch!a} is the base or default branch, which is never written to.",
                advice="Choose another branch name.",
            )
        old, new = self._made(project, change)
        forward = change.expected is not None and change.expected == change.parent
        actions = [
            self._action(project, change, path, path in old, data, forward) for path, data in new.items()
        ]
        body: dict[str, object] = {
            "branch": branch,
            "commit_message": message,
            "actions": actions,
            "stats": False,
        }
        if not forward:
            body["start_sha"] = change.parent
        if change.expected is None:  # what is begun now is to be ended in one go
            self._api.require_room()
        if change.expected is not None:
            if self.head(project.id, branch) != change.expected:
                raise _superseded(branch)
            if not forward:
                body["force"] = True
        try:
            answer = self._api.send("post", f"/projects/{project.id}/repository/commits", body)
        except UncertainError as error:
            return self._found(project, change, error)
        except RefusedError as error:
            raise self._refusal(project, change, error) from None
        return self._written(change, answer)

    def _made(self, project: Project, change: Change) -> tuple[Mapping[str, bytes], dict[str, bytes]]:
        """Return the files' bytes before and after, judged by the publish guard."""
        by_path: dict[str, list[Edit]] = {}
        for edit in change.edits:
            by_path.setdefault(edit.path, []).append(edit)
        if not by_path:
            raise GuardError("A change without an edit is not written.")
        for path in by_path:
            guard.check_path(path)
        old = self._files.read(project.id, project.name, change.parent, by_path)
        guard.judge(change.edits, old)
        return old, {path: splice(old.get(path, b""), edits) for path, edits in sorted(by_path.items())}

    def _action(
        self, project: Project, change: Change, path: str, exists: bool, data: bytes, forward: bool
    ) -> dict[str, object]:
        action: dict[str, object] = {
            "action": "update" if exists else "create",
            "file_path": path,
            "content": base64.b64encode(data).decode("ascii"),
            "encoding": "base64",
        }
        if forward and exists:
            place = f"/projects/{project.id}/repository/files/{part(path)}"
            last = commit(self._api.get(place, {"ref": change.parent}), "last_commit_id")
            action["last_commit_id"] = last or change.parent
        return action

    def _written(self, change: Change, answer: object) -> str:
        made = commit(answer, "id")
        if made is None:
            raise UncertainError("GitLab did not say which commit it made.")
        if below(answer, "parent_ids") != [change.parent]:
            raise SupersededError(
                f"Somebody pushed to {change.branch!a} at the same moment; our commit {made} stands upon theirs.",
                advice="Nothing was overwritten; the branch is theirs now.",
            )
        return made

    def _found(self, project: Project, change: Change, error: UncertainError) -> str:
        """Return our commit if it is there in spite of the error, else raise that: it is not sent again."""
        head = self.head(project.id, change.branch)
        if head in (None, change.expected):
            raise error
        if head is not None and self.made(project, change, head):
            return head
        raise _superseded(change.branch)

    def _refusal(self, project: Project, change: Change, error: RefusedError) -> ForgeError:
        """Return what a refusal means: the branch moved, or a rule is in the way."""
        if error.status in (400, 409, 422) and self.head(project.id, change.branch) != change.expected:
            return _superseded(change.branch)
        return error

    def made(self, project: Project, change: Change, at: str) -> bool:
        """Return whether a commit is just what `write` makes of a change.

        After a crash between GitLab's doing and our remembering nobody knows the commit's id.  It is ours
        when its only parent is the change's, its message is equal, its author is our account, and its tree
        is the parent's with the edits made, modes kept: then nothing of anybody else's is in it, whoever
        pushed it.  The committer is not asked about: an instance that signs puts itself there.
        """
        try:
            said = node(
                self._api.get(f"/projects/{project.id}/repository/commits/{part(at)}", {"stats": "false"})
            )
            if (
                below(said, "parent_ids") != [change.parent]
                or text(said, "message").rstrip() != _message(change.message).rstrip()
                or not self._is_by_us(said)
            ):
                return False
            _, new = self._made(project, change)
            return self._files.differs_by(project.id, change.parent, at, new)
        except (MissingError, GuardError):
            return False

    def _is_by_us(self, said: Node) -> bool:
        person = self._person()
        if person.addresses:
            return text(said, "author_email").casefold() in person.addresses
        return text(said, "author_name") == person.name

    def delete(self, project: Project, name: str, expected: str) -> None:
        """Remove a branch that is still at `expected`; one that is gone already is left so.

        GitLab has no lock here either: the branch is looked at just before.
        """
        branch = _branch(name)
        if branch == project.default_branch:
            raise ForgeError(f"{branch!a} is the default branch, which is never removed.")
        head = self.head(project.id, branch)
        if head is None:
            return
        if head != expected:
            raise _superseded(branch)
        try:
            self._api.send("delete", f"/projects/{project.id}/repository/branches/{part(branch)}")
        except MissingError:
            return
        except TransientError:
            if self.head(project.id, branch) is not None:
                raise


def _message(message: str) -> str:
    made = harmless(message).rstrip("\n") + "\n"
    if "\0" in made or len(message) > _MAX_MESSAGE:
        raise GuardError("The commit message is too long or holds a NUL character.")
    return made


def _branch(name: str) -> str:
    """Return a branch's short name, vetted.  Raises `ForgeError`."""
    short = name.removeprefix("refs/heads/")
    if not is_git_ref(short):
        raise ForgeError(f"{name[:100]!a} is no name of a branch.")
    return short


def _superseded(branch: str) -> SupersededError:
    return SupersededError(f"The branch {branch!a} is not where it should be.", advice="Nothing was written.")
