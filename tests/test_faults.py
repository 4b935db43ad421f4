"""What goes wrong: processes that are killed, answers that get lost, limits, servers that go and come back.

Afterwards there is exactly one proposal for every head, and nothing is lost.  Its numbers stand at the end
of a run of the tests, those of each test where it runs without `-q`.
"""

from __future__ import annotations

import re
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pytest
from postgres_cluster import cluster
from scenario_places import Can, Content, GitHubPlace, GitLabPlace
from scenarios import PACE, TOKEN, Repo, Rig, Scene, database, rig, scene
from service_nursery import STAGES, Nursery, nursery
from waiting import until

from bot.forges.pacing import Pacing, Window
from bot.store.base import Ending

QUICK = {"poll": 0.05, "beat": 0.2, "lease": 1.5, "reconcile": 0.3, "backoff": 0.05, "concurrency": 16}
MANY = "limits: {first-per-day: 1000, per-day: 1000}\n"
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def at(*names: str) -> pytest.MarkDecorator:
    """Run a test at these places, on SQLite unless they say `PLACE on postgres`."""
    return pytest.mark.parametrize("place", names)


@contextmanager
def served(place: str, folder: Path, **wanted: Any) -> Iterator[tuple[Rig, Scene]]:
    """Run the service in front of a place, and yield it with a scene."""
    name, _, backend = place.partition(" on ")
    with (
        database(backend or "sqlite") as url,
        rig(name, folder / name, **{"database": url, **wanted}) as made,
        scene(made) as here,
    ):
        yield made, here


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with nursery(tmp_path_factory.mktemp("processes")) as made:
        yield made
        assert not TOKEN.search(made.log())


def dockerfile(image: str | bytes, more: bytes = b"") -> bytes:
    return b"FROM " + (image.encode() if isinstance(image, str) else image) + b"\n" + more


def assert_one_each(here: Scene, repositories: Mapping[str, Repo], contents: Mapping[str, bytes]) -> None:
    """Every repository has one proposal, of its newest head, and nobody wanted a second one."""
    for name, repository in repositories.items():
        assert len(repository.every()) == 1, (name, repository.details())
        assert repository.proposed() == contents[name], name
        assert repository.heads()[repository.proposal.branch] == repository.proposal.head
        [stored] = here.store.proposals.standing(here.place.forge, repository.identity)
        assert stored.number == repository.proposal.number
        assert stored.commits[0] == repository.proposal.head
        assert repository.last() in (Ending.PUBLISHED, Ending.NOTHING), repository.details()


class Tell(Protocol):
    def __call__(self, place: str, what: str, repositories: Mapping[str, Repo], killed: int = 0) -> None:
        """Write down what was done to a place's repositories."""


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Return what writes down the numbers of a test, which stand at the end of a run of the tests."""

    def told(place: str, what: str, repositories: Mapping[str, Repo], killed: int = 0) -> None:
        runs = Counter(run.ending.value for one in repositories.values() for run in one.runs())
        made = sum(len(one.every()) for one in repositories.values())
        heads = len(repositories)
        text = f"{place}: {what}; afterwards {heads} heads, {made} proposals, runs {dict(runs)}"
        record_property("faults", {"text": text, "heads": heads, "proposals": made, "killed runs": killed})

    return told


# --- processes that are killed ------------------------------------------------------------


@at("git", "github", "github-enterprise on postgres", "gitlab", "gitlab on postgres")
def test_a_worker_that_is_killed_in_any_stage(
    tmp_path: Path, processes: Nursery, place: str, tell: Tell
) -> None:
    """One worker is killed in all of its stages at once, and another one starts.

    Of each stage there are two: one repository as it was, and one that was pushed to meanwhile.
    """
    with served(place, tmp_path, works=False, policy=MANY) as (made, here):
        hosted = Can.REQUESTS in here.place.can
        stages = [one for one in STAGES if hosted or one != "after-labels"]
        names = [f"{stage}-{when}" for stage in stages for when in ("still", "moved")]
        tool = here.image()
        repositories = {name: here.repository({"Dockerfile": dockerfile(tool)}, name) for name in names}
        here.push_all(repositories.values(), {"README": b"x\n"})
        victim = processes.make("worker", made.variables, pace=QUICK, holds=stages)
        until(lambda: len(victim.said()) == 1 + len(names), seconds=40)
        victim.end()
        before = sum(len(one.every()) for one in repositories.values())
        moved = [one for name, one in repositories.items() if name.endswith("moved")]
        here.push_all(moved, {"Dockerfile": dockerfile(tool, b"USER 1\n")})
        survivor = processes.make("worker", made.variables, pace=QUICK)
        for _ in range(2):
            until(made.is_drained, seconds=40)
            made.receive_all()
        survivor.end()
        pinned = here.pin(tool)
        assert_one_each(
            here,
            repositories,
            {name: dockerfile(pinned, b"USER 1\n" if name.endswith("moved") else b"") for name in names},
        )
        tell(place, f"killed in {len(stages)} stages, {before} proposals there", repositories, len(names))


@at("github", "github-enterprise on postgres", "gitlab")
def test_a_web_process_that_is_killed_between_storing_and_answering(
    tmp_path: Path, processes: Nursery, place: str, tell: Tell
) -> None:
    """What it stored is worked on, whether or not the forge tells it again."""
    with served(place, tmp_path, works=False, policy=MANY) as (made, here):
        repositories = {
            name: here.repository({"Dockerfile": dockerfile(here.image())}, name)
            for name in ("told", "again")
        }
        for repository in repositories.values():
            here.place.push(repository.name, {"README": b"x\n"}, "main")
        deliveries: list[tuple[str, Mapping[str, str], bytes]] = []

        def keep(path: str, headers: Mapping[str, str], body: bytes) -> int:
            deliveries.append((path, headers, body))
            return 202

        here.place.tell(keep)
        answers = []
        for delivery in deliveries:
            web = processes.make("web", made.variables, holds=["after-stored"])
            with ThreadPoolExecutor(1) as pool:
                answer = pool.submit(sent, web.said()[0], *delivery)
                until(lambda: "after-stored" in web.said())  # noqa: B023 - waited for here
                web.end()
                answers.append(answer.result())
        assert answers == [0, 0]
        web = processes.make("web", made.variables)
        assert sent(web.said()[0], *deliveries[1]) == 200
        worker = processes.make("worker", made.variables, pace=QUICK)
        until(made.is_drained, seconds=30)
        assert sent(web.said()[0], *deliveries[1]) == 200
        until(made.is_drained, seconds=30)
        worker.end()
        pinned = dockerfile(here.pin(here.image()))
        assert_one_each(here, repositories, dict.fromkeys(repositories, pinned))
        assert [len(one.runs()) for one in repositories.values()] == [1, 1]
        here.place.forget()
        tell(place, "killed twice before it answered", repositories, 2)


def sent(url: str, path: str, headers: Mapping[str, str], body: bytes) -> int:
    """Return what a web process answers, 0 where it does not."""
    request = urllib.request.Request(f"{url}{path}", data=body, headers=dict(headers))
    try:
        with _OPENER.open(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


# --- answers that get lost ----------------------------------------------------------------

DRESSED = b"proposal: {labels: [pins], reviewers: [ann], assignees: [bob]}\n"


@at("github", "github-enterprise on postgres", "gitlab")
@pytest.mark.parametrize("how", ["502 after it", "502 before it", "cut after it"])
def test_answers_that_get_lost(tmp_path: Path, place: str, how: str, tell: Tell) -> None:
    """Each write of a proposal's life fails once, for a repository of its own."""
    with served(place, tmp_path, policy=MANY) as (made, here):
        tool = here.image()
        phases: list[dict[str, Content]] = [
            {"README": b"x\n"},
            {"Dockerfile": dockerfile(tool, b"USER 1\n")},
            {"Dockerfile": dockerfile(here.pin(tool))},
        ]
        files: dict[str, Content] = {"Dockerfile": dockerfile(tool), ".moorline.yml": DRESSED}
        plain = here.repository(files, "plain")
        writes = [written(here, plain, partial(plain.push, phase)) for phase in phases]
        cases = [(number, write) for number, some in enumerate(writes) for write in some]
        struck = {
            f"{number}-{index}": here.repository(files, f"struck-{number}-{index}")
            for index, (number, _) in enumerate(cases)
        }
        for number, phase in enumerate(phases):
            for one, (when, write) in zip(struck.values(), cases, strict=True):
                if when == number:
                    strike(here, one, write, how)
            here.push_all(struck.values(), phase)
            made.tell()
            if number < 2:
                text = b"USER 1\n" if number else b""
                contents = dict.fromkeys(struck, dockerfile(here.pin(tool), text))
                assert_one_each(here, struck, contents)
                for name, one in struck.items():
                    looks = (one.proposal.labels, one.proposal.reviewers, one.proposal.assignees)
                    assert looks == (("pins",), ("ann",), ("bob",)), (name, one.details())
        for name, one in struck.items():
            assert one.open() == [], (name, one.details())
            assert set(one.heads()) == {"main"}, (name, one.details())
            assert len(one.comments(one.every()[0])) == 1, (name, one.details())
        assert unstruck(here) == []
        tell(place, f"{how}: {len(cases)} writes failed once", struck)


def written(here: Scene, repository: Repo, act: Callable[[], object]) -> list[str]:
    """Return the writes to a repository that an act leads to, each once: method and path below it."""
    before = len(here.place.asked())
    act()
    found: dict[str, None] = {}
    for one in here.place.asked()[before:]:
        method, _, template = one.partition(" ")
        rest = template.partition("{repo}" if here.place.forge == "github" else "{id}")[2]
        if method != "GET" and rest:
            found[f"{method} {rest}"] = None
    assert found, repository.details()
    return list(found)


def strike(here: Scene, repository: Repo, write: str, how: str) -> None:
    """Let the next such write to a repository fail."""
    method, _, rest = write.partition(" ")
    tail = re.sub(r"\{[a-z_]+\}", "*", rest)
    done = how.endswith("after it")
    if isinstance(here.place, GitHubPlace):
        hub, path = here.place.hub, f"/repos/{repository.name}{tail}"
        _ = hub.cut(method, path, done=done) if how.startswith("cut") else hub.fail(method, path, done=done)
        return
    assert isinstance(here.place, GitLabPlace)
    lab, path = here.place.lab, f"/api/v4/projects/{here.place.project(repository.name).id}{tail}"
    _ = (
        lab.cut(method, path, done=done)
        if how.startswith("cut")
        else lab.bad_gateway(method, path, done=done)
    )


def unstruck(here: Scene) -> list[str]:
    """Return the faults that nothing met."""
    if isinstance(here.place, GitHubPlace):
        return [f"{one.method} {one.path}" for one in here.place.hub.faults if not one.struck]
    assert isinstance(here.place, GitLabPlace)
    return [f"{one.method} {one.path}" for one in here.place.lab.application.faults if one.times]


# --- limits -------------------------------------------------------------------------------


@at("github", "github-enterprise on postgres", "gitlab")
def test_limits_in_the_middle_of_a_proposal(tmp_path: Path, place: str, tell: Tell) -> None:
    """Every write meets a limit once; all who have its credential stay away, and no worker waits."""
    pace = replace(PACE, concurrency=2)
    with served(place, tmp_path, policy=MANY, pace=pace) as (made, here):
        tool = here.image()
        files: dict[str, Content] = {"Dockerfile": dockerfile(tool), ".moorline.yml": DRESSED}
        plain = here.repository(files, "plain")
        writes = written(here, plain, lambda: plain.push({"README": b"x\n"}))
        assert len(writes) > pace.concurrency
        # A limit holds whoever has the same credential: on GitHub an installation, on GitLab all of us.
        apart = isinstance(here.place, GitHubPlace)
        owners = [f"{here.owner}-{index}" if apart else "" for index in range(len(writes))]
        limited = {
            f"{index}": here.repository(files, f"limited-{index}", owner=owner)
            for index, owner in enumerate(owners)
        }
        for one, write in zip(limited.values(), writes, strict=True):
            limit(here, one, write, 1)
        here.push_all(limited.values(), {"README": b"x\n"})
        until(lambda: all(one.runs() for one in limited.values()), seconds=30)
        waits = here.store.backlog.waits(100)
        # Those that met theirs first may be at it again; all others wait, and take up no worker.
        other = here.repository(files, "other")
        here.push_all([other], {"README": b"x\n"})
        until(other.runs)
        assert not apart or other.proposal.labels == ("pins",)
        until(made.is_drained, seconds=60)
        assert other.proposal.labels == ("pins",)
        made.tell()
        for name, one in limited.items():
            assert one.runs()[0].ending is Ending.POSTPONED, (name, one.details())
            looks = (one.proposal.labels, one.proposal.reviewers, one.proposal.assignees)
            assert looks == (("pins",), ("ann",), ("bob",)), (writes[int(name)], one.details())
        pinned = dockerfile(here.pin(tool))
        assert_one_each(here, limited, dict.fromkeys(limited, pinned))
        tell(place, f"limited in {len(writes)} writes, {len(waits)} waited at once", limited)


def limit(here: Scene, repository: Repo, write: str, seconds: int) -> None:
    """Let the next such write to a repository be above a limit."""
    method, _, rest = write.partition(" ")
    tail = re.sub(r"\{[a-z_]+\}", "*", rest)
    if isinstance(here.place, GitHubPlace):
        here.place.hub.secondary_limit(method, f"/repos/{repository.name}{tail}", retry_after=seconds)
        return
    assert isinstance(here.place, GitLabPlace)
    path = f"/api/v4/projects/{here.place.project(repository.name).id}{tail}"
    here.place.lab.rate_limit(method, path, retry_after=seconds)


@at("github", "github-enterprise on postgres")
def test_an_hour_that_is_used_up_in_the_middle_of_a_proposal(tmp_path: Path, place: str, tell: Tell) -> None:
    with served(place, tmp_path) as (made, here):
        assert isinstance(here.place, GitHubPlace)
        app = here.repository({"Dockerfile": dockerfile(here.image())})
        fault = here.place.hub.slow("POST", f"/repos/{app.name}/pulls")
        here.push_all([app], {"README": b"x\n"})
        assert fault.arrived.wait(20)
        here.place.hub.exhaust(2)
        fault.release()
        until(made.is_drained, seconds=20)
        assert_one_each(here, {"app": app}, {"app": dockerfile(here.pin(here.image()))})
        assert Ending.POSTPONED in {one.ending for one in app.runs()}
        tell(place, "the hour was used up before the request was opened", {"app": app})


@at("github", "gitlab on postgres")
def test_more_proposals_at_once_than_a_forge_wants(tmp_path: Path, place: str, tell: Tell) -> None:
    """What is beyond the pace that we keep is put off, begun once, and never refused by the forge."""
    with served(place, tmp_path, policy=MANY) as (made, here):
        forge: Any = made.service.forges[here.place.forge]
        now = [1_000_000.0]  # goes on only where the test says so, however slow the machine is
        if isinstance(here.place, GitHubPlace):
            forge._manners.pacing = Pacing(lambda: now[0], (Window(3, 1.0),))
        else:
            forge._api._pacing = Pacing(lambda: now[0], (Window(3, 1.0),))
        repositories = {
            f"app{number}": here.repository({"Dockerfile": dockerfile(here.image())}, f"app{number}")
            for number in range(4)
        }
        here.push_all(repositories.values(), {"README": b"x\n"})

        def runs() -> list[Ending | None]:
            return [run.ending for one in repositories.values() for run in one.runs()]

        def drained() -> bool:
            now[0] += 0.5
            return made.is_drained()

        until(lambda: Ending.POSTPONED in runs())
        until(drained, seconds=40)
        pinned = dockerfile(here.pin(here.image()))
        assert_one_each(here, repositories, dict.fromkeys(repositories, pinned))
        endings = Counter(runs())
        assert endings[Ending.PARKED] == endings[Ending.FAILED] == 0
        tell(place, "no more than a few writes a second", repositories)


# --- servers that go and come back --------------------------------------------------------


@at("git", "github", "github-enterprise on postgres", "gitlab")
def test_a_registry_that_is_gone_and_comes_back(tmp_path: Path, place: str, tell: Tell) -> None:
    pace = replace(PACE, backoff=0.3)
    with served(place, tmp_path, pace=pace) as (made, here):
        repositories = {
            f"app{number}": here.repository({"Dockerfile": dockerfile(here.image())}, f"app{number}")
            for number in range(4)
        }
        made.images.down.add("*")
        here.push_all(repositories.values(), {"README": b"x\n"})
        until(lambda: all(one.runs() for one in repositories.values()))
        assert all(one.every() == [] for one in repositories.values())
        made.images.down.clear()
        until(made.is_drained)
        pinned = dockerfile(here.pin(here.image()))
        assert_one_each(here, repositories, dict.fromkeys(repositories, pinned))
        tell(place, "the registry was gone", repositories)


@at("github", "github-enterprise", "gitlab")
def test_a_database_that_is_gone_and_comes_back(tmp_path: Path, place: str, tell: Tell) -> None:
    """It goes in the middle of a run, and while it is away the forge tells of another push."""
    with (
        cluster() as postgres,
        served(place, tmp_path, database=postgres.url) as (made, here),
    ):
        names = ("before", "during", "away", "after")
        tool = here.image()
        repositories = {name: here.repository({"Dockerfile": dockerfile(tool)}, name) for name in names}
        before, during, away, after = repositories.values()
        before.push({"README": b"x\n"})
        # Between writing and remembering that it was written.
        gate, reached = held(here, during)
        here.push_all([during], {"README": b"x\n"})
        assert reached.wait(20)
        postgres.stop()
        here.place.push(away.name, {"README": b"x\n"}, "main")
        missed: list[tuple[str, Mapping[str, str], bytes]] = []

        def told(path: str, headers: Mapping[str, str], body: bytes) -> int:
            status = made.receive(path, headers, body)
            if status == 503:
                missed.append((path, headers, body))
            return status

        here.place.tell(told)
        assert missed
        gate.set()
        until(during.every, seconds=20)
        postgres.start()
        for one in missed:
            assert made.receive(*one) == 202
        here.push_all([after], {"README": b"x\n"})
        until(made.is_drained, seconds=40)
        made.tell()
        assert_one_each(here, repositories, dict.fromkeys(names, dockerfile(here.pin(tool))))
        tell(place, "the database was gone", repositories)


def held(here: Scene, repository: Repo) -> tuple[threading.Event, threading.Event]:
    """Hold the request that opens a proposal; return what lets it go on, and what tells that it is there."""
    if isinstance(here.place, GitHubPlace):
        fault = here.place.hub.slow("POST", f"/repos/{repository.name}/pulls")
        return fault.released, fault.arrived
    assert isinstance(here.place, GitLabPlace)
    path = f"/api/v4/projects/{here.place.project(repository.name).id}/merge_requests"
    slow = here.place.lab.slow("POST", path)
    assert slow.gate is not None
    return slow.gate, slow.reached


@at("github", "github-enterprise", "gitlab")
def test_two_workers_on_postgres_one_of_which_is_killed_for_good(
    tmp_path: Path, processes: Nursery, place: str, tell: Tell
) -> None:
    with (
        cluster() as postgres,
        served(place, tmp_path, database=postgres.url, works=False, policy=MANY) as (made, here),
    ):
        tool = here.image()
        held_up = {stage: here.repository({"Dockerfile": dockerfile(tool)}, stage) for stage in STAGES}
        others = {
            f"other{number}": here.repository({"Dockerfile": dockerfile(tool)}, f"other{number}")
            for number in range(8)
        }
        here.push_all(held_up.values(), {"README": b"x\n"})
        victim = processes.make("worker", made.variables, pace={**QUICK, "concurrency": 6}, holds=STAGES)
        until(lambda: len(victim.said()) == 7, seconds=40)
        survivor = processes.make("worker", made.variables, pace={**QUICK, "concurrency": 4})
        here.push_all(others.values(), {"README": b"x\n"})
        until(lambda: all(one.runs() for one in others.values()), seconds=40)  # nobody waits for the dead
        victim.end()
        until(made.is_drained, seconds=40)
        survivor.end()
        here.place.forget()
        every = {**held_up, **others}
        assert_one_each(here, every, dict.fromkeys(every, dockerfile(here.pin(tool))))
        tell(place, "one of two workers was killed with six runs in hand", every, 6)
