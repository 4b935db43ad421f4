"""Logins from a docker `config.json`: `auths`, `credHelpers` and `credsStore`.

Its keys are what docker and its kin have written over the years: `registry.example`,
`registry.example:5000`, `https://registry.example/v1/`, `registry.example/team` for one path alone.
A key without scheme stands for https, and on this machine's loopback for http too, as docker does.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bot.errors import ConfigurationError
from bot.registries.addresses import is_loopback
from bot.registries.budget import DOCKER_HUB_API
from bot.registries.helper import Secret, ask_helper, is_helper_name
from bot.registries.memo import Memo
from bot.registries.rules import PORTS, Allowed

_LARGEST = 4 * 1024 * 1024
_HUB_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})
_API_PATHS = frozenset({"v1", "v2"})
_KEEP_HELPED = 600.0
"""Seconds for which a helper's answer is used; the shortest-lived cloud tokens last an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """One entry of the file."""

    key: str
    """As it stands in the file."""
    origins: tuple[Allowed, ...]
    prefix: str
    """Repository path that it is for; empty for the whole server."""
    secret: Callable[[], Secret | None] = field(repr=False)
    """Gives the secret when it is needed; None where the helper has none.  Raises `HelperError`."""


def docker_logins(path: Path | None, environ: Mapping[str, str]) -> tuple[Login, ...]:
    """Return the entries of the file, none where it does not exist; raises `ConfigurationError`.

    Without `path` it is `$DOCKER_CONFIG/config.json`, else `$HOME/.docker/config.json`.  Entries that
    are for nothing we know how to ask are passed over.
    """
    if path is None:
        home = environ.get("HOME", "")
        folder = environ.get("DOCKER_CONFIG") or (f"{home}/.docker" if home else "")
        if not folder:
            return ()
        path = Path(folder) / "config.json"
    document = _read(path)
    store = document.get("credsStore")
    kept: Memo[Secret | None] = Memo(keep=lambda _: _KEEP_HELPED)
    sources: dict[str, Callable[[], Secret | None]] = {}
    for key, entry in _mapping(document.get("auths")).items():
        secret = _inline(_mapping(entry), path, key)
        if secret is not None:
            sources[key] = partial(_given, secret)
        elif store:
            # Only servers that docker has logged into: a name from a repository starts no helper.
            sources[key] = _helped(store, key, path, environ, kept)
    for key, name in _mapping(document.get("credHelpers")).items():
        sources[key] = _helped(name, key, path, environ, kept)
    return tuple(
        Login(key=key, origins=place[0], prefix=place[1], secret=source)
        for key, source in sources.items()
        if (place := _place(key)) is not None
    )


def _read(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigurationError("cannot be read", path=str(path), advice=error.strerror or "") from error
    try:
        document = json.loads(data) if len(data) <= _LARGEST else None
    except (ValueError, RecursionError):
        document = None  # The error would quote the file.
    if not isinstance(document, dict):
        raise ConfigurationError("is no docker configuration", path=str(path), expected="a JSON object")
    return document


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _given(secret: Secret) -> Secret:
    return secret


def _helped(
    name: object, key: str, path: Path, environ: Mapping[str, str], kept: Memo[Secret | None]
) -> Callable[[], Secret | None]:
    if not isinstance(name, str) or not is_helper_name(name):
        raise ConfigurationError(
            "names a credential helper that cannot be one",
            path=str(path),
            key=key,
            expected="letters, digits, `.`, `_` and `-`",
        )
    return partial(kept.get, (name, key), partial(ask_helper, name, key, environ))


def _inline(entry: Mapping[str, Any], path: Path, key: str) -> Secret | None:
    username, password = _text(entry.get("username")), _text(entry.get("password"))
    token = _text(entry.get("identitytoken"))
    encoded = _text(entry.get("auth"))
    if encoded and not (username and password):
        try:
            decoded = base64.b64decode(encoded, validate=True).decode()
        except ValueError:
            raise ConfigurationError(
                "has an `auth` that is not base64 of user:password", path=str(path), key=key
            ) from None
        username, _, password = decoded.partition(":")
        password = password.rstrip("\0")
    if token:
        return Secret(username=username, identity_token=token)
    return Secret(username=username, password=password) if username and password else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _place(key: str) -> tuple[tuple[Allowed, ...], str] | None:
    """Return the servers and the repository path that a key stands for, None for none."""
    try:
        parts = urlsplit(key if "://" in key else f"//{key}")
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return None
    if not host or parts.scheme not in ("", "http", "https") or "@" in parts.netloc:
        return None
    segments = [segment for segment in parts.path.split("/") if segment]
    prefix = "/".join(segments[1:] if segments and segments[0] in _API_PATHS else segments)
    if host in _HUB_HOSTS:
        return (Allowed(scheme="https", host=DOCKER_HUB_API, port=443),), prefix
    schemes = [parts.scheme] if parts.scheme else ["https", "http"] if is_loopback(host) else ["https"]
    return tuple(Allowed(scheme=scheme, host=host, port=port or PORTS[scheme]) for scheme in schemes), prefix
