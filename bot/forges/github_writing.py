"""Writing to a branch of our own on GitHub: tree, commit, and then the ref, from just where it was.

The commit names neither author nor committer: so GitHub signs it as the App's, and shows it as verified.
"""

from __future__ import annotations

import base64
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.errors import ForgeError, GuardError, SupersededError
from bot.forges import guard
from bot.forges.base import Change
from bot.forges.github_client import (
    Client,
    LimitError,
    NoGraphQLError,
    QueryError,
    RefusedError,
    repository_path,
)
from bot.forges.github_contents import Contents
from bot.forges.github_look import Look, Seen
from bot.forges.github_rules import Rules, refusals
from bot.forges.github_transport import AmbiguousError, clean
from bot.forges.github_trees import Listing, Trees
from bot.model import Edit
from bot.reference import is_commit
from bot.source import splice

_MAX_MESSAGE = 60_000
_EXECUTABLE, _FILE = 0o100755, 0o100644
_MOST_KEPT = 2_000
_UPDATE = "mutation($input: UpdateRefsInput!) { updateRefs(input: $input) { clientMutationId } }"
_UNSIGNED = {
    "unsigned": "it carries no signature: an Enterprise Server signs only where web commit signing is set up",
}


class Written:
    """Commits that this process made, and what GitHub said of their signatures."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[str, str] = OrderedDict()

    def get(self, commit: str) -> str | None:
        """Return why a commit is not verified, empty where it is; None for one that was not made here."""
        with self._lock:
            return self._known.get(commit)

    def put(self, commit: str, reason: str) -> None:
        with self._lock:
            self._known[commit] = reason
            if len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """Writes to one repository while it is published to."""

    repository: str
    client: Client
    """Its token reaches into this repository alone."""
    reader: Client
    look: Look
    trees: Trees
    contents: Contents
    seen: Seen
    rules: Rules
    written: Written

    def write(self, change: Change, intend: Callable[[str], None]) -> str:
        """Return the commit that now is the branch's head; see `Forge.write`."""
        files, listing = self._changed(change)
        message = change.message.rstrip("\n")
        if "\0" in message or len(message) > _MAX_MESSAGE:
            raise GuardError("The commit message is too long or holds a NUL character.")
        self._require_own(change.branch, change.base)
        against = refusals(
            self.rules.known(self.repository, change.branch) or (),
            message,
            {path: data for path, (_, data) in files.items()},
        )
        if against:
            raise ForgeError(
                f"Nothing was written: {'; '.join(against)}.",
                advice="Change the rule, or let the App pass it.",
            )
        if change.expected is None:  # what is begun now is to be ended in one go
            self.client.require_room()
        tree = self._tree(listing, files)
        commit = self._commit(message, tree, change.parent)
        intend(commit)
        self._move(change.branch, change.expected, commit)
        return commit

    def delete(self, branch: str, expected: str) -> None:
        """Remove a branch that is still at `expected`; see `Forge.delete`."""
        self._require_own(branch, "")
        self._move(branch, expected, None)

    # --- what is written ------------------------------------------------------------------

    def _changed(self, change: Change) -> tuple[dict[str, tuple[int, bytes]], Listing]:
        if not change.edits:
            raise GuardError("A change without an edit is not written.")
        by_path: dict[str, list[Edit]] = {}
        for edit in change.edits:
            by_path.setdefault(edit.path, []).append(edit)
        for path in by_path:
            guard.check_path(path)
        listing = self.trees.at(self.reader, self.repository, change.parent)
        old = self.contents.read(self.reader, self.repository, change.parent, by_path)
        for path in by_path:
            if path not in old and (path in listing.files or path in listing.folders):
                raise GuardError(f"{path[:200]!a} is no regular file, or too large: nothing was written.")
        guard.judge(change.edits, old)
        made = {}
        for path, edits in by_path.items():
            entry = listing.files.get(path)
            mode = _EXECUTABLE if entry is not None and entry.mode & 0o111 else _FILE
            made[path] = mode, splice(old.get(path, b""), edits)
        return made, listing

    def _tree(self, listing: Listing, files: Mapping[str, tuple[int, bytes]]) -> str:
        entries = []
        for path, (mode, data) in sorted(files.items()):
            entry: dict[str, Any] = {"path": path, "mode": f"{mode:06o}", "type": "blob"}
            try:
                text = data.decode("utf-8")
            except UnicodeDecodeError:
                entry["sha"] = self._blob(data)
            else:
                entry["content"] = text
            entries.append(entry)
        base = listing.with_files({}) or listing.oid
        # A tree is named by what is in it: made twice it is the same one.
        said = self.client.ask_again(
            "POST", repository_path(self.repository, "git", "trees"), {"base_tree": base, "tree": entries}
        ).json()
        made = _sha(said, "tree")
        meant = listing.with_files(files)
        if meant is not None and made != meant:
            raise ForgeError(
                "GitHub made another tree than was meant: nothing is written.", advice="Report it, please."
            )
        return made

    def _blob(self, data: bytes) -> str:
        body = {"content": base64.b64encode(data).decode("ascii"), "encoding": "base64"}
        return _sha(
            self.client.ask_again("POST", repository_path(self.repository, "git", "blobs"), body).json(),
            "file",
        )

    def _commit(self, message: str, tree: str, parent: str) -> str:
        body = {"message": message, "tree": tree, "parents": [parent]}
        said = self.client.write("POST", repository_path(self.repository, "git", "commits"), body).json()
        made = _sha(said, "commit")
        self.written.put(made, unverified(said))
        return made

    # --- where it is written --------------------------------------------------------------

    def _require_own(self, branch: str, base: str) -> None:
        known = self.seen.get(self.repository)
        default = known.default_branch if known is not None else self.look.repository().default_branch
        if branch in (base, default, ""):
            raise ForgeError(
                f"{clean(branch)!a} is the base or default branch, which is never written to.",
                advice="Choose another branch name.",
            )

    def _move(self, branch: str, before: str | None, after: str | None) -> None:
        """Move a branch from one commit to another; None is where it does not exist."""
        try:
            if self._swap(branch, before, after):
                return
            self._step(branch, before, after)
        except AmbiguousError:
            # It may have happened: what is there says so, and is taken as it is.
            if self._stands(branch, before, after):
                return
            raise
        except (QueryError, RefusedError) as error:
            if self.look.branch(branch) != before:
                raise _superseded(branch) from None
            self.rules.forget(self.repository, branch)
            raise _refused(branch, error) from None

    def _swap(self, branch: str, before: str | None, after: str | None) -> bool:
        """Return whether the server compared and swapped in one step; False where it cannot.

        A branch that is there waits for a limit of GraphQL to be over: REST cannot compare and swap.  A new
        one it makes only where there is none, which is as good.
        """
        known = self.seen.get(self.repository)
        if known is None or not known.node or not self.client.graphql_offered:
            return False
        if before is None and not self.client.graphql_served:
            return False
        nowhere = "0" * len(before or after or "")
        update = {
            "name": f"refs/heads/{branch}",
            "beforeOid": before or nowhere,
            "afterOid": after or nowhere,
            "force": True,
        }
        try:
            self.client.mutate(_UPDATE, {"input": {"repositoryId": known.node, "refUpdates": [update]}})
        except NoGraphQLError:
            return False
        except LimitError:
            if before is not None:
                raise
            return False
        except QueryError as error:
            if "NOT_FOUND" in error.kinds or ("updateRefs" in error.message and "exist" in error.message):
                return False  # the repository was made anew, or the server is from before this mutation
            raise
        return True

    def _step(self, branch: str, before: str | None, after: str | None) -> None:
        """Move a branch by REST, which can create a ref only where there is none, but not compare and swap.

        Between the look and the forced update there is a moment in which somebody else's push would be
        overwritten; the look right before makes it as short as one request takes, and the look behind
        tells where we were overwritten in turn.
        """
        path = repository_path(self.repository, "git", "refs", "heads", branch)
        if before is None and after is not None:
            body = {"ref": f"refs/heads/{branch}", "sha": after}
            self.client.write("POST", repository_path(self.repository, "git", "refs"), body)
            return
        if self.look.branch(branch) != before:
            raise _superseded(branch)
        if after is None:
            self.client.write("DELETE", path)
            return
        self.client.write("PATCH", path, {"sha": after, "force": True})
        if self.look.branch(branch) != after:
            raise _superseded(branch)

    def _stands(self, branch: str, before: str | None, after: str | None) -> bool:
        """Return whether a branch is where it should be; raises `SupersededError` where somebody moved it."""
        there = self.look.branch(branch)
        if there == after:
            return True
        if there != before:
            raise _superseded(branch)
        return False


def unverified(said: object) -> str:
    """Return why a commit of REST's JSON is not verified, empty where it is."""
    found = said.get("verification") if isinstance(said, dict) else None
    if not isinstance(found, dict):
        return "GitHub does not say whether the commit is verified."
    if found.get("verified") is True:
        return ""
    reason = clean(str(found.get("reason") or "unknown"))
    return f"GitHub does not show the commit as verified: {_UNSIGNED.get(reason, reason)}."


def _sha(said: object, what: str) -> str:
    found = said.get("sha") if isinstance(said, dict) else None
    if not isinstance(found, str) or not is_commit(found):
        raise ForgeError(f"GitHub made no {what}.")
    return found


def _superseded(branch: str) -> SupersededError:
    return SupersededError(f"{clean(branch)} is not where it was: somebody else moved it.")


def _refused(branch: str, error: QueryError | RefusedError) -> ForgeError:
    said = error.message.lower()
    if "rule violation" in said or "protected" in said or "rules" in said:
        return ForgeError(
            f"A rule of the repository forbids to write {clean(branch)}: {error.message}.",
            advice="Change the rule, or let the App pass it.",
        )
    if "workflow" in said and "permission" in said:
        return ForgeError(
            "GitHub lets an App change workflows only with a permission for it.",
            advice="Grant the App `workflows: write`, and accept it in the installation.",
        )
    if isinstance(error, RefusedError) and error.status == 403:
        return error
    return ForgeError(
        f"GitHub would not move {clean(branch)}: {error.message or error.problem}.",
        advice="A branch may stand in the way, such as `moorline` before `moorline/pins`.",
    )


def require_workflows(paths: Mapping[str, object] | set[str], permissions: Mapping[str, str]) -> None:
    """Return where a token may change these paths.  Raises `ForgeError`."""
    if (
        any(path.lower().startswith(".github/workflows/") for path in paths)
        and permissions.get("workflows") != "write"
    ):
        raise ForgeError(
            "GitHub lets an App change workflows only with a permission for it.",
            advice="Grant the App `workflows: write`, and accept it in the installation.",
        )
