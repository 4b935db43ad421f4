"""The HTTP server: waitress, told to drain.  It says nothing about itself."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import structlog
from flask import Flask
from waitress import create_server, wasyncore

from bot.errors import UsageError

_TICK = 0.2
_log = structlog.get_logger(__name__)


def serve(
    app: Flask,
    listening: socket.socket,
    stop: threading.Event,
    *,
    threads: int = 8,
    drain: float = 10.0,
    started: Callable[[str], None] | None = None,
) -> None:
    """Serve until `stop` is set, then answer what was received for up to `drain` seconds.

    `started` is called with the URL once connections are taken.  `listening` is what `listen` returned, and
    is closed at the end.
    """
    channels: dict[int, Any] = {}
    server = create_server(
        app,
        map=channels,
        sockets=[listening],
        threads=threads,
        ident=None,
        max_request_body_size=app.config["MAX_CONTENT_LENGTH"] + 1,  # waitress refuses what equals it
        max_request_header_size=32 * 1024,
        channel_timeout=30,
        connection_limit=200,
        clear_untrusted_proxy_headers=True,
        expose_tracebacks=False,
    )
    address, bound = listening.getsockname()[:2]
    url = f"http://[{address}]:{bound}" if ":" in address else f"http://{address}:{bound}"
    _log.info("listening", url=url)
    if started is not None:
        started(url)
    try:
        while not stop.is_set():
            wasyncore.loop(timeout=_TICK, map=channels, use_poll=True, count=1)
        _drain(server, channels, drain)
    finally:
        server.task_dispatcher.shutdown(timeout=5)  # whoever still answers has the store open
        server.trigger.close()
        wasyncore.close_all(channels, ignore_all=True)
        listening.close()
        _log.info("stopped listening", url=url)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound, and takes connections once it is served; port 0 is any free one.

    Raises `UsageError` where the address cannot be listened on.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=128)
    except (OSError, UnicodeError) as error:
        raise UsageError(
            f"Cannot listen on {host} port {port}: {_why(error)}.",
            advice="Set MOORLINE_HOST and MOORLINE_PORT to an address of this machine that is free.",
        ) from error


def _why(error: OSError | UnicodeError) -> str:
    """Return the system's words alone: Python adds the address, which was said, and numbers."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, socket.gaierror) or number is None:
        return "there is no such host"
    return os.strerror(number)


def _drain(server: Any, channels: dict[int, Any], seconds: float) -> None:
    # Whoever connected before is let in; from here on connections are refused.
    wasyncore.loop(timeout=0, map=channels, use_poll=True, count=1)
    server.accepting = False
    server.del_channel(channels)
    server.socket.close()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        busy = False
        for channel in list(server.active_channels.values()):
            # A request that is worked on, one that is half received, an answer half sent.
            if channel.requests or channel.request is not None or channel.total_outbufs_len:
                busy = True
            else:
                channel.will_close = True
        if not busy and not server.active_channels:
            return
        wasyncore.loop(timeout=0.05, map=channels, use_poll=True, count=1)
