"""After downtime: deliveries that got lost, heads that moved, what is new and what is gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sweeping import Installation, Loose
from test_runs import FLOATING, NAME
from test_sweeps import install
from webhook_samples import read, samples

from bot import wiring
from bot.errors import ForgeError, TransientError
from bot.forges.base import Account, Missed, RequestState
from bot.model import HookState, Job, Trigger, Webhook
from bot.runs.errands import ForgeErrands
from bot.service import Service
from bot.service_settings import Settings
from bot.settings import Lookups
from bot.store.base import Delivery, Ending, ProposalState, Receipt
from bot.store.sql import Store
from webhooks.deliveries import deliver
from webhooks.events import Context, EventError
from webhooks.metrics import Metrics


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Installation]:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        yield install(store)


def lose(world: Installation, id_: str, *jobs: Job, ago: timedelta = timedelta(minutes=5)) -> Delivery:
    """Let a delivery get lost."""
    made = Delivery(source="github", id=id_, jobs=jobs, event="push")
    world.delivered[id_] = made
    world.forge.lost.append(Missed(headers={}, body=id_.encode(), delivered=world.now - ago))
    return made


def planned(world: Installation) -> list[str]:
    """Return what is planned from now on, a list that grows."""
    seen: list[str] = []
    plan = world.runs.plan

    def counted(job: Job) -> str | None:
        if job.repository:
            seen.append(f"{job.trigger.value} {job.repository} {job.ref}")
        return plan(job)

    world.runs.plan = counted  # type: ignore[method-assign]  # to see
    return seen


# --- who we are ---------------------------------------------------------------------------


def test_who_we_are_is_remembered_for_the_receiver(world: Installation) -> None:
    world.catch_up()
    assert world.store.accounts.of("github") == {"1", "moorline[bot]"}


# --- deliveries ---------------------------------------------------------------------------


def test_what_got_lost_is_received(world: Installation) -> None:
    world.forge.create(NAME, FLOATING)
    world.catch_up()
    head = world.forge.push(NAME, {"Dockerfile": b"FROM node:22 AS later\n"})
    lose(world, "d1", world.job(head=head))
    world.catch_up()
    assert b"AS later" in world.proposed()


def test_what_did_arrive_is_no_news(world: Installation) -> None:
    """Under one id a delivery counts once, whichever way it comes."""
    world.forge.create(NAME, FLOATING)
    world.catch_up()
    delivery = lose(world, "d1", world.job())
    world.store.inbox.receive(delivery, world.now)
    world.work()
    seen = planned(world)
    world.catch_up()
    assert seen == []
    lose(world, "nothing of ours")
    del world.delivered["nothing of ours"]
    world.catch_up()
    assert seen == []


def test_an_old_delivery_does_not_take_us_back(world: Installation) -> None:
    """It comes after what was pushed later, and names a commit that is history by now."""
    world.forge.create(NAME, {"README.md": b""})
    world.catch_up()
    old = world.forge.push(NAME, {"README.md": b"old"})
    head = world.forge.push(NAME, FLOATING)
    world.run(world.job(head=head, before=old))
    assert world.request
    lose(world, "d1", world.job(head=old, changed=("README.md",)))
    world.catch_up()
    assert world.request.state is RequestState.OPEN
    scan = world.store.repositories.scan("github", NAME, "main")
    assert scan is not None
    assert scan.head == head


def test_only_what_may_have_been_missed_is_asked_for(world: Installation) -> None:
    asked: list[timedelta] = []

    def missed(since: object) -> Iterator[Missed]:
        asked.append(world.now - since)  # type: ignore[operator]  # a moment
        return iter(())

    world.forge.missed = missed  # type: ignore[method-assign]  # to see
    world.catch_up()
    world.later(hours=5)
    world.catch_up()
    world.later(days=30)
    world.catch_up()
    assert asked == [timedelta(days=3), timedelta(hours=6), timedelta(days=7)]


def test_a_log_that_cannot_be_read_is_read_from_there_again_and_keeps_nothing_else_from_being_done(
    world: Installation,
) -> None:
    world.forge.create(NAME, FLOATING)
    asked: list[object] = []

    def refuse(since: object) -> Iterator[Missed]:
        asked.append(since)
        raise ForgeError("The App has no webhook.")

    world.forge.missed = refuse  # type: ignore[method-assign]  # a forge that refuses
    world.catch_up()
    assert world.request
    assert [one.detail for one in world.store.backlog.stuck(5)] == ["The App has no webhook."]
    world.catch_up()
    assert asked[0] == asked[1]


def test_a_limit_is_waited_for(world: Installation) -> None:
    def limited(_since: object) -> Iterator[Missed]:
        raise TransientError("Too many requests.", retry_after=600)

    world.forge.missed = limited  # type: ignore[method-assign, assignment]  # a forge that limits
    world.catch_up()
    [waiting] = world.store.backlog.waits(5)
    assert (waiting.job.ref, waiting.due) == ("catch-up", world.now + timedelta(seconds=600))


def test_what_got_lost_is_read_as_what_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the readers of the receiver, and under the ids that it would have stored."""
    forge = Loose()
    forge.account = lambda: Account(id="9900", login="moorline[bot]")  # type: ignore[method-assign]  # as in the samples
    monkeypatch.setattr(wiring, "forges", lambda *_: {"github": forge})
    now = datetime.now(UTC)
    for sample in samples("github"):
        headers, body = read(sample)
        forge.lost.append(Missed(headers=headers, body=body, delivered=now))
    forge.lost.append(Missed(headers={"X-GitHub-Event": "push"}, body=b"{", delivered=now))
    settings = Settings.from_environ({"MOORLINE_DATABASE_URL": f"sqlite:///{tmp_path}/moorline.db"})
    with Service(settings, Lookups.from_environ({"HOME": str(tmp_path)})) as made:
        errands = ForgeErrands(made.store, made.served, made.read_missed)
        errands.run(Job(forge="github", repository="", ref="catch-up", trigger=Trigger.CATCH_UP), forge)
        wanted = made.store.inbox.waiting()
        assert wanted > 3
        for sample in samples("github"):
            headers, body = read(sample)
            with suppress(EventError):
                found = deliver("github", headers, body, Context(accounts=frozenset({"9900"})))
                if isinstance(found, Delivery):
                    assert made.store.inbox.receive(found, now) is Receipt.DUPLICATE
        assert made.store.inbox.waiting() == wanted


# --- webhooks -----------------------------------------------------------------------------


def hook(state: HookState, id_: str = "/projects/1/hooks/2") -> Webhook:
    text = "" if state is HookState.CALLING else "It does not call us."
    return Webhook(id=id_, owner="acme/web", state=state, text=text, advice="Mend it.")


def told(world: Installation) -> list[tuple[str, str]]:
    """Return what the audit log tells of webhooks, and of which."""
    entries = world.store.audit.entries(0, 1000)
    return [(one.what, str(one.evidence["hook"])) for one in entries if one.what.startswith("hook.")]


def shown(world: Installation) -> dict[str, float]:
    registry = Metrics(world.store.inbox, world.store.proposals, webhooks=world.store.webhooks).registry
    found = {}
    for forge in ("github", "gitlab"):
        value = registry.get_sample_value("moorline_hooks_disabled", {"forge": forge})
        assert value is not None
        found[forge] = value
    return found


def test_a_webhook_that_does_not_call_is_told_of_once(
    world: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    world.forge.hooks = [hook(HookState.CALLING)]
    world.catch_up()
    assert told(world) == []
    assert shown(world) == {"github": 0, "gitlab": 0}

    world.forge.hooks = [hook(HookState.PAUSED)]
    world.catch_up()
    world.catch_up()
    assert told(world) == [("hook.paused", "/projects/1/hooks/2")]
    assert shown(world) == {"github": 1, "gitlab": 0}
    assert world.store.audit.entries(0, 10)[0].subject == "github acme/web"
    said = [one for one in caplog.records if one.message == "a webhook does not call us"]
    assert [(one.__dict__["owner"], one.__dict__["advice"]) for one in said] == [("acme/web", "Mend it.")] * 2

    # It comes back by itself: nobody asks for a test.
    assert world.forge.asked["test"] == 0
    world.forge.hooks = [hook(HookState.CALLING)]
    world.catch_up()
    world.catch_up()
    assert [what for what, _ in told(world)] == ["hook.paused", "hook.calling"]
    assert shown(world) == {"github": 0, "gitlab": 0}


def test_a_webhook_that_is_disabled_for_good_is_tried(world: Installation) -> None:
    world.forge.hooks = [hook(HookState.PAUSED), hook(HookState.CALLING, "/projects/7/hooks/8")]
    world.catch_up()
    world.forge.hooks[0] = hook(HookState.DISABLED)
    world.catch_up()
    assert world.forge.asked["test"] == 1
    assert [what for what, _ in told(world)] == ["hook.paused", "hook.disabled"]
    assert shown(world)["github"] == 1

    world.forge.mended.add("/projects/1/hooks/2")
    world.catch_up()
    assert [what for what, _ in told(world)] == ["hook.paused", "hook.disabled", "hook.calling"]
    assert shown(world)["github"] == 0
    world.catch_up()
    assert world.forge.asked["test"] == 2


def test_no_more_webhooks_are_tried_at_once_than_the_forge_bears(world: Installation) -> None:
    world.forge.hooks = [hook(HookState.DISABLED, f"/projects/{number}/hooks/1") for number in range(30)]
    world.catch_up()
    assert world.forge.asked["test"] == 20


def test_a_webhook_that_is_not_shown_any_more_is_not_said_to_call(world: Installation) -> None:
    world.forge.hooks = [hook(HookState.FAILING)]
    world.catch_up()
    world.forge.hooks = []
    world.catch_up()
    assert [what for what, _ in told(world)] == ["hook.failing", "hook.gone"]
    assert shown(world)["github"] == 0


def test_webhooks_that_cannot_be_looked_at_are_as_they_were(world: Installation) -> None:
    world.forge.create(NAME, FLOATING)
    world.forge.hooks = [hook(HookState.FAILING)]
    world.catch_up()

    def refuse() -> tuple[Webhook, ...]:
        raise ForgeError("No.")

    world.forge.webhooks = refuse  # type: ignore[method-assign]  # a forge that refuses
    world.catch_up()
    assert [what for what, _ in told(world)] == ["hook.failing"]
    assert shown(world)["github"] == 1


# --- heads --------------------------------------------------------------------------------


def test_at_first_everything_is_new(world: Installation) -> None:
    names = world.populate(3)
    seen = planned(world)
    world.catch_up()
    assert sorted(seen) == [f"installed {name} main" for name in names]
    assert all(len(world.forge.open_requests(name)) == 1 for name in names)


def test_nothing_that_moved_costs_the_list_alone(world: Installation) -> None:
    names = world.populate(20)
    world.catch_up()
    world.later(hours=1)
    world.forge.asked.clear()
    world.images.asked.clear()
    seen = planned(world)
    world.catch_up()
    assert world.forge.asked == {"repositories": 1, "missed": 1, "webhooks": 1}
    assert (seen, world.images.asked) == ([], [])
    assert names


def test_more_than_a_receiver_can_name_is_looked_up(world: Installation) -> None:
    """Of an installation with very many repositories it only says that there is something."""
    names = world.populate(3)
    world.store.inbox.want((world.job(repository="", ref="sweep", trigger=Trigger.INSTALLED),), world.now)
    world.work()
    assert all(len(world.forge.open_requests(name)) == 1 for name in names)
    assert world.store.backlog.stuck(5) == ()


def test_what_moved_is_looked_at(world: Installation) -> None:
    world.forge.create(NAME, FLOATING)
    world.forge.create("acme/other", FLOATING)
    world.catch_up()
    world.forge.push(NAME, {"Dockerfile": b"FROM node:22 AS later\n"})
    seen = planned(world)
    world.catch_up()
    assert seen == [f"catch-up {NAME} main", f"catch-up {NAME} refs/pull/1/head"]
    assert b"AS later" in world.proposed()


def test_a_default_branch_that_changed_is_looked_at(world: Installation) -> None:
    world.forge.create(NAME, FLOATING)
    world.catch_up()
    project = world.forge.projects[NAME]
    project.branches["trunk"] = project.branches.pop("main")
    project.default = "trunk"
    world.catch_up()
    assert [one.base for one in world.forge.open_requests(NAME)][-1] == "trunk"


def test_what_cannot_be_looked_at_is_not_tried_every_hour(world: Installation) -> None:
    """It ended as it did; the next push or sweep tries again."""
    world.forge.create(NAME, {**FLOATING, ".moorline.yml": b"mode: what\n"})
    world.catch_up()
    assert world.store.backlog.stuck(5)[0].ending is Ending.FAILED
    seen = planned(world)
    for _ in range(3):
        world.later(hours=1)
        world.catch_up()
    assert seen == []


def test_a_branch_that_was_put_back_is_looked_at(world: Installation) -> None:
    """To the very commit that the list before named; what was pushed in between was looked at."""
    world.forge.create(NAME, FLOATING)
    world.catch_up()
    old = world.forge.projects[NAME].branches["main"]
    world.later(minutes=10)
    head = world.forge.push(NAME, {"Dockerfile": b"FROM node:22 AS later\n"})
    world.run(world.job(head=head))
    world.later(minutes=10)
    world.forge.projects[NAME].branches["main"] = old
    world.catch_up()
    assert b"AS later" not in world.proposed()


def test_whoever_dies_between_wanting_and_remembering_finds_it_again(world: Installation) -> None:
    world.forge.create(NAME, FLOATING)
    want = world.store.inbox.want

    def killed(jobs: tuple[Job, ...], now: object) -> None:
        if any(job.repository for job in jobs):
            raise KeyboardInterrupt
        want(jobs, now)  # type: ignore[arg-type]  # a moment

    world.store.inbox.want = killed  # type: ignore[method-assign]  # dies there
    with pytest.raises(KeyboardInterrupt):
        world.catch_up()
    world.store.inbox.want = want  # type: ignore[method-assign]  # as it was
    [claim] = world.store.backlog.claimed()
    world.store.backlog.release(claim.run)
    world.work()
    assert world.request


def test_further_branches_are_compared_too(world: Installation) -> None:
    files = {**FLOATING, ".moorline.yml": b"refs: [release/*]\n"}
    world.forge.create(NAME, files)
    world.catch_up()
    world.forge.push(NAME, files, "release/1")
    world.catch_up()
    assert sorted(one.base for one in world.forge.open_requests(NAME)) == ["main", "release/1"]
    del world.forge.projects[NAME].branches["release/1"]
    seen = planned(world)
    world.catch_up()
    assert f"catch-up {NAME} release/1" in seen
    assert [one.base for one in world.forge.open_requests(NAME)] == ["main"]
    seen.clear()
    world.catch_up()
    assert seen == []


def test_what_is_gone_is_forgotten_and_comes_back_as_new(world: Installation) -> None:
    world.populate(2)
    world.catch_up()
    project = world.forge.projects.pop("acme/app001")
    world.catch_up()
    known = world.store.repositories.get("github", "acme/app001")
    assert known is not None
    assert known.gone
    world.forge.projects["acme/app001"] = project
    world.later(hours=2)
    world.catch_up()
    known = world.store.repositories.get("github", "acme/app001")
    assert known is not None
    assert not known.gone
    # What it stood for was given up with it.
    assert len(world.store.proposals.standing("github", "acme/app001")) == 1


def test_a_rename_costs_no_look(world: Installation) -> None:
    world.forge.create(NAME, FLOATING)
    world.catch_up()
    world.forge.rename(NAME, "acme/new")
    seen = planned(world)
    world.catch_up()
    assert seen == []
    assert [one.number for one in world.store.proposals.standing("github", "acme/new")] == [1]


# --- fates --------------------------------------------------------------------------------


def test_a_merge_that_nobody_told_of_is_found_by_the_base(world: Installation) -> None:
    world.forge.create(NAME, FLOATING)
    world.catch_up()
    world.forge.settle(NAME, 1, RequestState.MERGED)
    world.catch_up()
    assert world.store.proposals.counts()[ProposalState.MERGED] == 1


def test_a_close_that_nobody_told_of_is_found_within_a_week(world: Installation) -> None:
    world.populate(3)
    world.catch_up()
    world.catch_up()
    world.forge.settle("acme/app001", 1, RequestState.CLOSED)
    world.forge.asked.clear()
    for _ in range(6):
        world.later(days=1)
        world.catch_up()
    assert world.forge.asked["request"] == 0
    world.later(days=1)
    world.catch_up()
    assert world.forge.asked["request"] == 3
    assert world.store.proposals.counts()[ProposalState.CLOSED] == 1


def test_catching_up_keeps_nobody_waiting(world: Installation) -> None:
    """Whatever it wants comes after what people just pushed."""
    world.forge.create(NAME, FLOATING)
    world.catch_up()
    world.forge.push(NAME, {"Dockerfile": b"FROM node:22 AS later\n"})
    world.store.inbox.want((world.job(repository="", ref="catch-up", trigger=Trigger.CATCH_UP),), world.now)
    world.work(1)
    world.forge.create("acme/pushed", FLOATING)
    world.store.inbox.want((world.job(repository="acme/pushed"),), world.now)
    [first] = world.store.backlog.claim("w", 1, world.now)
    assert first.job.repository == "acme/pushed"
