"""What the GitLab stand-in's REST answers look like: GitLab's documented attributes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gitlab_git import Entry
from gitlab_world import (
    Group,
    Hook,
    Label,
    Level,
    MergeRequest,
    Note,
    Project,
    Protection,
    Status,
    Token,
    User,
    World,
    iso,
)

Shape = dict[str, Any]
_EVENTS = (
    "tag_push_events",
    "merge_requests_events",
    "note_events",
    "issues_events",
    "confidential_issues_events",
    "confidential_note_events",
    "job_events",
    "pipeline_events",
    "wiki_page_events",
    "deployment_events",
    "releases_events",
    "feature_flag_events",
    "resource_access_token_events",
)


def user(world: World, one: User) -> Shape:
    """Return a user as others see it."""
    return {
        "id": one.id,
        "username": one.username,
        "name": one.name,
        "state": one.state,
        "locked": False,
        "avatar_url": f"{world.url}/avatar/{one.id}.png",
        "web_url": f"{world.url}/{one.username}",
    }


def token(one: Token, now: datetime) -> Shape:
    """Return an access token without its value."""
    expired = one.expires is not None and one.expires <= now.date()
    return {
        "id": one.id,
        "name": one.name,
        "description": None,
        "revoked": one.revoked,
        "created_at": iso(one.created),
        "scopes": sorted(one.scopes),
        "user_id": one.user.id,
        "last_used_at": iso(now) if one.minute else None,
        "active": not one.revoked and not expired,
        "expires_at": None if one.expires is None else one.expires.isoformat(),
    }


def group(world: World, one: Group) -> Shape:
    """Return a group."""
    parent = world.groups.get(one.path.rpartition("/")[0])
    return {
        "id": one.id,
        "name": one.name,
        "path": one.path.rpartition("/")[2],
        "full_path": one.path,
        "full_name": one.path.replace("/", " / "),
        "web_url": f"{world.url}/groups/{one.path}",
        "visibility": one.visibility,
        "parent_id": None if parent is None else parent.id,
        "description": "",
        "created_at": iso(one.created),
    }


def project(world: World, one: Project, viewer: User | None, *, simple: bool = False) -> Shape:
    """Return a project; without a branch's name for who may not read its code."""
    held = world.groups.get(one.namespace)
    shape: Shape = {
        "id": one.id,
        "description": None,
        "name": one.name,
        "name_with_namespace": one.path.replace("/", " / "),
        "path": one.slug,
        "path_with_namespace": one.path,
        "created_at": iso(one.created),
        "default_branch": one.default_branch,
        "topics": [],
        "ssh_url_to_repo": f"git@gitlab.example:{one.path}.git",
        "http_url_to_repo": f"{world.url}/{one.path}.git",
        "web_url": f"{world.url}/{one.path}",
        "readme_url": None,
        "forks_count": 0,
        "avatar_url": None,
        "star_count": 0,
        "last_activity_at": iso(one.active),
        "visibility": one.visibility,
        "namespace": {
            "id": 0 if held is None else held.id,
            "name": one.namespace.rpartition("/")[2],
            "path": one.namespace.rpartition("/")[2],
            "kind": "group" if held is not None else "user",
            "full_path": one.namespace,
            "parent_id": None,
            "avatar_url": None,
            "web_url": f"{world.url}/groups/{one.namespace}",
        },
    }
    if not world.reads_code(viewer, one):
        del shape["default_branch"]
    return shape if simple else shape | _more_of(world, one, viewer)


def _more_of(world: World, one: Project, viewer: User | None) -> Shape:
    level = 0 if viewer is None else one.members.get(viewer.id, 0)
    whole = world.level(viewer, one)
    shape: Shape = {
        "archived": one.archived,
        "empty_repo": one.empty,
        "creator_id": one.creator.id,
        "updated_at": iso(one.active),
        "merge_requests_enabled": one.merge_requests_enabled,
        "merge_requests_access_level": "enabled" if one.merge_requests_enabled else "disabled",
        "repository_access_level": "enabled",
        "issues_enabled": True,
        "jobs_enabled": True,
        "shared_runners_enabled": True,
        "ci_config_path": one.ci_config_path or "",
        "merge_method": "merge",
        "squash_option": "default_off",
        "only_allow_merge_if_pipeline_succeeds": False,
        "remove_source_branch_after_merge": one.remove_source_after_merge,
        "import_status": "none",
        "open_issues_count": 0,
        "permissions": {
            "project_access": {"access_level": level, "notification_level": 3} if level else None,
            "group_access": {"access_level": whole, "notification_level": 3} if whole > level else None,
        },
    }
    if one.forked_from is not None:
        shape["forked_from_project"] = project(world, one.forked_from, viewer, simple=True)
    return {name: value for name, value in shape.items() if name != "permissions"} | {
        "permissions": {name: value for name, value in shape["permissions"].items() if value is not None}
    }


def entry(one: Entry) -> Shape:
    """Return one row of a tree."""
    return {"id": one.oid, "name": one.name, "type": one.kind, "path": one.path, "mode": f"{one.mode:06o}"}


def commit(world: World, held: Project, oid: str) -> Shape:
    """Return a commit as lists show it."""
    info = held.repository.info(oid)
    author, committer = _split(info.author), _split(info.committer)
    message = info.message.decode("utf-8", "replace")
    return {
        "id": oid,
        "short_id": oid[:8],
        "created_at": iso(datetime.fromtimestamp(info.commit_time, UTC)),
        "parent_ids": [parent.decode() for parent in info.parents],
        "title": message.split("\n", 1)[0],
        "message": message,
        "author_name": author[0],
        "author_email": author[1],
        "authored_date": iso(datetime.fromtimestamp(info.author_time, UTC)),
        "committer_name": committer[0],
        "committer_email": committer[1],
        "committed_date": iso(datetime.fromtimestamp(info.commit_time, UTC)),
        "trailers": {},
        "extended_trailers": {},
        "web_url": f"{world.url}/{held.path}/-/commit/{oid}",
    }


def _split(who: bytes) -> tuple[str, str]:
    name, _, email = who.decode("utf-8", "replace").rpartition(" <")
    return name, email.rstrip(">")


def full_commit(world: World, held: Project, oid: str, *, stats: bool = True) -> Shape:
    """Return a commit as it is shown alone."""
    shape = commit(world, held, oid) | {"status": None, "project_id": held.id, "last_pipeline": None}
    if stats:
        parents = shape["parent_ids"]
        plus = minus = 0
        for one in held.repository.diffs(parents[0] if parents else None, oid):
            lines = str(one["diff"]).splitlines()
            plus += sum(line.startswith("+") for line in lines)
            minus += sum(line.startswith("-") for line in lines)
        shape["stats"] = {"additions": plus, "deletions": minus, "total": plus + minus}
    return shape


def branch(world: World, held: Project, name: str, viewer: User | None) -> Shape:
    """Return a branch."""
    oid = held.repository.head(name)
    assert oid is not None
    protection = held.protection(name)
    main = held.repository.head(held.default_branch)
    return {
        "name": name,
        "commit": commit(world, held, oid),
        "merged": name != held.default_branch and main is not None and held.repository.reaches(oid, main),
        "protected": protection is not None,
        "developers_can_push": protection is not None and protection.push <= Level.DEVELOPER,
        "developers_can_merge": protection is not None and protection.merge <= Level.DEVELOPER,
        "can_push": viewer is not None and world.pushes(viewer, held, name),
        "default": name == held.default_branch,
        "web_url": f"{world.url}/{held.path}/-/tree/{name}",
    }


def protected(one: Protection) -> Shape:
    """Return a protected branch."""
    names = {30: "Developers + Maintainers", 40: "Maintainers", 0: "No one", 60: "Administrators"}

    def levels(level: int) -> list[Shape]:
        return [
            {
                "id": one.id,
                "access_level": level,
                "access_level_description": names.get(level, str(level)),
                "user_id": None,
                "group_id": None,
            }
        ]

    return {
        "id": one.id,
        "name": one.name,
        "push_access_levels": levels(one.push),
        "merge_access_levels": levels(one.merge),
        "allow_force_push": one.force,
        "code_owner_approval_required": False,
    }


def status(world: World, one: Status) -> Shape:
    """Return a commit's status."""
    done = one.state in ("success", "failed", "canceled", "skipped")
    return {
        "id": one.id,
        "sha": one.sha,
        "ref": one.ref,
        "status": one.state,
        "name": one.name,
        "target_url": one.target_url,
        "description": one.description,
        "created_at": iso(one.created),
        "started_at": iso(one.created) if one.state != "pending" else None,
        "finished_at": iso(one.created) if done else None,
        "allow_failure": False,
        "coverage": None,
        "pipeline_id": one.pipeline,
        "author": user(world, one.author),
    }


def label(one: Label) -> Shape:
    """Return a label."""
    return {
        "id": one.id,
        "name": one.name,
        "description": one.description,
        "text_color": "#FFFFFF",
        "color": one.color,
        "subscribed": False,
        "priority": None,
        "is_project_label": True,
    }


def member(world: World, one: User, level: int) -> Shape:
    """Return a member of a project."""
    return user(world, one) | {"access_level": level, "expires_at": None, "membership_state": "active"}


def merge_request(world: World, one: MergeRequest) -> Shape:
    """Return a merge request as lists show it."""
    held = one.project
    people = [user(world, each) for each in one.assignees]
    return {
        "id": one.id,
        "iid": one.iid,
        "project_id": held.id,
        "title": one.title,
        "description": one.description,
        "state": one.state,
        "created_at": iso(one.created),
        "updated_at": iso(one.updated),
        "merged_by": None if one.merged_by is None else user(world, one.merged_by),
        "merge_user": None if one.merged_by is None else user(world, one.merged_by),
        "merged_at": None if one.merged is None else iso(one.merged),
        "closed_by": None if one.closed_by is None else user(world, one.closed_by),
        "closed_at": None if one.closed is None else iso(one.closed),
        "target_branch": one.target_branch,
        "source_branch": one.source_branch,
        "user_notes_count": sum(not note.system for note in one.notes),
        "upvotes": 0,
        "downvotes": 0,
        "author": user(world, one.author),
        "assignees": people,
        "assignee": people[0] if people else None,
        "reviewers": [user(world, each) for each in one.reviewers],
        "source_project_id": held.id,
        "target_project_id": held.id,
        "labels": sorted(one.labels),
        "draft": one.draft,
        "work_in_progress": one.draft,
        "milestone": None,
        "merge_when_pipeline_succeeds": False,
        "merge_status": "can_be_merged",
        "detailed_merge_status": "draft_status" if one.draft else "mergeable",
        "sha": one.sha,
        "merge_commit_sha": one.merge_commit,
        "squash_commit_sha": None,
        "discussion_locked": None,
        "should_remove_source_branch": None,
        "force_remove_source_branch": bool(one.remove_source),
        "prepared_at": iso(one.created),
        "reference": f"!{one.iid}",
        "references": {
            "short": f"!{one.iid}",
            "relative": f"!{one.iid}",
            "full": f"{held.path}!{one.iid}",
        },
        "web_url": f"{world.url}/{held.path}/-/merge_requests/{one.iid}",
        "time_stats": {
            "time_estimate": 0,
            "total_time_spent": 0,
            "human_time_estimate": None,
            "human_total_time_spent": None,
        },
        "squash": one.squash,
        "squash_on_merge": one.squash,
        "task_completion_status": {"count": 0, "completed_count": 0},
        "has_conflicts": False,
        "blocking_discussions_resolved": True,
        "approvals_before_merge": None,
    }


def full_merge_request(world: World, one: MergeRequest) -> Shape:
    """Return a merge request as it is shown alone."""
    refs = {"base_sha": one.base_sha, "head_sha": one.sha, "start_sha": one.start_sha}
    count = 0 if one.sha is None else len(one.project.repository.changed(one.base_sha, one.sha))
    whole = merge_request(world, one)
    if not one.prepared:
        waiting = {"merge_status": "checking", "detailed_merge_status": "preparing", "prepared_at": None}
        whole, refs, count = whole | waiting, {"base_sha": None}, 0
    return whole | {
        "subscribed": False,
        "changes_count": str(count) if one.prepared else None,
        "latest_build_started_at": None,
        "latest_build_finished_at": None,
        "first_deployed_to_production_at": None,
        "pipeline": None,
        "head_pipeline": None,
        "diff_refs": None if None in refs.values() else refs,
        "merge_error": None,
        "first_contribution": False,
        "user": {"can_merge": True},
    }


def note(world: World, one: Note, held: MergeRequest) -> Shape:
    """Return a note; its author does not tell a bot from a person."""
    shape: Shape = {
        "id": one.id,
        "type": None if one.individual else ("DiffNote" if one.position else "DiscussionNote"),
        "body": one.body,
        "author": user(world, one.author),
        "created_at": iso(one.created),
        "updated_at": iso(one.updated),
        "system": one.system,
        "noteable_id": held.id,
        "noteable_type": "MergeRequest",
        "noteable_iid": held.iid,
        "project_id": held.project.id,
        "resolvable": not one.individual,
        "confidential": one.internal,
        "internal": one.internal,
        "imported": False,
        "imported_from": "none",
        "commands_changes": {},
    }
    if one.position is not None:
        shape["position"] = dict(one.position)
    if not one.individual:
        resolver = None if one.resolved_by is None else user(world, one.resolved_by)
        shape |= {"resolved": one.resolved, "resolved_by": resolver}
    return shape


def discussion(world: World, notes: list[Note], held: MergeRequest) -> Shape:
    """Return a thread."""
    return {
        "id": notes[0].discussion,
        "individual_note": notes[0].individual,
        "notes": [note(world, one, held) for one in notes],
    }


def hook(world: World, one: Hook) -> Shape:
    """Return a hook; it never tells its secrets, only whether it has them."""
    shape: Shape = {
        "id": one.id,
        "url": one.url,
        "name": one.settings.get("name"),
        "description": one.settings.get("description"),
        "created_at": iso(one.created),
        "push_events": one.settings.get("push_events", True),
        "push_events_branch_filter": one.settings.get("push_events_branch_filter", ""),
        "branch_filter_strategy": one.settings.get("branch_filter_strategy", "wildcard"),
        "enable_ssl_verification": one.settings.get("enable_ssl_verification", True),
        "alert_status": one.status(world.clock()),
        "disabled_until": None if one.disabled_until is None else iso(one.disabled_until),
        "url_variables": [],
        "custom_headers": [],
        "custom_webhook_template": one.settings.get("custom_webhook_template"),
    }
    for name in _EVENTS:
        shape[name] = one.settings.get(name, False)
    shape["repository_update_events"] = one.settings.get("repository_update_events", one.kind == "system")
    if one.kind != "system":
        shape[f"{one.kind}_id"] = one.owner
    if world.signing_tokens:
        shape["token_present"] = one.token is not None
        shape["signing_token_present"] = one.signing_token is not None
    return shape
