"""A Postgres of one's own that can be stopped and started, where the program is installed."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import pytest
from databases import BINARIES
from servers import REQUIRED


@dataclass(slots=True, kw_only=True)
class Cluster:
    """A throwaway cluster on loopback."""

    folder: Path
    port: int
    user: str | None

    @property
    def url(self) -> str:
        """The URL of its empty database."""
        return f"postgresql://moorline@127.0.0.1:{self.port}/postgres"

    def _run(self, *command: str) -> None:
        assert BINARIES is not None
        program, *rest = command
        subprocess.run(
            [str(BINARIES / program), *rest],
            check=True,
            user=self.user,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )

    def make(self) -> None:
        """Make the cluster's files."""
        self._run("initdb", "-D", str(self.folder / "data"), "-A", "trust", "-U", "moorline", "--no-sync")

    def start(self) -> None:
        """Start it, and return once it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        data, log = str(self.folder / "data"), str(self.folder / "log")
        self._run("pg_ctl", "-D", data, "-o", options, "-l", log, "-w", "start")

    def stop(self) -> None:
        """Let it go as a crash does."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    @property
    def runs(self) -> bool:
        """Whether it was started and not stopped."""
        return (self.folder / "data" / "postmaster.pid").exists()


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Yield a cluster that runs; skip the test where there is no Postgres, unless it is required."""
    if BINARIES is None:
        reason = "Postgres is not installed: apt-get install --no-install-recommends postgresql"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(mkdtemp(prefix="moorline-pg-"))
    user = "postgres" if os.getuid() == 0 else None  # the server refuses to run as root
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = Cluster(folder=folder, port=port, user=user)
    made.make()
    made.start()
    try:
        yield made
    finally:
        if made.runs:
            made.stop()
        shutil.rmtree(folder)
