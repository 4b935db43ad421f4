"""What the stand-ins tell, received: the same readers serve the hook and what was missed while it was down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask import Flask
from github_standin import GitHub, github
from gitlab_standin import GitLab, Level, gitlab

from bot.model import Job, Trigger
from bot.store.base import Delivery, Receipt
from bot.store.sql import Store
from webhooks import Site, create_app
from webhooks.deliveries import Contexts, deliver
from webhooks.site import Secrets

SECRET = "It's a Secret to Everybody"
FILES = {"Dockerfile": b"FROM node:20\n", "README.md": b"# App\n"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'moorline.db'}") as opened:
        yield opened


@pytest.fixture
def app(store: Store) -> Flask:
    site = Site(github_secrets=(SECRET,), gitlab_secrets=Secrets({"": (SECRET,)}))
    return create_app(inbox=store.inbox, proposals=store.proposals, site=site, accounts=store.accounts.of)


class TestGithub:
    @pytest.fixture
    def hub(self, store: Store) -> Iterator[GitHub]:
        with github() as standin:
            standin.world.hook_secret = SECRET
            standin.repository("acme/app", FILES, roles={"ann": "write"})
            bot = standin.world.app.bot
            store.accounts.record("github", str(bot.id), bot.login)
            yield standin

    def tell(self, hub: GitHub, app: Flask) -> list[int]:
        """Deliver what happened, and return the answers."""

        def send(headers: Mapping[str, str], body: bytes) -> int:
            return app.test_client().post("/webhooks/github", data=body, headers=dict(headers)).status_code

        return [one.status_code for one in hub.deliver(send)]

    def waiting(self, store: Store) -> dict[str, Job]:
        return {one.job.ref: one.job for one in store.backlog.waits(99)}

    def test_from_installation_to_comment(self, hub: GitHub, app: Flask, store: Store) -> None:
        hub.install("acme")
        before = hub.head("acme/app")
        after = hub.push("acme/app", {"Dockerfile": b"FROM node:22\n"}, by="ann")
        hub.push("acme/app", {"Dockerfile": b"FROM node:23\n"}, branch="topic", by="ann")
        pull = hub.open_pull("acme/app", "topic", by="ann")
        comment = hub.comment("acme/app", pull.number, "/moorline explain", by="ann")
        assert set(self.tell(hub, app)) <= {200, 202}
        waiting = self.waiting(store)
        assert waiting[""].trigger is Trigger.INSTALLED
        push = waiting["main"]
        assert (push.trigger, push.before, push.head, push.changed) == (
            Trigger.PUSH,
            before,
            after,
            ("Dockerfile",),
        )
        request = waiting[f"refs/pull/{pull.number}/head"]
        assert (request.trigger, request.number) == (Trigger.PULL_REQUEST, pull.number)
        assert request.head == hub.head("acme/app", "topic")
        assert waiting[f"comment/issue/{comment.id}"].number == pull.number

    def test_what_we_do_ourselves_starts_nothing(self, hub: GitHub, app: Flask, store: Store) -> None:
        hub.install("acme")
        hub.deliver(None)
        hub.push("acme/app", {"Dockerfile": b"FROM node:22\n"}, branch="moorline/main", by=hub.bot)
        pull = hub.open_pull("acme/app", "moorline/main", by=hub.bot)
        hub.comment("acme/app", pull.number, "I am a bot.", by=hub.bot)
        hub.close_pull("acme/app", pull.number, by=hub.bot)
        assert set(self.tell(hub, app)) == {200}
        assert self.waiting(store) == {}

    def test_what_was_missed_is_read_in_the_same_way(self, hub: GitHub, app: Flask, store: Store) -> None:
        """A delivery that came both ways counts once."""
        hub.install("acme")
        hub.deliver(None)
        hub.push("acme/app", {"Dockerfile": b"FROM node:22\n"}, by="ann")
        contexts = Contexts(store.accounts.of)
        receipts = []
        for one in hub.deliver(None):
            found = deliver("github", one.headers, one.body, contexts("github"))
            if isinstance(found, Delivery):
                receipts.append(store.inbox.receive(found, datetime.now(UTC)))
                said = app.test_client().post("/webhooks/github", data=one.body, headers=one.headers)
                assert said.json == {"result": "duplicate"}
        assert receipts == [Receipt.STORED]
        assert list(self.waiting(store)) == ["main"]


class TestGitlab:
    @pytest.fixture
    def lab(self) -> Iterator[GitLab]:
        with gitlab() as standin:
            yield standin

    def test_from_push_to_note(self, lab: GitLab, app: Flask, store: Store) -> None:
        ada, bot = lab.user("ada"), lab.user("moorline-bot", bot=True)
        store.accounts.record("gitlab", str(bot.id), bot.username)
        lab.join("acme", ada, Level.OWNER)
        project = lab.project("acme/team/app", FILES)
        before = lab.head(project)
        after = lab.push(project, {"Dockerfile": b"FROM node:22\n"}, user=ada)
        client = app.test_client()

        def tell(kind: str, **about: object) -> object:
            told = lab.payload(kind, project, token=SECRET, **about)  # type: ignore[arg-type]  # each kind has its own
            return client.post("/webhooks/gitlab", data=told.body, headers=told.headers).json

        assert tell("push", user=ada) == {"result": "stored"}
        assert tell("push", user=ada, scope="system") == {"result": "stored"}
        assert tell("push", user=bot) == {"result": "own"}
        assert tell("tag_push", user=ada, tag="v1", after=after, commit=after) == {"result": "tag"}
        assert tell("pipeline", user=ada) == {"result": "irrelevant"}
        assert tell("project_create", scope="system") == {"result": "stored"}
        waiting = {one.job.ref: one.job for one in store.backlog.waits(99)}
        assert set(waiting) == {"main", ""}
        assert (waiting["main"].before, waiting["main"].head) == (before, after)
        assert waiting[""].trigger is Trigger.INSTALLED
        told = lab.payload("push", project, user=ada)
        found = deliver("gitlab", told.headers, told.body, Contexts(store.accounts.of)("gitlab"))
        assert isinstance(found, Delivery)
        assert found.jobs[0].changed == ("Dockerfile",)
