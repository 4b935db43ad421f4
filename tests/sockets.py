"""Servers below HTTP: one that sends whatever bytes a test wants, and a proxy that tunnels."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from scripted import Scripted


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Give each connection to `serve` in a thread of its own; yield `127.0.0.1:port`."""
    listener = socket.create_server(("127.0.0.1", 0))

    def handle(connection: socket.socket) -> None:
        # A client that has had enough is no trouble of the server's.
        with connection, suppress(OSError):
            serve(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@contextmanager
def raw_server(*chunks: bytes, endless: bytes = b"", pause: float = 0.0) -> Iterator[Scripted]:
    """Run a server that sends `chunks`, then `endless` for as long as anybody listens.

    Without `endless` it keeps the connection open and says nothing more.
    """
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        for chunk in chunks:
            connection.sendall(chunk)
        while not over.wait(pause if endless else None):
            connection.sendall(endless)

    with listening(serve) as host:
        try:
            yield Scripted(host=host, scheme="http")
        finally:
            over.set()


@contextmanager
def tunnel(target: Scripted | None) -> Iterator[tuple[str, list[bytes]]]:
    """Run a CONNECT proxy that leads every tunnel to `target`, or refuses without one.

    Yields its host and port, and the heads of the requests that it got.
    """
    heads: list[bytes] = []

    def serve(client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            received = client.recv(65536)
            if not received:
                return
            head += received
        heads.append(head)
        if target is None:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        host, _, port = target.host.rpartition(":")
        with socket.create_connection((host, int(port))) as upstream:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(upstream, client), daemon=True)
            back.start()
            _pump(client, upstream)
            back.join()

    with listening(serve) as host:
        yield host, heads


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
