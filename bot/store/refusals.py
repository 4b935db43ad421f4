"""Why a database cannot be used, in our words: a server that lets nobody in or is away, a disk that is full."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

_LOGIN, _NO_LOGIN, _NO_DATABASE = "28P01", "28000", "3D000"
_SAID = {
    _LOGIN: (
        "The database's server does not accept the password.",
        "Set MOORLINE_DATABASE_URL with the right one; characters such as @ and / in it are written %40 and %2F.",
    ),
    _NO_LOGIN: (
        "The database's server does not let this user in.",
        "Look at the user in MOORLINE_DATABASE_URL, and at pg_hba.conf on the server.",
    ),
    _NO_DATABASE: (
        "The database's server has no database of that name.",
        "Make it with `createdb`, or correct the name at the end of MOORLINE_DATABASE_URL.",
    ),
}
_AWAY = "Start it, or correct host and port in MOORLINE_DATABASE_URL."
_WORDS: Mapping[str, tuple[str, str]] = {
    "Connection refused": ("its server refuses the connection: nothing listens there", _AWAY),
    "failed to resolve host": ("there is no such host", "Correct the host in MOORLINE_DATABASE_URL."),
    "Name or service not known": ("there is no such host", "Correct the host in MOORLINE_DATABASE_URL."),
    "could not translate host name": ("there is no such host", "Correct the host in MOORLINE_DATABASE_URL."),
    "No route to host": ("no way leads to its server", _AWAY),
    "Network is unreachable": ("no way leads to its server", _AWAY),
    "No such file or directory": ("its server's socket is not there", _AWAY),
    "timeout expired": ("its server lets us wait for too long", _AWAY),
    "starting up": ("its server is starting", "Wait until it has."),
    "shutting down": ("its server is shutting down", "Start it again."),
    "terminating connection": ("its server ended the connection", "Look at its log."),
    "server closed the connection": ("its server ended the connection", "Look at its log."),
    "too many clients": ("its server has no connection left", "Raise its max_connections."),
    "remaining connection slots": ("its server has no connection left", "Raise its max_connections."),
}
"""What libpq says of a server that does not answer: it has no codes for these."""
_LONGEST = 2000


def refusal(error: BaseException | None, place: str = "") -> tuple[str, str] | None:
    """Return what was refused and what to do about it, or None for any other trouble.

    `place` is SQLite's file, to be named.  Nothing of the driver's words is in it.
    """
    if isinstance(error, sqlite3.Error):
        return _of_file(getattr(error, "sqlite_errorcode", 0) & 0xFF, place or "The database's file")
    said = _SAID.get(_state(error))
    if said is not None or error is None:
        return said
    words = str(error)[:_LONGEST]
    for sign, (why, advice) in _WORDS.items():
        if sign in words:
            return f"The database does not answer: {why}.", advice
    return None


def _of_file(code: int, place: str) -> tuple[str, str] | None:
    """Return the same for what SQLite says: https://www.sqlite.org/rescode.html."""
    there = place if place.startswith("The ") else f"The database {place}"
    restore = "restore a backup, or name another file in MOORLINE_DATABASE_URL."
    return {
        sqlite3.SQLITE_FULL: (
            f"{there} cannot grow: its disk is full.",
            "Make room there: what is refused meanwhile is caught up with.",
        ),
        sqlite3.SQLITE_READONLY: (
            f"{there} may only be read.",
            "Let this user write the file and its folder, on a file system that can be written.",
        ),
        sqlite3.SQLITE_IOERR: (
            f"{there} cannot be read or written: its disk has an error, or no room.",
            "Look at the disk, and at the system's log.",
        ),
        sqlite3.SQLITE_CANTOPEN: (
            f"{there} cannot be opened.",
            "Let this user write the file and its folder.",
        ),
        sqlite3.SQLITE_CORRUPT: (f"{there} is damaged.", f"Stop everything that uses it, and {restore}"),
        sqlite3.SQLITE_NOTADB: (
            f"{place} is not a SQLite database.",
            f"{restore[0].upper()}{restore[1:]}",
        ),
        sqlite3.SQLITE_BUSY: ("The database is busy.", "Somebody else holds it; it is tried again."),
    }.get(code)


def _state(error: Any) -> str:
    """Return the SQLSTATE; libpq keeps that of a connection to itself, and tells it in words alone."""
    state = getattr(error, "sqlstate", None)
    if isinstance(state, str):
        return state
    words = str(error)[:_LONGEST]
    if "password authentication failed" in words or "no password supplied" in words:
        return _LOGIN
    if "FATAL:" not in words:
        return ""
    if 'database "' in words and words.rstrip().endswith("does not exist"):
        return _NO_DATABASE
    if 'role "' in words or "pg_hba.conf" in words:
        return _NO_LOGIN
    return ""
