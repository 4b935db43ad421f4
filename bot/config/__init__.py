"""A repository's own configuration, and whose word counts: the server's, its owner's, its own.

One table says what may stand in a file; it reads the file and is published as JSON Schema in
`docs/moorline.schema.json`.  docs/configuration.md explains every key.
"""

from __future__ import annotations

from bot.config.files import (
    CONFIG_PATHS,
    MAX_BYTES,
    MISNAMED,
    OWNER_PATHS,
    OWNER_REPOSITORIES,
    PLACES,
    holds_policy,
    load,
    load_owner,
    parse,
    problems,
)
from bot.config.floors import binds, merge
from bot.config.nouns import (
    KEEP_TAGS,
    AllowRule,
    CheckSetting,
    Config,
    Environment,
    Floating,
    Grouping,
    Guard,
    IgnoreRule,
    Limits,
    Mode,
    Own,
    Places,
    Preset,
    Schedule,
    Unreachable,
    Updates,
)
from bot.config.table import FORMATS, json_schema

__all__ = [
    "CONFIG_PATHS",
    "FORMATS",
    "KEEP_TAGS",
    "MAX_BYTES",
    "MISNAMED",
    "OWNER_PATHS",
    "OWNER_REPOSITORIES",
    "PLACES",
    "AllowRule",
    "CheckSetting",
    "Config",
    "Environment",
    "Floating",
    "Grouping",
    "Guard",
    "IgnoreRule",
    "Limits",
    "Mode",
    "Own",
    "Places",
    "Preset",
    "Schedule",
    "Unreachable",
    "Updates",
    "binds",
    "holds_policy",
    "json_schema",
    "load",
    "load_owner",
    "merge",
    "parse",
    "problems",
]
