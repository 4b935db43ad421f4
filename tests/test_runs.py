"""What runs decide on a forge with requests: one proposal, updated in place, and people's word stands."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes import FakeImages, run_services
from hosted import Hosted

from bot.allowed_owners import AllowedOwners
from bot.config import Config, parse
from bot.errors import ForgeError, MoorlineError, SupersededError, TransientError
from bot.forges.base import Request, RequestState
from bot.model import CheckRun, Conclusion, Job, Manifest, Trigger, Unresolved, UnresolvedReason
from bot.pipeline import Services
from bot.reference import parse_image
from bot.runs import Runs, Served
from bot.store.base import ProposalState
from bot.store.sql import Store

NAME = "acme/app"
BRANCH = "moorline/pin/main"
FLOATING = {"Dockerfile": b"FROM node:22\n"}


@dataclass
class World:
    """A forge, a store, a registry, and the runs between them."""

    store: Store
    forge: Hosted = field(default_factory=Hosted)
    images: FakeImages = field(default_factory=lambda: FakeImages(resolutions={}, manifests={}))
    server: Config = field(default_factory=Config)
    served: Served = field(default_factory=Served)
    now: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __post_init__(self) -> None:
        self.tag("node:22")
        self.runs = Runs(
            self.store, {"github": self.forge}, self.services, served=self.served, clock=lambda: self.now
        )

    def tag(self, name: str, content: str = "one") -> Manifest:
        """Let a tag point to an image."""
        return self.images.point(name, content)

    def services(self, job: Job, *, trusted: bool = True) -> Services:
        return run_services(job, self.images, self.server, "github.com", trusted=trusted)

    def job(self, **said: object) -> Job:
        made = Job(forge="github", repository=NAME, ref="main", trigger=Trigger.PUSH)
        return replace(made, **said)  # type: ignore[arg-type]  # a test names the fields

    def run(self, job: Job | None = None) -> None:
        """Run a job to its end, as the engine does: a superseded one starts anew."""
        job = job or self.job()
        for _ in range(5):
            try:
                plan = self.runs.plan(job)
                if plan is not None:
                    self.runs.publish(plan)
            except SupersededError:
                job = replace(job, head="", before="", changed=None)
                continue
            return
        raise AssertionError("superseded for ever")

    def push(self, files: dict[str, bytes], **said: object) -> str:
        """Push as a person does, and run what the webhook wants."""
        before = self.forge.projects[NAME].branches["main"]
        head = self.forge.push(NAME, files)
        self.run(self.job(head=head, before=before, **said))
        return head

    @property
    def request(self) -> Request:
        [one] = self.forge.open_requests(NAME)
        return one

    def proposed(self) -> bytes:
        """Return the Dockerfile that the open request proposes."""
        return self.forge.projects[NAME].commits[self.request.head]["Dockerfile"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        yield World(store)


def test_a_push_becomes_one_request_with_a_check(world: World) -> None:
    head = world.forge.create(NAME, FLOATING)
    world.run(world.job(head=head))
    digest = world.images.resolutions["node:22"].digest  # type: ignore[union-attr]  # a resolution
    assert world.proposed() == b"FROM node:22@" + digest.encode() + b"\n"
    assert (world.request.branch, world.request.base) == (BRANCH, "main")
    assert world.forge.projects[NAME].checks[world.request.head].conclusion is Conclusion.SUCCESS
    [stored] = world.store.proposals.standing("github", NAME)
    assert (stored.number, stored.url, stored.state) == (1, world.request.url, ProposalState.PUBLISHED)
    [entry] = world.store.audit.entries(0, 10)
    assert (entry.who, entry.what) == ("moorline", "proposal.published")
    said = entry.evidence
    assert (said["pins"], said["digests"], said["more"]) == (
        ("Dockerfile: docker.io/library/node:22",),
        (digest,),
        0,
    )


@pytest.mark.parametrize("pushed", ["main", "next"])
def test_a_default_branch_that_was_switched_is_looked_at_with_the_next_push(
    world: World, pushed: str
) -> None:
    """GitLab tells of the switch in no other way."""
    world.forge.create(NAME, FLOATING)
    world.run()
    old = world.request
    project = world.forge.projects[NAME]
    project.branches["next"] = world.forge.push(NAME, FLOATING | {"README.md": b"next"})
    project.default = "next"
    head = project.branches[pushed]
    asked = world.forge.asked["repository"]
    world.run(world.job(ref=pushed, head=head, before=head, changed=(), default_branch="next"))
    assert project.requests[old.number].state is RequestState.CLOSED
    [new] = [one for one in project.requests.values() if one.state is RequestState.OPEN]
    assert new.base == "next"
    assert world.forge.asked["repository"] == asked + 1
    world.run(world.job(ref="next", head=project.branches["next"], default_branch="next"))
    assert world.forge.asked["repository"] == asked + 1
    known = world.store.repositories.get("github", NAME)
    assert known is not None
    assert known.repository.default_branch == "next"


def test_a_default_branch_that_is_told_of_wrongly_is_asked_for_and_not_believed(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    before = world.request
    world.run(world.job(default_branch="elsewhere"))
    assert world.request == before
    known = world.store.repositories.get("github", NAME)
    assert known is not None
    assert known.repository.default_branch == "main"


def test_a_second_look_writes_nothing(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    before, request = dict(world.forge.asked), world.request
    world.run()
    assert world.request == request
    for what in ("write", "open", "edit", "check"):
        assert world.forge.asked[what] == before.get(what, 0), what


def test_a_tag_that_moved_updates_the_same_request(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    first = world.proposed()
    world.tag("node:22", "two")
    world.run()
    assert world.request.number == 1
    assert world.proposed() != first
    assert world.store.proposals.counts()["published"] == 1


def test_a_push_elsewhere_in_the_tree_does_not_rewrite_the_branch(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    head = world.request.head
    world.push({**FLOATING, "compose.yml": b"services: {}\n"}, changed=("compose.yml",))
    assert world.request.head == head


def test_the_branch_follows_when_its_files_changed(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    head = world.push({"Dockerfile": b"# new\nFROM node:22\n"})
    assert world.proposed().startswith(b"# new\nFROM node:22@sha256:")
    assert world.request.number == 1
    assert head


def test_what_a_person_closed_stays_closed_although_the_digest_moves(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    world.forge.settle(NAME, 1, RequestState.CLOSED)
    world.run(world.job(ref="refs/pull/1/head", number=1, trigger=Trigger.PULL_REQUEST))
    assert world.store.proposals.counts()["closed"] == 1
    world.tag("node:22", "two")
    world.run()
    assert world.forge.open_requests(NAME) == []


def test_a_close_that_nobody_told_of_is_seen_before_anything_is_written(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    world.forge.settle(NAME, 1, RequestState.CLOSED)
    writes = world.forge.asked["write"]
    world.tag("node:22", "two")
    world.run()
    assert world.forge.open_requests(NAME) == []
    assert world.forge.asked["write"] == writes
    assert world.store.proposals.counts()["closed"] == 1


def test_something_new_is_proposed_without_what_was_declined(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    world.forge.settle(NAME, 1, RequestState.CLOSED)
    world.run(world.job(ref="refs/pull/1/head", number=1, trigger=Trigger.PULL_REQUEST))
    world.tag("redis:7")
    world.push({"Dockerfile": b"FROM node:22 AS a\nFROM redis:7\n"})
    assert world.proposed().startswith(b"FROM node:22 AS a\nFROM redis:7@sha256:")
    assert "a person closed the proposal" in world.request.body


def test_a_request_that_is_opened_again_is_kept_up_to_date(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    told = world.job(ref="refs/pull/1/head", number=1, trigger=Trigger.PULL_REQUEST)
    world.forge.settle(NAME, 1, RequestState.CLOSED)
    world.run(told)
    world.forge.settle(NAME, 1, RequestState.OPEN)
    world.run(told)
    first = world.proposed()
    world.tag("node:22", "two")
    world.run()
    assert world.request.number == 1
    assert world.proposed() != first


def test_after_a_merge_nothing_is_left_and_nothing_is_said(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    world.forge.settle(NAME, 1, RequestState.MERGED)
    world.run()
    world.run(world.job(ref="refs/pull/1/head", number=1, trigger=Trigger.PULL_REQUEST))
    assert world.forge.open_requests(NAME) == []
    assert world.forge.projects[NAME].comments == []
    assert world.store.proposals.counts().get("merged") == 1
    world.tag("redis:7")
    world.push({"Dockerfile": b"FROM redis:7\n"}, changed=("Dockerfile",))
    assert world.request.number == 2


def test_a_request_with_nothing_left_to_say_is_closed_with_a_comment(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    world.push({"README": b"no more\n"}, changed=("Dockerfile", "README"))
    project = world.forge.projects[NAME]
    assert world.forge.open_requests(NAME) == []
    assert [number for number, _ in project.comments] == [1]
    assert BRANCH not in project.branches
    world.push(FLOATING, changed=("Dockerfile",))
    assert world.request.number == 2  # our own closing declines nothing


def test_a_branch_that_somebody_squats_on_is_left_alone(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    head = world.forge.push(NAME, {"theirs": b""}, BRANCH)
    with pytest.raises(ForgeError, match="left alone"):
        world.run()
    assert world.forge.projects[NAME].branches[BRANCH] == head
    assert world.forge.open_requests(NAME) == []


def test_a_branch_that_somebody_committed_to_is_left_alone_and_that_is_said_once(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    head = world.forge.push(NAME, {"theirs": b""}, BRANCH)
    for content in ("two", "three"):
        world.tag("node:22", content)
        with pytest.raises(ForgeError, match="left alone"):
            world.run()
    project = world.forge.projects[NAME]
    assert project.branches[BRANCH] == head
    assert [number for number, _ in project.sticky.values()] == [1]
    world.forge.settle(NAME, 1, RequestState.CLOSED)
    del project.branches[BRANCH]


def test_a_branch_that_went_away_is_made_anew(world: World) -> None:
    """Its request stands, as it does on GitLab, and the base moved where nothing of ours is."""
    world.forge.create(NAME, FLOATING)
    world.run()
    del world.forge.projects[NAME].branches[BRANCH]
    world.push({**FLOATING, "compose.yml": b"services: {}\n"}, changed=("compose.yml",))
    assert BRANCH in world.forge.projects[NAME].branches
    assert world.request.number == 1


def test_a_rule_that_forbids_the_branch_is_said(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.forge.projects[NAME].obstacles = ("branches must begin with feature/",)
    with pytest.raises(ForgeError, match="feature/"):
        world.run()
    assert world.forge.asked["write"] == 0


# --- what is told late, twice or not at all ------------------------------------------------


def test_a_late_delivery_closes_nothing(world: World) -> None:
    """What it tells of was true once: nothing is closed, and nothing remembered, by an old head."""
    first = world.forge.create(NAME, FLOATING)
    world.run()
    old = world.forge.push(NAME, {"README": b"none\n"})
    new = world.push(FLOATING, changed=("Dockerfile",))
    world.run(world.job(head=old, before=first, changed=("Dockerfile",)))
    assert world.request.number == 1
    scanned = world.store.repositories.scan("github", NAME, "main")
    assert scanned is not None
    assert scanned.head == new


def test_a_push_that_cannot_matter_hides_none_that_does(world: World) -> None:
    """It comes while the other one is planned, whose base has moved by the time it is published."""
    first = world.forge.create(NAME, {"README": b""})
    world.run()
    head = world.forge.push(NAME, FLOATING)
    plan = world.runs.plan(world.job(head=head, before=first, changed=("Dockerfile",)))
    later = world.forge.push(NAME, {**FLOATING, "main.py": b""})
    assert plan is not None
    with pytest.raises(SupersededError):
        world.runs.publish(plan)
    world.run(world.job(head=later, before=head, changed=("main.py",)))
    assert world.request.number == 1


@pytest.mark.parametrize("what", ["close", "delete"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, TransientError])
def test_our_own_closing_declines_nothing_though_it_is_cut_short(
    world: World, what: str, error: type[BaseException]
) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()

    def cut(done: str) -> None:
        if done == what:
            raise error("The answer got lost.")

    world.forge.fail = cut
    with pytest.raises(error):
        world.push({"README": b""}, changed=("Dockerfile",))
    world.forge.fail = lambda _what: None
    world.run(world.job(ref="refs/pull/1/head", number=1, trigger=Trigger.PULL_REQUEST))
    world.run()
    assert world.forge.open_requests(NAME) == []
    assert not world.store.proposals.declined("github", NAME, "main")
    world.push(FLOATING, changed=("Dockerfile",))
    assert world.request.number == 2


@pytest.mark.parametrize("told", [False, True])
def test_what_a_person_closed_stays_closed_after_we_were_away(world: World, *, told: bool) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    world.store.repositories.gone("github", NAME, world.now)
    world.forge.settle(NAME, 1, RequestState.CLOSED)
    if told:
        world.run(world.job(ref="refs/pull/1/head", number=1, trigger=Trigger.PULL_REQUEST))
    world.tag("node:22", "two")
    world.run(world.job(ref="", trigger=Trigger.INSTALLED))
    assert world.forge.open_requests(NAME) == []


def test_what_a_person_closed_stays_closed_after_its_branch_went_away(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    del world.forge.projects[NAME].branches[BRANCH]
    world.forge.push(NAME, {**FLOATING, "compose.yml": b"services: {}\n"})
    plan = world.runs.plan(world.job())
    assert plan is not None
    with pytest.raises(SupersededError):
        world.runs.publish(plan)
    world.forge.settle(NAME, 1, RequestState.CLOSED)
    world.run()
    assert world.forge.open_requests(NAME) == []


def test_a_request_that_is_opened_again_is_made_new_at_once(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    told = world.job(ref="refs/pull/1/head", number=1, trigger=Trigger.PULL_REQUEST)
    world.forge.settle(NAME, 1, RequestState.CLOSED)
    world.run(told)
    world.push({"Dockerfile": b"FROM node:22 AS later\n"}, changed=("Dockerfile",))
    world.forge.settle(NAME, 1, RequestState.OPEN)
    world.run(told)
    assert b"AS later" in world.proposed()


# --- what costs nothing -------------------------------------------------------------------


def test_a_push_that_touches_nothing_relevant_asks_nothing(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    world.forge.asked.clear()
    world.push({**FLOATING, "main.py": b""}, changed=("main.py",))
    world.push({**FLOATING, "main.py": b"1"}, changed=("main.py",))
    assert not world.forge.asked
    # The chain holds: what comes after it is compared with the last of them.
    world.push({"Dockerfile": b"FROM node:22 AS x\n"}, changed=("Dockerfile",))
    assert b"AS x" in world.proposed()


def test_a_gap_in_what_was_told_makes_us_look(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    world.forge.push(NAME, {"Dockerfile": b"FROM node:22 AS unseen\n"})  # nobody told of this one
    world.push({"Dockerfile": b"FROM node:22 AS unseen\n", "main.py": b""}, changed=("main.py",))
    assert b"AS unseen" in world.proposed()


def test_a_branch_that_nobody_asked_for_costs_nothing(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    head = world.forge.push(NAME, FLOATING, "feature")
    world.forge.asked.clear()
    world.run(world.job(ref="feature", head=head))
    assert not world.forge.asked


def test_a_branch_that_the_configuration_names_gets_its_own_request(world: World) -> None:
    files = {**FLOATING, ".moorline.yml": b"refs: [release/*]\n"}
    world.forge.create(NAME, files)
    world.run()
    head = world.forge.push(NAME, files, "release/1")
    world.run(world.job(ref="release/1", head=head))
    assert sorted(one.base for one in world.forge.open_requests(NAME)) == ["main", "release/1"]


def test_a_sweep_of_what_did_not_change_reads_nothing(world: World) -> None:
    head = world.forge.create(NAME, FLOATING)
    world.run()
    world.forge.asked.clear()
    world.run(world.job(trigger=Trigger.SWEEP, head=head))
    assert not world.forge.asked
    world.tag("node:22", "two")
    world.run(world.job(trigger=Trigger.SWEEP, head=head))
    assert world.forge.asked["write"] == 1


# --- what people propose ------------------------------------------------------------------


def judged(world: World, files: dict[str, bytes], *, fork: bool = False) -> CheckRun:
    """Return the check on a person's request."""
    request = world.forge.propose(NAME, files, fork=fork)
    world.run(
        world.job(ref=f"refs/pull/{request.number}/head", number=request.number, trigger=Trigger.PULL_REQUEST)
    )
    return world.forge.projects[NAME].checks[request.head]


def test_a_change_that_brings_nothing_in_passes(world: World) -> None:
    """What floats at the base already is not held against it."""
    world.forge.create(NAME, FLOATING)
    check = judged(world, {**FLOATING, "main.py": b""})
    assert check.conclusion is Conclusion.SUCCESS
    assert not check.annotations


def test_a_change_that_brings_in_what_floats_is_told(world: World) -> None:
    world.forge.create(NAME, {"README": b""})
    check = judged(world, FLOATING)
    assert check.conclusion is Conclusion.FAILURE
    [one] = check.annotations
    assert (one.path, one.line) == ("Dockerfile", 1)
    assert "Dockerfile:1" in check.summary
    assert not world.store.proposals.counts().get("published")


def test_the_policy_is_the_bases_own(world: World) -> None:
    """A change may not loosen the rules that it is judged by."""
    strict = b"guard: {floating: fail}\n"
    world.forge.create(NAME, {".moorline.yml": strict})
    loose = {**FLOATING, ".moorline.yml": b"guard: {floating: off}\n"}
    assert judged(world, loose).conclusion is Conclusion.FAILURE


def test_a_change_that_breaks_the_configuration_fails_and_says_where(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    check = judged(world, {**FLOATING, ".moorline.yml": b"preset: default\nmode: sleep\n"})
    assert check.conclusion is Conclusion.FAILURE
    assert [(one.path, one.line) for one in check.annotations] == [(".moorline.yml", 2)]


def test_a_changed_file_that_cannot_be_read_never_passes(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    check = judged(world, {**FLOATING, "compose.yml": b"services: [\n"})
    assert check.conclusion is Conclusion.NEUTRAL
    assert "compose.yml" in check.summary


def test_a_fork_gets_a_check_and_nobodys_logins(world: World) -> None:
    world.forge.create(NAME, {"README": b""})
    asked: list[bool] = []
    services = world.services

    def lent(job: Job, *, trusted: bool = True) -> Services:
        asked.append(trusted)
        return services(job, trusted=trusted)

    world.runs = Runs(world.store, {"github": world.forge}, lent)
    assert judged(world, FLOATING, fork=True).annotations
    assert asked == [False]


@pytest.mark.parametrize(
    ("floating", "conclusion"), [("warn", Conclusion.NEUTRAL), ("fail", Conclusion.FAILURE)]
)
def test_a_registry_that_is_down_leaves_it_undecided_and_is_asked_again(
    world: World, floating: str, conclusion: Conclusion
) -> None:
    """That a reference floats needs no registry to tell."""
    world.forge.create(NAME, {".moorline.yml": f"guard: {{floating: {floating}}}\n".encode()})
    reference = parse_image("node:22")
    assert reference is not None
    down = Unresolved(reference=reference, reason=UnresolvedReason.TIMEOUT, detail="it did not answer")
    world.images.resolutions = {"node:22": down}
    with pytest.raises(TransientError):
        judged(world, FLOATING)
    [check] = world.forge.projects[NAME].checks.values()
    assert check.conclusion is conclusion


def test_a_merge_queue_is_answered(world: World) -> None:
    world.forge.create(NAME, {"README": b""})
    head = world.forge.push(NAME, FLOATING, "feature", "main")
    ref = f"gh-readonly-queue/main/pr-3-{head}"
    world.run(world.job(ref=ref, head=head, trigger=Trigger.MERGE_QUEUE))
    assert world.forge.projects[NAME].checks[head].annotations


# --- which repositories -------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda world: setattr(world.forge.projects[NAME], "archived", True),
        lambda world: setattr(world.forge.projects[NAME], "fork", True),
        lambda world: world.forge.projects[NAME].branches.clear(),
        lambda world: world.forge.projects.clear(),
    ],
)
def test_some_repositories_are_left_alone(world: World, change: Callable[[World], None]) -> None:
    world.forge.create(NAME, FLOATING)
    change(world)
    world.run(world.job(ref="", trigger=Trigger.INSTALLED))
    assert world.forge.asked["write"] == 0


def test_only_owners_that_are_served(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        world = World(store, served=Served(owners=AllowedOwners(entries=("other",))))
        world.forge.create(NAME, FLOATING)
        world.run()
        assert not world.forge.asked


def test_a_renamed_repository_keeps_its_request(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    world.forge.rename(NAME, "acme/new")
    world.tag("node:22", "two")
    world.run()
    [request] = world.forge.open_requests("acme/new")
    assert request.number == 1
    assert [one.number for one in world.store.proposals.standing("github", "acme/new")] == [1]


def test_a_name_that_passed_to_another_repository_inherits_nothing(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    world.forge.settle(NAME, 1, RequestState.CLOSED)
    world.run(world.job(ref="refs/pull/1/head", number=1, trigger=Trigger.PULL_REQUEST))
    world.forge.projects["acme/old"] = world.forge.projects.pop(NAME)
    head = world.forge.create(NAME, FLOATING)
    told = world.job(head=head, before="0" * 40, changed=("README",), identity=world.forge.projects[NAME].id)
    assert told.identity != world.forge.projects["acme/old"].id
    world.run(told)
    assert world.request.number == 1


def test_a_number_of_another_repository_of_that_name_is_not_ours(world: World) -> None:
    world.forge.create(NAME, FLOATING)
    world.run()
    world.forge.projects["acme/old"] = world.forge.projects.pop(NAME)
    world.forge.create(NAME, {"README": b""})
    identity = world.forge.projects[NAME].id
    request = world.forge.propose(NAME, FLOATING)
    assert request.number == 1
    told = world.job(ref="refs/pull/1/head", number=1, trigger=Trigger.PULL_REQUEST, identity=identity)
    world.run(told)
    assert world.forge.projects[NAME].checks[request.head].conclusion is Conclusion.FAILURE
    world.forge.settle(NAME, 1, RequestState.CLOSED)
    world.run(told)
    assert world.store.proposals.counts().get("closed") is None


def test_the_first_proposals_of_an_owner_are_paced(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/moorline.db") as store:
        world = World(store, server=parse("policy.yml", b"limits: {first-per-day: 2}", policy=True))
        names = [f"acme/app{number}" for number in range(4)]
        for name in names:
            world.forge.create(name, FLOATING)

        def sweep() -> int:
            for name in names:
                with suppress(TransientError):
                    world.run(world.job(repository=name, trigger=Trigger.SWEEP))
            return sum(bool(world.forge.open_requests(name)) for name in names)

        assert sweep() == 2
        assert sweep() == 2
        world.now += timedelta(days=1)
        assert sweep() == 4


# --- crashes ------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["write", "open", "check"])
@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("tells_late", [False, True])
def test_an_answer_that_got_lost_makes_no_second_request(
    world: World, what: str, *, later: bool, tells_late: bool
) -> None:
    """Killed right after the forge did it; with `later`, the base moved before the next start."""
    world.forge.create(NAME, FLOATING)
    world.forge.tells_late = tells_late

    def killed(done: str) -> None:
        if done == what:
            raise KeyboardInterrupt

    world.forge.fail = killed
    with pytest.raises(KeyboardInterrupt):
        world.run()
    world.forge.fail = lambda _what: None
    if later:
        world.forge.push(NAME, {"Dockerfile": b"FROM node:22 AS later\n"})
    world.run()
    assert len(world.forge.projects[NAME].requests) == 1
    assert (b"AS later" in world.proposed()) is later
    [stored] = world.store.proposals.standing("github", NAME)
    assert stored.number == 1


def test_whatever_happens_there_is_one_open_request_at_most(world: World) -> None:
    """Every order of what people, tags and crashes may do."""
    world.forge.create(NAME, FLOATING)
    contents = itertools.count()
    for acts in itertools.permutations(("tag", "push", "close", "merge", "kill", "reopen"), 4):
        for act in acts:
            requests = world.forge.open_requests(NAME)
            match act:
                case "tag":
                    world.tag("node:22", str(next(contents)))
                case "push":
                    world.forge.push(NAME, {"Dockerfile": f"FROM node:22 AS n{next(contents)}\n".encode()})
                case "close" if requests:
                    world.forge.settle(NAME, requests[0].number, RequestState.CLOSED)
                case "merge" if requests:
                    world.forge.settle(NAME, requests[0].number, RequestState.MERGED)
                case "kill":
                    world.forge.fail = _once()
            with suppress(KeyboardInterrupt, MoorlineError):
                world.run()
            world.forge.fail = lambda _what: None
            assert len(world.forge.open_requests(NAME)) <= 1


def _once() -> Callable[[str], None]:
    def killed(_what: str) -> None:
        raise KeyboardInterrupt

    return killed
