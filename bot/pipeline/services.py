"""What a run is given: the ground it looks at, and the services it looks things up with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from bot.config import Config
from bot.model import Decision, Finding, Job
from bot.pipeline.reading import Reading
from bot.trust.base import Sources

T = TypeVar("T")
R = TypeVar("R")


def at_once(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return the results of `work` one after the other; the plainest `Services.spread`."""
    return [work(item) for item in items]


class Spread(Protocol):
    """Runs a function over items, several at a time, and keeps their order."""

    def __call__(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return the results in the order of the items."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What it takes to look at a repository.  Nothing here is global, nothing asks the network."""

    reading: Callable[[Job], Reading]
    server: Config
    """The server's configuration: the floor of every other."""
    owner_configs: tuple[Config, ...] = ()
    """The owner's; with groups within groups each of them, nearest first."""
    holds_policy: bool = False
    """Whether the repository's own place for a configuration holds its owner's instead."""
    default: bool = True
    """Whether the job's ref is the default branch, as far as other bots are asked about it."""
    policy: Callable[[Job], Reading] | None = None
    """Where the configuration stands, if not beside the files: at a merge base."""
    host: str = ""
    """The forge's host, for references of its own: `github.com`."""
    owner: str = ""
    """The owner or group whose actions, workflows and includes are the repository's own."""
    principal: str = ""
    """On whose behalf logins are used and sightings remembered: `host/owner`; empty is a person here."""
    hosts: Mapping[str, str] = field(default_factory=dict)
    """What a forge's own variables stand for: `$CI_REGISTRY` to a registry's host."""
    decisions: tuple[Decision, ...] = ()
    marks: Callable[[bytes], bytes] | None = None
    """Returns of a file what marks are read from; None for the file itself.

    Those that a change brings along do not count.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Services(Ground):
    """What a run is given to look things up."""

    sources: Sources
    spread: Spread = at_once
    progress: Callable[[str, int, int], None] = lambda _stage, _done, _total: None
    scope: str = ""
    """Whose look-ups these are: the forge owner, and whether the author is trusted."""
    updates: bool = False
    """Whether references that are pinned already are looked up for something newer."""
    refreshed: Callable[[Finding], bool] = lambda _finding: False
    """Which of those are not: somebody else keeps them up to date."""
    pins: bool = False
    """Whether what is pinned already is judged, too: a guard lets nobody bring in a bad pin."""
    doubted: Callable[[Finding], bool] = lambda _finding: False
    """What says of itself that it is built here, which nobody has merged: its name is judged all the same."""
