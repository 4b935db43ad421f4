"""What GitLab sends to hooks: bodies in the documented shapes, headers, signatures, and what follows failures.

Bodies follow GitLab's pages on webhook events and system hooks; the signature is that of Standard Webhooks.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from gitlab_world import Happening, Hook, HookEvent, MergeRequest, Note, Project, User, World

NOBODY = "0" * 40
NO_ANSWER = "internal error"
"""What the log says where nobody answered."""
_LEVELS = {"private": 0, "internal": 10, "public": 20}
_NEWEST = 20
TRIGGERS = {
    "push": "push_events",
    "tag_push": "tag_push_events",
    "merge_request": "merge_requests_events",
    "note": "note_events",
    "pipeline": "pipeline_events",
    "repository_update": "repository_update_events",
    "project_create": "project_events",
    "project_destroy": "project_events",
}
_NAMES = {
    "push": "Push Hook",
    "tag_push": "Tag Push Hook",
    "merge_request": "Merge Request Hook",
    "note": "Note Hook",
    "pipeline": "Pipeline Hook",
    "project_create": "Project Hook",
    "project_destroy": "Project Hook",
}
_ALWAYS = ("project_create", "project_rename", "project_transfer", "project_destroy", "project_update")
"""What every system hook is told."""


class Delivery(NamedTuple):
    """One request to a hook."""

    headers: dict[str, str]
    body: bytes


class Sent(NamedTuple):
    """One delivery and the receiver's answer: a status, or None where there was no answer."""

    hook: Hook
    happening: Happening
    status: int | None


def sign(signing_token: str, identity: str, timestamp: int, body: bytes) -> str:
    """Return a `webhook-signature` of Standard Webhooks."""
    key = base64.b64decode(signing_token.removeprefix("whsec_"))
    text = f"{identity}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()


def compose(
    world: World,
    happening: Happening,
    *,
    scope: str = "project",
    token: str | None = None,
    signing_token: str | None = None,
    identity: str = "",
    webhook: str = "",
    at: datetime | None = None,
) -> Delivery:
    """Return what is sent of something that happened; `scope` is the hook's kind."""
    body = json.dumps(_body(world, happening, scope), ensure_ascii=False).encode()
    name = "System Hook" if scope == "system" else _NAMES[happening.kind]
    if happening.kind == "note" and happening.more["note"].internal and scope != "system":
        name = "Confidential Note Hook"
    return dress(
        world,
        name,
        body,
        event=happening.event,
        token=token,
        signing_token=signing_token,
        identity=identity,
        webhook=webhook,
        at=at,
    )


def dress(
    world: World,
    name: str,
    body: bytes,
    *,
    event: str = "",
    token: str | None = None,
    signing_token: str | None = None,
    identity: str = "",
    webhook: str = "",
    at: datetime | None = None,
) -> Delivery:
    """Return a body with GitLab's headers; a plain token and a signing token are both sent if both are set."""
    identity = identity or str(uuid.uuid4())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"GitLab/{world.version}",
        "Idempotency-Key": identity,
        "X-Gitlab-Event": name,
        "X-Gitlab-Webhook-UUID": webhook or str(uuid.uuid4()),
        "X-Gitlab-Instance": world.url,
        "X-Gitlab-Event-UUID": event or str(uuid.uuid4()),
    }
    if token is not None:
        headers["X-Gitlab-Token"] = token
    if signing_token is not None:
        timestamp = int((at or datetime.now(UTC)).timestamp())
        headers["webhook-id"] = identity
        headers["webhook-timestamp"] = str(timestamp)
        headers["webhook-signature"] = sign(signing_token, identity, timestamp, body)
    return Delivery(headers, body)


def _body(world: World, happening: Happening, scope: str) -> dict[str, Any]:
    kind = happening.kind
    if kind in _ALWAYS:
        return _project_event(happening)
    if kind == "push":
        return _push(world, happening, commits=scope != "system")
    return _BODIES[kind](world, happening)


def _project(world: World, one: Project) -> dict[str, Any]:
    web, ssh = f"{world.url}/{one.path}", f"git@gitlab.example:{one.path}.git"
    return {
        "id": one.id,
        "name": one.name,
        "description": "",
        "web_url": web,
        "avatar_url": None,
        "git_ssh_url": ssh,
        "git_http_url": f"{web}.git",
        "namespace": one.namespace.rpartition("/")[2],
        "visibility_level": _LEVELS[one.visibility],
        "path_with_namespace": one.path,
        "default_branch": one.default_branch,
        "ci_config_path": one.ci_config_path,
        "homepage": web,
        "url": ssh,
        "ssh_url": ssh,
        "http_url": f"{web}.git",
    }


def _repository(world: World, one: Project) -> dict[str, Any]:
    whole = _project(world, one)
    kept = ("name", "url", "description", "homepage", "git_http_url", "git_ssh_url", "visibility_level")
    return {name: whole[name] for name in kept}


def _user(world: World, one: User) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "username": one.username,
        "avatar_url": f"{world.url}/avatar/{one.id}.png",
        "email": "[REDACTED]",
    }


def _commit(world: World, held: Project, oid: str) -> dict[str, Any]:
    info = held.repository.info(oid)
    message = info.message.decode("utf-8", "replace")
    name, _, email = info.author.decode("utf-8", "replace").rpartition(" <")
    return {
        "id": oid,
        "message": message,
        "title": message.split("\n", 1)[0],
        "timestamp": datetime.fromtimestamp(info.author_time, UTC).isoformat(),
        "url": f"{world.url}/{held.path}/-/commit/{oid}",
        "author": {"name": name, "email": email.rstrip(">")},
    }


def _listed(world: World, held: Project, oid: str) -> dict[str, Any]:
    parents = held.repository.info(oid).parents
    changed = held.repository.changed(parents[0].decode() if parents else None, oid)
    return _commit(world, held, oid) | {
        "added": [path for path, (old, _) in changed.items() if old is None],
        "modified": [path for path, (old, new) in changed.items() if old is not None and new is not None],
        "removed": [path for path, (_, new) in changed.items() if new is None],
    }


def _pushed(world: World, happening: Happening, ref: str) -> dict[str, Any]:
    who, held = happening.user, happening.project
    return {
        "ref": ref,
        "user_id": who.id,
        "user_name": who.name,
        "user_username": who.username,
        "user_email": "",
        "user_avatar": f"{world.url}/avatar/{who.id}.png",
        "project_id": held.id,
        "project": _project(world, held),
        "push_options": {},
        "repository": _repository(world, held),
        "message": None,
    }


def _push(world: World, happening: Happening, *, commits: bool) -> dict[str, Any]:
    held, more = happening.project, happening.more
    before, after, branch = more["before"], more["after"], more["branch"]
    new = _new_commits(held, before, after)
    return {
        "object_kind": "push",
        "event_name": "push",
        "before": before or NOBODY,
        "after": after or NOBODY,
        "ref_protected": held.protection(branch) is not None,
        "checkout_sha": after,
        **_pushed(world, happening, f"refs/heads/{branch}"),
        "commits": [_listed(world, held, oid) for oid in new[:_NEWEST][::-1]] if commits else [],
        "total_commits_count": len(new),
    }


def _new_commits(held: Project, before: str | None, after: str | None) -> Sequence[str]:
    """Newest first; of a new branch what the default one does not have."""
    if after is None:
        return ()
    stop = before or held.repository.head(held.default_branch)
    return () if stop == after else held.repository.log(after, stop=stop)


def _tag_push(world: World, happening: Happening) -> dict[str, Any]:
    more = happening.more
    return {
        "object_kind": "tag_push",
        "event_name": "tag_push",
        "before": more.get("before") or NOBODY,
        "after": more.get("after") or NOBODY,
        "ref_protected": False,
        "checkout_sha": more.get("commit"),
        **_pushed(world, happening, f"refs/tags/{more['tag']}"),
        "commits": [],
        "total_commits_count": 0,
    }


def _labels(held: Project, names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "id": held.labels[name].id,
            "title": name,
            "color": held.labels[name].color,
            "project_id": held.id,
            "created_at": "2026-01-01T00:00:00Z",
            "updated_at": "2026-01-01T00:00:00Z",
            "template": False,
            "description": held.labels[name].description,
            "type": "ProjectLabel",
            "group_id": None,
        }
        for name in names
        if name in held.labels
    ]


def _merge_request_facts(world: World, one: MergeRequest) -> dict[str, Any]:
    held = one.project
    return {
        "id": one.id,
        "iid": one.iid,
        "target_branch": one.target_branch,
        "source_branch": one.source_branch,
        "source_project_id": held.id,
        "target_project_id": held.id,
        "author_id": one.author.id,
        "assignee_ids": [each.id for each in one.assignees],
        "assignee_id": one.assignees[0].id if one.assignees else None,
        "reviewer_ids": [each.id for each in one.reviewers],
        "title": one.title,
        "description": one.description,
        "created_at": one.created.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "updated_at": one.updated.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "last_edited_at": one.updated.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "last_edited_by_id": one.author.id,
        "milestone_id": None,
        "state_id": {"opened": 1, "closed": 2, "merged": 3}[one.state],
        "state": one.state,
        "blocking_discussions_resolved": True,
        "work_in_progress": one.draft,
        "draft": one.draft,
        "first_contribution": False,
        "merge_status": "can_be_merged",
        "detailed_merge_status": "mergeable",
        "merge_commit_sha": one.merge_commit,
        "url": f"{world.url}/{held.path}/-/merge_requests/{one.iid}",
        "source": _project(world, held),
        "target": _project(world, held),
        "last_commit": None if one.sha is None else _commit(world, held, one.sha),
        "labels": _labels(held, one.labels),
    }


def _merge_request(world: World, happening: Happening) -> dict[str, Any]:
    more, one = happening.more, happening.more["merge_request"]
    facts = _merge_request_facts(world, one) | {"action": more["action"]}
    if one.merge_commit is None:
        del facts["merge_commit_sha"]
    if more.get("oldrev"):
        facts["oldrev"] = more["oldrev"]
    return {
        "object_kind": "merge_request",
        "event_type": "merge_request",
        "user": _user(world, happening.user),
        "project": _project(world, happening.project),
        "repository": _repository(world, happening.project),
        "object_attributes": facts,
        "labels": facts["labels"],
        "changes": dict(more.get("changes", {})),
        "assignees": [_user(world, each) for each in one.assignees],
        "reviewers": [_user(world, each) for each in one.reviewers],
    }


def _note(world: World, happening: Happening) -> dict[str, Any]:
    one, note = happening.more["merge_request"], happening.more["note"]
    assert isinstance(one, MergeRequest)
    assert isinstance(note, Note)
    facts = _merge_request_facts(world, one)
    return {
        "object_kind": "note",
        "event_type": "confidential_note" if note.internal else "note",
        "user": _user(world, happening.user),
        "project_id": happening.project.id,
        "project": _project(world, happening.project),
        "repository": _repository(world, happening.project),
        "object_attributes": {
            "id": note.id,
            "note": note.body,
            "description": note.body,
            "noteable_type": "MergeRequest",
            "noteable_id": one.id,
            "author_id": note.author.id,
            "created_at": note.created.strftime("%Y-%m-%d %H:%M:%S UTC"),
            "updated_at": note.updated.strftime("%Y-%m-%d %H:%M:%S UTC"),
            "project_id": happening.project.id,
            "discussion_id": note.discussion,
            "attachment": None,
            "line_code": None,
            "commit_id": "",
            "system": note.system,
            "internal": note.internal,
            "st_diff": None,
            "type": None if note.individual else "DiscussionNote",
            "action": happening.more.get("action", "create"),
            "url": f"{facts['url']}#note_{note.id}",
        },
        "merge_request": facts,
    }


def _repository_update(world: World, happening: Happening) -> dict[str, Any]:
    changes = [
        {"before": before or NOBODY, "after": after or NOBODY, "ref": ref}
        for ref, before, after in happening.more["changes"]
    ]
    who, held = happening.user, happening.project
    return {
        "event_name": "repository_update",
        "user_id": who.id,
        "user_name": who.name,
        "user_email": "",
        "user_avatar": f"{world.url}/avatar/{who.id}.png",
        "project_id": held.id,
        "project": _project(world, held),
        "changes": changes,
        "refs": [one["ref"] for one in changes],
    }


def _project_event(happening: Happening) -> dict[str, Any]:
    held = happening.project
    said = {
        "event_name": happening.kind,
        "created_at": held.created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "updated_at": held.active.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "name": held.name,
        "path": held.slug,
        "path_with_namespace": happening.more.get("path", held.path),
        "project_id": held.id,
        "project_namespace_id": held.id + 1_000_000,
        "owner_name": held.creator.name,
        "owner_email": "",
        "owners": [{"name": held.creator.name, "email": "[REDACTED]"}],
        "project_visibility": held.visibility,
    }
    if "old" in happening.more:
        said["old_path_with_namespace"] = happening.more["old"]
    return said


def _pipeline(world: World, happening: Happening) -> dict[str, Any]:
    held = happening.project
    sha = happening.more.get("sha") or held.repository.head(held.default_branch)
    return {
        "object_kind": "pipeline",
        "object_attributes": {
            "id": 31,
            "iid": 3,
            "name": None,
            "ref": held.default_branch,
            "tag": False,
            "sha": sha,
            "before_sha": NOBODY,
            "source": "push",
            "status": happening.more.get("status", "success"),
            "detailed_status": "passed",
            "stages": ["test"],
            "created_at": "2026-01-01 00:00:00 UTC",
            "finished_at": "2026-01-01 00:01:00 UTC",
            "duration": 60,
            "variables": [],
            "url": f"{world.url}/{held.path}/-/pipelines/31",
        },
        "merge_request": None,
        "user": _user(world, happening.user),
        "project": _project(world, held),
        "commit": None if sha is None else _commit(world, held, sha),
        "builds": [],
    }


_BODIES = {
    "tag_push": _tag_push,
    "merge_request": _merge_request,
    "note": _note,
    "repository_update": _repository_update,
    "pipeline": _pipeline,
}


# Who is told


def listeners(world: World, happening: Happening) -> Iterator[Hook]:
    """Return the hooks that are told of something, disabled ones among them."""
    held, kind = happening.project, happening.kind
    if kind == "note" and happening.more["note"].system:
        return
    if kind in TRIGGERS and kind != "repository_update":
        yield from (one for one in held.hooks.values() if _wants(one, happening))
        parts = held.path.split("/")[:-1]
        for end in range(1, len(parts) + 1):
            group = world.groups.get("/".join(parts[:end]))
            yield from (one for one in (group.hooks.values() if group else ()) if _wants(one, happening))
    yield from (one for one in world.system_hooks.values() if _wants(one, happening))


def _wants(hook: Hook, happening: Happening) -> bool:
    kind = happening.kind
    if hook.kind == "system":
        if kind in _ALWAYS:
            return True
        default = kind == "repository_update"
    else:
        default = kind == "push"
        if kind.startswith("project_") and hook.kind == "project":
            return False
    trigger = TRIGGERS.get(kind, "")
    if kind == "note" and happening.more["note"].internal:
        trigger = "confidential_note_events"
    if not hook.settings.get(trigger, default):
        return False
    wanted = hook.settings.get("push_events_branch_filter")
    return kind != "push" or not wanted or fnmatchcase(happening.more["branch"], wanted)


def record(
    world: World, hook: Hook, trigger: str, delivery: Delivery, status: int | None, said: str = ""
) -> None:
    """Log a delivery and what it was answered; four failures in a row disable a hook for a while, 40 for good.

    Client errors count like server errors and like no answer at all.
    """
    hidden = {
        name: "[REDACTED]" if name in ("X-Gitlab-Token", "webhook-signature") else value
        for name, value in delivery.headers.items()
    }
    hook.events.append(
        HookEvent(
            id=next(world.ids),
            trigger=trigger,
            headers=hidden,
            body=delivery.body,
            status=NO_ANSWER if status is None else str(status),
            answer=said,
            at=world.clock(),
        )
    )
    if status is not None and 200 <= status < 300:
        hook.failures, hook.disabled_until, hook.disabled = 0, None, False
        return
    hook.failures += 1
    if not world.hooks_disable or hook.kind == "system":
        return
    if hook.failures >= 40:
        hook.disabled, hook.disabled_until = True, None
    elif hook.failures >= 4:
        minutes = min(2 ** (hook.failures - 4), 24 * 60)
        hook.disabled_until = world.clock() + timedelta(minutes=minutes)


def compose_for(world: World, hook: Hook, happening: Happening) -> Delivery:
    """Return what a hook is sent, under its own secrets."""
    return compose(
        world,
        happening,
        scope=hook.kind,
        token=hook.token,
        signing_token=hook.signing_token,
        webhook=hook.uuid,
        at=world.clock(),
    )


def again(world: World, hook: Hook, event: HookEvent) -> Delivery:
    """Return a logged delivery once more: the same body and key, signed anew."""
    return dress(
        world,
        event.headers["X-Gitlab-Event"],
        event.body,
        event=event.headers["X-Gitlab-Event-UUID"],
        token=hook.token,
        signing_token=hook.signing_token,
        identity=event.headers["Idempotency-Key"],
        webhook=hook.uuid,
        at=world.clock(),
    )


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def post(url: str, headers: Mapping[str, str], body: bytes) -> tuple[int | None, str]:
    """Send a delivery; return the status, or None where nobody answers within ten seconds."""
    request = urllib.request.Request(url, data=body, headers=dict(headers), method="POST")
    try:
        with _OPENER.open(request, timeout=10) as reply:
            return int(reply.status), reply.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode("utf-8", "replace")
    except OSError:
        return None, ""
