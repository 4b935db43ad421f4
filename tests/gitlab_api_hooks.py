"""The GitLab stand-in's hooks of projects, groups and the system, with their logs."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import gitlab_shapes as shapes
from gitlab_http import Call, Need, Refusal, Reply, Route, answer, missing, paged
from gitlab_webhooks import NO_ANSWER, Delivery, again, compose_for, record
from gitlab_world import Happening, Hook, HookEvent, Level, iso

P, G = "/api/v4/projects/{id}", "/api/v4/groups/{id}"
_SECRETS = ("url", "token", "signing_token")
_RESENDS = 5
_CODE = re.compile(r"[1-5]\d\d|successful|client_failure|server_failure")


def _kind(call: Call) -> str:
    if call.template.startswith(P):
        return "project"
    return "group" if call.template.startswith(G) else "system"


def _hooks(call: Call) -> dict[int, Hook]:
    kind = _kind(call)
    if kind == "group":
        if not call.world.licensed:
            raise missing("Group")
        return call.group.hooks
    return call.project.hooks if kind == "project" else call.world.system_hooks


def _one(call: Call) -> Hook:
    text = call.parts["hook_id"]
    found = _hooks(call).get(int(text)) if text.isdigit() else None
    if found is None:
        raise missing("Not found")
    return found


def listed(call: Call) -> Reply:
    """List hooks."""
    return paged(call, list(_hooks(call).values()), lambda one: shapes.hook(call.world, one))


def shown(call: Call) -> Reply:
    """Return one hook."""
    return answer(shapes.hook(call.world, _one(call)))


def _set(call: Call, hook: Hook, body: Mapping[str, Any]) -> None:
    url = body["url"]
    if not url.startswith(("http://", "https://")) or " " in url:
        raise Refusal(422, "Invalid url given", key="error")
    signing = body.get("signing_token")
    if signing is not None and call.world.signing_tokens:
        try:
            size = len(base64.b64decode(signing.removeprefix("whsec_"), validate=True))
        except binascii.Error:
            size = 0
        if not signing.startswith("whsec_") or size != 32:
            raise Refusal(422, {"signing_token": ["must be whsec_ and 32 bytes in base64"]})
        hook.signing_token = signing
    hook.url = url
    if "token" in body:
        hook.token = body["token"] or None
    hook.settings |= {name: value for name, value in body.items() if name not in _SECRETS}


def create(call: Call) -> Reply:
    """Make a hook; a signing token is ignored without a word where they are not known."""
    hooks, kind = _hooks(call), _kind(call)
    if len(hooks) >= {"project": 100, "group": 50, "system": 1_000}[kind]:
        raise Refusal(422, f"Maximum number of {kind} hooks exceeded", key="error")
    owner = 0 if kind == "system" else call.project.id if kind == "project" else call.group.id
    made = Hook(id=next(call.world.ids), url="", kind=kind, owner=owner, created=call.world.clock())
    _set(call, made, call.body)
    hooks[made.id] = made
    return answer(shapes.hook(call.world, made), 201)


def update(call: Call) -> Reply:
    """Change a hook."""
    one = _one(call)
    _set(call, one, call.body)
    return answer(shapes.hook(call.world, one))


def delete(call: Call) -> Reply:
    """Remove a hook."""
    del _hooks(call)[_one(call).id]
    return Reply(status=204)


def _logged(hook: Hook, one: HookEvent, most: int) -> dict[str, Any]:
    return {
        "id": one.id,
        "url": hook.url,
        "trigger": one.trigger,
        "request_headers": dict(one.headers),
        "request_data": {"oversize": True} if len(one.body) > most else json.loads(one.body),
        "response_headers": {},
        "response_body": one.answer,
        "execution_duration": 0.01,
        "response_status": one.status,
        "created_at": iso(one.at),
    }


def _in(status: str, wanted: str) -> bool:
    """Return whether an answer is of a category; no answer at all is a failure of the server."""
    if status == NO_ANSWER:
        return wanted == "server_failure"
    first = {"successful": "2", "client_failure": "4", "server_failure": "5"}.get(wanted)
    if first is not None:
        return len(status) == 3 and status.startswith(first)
    return status == wanted


def events(call: Call) -> Reply:
    """List a hook's deliveries of the last seven days, the newest first, at most 20 a page."""
    hook, wanted = _one(call), [one.strip() for one in call.asked("status").split(",") if one.strip()]
    if any(not _CODE.fullmatch(one) for one in wanted):
        raise Refusal(400, "status does not have a valid value", key="error")
    if call.number("per_page", 20) > 20:
        raise Refusal(400, "per_page does not have a valid value", key="error")
    since = call.world.clock() - timedelta(days=7)
    found = [
        one
        for one in reversed(hook.events)
        if one.at >= since and (not wanted or any(_in(one.status, each) for each in wanted))
    ]
    return paged(call, found, lambda one: _logged(hook, one, call.world.log_bytes))


def resend(call: Call) -> Reply:
    """Send a delivery again: five a minute for a hook and user."""
    hook = _one(call)
    event = next((one for one in hook.events if str(one.id) == call.parts["hook_event_id"]), None)
    if event is None:
        raise missing("Not found")
    _slow_down(call, hook)
    status, _ = _send(call, hook, event.trigger, again(call.world, hook, event))
    return answer({"response_status": NO_ANSWER if status is None else status}, 201)


def _slow_down(call: Call, hook: Hook) -> None:
    now = call.world.clock()
    recent = [one for one in hook.resent.get(call.user.id, []) if one > now - timedelta(minutes=1)]
    if len(recent) >= _RESENDS:
        why = {"error": "This endpoint has been requested too many times. Try again later."}
        raise Refusal(429, why)
    hook.resent[call.user.id] = [*recent, now]


def _send(call: Call, hook: Hook, trigger: str, delivery: Delivery) -> tuple[int | None, str]:
    status, said = call.world.send(hook.url, delivery.headers, delivery.body)
    record(call.world, hook, trigger, delivery, status, said)
    return status, said


def try_out(call: Call) -> Reply:
    """Send a made-up push; one that is answered well brings a disabled hook back."""
    hook = _one(call)
    _slow_down(call, hook)
    if call.parts["trigger"] != "push_events" or _kind(call) != "project":
        raise Refusal(422, "the stand-in tests push_events of a project's hook only")
    project = call.project
    head = project.repository.head(project.default_branch)
    happening = Happening(
        kind="push",
        project=project,
        user=call.user,
        more={"branch": project.default_branch, "before": None, "after": head},
        at=call.world.clock(),
    )
    status, said = _send(call, hook, "push_hooks", compose_for(call.world, hook, happening))
    if status is None or not 200 <= status < 300:
        raise Refusal(422, f"Hook executed but returned HTTP {status} {said}"[:200])
    return answer({"message": "201 Created"}, 201)


def _routes(base: str, need: Need) -> tuple[Route, ...]:
    one = f"{base}/hooks/{{hook_id}}"
    whole = (
        Route("GET", f"{base}/hooks", listed, need),
        Route("POST", f"{base}/hooks", create, need),
        Route("GET", one, shown, need),
        Route("PUT", one, update, need),
    )
    if need.admin:
        return whole
    return (
        *whole,
        Route("DELETE", one, delete, need),
        Route("GET", f"{one}/events", events, need),
        Route("POST", f"{one}/events/{{hook_event_id}}/resend", resend, need),
        Route("POST", f"{one}/test/{{trigger}}", try_out, need),
    )


ROUTES = (
    *_routes(P, Need(level=Level.MAINTAINER)),
    *_routes(G, Need(level=Level.OWNER)),
    *_routes("/api/v4", Need(admin=True)),
)
