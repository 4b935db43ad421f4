"""Why a database's server lets nobody in, told apart from one that does not answer."""

from __future__ import annotations

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
_LONGEST = 2000


def refusal(error: BaseException | None) -> tuple[str, str] | None:
    """Return what was refused and what to do about it, or None for any other trouble.

    Nothing of the driver's words is in it.
    """
    return _SAID.get(_state(error))


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
