"""The GitLab stand-in's repository: trees, files, branches, commits, comparisons, statuses."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import gitlab_shapes as shapes
from gitlab_commits import is_branch_name, make_commit
from gitlab_git import FOLDER, SUBMODULE, Entry
from gitlab_http import Call, Need, Refusal, Reply, Route, answer, forbidden, missing, paged
from gitlab_world import Level, Status

P = "/api/v4/projects/{id}"
_READ = Need(code=True, login=False)
_DEVELOP = Need(code=True, level=Level.DEVELOPER)


def _commit(call: Call, ref: str, what: str = "Commit") -> str:
    found = call.project.repository.resolve(ref or "HEAD")
    if found is None:
        raise missing(what)
    return found


def tree(call: Call) -> Reply:
    """List a folder: folders first, then files; by keyset where asked for."""
    repository, path = call.project.repository, call.asked("path").strip("/")
    commit = _commit(call, call.asked("ref"), "Tree")
    found = repository.walk(commit, path, recursive=bool(call.flag("recursive")))
    if found is None:
        raise missing("invalid revision or path")
    rank = {"tree": 0, "blob": 1, "commit": 2}
    rows = sorted(found, key=lambda entry: rank[entry.kind])
    if call.asked("pagination") != "keyset":
        return paged(call, rows, shapes.entry)
    # The real token is opaque, too; it is never a number that could be counted up.
    marks = [base64.urlsafe_b64encode(f"{row.kind}\0{row.path}".encode()).decode() for row in rows]
    token, size = call.asked("page_token"), call.per_page
    if token and token not in marks:
        raise Refusal(422, "cannot find page token")
    start = marks.index(token) + 1 if token else 0
    part = rows[start : start + size]
    headers: tuple[tuple[str, str], ...] = ()
    if start + size < len(rows):
        following = call.link(page_token=marks[start + size - 1])
        headers = (("Link", f'<{following}>; rel="next"'),)
    return answer([shapes.entry(row) for row in part], 200, headers)


def _file(call: Call) -> tuple[str, Entry, bytes]:
    ref = call.asked("ref")
    commit = _commit(call, ref)
    entry = call.project.repository.entry(commit, call.parts["file_path"])
    if entry is None or entry.mode in (FOLDER, SUBMODULE):
        raise missing("File")
    data = call.project.repository.blob(entry.oid)
    assert data is not None
    return commit, entry, data


def file(call: Call) -> Reply:
    """Return a file with its content in base64."""
    commit, entry, data = _file(call)
    return answer(
        {
            "file_name": entry.name,
            "file_path": entry.path,
            "size": len(data),
            "encoding": "base64",
            "content": base64.b64encode(data).decode(),
            "content_sha256": hashlib.sha256(data).hexdigest(),
            "ref": call.asked("ref") or "HEAD",
            "blob_id": entry.oid,
            "commit_id": commit,
            "last_commit_id": call.project.repository.last_touching(commit, entry.path),
            "execute_filemode": entry.mode == 0o100755,
        }
    )


def raw_file(call: Call) -> Reply:
    """Return a file's bytes."""
    commit, entry, data = _file(call)
    headers = (
        ("Content-Type", "text/plain"),
        ("X-Gitlab-Blob-Id", entry.oid),
        ("X-Gitlab-Commit-Id", commit),
        ("X-Gitlab-Size", str(len(data))),
    )
    return Reply(body=data, headers=headers)


def _blob(call: Call) -> bytes:
    data = call.project.repository.blob(call.parts["sha"])
    if data is None:
        raise missing("Blob")
    return data


def blob(call: Call) -> Reply:
    """Return a blob in base64."""
    data = _blob(call)
    content = base64.b64encode(data).decode()
    return answer({"size": len(data), "encoding": "base64", "content": content, "sha": call.parts["sha"]})


def raw_blob(call: Call) -> Reply:
    """Return a blob's bytes."""
    return Reply(body=_blob(call), headers=(("Content-Type", "text/plain"),))


def branches(call: Call) -> Reply:
    """List branches, by a search if there is one (`^` anchors the beginning, `$` the end)."""
    wanted = call.asked("search")
    names = [name for name in call.project.repository.branches() if _matches(name, wanted)]
    return paged(call, names, lambda name: shapes.branch(call.world, call.project, name, call.anyone))


def _matches(name: str, wanted: str) -> bool:
    if wanted.startswith("^"):
        return name.startswith(wanted[1:])
    if wanted.endswith("$"):
        return name.endswith(wanted[:-1])
    return wanted in name


def branch(call: Call) -> Reply:
    """Return one branch."""
    name = call.parts["branch"]
    if call.project.repository.head(name) is None:
        raise missing("Branch")
    return answer(shapes.branch(call.world, call.project, name, call.anyone))


def create_branch(call: Call) -> Reply:
    """Make a branch."""
    name = call.body.get("branch") or call.asked("branch")
    ref = call.body.get("ref") or call.asked("ref")
    repository = call.project.repository
    if not call.world.pushes(call.user, call.project, name):
        raise forbidden("You are not allowed to create protected branches on this project.")
    if repository.head(name) is not None:
        raise Refusal(400, "Branch already exists")
    if not is_branch_name(name):
        raise Refusal(400, "Branch name is invalid")
    commit = repository.resolve(ref)
    if commit is None:
        raise Refusal(400, f"Invalid reference name: {ref}")
    repository.set_head(name, commit)
    call.world.moved_branch(call.project, call.user, name, None, commit)
    return answer(shapes.branch(call.world, call.project, name, call.user), 201)


def delete_branch(call: Call) -> Reply:
    """Remove a branch; merge requests stay open."""
    name, project = call.parts["branch"], call.project
    before = project.repository.head(name)
    if before is None:
        raise missing("Branch")
    if name == project.default_branch:
        raise forbidden("Cannot remove HEAD branch")
    held = project.protection(name)
    if held is not None:
        raise forbidden("Protected branch can not be removed")
    project.repository.set_head(name, None)
    call.world.moved_branch(project, call.user, name, before, None)
    return Reply(status=204)


def commits(call: Call) -> Reply:
    """List commits from a ref on; without `X-Total`, as GitLab does."""
    project = call.project
    if project.empty and not call.asked("ref_name"):
        return paged(call, [], dict)
    name = call.asked("ref_name") or "HEAD"
    older, _, newer = name.partition("..")
    if newer:
        found = project.repository.log(_commit(call, newer), stop=_commit(call, older))
    else:
        found = project.repository.log(_commit(call, name))
    path = call.asked("path")
    if path:
        found = [one for one in found if _touches(call, one, path)]
    whole = paged(call, found, lambda one: shapes.commit(call.world, project, one))
    kept = tuple(one for one in whole.headers if one[0] not in ("X-Total", "X-Total-Pages"))
    return Reply(body=whole.body, headers=kept)


def _touches(call: Call, commit: str, path: str) -> bool:
    repository = call.project.repository
    parents = repository.info(commit).parents
    before = parents[0].decode() if parents else None
    return any(one == path or one.startswith(f"{path}/") for one in repository.changed(before, commit))


def commit(call: Call) -> Reply:
    """Return one commit."""
    oid = _commit(call, call.parts["sha"])
    stats = call.flag("stats") is not False
    return answer(shapes.full_commit(call.world, call.project, oid, stats=stats))


def create_commit(call: Call) -> Reply:
    """Make one atomic commit."""
    made = make_commit(call.world, call.project, call.user, call.body)
    stats = call.body.get("stats") is not False
    return answer(shapes.full_commit(call.world, call.project, made, stats=stats), 201)


def compare(call: Call) -> Reply:
    """Compare two refs, from their merge base unless `straight`."""
    repository = call.project.repository
    old, new = _commit(call, call.asked("from"), "Ref"), _commit(call, call.asked("to"), "Ref")
    base = old if call.flag("straight") else repository.merge_base(old, new)
    between = [] if base is None else repository.log(new, stop=old)[::-1]
    listed = [shapes.commit(call.world, call.project, one) for one in between]
    return answer(
        {
            "commit": listed[-1] if listed else None,
            "commits": listed,
            "diffs": [one | {"generated_file": False} for one in repository.diffs(base, new)],
            "compare_timeout": False,
            "compare_same_ref": old == new,
            "web_url": f"{call.world.url}/{call.project.path}/-/compare/{old}...{new}",
        }
    )


def merge_base(call: Call) -> Reply:
    """Return the common ancestor of two refs."""
    refs = [value for key, value in call.query if key == "refs[]"]
    if len(refs) != 2:
        raise Refusal(400, "Provide exactly 2 refs here: the stand-in compares no more")
    found = [call.project.repository.resolve(one) for one in refs]
    if None in found:
        raise Refusal(400, f"Could not find ref: {refs[found.index(None)]}")
    one, other = (str(each) for each in found)
    base = call.project.repository.merge_base(one, other)
    if base is None:
        raise missing("Merge Base")
    return answer(shapes.commit(call.world, call.project, base))


def statuses(call: Call) -> Reply:
    """List the statuses of a commit: the newest of each name and ref, or all."""
    oid = _commit(call, call.parts["sha"])
    found = [one for one in call.project.statuses if one.sha == oid]
    for field in ("ref", "name"):
        if call.asked(field):
            found = [one for one in found if getattr(one, field) == call.asked(field)]
    if not call.flag("all"):
        found = list({(one.ref, one.name): one for one in found}.values())
    return paged(call, found, lambda one: shapes.status(call.world, one))


_EVENTS = {
    "pending": "enqueue",
    "running": "run",
    "success": "success",
    "failed": "drop",
    "canceled": "cancel",
    "skipped": "skip",
}


def set_status(call: Call) -> Reply:
    """Set a status; a state that is there already is refused, a finished one starts anew."""
    project, body = call.project, call.body
    oid = _commit(call, call.parts["sha"])
    ref = body.get("ref") or next(
        (
            name
            for name, head in project.repository.branches().items()
            if project.repository.reaches(oid, head)
        ),
        None,
    )
    if ref is None:
        raise missing("References for commit")
    name, state = body.get("name") or body.get("context") or "default", body["state"]
    open_one = next(
        (
            one
            for one in reversed(project.statuses)
            if (one.sha, one.ref, one.name) == (oid, ref, name) and one.state in ("pending", "running")
        ),
        None,
    )
    if open_one is not None and state in (open_one.state, "pending"):
        event = _EVENTS[state]
        raise Refusal(
            400,
            f"Cannot transition status via :{event} from :{open_one.state} "
            f'(Reason(s): Status cannot transition via "{event}")',
        )
    if open_one is None:
        open_one = _new_status(call, oid, ref, name)
    open_one.state = state
    open_one.description = body.get("description", open_one.description)
    open_one.target_url = body.get("target_url", open_one.target_url)
    return answer(shapes.status(call.world, open_one), 201)


def _new_status(call: Call, oid: str, ref: str, name: str) -> Status:
    project, world = call.project, call.world
    asked = call.body.get("pipeline_id")
    known = {one.pipeline for one in project.statuses if (one.sha, one.ref) == (oid, ref)}
    if asked is not None and asked not in known:
        raise missing("Pipeline")
    made = Status(
        id=next(world.ids),
        sha=oid,
        ref=ref,
        name=name,
        state="pending",
        author=call.user,
        created=world.clock(),
        description=None,
        target_url=None,
        pipeline=asked or next(iter(known), None) or next(world.ids),
    )
    project.statuses.append(made)
    return made


def protected_branches(call: Call) -> Reply:
    """List protected branches."""
    return paged(call, list(call.project.protections.values()), shapes.protected)


def protected_branch(call: Call) -> Reply:
    """Return one protected branch or wildcard."""
    held = call.project.protections.get(call.parts["name"])
    if held is None:
        raise missing("Protected branch")
    return answer(shapes.protected(held))


def push_rule(call: Call) -> Reply:
    """Return the push rule, null where there is none, 404 where the licence has none."""
    if not call.world.licensed:
        raise missing("Push Rule")
    rule: Mapping[str, Any] = call.project.push_rule
    if not rule:
        return Reply(body=json.dumps(None).encode(), headers=(("Content-Type", "application/json"),))
    return answer({"id": 1, "project_id": call.project.id} | dict(rule))


ROUTES = (
    Route("GET", f"{P}/repository/tree", tree, _READ),
    Route("GET", f"{P}/repository/files/{{file_path}}", file, _READ),
    Route("GET", f"{P}/repository/files/{{file_path}}/raw", raw_file, _READ),
    Route("GET", f"{P}/repository/blobs/{{sha}}", blob, _READ),
    Route("GET", f"{P}/repository/blobs/{{sha}}/raw", raw_blob, _READ),
    Route("GET", f"{P}/repository/branches", branches, _READ),
    Route("POST", f"{P}/repository/branches", create_branch, _DEVELOP),
    Route("GET", f"{P}/repository/branches/{{branch}}", branch, _READ),
    Route("DELETE", f"{P}/repository/branches/{{branch}}", delete_branch, _DEVELOP),
    Route("GET", f"{P}/repository/commits", commits, _READ),
    Route("POST", f"{P}/repository/commits", create_commit, _DEVELOP),
    Route("GET", f"{P}/repository/commits/{{sha}}", commit, _READ),
    Route("GET", f"{P}/repository/compare", compare, _READ),
    Route("GET", f"{P}/repository/merge_base", merge_base, _READ),
    Route("GET", f"{P}/repository/commits/{{sha}}/statuses", statuses, _READ),
    Route("POST", f"{P}/statuses/{{sha}}", set_status, _DEVELOP),
    Route("GET", f"{P}/protected_branches", protected_branches, _READ),
    Route("GET", f"{P}/protected_branches/{{name}}", protected_branch, _READ),
    Route("GET", f"{P}/push_rule", push_rule, Need(level=Level.MAINTAINER)),
)
