"""Where a working tree was cloned from, read from git's own configuration without git.

Nothing is followed but the `.git` file of a work tree or submodule; includes are not read.
A URL's user and password never leave this module.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

_MAX_CONFIG = 1024 * 1024
_MAX_POINTER = 4096
_SECTION = re.compile(r'\s*\[\s*remote\s+"origin"\s*\]\s*(.*)', re.IGNORECASE)
_URL = re.compile(r"\s*url\s*=\s*(.*)", re.IGNORECASE)
_SCP = re.compile(r"(?:[^@/:\s]+@)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\]):(?!//)(.+)")
_PLAIN_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:]+")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.~+-]+(?:/[A-Za-z0-9_.~+-]+)*")


def origin(folder: Path) -> tuple[str, str] | None:
    """Return host and `owner/name` of the `origin` remote of the repository around `folder`, if any.

    A port belongs to the host only over HTTP, where it tells one server from another.
    """
    root = next((one for one in (folder, *folder.parents) if (one / ".git").exists()), folder)
    config = _config(root)
    url = _origin_url(config) if config is not None else None
    return None if url is None else _place(url)


def _config(root: Path) -> str | None:
    folder = root / ".git"
    if folder.is_file():
        pointer = _text(folder, _MAX_POINTER)
        if pointer is None or not pointer.startswith("gitdir:"):
            return None
        folder = root / pointer.removeprefix("gitdir:").strip()
        common = _text(folder / "commondir", _MAX_POINTER)
        if common is not None:
            folder /= common.strip()
    elif not folder.exists():
        folder = root  # a bare repository, or none at all
    return _text(folder / "config", _MAX_CONFIG)


def _text(path: Path, limit: int) -> str | None:
    """Return a regular file's text, None where there is none or it is larger than anyone writes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            data = file.read(limit + 1)
    except (OSError, ValueError):
        return None
    return data.decode("utf-8", "replace") if len(data) <= limit else None


def _origin_url(config: str) -> str | None:
    inside = False
    url: str | None = None
    for line in config.splitlines():
        if line.lstrip().startswith("["):
            section = _SECTION.fullmatch(line)
            inside = section is not None
            line = section.group(1) if section else ""  # noqa: PLW2901  # the key may follow on the same line
        found = _URL.fullmatch(line) if inside else None
        if found is not None:
            url = found.group(1).strip().strip('"')
    return url


def _place(url: str) -> tuple[str, str] | None:
    scp = _SCP.fullmatch(url)
    if scp is not None and "://" not in url:
        host, path = scp.group(1).strip("[]"), scp.group(2)
    else:
        try:
            parts = urlsplit(url)
            host, path, port = parts.hostname or "", parts.path, parts.port
        except ValueError:
            return None
        if parts.scheme not in ("http", "https", "ssh", "git", "git+ssh", "ssh+git"):
            return None
        if ":" in host:
            host = f"[{host}]" if port is not None else host
        if port is not None and (parts.scheme, port) not in (("http", 80), ("https", 443)):
            host = f"{host}:{port}" if parts.scheme in ("http", "https") else host
    name = path.strip("/").removesuffix(".git").rstrip("/")
    plain_host = (
        host.rpartition(":")[0].strip("[]") if re.search(r"[^:]:[0-9]+\Z|\]:[0-9]+\Z", host) else host
    )
    if not _PLAIN_HOST.fullmatch(plain_host) or not _PLAIN_NAME.fullmatch(name):
        return None
    if any(part in (".", "..") for part in name.split("/")):
        return None
    return host.lower(), name
