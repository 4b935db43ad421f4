"""What the application is told about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bot.allowed_owners import AllowedOwners
from webhooks.git_events import LARGEST_PUSH
from webhooks.served import Served

if TYPE_CHECKING:
    from pydantic import SecretStr

    from bot.service_settings import Settings

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Secrets:
    """Secrets of hooks: under a hook's name what that one alone has, under the empty one what any has."""

    by_hook: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    def __bool__(self) -> bool:
        return any(self.by_hook.values())

    def named(self, hook: str) -> tuple[str, ...]:
        """Return the secrets of this one hook."""
        return self.by_hook.get(hook, ()) if hook else ()

    def of(self, hook: str) -> tuple[str, ...]:
        """Return the secrets that a hook may use."""
        return self.named(hook) or self.by_hook.get("", ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    git_secrets: tuple[str, ...] = field(default=(), repr=False)
    """Any of them may have signed; without one the git hook is off."""
    github_secrets: tuple[str, ...] = field(default=(), repr=False)
    """As above, for the GitHub App's hook."""
    github_app: str = ""
    """Id or client id of the App."""
    gitlab_secrets: Secrets = field(default_factory=Secrets)
    """Plain tokens of GitLab's hooks."""
    gitlab_signing: Secrets = field(default_factory=Secrets)
    """Signing tokens of GitLab's hooks."""
    owners: AllowedOwners = field(default_factory=AllowedOwners)
    """Whose repositories on GitHub and GitLab are looked after."""
    served: Served = field(default_factory=lambda: Served({}))
    max_body: int = 25 * 1024 * 1024
    pages: bool = False
    """Whether proposals are shown to whoever asks."""
    hosts: frozenset[str] = _LOCAL
    """Names that pages answer to: any other would let a stranger's page read them by rebinding."""

    @property
    def hooks(self) -> tuple[str, ...]:
        """Return the addresses of the hooks that are on."""
        gitlab = self.gitlab_secrets or self.gitlab_signing
        on = {"github": self.github_secrets, "gitlab": gitlab, "git": self.git_secrets}
        return tuple(f"/webhooks/{name}" for name, secrets in on.items() if secrets)

    @property
    def largest_body(self) -> int:
        """Bytes of the largest body that any hook here takes."""
        forges = self.github_secrets or self.gitlab_secrets or self.gitlab_signing
        return self.max_body if forges else min(LARGEST_PUSH, self.max_body)

    @classmethod
    def of(cls, settings: Settings) -> Site:
        """Return what the settings say."""
        public = urlsplit(settings.public_url).hostname
        return cls(
            git_secrets=tuple(secret.get_secret_value() for secret in settings.git_webhook_secret),
            github_secrets=tuple(one.get_secret_value() for one in settings.github_webhook_secret),
            github_app=settings.github_app_id,
            gitlab_secrets=_secrets(settings.gitlab_webhook_secret),
            gitlab_signing=_secrets(settings.gitlab_signing_token),
            owners=settings.owners,
            served=Served(settings.git_repositories, settings.git_roots),
            max_body=settings.max_body,
            pages=settings.shows_pages,
            hosts=_LOCAL | {settings.host.lower()} | ({public.lower()} if public else set()),
        )


def _secrets(said: Mapping[str, tuple[SecretStr, ...]]) -> Secrets:
    return Secrets({hook: tuple(one.get_secret_value() for one in several) for hook, several in said.items()})
