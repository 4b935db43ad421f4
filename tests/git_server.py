"""A smart-HTTP git server over bare repositories, for tests: the real `git http-backend`.

Requests are recorded, and paths can be made to redirect or to fail.
"""

from __future__ import annotations

import base64
import gzip
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

import pytest

REQUIRED = os.environ.get("MOORLINE_TEST_REQUIRE_SERVERS") == "1"
_ENVIRONMENT = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.com",
    "GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
}


def require_git() -> None:
    """Skip the test where git is missing; fail it where the servers are required."""
    if shutil.which("git") is None:
        if REQUIRED:
            pytest.fail("git is required here and missing")
        pytest.skip("git is not installed")


def git(*arguments: str, cwd: Path, stdin: bytes | None = None) -> str:
    """Return what a git command prints, without white space around it; fails where git does."""
    done = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", *arguments],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        check=False,
        env={**os.environ, **_ENVIRONMENT},
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout.decode("utf-8", "surrogateescape").strip()


def make_repository(path: Path, files: Mapping[str, bytes], *, bare: bool = True) -> str:
    """Make a repository with one commit on `main`, pushes over HTTP allowed; return the commit."""
    work = path if not bare else path.parent / f"{path.name}.work"
    work.mkdir(parents=True)
    git("init", "-q", cwd=work)
    commit = commit_files(work, files, "first")
    if bare:
        git("clone", "-q", "--bare", str(work), str(path), cwd=work)
        git("config", "http.receivepack", "true", cwd=path)
        shutil.rmtree(work)
    return commit


def commit_files(work: Path, files: Mapping[str, bytes], message: str) -> str:
    """Commit files in a working tree and return the commit."""
    for name, data in files.items():
        target = work / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    git("add", "-A", cwd=work)
    git("commit", "-q", "--allow-empty", "-m", message, cwd=work)
    return git("rev-parse", "HEAD", cwd=work)


class QuietServer(ThreadingHTTPServer):
    """A server for which a client that hangs up is nothing to speak of."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # handed through


@dataclass(slots=True)
class GitServer:
    """Serves the repositories below `root`; `protocol` off makes it one that knows only the oldest."""

    root: Path
    protocol: bool = True
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path with query, and `Authorization`."""
    redirects: dict[str, str] = field(default_factory=dict)
    """Beginning of a path to what stands in its place, a path or URL."""
    statuses: dict[str, tuple[int, dict[str, str]]] = field(default_factory=dict)
    """Beginning of a path to the status and headers it is answered with."""
    password: str = ""
    """If set, Basic authentication with any user is wanted."""
    _server: ThreadingHTTPServer | None = None
    _thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        require_git()
        handler = type("Handler", (_Handler,), {"git_server": self})
        self._server = QuietServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    git_server: GitServer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it
        pass

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_GET  # noqa: N815  # the same

    def _answer(self) -> None:
        body = self._body()
        server = self.git_server
        authorization = self.headers.get("authorization", "")
        server.requests.append((self.command, self.path, authorization))
        for start, target in server.redirects.items():
            if self.path.startswith(start):
                return self._send(301, {"Location": target + self.path[len(start) :]}, b"")
        for start, (status, headers) in server.statuses.items():
            if self.path.startswith(start):
                return self._send(status, headers, b"no")
        if server.password:
            given = base64.b64decode(authorization.removeprefix("Basic ") or "").decode()
            if given.rpartition(":")[2] != server.password:
                return self._send(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
        return self._backend(body)

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") == "chunked":
            pieces = []
            while length := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(length))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(pieces)
        else:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
        return gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body

    def _backend(self, body: bytes) -> None:
        server = self.git_server
        path, _, query = self.path.partition("?")
        environment = {
            **os.environ,
            **_ENVIRONMENT,
            "GIT_PROJECT_ROOT": str(server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_USER": "somebody",
            "REMOTE_ADDR": "127.0.0.1",
            "GIT_PROTOCOL": self.headers.get("git-protocol", "") if server.protocol else "",
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        pairs = (line.partition(": ")[::2] for line in head.decode().splitlines())
        headers = {name: value for name, value in pairs if name.lower() != "content-length"}
        status = int(headers.pop("Status", "200").split()[0])
        self._send(status, headers, content)

    def _send(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
