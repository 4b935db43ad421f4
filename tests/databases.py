"""Real databases for tests: a SQLite file, and a throwaway Postgres cluster where one can be made."""

from __future__ import annotations

import atexit
import functools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
import sqlalchemy
from servers import REQUIRED


def _binaries() -> Path | None:
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists() and (folder / "pg_ctl").exists():
            return folder
    return None


BINARIES = _binaries()
BACKENDS = ("sqlite", "postgres")


def url(backend: str, folder: Path, *, durable: bool = False) -> str:
    """Return the URL of an empty database; Postgres has one for all, emptied now.

    `durable` has it write through to the disk as operators do: for measuring.
    """
    if backend == "sqlite":
        return f"sqlite:///{folder / 'moorline.db'}"
    if BINARIES is None:
        reason = "Postgres is not installed: apt-get install --no-install-recommends postgresql"
        if REQUIRED:
            pytest.fail(reason)
        pytest.skip(reason)
    server = _cluster(durable=durable)
    engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            # Emptying one database is ten times as fast as making another.
            for statement in (
                "DROP SCHEMA IF EXISTS dbos CASCADE",
                "DROP SCHEMA public CASCADE",
                "CREATE SCHEMA public",
            ):
                connection.execute(sqlalchemy.text(statement))
    finally:
        engine.dispose()
    return server.replace("postgresql+psycopg", "postgresql")


@functools.cache
def _cluster(*, durable: bool) -> str:
    assert BINARIES is not None
    folder = Path(tempfile.mkdtemp(prefix="moorline-pg-"))
    # The server refuses to run as root.
    user = "postgres" if os.getuid() == 0 else None
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    data = folder / "data"

    def run(*command: str) -> None:
        subprocess.run(command, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL, timeout=60)

    run(str(BINARIES / "initdb"), "-D", str(data), "-A", "trust", "-U", "moorline", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories="
    if not durable:
        options += " -c fsync=off"
    run(str(BINARIES / "pg_ctl"), "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")

    def stop() -> None:
        run(str(BINARIES / "pg_ctl"), "-D", str(data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder)

    atexit.register(stop)
    return f"postgresql+psycopg://moorline@127.0.0.1:{port}/postgres"
