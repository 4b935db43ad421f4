"""What goes wrong: processes that are killed, answers that get lost, limits, servers that go and come back.

Afterwards there is exactly one proposal for every head, and nothing is lost.  Each test prints its numbers;
`pytest -rP` shows them.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from scenario_places import Can, Content, GitHubPlace, GitLabPlace
from scenarios import Repo, Scene, rig, scene
from service_nursery import STAGES, Nursery, nursery
from waiting import until

from bot.store.base import Ending

QUICK = {"poll": 0.05, "beat": 0.2, "lease": 1.5, "reconcile": 0.3, "backoff": 0.05, "concurrency": 16}
MANY = "limits: {first-per-day: 1000, per-day: 1000}\n"
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def at(*names: str) -> pytest.MarkDecorator:
    """Run a test at these places, those of one place in one process."""
    marked = [pytest.param(name, marks=pytest.mark.xdist_group(f"faults-{name}")) for name in names]
    return pytest.mark.parametrize("place", marked)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with nursery(tmp_path_factory.mktemp("processes")) as made:
        yield made


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


# --- processes that are killed ------------------------------------------------------------


@at("git", "github", "github-enterprise", "gitlab")
def test_a_worker_that_is_killed_in_any_stage(tmp_path: Path, processes: Nursery, place: str) -> None:
    """One worker is killed in all of its stages at once, and another one starts.

    Of each stage there are two: one repository as it was, and one that was pushed to meanwhile.
    """
    with rig(place, tmp_path / place, works=False, policy=MANY) as made, scene(made) as here:
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
        summary(place, f"killed in {len(stages)} stages, {before} proposals there", repositories)


def summary(place: str, what: str, repositories: Mapping[str, Repo]) -> None:
    """Print the numbers of a test."""
    runs = Counter(run.ending.value for one in repositories.values() for run in one.runs())
    made = sum(len(one.every()) for one in repositories.values())
    print(f"{place}: {what}; afterwards {len(repositories)} heads, {made} proposals, runs {dict(runs)}")  # noqa: T201


@at("github", "gitlab")
def test_a_web_process_that_is_killed_between_storing_and_answering(
    tmp_path: Path, processes: Nursery, place: str
) -> None:
    """What it stored is worked on, whether or not the forge tells it again."""
    with rig(place, tmp_path / place, works=False, policy=MANY) as made, scene(made) as here:
        repositories = {
            name: here.repository({"Dockerfile": dockerfile(here.image())}, name)
            for name in ("told", "again")
        }
        for repository in repositories.values():
            here.place.push(repository.name, {"README": b"x\n"}, "main")
        deliveries: list[tuple[str, Mapping[str, str], bytes]] = []
        here.place.tell(lambda *said: deliveries.append(said) or 202)  # type: ignore[func-returns-value]
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
        summary(place, "killed twice before it answered", repositories)


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


@at("github", "github-enterprise", "gitlab")
@pytest.mark.parametrize("how", ["502 after it", "502 before it", "cut after it"])
def test_answers_that_get_lost(tmp_path: Path, place: str, how: str) -> None:
    """Each write of a proposal's life fails once, for a repository of its own."""
    with rig(place, tmp_path / place, policy=MANY) as made, scene(made) as here:
        tool = here.image()
        phases: list[dict[str, Content]] = [
            {"README": b"x\n"},
            {"Dockerfile": dockerfile(tool, b"USER 1\n")},
            {"Dockerfile": dockerfile(here.pin(tool))},
        ]
        files: dict[str, Content] = {"Dockerfile": dockerfile(tool), ".moorline.yml": DRESSED}
        plain = here.repository(files, "plain")
        writes = [written(here, plain, lambda phase=phase: plain.push(phase)) for phase in phases]
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
        summary(place, f"{how}: {len(cases)} writes failed once", struck)


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
