"""Conversations as golden transcripts: one script, the same answers and effects on every forge.

A transcript is a text: lines at the margin are what people do, indented ones what came of it.  They run
through the whole service against stand-ins that are held to the forges' contracts.  `make golden` rewrites
them; what changes with every run (commits, digests, times) is numbered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from gitlab_standin import Level
from goldens import GOLDEN, REWRITE
from scenario_places import Can, GitHubPlace, GitLabPlace
from scenarios import Repo, Rig, Scene, database, rig, scene

TRANSCRIPTS = sorted((GOLDEN / "conversations").glob("*.txt"))
ROLES = {"rae": "read", "wes": "write", "mia": "maintain", "ada": "admin"}
LEVELS = {
    "read": Level.REPORTER,
    "write": Level.DEVELOPER,
    "maintain": Level.MAINTAINER,
    "admin": Level.OWNER,
}
CALLED = {
    "read": "Guest or Reporter",
    "write": "Developer",
    "maintain": "Maintainer",
    "admin": "Owner",
}
"""What GitLab calls the roles that transcripts name as GitHub does."""
REACTIONS = {
    "eyes": "seen",
    "+1": "done",
    "white_check_mark": "done",
    "confused": "confused",
    "-1": "refused",
    "thumbsdown": "refused",
}
STATES = {"failed": "failure"}
ON_ENTERPRISE = frozenset({"closing", "requests", "roles"})
"""Those that meet what Enterprise Server has of its own: accounts, closed requests, checks."""
_SAYS = re.compile(r"([a-z]+) #([0-9]+): (.*)")
_ACT = re.compile(r"(push|commit|request|merge|close|move) ?(.*)")


@pytest.fixture(scope="module", params=["github", "github-enterprise", "gitlab"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    backend = "postgres" if request.param == "gitlab" else "sqlite"
    folder = tmp_path_factory.mktemp(request.param)
    with database(backend) as url, rig(request.param, folder, database=url, policy=POLICY) as made:
        yield made


POLICY = "guard:\n  floating: fail\n"
"""The server's own: what floats must not come in, so that there is something to override."""


@pytest.fixture
def here(running: Rig) -> Iterator[Scene]:
    with scene(running) as made:
        yield made


@dataclass
class Talk:
    """One repository in which people of every role talk to the bot."""

    scene: Scene
    repo: Repo
    seen: dict[str, str] = field(default_factory=dict)
    """What changes with every run, and what stands for it."""
    told: list[str] = field(default_factory=list)
    entries: int = 0

    @classmethod
    def begun(cls, scene: Scene) -> Talk:
        repo = scene.repository({"README": b"x\n"})
        match scene.place:
            case GitHubPlace() as place:
                place.hub[repo.name].roles.update(ROLES)
            case GitLabPlace() as place:
                for who, role in ROLES.items():
                    person = place.people.setdefault(who, place.people.get(who) or place.lab.user(who))
                    place.lab.join(place.project(repo.name), person, LEVELS[role])
        made = cls(scene, repo)
        made.entries = scene.store.audit.head()[0]
        return made

    @property
    def login(self) -> str:
        place = self.scene.place
        return place.hub.bot.removesuffix("[bot]") if isinstance(place, GitHubPlace) else "moorline"

    # --- what people do -------------------------------------------------------------------

    def act(self, line: str) -> list[str]:
        """Do what a line of a script says, and return what came of it."""
        said = _SAYS.fullmatch(line)
        found = _ACT.fullmatch(line)
        made: list[str] = []
        if said is not None:
            made = self.say(said[1], int(said[2]), said[3])
        else:
            assert found is not None, line
            self._do(found[1], found[2])
        return [f"  {self.plain(one)}".rstrip() for one in (*made, *self._changes())]

    def _do(self, what: str, rest: str) -> None:
        path, _, text = rest.partition(" = ")
        if what == "push":
            self.repo.push({path: self.filled(text).encode()})
        elif what == "commit":
            self.repo.push({path: self.filled(text).encode()}, self.repo.proposal.branch)
        elif what == "request":
            self.repo.push({path: self.filled(text).encode()}, "feature", start="main")
            self.scene.place.request(self.repo.name, "feature")
            self.scene.rig.tell()
        elif what == "move":
            self.scene.move(self.scene.image(rest))
        else:
            number = int(rest.removeprefix("#"))
            [one] = [one for one in self.repo.every() if one.number == number]
            self.repo.settle(one, {"merge": "merged", "close": "closed"}[what])

    def filled(self, text: str) -> str:
        text = re.sub(r"\{([a-z]+)\}", lambda found: self.scene.image(found[1]), text)
        later = datetime.now(UTC).date() + timedelta(days=30)
        return text.replace("DATE", later.isoformat()).replace("\\n", "\n")

    def say(self, who: str, number: int, text: str) -> list[str]:
        text = self.filled(text).replace("@moorline", f"@{self.login}")
        place, name = self.scene.place, self.repo.name
        match place:
            case GitHubPlace():
                comment = place.hub.comment(name, number, text, by=who)
                self.scene.rig.tell()
                later = [one.body for one in place.hub.comments(name, number) if one.id > comment.id]
                named = f"@{who}\n\n"
                answers = [one.removeprefix(named) for one in later if one.startswith(named)]
                reactions = [kind for _, kind in comment.reactions]
            case GitLabPlace():
                request = place.project(name).merge_requests[number]
                note = place.lab.comment(request, text, place.people[who])
                self.scene.rig.tell()
                thread = [one for one in request.notes if one.discussion == note.discussion]
                answers = [one.body for one in thread if one is not note]
                reactions = [kind for _, kind in note.emoji]
            case _:
                raise AssertionError(place)
        made = [f"* {', '.join(REACTIONS[one] for one in reactions)}"] if reactions else []
        for answer in answers:
            made += [f"> {row}".rstrip() for row in answer.strip().split("\n")]
        return made

    # --- what came of it ------------------------------------------------------------------

    def _changes(self) -> Iterator[str]:
        now = list(self._standing())
        yield from (f"= {one}" for one in now if one not in self.told)
        yield from (f"- {one}" for one in self.told if one not in now)
        self.told = now
        for entry in self.scene.store.audit.entries(self.entries, 1000):
            self.entries = entry.number
            if entry.what.startswith("command.") or entry.what == "proposal.declined":
                yield f"+ {entry.who} {entry.what} {entry.evidence.get('effect', '')}".rstrip()

    def _standing(self) -> Iterator[str]:
        for one in self.repo.every():
            yield f"#{one.number} {one.state} {one.branch}"
            if one.state == "open":
                for path in ("Dockerfile", ".moorline.yml"):
                    there = self.scene.place.read(self.repo.name, path, one.branch)
                    if there is not None and there != self.scene.place.read(self.repo.name, path, "main"):
                        rows = there.decode().rstrip("\n").split("\n")
                        yield from (f"#{one.number} {path}: {row}" for row in rows)
        head = self.repo.heads().get("feature")
        if head is not None:
            states = [one.state for one in self.repo.checks(head)]
            yield f"check on feature: {STATES.get(states[-1], states[-1]) if states else 'none'}"

    def plain(self, text: str) -> str:
        """Return a text in which nothing changes from run to run."""
        text = text.replace(self.login, "moorline").replace(self.scene.owner, "acme")
        if isinstance(self.scene.place, GitLabPlace):
            for before, behind in (("`", "`"), ("| ", " |")):
                for word, name in CALLED.items():
                    assert f"{before}{word}{behind}" not in text
                    text = text.replace(f"{before}{name}{behind}", f"{before}{word}{behind}")
        text = re.sub(r"\b(?:github|gitlab)(?=:[a-z])", "forge", text)
        text = re.sub(r"(?<= )!(?=[0-9]+ )", "#", text)  # as GitLab writes a request
        text = re.sub(r"[a-z0-9.:-]+/acme/([a-z]+:)", r"registry.example/acme/\1", text)
        text = re.sub(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2} UTC", "TIME", text)
        text = re.sub(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "DATE", text)
        text = re.sub(
            r"sha256:([0-9a-f]{12})[0-9a-f]{0,52}", lambda found: self._named("digest", found[1]), text
        )
        return re.sub(
            r"\b([0-9a-f]{12})(?:[0-9a-f]{28})?\b", lambda found: self._named("commit", found[1]), text
        )

    def _named(self, kind: str, value: str) -> str:
        if value not in self.seen:
            self.seen[value] = f"<{kind} {sum(one.startswith(f'<{kind}') for one in self.seen.values()) + 1}>"
        return self.seen[value]


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_a_transcript_holds_on_every_forge(here: Scene, path: Path) -> None:
    if here.place.enterprise and path.stem not in ON_ENTERPRISE:
        pytest.skip("the same as on github.com, and slow")
    expected = path.read_text().split("\n")
    talk = Talk.begun(here)
    made: list[str] = []
    for line in expected:
        if line.startswith(("  ", "   ")) or not line.strip():
            continue
        if line.startswith("#"):
            made += ["", line] if made else [line]
            continue
        made += ["", line, *talk.act(line)]
    text = "\n".join(made) + "\n"
    if REWRITE:
        path.write_text(text)
    assert text == path.read_text()


def test_there_are_transcripts() -> None:
    assert len(TRANSCRIPTS) >= 6


def test_an_ordinary_conversation_costs_nothing(here: Scene) -> None:
    """Of what people say to each other the bot hears, and asks the forge for none of it."""
    talk = Talk.begun(here)
    talk.act("push Dockerfile = FROM {tool}\\n")
    runs = len(here.store.backlog.runs(5000))

    def converse() -> None:
        for number in range(50):
            who = list(ROLES)[number % len(ROLES)]
            assert talk.say(who, 1, f"As in commit {number}: what does @ada say of {talk.login}?") == []

    assert talk.repo.cost(converse) == []
    assert len(here.store.backlog.runs(5000)) == runs
    assert talk.say("rae", 1, "Well.\n\n@moorline status")[0] == "* seen, done"


def test_a_thousand_events_of_our_own_start_nothing(here: Scene) -> None:
    """What the bot says, pushes and closes is told to it as everything is; none of it becomes a run."""
    if here.place.enterprise:
        pytest.skip("the same as on github.com, and slow")
    talk = Talk.begun(here)
    talk.act("push Dockerfile = FROM {tool}\\n")
    name, place = talk.repo.name, here.place
    before = len(here.store.backlog.runs(5000))
    text = f"@{talk.login} snooze 3d"
    match place:
        case GitHubPlace():
            for _ in range(1000):
                place.hub.comment(name, 1, text, by=place.hub.bot)
        case GitLabPlace():
            request = place.project(name).merge_requests[1]
            for _ in range(1000):
                place.lab.comment(request, text, place.bot)
    said = place.tell(here.rig.receive)
    assert len(said) >= 1000
    assert set(said) <= {200, 202, 204}
    assert here.store.inbox.waiting() == 0
    here.rig.tell()
    assert len(here.store.backlog.runs(5000)) == before
    assert here.store.conversations.pause(place.forge, name, datetime.now(UTC)) is None


def test_a_broken_glass_is_broken_in_the_merge_queue(here: Scene) -> None:
    here.needs(Can.QUEUE)
    place, talk = here.place, Talk.begun(here)
    assert isinstance(place, GitHubPlace)
    talk.act("push README = y\\n")
    talk.act("request Dockerfile = FROM {tool}\\n")
    states = []
    for word in ("status", "override because the registry burns"):
        talk.act(f"ada #1: @moorline {word}")
        place.forget()
        sha = place.hub.merge_group(talk.repo.name, 1, by="ada")
        here.rig.tell()
        [check] = talk.repo.checks(sha)
        states.append(check.state)
        talk.act(f"push README = {word}\\n")  # the queue starts anew
    assert states == ["failure", "success"]
