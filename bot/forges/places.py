"""One name for each repository, however it was written: paths and http(s) URLs."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


def one_name(repository: str) -> str:
    """Return a local repository's real path, its `.git` folder left out, or a URL in its plainest form.

    Symbolic links are followed.  Raises `OSError`, `RuntimeError` or `ValueError` for a path that no
    file system has; what is neither a path nor an http(s) URL comes back as it is.
    """
    if repository.startswith(("/", "file://")):
        return str(folder(Path(repository.removeprefix("file://"))))
    parts = urlsplit(repository)
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        return repository
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = f":{parts.port}" if parts.port not in (None, _PORTS[parts.scheme]) else ""
    return parts._replace(netloc=host + port, path=parts.path.rstrip("/")).geturl()


def folder(path: Path) -> Path:
    """Return the real folder of a repository: for the `.git` folder of a working tree, the tree."""
    real = path.resolve()
    return real.parent if real.name == ".git" else real
