"""What the operator sets, by `MOORLINE_*` variables or a file named on the command line.

The look-ups' part is here and costs nothing to import; the service's is in `service_settings.py`.
Nothing is ever read from the tree that is scanned.  No message repeats a value: it may be secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bot.errors import ConfigurationError
from bot.forges.logins import Logins

PREFIX = "MOORLINE_"

_NAME = re.compile(r"[A-Z]{2,20}(?:_[A-Z0-9]{1,20}){1,6}")
"""What can only be meant as a variable's name."""
_ALL = "docs/settings.md lists the settings."
KNOWN = frozenset(
    {
        "MOORLINE_ALLOWED_OWNERS",
        "MOORLINE_ANSWERS_PER_HOUR",
        "MOORLINE_BREAK_GLASS",
        "MOORLINE_CATCH_UP_SCHEDULE",
        "MOORLINE_CA_BUNDLE",
        "MOORLINE_CONCURRENCY",
        "MOORLINE_CREDENTIAL_OWNERS",
        "MOORLINE_DATABASE_URL",
        "MOORLINE_DRAIN_SECONDS",
        "MOORLINE_EGRESS_ALLOW",
        "MOORLINE_FORKS",
        "MOORLINE_GITHUB_APP_ID",
        "MOORLINE_GITHUB_PRIVATE_KEY",
        "MOORLINE_GITHUB_URL",
        "MOORLINE_GITHUB_WEBHOOK_SECRET",
        "MOORLINE_GITHUB_WRITES_PER_HOUR",
        "MOORLINE_GITHUB_WRITES_PER_MINUTE",
        "MOORLINE_GITLAB_SIGNING_TOKEN",
        "MOORLINE_GITLAB_TOKEN",
        "MOORLINE_GITLAB_URL",
        "MOORLINE_GITLAB_WEBHOOK_SECRET",
        "MOORLINE_GITLAB_WRITES_PER_MINUTE",
        "MOORLINE_GIT_CREDENTIALS",
        "MOORLINE_GIT_MIRRORS",
        "MOORLINE_GIT_REPOSITORIES",
        "MOORLINE_GIT_ROOTS",
        "MOORLINE_GIT_WEBHOOK_SECRET",
        "MOORLINE_HOST",
        "MOORLINE_LOG_FORMAT",
        "MOORLINE_MAX_BODY",
        "MOORLINE_PAGES",
        "MOORLINE_POLICY",
        "MOORLINE_PORT",
        "MOORLINE_PUBLIC_URL",
        "MOORLINE_REGISTRY_MIRRORS",
        "MOORLINE_REGISTRY_REALMS",
        "MOORLINE_REVIEWS_PER_HOUR",
        "MOORLINE_RETENTION_DAYS",
        "MOORLINE_SWEEP_SCHEDULE",
    }
)
"""Every variable that means something: a file that sets another one is wrong, not ignored."""

FORGE_VARIABLES: Mapping[str, str] = {
    "git": "MOORLINE_GIT_ROOTS or MOORLINE_GIT_REPOSITORIES",
    "github": "MOORLINE_GITHUB_APP_ID and MOORLINE_GITHUB_PRIVATE_KEY",
    "gitlab": "MOORLINE_GITLAB_TOKEN",
}
"""By forge, for people: the variables without which it is not there."""

_PORTS = {"http": 80, "https": 443}
_LARGEST_FILE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookups:
    """Where images and git references are looked up."""

    registry_mirrors: Mapping[str, str] = field(default_factory=dict)
    """Registry, or `*` for every other one, to the base URL that is asked instead."""
    git_mirrors: Mapping[str, str] = field(default_factory=dict)
    """Git host to the base URL that is asked instead."""
    git_logins: Logins = field(default_factory=Logins)
    """For remote repositories that are served, never for what a repository names."""
    registry_realms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """URL of a registry to the token servers elsewhere that may see its credentials."""
    credential_owners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Key of a login in Docker's file, or `*`, to the owners (`host/owner`) it may be used for."""
    policy: Path | None = None
    """The server's own configuration: the floor of every repository's."""
    ca_bundle: str | None = None
    """File of PEM certificates that are trusted besides the system's."""
    allowed: tuple[str, ...] = ()
    """Servers that the egress guard lets through: `scheme://host:port`, the port always written."""
    github_url: str = "https://github.com"
    gitlab_url: str = "https://gitlab.com"
    github_host: str = "github.com"
    gitlab_host: str = "gitlab.com"
    docker_config: Path | None = None
    """Docker's `config.json`; None where neither its variable nor a home is set."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Lookups:
        """Return what the variables say; raises `ConfigurationError` that names the wrong one."""
        home = environ.get("HOME", "")
        folder = environ.get("DOCKER_CONFIG") or (f"{home}/.docker" if home else "")
        return cls(
            registry_mirrors=_mirrors(environ, "MOORLINE_REGISTRY_MIRRORS"),
            git_mirrors=_mirrors(environ, "MOORLINE_GIT_MIRRORS"),
            git_logins=_logins(environ, "MOORLINE_GIT_CREDENTIALS"),
            registry_realms=_realms(environ, "MOORLINE_REGISTRY_REALMS"),
            credential_owners=_owners(environ, "MOORLINE_CREDENTIAL_OWNERS"),
            policy=Path(environ["MOORLINE_POLICY"]) if environ.get("MOORLINE_POLICY") else None,
            ca_bundle=environ.get("MOORLINE_CA_BUNDLE") or None,
            allowed=_allowed(environ, "MOORLINE_EGRESS_ALLOW"),
            github_url=environ.get("MOORLINE_GITHUB_URL", "").strip() or "https://github.com",
            gitlab_url=environ.get("MOORLINE_GITLAB_URL", "").strip() or "https://gitlab.com",
            github_host=_host(environ, "MOORLINE_GITHUB_URL", "github.com"),
            gitlab_host=_host(environ, "MOORLINE_GITLAB_URL", "gitlab.com"),
            docker_config=Path(folder) / "config.json" if folder else None,
        )


def unknown(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each `MOORLINE_*` variable that means nothing: most are misspelt."""
    names = sorted(name for name in environ if name.startswith(PREFIX) and name not in KNOWN)
    return [f"{name} is not a setting{_meant(name)}." for name in names]


def variables(environ: Mapping[str, str], file: Path | None = None) -> Mapping[str, str]:
    """Return the environment, with what `file` sets where the environment does not.

    A `.toml` file holds the variables' names without `MOORLINE_`, in lower case, and may use
    tables and lists where a variable would hold JSON; any other one holds `NAME=value` lines.
    Raises `ConfigurationError` that names file and line.
    """
    if file is None:
        return environ
    text = _read(file)
    said = _toml(text, file) if file.suffix == ".toml" else _lines(text, file)
    return {**said, **environ}


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigurationError(f"the settings cannot be read: {error.strerror}", path=str(file)) from error
    if len(content) > _LARGEST_FILE:
        raise ConfigurationError("the settings are larger than 1 MiB", path=str(file))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError("the settings are not UTF-8", path=str(file)) from None


def _toml(text: str, file: Path) -> dict[str, str]:
    import json  # noqa: PLC0415 - only with a file; start-up is measured
    import tomllib  # noqa: PLC0415 - as above

    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        # The parser's text ends with a place and quotes at most a character.
        raise ConfigurationError(f"no TOML: {error}", path=str(file)) from None
    said = {}
    for key, value in document.items():
        name = f"{PREFIX}{key.upper()}"
        if not key.islower() or name not in KNOWN:
            near = _nearest(name).removeprefix(PREFIX).lower()
            raise ConfigurationError("is not a setting", path=str(file), key=key, expected=near, advice=_ALL)
        if isinstance(value, bool):
            written = "true" if value else "false"
        elif isinstance(value, (str, int, float)):
            written = str(value)
        elif isinstance(value, (dict, list)):
            try:
                written = json.dumps(value)
            except TypeError:
                raise ConfigurationError("is not usable", path=str(file), key=key) from None
        else:
            raise ConfigurationError(
                "is not usable", path=str(file), key=key, expected="a text, number, list or table"
            )
        said[name] = written
    return said


def _lines(text: str, file: Path) -> dict[str, str]:
    said = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.removeprefix("export ").partition("=")
        name, value = name.strip(), value.strip()
        if not equals or name not in KNOWN:
            if equals and _NAME.fullmatch(name):
                near = _nearest(name)
                raise ConfigurationError(
                    "is not a setting",
                    path=str(file),
                    line=number,
                    key=name,
                    expected=f"{near}=value" if near else "",
                    advice=_ALL,
                )
            # Not quoted: it may be a secret's second line.
            expected = "MOORLINE_NAME=value"
            raise ConfigurationError("no setting", path=str(file), line=number, expected=expected)
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        said[name] = value
    return said


def _nearest(name: str) -> str:
    """Return the setting that was meant, empty where none is near."""
    import difflib  # noqa: PLC0415 - only for a mistake

    # Without what all of them begin with, which would make any two of them alike.
    known = {one.removeprefix(PREFIX): one for one in sorted(KNOWN)}
    near = difflib.get_close_matches(name.upper().removeprefix(PREFIX), known, n=1, cutoff=0.7)
    return known[near[0]] if near else ""


def _meant(name: str) -> str:
    near = _nearest(name)
    return f"; the nearest is {near}" if near else ""


def _json(environ: Mapping[str, str], name: str, expected: str) -> dict[str, object]:
    text = environ.get(name, "").strip()
    if not text:
        return {}
    import json  # noqa: PLC0415 - most runs set nothing; start-up is measured

    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigurationError("is no JSON", key=name, expected=expected) from None
    if not isinstance(value, dict):
        raise ConfigurationError("is no JSON object", key=name, expected=expected)
    return value


def _mirrors(environ: Mapping[str, str], name: str) -> dict[str, str]:
    expected = 'JSON such as {"docker.io": "https://mirror.example"}'
    said = _json(environ, name, expected)
    found = {}
    for host, url in said.items():
        if not host or not isinstance(url, str) or not _is_base(url):
            raise ConfigurationError(
                "has an entry that is no host and http(s) URL", key=name, expected=expected
            )
        found[host.lower()] = url.rstrip("/")
    return found


def _logins(environ: Mapping[str, str], name: str) -> Logins:
    expected = 'JSON such as {"https://git.example/acme": "user:token"}'
    entries = []
    for prefix, login in _json(environ, name, expected).items():
        if not _is_base(prefix) or "%" in prefix or {".", ".."} & set(urlsplit(prefix).path.split("/")):
            raise ConfigurationError("has an entry that is no http(s) URL", key=name, expected=expected)
        user, colon, password = login.partition(":") if isinstance(login, str) else ("", "", "")
        plain = user.isascii() and password.isascii() and user.isprintable() and password.isprintable()
        if not (user and colon and password and plain):
            raise ConfigurationError("has an entry that is no user:token", key=name, expected=expected)
        entries.append((prefix, user, password))
    return Logins(entries=tuple(entries))


def _realms(environ: Mapping[str, str], name: str) -> dict[str, tuple[str, ...]]:
    expected = 'JSON such as {"https://registry.example": ["https://auth.example"]}'
    found = {}
    for registry, servers in _json(environ, name, expected).items():
        urls = [servers] if isinstance(servers, str) else servers
        if not isinstance(urls, list) or not all(isinstance(url, str) and _is_base(url) for url in urls):
            raise ConfigurationError("has an entry that is no list of URLs", key=name, expected=expected)
        if not _is_base(registry):
            raise ConfigurationError("has a registry that is no URL", key=name, expected=expected)
        found[registry.rstrip("/")] = tuple(urls)
    return found


def _owners(environ: Mapping[str, str], name: str) -> dict[str, tuple[str, ...]]:
    expected = 'JSON such as {"ghcr.io": ["github.com/acme"], "*": []}'
    found = {}
    for key, owners in _json(environ, name, expected).items():
        if not isinstance(owners, list) or not all(isinstance(owner, str) and owner for owner in owners):
            raise ConfigurationError("has an entry that is no list of owners", key=name, expected=expected)
        found[key] = tuple(owners)
    return found


def _allowed(environ: Mapping[str, str], name: str) -> tuple[str, ...]:
    expected = "http(s)://host:port, several with commas between"
    found = []
    for entry in environ.get(name, "").replace(",", " ").split():
        if not _is_base(entry) or urlsplit(entry).path.strip("/"):
            raise ConfigurationError("has an entry that is no server", key=name, expected=expected)
        parts = urlsplit(entry)
        host = (parts.hostname or "").lower()
        host = f"[{host}]" if ":" in host else host
        found.append(f"{parts.scheme}://{host}:{parts.port or _PORTS[parts.scheme]}")
    return tuple(dict.fromkeys(found))


def _host(environ: Mapping[str, str], name: str, default: str) -> str:
    url = environ.get(name, "").strip()
    if not url:
        return default
    if not _is_base(url):
        raise ConfigurationError("is no URL", key=name, expected="https://host")
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    port = f":{parts.port}" if parts.port not in (None, _PORTS[parts.scheme]) else ""
    return ("github.com" if host == "api.github.com" else host) + port


def _is_base(url: str) -> bool:
    """Return whether `url` is http(s), has a host, and has no user, query or fragment."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if any(character.isspace() or not character.isprintable() for character in url):
        return False
    plain = parts.scheme in _PORTS and bool(parts.hostname) and port != 0
    return plain and "@" not in parts.netloc and not parts.query and not parts.fragment
