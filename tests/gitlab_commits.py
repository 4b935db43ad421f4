"""One atomic commit of several actions, as GitLab's commits API makes it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any

from dulwich.refs import Ref, check_ref_format
from gitlab_git import EXECUTABLE, REGULAR, Person
from gitlab_http import Refusal, forbidden
from gitlab_world import Project, User, World

Files = dict[str, tuple[int, str]]
Action = Mapping[str, Any]


def make_commit(world: World, project: Project, user: User, body: Mapping[str, Any]) -> str:
    """Make the commit, move or make the branch, and return the commit; raises a 400 or 403."""
    branch, repository = str(body["branch"]), project.repository
    if not world.pushes(user, project, branch):
        raise forbidden("You are not allowed to push into this branch")
    _check_push_rule(project, branch, str(body["commit_message"]))
    before = repository.head(branch)
    if not is_branch_name(branch):
        why = "Branch name is invalid"
        raise Refusal(400, f"Something went wrong when we tried to create '{branch}' for you: {why}")
    parent = _parent(project, body, branch, before)
    files: Files = {}
    if parent is not None:
        files = {path: (entry.mode, entry.oid) for path, entry in repository.files(parent).items()}
    # GitLab asks the branch that the commit starts from, the default one for a `start_sha`.
    start = body.get("start_branch") or (project.default_branch if body.get("start_sha") else branch)
    locked = None if parent is None else repository.head(str(start))
    for action in body["actions"]:
        _apply(project, files, locked, action)
    author = Person(
        name=body.get("author_name") or user.name, email=body.get("author_email") or user.person.email
    )
    commit = repository.commit(
        files,
        [] if parent is None else [parent],
        str(body["commit_message"]),
        author=author,
        committer=user.person,
        when=int(world.clock().timestamp()),
    )
    repository.set_head(branch, commit)
    world.moved_branch(project, user, branch, before, commit)
    return commit


def is_branch_name(name: str) -> bool:
    """Return whether git takes a branch's name, and GitLab too: no digits of a commit alone."""
    return check_ref_format(Ref(f"refs/heads/{name}".encode())) and not re.fullmatch(
        r"-.*|[0-9a-f]{40}", name
    )


def _check_push_rule(project: Project, branch: str, message: str) -> None:
    for name, text, what in (
        ("commit_message_regex", message, "Commit message"),
        ("branch_name_regex", branch, f"Branch name '{branch}'"),
    ):
        rule = project.push_rule.get(name)
        if rule and re.search(rule, text) is None:
            raise Refusal(400, f"{what} does not follow the pattern '{rule}'")


def _parent(project: Project, body: Mapping[str, Any], branch: str, before: str | None) -> str | None:
    repository = project.repository
    start_branch, start_sha = body.get("start_branch"), body.get("start_sha")
    if start_branch and start_sha:
        raise Refusal(400, "start_branch, start_sha are mutually exclusive", key="error")
    if body.get("start_project") not in (None, project.id, project.path):
        raise Refusal(400, "the stand-in knows no other start_project")
    if project.empty:
        return None
    if not start_sha:
        start_branch = start_branch or branch
    if start_branch != branch and before is not None and not body.get("force"):
        raise Refusal(
            400,
            f"A branch called '{branch}' already exists. Switch to that branch in order to make changes",
        )
    if start_sha:
        if re.fullmatch(r"[0-9a-f]{7,40}", start_sha) is None:
            raise Refusal(400, f"Invalid start_sha '{start_sha}'")
        found = repository.resolve(start_sha)
        if found is None:
            raise Refusal(400, f"Cannot find start_sha '{start_sha}'")
        return found
    found = repository.head(str(start_branch))
    if found is None:
        raise Refusal(400, "You can only create or edit files when you are on a branch")
    return found


def _apply(project: Project, files: Files, locked: str | None, action: Action) -> None:
    path = str(action["file_path"])
    if not path or ".." in path.split("/") or path.startswith("/") or "//" in path or "\0" in path:
        raise Refusal(400, "Path cannot include directory traversal")
    kind = str(action["action"])
    if kind in ("update", "delete", "move"):
        _check_lock(project, locked, action)
    _ACTIONS[kind](project, files, action, path)


def _check_lock(project: Project, branch: str | None, action: Action) -> None:
    """Refuse a file whose last commit is another on the branch than at the commit that was told.

    As in GitLab, a commit that there is not, or that has no such file, locks nothing.
    """
    told, repository = action.get("last_commit_id"), project.repository
    known = repository.resolve(str(told)) if told else None
    if known is None or branch is None:
        return
    path = str(action.get("previous_path") or action["file_path"])
    last, then = repository.last_touching(branch, path), repository.last_touching(known, path)
    if last is not None and then is not None and last != then:
        raise Refusal(400, f"The file has changed since you started editing it: {path}")


def _content(action: Action) -> bytes:
    text = action.get("content")
    if text is None:
        raise Refusal(400, "actions[0][content] is missing", key="error")
    if action.get("encoding") == "base64":
        try:
            return base64.b64decode(text, validate=True)
        except binascii.Error:
            raise Refusal(400, "invalid base64") from None
    return str(text).encode()


def _present(files: Files, path: str) -> None:
    if path not in files:
        raise Refusal(400, "A file with this name doesn't exist")


def _free(files: Files, path: str) -> None:
    if path in files:
        raise Refusal(400, "A file with this name already exists")
    if any(one.startswith(f"{path}/") for one in files):
        raise Refusal(400, "A directory with this name already exists")
    parts = path.split("/")
    if any("/".join(parts[:end]) in files for end in range(1, len(parts))):
        raise Refusal(400, "A file with this name already exists")


def _create(project: Project, files: Files, action: Action, path: str) -> None:
    _free(files, path)
    files[path] = (REGULAR, project.repository.add_blob(_content(action)))


def _update(project: Project, files: Files, action: Action, path: str) -> None:
    _present(files, path)
    files[path] = (files[path][0], project.repository.add_blob(_content(action)))


def _delete(_project: Project, files: Files, _action: Action, path: str) -> None:
    _present(files, path)
    del files[path]


def _move(project: Project, files: Files, action: Action, path: str) -> None:
    old = action.get("previous_path")
    if not old:
        raise Refusal(400, f"You must supply the original file path when moving file `{path}`.")
    _present(files, old)
    mode, oid = files.pop(old)
    _free(files, path)
    content = action.get("content")
    files[path] = (mode, oid if content is None else project.repository.add_blob(_content(action)))


def _chmod(_project: Project, files: Files, action: Action, path: str) -> None:
    _present(files, path)
    if "execute_filemode" not in action:
        raise Refusal(400, "actions[0][execute_filemode] is missing", key="error")
    files[path] = (EXECUTABLE if action["execute_filemode"] else REGULAR, files[path][1])


_ACTIONS: Mapping[str, Callable[[Project, Files, Action, str], None]] = {
    "create": _create,
    "update": _update,
    "delete": _delete,
    "move": _move,
    "chmod": _chmod,
}
