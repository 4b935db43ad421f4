"""The GitLab stand-in over HTTP: takes requests, lets faults strike, holds both sides against the contract."""

from __future__ import annotations

import json
import socket
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import gitlab_api_drafts
import gitlab_api_hooks
import gitlab_api_merge_requests
import gitlab_api_projects
import gitlab_api_repository
import gitlab_graphql
from contract_checks_gitlab import Told, contract
from gitlab_faults import Cut, Fault, limits, too_many
from gitlab_http import (
    Call,
    Refusal,
    Reply,
    Route,
    Router,
    admit,
    answer,
    authenticate,
    parse_query,
    weak_etag,
)
from gitlab_world import World

ROUTES: tuple[Route, ...] = (
    *gitlab_api_projects.ROUTES,
    *gitlab_api_repository.ROUTES,
    *gitlab_api_merge_requests.ROUTES,
    *gitlab_api_drafts.ROUTES,
    *gitlab_api_hooks.ROUTES,
    *gitlab_graphql.ROUTES,
)
_SLOWEST = 60.0


@dataclass(slots=True, kw_only=True)
class Asked:
    """One request as it arrived, and what it was answered."""

    method: str
    path: str
    """Decoded, so that a project's path has its slashes."""
    template: str
    """The operation's path, `{id}` and the like in it; empty where there is no such operation."""
    query: Mapping[str, str]
    body: bytes = b""
    user: str = ""
    status: int = 0
    """0 while it waits, or where the connection was cut."""

    @property
    def json(self) -> Any:
        """The body as a value."""
        return json.loads(self.body) if self.body else None


@dataclass(slots=True)
class Application:
    """Answers requests, without any socket."""

    world: World
    validate: bool = True
    prefix: str = ""
    requests: list[Asked] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    router: Router = field(default_factory=lambda: Router(ROUTES))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Return the answer to a request; raises `Cut`.  Names of headers are in lower case."""
        raw, _, text = target.partition("?")
        below = raw.removeprefix(self.prefix) if raw.startswith(f"{self.prefix}/") else ""
        found = self.router.find(method, below)
        query = parse_query(text)
        template = found[0].template if found else ""
        asked = Asked(
            method=method, path=unquote(below or raw), template=template, query=dict(query), body=body
        )
        fault = self._met(asked)
        if fault is not None:
            fault.reached.set()
            if fault.gate is not None:
                assert fault.gate.wait(_SLOWEST), f"nobody let {method} {asked.path} go on"
            if not fault.done and (fault.cut or fault.reply is not None):
                return self._struck(fault, asked)
        reply = self._answer(asked, found, query, headers)
        if fault is not None and (fault.cut or fault.reply is not None):
            return self._struck(fault, asked)
        asked.status = reply.status
        return reply

    def _met(self, asked: Asked) -> Fault | None:
        with self._lock:
            self.requests.append(asked)
            for fault in self.faults:
                if fault.meets(asked.method, asked.path):
                    fault.times -= 1
                    return fault
        return None

    def _struck(self, fault: Fault, asked: Asked) -> Reply:
        if fault.reply is None:
            raise Cut
        asked.status = fault.reply.status
        return fault.reply

    def _answer(
        self,
        asked: Asked,
        found: tuple[Route, dict[str, str]] | None,
        query: list[tuple[str, str]],
        headers: Mapping[str, str],
    ) -> Reply:
        world = self.world
        if found is None:
            world.violations.append(f"{asked.method} {asked.path}: the stand-in has no such operation")
            return Refusal(404, "404 Not Found", key="error").reply
        route, parts = found
        told = Told(
            method=asked.method,
            template=route.template,
            parts=parts,
            query=query,
            body=asked.body,
            content_type=headers.get("content-type", ""),
        )
        problem = contract().request_problem(told) if self.validate else None
        if problem is not None:
            world.violations.append(f"{asked.method} {asked.path}: request: {problem}")
            return Refusal(400, f"against the contract: {problem}", key="error").reply
        with world.lock:
            call = Call(
                world=world,
                method=asked.method,
                template=route.template,
                parts=parts,
                query=query,
                body=asked.json or {},
                headers=headers,
            )
            reply = self._run(route, call)
        asked.user = "" if call.anyone is None else call.anyone.username
        if self.validate and reply.status != 429:
            problem = contract().answer_problem(told, reply.status, reply.headers, reply.body)
            if problem is not None:
                world.violations.append(f"{asked.method} {asked.path}: answer {reply.status}: {problem}")
        used = 0 if call.token is None else call.token.used
        if not any(name == "RateLimit-Limit" for name, _ in reply.headers):
            reply = reply.with_headers(*limits(used, world.limit, world.clock()))
        return self._cached(asked, headers, reply)

    def _run(self, route: Route, call: Call) -> Reply:
        try:
            authenticate(call)
            if call.token is not None and call.world.limited and call.token.used > call.world.limit:
                now = call.world.clock()
                return too_many(60 - now.second, call.world.limit, now)
            admit(call, route.need)
            return route.handler(call)
        except Refusal as refusal:
            if call.template == "/api/graphql" and refusal.reply.status == 401:
                return answer({"errors": [{"message": "Invalid token"}]}, 401)
            return refusal.reply

    def _cached(self, asked: Asked, headers: Mapping[str, str], reply: Reply) -> Reply:
        if asked.method != "GET" or reply.status != 200:
            return reply
        tag = weak_etag(reply.body)
        reply = reply.with_headers(("ETag", tag))
        return Reply(status=304, headers=reply.headers) if headers.get("if-none-match") == tag else reply


class Listener(ThreadingHTTPServer):
    """A thread for each connection; those still open are closed at the end."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, application: Application) -> None:
        self.application = application
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep what went wrong here; a client that hangs up is nothing to speak of."""
        del request, client_address
        if not isinstance(sys.exception(), OSError):
            self.application.world.violations.append(traceback.format_exc())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Listener

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base's name
        """Say nothing."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            reply = self.server.application.handle(self.command, self.path, headers, body)
        except Cut:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response_only(reply.status)
        self.send_header("Date", format_datetime(self.server.application.world.clock(), usegmt=True))
        for name, value in reply.headers:
            self.send_header(name, value)
        if reply.status not in (204, 304):
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD" and reply.status not in (204, 304):
            self.wfile.write(reply.body)
        self.wfile.flush()

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  # the base's names
