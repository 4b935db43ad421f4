"""A world in which people talk to the bot: the forge in memory, a store, and the runs between them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from fakes import FakeImages, run_services
from hosted import Heard, Hosted

from bot.config import Config
from bot.errors import SupersededError
from bot.forges.base import Comment, Request, Role
from bot.model import Job, Manifest, Trigger
from bot.pipeline import Services
from bot.runs import Manners, Runs
from bot.store.base import Ending
from bot.store.sql import Store

NAME = "acme/app"
BRANCH = "moorline/pin/main"
ROLES = {
    "nil": Role.NONE,
    "rae": Role.READ,
    "wes": Role.WRITE,
    "mia": Role.MAINTAIN,
    "ada": Role.ADMIN,
}


@dataclass
class World:
    """One repository, and people of every role: `rae` reads, `wes` writes, `mia` maintains, `ada` administers."""

    store: Store
    name: str = "github"
    server: Config = field(default_factory=Config)
    manners: Manners = field(default_factory=Manners)
    images: FakeImages = field(default_factory=lambda: FakeImages(resolutions={}, manifests={}))
    now: datetime = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __post_init__(self) -> None:
        self.forge = Hosted(name=self.name, clock=lambda: self.now, tells_late=self.name == "gitlab")
        self.runs = Runs(
            self.store, {self.name: self.forge}, self._services, manners=self.manners, clock=lambda: self.now
        )
        for tag in ("node:22", "redis:7"):
            self.tag(tag)

    def tag(self, name: str, content: str = "one") -> Manifest:
        """Let a tag point to an image."""
        return self.images.point(name, content)

    def _services(self, job: Job, *, trusted: bool = True) -> Services:
        return run_services(job, self.images, self.server, f"{self.name}.com", trusted=trusted)

    def create(self, files: dict[str, bytes]) -> None:
        """Make the repository and let the bot look at it."""
        self.forge.create(NAME, files)
        self.forge.projects[NAME].roles.update(ROLES)
        self.run(self.job())

    def job(self, **said: object) -> Job:
        made = Job(forge=self.name, repository=NAME, ref="main", trigger=Trigger.PUSH)
        return replace(made, **said)  # type: ignore[arg-type]  # a test names the fields

    def run(self, job: Job) -> None:
        """Run a job to its end, and everything that is wanted by then."""
        self._one(job)
        self.work()

    def work(self) -> None:
        """Run what is wanted, as a worker does."""
        for _ in range(20):
            claims = self.store.backlog.claim("w", 5, self.now)
            if not claims:
                return
            for claim in claims:
                self._one(claim.job)
                self.store.backlog.settle(claim.run, Ending.PUBLISHED, "", self.now)
        raise AssertionError("there is no end to it")

    def _one(self, job: Job) -> None:
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

    def say(self, text: str, by: str = "wes", number: int = 1, **said: object) -> Heard:
        """Comment, let the bot hear of it and do what follows; return what became of the comment."""
        comment = self.forge.say(NAME, number, text, by, **said)
        self.now += timedelta(seconds=5)
        self.run(self.heard(comment))
        self.now += timedelta(minutes=1)
        return self.forge.projects[NAME].heard[comment.ref]

    def heard(self, comment: Comment, **said: object) -> Job:
        """Return the job that a comment makes."""
        return self.job(ref=comment.ref, trigger=Trigger.COMMENT, number=comment.number, **said)

    def judge(self, number: int) -> None:
        """Let the bot look at a person's request."""
        self.run(self.job(ref=f"refs/pull/{number}/head", number=number, trigger=Trigger.PULL_REQUEST))

    @property
    def open(self) -> list[Request]:
        """The open requests of the bot's own."""
        return [one for one in self.forge.open_requests(NAME) if one.ours]

    def proposed(self, path: str = "Dockerfile", group: str = "") -> bytes:
        """Return a file as the bot's open request proposes it."""
        [one] = [one for one in self.open if group in one.branch]
        return self.forge.projects[NAME].commits[one.head][path]
