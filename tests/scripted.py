"""An HTTP server on loopback whose every answer is written by the test; what nobody wrote is a 404.

It keeps what it was asked, so that a test can hold requests and their headers against what should be.
"""

from __future__ import annotations

import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer; `raw` instead of everything else sends these very bytes and hangs up."""

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    length: bool = True
    """Whether to send the body's `Content-Length`."""
    raw: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = b""


Script = Reply | Callable[[Asked], Reply]


@dataclass(slots=True, kw_only=True)
class Scripted:
    """A running server."""

    host: str
    scheme: str
    routes: dict[str, Script] = field(default_factory=dict)
    """By `METHOD /path` without the query; `* /path` serves every other method."""
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"{self.scheme}://{self.host}"

    def count(self) -> Counter[str]:
        """Return how often each method was used."""
        return Counter(request.method for request in self.asked)

    def secrets(self) -> list[str]:
        """Return every `Authorization` and `Cookie` that arrived."""
        return [
            value
            for request in self.asked
            for name, value in request.headers.items()
            if name in ("authorization", "cookie", "proxy-authorization")
        ]

    def manifest(self, repository: str, name: str, body: bytes, digest: str | None, media_type: str) -> None:
        """Serve a manifest under a tag or digest."""
        headers = [("Content-Type", media_type)]
        if digest is not None:
            headers.append(("Docker-Content-Digest", digest))
        self.routes[f"* /v2/{repository}/manifests/{name}"] = Reply(headers=headers, body=body)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, scheme: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = Scripted(host=f"127.0.0.1:{self.server_port}", scheme=scheme)
        self.lock = threading.Lock()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that hangs up is no error of the server's."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base's name
        """Say nothing."""

    def answer(self) -> None:
        listener = self.server
        assert isinstance(listener, _Listener)
        length = int(self.headers.get("Content-Length") or 0)
        request = Asked(
            method=self.command,
            path=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
        )
        with listener.lock:
            listener.script.asked.append(request)
        path = self.path.partition("?")[0]
        routes = listener.script.routes
        script = routes.get(f"{self.command} {path}") or routes.get(f"* {path}") or Reply(status=404)
        self.send(script(request) if callable(script) else script)

    def send(self, reply: Reply) -> None:
        if reply.raw is not None:
            self.wfile.write(reply.raw)
            self.close_connection = True
            return
        self.send_response_only(reply.status)
        for name, value in reply.headers:
            self.send_header(name, value)
        if reply.length:
            self.send_header("Content-Length", str(len(reply.body)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  # the base's names


@contextmanager
def scripted(context: ssl.SSLContext | None = None) -> Iterator[Scripted]:
    """Run a scripted server, over TLS where a context is given."""
    listener = _Listener("http" if context is None else "https")
    if context is not None:
        # The handshake in the handler's thread: a client that refuses it must not end the accept loop.
        listener.socket = context.wrap_socket(
            listener.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield listener.script
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()
