"""What goes wrong: processes that are killed, answers that get lost, limits, servers that go and come back.

Afterwards there is exactly one proposal for every head, and nothing is lost.  Each test prints its numbers;
`pytest -rP` shows them.
"""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from scenario_places import Can, Content, GitHubPlace, GitLabPlace
from scenarios import PACE, Repo, Rig, Scene, rig, scene
from service_nursery import STAGES, Nursery, nursery
from waiting import until

from bot.store.base import Ending

QUICK = {"poll": 0.05, "beat": 0.2, "lease": 1.5, "reconcile": 0.3, "backoff": 0.05, "concurrency": 16}
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def at(*names: str) -> pytest.MarkDecorator:
    """Run a test at these places, those of one place in one process."""
    marked = [pytest.param(name, marks=pytest.mark.xdist_group(f"faults-{name}")) for name in names]
    return pytest.mark.parametrize("place", marked)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Nursery]:
    with nursery(tmp_path) as made:
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


def told(here: Rig) -> None:
    """Deliver what there is to tell; nobody works here."""
    assert all(200 <= status < 300 for status in here.place.tell(here.receive))


def drained(here: Rig) -> bool:
    """Return whether nothing waits and nothing runs, whoever works."""
    return not here.store.backlog.waits(500)


# --- processes that are killed ------------------------------------------------------------


@at("git", "github", "github-enterprise", "gitlab")
@pytest.mark.parametrize("later", [False, True], ids=["as it was", "moved meanwhile"])
def test_a_worker_that_is_killed_in_any_stage(
    tmp_path: Path, processes: Nursery, place: str, *, later: bool
) -> None:
    """One worker is killed in all of its stages at once, and another one starts."""
    with rig(place, tmp_path / place, works=False) as made, scene(made) as here:
        hosted = Can.REQUESTS in here.place.can
        stages = [one for one in STAGES if hosted or one != "after-labels"]
        tool = here.image()
        repositories = {
            stage: here.repository({"Dockerfile": dockerfile(tool)}, f"killed-{stage}") for stage in stages
        }
        for repository in repositories.values():
            here.place.push(repository.name, {"README": b"x\n"}, "main")
        told(made)
        victim = processes.make("worker", made.variables, pace=QUICK, holds=stages)
        until(lambda: len(victim.said()) == 1 + len(stages), seconds=30)
        victim.end()
        before = sum(len(one.every()) for one in repositories.values())
        text = b"USER 1\n" if later else b""
        if later:
            for repository in repositories.values():
                here.place.push(repository.name, {"Dockerfile": dockerfile(tool, text)}, "main")
            told(made)
        survivor = processes.make("worker", made.variables, pace=QUICK)
        until(lambda: drained(made), seconds=40)
        told(made)
        until(lambda: drained(made), seconds=20)
        survivor.end()
        assert_one_each(here, repositories, dict.fromkeys(stages, dockerfile(here.pin(tool), text)))
        runs = Counter(run.ending.value for one in repositories.values() for run in one.runs())
        print(  # noqa: T201 - the numbers
            f"{place}: killed in {len(stages)} stages with {before} proposals there; "
            f"afterwards {len(stages)} heads, {sum(len(one.every()) for one in repositories.values())} proposals, "
            f"runs {dict(runs)}"
        )
