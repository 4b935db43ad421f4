"""What the application is told about itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from webhooks.served import Served

if TYPE_CHECKING:
    from bot.service_settings import Settings

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    git_secrets: tuple[str, ...] = field(default=(), repr=False)
    """Any of them may have signed; without one the git hook is off."""
    served: Served = field(default_factory=lambda: Served({}))
    max_body: int = 25 * 1024 * 1024
    pages: bool = False
    """Whether proposals are shown to whoever asks."""
    hosts: frozenset[str] = _LOCAL
    """Names that pages answer to: any other would let a stranger's page read them by rebinding."""

    @classmethod
    def of(cls, settings: Settings) -> Site:
        """Return what the settings say."""
        public = urlsplit(settings.public_url).hostname
        return cls(
            git_secrets=tuple(secret.get_secret_value() for secret in settings.git_webhook_secret),
            served=Served(settings.git_repositories, settings.git_roots),
            max_body=settings.max_body,
            pages=settings.shows_pages,
            hosts=_LOCAL | {settings.host.lower()} | ({public.lower()} if public else set()),
        )
