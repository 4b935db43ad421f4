"""Sockets that end in time and take no more than they were granted.

urllib3's timeouts hold for each single read, so a server that sends a byte a second holds a thread
for as long as it likes, headers included.  These sockets carry one deadline and one allowance of
bytes for the whole answer, counted as received, before anything is decoded.
"""

from __future__ import annotations

import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_MOST_ADDRESSES = 4
"""How many addresses of one host are tried."""


class OversizedError(HTTPError):
    """The answer is larger than what was granted."""


class Bounds:
    """What a socket may still take: until when, and how many bytes."""

    deadline: float = math.inf
    allowance: float = math.inf

    def bound(self, *, seconds: float | None = None, size: float) -> None:
        """Set what may still be received, and, unless None, in how many seconds from now."""
        self.allowance = size
        if seconds is not None:
            self.deadline = time.monotonic() + seconds

    def remaining(self) -> float | None:
        """Return the seconds left, None without a deadline; raises `TimeoutError` or `OversizedError`."""
        if self.allowance <= 0:
            raise OversizedError("The answer is larger than allowed.")
        if self.deadline == math.inf:
            return None
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("The answer took too long.")
        return left


class TimedSocket(Bounds, socket.socket):
    """A plain connection."""

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        left = self.remaining()
        if left is not None:
            self.settimeout(left)
        size = super().recv_into(buffer, nbytes, flags)
        self.allowance -= size
        return size


class TimedTLSSocket(Bounds, ssl.SSLSocket):
    """A TLS connection; made by an `SSLContext` whose `sslsocket_class` it is."""

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        left = self.remaining()
        if left is not None:
            self.settimeout(left)
        size = super().recv_into(buffer, nbytes, flags)
        self.allowance -= size
        return size


def connect(addresses: Sequence[str], port: int, timeout: float) -> TimedSocket:
    """Return a connection to the first of `addresses` that answers, all within `timeout` seconds.

    The addresses are literal, so that nothing is resolved again.  Raises `OSError`.
    """
    deadline = time.monotonic() + timeout
    failure: OSError = OSError("no address")
    for address in addresses[:_MOST_ADDRESSES]:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("The connection took too long.") from failure
        made = TimedSocket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            made.settimeout(left)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.connect((address, port))
        except OSError as error:
            made.close()
            failure = error
        else:
            # A proxy's answer to CONNECT is read under this; a response sets its own.
            made.bound(seconds=timeout, size=math.inf)
            return made
    raise failure


Lookup = Callable[[str], Sequence[str]]
"""Host name to literal addresses; raises `OSError` (`socket.gaierror`)."""


def system_lookup(host: str) -> Sequence[str]:
    """Return the addresses that the system's resolver gives for `host`, in its order."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def timed_lookup(lookup: Lookup, host: str, timeout: float) -> Sequence[str]:
    """Return `lookup(host)`, or raise `TimeoutError`: the system's resolver knows no timeout.

    A resolver that hangs keeps its thread until it gives up by itself.
    """
    found: list[Sequence[str] | OSError] = []

    def run() -> None:
        try:
            found.append(lookup(host))
        except OSError as error:
            found.append(error)
        except UnicodeError:  # a label over 63 bytes
            found.append(socket.gaierror(socket.EAI_NONAME, "not a host name"))

    thread = threading.Thread(target=run, name="resolve", daemon=True)
    thread.start()
    thread.join(timeout)
    if not found:
        raise TimeoutError(f"The name {host} was not resolved in time.")
    if isinstance(found[0], OSError):
        raise found[0]
    return found[0]
