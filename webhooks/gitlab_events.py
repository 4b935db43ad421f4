"""GitLab's deliveries: headers and a verified body in, what they want out.  Pure.

https://docs.gitlab.com/user/project/integrations/webhook_events/ and, for system hooks,
https://docs.gitlab.com/administration/system_hooks/
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from bot.model import Job, Trigger
from webhooks import hints
from webhooks.events import Context, EventError, Irrelevant, Reason, Wanted, delivery_id, read_object
from webhooks.hints import at

FORGE = "gitlab"
EVENT = "x-gitlab-event"
DELIVERY = "idempotency-key"
SIGNED_DELIVERY = "webhook-id"
SHARED_DELIVERY = "x-gitlab-event-uuid"

_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,254}")
_MOST_COMMITS = 20
"""GitLab lists no more of a push."""
_MOST_FILES = 3000
_BOT = re.compile(
    r"(?:project|group)_[0-9]+_bot(?:_[0-9a-z]+)?|service_account_[0-9a-z_]+|support-bot|alert-bot"
)
"""How GitLab names the accounts of access tokens and services; a note does not say that one is a program."""

Event: TypeAlias = Mapping[str, Any]
Read: TypeAlias = tuple[Job, ...] | Reason


def identify(headers: Mapping[str, str], body: bytes) -> str:
    """Return the id that all attempts at a delivery share; raises `EventError`.

    Before GitLab 17.4 there is only the event's, which deliveries that caused each other share.
    """
    own = headers.get(SIGNED_DELIVERY) or headers.get(DELIVERY)
    shared = headers.get(SHARED_DELIVERY)
    if own or not shared:
        return delivery_id(own or None, body)
    digest = hashlib.sha256(body).hexdigest()
    return delivery_id(f"{delivery_id(shared, body)[:60]}:{digest}", body)


def read(headers: Mapping[str, str], body: bytes, context: Context) -> Wanted | Irrelevant:
    """Return what a delivery wants; raises `EventError`.  Names of headers are in lower case."""
    event = read_object(body)
    said = event.get("object_kind") or event.get("event_name")
    kind = said if isinstance(said, str) else ""
    if headers.get(EVENT, "").startswith("Confidential ") or _is_confidential(event):
        return Irrelevant(reason=Reason.CONFIDENTIAL)
    reader = _READERS.get(kind)
    if reader is None:
        if not kind:
            raise EventError(
                "object_kind and event_name are missing: a template of the hook changed the body."
            )
        return Irrelevant(reason=Reason.IRRELEVANT if kind in _PASSED_OVER else Reason.UNKNOWN)
    found = Reason.OWN if _is_own(event, context) else reader(event, context)
    if isinstance(found, Reason):
        return Irrelevant(reason=found, event=kind)
    served = tuple(job for job in found if not job.repository or context.owners.serves(FORGE, job.repository))
    if not served:
        return Irrelevant(reason=Reason.NOT_SERVED, event=kind)
    jobs = hints.identified(served, event.get("project"), "path_with_namespace")
    return Wanted(jobs=jobs, event=_event_name(kind, event))


def _event_name(kind: str, event: Event) -> str:
    said = at(event, "object_attributes", "action")
    return f"{kind}.{said}" if isinstance(said, str) and said in _ACTIONS else kind


def _is_confidential(event: Event) -> bool:
    kind = event.get("event_type")
    attributes = event.get("object_attributes")
    return (isinstance(kind, str) and kind.startswith("confidential_")) or True in (
        at(attributes, "confidential"),
        at(attributes, "internal"),
    )


def _is_own(event: Event, context: Context) -> bool:
    ids = [event.get("user_id"), at(event, "user", "id")]
    if event.get("object_kind") == "note":
        ids.append(at(event, "object_attributes", "author_id"))
    if any(type(one) is int and str(one) in context.accounts for one in ids):
        return True
    # A name of digits alone is not compared: it could be somebody's id.
    names = (event.get("user_username"), at(event, "user", "username"))
    return any(isinstance(name, str) and not name.isdigit() and name in context.accounts for name in names)


def _project(event: Event) -> str:
    return _full_name(at(event, "project", "path_with_namespace"), "project.path_with_namespace")


def _full_name(value: Any, what: str) -> str:
    return hints.path_of(value, what, _NAME, parts=(2, 21), longest=1024)


def _job(repository: str, ref: str, trigger: Trigger, **more: Any) -> Job:
    return Job(forge=FORGE, repository=repository, ref=ref, trigger=trigger, **more)


def _push(event: Event, _context: Context) -> Read:
    repository = _project(event)
    ref = event.get("ref")
    if not isinstance(ref, str) or not ref.startswith("refs/"):
        raise EventError("ref is no full ref.")
    if not ref.startswith("refs/heads/"):
        return Reason.TAG if ref.startswith("refs/tags/") else Reason.NO_BRANCH
    branch = hints.branch(ref, "ref")
    before, after = hints.commit(event.get("before"), "before"), hints.commit(event.get("after"), "after")
    if not after:
        return (_job(repository, branch, Trigger.PUSH),)
    changed = _changed(event, before, after)
    return (_job(repository, branch, Trigger.PUSH, head=after, before=before, changed=changed),)


def _changed(event: Event, before: str, after: str) -> tuple[str, ...] | None:
    """Return the paths that a push's commits touched, or None where the payload may not have all of them.

    Nothing in it tells a forced push: whoever acts on what is not among them has to compare first.
    """
    commits, total = event.get("commits"), event.get("total_commits_count")
    if not before or type(total) is not int or not isinstance(commits, list) or total != len(commits):
        return None
    if before == after:
        return ()
    if len(commits) > _MOST_COMMITS or after not in (at(one, "id") for one in commits):
        return None
    return hints.changed_paths(commits, most_files=_MOST_FILES)


def _tag(_event: Event, _context: Context) -> Read:
    return Reason.TAG


def _repository_update(event: Event, _context: Context) -> Read:
    """Return a job for each branch: GitLab tells of a push to many branches in this way alone."""
    repository = _project(event)
    changes = event.get("changes")
    if not isinstance(changes, list):
        raise EventError("changes is no list.")
    jobs: dict[str, Job] = {}
    for one in changes:
        ref = at(one, "ref")
        if not isinstance(ref, str):
            raise EventError("ref of a change is no text.")
        if not ref.startswith("refs/heads/"):
            continue
        branch = hints.branch(ref, "ref of a change")
        before = hints.commit(at(one, "before"), "before of a change")
        after = hints.commit(at(one, "after"), "after of a change")
        jobs[branch] = _job(repository, branch, Trigger.PUSH, head=after, before=before if after else "")
        if len(jobs) > hints.MOST_JOBS:
            return hints.installed(FORGE, [repository])
    return tuple(jobs.values()) or Reason.TAG


def _merge_request(event: Event, _context: Context) -> Read:
    attributes = event.get("object_attributes")
    said = at(attributes, "action")
    if said not in ("open", "reopen", "close", "merge", "update"):
        return Reason.IRRELEVANT
    if said == "update" and not (at(attributes, "oldrev") or _is_turned(event)):
        return Reason.IRRELEVANT
    number = hints.number(at(attributes, "iid"), "object_attributes.iid")
    head = hints.hinted_commit(at(attributes, "last_commit", "id"))
    ref = f"refs/pull/{number}/head"
    return (_job(_project(event), ref, Trigger.PULL_REQUEST, head=head, number=number),)


def _is_turned(event: Event) -> bool:
    """Return whether a merge request goes to another branch now, or is no draft any more."""
    changes = event.get("changes")
    return bool(at(changes, "target_branch")) or at(changes, "draft", "current") is False


def _note(event: Event, context: Context) -> Read:
    attributes = event.get("object_attributes")
    if at(attributes, "noteable_type") != "MergeRequest" or at(attributes, "system") is True:
        return Reason.IRRELEVANT
    if not _is_new(attributes):
        return Reason.IRRELEVANT
    addressed = hints.speaks_to_us(at(attributes, "note"), context.accounts, slash=False)
    author = at(event, "user", "username")
    if isinstance(author, str) and _BOT.fullmatch(author):
        return Reason.UNHEARD if addressed else Reason.BOT
    if not addressed:
        return Reason.UNADDRESSED
    id_ = hints.identity(at(attributes, "id"), "object_attributes.id")
    number = hints.number(at(event, "merge_request", "iid"), "merge_request.iid")
    head = hints.hinted_commit(at(event, "merge_request", "last_commit", "id"))
    ref = f"comment/note/{id_}"
    return (_job(_project(event), ref, Trigger.COMMENT, head=head, number=number),)


def _is_new(attributes: Any) -> bool:
    """Return whether a note was just written: before GitLab 16.11 only its times tell."""
    said = at(attributes, "action")
    if said is None:
        return bool(at(attributes, "created_at") == at(attributes, "updated_at"))
    return bool(said == "create")


def _known_project(event: Event, context: Context) -> Read:
    name = _full_name(event.get("path_with_namespace"), "path_with_namespace")
    before = event.get("old_path_with_namespace")
    if before is not None and not context.owners.serves(FORGE, name):
        # Given away to somebody who is not served: under its old name we find it gone.
        name = _full_name(before, "old_path_with_namespace")
    return hints.installed(FORGE, [name])


def _group(event: Event, context: Context) -> Read:
    """Return the sweep for a group with another name: every project below it has another, too."""
    group = hints.path_of(event.get("full_path"), "full_path", _NAME, parts=(1, 20), longest=1024)
    return hints.sweep(FORGE) if context.owners.touches(FORGE, group) else Reason.NOT_SERVED


_READERS: Mapping[str, Callable[[Event, Context], Read]] = {
    "push": _push,
    "tag_push": _tag,
    "merge_request": _merge_request,
    "note": _note,
    "repository_update": _repository_update,
    "project_create": _known_project,
    "project_rename": _known_project,
    "project_transfer": _known_project,
    "project_destroy": _known_project,
    "project_update": _known_project,
    "group_rename": _group,
}
"""By `object_kind` of a project's or group's hook, and by `event_name` of a system hook."""

_ACTIONS = frozenset({"open", "reopen", "close", "merge", "update", "create"})

_PASSED_OVER = frozenset(
    {
        "issue",
        "work_item",
        "wiki_page",
        "pipeline",
        "build",
        "deployment",
        "feature_flag",
        "release",
        "emoji",
        "access_token",
        "milestone",
        "vulnerability",
        "user_add_to_team",
        "user_update_for_team",
        "user_remove_from_team",
        "user_add_to_group",
        "user_update_for_group",
        "user_remove_from_group",
        "user_access_request_to_project",
        "user_access_request_denied_for_project",
        "user_access_request_to_group",
        "user_access_request_denied_for_group",
        "user_create",
        "user_destroy",
        "user_rename",
        "user_failed_login",
        "key_create",
        "key_destroy",
        "group_create",
        "group_destroy",
        "subgroup_create",
        "subgroup_destroy",
        "gitlab_subscription_member_approval",
    }
)
"""Events that never concern us."""
