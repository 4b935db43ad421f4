"""`moorline serve` as a process, over bare repositories on disk, told of pushes by its signed hook."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commands import MOORLINE, environment
from git_server import commit_files, git, make_repository
from waiting import until

from bot.store.base import Run
from bot.store.sql import Store

SECRET = "a secret for tests only"
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(kw_only=True)
class Site:
    """A folder with bare repositories, a database, and whatever processes work on them."""

    folder: Path
    settings: Mapping[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    url: str = ""

    @property
    def log(self) -> Path:
        """Everything that the processes said."""
        return self.folder / "log"

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command of the service and wait until it says that it runs."""
        before = self.said().count("listening")
        env = environment(
            self.folder,
            MOORLINE_DATABASE_URL=f"sqlite:///{self.folder}/moorline.db",
            MOORLINE_GIT_WEBHOOK_SECRET=SECRET,
            MOORLINE_GIT_ROOTS=str(self.folder / "git"),
            MOORLINE_LOG_FORMAT="json",
            **self.settings,
        )
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [MOORLINE, *(command or ("serve", "--port", "0"))],
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        if command[:1] != ("worker",):
            until(lambda: self.said().count("listening") > before or process.poll() is not None, seconds=30)
            assert process.poll() is None, self.log.read_text()
            self.url = [one["url"] for one in self.lines() if one.get("event") == "listening"][-1]
        return process

    def said(self) -> str:
        """Return the log as text."""
        return self.log.read_text() if self.log.exists() else ""

    def lines(self) -> list[dict[str, Any]]:
        """Return the log's JSON lines."""
        return [json.loads(line) for line in self.said().splitlines() if line.startswith("{")]

    def stop(self, process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        process.send_signal(number)
        return process.wait(timeout=30)

    def get(self, path: str) -> str:
        """Return what the service answers."""
        with _OPENER.open(f"{self.url}{path}", timeout=20) as answer:
            return str(answer.read().decode())

    def push(
        self,
        repository: Path,
        branch: str = "main",
        *,
        delivery: str = "",
        name: str = "",
        sign: str = SECRET,
    ) -> int:
        """Tell the service that a branch moved, as a post-receive hook does; return the status."""
        after = git("rev-parse", branch, cwd=repository)
        told = {"repository": name or str(repository), "ref": f"refs/heads/{branch}", "after": after}
        body = json.dumps(told).encode()
        request = urllib.request.Request(
            f"{self.url}/webhooks/git",
            data=body,
            headers={
                "Content-Type": "application/json",
                "X-Moorline-Delivery": delivery or secrets.token_hex(8),
                "X-Moorline-Signature-256": "sha256="
                + hmac.new(sign.encode(), body, hashlib.sha256).hexdigest(),
            },
        )
        try:
            with _OPENER.open(request, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code

    def repository(self, name: str, files: Mapping[str, bytes]) -> Path:
        """Make a bare repository with one commit and return its folder."""
        folder = self.folder / "git" / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        make_repository(folder, files)
        return folder

    def commit(self, repository: Path, files: Mapping[str, bytes], branch: str = "main") -> str:
        """Push a commit to a branch as a person would; return it."""
        work = self.folder / f"work-{secrets.token_hex(4)}"
        git("clone", "-q", "--branch", branch, str(repository), str(work), cwd=self.folder)
        made = commit_files(work, files, "a change")
        git("push", "-q", "origin", branch, cwd=work)
        return made

    @property
    def store(self) -> Store:
        """What the service remembers; to be closed."""
        return Store(f"sqlite:///{self.folder}/moorline.db")

    def runs(self) -> Sequence[Run]:
        """Return the runs that ended, oldest first."""
        with self.store as store:
            return tuple(reversed(store.backlog.runs(100)))

    def ended(self, count: int, *, seconds: float = 30) -> Sequence[Run]:
        """Wait until so many runs have ended, and return them all."""
        return until(lambda: len(done := self.runs()) >= count and done, seconds=seconds) or ()

    def one_more(self) -> int:
        """Return the number of runs that there will be after the next."""
        return len(self.runs()) + 1


@contextmanager
def site(folder: Path, settings: Mapping[str, str]) -> Iterator[Site]:
    """Yield a site; its processes are ended, and none of them may have said anything of a traceback."""
    made = Site(folder=folder, settings=settings)
    try:
        yield made
    finally:
        for process in made.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
    assert "Traceback" not in made.said()


def heads(repository: Path) -> dict[str, str]:
    """Return the branches of a repository with their commits."""
    lines = git("for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads", cwd=repository)
    return dict(line.split(" ") for line in lines.splitlines())


def show(repository: Path, what: str) -> str:
    """Return what `git show` prints of an object."""
    return git("show", what, cwd=repository)
