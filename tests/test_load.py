"""A burst of deliveries, told twice and out of order: nothing is lost, and the newest heads are proposed.

How fast that goes is measured by `make bench`; here it only has to be right.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import burst
import load
import pytest
from github_access import key_pair
from scenario_places import GitHubPlace
from scenarios import REGISTRY, rig
from serving import site
from waiting import until

from bot.store.base import Ending

REPOSITORIES, PUSHES = 20, 5


def test_two_hundred_deliveries_from_eight_clients(tmp_path: Path) -> None:
    with rig("github", tmp_path) as made:
        assert isinstance(made.place, GitHubPlace)
        hub, store = made.place.hub, made.store
        hub.validates = False  # each request is held to its contract elsewhere; these are many
        names = [f"{REGISTRY}/team/image{number}:1" for number in range(7)]
        pins = {name: made.images.move(name) for name in names}
        repositories = burst.founded(hub, pins, REPOSITORIES)
        answers: list[burst.Answer] = []
        distinct: set[str] = set()
        for wave in range(burst.WAVES):
            told = burst.pushed(hub, pins, repositories, PUSHES, wave)
            distinct |= {one.headers["X-GitHub-Delivery"] for one in told}
            said, _ = burst.send(told, lambda one: made.receive("/webhooks/github", one.headers, one.body))
            answers += said
        assert len(answers) > len(distinct) == REPOSITORIES * PUSHES * burst.WAVES
        assert Counter(one.status for one in answers) == {
            202: len(distinct),
            200: len(answers) - len(distinct),
        }
        until(made.is_idle, seconds=60)

        known = {one.repository.name for one in store.repositories.all("github")}
        assert len(known) == REPOSITORIES
        scans = store.repositories.scans("github")
        scanned = {name: head for (name, ref), (head, _) in scans.items() if ref == "main"}
        assert burst.wrong(burst.standing(hub, pins), scanned) == []
        endings = Counter(run.ending for run in store.backlog.runs(1000))
        assert not set(endings) - {Ending.PUBLISHED, Ending.NOTHING, Ending.SUPERSEDED}, endings
        # Coalesced: pushes of one burst that wait together are one run.
        assert REPOSITORIES <= endings.total() < len(distinct)


def test_what_takes_much_memory_is_never_part_of_the_service(tmp_path: Path) -> None:
    """Signatures are verified, and databases upgraded, in processes of their own."""
    settings = {
        "PYTHONPROFILEIMPORTTIME": "1",
        "MOORLINE_GITHUB_URL": "http://127.0.0.1:9",
        "MOORLINE_GITHUB_APP_ID": "1",
        "MOORLINE_GITHUB_PRIVATE_KEY": key_pair()[0],
        "MOORLINE_GITHUB_WEBHOOK_SECRET": "a secret for tests only",
        "MOORLINE_GITLAB_URL": "http://127.0.0.1:9",
        "MOORLINE_GITLAB_TOKEN": "glpat-for-tests-only",
        "MOORLINE_GITLAB_WEBHOOK_SECRET": "another secret for tests only",
    }
    (tmp_path / "git").mkdir()
    with site(tmp_path, settings) as made:
        process = made.start()
        until(lambda: "worker started" in made.said())
        made.stop(process)
        loaded = set(re.findall(r"^import time:[ 0-9|]*\| +([a-z_0-9]+)", made.said(), re.MULTILINE))
    assert {"bot", "dbos", "sqlalchemy", "github", "gitlab"} <= loaded
    assert not loaded & {"alembic", "mako", "sigstore"}


@pytest.mark.parametrize(
    ("backend", "slow", "resident", "wrong"),
    [
        ("sqlite", 1, 150.0, []),
        ("sqlite", 5, 150.0, ["the 99th percentile of the answers is over 250 ms"]),
        ("postgres", 5, 150.0, []),
        ("postgres", 0, 201.0, ["more than 200 MiB of memory"]),
    ],
)
def test_a_bound_that_is_missed_is_a_fault_of_the_bench(
    backend: str, slow: int, resident: float, wrong: list[str]
) -> None:
    """One of two hundred may be slow."""
    took = [0.02] * (200 - slow) + [0.6] * slow
    answers = [burst.Answer(status=202, seconds=seconds) for seconds in took]
    assert load.missed(backend, answers, resident) == wrong
