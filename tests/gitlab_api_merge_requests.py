"""The GitLab stand-in's merge requests: made, changed, commented, discussed, merged."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import gitlab_shapes as shapes
from gitlab_http import Call, Need, Refusal, Reply, Route, answer, forbidden, missing, paged
from gitlab_quick_actions import extract
from gitlab_world import Executed, Label, Level, MergeRequest, Note, Project, User, World, iso, refresh

P = "/api/v4/projects/{id}"
M = f"{P}/merge_requests/{{merge_request_iid}}"
_READ = Need(login=False)
_WRITE = Need(level=Level.REPORTER)
_MAX_TEXT = 1_048_576


def find(call: Call) -> MergeRequest:
    """Return the merge request that is asked about."""
    text = call.parts["merge_request_iid"]
    found = call.project.merge_requests.get(int(text)) if text.isdigit() else None
    if found is None:
        raise missing("Not found")
    return found


def _shown(call: Call, one: MergeRequest, status: int = 200) -> Reply:
    return answer(shapes.full_merge_request(call.world, one), status)


def _wanted(call: Call, one: MergeRequest) -> bool:
    labels = [name for name in call.asked("labels").split(",") if name]
    iids = {value for name, value in call.query if name == "iids[]"}
    return (
        call.asked("state", "all") in ("all", one.state)
        and call.asked("source_branch") in ("", one.source_branch)
        and call.asked("target_branch") in ("", one.target_branch)
        and call.asked("author_id") in ("", str(one.author.id))
        and call.asked("author_username") in ("", one.author.username)
        and call.asked("search").lower() in f"{one.title}\n{one.description}".lower()
        and all(name in one.labels for name in labels)
        and (not iids or str(one.iid) in iids)
    )


def listed(call: Call) -> Reply:
    """List merge requests, the newest first; whoever made them, unless `scope` says otherwise."""
    mine = call.asked("scope") in ("created_by_me", "created-by-me")
    found = [
        one
        for one in call.project.merge_requests.values()
        if _wanted(call, one) and (not mine or one.author is call.user)
    ]
    by = call.asked("order_by") or "created_at"
    found.sort(
        key=lambda one: (one.updated if by == "updated_at" else one.created, one.iid),
        reverse=call.asked("sort") != "asc",
    )
    return paged(call, found, lambda one: shapes.merge_request(call.world, one))


def shown(call: Call) -> Reply:
    """Return one merge request."""
    one = find(call)
    one.prepared = True
    return _shown(call, one)


def _others(project: Project, source: str, target: str) -> list[MergeRequest]:
    return [
        one
        for one in project.merge_requests.values()
        if one.state == "opened" and (one.source_branch, one.target_branch) == (source, target)
    ]


def _conflict(found: Iterable[MergeRequest]) -> None:
    for one in found:
        why = f"Another open merge request already exists for this source branch: !{one.iid}"
        raise Refusal(409, [why])


def create(call: Call) -> Reply:
    """Make a merge request; a 409 where one is open for the same branches."""
    project, body = call.project, call.body
    source, target = body["source_branch"], body["target_branch"]
    if body.get("target_project_id") not in (None, project.id):
        raise Refusal(400, "the stand-in knows no other target project")
    if not project.merge_requests_enabled:
        raise forbidden()
    if source == target:
        raise Refusal(422, ["You can't use same project/branch for source and target"])
    _conflict(_others(project, source, target))
    for what, name in (("Source", source), ("Target", target)):
        if project.repository.head(name) is None:
            raise Refusal(400, [f'{what} branch "{name}" does not exist'])
    _check_texts(body)
    now, world = call.world.clock(), call.world
    made = MergeRequest(
        id=next(world.ids),
        iid=max(project.merge_requests, default=0) + 1,
        project=project,
        author=call.user,
        title=body["title"],
        description="",
        source_branch=source,
        target_branch=target,
        sha=project.repository.head(source),
        base_sha=None,
        start_sha=None,
        created=now,
        updated=now,
        prepared=world.prepares_at_once,
        sent=dict(body),
    )
    refresh(made)
    project.merge_requests[made.iid] = made
    _set(call, made, {name: value for name, value in body.items() if name not in ("title", "target_branch")})
    world.happen("merge_request", project, call.user, merge_request=made, action="open")
    return _shown(call, made, 201)


def update(call: Call) -> Reply:
    """Change a merge request: its author may, and whoever may push."""
    one, body = find(call), call.body
    if one.author is not call.user and call.world.level(call.user, call.project) < Level.DEVELOPER:
        raise forbidden()
    if not body.keys() - {"source_branch", "target_project_id"}:
        raise Refusal(400, "title, description, state_event, labels are missing", key="error")
    _check_texts(body)
    if body.get("state_event") == "reopen" and one.state == "closed":
        _conflict(_others(call.project, one.source_branch, one.target_branch))
    before = shapes.merge_request(call.world, one)
    _set(call, one, body)
    if body.get("state_event"):
        state = {"close": "closed", "reopen": "opened"}[body["state_event"]]
        call.world.set_state(one, call.user, state)
    after = shapes.merge_request(call.world, one)
    changes = {
        name: {"previous": before[name], "current": after[name]}
        for name in ("title", "description", "draft", "target_branch")
        if before[name] != after[name]
    }
    if (changes or after["labels"] != before["labels"]) and not body.get("state_event"):
        call.world.happen(
            "merge_request", call.project, call.user, merge_request=one, action="update", changes=changes
        )
    return _shown(call, one)


def _check_texts(body: Mapping[str, Any]) -> None:
    title = body.get("title")
    if title is not None and not title.strip():
        raise Refusal(400, {"title": ["can't be blank"]})
    if title is not None and len(title) > 255:
        raise Refusal(400, {"title": ["is too long (maximum is 255 characters)"]})
    if len(body.get("description") or "") > _MAX_TEXT:
        raise Refusal(400, {"description": [f"is too long (maximum is {_MAX_TEXT} characters)"]})


def _set(call: Call, one: MergeRequest, body: Mapping[str, Any]) -> None:
    world = call.world
    one.updated = world.clock()
    if body.get("target_branch"):
        one.target_branch = body["target_branch"]
        refresh(one)
    one.title = body.get("title", one.title)
    one.squash = body.get("squash", one.squash)
    one.remove_source = body.get("remove_source_branch", one.remove_source)
    if "labels" in body:
        one.labels = _labels(world, one.project, body["labels"])
    if "reviewer_ids" in body:
        one.reviewers = _people(world, one.project, body["reviewer_ids"])
    if "assignee_ids" in body:
        one.assignees = _people(world, one.project, body["assignee_ids"])
    elif "assignee_id" in body:
        one.assignees = _people(world, one.project, [body["assignee_id"]])
    if "description" in body:
        kept, orders = extract(body["description"] or "")
        one.description = kept if orders else body["description"] or ""
        execute(world, one, call.user, orders, "description")


def _labels(world: World, project: Project, given: str | list[str]) -> list[str]:
    """Labels that nobody made are made; a comma parts them, so none can hold one."""
    text = given if isinstance(given, str) else ",".join(given)
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in project.labels:
            project.labels[name] = Label(id=next(world.ids), name=name)
    return names


def _people(world: World, project: Project, ids: list[int]) -> list[User]:
    """Whoever cannot see the project is left out without a word; without a licence only the first stays."""
    found = [world.users[one] for one in ids if one in world.users and world.level(world.users[one], project)]
    return found if world.licensed else found[:1]


def execute(
    world: World, one: MergeRequest, user: User, orders: Iterable[tuple[str, str]], where: str
) -> None:
    """Carry out quick actions, with the rights of whoever wrote them, and note that they were."""
    for command, argument in orders:
        world.executed.append(
            Executed(
                project=one.project.path,
                merge_request=one.iid,
                where=where,
                command=command,
                argument=argument,
                user=user.username,
            )
        )
        if command in ("close", "reopen"):
            world.set_state(one, user, "closed" if command == "close" else "opened")
        elif command == "merge" and one.state == "opened":
            merge_now(world, one, user)
        elif command in ("approve", "lgtm"):
            one.approved_by.append(user)
        elif command == "title" and argument:
            one.title = argument
        elif command in ("label", "labels"):
            one.labels += [
                name for name in re.findall(r"~\"?([^\"~\s]+)", argument) if name not in one.labels
            ]


def merge_now(world: World, one: MergeRequest, user: User) -> str:
    """Merge with a merge commit and return it; the source branch goes where that was asked for."""
    project = one.project
    repository = project.repository
    target, source = repository.head(one.target_branch), one.sha
    assert target is not None
    assert source is not None
    files = {path: (entry.mode, entry.oid) for path, entry in repository.files(target).items()}
    for path, (_, after) in repository.changed(one.base_sha, source).items():
        if after is None:
            files.pop(path, None)
        else:
            files[path] = (after.mode, after.oid)
    commit = repository.commit(
        files,
        [target, source],
        f"Merge branch '{one.source_branch}' into '{one.target_branch}'\n\n{one.title}",
        author=user.person,
        committer=user.person,
        when=int(world.clock().timestamp()),
    )
    repository.set_head(one.target_branch, commit)
    world.moved_branch(project, user, one.target_branch, target, commit)
    if one.remove_source and repository.head(one.source_branch) is not None:
        repository.set_head(one.source_branch, None)
        world.moved_branch(project, user, one.source_branch, source, None)
    return commit


def merge(call: Call) -> Reply:
    """Merge; a 409 where `sha` is not the head, a 405 where it cannot be."""
    one = find(call)
    if not call.world.pushes(call.user, call.project, one.target_branch):
        raise Refusal(401, "401 Unauthorized")
    if one.state != "opened" or one.draft:
        raise Refusal(405, "405 Method Not Allowed")
    if call.body.get("sha") not in (None, one.sha):
        raise Refusal(409, "SHA does not match HEAD of source branch")
    merge_now(call.world, one, call.user)
    return _shown(call, one)


def diffs(call: Call) -> Reply:
    """List what the merge request changes."""
    one = find(call)
    found = [] if one.sha is None else call.project.repository.diffs(one.base_sha, one.sha)
    return paged(call, found, dict)


def its_commits(call: Call) -> Reply:
    """List the merge request's commits."""
    one, repository = find(call), call.project.repository
    found = [] if one.sha is None else repository.log(one.sha, stop=one.base_sha)
    return paged(call, found, lambda oid: shapes.commit(call.world, call.project, oid))


def notes(call: Call) -> Reply:
    """List notes, the newest first, system notes among them."""
    one = find(call)
    found = sorted(one.notes, key=lambda note: note.id, reverse=call.asked("sort") != "asc")
    if call.asked("activity_filter") == "only_comments":
        found = [note for note in found if not note.system]
    return paged(call, found, lambda note: shapes.note(call.world, note, one))


def _note(call: Call, one: MergeRequest) -> Note:
    found = next((note for note in one.notes if str(note.id) == call.parts["note_id"]), None)
    if found is None:
        raise missing("Not found")
    return found


def note(call: Call) -> Reply:
    """Return one note."""
    one = find(call)
    return answer(shapes.note(call.world, _note(call, one), one))


def _said(call: Call, one: MergeRequest, **more: Any) -> Note | Reply:
    body = call.body["body"]
    if len(body) > 1_000_000:
        raise Refusal(400, {"note": ["is too long (maximum is 1000000 characters)"]})
    kept, orders = extract(body)
    if orders and not kept.strip():
        execute(call.world, one, call.user, orders, "note")
        changes = {"commands_changes": {}, "summary": [f"Applied {name}" for name, _ in orders]}
        return answer(changes, 202)
    if not body.strip():
        raise Refusal(400, '400 Bad request - Note {:note=>["can\'t be blank"]}')
    made = call.world.add_note(one, call.user, kept if orders else body, **more)
    execute(call.world, one, call.user, orders, "note")
    call.world.happen("note", call.project, call.user, merge_request=one, note=made, action="create")
    return made


def create_note(call: Call) -> Reply:
    """Comment; lines that are quick actions are carried out, and a note of nothing else is not kept."""
    one = find(call)
    made = _said(call, one, internal=bool(call.body.get("internal")))
    return made if isinstance(made, Reply) else answer(shapes.note(call.world, made, one), 201)


def update_note(call: Call) -> Reply:
    """Change one's own note, or another's as a maintainer."""
    one = find(call)
    found = _note(call, one)
    if found.author is not call.user and call.world.level(call.user, call.project) < Level.MAINTAINER:
        raise forbidden()
    kept, orders = extract(call.body["body"])
    found.body, found.updated = kept if orders else call.body["body"], call.world.clock()
    execute(call.world, one, call.user, orders, "note")
    call.world.happen("note", call.project, call.user, merge_request=one, note=found, action="update")
    return answer(shapes.note(call.world, found, one))


def _emoji(call: Call, note: Note, user: User, name: str) -> dict[str, Any]:
    now = iso(call.world.clock())
    said = {"id": note.id * 100 + note.emoji.index((user, name)), "name": name}
    of = {"awardable_id": note.id, "awardable_type": "Note", "url": None}
    return said | {"user": shapes.user(call.world, user), "created_at": now, "updated_at": now} | of


def emoji(call: Call) -> Reply:
    """List the emoji on a note."""
    found = _note(call, find(call))
    return paged(call, found.emoji, lambda one: _emoji(call, found, *one))


def award(call: Call) -> Reply:
    """Give a note an emoji; a 404 where one gave it that before."""
    found, name = _note(call, find(call)), str(call.body["name"])
    if (call.user, name) in found.emoji:
        raise missing("Award Emoji Name has already been taken")
    found.emoji.append((call.user, name))
    return answer(_emoji(call, found, call.user, name), 201)


def delete_note(call: Call) -> Reply:
    """Remove a note."""
    one = find(call)
    found = _note(call, one)
    if found.author is not call.user and call.world.level(call.user, call.project) < Level.MAINTAINER:
        raise forbidden()
    one.notes.remove(found)
    return Reply(status=204)


def _threads(one: MergeRequest) -> dict[str, list[Note]]:
    found: dict[str, list[Note]] = {}
    for each in one.notes:
        found.setdefault(each.discussion, []).append(each)
    return found


def discussions(call: Call) -> Reply:
    """List threads; a plain note is one of its own."""
    one = find(call)
    return paged(call, list(_threads(one).values()), lambda held: shapes.discussion(call.world, held, one))


def _thread(call: Call, one: MergeRequest) -> list[Note]:
    found = _threads(one).get(call.parts["discussion_id"])
    if found is None:
        raise missing("Discussion")
    return found


def discussion(call: Call) -> Reply:
    """Return one thread."""
    one = find(call)
    return answer(shapes.discussion(call.world, _thread(call, one), one))


def create_discussion(call: Call) -> Reply:
    """Start a thread, at a place in the diff where a position is given; a 400 where it is not in the diff."""
    one, position = find(call), call.body.get("position")
    if position is not None:
        check_position(one, position)
    made = _said(call, one, individual=False, position=position, discussion=uuid.uuid4().hex)
    if isinstance(made, Reply):
        return made
    return answer(shapes.discussion(call.world, [made], one), 201)


def check_position(one: MergeRequest, position: Mapping[str, Any]) -> None:
    """Raise `Refusal` where a position is not one of the diff."""
    told = (position["base_sha"], position["start_sha"], position["head_sha"])
    if told != (one.base_sha, one.start_sha, one.sha):
        raise Refusal(400, '400 Bad request - Note {:position=>["is incomplete"]}')
    if position["position_type"] != "text":
        return
    path, line = position.get("new_path"), position.get("new_line")
    assert one.sha is not None
    lines = {
        each["new_path"]: _lines(str(each["diff"]))
        for each in one.project.repository.diffs(one.base_sha, one.sha)
    }
    if path not in lines or (line, position.get("old_line")) not in lines[path]:
        raise Refusal(
            400, '400 Bad request - Note {:line_code=>["can\'t be blank", "must be a valid line code"]}'
        )


def _lines(diff: str) -> set[tuple[int | None, int | None]]:
    """Return what new and old numbers lines of a diff have: an unchanged line needs both."""
    found: set[tuple[int | None, int | None]] = set()
    new = old = 0
    for text in diff.splitlines():
        if head := re.match(r"@@ -(\d+)(?:,\d+)? \+(\d+)", text):
            old, new = int(head[1]), int(head[2])
        elif text.startswith("+"):
            found.add((new, None))
            new += 1
        elif text.startswith("-"):
            found.add((None, old))
            old += 1
        elif text.startswith(" "):
            found.add((new, old))
            new, old = new + 1, old + 1
    return found


def reply(call: Call) -> Reply:
    """Answer in a thread."""
    one = find(call)
    first = _thread(call, one)[0]
    made = _said(call, one, discussion=first.discussion, individual=False)
    return made if isinstance(made, Reply) else answer(shapes.note(call.world, made, one), 201)


def resolve(call: Call) -> Reply:
    """Resolve a thread, or open it again."""
    one = find(call)
    found = _thread(call, one)
    text = call.body.get("resolved", call.flag("resolved"))
    for each in found:
        each.resolved, each.resolved_by = bool(text), call.user if text else None
    return answer(shapes.discussion(call.world, found, one))


ROUTES = (
    Route("GET", f"{P}/merge_requests", listed, _READ),
    Route("POST", f"{P}/merge_requests", create, Need(level=Level.DEVELOPER)),
    Route("GET", M, shown, _READ),
    Route("PUT", M, update, _WRITE),
    Route("PUT", f"{M}/merge", merge, Need(level=Level.DEVELOPER)),
    Route("GET", f"{M}/diffs", diffs, Need(login=False, code=True)),
    Route("GET", f"{M}/commits", its_commits, Need(login=False, code=True)),
    Route("GET", f"{M}/notes", notes, _READ),
    Route("POST", f"{M}/notes", create_note, _WRITE),
    Route("GET", f"{M}/notes/{{note_id}}", note, _READ),
    Route("PUT", f"{M}/notes/{{note_id}}", update_note, _WRITE),
    Route("DELETE", f"{M}/notes/{{note_id}}", delete_note, _WRITE),
    Route("GET", f"{M}/notes/{{note_id}}/award_emoji", emoji, _READ),
    Route("POST", f"{M}/notes/{{note_id}}/award_emoji", award, _WRITE),
    Route("GET", f"{M}/discussions", discussions, _READ),
    Route("POST", f"{M}/discussions", create_discussion, _WRITE),
    Route("GET", f"{M}/discussions/{{discussion_id}}", discussion, _READ),
    Route("PUT", f"{M}/discussions/{{discussion_id}}", resolve, _WRITE),
    Route("POST", f"{M}/discussions/{{discussion_id}}/notes", reply, _WRITE),
)
