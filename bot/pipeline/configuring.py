"""Which configuration rules a repository."""

from __future__ import annotations

from bot.config import CONFIG_PATHS, Config, load, merge
from bot.errors import ConfigurationError
from bot.pipeline.reading import Reading
from bot.pipeline.services import Ground


def configuration(reading: Reading, ground: Ground) -> Config:
    """Return the configuration that rules a repository: the server's, its owner's, its own."""
    files = reading.read(CONFIG_PATHS)
    for one in () if files else reading.unread(CONFIG_PATHS):
        raise ConfigurationError(
            f"the configuration is not read: {one.detail or one.reason.value}",
            path=one.path,
            expected="a regular file of the repository",
            advice="Nothing is done without knowing what the repository wants.",
        )
    return merge(ground.server, ground.owner_configs, Config() if ground.holds_policy else load(files))
