"""Reviews and the required check through the whole service, on both forges: said once, and there for every head."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import pytest
from scenario_places import Can, Content, GitHubPlace, GitLabPlace
from scenarios import Repo, Rig, Scene, database, rig, scene


@pytest.fixture(scope="module", params=["github", "gitlab"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    backend = "postgres" if request.param == "gitlab" else "sqlite"
    folder = tmp_path_factory.mktemp(request.param)
    with database(backend) as url, rig(request.param, folder, database=url) as made:
        yield made


@pytest.fixture
def here(running: Rig) -> Iterator[Scene]:
    with scene(running) as made:
        yield made


@dataclass(frozen=True, slots=True)
class Thread:
    """A remark as its request shows it."""

    path: str
    line: int
    """Where it stands by now; 0 where its line was changed."""
    body: str
    settled: bool


def threads(app: Repo, number: int) -> list[Thread]:
    """Return what we said on the lines of a request, oldest first."""
    place = app.place
    if isinstance(place, GitHubPlace):
        said = place.hub[app.name].review_comments.values()
        return [
            Thread(one.path, one.line or 0, one.body, one.resolved) for one in said if one.number == number
        ]
    assert isinstance(place, GitLabPlace)
    there = place.project(app.name).merge_requests[number]
    return [
        Thread(
            one.position["new_path"],
            one.position["new_line"] if one.position["head_sha"] == there.sha else 0,
            one.body,
            one.resolved,
        )
        for one in there.notes
        if one.position is not None
    ]


def opened(
    here: Scene, head: Mapping[str, Content], base: Mapping[str, Content] | None = None
) -> tuple[Repo, int]:
    """Return a repository and the request of a person in it, once it was answered."""
    app = here.repository({"README": b"x\n", **(base or {})})
    app.push(head, "topic")
    number = here.place.request(app.name, "topic")
    here.rig.tell()
    return app, number


def suggestion(thread: Thread) -> bytes:
    """Return the lines that a click puts in place of the one that a remark stands on."""
    fenced = thread.body.split("```")[1]
    return fenced.partition("\n")[2].encode()


def test_a_review_lives_as_long_as_there_is_something_to_say(here: Scene) -> None:
    tool, other = here.image(), here.image("other")
    dockerfile = f"# one\nFROM {tool} AS a\n".encode()
    app, number = opened(here, {"Dockerfile": dockerfile})
    [first] = threads(app, number)
    assert (first.path, first.line, first.settled) == ("Dockerfile", 2, False)
    assert suggestion(first) == f"FROM {here.pin(tool).decode()} AS a\n".encode()
    # Pushes that change nothing about it, one of which moves the line, and a tag that moved.
    app.push({"README": b"y\n"}, "topic")
    app.push({"Dockerfile": b"# none\n" + dockerfile}, "topic")
    pinned = suggestion(first)
    here.move(tool)
    app.push({"README": b"z\n"}, "topic")
    assert threads(app, number) == [replace(first, line=3)]
    # Another file: one more remark.
    app.push({"api/Dockerfile": f"FROM {other}\n".encode()}, "topic")
    assert [(one.path, one.settled) for one in threads(app, number)] == [
        ("Dockerfile", False),
        ("api/Dockerfile", False),
    ]
    # The author clicks: that one is settled, the other stands.
    app.push({"Dockerfile": b"# none\n# one\n" + pinned}, "topic")
    assert [(one.path, one.settled) for one in threads(app, number)] == [
        ("Dockerfile", True),
        ("api/Dockerfile", False),
    ]
    head = app.push({"api/Dockerfile": None}, "topic")
    assert [one.settled for one in threads(app, number)] == [True, True]
    assert [one.state for one in app.checks(head)] == ["success"]
    assert app.every() == []


@pytest.mark.parametrize("seed", [1, 2])
def test_equal_lines_are_not_taken_for_one_another(here: Scene, seed: int) -> None:
    """Whatever the author does to them: what is open stands on just the lines that float."""
    tool = here.image()
    floating, pinned = f"FROM {tool}".encode(), b"FROM " + here.pin(tool)
    chosen = random.Random(seed)
    lines = [floating, b"RUN a", floating, floating]
    app, number = opened(here, {"Dockerfile": b"\n".join([*lines, b""])})
    for step in range(8):
        for _ in range(chosen.randrange(1, 4)):
            _edited(chosen, lines, floating, pinned)
        before = threads(app, number)
        app.push({"Dockerfile": b"\n".join([*lines, b""])}, "topic")
        now = threads(app, number)
        wanted = [place for place, line in enumerate(lines, 1) if line == floating]
        assert sorted(one.line for one in now if not one.settled) == wanted, (step, lines, before)
        # None that still stands on such a line was settled.
        settled = [
            one
            for one, was in zip(now, before, strict=False)
            if one.settled and not was.settled and one.line in wanted
        ]
        assert settled == [], (step, lines)


def _edited(chosen: random.Random, lines: list[bytes], floating: bytes, pinned: bytes) -> None:
    """Do to lines what authors do: add one of whatever kind, pin one, take one away, move one."""
    place = chosen.randrange(len(lines) + 1)
    there = [at for at, line in enumerate(lines) if line == floating]
    match chosen.choice(["add", "more", "fix", "fix", "delete", "move"]):
        case "add":
            lines.insert(place, chosen.choice([b"RUN a", b"RUN b", b""]))
        case "more":
            lines.insert(place, floating)
        case "fix" if there:
            lines[chosen.choice(there)] = pinned
        case "delete" if len(lines) > 2:
            del lines[min(place, len(lines) - 1)]
        case "move":
            lines.insert(place, lines.pop(chosen.randrange(len(lines))))
        case _:
            lines.append(b"RUN c")


def test_what_was_there_before_is_one_line(here: Scene) -> None:
    tool, other = here.image(), here.image("other")
    before = f"FROM {tool}\n".encode()
    app, number = opened(here, {"new/Dockerfile": f"FROM {other}\n".encode()}, {"Dockerfile": before})
    [thread] = threads(app, number)
    assert thread.path == "new/Dockerfile"
    place = app.place
    body = thread.body
    if isinstance(place, GitHubPlace):
        [review] = place.hub[app.name].reviews.values()
        body = review.body
    assert "1 reference that floated before: not held against this change" in body
    assert re.search(r"`@[A-Za-z0-9_.-]+ help` in a comment shows what you may say", body) is not None
    if isinstance(place, GitHubPlace):
        [check] = place.hub.checks(app.name, app.heads()["topic"])
        assert " ignore IMAGE because REASON` leaves an image as it is." in str(check.output["summary"])


def test_a_clean_change_is_met_with_silence(here: Scene) -> None:
    tool = here.image()
    app, number = opened(here, {"Dockerfile": b"FROM " + here.pin(tool) + b"\n", "docs/x.md": b"x\n"})
    assert threads(app, number) == []
    assert [one.state for one in app.checks(app.heads()["topic"])] == ["success"]


def test_what_cannot_matter_costs_next_to_nothing(here: Scene) -> None:
    tool = here.image()
    app = here.repository({"Dockerfile": b"FROM " + here.pin(tool) + b"\n", "README": b"x\n"})
    app.push({"README": b"y\n"})
    here.place.push(app.name, {"README": b"z\n"}, "topic")
    here.place.forget()

    def ask() -> None:
        here.place.request(app.name, "topic")
        here.rig.tell()

    asked = [one for one in app.cost(ask) if "access_tokens" not in one and "installation" not in one]
    assert len(asked) <= (2 if here.place.forge == "github" else 4), asked
    assert [one.state for one in app.checks(app.heads()["topic"])] == ["success"]


def test_a_fork_is_reviewed_and_left_alone(here: Scene) -> None:
    here.needs(Can.FORKS)
    place = here.place
    assert isinstance(place, GitHubPlace)
    app = here.repository({"README": b"x\n"})
    source, head = place.fork(app.name, {"Dockerfile": f"FROM {here.image()}\n".encode()}, "topic")
    place.forget()
    number = place.request(app.name, "topic", fork=True)
    before = place.hub.branches(source)
    here.rig.tell()
    assert [one.line for one in threads(app, number)] == [1]
    assert len(app.checks(head)) == 1
    assert place.hub.branches(source) == before
    assert list(app.heads()) == ["main"]


def test_what_a_fork_proposes_is_judged_again_when_somebody_asks(here: Scene) -> None:
    """GitHub does not say which request that is: it is known by its head."""
    here.needs(Can.FORKS)
    place = here.place
    assert isinstance(place, GitHubPlace)
    app = here.repository({"README": b"x\n"})
    _, head = place.fork(app.name, {"Dockerfile": f"FROM {here.image()}\n".encode()}, "topic")
    number = place.request(app.name, "topic", fork=True)
    here.rig.tell()
    [run] = place.hub.checks(app.name, head)
    place.hub.rerequest(app.name, run.id, by="ann")
    here.rig.tell()
    first, again = place.hub.checks(app.name, head)
    assert (again.conclusion, again.output["title"]) == (first.conclusion, first.output["title"])
    assert [one.settled for one in threads(app, number)] == [False]

    place.hub.press(app.name, again.id, "pin", by="ann")
    here.rig.tell()
    assert [one.settled for one in threads(app, number)] == [True, False]
    place.hub.press(app.name, place.hub.checks(app.name, head)[-1].id, "explain", by="ann")
    here.rig.tell()
    assert "digest-honesty" in str(place.hub.checks(app.name, head)[-1].output["summary"])

    # Of a head that nobody proposes any more nothing is said.
    place.hub.close_pull(app.name, number, by="ann")
    here.rig.tell()
    told = len(place.hub.checks(app.name, head))
    place.hub.rerequest(app.name, again.id, by="ann")
    here.rig.tell()
    assert len(place.hub.checks(app.name, head)) == told


def test_buttons_say_it_again_and_explain(here: Scene) -> None:
    place = here.place
    if not isinstance(place, GitHubPlace):
        pytest.skip("checks have no buttons")
    app, number = opened(here, {"Dockerfile": f"FROM {here.image()}\n".encode()})
    [run] = place.hub.checks(app.name, app.heads()["topic"])
    place.hub.press(app.name, run.id, "pin", by="ann")
    here.rig.tell()
    assert [one.settled for one in threads(app, number)] == [True, False]
    run = place.hub.checks(app.name, app.heads()["topic"])[-1]
    place.hub.press(app.name, run.id, "explain", by="ann")
    here.rig.tell()
    shown = [str(one.output["summary"]) for one in place.hub.checks(app.name, app.heads()["topic"])]
    assert any("digest-honesty" in one for one in shown)
    assert len(threads(app, number)) == 2


def test_a_line_that_the_forge_will_not_have_leaves_the_others(here: Scene) -> None:
    """What finders see as a line of its own, and a diff shows nowhere near: a change of rules elsewhere."""
    tool, other = here.image(), here.image("other")
    filler = b"".join(b"# %d\n" % number for number in range(40))
    built = f"services:\n  a:\n    build: .\n    image: {tool}\n".encode()
    used = b"FROM " + tool.encode() + b"\n" + filler
    # Once nothing builds it here any more, what stood there all along comes in.
    app, number = opened(
        here,
        {"compose.yml": None, "Dockerfile": used + f"FROM {other}\n".encode()},
        {"compose.yml": built, "Dockerfile": used},
    )
    assert [(one.path, one.line) for one in threads(app, number)] == [("Dockerfile", 42)]
    [check] = app.checks(app.heads()["topic"])
    assert check.state != "success"


@dataclass(slots=True)
class People:
    """Whoever does things to requests, in an order that is the same each time."""

    here: Scene
    app: Repo
    numbers: dict[str, int]
    closed: set[str]
    chosen: random.Random

    def act(self, step: int) -> None:
        """Do one thing to one request, or to the branch that all of them are for."""
        place, name = self.here.place, self.app.name
        branch = self.chosen.choice(sorted(self.numbers))
        act = self.chosen.choice(["push", "push", "forced", "rebased", "close", "base", "broken", "down"])
        if branch in self.closed:
            place.settle(name, self.numbers[branch], "open")
            self.closed.remove(branch)
        elif act == "close":
            place.settle(name, self.numbers[branch], "closed")
            self.closed.add(branch)
        elif act == "base":
            place.push(name, {"README": b"%d\n" % step}, "main")
        else:
            force = act in ("forced", "rebased")
            place.push(
                name, self.files(act, branch, step), branch, start="main" if force else "", force=force
            )

    def files(self, act: str, branch: str, step: int) -> dict[str, Content]:
        """Return what a push holds."""
        match act:
            case "forced":
                return {f"{branch}.txt": b"%d\n" % step}
            case "rebased":
                return {f"{branch}/Dockerfile": b"FROM scratch\n# %d\n" % step}
            case "broken":
                return {"compose.yml": b"services: [\n# %d\n" % step}
            case "down":  # its registry has no such image
                return {f"{branch}/Dockerfile": b"FROM registry.example.net/nowhere/x:%d\n" % step}
            case _:
                image = self.here.image(f"tool{self.chosen.randrange(3)}")
                return {f"{branch}/Dockerfile": f"FROM {image}\n# {step}\n".encode()}


@pytest.mark.parametrize("seed", [1, 2])
def test_every_head_has_its_check(here: Scene, seed: int) -> None:
    """Whatever people do, in whatever order, and whether images exist: nobody waits for a word."""
    app = here.repository({"README": b"x\n"})
    app.push({"README": b"y\n"})
    branches = ["one", "two", "three"]
    for branch in branches:
        here.place.push(app.name, {f"{branch}.txt": b"x\n"}, branch)
    numbers = {branch: here.place.request(app.name, branch) for branch in branches}
    here.rig.tell()
    people = People(here=here, app=app, numbers=numbers, closed=set(), chosen=random.Random(seed))
    for step in range(20):
        people.act(step)
        here.rig.tell()
        heads = app.heads()
        for branch in branches:
            if branch not in people.closed:
                states = {one.state for one in app.checks(heads[branch])}
                assert states, (step, branch, app.details())
                assert states <= {"success", "neutral", "failure", "failed"}
    if seed == 1:
        # Nor does anything that we said start anything.
        before = len(app.runs())
        here.rig.tell()
        assert len(app.runs()) == before
