"""Scenarios against the real service: receiver, SQLite, worker and engine, in front of one forge.

A test speaks as a person does: it makes a repository, pushes, closes, comments.  After each act the forge
delivers what it has to tell and the service works until nothing is left to do, so that what a test sees
then is what people would see.  At the end of each scenario nothing may have broken a forge's contract, and
no secret may stand in a log line, a proposal, a comment or the database.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import databases
import pytest
import structlog
from commands import World
from flask import Flask
from github_standin import github
from gitlab_standin import gitlab
from scenario_places import (
    Can,
    Checked,
    Content,
    EnterprisePlace,
    GitHubPlace,
    GitLabPlace,
    GitPlace,
    Place,
    Proposed,
)
from servers import REQUIRED
from waiting import until

from bot import logs
from bot.demo.hosts import Environ, Hosts, Images, Repositories, StartResponse
from bot.jobs.base import Pace
from bot.jobs.worker import Worker
from bot.service import Service
from bot.service_settings import Settings
from bot.settings import Lookups
from bot.store.base import Ending, ProposalState, Run
from bot.store.sql import Store
from webhooks import create_app
from webhooks.site import Site

PLACES = ("git", "github", "github-enterprise", "gitlab")
PACE = Pace(poll=0.02, beat=0.2, lease=1.0, reconcile=0.5, backoff=0.02)
REGISTRY = "registry.example.net"
TOKEN = re.compile(r"(?:gh[oprsu]_|github_pat_|glpat-|whsec_)[\w.-]{8,}|eyJ[\w-]{8,}\.[\w-]{8,}")
"""What begins like a token, whatever stands before it: a database puts texts side by side."""


PASSWORD = "a password of the registry"
TRUSTED = "acme-trusted"
"""The only owner for whom the registry's login may be used."""
_LOGIN = base64.b64encode(f"puller:{PASSWORD}".encode()).decode()


@dataclass(slots=True)
class Registry(Images):
    """Images under one registry's name, which can be down for a repository or altogether.

    What stands below `private` is for whoever has a login.
    """

    logins: list[str] = field(default_factory=list)
    """Repositories that were asked for with a login."""
    down: set[str] = field(default_factory=set)
    """Repositories that are answered 503; `*` for all."""
    contents: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def answer(self, environ: Environ, start: StartResponse) -> list[bytes]:
        name = environ["PATH_INFO"].removeprefix("/v2/").partition("/manifests/")[0]
        if self.down & {name, "*"}:
            start("503 Service Unavailable", [("Content-Length", "0")])
            return []
        if "HTTP_AUTHORIZATION" in environ:
            self.logins.append(name)
        if "/private/" in name and environ.get("HTTP_AUTHORIZATION") != f"Basic {_LOGIN}":
            start(
                "401 Unauthorized", [("WWW-Authenticate", 'Basic realm="registry"'), ("Content-Length", "0")]
            )
            return []
        return Images.answer(self, environ, start)

    def move(self, name: str) -> str:
        """Let a tag point to an image that was never there before; return its digest."""
        repository, _, tag = name.rpartition(":")
        return self.add(repository, tag, ("linux/amd64", f"linux/content{next(self.contents)}"))


class Said(logging.Handler):
    """Keeps every line that anything logs, as it is before secrets are taken out."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.msg!r} {record.args!r}")
        if record.exc_info is not None:
            self.lines.append(logging.Formatter().formatException(record.exc_info))


@dataclass(slots=True, kw_only=True)
class Rig:
    """The service in front of one place."""

    name: str
    place: Place
    service: Service
    worker: Worker
    app: Flask
    images: Registry
    said: Said
    redacted: io.StringIO
    database: Path
    """The file, where it is SQLite's."""
    variables: Mapping[str, str]
    """What a process of the service is told."""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def store(self) -> Store:
        return self.service.store

    def receive(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Give the receiver a delivery and return its status."""
        return self.app.test_client().post(path, data=body, headers=dict(headers)).status_code

    def is_idle(self) -> bool:
        """Return whether nothing is left to do within the next seconds."""
        soon = datetime.now(UTC) + timedelta(seconds=5)
        waits = self.store.backlog.waits(500)
        return not self.worker.active and not any(one.running or one.due < soon for one in waits)

    def tell(self, *, in_turn: bool = False) -> None:
        """Deliver what there is to tell, and let the service work until nothing is left to do.

        With `in_turn` a delivery waits until the one before it was worked off.
        """

        def one_by_one(path: str, headers: Mapping[str, str], body: bytes) -> int:
            status = self.receive(path, headers, body)
            until(self.is_idle, seconds=30)
            return status

        for _ in range(10):
            said = self.place.tell(one_by_one if in_turn else self.receive)
            assert all(200 <= status < 300 for status in said), said
            until(self.is_idle, seconds=30)
            if not said:
                return
        raise AssertionError("the service and the forge go on telling each other")

    def receive_all(self) -> None:
        """Deliver what there is to tell, whoever works on it."""
        said = self.place.tell(self.receive)
        assert all(200 <= status < 300 for status in said), said

    def is_drained(self) -> bool:
        """Return whether nothing waits and nothing runs, whoever works."""
        return not self.store.backlog.waits(500)

    def stored(self) -> str:
        """Return all that stands in the database as one text, what SQLite has deleted and not overwritten, too."""
        url = self.variables["MOORLINE_DATABASE_URL"]
        if not url.startswith("sqlite:"):
            return "\n".join(
                bytes(value).decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)
                for _, _, value in databases.contents(url)
            )
        files = sorted(self.database.parent.glob(f"{self.database.name}*"))
        return b"".join(file.read_bytes() for file in files).decode("latin-1")

    def leaks(self) -> list[str]:
        """Return where a secret stands that must stand nowhere."""
        hidden = [*self.place.secrets(), PASSWORD, _LOGIN]
        secrets = [one for one in dict.fromkeys(hidden) if len(one) >= 8]
        places = {
            "a log line": "\n".join(self.said.lines) + self.redacted.getvalue(),
            "the database": self.stored(),
            "what people read": "\n".join(self.place.texts()),
        }
        found = []
        for where, text in places.items():
            found += [f"{where}: {one[:6]}..." for one in secrets if one in text]
            found += [f"{where}: {match[0][:10]}..." for match in TOKEN.finditer(text)]
        return found


@contextmanager
def _standin(name: str, folder: Path) -> Iterator[Place]:
    match name:
        case "git":
            yield GitPlace(root=folder)
        case "github":
            with github() as hub:
                hub.world.hook_secret = "a secret of the App's hook"
                yield GitHubPlace(hub)
        case "github-enterprise":
            with github(enterprise=True) as hub:
                hub.world.hook_secret = "a secret of the App's hook"
                yield EnterprisePlace(hub)
        case _:
            with gitlab() as lab:
                yield GitLabPlace(lab)


def _written(value: object) -> str:
    """Return a setting as its variable holds it."""
    return value if isinstance(value, str) else json.dumps(value)


def _variables(place: Place, hosts: Hosts, database: str, home: Path) -> dict[str, str]:
    """Return the variables by which an operator would configure the service for a place."""
    world = World(images=Images(), repositories=Repositories(), url=hosts.url)
    (home / ".docker").mkdir(parents=True)
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {hosts.url: {"auth": _LOGIN}}}))
    said = {
        "HOME": str(home),
        "MOORLINE_DATABASE_URL": database,
        **{f"MOORLINE_{name.upper()}": _written(value) for name, value in place.settings().items()},
        **world.settings(),
        # Scenarios do in seconds what people do in days.
        "MOORLINE_GITHUB_WRITES_PER_MINUTE": "0",
        "MOORLINE_GITHUB_WRITES_PER_HOUR": "0",
        "MOORLINE_GITLAB_WRITES_PER_MINUTE": "0",
        **place.variables(),
    }
    lookups = Lookups.from_environ(said)
    owners = [f"{host}/{TRUSTED}" for host in (lookups.github_host, lookups.gitlab_host)]
    return {**said, "MOORLINE_CREDENTIAL_OWNERS": json.dumps({"*": owners})}


@contextmanager
def database(backend: str) -> Iterator[str]:
    """Yield the URL of an empty database; empty for a SQLite file, also where there is no Postgres."""
    if backend == "postgres" and (databases.BINARIES is not None or REQUIRED):
        with databases.another() as made:
            yield made
    else:
        yield ""


@contextmanager
def rig(
    name: str, folder: Path, *, database: str = "", pace: Pace = PACE, works: bool = True, policy: str = ""
) -> Iterator[Rig]:
    """Run the service in front of a place, on a SQLite file unless said otherwise.

    `policy` is the server's own configuration.  Without `works` nobody works here: processes of their own do.
    """
    images, said, redacted, stop = Registry(), Said(), io.StringIO(), threading.Event()
    with ExitStack() as stack:
        place = stack.enter_context(_standin(name, folder / "git"))
        hosts = stack.enter_context(Hosts(images, Repositories()))
        file = folder / "moorline.db"
        variables = _variables(place, hosts, database or f"sqlite:///{file}", folder / "home")
        if policy:
            (folder / "policy.yml").write_text(policy)
            variables["MOORLINE_POLICY"] = str(folder / "policy.yml")
        settings = Settings.from_environ(variables)
        stack.enter_context(_listening(settings, said, redacted))
        service = stack.enter_context(Service(settings, Lookups.from_environ(variables)))
        worker = Worker(service.store, service._work, pace, gave_up=service._gave_up)
        app = create_app(
            inbox=service.store.inbox,
            proposals=service.store.proposals,
            backlog=service.store.backlog,
            audit=service.store.audit,
            site=Site.of(settings),
            accounts=service.store.accounts.of,
            stored=worker.wake,
        )
        thread = threading.Thread(target=worker.run, args=(stop,), kwargs={"drain": 5.0}, daemon=True)
        if works:
            thread.start()
        try:
            yield Rig(
                name=name,
                place=place,
                service=service,
                worker=worker,
                app=app,
                images=images,
                said=said,
                redacted=redacted,
                database=file,
                variables=variables,
            )
        finally:
            stop.set()
            if works:
                thread.join(60)
                assert not thread.is_alive(), "the worker does not stop"


@contextmanager
def _listening(settings: Settings, said: Said, redacted: io.StringIO) -> Iterator[None]:
    """Log as the service does, and beside it as nobody should; leave logging as it was."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    logs.configure(logs.LogFormat.JSON, secrets=settings.secrets(), stream=redacted)
    root.addHandler(said)
    try:
        yield
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        structlog.reset_defaults()


# --- one scenario -------------------------------------------------------------------------


@dataclass(slots=True)
class Scene:
    """One scenario: an owner of its own, whose repositories nobody else touches."""

    rig: Rig
    owner: str

    def needs(self, *wanted: Can) -> None:
        """Skip the scenario where the place cannot do what it needs."""
        missing = [one.value for one in wanted if one not in self.rig.place.can]
        if missing:
            pytest.skip(f"{self.rig.place.forge}: no {', no '.join(missing)}")

    def image(self, name: str = "tool", tag: str = "1", *, where: str = "") -> str:
        """Return the name of an image of this scenario alone, made where it is not there yet."""
        made = f"{REGISTRY}/{where or self.owner}/{name}:{tag}"
        if (made.rpartition(":")[0], tag) not in self.rig.images.tags:
            self.rig.images.move(made)
        return made

    def move(self, image: str) -> str:
        """Let an image's tag point elsewhere; return the digest."""
        return self.rig.images.move(image)

    def pin(self, image: str) -> bytes:
        """Return an image with the digest that it has now."""
        repository, _, tag = image.rpartition(":")
        return f"{image}@{self.rig.images.tags[repository, tag]}".encode()

    def repository(
        self,
        files: Mapping[str, Content] | None,
        name: str = "app",
        *,
        owner: str = "",
        default: str = "main",
    ) -> Repo:
        """Make a repository that nobody was told of yet."""
        full = f"{owner or self.owner}/{name}"
        self.rig.place.create(full, files, default)
        return Repo(self, full, default)

    def push_all(self, repositories: Iterable[Repo], files: Mapping[str, Content]) -> None:
        """Push the same to several repositories and have it told; whoever works has yet to answer."""
        for one in repositories:
            self.rig.place.push(one.name, files, one.default)
        self.rig.receive_all()

    @property
    def place(self) -> Place:
        return self.rig.place

    @property
    def store(self) -> Store:
        return self.rig.store


@dataclass(slots=True)
class Repo:
    """A repository of a scenario, and what people do in it."""

    scene: Scene
    name: str
    default: str = "main"

    @property
    def place(self) -> Place:
        return self.scene.rig.place

    @property
    def identity(self) -> str:
        return self.place.identity(self.name)

    def push(
        self,
        files: Mapping[str, Content],
        branch: str = "",
        *,
        start: str = "",
        force: bool = False,
        told: bool = True,
    ) -> str:
        """Push as a person, and unless nobody is told let the service answer; return the commit."""
        commit = self.place.push(self.name, files, branch or self.default, start=start, force=force)
        if told:
            self.scene.rig.tell()
        else:
            self.place.forget()
        return commit

    def drop(self, branch: str, *, told: str = "") -> None:
        """Remove a branch as a person; what the forge tells of it may be told in turn, or backwards."""
        self.place.drop(self.name, branch)
        if told == "backwards":
            self.place.turn_round()
        self.scene.rig.tell(in_turn=bool(told))

    def settle(self, proposal: Proposed, state: str, *, told: bool = True) -> None:
        """Close, merge or reopen a request as a person; without requests, merge as git does."""
        self.place.settle(self.name, proposal.number, state)
        if told:
            self.scene.rig.tell()
        else:
            self.place.forget()

    def fates(self) -> list[tuple[str, str]]:
        """Return what the audit log tells of who ended proposals, and how."""
        mine = f"{self.place.forge} {self.name} "
        return [
            (one.who, one.what)
            for one in self.scene.rig.store.audit.entries(0, 10_000)
            if one.subject.startswith(mine) and one.what in ("proposal.declined", "proposal.merged")
        ]

    def install(self) -> None:
        """Let the forge tell that this repository is new to us."""
        self.place.announce(self.name)
        self.scene.rig.tell()

    def every(self) -> list[Proposed]:
        """Return all proposals, oldest first."""
        return self.place.proposals(self.name)

    def open(self) -> list[Proposed]:
        """Return the open proposals."""
        return [one for one in self.every() if one.state == "open"]

    @property
    def proposal(self) -> Proposed:
        """The only open proposal."""
        found = self.open()
        assert len(found) == 1, (found, self.details())
        return found[0]

    def proposed(self, path: str = "Dockerfile") -> bytes:
        """Return a file as the only open proposal has it."""
        data = self.place.read(self.name, path, self.proposal.branch)
        assert data is not None
        return data

    def heads(self) -> dict[str, str]:
        return self.place.heads(self.name)

    def comments(self, proposal: Proposed) -> list[str]:
        return self.place.comments(self.name, proposal.number)

    def checks(self, commit: str) -> list[Checked]:
        return self.place.checks(self.name, commit)

    def runs(self) -> list[Run]:
        """Return the runs of this repository that ended, oldest first."""
        runs = self.scene.store.backlog.runs(1000)
        return [one for one in reversed(runs) if one.job.repository == self.identity]

    def last(self) -> Ending:
        """Return how the last run ended."""
        return self.runs()[-1].ending

    def details(self) -> list[str]:
        """Return how every run ended and what was said of it."""
        return [f"{one.job.trigger} {one.job.ref}: {one.ending}: {one.detail}" for one in self.runs()]

    def states(self) -> list[ProposalState]:
        """Return the states of everything that the store remembers as proposed here, newest first."""
        return [
            one.state
            for one in self.scene.store.proposals.recent(500)
            if one.proposal.repository == self.identity
        ]

    def cost(self, act: Callable[[], object]) -> list[str]:
        """Return the requests that an act made the bot send."""
        before = len(self.place.asked())
        act()
        return self.place.asked()[before:]


@contextmanager
def scene(rig: Rig) -> Iterator[Scene]:
    """Yield a scenario's own scene; what holds for every scenario is looked at in the end."""
    made = Scene(rig, f"acme-{next(rig.numbers)}")
    rig.place.forget()
    before = len(rig.said.lines)
    yield made
    until(rig.is_idle)  # a run that has settled may still be ending
    assert rig.place.violations() == []
    assert rig.leaks() == []
    assert not [line for line in rig.said.lines[before:] if "unexpected error" in line]


def paced(**said: float) -> Pace:
    """Return the pace of a worker under test."""
    return replace(PACE, **said)  # type: ignore[arg-type]  # a test names the fields
