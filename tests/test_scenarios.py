"""The same scenarios on `git`, GitHub, GitHub Enterprise Server and GitLab, through the whole service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scenario_places import EXECUTABLE, Can
from scenarios import PLACES, Rig, Scene, rig, scene

from bot.store.base import Ending

BRANCH = "moorline/pin/main"


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.xdist_group(f"scenarios-{name}")) for name in PLACES],
)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One service for all scenarios of a place."""
    with rig(request.param, tmp_path_factory.mktemp(request.param)) as made:
        yield made


@pytest.fixture
def here(running: Rig) -> Iterator[Scene]:
    with scene(running) as made:
        yield made


def dockerfile(*images: str | bytes) -> bytes:
    """Return a Dockerfile with a stage for each image."""
    names = [one.encode() if isinstance(one, str) else one for one in images]
    return b"".join(b"FROM %s AS s%d\n" % (name, number) for number, name in enumerate(names))


# --- one proposal, kept up to date --------------------------------------------------------


def test_a_push_becomes_one_proposal(here: Scene) -> None:
    tool = here.image()
    app = here.repository({"README": b"x\n"})
    crlf = b"# caf\xc3\xa9\r\nFROM " + tool.encode() + b"\r\nRUN true"
    app.push({"Dockerfile": (EXECUTABLE, crlf), "docs/Dockerfile.txt": b"FROM x\n"})
    made = app.proposal
    assert (made.branch, made.base, made.state) == (BRANCH, "main", "open")
    assert app.proposed() == crlf.replace(tool.encode(), here.pin(tool))
    assert here.place.mode(app.name, "Dockerfile", made.branch) == EXECUTABLE
    assert here.place.read(app.name, "README", made.branch) == b"x\n"
    assert "Pin 1 image to its digest" in made.title
    assert "Moorline-Digest: " in here.place.message(app.name, made.head)
    assert [one.ending for one in app.runs()] == [Ending.PUBLISHED]  # what we do ourselves starts nothing
    if Can.REQUESTS in here.place.can:
        assert "This is Moorline, and its first proposal here" in made.body


def test_a_second_push_updates_it_in_place(here: Scene) -> None:
    tool, other = here.image(), here.image("other")
    app = here.repository({"Dockerfile": dockerfile(tool)})
    app.push({"README": b"x\n"})
    first = app.proposal
    base = app.push({"web/Dockerfile": dockerfile(other)})
    assert app.proposal.number == first.number
    assert app.proposal.branch == first.branch
    assert app.proposed("web/Dockerfile") == dockerfile(here.pin(other))
    assert app.proposed() == dockerfile(here.pin(tool))
    assert len(app.every()) == 1
    assert base == app.heads()["main"]
