"""Secrets from docker's credential helpers: `docker-credential-<name> get`, the server on its input."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TIMEOUT = 20.0
_LARGEST = 64 * 1024
_NOT_FOUND = "credentials not found"
_IDENTITY = "<token>"
"""The user name by which a helper says that the secret is an identity token."""


class HelperError(Exception):
    """A helper gave no usable answer; the text names the helper and nothing that it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """What proves who we are; never shown."""

    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    """An OAuth2 refresh token, used instead of a password."""


def is_helper_name(name: object) -> bool:
    """Return whether `name` may be the end of a helper's file name."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def ask_helper(
    name: str, server: str, environ: Mapping[str, str], *, timeout: float = _TIMEOUT
) -> Secret | None:
    """Return the helper's secret for `server`, None where it has none; raises `HelperError`."""
    command = f"docker-credential-{name}"
    if not is_helper_name(name):
        raise HelperError("The name of a credential helper is not usable.")
    output, status = _run(command, server, environ, timeout)
    if status is None:
        raise HelperError(f"{command} did not answer in {timeout:g} seconds.")
    if len(output) > _LARGEST:
        raise HelperError(f"{command} answered too much.")
    if status != 0:
        if _NOT_FOUND in output.decode("utf-8", "replace").lower():
            return None
        raise HelperError(f"{command} failed; run it by hand to see why.")
    try:
        answer = json.loads(output)
        username, secret = answer["Username"], answer["Secret"]
    except (ValueError, TypeError, KeyError, RecursionError):
        answer = username = secret = None
    if not isinstance(username, str) or not isinstance(secret, str) or not secret:
        # `from None` everywhere here: the cause may quote what the helper said.
        raise HelperError(f"{command} answered something that is no login.")
    if username == _IDENTITY:
        return Secret(identity_token=secret)
    return Secret(username=username, password=secret)


def _run(command: str, server: str, environ: Mapping[str, str], timeout: float) -> tuple[bytes, int | None]:
    """Return what the helper printed, up to a bound, and its status, None if it had to be ended."""
    try:
        process = subprocess.Popen(  # noqa: S603  # a fixed prefix and a validated name; no shell
            [command, "get"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environ),
            start_new_session=True,
        )
    except OSError:
        raise HelperError(f"{command} cannot be run; is it installed and on PATH?") from None
    ended = threading.Event()

    def end() -> None:
        ended.set()
        with suppress(ProcessLookupError):  # The group: what the helper started holds its output open.
            os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(timeout, end)
    timer.daemon = True
    with process:
        stdin, stdout = process.stdin, process.stdout
        if stdin is None or stdout is None:
            raise HelperError(f"{command} has no pipes.")
        timer.start()
        try:
            with suppress(BrokenPipeError):  # It may answer without reading; its status tells.
                stdin.write(server.encode())
                stdin.close()
            output = stdout.read(_LARGEST + 1)
            if len(output) > _LARGEST:
                end()
                return output, 0
            status = process.wait()
        finally:
            timer.cancel()
    return output, None if ended.is_set() else status
