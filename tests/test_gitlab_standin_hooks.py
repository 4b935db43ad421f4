"""Hooks of the GitLab stand-in: what they are told, in whose name, and what follows when nobody listens.

Bodies are held to the schemas of a derived contract and to GitLab's pages on webhook events and system hooks:
weaker evidence than GitLab's own document would be.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from contract_checks_gitlab import contract
from gitlab_standin import GitLab, Level, Project, User, gitlab
from gitlab_webhooks import NOBODY, sign
from scripted import Asked, Reply, Scripted, scripted

from webhooks.signatures import is_signed_message

SIGNING = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@dataclass(kw_only=True)
class Site:
    """A stand-in, a project, a maintainer's token, and a receiver that answers what the test says."""

    lab: GitLab
    project: Project
    ada: User
    token: str
    receiver: Scripted
    status: int = 200

    def ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        """Ask as the maintainer, below the project unless the path begins with a slash."""
        place = path if path.startswith("/") else f"/projects/{self.project.id}/{path}"
        with requests.Session() as session:
            session.trust_env = False
            headers = {"PRIVATE-TOKEN": self.token}
            url = f"{self.lab.url}/api/v4{place}"
            return session.request(method, url, headers=headers, json=body, timeout=20)

    @property
    def url(self) -> str:
        """Where the receiver listens."""
        return f"{self.receiver.url}/webhooks/gitlab"

    @property
    def heard(self) -> list[Asked]:
        """What the receiver got."""
        return self.receiver.asked


@pytest.fixture
def site() -> Iterator[Site]:
    with gitlab() as lab, scripted() as receiver:
        ada = lab.user("ada")
        lab.join("acme", ada, Level.OWNER)
        project = lab.project("acme/web", {"Dockerfile": b"FROM nginx\n"})
        lab.forget()
        made = Site(lab=lab, project=project, ada=ada, token=lab.token(ada), receiver=receiver)
        receiver.routes["POST /webhooks/gitlab"] = lambda _: Reply(status=made.status)
        yield made


@contextmanager
def at(lab: GitLab, when: datetime) -> Iterator[None]:
    """Let it be another time."""
    before, lab.world.clock = lab.world.clock, lambda: when
    try:
        yield
    finally:
        lab.world.clock = before


def fits(schema: str, body: bytes) -> Any:
    """Return a body's value, which fits the contract."""
    value = json.loads(body)
    assert contract().body_problem(schema, value) is None
    return value


def test_a_hook_never_tells_its_secrets(site: Site) -> None:
    body = {"url": site.url, "token": "plain", "signing_token": SIGNING, "note_events": True}
    made = site.ask("POST", "hooks", body)
    assert made.status_code == 201
    said = made.json()
    assert (said["token_present"], said["signing_token_present"]) == (True, True)
    assert "plain" not in made.text
    assert SIGNING not in made.text
    assert (said["alert_status"], said["disabled_until"]) == ("executable", None)
    assert site.ask("GET", "hooks").json() == [said]
    other = site.ask("PUT", f"hooks/{said['id']}", {"url": site.url, "push_events": False})
    assert (other.json()["push_events"], other.json()["token_present"]) == (False, True)
    assert site.ask("POST", "hooks", {"url": "ftp://x"}).status_code == 422
    assert site.ask("POST", "hooks", {"url": site.url, "signing_token": "short"}).status_code == 422
    assert site.ask("DELETE", f"hooks/{said['id']}").status_code == 204
    assert site.ask("GET", f"hooks/{said['id']}").status_code == 404


def test_a_signing_token_that_is_not_known_is_ignored_without_a_word(site: Site) -> None:
    site.lab.world.signing_tokens = False
    made = site.ask("POST", "hooks", {"url": site.url, "signing_token": SIGNING})
    assert made.status_code == 201
    assert "signing_token_present" not in made.json()
    site.lab.world.signing_tokens = True
    assert site.ask("GET", "hooks").json()[0]["signing_token_present"] is False


def test_hooks_of_groups_and_of_the_system(site: Site) -> None:
    made = site.ask("POST", "/groups/acme/hooks", {"url": site.url, "project_events": True})
    assert (made.status_code, made.json()["group_id"]) == (201, site.lab.group("acme").id)
    assert len(site.ask("GET", "/groups/acme/hooks").json()) == 1
    site.lab.world.licensed = False
    assert site.ask("GET", "/groups/acme/hooks").status_code == 404
    assert site.ask("POST", "/hooks", {"url": site.url}).status_code == 403
    site.ada.admin = True
    said = site.ask("POST", "/hooks", {"url": site.url, "token": "x"}).json()
    assert (said["repository_update_events"], said["token_present"]) == (True, True)
    assert site.ask("GET", f"/hooks/{said['id']}").json() == said


def test_a_push_is_told_and_signed(site: Site) -> None:
    site.lab.hook(site.project, site.url, token="plain", signing_token=SIGNING)
    before = site.lab.head(site.project)
    after = site.lab.push(site.project, {"new": b"n", "Dockerfile": b"FROM b\n"}, user=site.ada)
    (sent,) = site.lab.deliver()
    assert sent.status == 200
    (heard,) = site.heard
    headers = heard.headers
    assert (headers["x-gitlab-event"], headers["x-gitlab-token"]) == ("Push Hook", "plain")
    assert headers["x-gitlab-instance"] == site.lab.url
    assert headers["webhook-id"] == headers["idempotency-key"]
    value = fits("PushEvent", heard.body)
    assert (value["before"], value["after"], value["checkout_sha"]) == (before, after, after)
    assert (value["ref"], value["user_id"], value["total_commits_count"]) == (
        "refs/heads/main",
        site.ada.id,
        1,
    )
    listed = value["commits"][0]
    assert (listed["added"], listed["modified"], listed["removed"]) == (["new"], ["Dockerfile"], [])
    id_, stamp, signature = (headers[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    now = datetime.fromtimestamp(int(stamp), UTC)
    assert is_signed_message((SIGNING,), id_, stamp, heard.body, signature, now)
    assert not is_signed_message((SIGNING,), id_, stamp, heard.body + b" ", signature, now)


def test_a_signature_is_that_of_standard_webhooks() -> None:
    # The example of the specification's reference implementations.
    signature = sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_large_push_lists_its_newest_twenty_commits(site: Site) -> None:
    before = site.lab.head(site.project)
    made = [site.lab.push(site.project, {"n": b"%d" % number}) for number in range(23)]
    value = fits("PushEvent", site.lab.payload("push", site.project, before=before).body)
    assert value["total_commits_count"] == 23
    assert [one["id"] for one in value["commits"]] == made[3:]


def test_branches_that_come_and_go(site: Site) -> None:
    site.lab.hook(site.project, site.url, push_events_branch_filter="si*")
    site.lab.push(site.project, {"a": b"a"}, "side")
    site.lab.push(site.project, {"a": b"a"}, "other")
    site.lab.delete_branch(site.project, "side")
    site.lab.deliver()
    came, went = (json.loads(one.body) for one in site.heard)
    assert (came["before"], came["total_commits_count"]) == (NOBODY, 1)
    assert (went["after"], went["checkout_sha"], went["commits"]) == (NOBODY, None, [])


def test_more_than_three_branches_at_once_are_no_push(site: Site) -> None:
    site.lab.hook(site.project, site.url)
    site.lab.hook(None, site.url)
    site.lab.push_many(site.project, {f"b{number}": {"a": b"a"} for number in range(4)})
    site.lab.deliver()
    (heard,) = site.heard
    value = json.loads(heard.body)
    assert (heard.headers["x-gitlab-event"], value["event_name"]) == ("System Hook", "repository_update")
    assert value["refs"] == [f"refs/heads/b{number}" for number in range(4)]


def test_merge_requests_and_notes(site: Site) -> None:
    site.lab.hook(site.project, site.url, push_events=False, merge_requests_events=True, note_events=True)
    site.lab.push(site.project, {"a": b"a"}, "side")
    body = {"source_branch": "side", "target_branch": "main", "title": "Pin", "labels": "x"}
    assert site.ask("POST", "merge_requests", body).status_code == 201
    old = site.lab.head(site.project, "side")
    site.lab.push(site.project, {"b": b"b"}, "side")
    (one,) = site.lab.merge_requests(site.project)
    site.lab.comment(one, "@bot rebase", site.ada)
    site.ask("PUT", "merge_requests/1", {"title": "Draft: Pin"})
    site.lab.close(one, site.ada)
    site.lab.reopen(one, site.ada)
    site.lab.merge(one, site.ada)
    site.lab.deliver()
    events = [json.loads(each.body) for each in site.heard]
    told = [(each["object_kind"], each["object_attributes"]["action"]) for each in events]
    assert told == [
        ("merge_request", "open"),
        ("merge_request", "update"),
        ("note", "create"),
        ("merge_request", "update"),
        ("merge_request", "close"),
        ("merge_request", "reopen"),
        ("merge_request", "merge"),
    ]
    for each, heard in zip(events, site.heard, strict=True):
        fits("MergeRequestNoteEvent" if each["object_kind"] == "note" else "MergeRequestEvent", heard.body)
    opened, pushed, note, renamed = events[:4]
    assert (pushed["object_attributes"]["oldrev"], "oldrev" in opened["object_attributes"]) == (old, False)
    assert renamed["changes"]["draft"] == {"previous": False, "current": True}
    assert (note["object_attributes"]["system"], note["merge_request"]["iid"]) == (False, 1)
    assert "bot" not in note["user"]


def test_tags_pipelines_and_confidential_notes(site: Site) -> None:
    commit = site.lab.head(site.project)
    held = site.lab.tag(site.project, "v1", annotated=True)
    tag = site.lab.payload("tag_push", site.project, tag="v1", after=held, commit=commit)
    value = fits("TagEvent", tag.body)
    assert (value["after"], value["checkout_sha"], value["before"]) == (held, commit, NOBODY)
    assert held != commit
    pipeline = site.lab.payload("pipeline", site.project)
    assert pipeline.headers["X-Gitlab-Event"] == "Pipeline Hook"
    site.lab.push(site.project, {"a": b"a"}, "side")
    site.ask("POST", "merge_requests", {"source_branch": "side", "target_branch": "main", "title": "Pin"})
    site.ask("POST", "merge_requests/1/notes", {"body": "hush", "internal": True})
    (one,) = site.lab.merge_requests(site.project)
    note = site.lab.payload("note", site.project, merge_request=one, note=one.notes[-1])
    assert note.headers["X-Gitlab-Event"] == "Confidential Note Hook"
    assert json.loads(note.body)["event_type"] == "confidential_note"


def test_what_the_system_is_told(site: Site) -> None:
    site.lab.hook(None, site.url, token="root")
    made = site.lab.project("acme/new", {"a": b"a"})
    site.lab.push(made, {"b": b"b"})
    site.lab.rename(made, "acme/newer")
    site.lab.rename(made, "other/newer")
    site.lab.destroy(made)
    site.lab.deliver()
    assert {one.headers["x-gitlab-event"] for one in site.heard} == {"System Hook"}
    events = [json.loads(one.body) for one in site.heard]
    names = ["project_create", "repository_update", "project_rename", "project_transfer", "project_destroy"]
    assert [one["event_name"] for one in events] == names
    assert events[2]["old_path_with_namespace"] == "acme/new"
    assert events[1]["changes"][0]["ref"] == "refs/heads/main"
    pushed = site.lab.payload("push", site.project, scope="system")
    assert json.loads(pushed.body)["commits"] == [], "a system hook is never shown commits"


def test_a_group_is_told_of_its_new_projects(site: Site) -> None:
    site.lab.hook(site.lab.group("acme"), site.url, project_events=True)
    made = site.lab.project("acme/deep/new", {"a": b"a"})
    site.lab.push(made, {"b": b"b"})
    site.lab.deliver()
    assert [one.headers["x-gitlab-event"] for one in site.heard] == ["Project Hook", "Push Hook"]


def test_a_hook_that_fails_disables_itself(site: Site) -> None:
    hook = site.lab.hook(site.project, site.url, token="plain")
    start = datetime(2026, 11, 1, tzinfo=UTC)
    site.status = 404
    with at(site.lab, start):
        for number in range(4):
            assert hook.status(start) == "executable", number
            site.lab.push(site.project, {"a": b"%d" % number})
            site.lab.deliver()
        said = site.ask("GET", f"hooks/{hook.id}").json()
        assert said["alert_status"] == "temporarily_disabled"
        assert said["disabled_until"] == "2026-11-01T00:01:00.000Z"
        site.lab.push(site.project, {"a": b"missed"})
        assert site.lab.deliver() == []
        assert len(hook.events) == 4, "a disabled hook records nothing"
    with at(site.lab, start + timedelta(minutes=1)):
        site.lab.push(site.project, {"a": b"again"})
        assert [one.status for one in site.lab.deliver()] == [404]
        assert hook.disabled_until == start + timedelta(minutes=3)
    with at(site.lab, start + timedelta(minutes=4)):
        site.status = 200
        assert site.ask("POST", f"hooks/{hook.id}/test/push_events").status_code == 201
        assert site.ask("GET", f"hooks/{hook.id}").json()["alert_status"] == "executable"
    for _ in range(40):
        site.lab.report(hook, site.lab.payload("push", site.project, hook=hook), 500)
    assert site.ask("GET", f"hooks/{hook.id}").json()["alert_status"] == "disabled"


def test_hooks_that_do_not_disable_themselves(site: Site) -> None:
    site.lab.world.hooks_disable = False
    hook = site.lab.hook(site.project, site.url)
    for _ in range(10):
        site.lab.report(hook, site.lab.payload("push", site.project, hook=hook), None)
    assert hook.status(site.lab.world.clock()) == "executable"


def test_missed_deliveries_are_in_the_log(site: Site) -> None:
    hook = site.lab.hook(site.project, site.url, token="plain", signing_token=SIGNING)
    events = f"hooks/{hook.id}/events"
    site.lab.push(site.project, {"a": b"1"})
    site.lab.deliver(down=True)
    site.lab.push(site.project, {"a": b"2"})
    site.status = 503
    site.lab.deliver()
    site.status = 200
    site.lab.push(site.project, {"a": b"3"})
    site.lab.deliver()
    listed = site.ask("GET", events).json()
    assert [one["response_status"] for one in listed] == ["200", "503", "internal error"]
    assert [one.status for one in site.lab.missed(hook)] == ["internal error", "503"]
    failed = site.ask("GET", f"{events}?status=server_failure,client_failure").json()
    assert [one["response_status"] for one in failed] == ["503", "internal error"]
    assert [one["response_status"] for one in site.ask("GET", f"{events}?status=503").json()] == ["503"]
    assert failed[0]["created_at"] > failed[1]["created_at"]
    assert failed[0]["request_data"] == json.loads(site.heard[0].body)
    assert failed[0]["request_headers"]["X-Gitlab-Token"] == "[REDACTED]"
    assert failed[0]["request_headers"]["webhook-signature"] == "[REDACTED]"
    assert failed[0]["request_headers"]["Idempotency-Key"] == site.heard[0].headers["idempotency-key"]
    assert site.ask("GET", f"{events}?status=internal").status_code == 400
    site.lab.world.log_bytes = 10
    assert site.ask("GET", events).json()[0]["request_data"] == {"oversize": True}
    with at(site.lab, site.lab.world.clock() + timedelta(days=8)):
        assert site.ask("GET", events).json() == []


def test_a_delivery_is_sent_again_five_times_a_minute(site: Site) -> None:
    hook = site.lab.hook(site.project, site.url, token="plain", signing_token=SIGNING)
    site.lab.push(site.project, {"a": b"1"})
    site.lab.deliver(down=True)
    (event,) = hook.events
    for _ in range(5):
        again = site.ask("POST", f"hooks/{hook.id}/events/{event.id}/resend")
        assert (again.status_code, again.json()) == (201, {"response_status": 200})
    assert site.ask("POST", f"hooks/{hook.id}/events/{event.id}/resend").status_code == 429
    assert site.ask("POST", f"hooks/{hook.id}/events/1/resend").status_code == 404
    heard = site.heard[-1]
    assert (heard.body, heard.headers["idempotency-key"]) == (event.body, event.headers["Idempotency-Key"])
    assert heard.headers["x-gitlab-token"] == "plain"
    assert len({one.headers["idempotency-key"] for one in site.heard}) == 1


def test_the_contract_takes_no_more_than_twenty_events_a_page(site: Site) -> None:
    hook = site.lab.hook(site.project, site.url)
    assert site.ask("GET", f"hooks/{hook.id}/events?per_page=20").status_code == 200
    assert site.ask("GET", f"hooks/{hook.id}/events?per_page=100").status_code == 400
    (found,) = site.lab.violations
    assert "per_page" in found
    site.lab.violations.clear()


def test_payloads_made_by_hand(site: Site) -> None:
    made = site.lab.payload("push", site.project, token="one", identity="key", event="event")
    assert made.headers["X-Gitlab-Token"] == "one"
    assert (made.headers["Idempotency-Key"], made.headers["X-Gitlab-Event-UUID"]) == ("key", "event")
    assert "webhook-signature" not in made.headers
    bare = site.lab.payload("push", site.project)
    assert "X-Gitlab-Token" not in bare.headers
