"""The service's settings: `MOORLINE_*` by pydantic, its complaints in our words and without values."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bot import cron
from bot.allowed_owners import AllowedOwners
from bot.errors import ConfigurationError
from bot.logs import LogFormat
from bot.settings import PREFIX
from bot.visible import visible

_SHORTEST_SECRET = 16
_LARGEST_KEY = 64 * 1024
_PEM = re.compile(
    r"\s*-----BEGIN (RSA )?PRIVATE KEY-----[A-Za-z0-9+/=\s]{1,65536}-----END (RSA )?PRIVATE KEY-----\s*"
)
_KEY_EXPECTED = "an RSA private key as PEM text, or the absolute path of a file with one"
_APP = re.compile(r"[0-9]{1,18}|Iv[A-Za-z0-9.]{4,60}")
_HOOK = re.compile(r"[A-Za-z0-9._-]{1,128}")
_OWNER = re.compile(r"(?:(?:github|gitlab):)?[A-Za-z0-9_.][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_.][A-Za-z0-9_.-]*)*")
_SEVERAL = "or a JSON list of such, or a JSON object that says which hook has which"
_SCHEDULE_EXPECTED = "a cron expression of five fields in UTC, daily, weekly, monthly or off"
_PER = "a number from 0 to 100000, 0 for no limit"
_OFF = "off"
_LOOPBACK_NAMES = frozenset({"localhost", "ip6-localhost"})


class Settings(BaseSettings):
    """What `serve`, `web` and `worker` are told."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    database_url: SecretStr = Field(
        default=SecretStr("sqlite:///moorline.db"), description="sqlite:///file or postgresql://..."
    )
    public_url: str = Field(default="", description="https://moorline.example")
    host: str = Field(default="127.0.0.1", min_length=1, description="an address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="a port to listen on")
    max_body: int = Field(
        default=25 * 1024 * 1024, ge=1024, le=1024**3, description="bytes, from 1024 to 1073741824"
    )
    git_webhook_secret: tuple[SecretStr, ...] = Field(
        default=(),
        description=f"a text of {_SHORTEST_SECRET} characters or more, or a JSON list of such",
    )
    github_app_id: str = Field(default="", description="the App's id, or its client id")
    github_private_key: SecretStr = Field(default=SecretStr(""), description=_KEY_EXPECTED)
    github_webhook_secret: tuple[SecretStr, ...] = Field(
        default=(),
        description=f"a text of {_SHORTEST_SECRET} characters or more, or a JSON list of such",
    )
    gitlab_token: SecretStr = Field(default=SecretStr(""), description="an access token of GitLab")
    gitlab_webhook_secret: Mapping[str, tuple[SecretStr, ...]] = Field(
        default_factory=dict,
        description=f"a text of {_SHORTEST_SECRET} plain characters or more, {_SEVERAL}",
    )
    gitlab_signing_token: Mapping[str, tuple[SecretStr, ...]] = Field(
        default_factory=dict, description=f"whsec_ and base64 of 24 to 64 bytes, {_SEVERAL}"
    )
    github_writes_per_minute: int = Field(default=80, ge=0, le=100_000, description=_PER)
    github_writes_per_hour: int = Field(default=500, ge=0, le=100_000, description=_PER)
    gitlab_writes_per_minute: int = Field(default=60, ge=0, le=100_000, description=_PER)
    allowed_owners: tuple[str, ...] = Field(
        default=(),
        description="names of owners, groups or repositories with commas between, or a JSON list of them",
    )
    git_repositories: Mapping[str, str] = Field(
        default_factory=dict,
        description='JSON such as {"acme/app": "https://git.example/acme/app.git"}, or a list of addresses',
    )
    git_roots: tuple[str, ...] = Field(
        default=(), description="a JSON list of absolute folders, or one folder"
    )
    forks: bool = Field(default=False, description="true or false")
    answers_per_hour: int = Field(default=60, ge=0, le=10_000, description="a number from 0 to 10000")
    reviews_per_hour: int = Field(default=30, ge=0, le=10_000, description="a number from 0 to 10000")
    break_glass: bool = Field(default=True, description="true or false")
    concurrency: int = Field(default=4, ge=1, le=64, description="a number from 1 to 64")
    drain_seconds: float = Field(default=20.0, ge=0, le=3600, description="seconds, from 0 to 3600")
    retention_days: float = Field(default=30.0, ge=1, le=3650, description="days, from 1 to 3650")
    sweep_schedule: str = Field(default="23 4 * * *", description=_SCHEDULE_EXPECTED)
    catch_up_schedule: str = Field(default="19 * * * *", description=_SCHEDULE_EXPECTED)
    log_format: LogFormat = Field(default=LogFormat.AUTO, description="auto, console or json")
    pages: bool | None = Field(default=None, description="true or false")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Settings:
        """Return what the variables say; raises `ConfigurationError` that names the wrong one."""
        said = {
            name: environ[variable]
            for name in cls.model_fields
            if (variable := f"{PREFIX}{name.upper()}") in environ and environ[variable].strip()
        }
        try:
            return cls.model_validate(said)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            name = str(first["loc"][0]) if first["loc"] else ""
            field = cls.model_fields.get(name)
            raise ConfigurationError(
                "is not usable",
                key=f"{PREFIX}{name.upper()}",
                expected=(field.description if field else None) or "something else",
            ) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from what `from_environ` gives alone: no `.env` of a folder we stand in."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc):
            raise ValueError
        return value.rstrip("/")

    @field_validator("git_webhook_secret", "github_webhook_secret", mode="before")
    @classmethod
    def _read_secrets(cls, value: Any) -> Any:
        return _several(value)

    @field_validator("git_webhook_secret", "github_webhook_secret")
    @classmethod
    def _check_secrets(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(secret.get_secret_value()) < _SHORTEST_SECRET for secret in value):
            raise ValueError
        return value

    @field_validator("github_app_id")
    @classmethod
    def _check_app(cls, value: str) -> str:
        if value and not _APP.fullmatch(value):
            raise ValueError
        return value

    @field_validator("github_private_key")
    @classmethod
    def _check_key(cls, value: SecretStr) -> SecretStr:
        said = value.get_secret_value().strip()
        if said and not (said.startswith("/") and said.isprintable()) and not _PEM.fullmatch(_pem(said)):
            raise ValueError
        return SecretStr(said)

    @field_validator("gitlab_token")
    @classmethod
    def _check_token(cls, value: SecretStr) -> SecretStr:
        said = value.get_secret_value().strip()
        if said and not (said.isascii() and said.isprintable() and " " not in said and len(said) > 7):
            raise ValueError
        return SecretStr(said)

    @field_validator("gitlab_webhook_secret", "gitlab_signing_token", mode="before")
    @classmethod
    def _read_hooks(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        text = value.strip()
        if not text.startswith("{"):
            return {"": _several(text)}
        read = _json(text)
        if not read or not all(_HOOK.fullmatch(hook) for hook in read):
            raise ValueError
        return {hook: [one] if isinstance(one, str) else one for hook, one in read.items()}

    @field_validator("gitlab_webhook_secret")
    @classmethod
    def _check_hooks(cls, value: Mapping[str, tuple[SecretStr, ...]]) -> Mapping[str, tuple[SecretStr, ...]]:
        if not all(several and all(map(_is_plain, several)) for several in value.values()):
            raise ValueError
        return value

    @field_validator("gitlab_signing_token")
    @classmethod
    def _check_signing(
        cls, value: Mapping[str, tuple[SecretStr, ...]]
    ) -> Mapping[str, tuple[SecretStr, ...]]:
        if not all(several and all(map(_is_signing, several)) for several in value.values()):
            raise ValueError
        return value

    @field_validator("allowed_owners", mode="before")
    @classmethod
    def _read_owners(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        text = value.strip()
        read = _json(text) if text.startswith("[") else text.replace(",", " ").split()
        # An empty list would serve everybody, which is hardly what it was meant to say.
        if not read:
            raise ValueError
        return read

    @field_validator("allowed_owners")
    @classmethod
    def _check_owners(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(len(owner) <= 1024 and _OWNER.fullmatch(owner) for owner in value):
            raise ValueError
        return value

    @field_validator("git_roots", mode="before")
    @classmethod
    def _read_roots(cls, value: Any) -> Any:
        return _several(value)

    @field_validator("git_roots")
    @classmethod
    def _check_roots(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(root.startswith("/") and root.rstrip("/") for root in value):
            raise ValueError
        return value

    @field_validator("git_repositories", mode="before")
    @classmethod
    def _read_repositories(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        read = _json(value) if value.lstrip().startswith(("{", "[")) else [value.strip()]
        return {str(address): address for address in read} if isinstance(read, list) else read

    @field_validator("git_repositories")
    @classmethod
    def _check_repositories(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        if not all(name and _is_address(address) for name, address in value.items()):
            raise ValueError
        return value

    @field_validator("sweep_schedule", "catch_up_schedule")
    @classmethod
    def _check_schedule(cls, value: str) -> str:
        text = value.strip()
        if text != _OFF:
            cron.parse(text)
        return text

    @property
    def sweeps(self) -> cron.Cron | None:
        """When everything is swept; None for never."""
        return _schedule(self.sweep_schedule)

    @property
    def catches_up(self) -> cron.Cron | None:
        """When it is asked what nobody told us, beside every start; None for never, and not at a start either."""
        return _schedule(self.catch_up_schedule)

    @property
    def owners(self) -> AllowedOwners:
        """Whose repositories on GitHub and GitLab are looked after."""
        return AllowedOwners(entries=self.allowed_owners)

    @property
    def receives(self) -> bool:
        """Whether any forge may send something."""
        gitlab = self.gitlab_webhook_secret or self.gitlab_signing_token
        return bool(self.git_webhook_secret or self.github_webhook_secret or gitlab)

    def check_whole(self, *, receives: bool, works: bool) -> None:
        """Raise `ConfigurationError` that names what is missing of a forge of which a part is set.

        Who only receives needs no key and no token, and who only works needs no webhook's secret.
        """
        secret = "GITHUB_WEBHOOK_SECRET"  # noqa: S105 - a variable's name
        github = {
            "GITHUB_APP_ID": (bool(self.github_app_id), works),
            "GITHUB_PRIVATE_KEY": (bool(self.github_private_key.get_secret_value()), works),
            secret: (bool(self.github_webhook_secret), receives),
        }
        signing, plain = bool(self.gitlab_signing_token), bool(self.gitlab_webhook_secret)
        gitlab = {
            "GITLAB_TOKEN": (bool(self.gitlab_token.get_secret_value()), works),
            "GITLAB_SIGNING_TOKEN": (signing or plain, receives),
        }
        for forge in (github, gitlab):
            there = [name for name, (is_set, _) in forge.items() if is_set]
            missing = [name for name, (is_set, needed) in forge.items() if needed and not is_set]
            if there and missing:
                name = there[0]
                if name == "GITLAB_SIGNING_TOKEN" and not signing:
                    name = "GITLAB_WEBHOOK_SECRET"
                field = type(self).model_fields[missing[0].lower()]
                raise ConfigurationError(
                    f"is not set, and {PREFIX}{name} is",
                    key=" and ".join(f"{PREFIX}{one}" for one in missing),
                    expected=field.description or "",
                    advice="Set it, or take the other away; docs/settings.md has both.",
                )

    def github_key(self) -> str:
        """Return the App's private key as PEM text; raises `ConfigurationError` where its file has none."""
        said = self.github_private_key.get_secret_value()
        if not said.startswith("/"):
            return _pem(said)
        key = f"{PREFIX}GITHUB_PRIVATE_KEY"
        try:
            with Path(said).open("rb") as file:
                text = file.read(_LARGEST_KEY + 1).decode("ascii", "replace")
        except (OSError, ValueError) as error:
            problem = (error.strerror if isinstance(error, OSError) else None) or "no such path"
            raise ConfigurationError(
                f"its file {visible(said)} cannot be read: {problem}", key=key, expected=_KEY_EXPECTED
            ) from None
        if len(text) > _LARGEST_KEY or not _PEM.fullmatch(text):
            raise ConfigurationError(
                f"its file {visible(said)} holds no such key", key=key, expected=_KEY_EXPECTED
            )
        return text

    def secrets(self) -> tuple[str, ...]:
        """Return every secret that must not be logged, as text."""
        several = [
            *self.git_webhook_secret,
            *self.github_webhook_secret,
            self.gitlab_token,
            *(one for some in self.gitlab_webhook_secret.values() for one in some),
            *(one for some in self.gitlab_signing_token.values() for one in some),
        ]
        texts = [one.get_secret_value() for one in several]
        key = self.github_private_key.get_secret_value()
        if not key.startswith("/"):
            texts.append(key)
        texts.append(_password(self.database_url.get_secret_value()))
        return tuple(filter(None, texts))

    @property
    def works(self) -> bool:
        """Whether there is any forge to work on."""
        token = self.gitlab_token.get_secret_value()
        return bool(self.github_app_id or token or self.git_repositories or self.git_roots)

    @property
    def shows_pages(self) -> bool:
        """Whether pages are served: unless said, only where nobody else can reach them."""
        if self.pages is not None:
            return self.pages
        public = urlsplit(self.public_url).hostname
        return _is_loopback(self.host) and (not public or _is_loopback(public))


def _password(url: str) -> str:
    """Return the password in a URL; of one that cannot be read all of it, since it may stand anywhere."""
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return url


def _schedule(text: str) -> cron.Cron | None:
    return None if text == _OFF else cron.parse(text)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError from None


def _several(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    return _json(text) if text.startswith("[") else [text]


def _pem(text: str) -> str:
    """Return a key of one line, with its ends of lines written as backslash and n, as PEM."""
    return text if "\n" in text else text.replace("\\n", "\n")


def _is_plain(secret: SecretStr) -> bool:
    """Return whether a text is long enough, and survives as a header's value."""
    text = secret.get_secret_value()
    return len(text) >= _SHORTEST_SECRET and text.isascii() and text.isprintable() and text == text.strip()


def _is_signing(secret: SecretStr) -> bool:
    """Return whether a text is a signing token as Standard Webhooks writes it."""
    prefix, mark, text = secret.get_secret_value().partition("whsec_")
    if prefix or not mark:
        return False
    return 24 <= len(base64.b64decode(text, validate=True)) <= 64


def _is_loopback(host: str) -> bool:
    if host in _LOOPBACK_NAMES:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_address(address: str) -> bool:
    """Return whether this is an absolute path or a git URL that holds no password.

    A query may hold a token as well: addresses are shown in logs and on pages, and git has none.
    """
    if not address.isprintable() or any(character.isspace() for character in address):
        return False
    if address.startswith("/"):
        return bool(address.strip("/"))
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    if "?" in address or "#" in address:
        return False
    if parts.scheme == "ssh":
        return bool(parts.hostname) and parts.password is None
    if parts.scheme in ("http", "https"):
        return bool(parts.hostname) and "@" not in parts.netloc
    return parts.scheme == "file" and not parts.netloc and bool(parts.path.strip("/"))
