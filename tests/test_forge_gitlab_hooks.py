"""The GitLab forge on the stand-in: deliveries that got lost, hooks that disabled themselves, the doctor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from gitlab_http import Reply
from gitlab_standin import GitLab, Level, Project, gitlab
from scripted import Reply as Scripted
from scripted import scripted

from bot.errors import ForgeError
from bot.forges.base import Health, Symptom
from bot.forges.gitlab import GitLabForge
from bot.model import HookState, Webhook

URL = "https://moorline.example/webhooks/gitlab"
EVENTS: dict[str, Any] = {
    "push_events": True,
    "tag_push_events": True,
    "merge_requests_events": True,
    "note_events": True,
}
SIGNED = "whsec_" + "A" * 43 + "="


class Site:
    """A stand-in with a project in which the bot is Maintainer."""

    def __init__(self, lab: GitLab) -> None:
        self.lab = lab
        self.now: datetime = datetime.now(UTC).replace(microsecond=0)
        lab.world.clock = lambda: self.now
        self.bot = lab.user("moorline", "Moorline", bot=True)
        lab.join("acme", self.bot, Level.MAINTAINER)
        self.project: Project = lab.project("acme/web", {"a": b"a"})
        self.token = lab.token(self.bot)
        self.forge = self.made()
        lab.forget()

    def made(self, **more: Any) -> GitLabForge:
        settings: dict[str, Any] = {"hook_url": URL, "pause": lambda _seconds: None, **more}
        settings.setdefault("clock", self._seconds)
        return GitLabForge(self.lab.url, settings.pop("token", self.token), **settings)

    def _seconds(self) -> float:
        return self.now.timestamp()

    def down(self, text: str) -> str:
        """Push while nobody listens; return the commit."""
        commit = self.lab.push(self.project, {"a": text.encode()})
        self.lab.deliver(down=True)
        return commit

    def missed(self, since: timedelta = timedelta(hours=1)) -> list[str]:
        """Return the commits of the pushes that were missed."""
        return [json.loads(one.body)["after"] for one in self.forge.missed(self.now - since)]

    def symptoms(self, forge: GitLabForge | None = None) -> list[Symptom]:
        return list((forge or self.forge).examine())

    def seen(self, subject: str, forge: GitLabForge | None = None) -> list[Symptom]:
        return [one for one in self.symptoms(forge) if one.subject.startswith(subject)]


@pytest.fixture
def site() -> Iterator[Site]:
    with gitlab() as lab:
        yield Site(lab)


# --- missed deliveries --------------------------------------------------------------------


def test_what_nobody_answered_is_found_oldest_first(site: Site) -> None:
    site.lab.hook(site.project, URL + "/", token="s", **EVENTS)
    pushed = [site.down(text) for text in "xyz"]
    assert site.missed() == pushed
    [first, *_] = site.forge.missed(site.now - timedelta(hours=1))
    assert first.headers["X-Gitlab-Event"] == "Push Hook"
    assert first.headers["Idempotency-Key"]
    assert json.loads(first.body)["project"]["path_with_namespace"] == "acme/web"


@pytest.mark.parametrize("status", [400, 401, 404, 500, 503])
def test_failures_of_both_kinds(site: Site, status: int) -> None:
    hook = site.lab.hook(site.project, URL, **EVENTS)
    commit = site.lab.push(site.project, {"a": b"x"})
    site.lab.report(hook, site.lab.payload("push", site.project, hook=hook), status)
    assert site.missed() == [commit]


def test_what_was_delivered_is_not_missed(site: Site) -> None:
    hook = site.lab.hook(site.project, URL, **EVENTS)
    site.lab.report(hook, site.lab.payload("push", site.project, hook=hook), 202)
    assert site.missed() == []


def test_two_attempts_at_one_delivery_are_one(site: Site) -> None:
    hook = site.lab.hook(site.project, URL, **EVENTS)
    sent = site.lab.payload("push", site.project, hook=hook, identity="one")
    for status in (503, 500, None):
        site.lab.report(hook, sent, status)
    assert len(site.missed()) == 1


def test_more_than_a_page_of_failures(site: Site) -> None:
    site.lab.world.hooks_disable = False
    site.lab.hook(site.project, URL, **EVENTS)
    pushed = [site.down(str(number)) for number in range(45)]
    assert site.missed() == pushed


def test_hooks_of_others_are_none_of_ours(site: Site) -> None:
    for url in (
        "https://evil.example/webhooks/gitlab",
        "https://moorline.example.evil/webhooks/gitlab",
        "http://moorline.example/webhooks/gitlab",
        "https://moorline.example/webhooks/gitlab2",
        "https://moorline.example:8443/webhooks/gitlab",
    ):
        site.lab.hook(site.project, url, **EVENTS)
    site.down("x")
    assert site.missed() == []


def test_a_group_hook_serves_what_is_below(site: Site) -> None:
    site.lab.join("acme", site.bot, Level.OWNER)
    site.lab.hook(site.lab.group("acme"), URL, **EVENTS)
    other = site.lab.project("acme/deep/app", {"a": b"a"})
    site.lab.forget()
    first, second = site.down("x"), site.lab.push(other, {"a": b"y"})
    site.lab.deliver(down=True)
    assert site.missed() == [first, second]


def test_without_a_public_address_nothing_is_asked(site: Site) -> None:
    site.lab.hook(site.project, URL, **EVENTS)
    site.down("x")
    site.lab.requests.clear()
    assert list(site.made(hook_url="").missed(site.now - timedelta(days=1))) == []
    assert not site.lab.requests


def test_who_may_not_see_hooks_is_told_of_none(site: Site) -> None:
    site.lab.hook(site.project, URL, **EVENTS)
    site.down("x")
    site.lab.join("acme", site.bot, Level.DEVELOPER)
    assert site.missed() == []


def test_a_gitlab_without_a_log_of_deliveries(site: Site) -> None:
    site.lab.hook(site.project, URL, **EVENTS)
    site.down("x")
    site.lab.fail("GET", "*/events", times=9, reply=Reply(status=404, body=b"{}"))
    assert site.missed() == []


def logged(**more: object) -> dict[str, object]:
    return {
        "id": 1,
        "response_status": "internal error",
        "request_headers": {"X-Gitlab-Event": "Push Hook", "Idempotency-Key": "k"},
        "request_data": {"after": "x"},
        **more,
    }


def rows(*found: object) -> Reply:
    return Reply(body=json.dumps(found).encode(), headers=(("Content-Type", "application/json"),))


def test_times_are_taken_where_they_are_told(site: Site) -> None:
    site.lab.hook(site.project, URL, **EVENTS)
    old, new = (site.now - timedelta(hours=hours) for hours in (5, 1))
    signed = {"Webhook-Timestamp": str(int(new.timestamp())), "Idempotency-Key": "c"}
    found = [
        logged(id=1, created_at=old.isoformat(), request_headers={"Idempotency-Key": "a"}),
        logged(id=2, created_at=new.isoformat(), request_headers={"Idempotency-Key": "b"}),
        logged(id=3, request_headers=signed, request_data={"after": "signed"}),
        logged(id=4, request_headers="odd", request_data="text"),
        logged(id=5, request_headers={"Idempotency-Key": "d"}, request_data=None),
        logged(id=6, created_at="no time", request_headers={1: 2, "a": 3}),
        "odd",
    ]
    site.lab.fail("GET", "*/events", reply=rows(*found))
    made = list(site.forge.missed(site.now - timedelta(hours=2)))
    assert [one.body for one in made] == [
        b'{"after":"x"}',
        b'{"after":"signed"}',
        b"text",
        b'{"after":"x"}',
    ]
    assert made[0].delivered == new


def test_a_list_of_events_without_end_ends(site: Site) -> None:
    site.lab.hook(site.project, URL, **EVENTS)
    endless = (("Content-Type", "application/json"), ("X-Next-Page", "2"))
    site.lab.fail("GET", "*/events", times=999, reply=Reply(body=b"[]", headers=endless))
    assert site.missed() == []
    assert site.lab.count("GET", "*/events") == 50


def test_our_hooks_are_looked_for_now_and_then(site: Site) -> None:
    site.lab.hook(site.project, URL, **EVENTS)
    site.missed()
    site.lab.requests.clear()
    site.missed()
    assert {one.template.rpartition("/")[2] for one in site.lab.requests} == {"events"}
    site.now += timedelta(hours=1)
    site.missed()
    assert site.lab.count("GET", "*/hooks") > 0


def test_a_system_hook_serves_every_project(site: Site) -> None:
    site.lab.hook(None, URL, token="s", signing_token=SIGNED, **EVENTS)
    site.bot.admin = True
    forge = site.made()
    site.lab.requests.clear()
    assert [one.health for one in site.seen("hook of", forge)] == [Health.OK]
    assert site.lab.count("GET", "/api/v4/hooks") == 1


# --- the doctor ---------------------------------------------------------------------------


def test_all_is_well(site: Site) -> None:
    site.lab.hook(site.project, URL, token="s", signing_token=SIGNED, **EVENTS)
    assert {one.health for one in site.symptoms()} == {Health.OK}


def test_a_token_that_ends(site: Site) -> None:
    def expiry(days: int | None) -> Symptom:
        [found] = site.seen("token expiry", site.made(token=site.lab.token(site.bot, days=days)))
        return found

    assert (expiry(300).health, expiry(None).health) == (Health.OK, Health.OK)
    soon = expiry(3)
    assert soon.health is Health.NOTE
    assert "3 days" in soon.text
    assert "MOORLINE_GITLAB_TOKEN" in soon.advice
    assert "1 day," in expiry(1).text


def test_a_token_that_has_ended(site: Site) -> None:
    token = site.lab.token(site.bot, days=1)
    site.now += timedelta(days=3)
    [only] = site.symptoms(site.made(token=token))
    assert (only.health, only.subject) == (Health.TROUBLE, "token")
    assert "MOORLINE_GITLAB_TOKEN" in only.advice
    assert token not in f"{only.text}{only.advice}"


def test_a_revoked_token(site: Site) -> None:
    site.lab.revoke(site.token)
    [only] = site.symptoms()
    assert only.health is Health.TROUBLE
    with pytest.raises(ForgeError) as caught:
        site.forge.head("acme/web", "")
    assert "MOORLINE_GITLAB_TOKEN" in caught.value.advice


def test_a_token_that_reads_alone(site: Site) -> None:
    forge = site.made(token=site.lab.token(site.bot, ["read_api"]))
    [scopes] = site.seen("token scopes", forge)
    assert scopes.health is Health.TROUBLE
    assert "`api`" in scopes.advice


def test_roles(site: Site) -> None:
    other = site.lab.project("beta/app", {"a": b"a"})
    site.lab.join(other, site.bot, Level.REPORTER)
    [role] = site.seen("role in beta/app")
    assert role.health is Health.TROUBLE
    assert "Developer" in role.advice
    assert not site.seen("role in acme/web")


def test_no_project_at_all(site: Site) -> None:
    lonely = site.lab.user("lonely")
    [found] = site.seen("projects", site.made(token=site.lab.token(lonely)))
    assert found.health is Health.NOTE
    assert found.advice


def test_a_role_that_is_not_told(site: Site) -> None:
    row = {"id": 7, "path_with_namespace": "acme/shared", "visibility": "private", "default_branch": "main"}
    row |= {"path": "shared", "web_url": "x", "http_url_to_repo": "x"}
    site.lab.fail("GET", "/api/v4/projects", reply=rows(row))
    [role] = [one for one in site.symptoms() if one.subject == "roles"]
    assert (role.health, "in 1 project;" in role.text) == (Health.NOTE, True)


def test_many_projects_are_named_up_to_ten(site: Site) -> None:
    for number in range(15):
        site.lab.join(site.lab.project(f"beta/p{number}"), site.bot, Level.GUEST)
    assert len(site.seen("role in")) == 10
    [more] = site.seen("roles")
    assert "5 more" in more.text


def test_hooks_that_disabled_themselves(site: Site) -> None:
    hook = site.lab.hook(site.project, URL, token="s", **EVENTS)
    for number in range(4):
        site.down(str(number))
    found = [one for one in site.seen("hook of acme/web") if one.health is Health.TROUBLE]
    assert "disabled itself until" in found[0].text
    assert "test event" in found[0].advice
    hook.disabled = True
    found = [one for one in site.seen("hook of acme/web") if one.health is Health.TROUBLE]
    assert "for good" in found[0].text


def test_a_hook_that_disabled_itself_is_seen_without_a_doctor(site: Site) -> None:
    hook = site.lab.hook(site.project, URL, token="s", **EVENTS)
    [seen] = site.forge.webhooks()
    assert (seen.owner, seen.state, seen.text) == ("acme/web", HookState.CALLING, "")
    for number in range(4):
        site.down(str(number))
    assert site.forge.webhooks() == (seen,)  # to look costs a question for each project
    site.now += timedelta(hours=1)
    site.down("later")
    [paused] = site.forge.webhooks()
    assert (paused.id, paused.state) == (seen.id, HookState.PAUSED)
    assert "disabled itself until" in paused.text
    hook.disabled = True
    site.now += timedelta(hours=1)
    [disabled] = site.forge.webhooks()
    assert disabled.state is HookState.DISABLED
    assert "test event" in disabled.advice


def test_a_hook_that_is_tried_with_success_is_enabled(site: Site) -> None:
    said = {"status": 503}
    with scripted() as receiver:
        receiver.routes["POST /webhooks/gitlab"] = lambda _: Scripted(status=said["status"])
        url = f"{receiver.url}/webhooks/gitlab"
        hook = site.lab.hook(site.project, url, token="s", **EVENTS)
        forge = site.made(hook_url=url)
        hook.disabled = True
        [disabled] = forge.webhooks()
        assert not forge.test(disabled)
        assert forge.webhooks()[0].state is HookState.DISABLED
        said["status"] = 202
        assert forge.test(disabled)
        assert forge.webhooks()[0].state is HookState.CALLING


@pytest.mark.parametrize("id_", ["/hooks/1", "/projects/1/hooks/1/../../2", "/projects/1/hooks/x", ""])
def test_nothing_but_a_hook_of_a_project_or_group_is_tried(site: Site, id_: str) -> None:
    assert not site.forge.test(Webhook(id=id_, owner="", state=HookState.DISABLED))
    assert site.lab.requests == []


def test_hooks_that_lack_something(site: Site) -> None:
    site.lab.hook(site.project, URL, push_events=True, enable_ssl_verification=False)
    found = site.seen("hook of acme/web")
    said = " ".join(one.text for one in found)
    assert "merge_requests, note" in said
    assert "certificate" in said
    assert [one.health for one in found if "secret token" in one.text] == [Health.TROUBLE]


def test_an_older_gitlab_does_not_tell_of_secrets(site: Site) -> None:
    site.lab.world.signing_tokens = False
    site.lab.hook(site.project, URL, **EVENTS)
    assert [one.health for one in site.seen("hook of acme/web")] == [Health.OK]


def test_a_secret_token_alone_is_well(site: Site) -> None:
    site.lab.hook(site.project, URL, token="s", **EVENTS)
    found = site.seen("hook of acme/web")
    assert {one.health for one in found} == {Health.OK}
    assert any("signing token" in one.text for one in found)


def test_projects_without_a_hook(site: Site) -> None:
    [found] = site.seen("hook of acme/web")
    assert found.health is Health.NOTE
    assert URL in found.advice
    site.lab.join("acme", site.bot, Level.DEVELOPER)
    [found] = site.seen("hooks")
    assert "Maintainer" in found.text


def test_no_public_address(site: Site) -> None:
    [found] = site.seen("hooks", site.made(hook_url=""))
    assert "MOORLINE_PUBLIC_URL" in found.advice


@pytest.mark.parametrize(
    ("version", "health", "word"),
    [
        ("17.2.9-ee", Health.NOTE, "missed ones cannot be fetched"),
        ("17.3.0", Health.OK, "signing tokens come with 19.0"),
        ("19.5.0-ee", Health.OK, "19.5.0-ee"),
        ("odd\x1b[31m", Health.NOTE, "does not say"),
    ],
)
def test_versions(site: Site, version: str, health: Health, word: str) -> None:
    site.lab.world.version = version
    [found] = site.seen("version")
    assert found.health is health
    assert word in found.text


def test_one_thing_that_cannot_be_asked_keeps_nothing_else_from_being_told(site: Site) -> None:
    site.lab.fail("GET", "*/version", times=9, reply=Reply(status=500, body=b"{}"))
    found = site.symptoms()
    assert [one.health for one in found if one.subject == "version"] == [Health.TROUBLE]
    assert any(one.subject == "projects" for one in found)
