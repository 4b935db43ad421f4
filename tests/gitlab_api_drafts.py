"""The GitLab stand-in's draft notes: seen by their author alone until all of them are published at once."""

from __future__ import annotations

import uuid

from gitlab_api_merge_requests import check_position, execute, find
from gitlab_http import Call, Need, Refusal, Reply, Route, answer, missing, paged
from gitlab_quick_actions import extract
from gitlab_shapes import Shape
from gitlab_world import Draft, Level, MergeRequest

_M = "/api/v4/projects/{id}/merge_requests/{merge_request_iid}"


def _drafts(call: Call, one: MergeRequest) -> list[Draft]:
    if not call.world.draft_notes:
        raise missing("Not found")
    return [each for each in one.drafts if each.author is call.user]


def _shape(call: Call, one: MergeRequest, draft: Draft) -> Shape:
    assert call.user is not None
    return {
        "id": draft.id,
        "author_id": call.user.id,
        "merge_request_id": one.id,
        "resolve_discussion": False,
        "discussion_id": None,
        "note": draft.body,
        "commit_id": None,
        "line_code": None,
        "position": draft.position,
    }


def listed(call: Call) -> Reply:
    """List one's own draft notes."""
    one = find(call)
    return paged(call, _drafts(call, one), lambda draft: _shape(call, one, draft))


def create(call: Call) -> Reply:
    """Make a draft note, at a place in the diff where a position is given."""
    one, position = find(call), call.body.get("position")
    _drafts(call, one)
    if not call.body["note"].strip():
        raise Refusal(400, {"note": ["can't be blank"]})
    if position is not None:
        check_position(one, position)
    assert call.user is not None
    made = Draft(id=next(call.world.ids), author=call.user, body=call.body["note"], position=position)
    one.drafts.append(made)
    return answer(_shape(call, one, made), 201)


def delete(call: Call) -> Reply:
    """Remove a draft note of one's own."""
    one = find(call)
    for draft in _drafts(call, one):
        if str(draft.id) == call.parts["draft_note_id"]:
            one.drafts.remove(draft)
            return Reply(status=204)
    raise missing("Not found")


def publish(call: Call) -> Reply:
    """Publish all of one's own: one notification, whatever their number."""
    one = find(call)
    found = _drafts(call, one)
    assert call.user is not None
    for draft in found:
        kept, orders = extract(draft.body)
        one.drafts.remove(draft)
        execute(call.world, one, call.user, orders, "note")
        if kept.strip():
            made = call.world.add_note(
                one,
                call.user,
                kept if orders else draft.body,
                individual=draft.position is None,
                position=draft.position,
                discussion=uuid.uuid4().hex,
            )
            call.world.happen("note", call.project, call.user, merge_request=one, note=made, action="create")
    one.published += bool(found)
    return Reply(status=204)


_WRITE = Need(level=Level.REPORTER)
ROUTES = (
    Route("GET", f"{_M}/draft_notes", listed, _WRITE),
    Route("POST", f"{_M}/draft_notes", create, _WRITE),
    Route("DELETE", f"{_M}/draft_notes/{{draft_note_id}}", delete, _WRITE),
    Route("POST", f"{_M}/draft_notes/bulk_publish", publish, _WRITE),
)
