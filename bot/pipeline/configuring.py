"""Which configuration rules a repository, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.config import CONFIG_PATHS, Config, load, merge, problems
from bot.errors import ConfigurationError
from bot.pipeline.reading import Reading
from bot.pipeline.services import Ground


class BrokenError(ConfigurationError):
    """The configuration that a change is judged by, or would lead to, is broken; all that is wrong with it."""

    def __init__(
        self, mistakes: Sequence[ConfigurationError], *, brought: bool, mended: bool = False
    ) -> None:
        """`brought` says that the change itself breaks it, `mended` that it ends what is wrong already."""
        first = mistakes[0]
        whose = (
            "This change itself breaks it."
            if brought
            else "It is broken where this change is to be merged, which is no fault of the change."
        )
        super().__init__(first.problem, advice=f"{first.advice} {whose}".strip())
        self.path, self.line, self.key, self.expected = first.path, first.line, first.key, first.expected
        self.mistakes = tuple(mistakes)
        self.brought = brought
        self.mended = mended


def configuration(reading: Reading, ground: Ground) -> Config:
    """Return the configuration that rules a repository: the server's, its owner's, its own."""
    files = reading.read(CONFIG_PATHS)
    if not files:
        _all_read(reading)
    return merge(ground.server, ground.owner_configs, Config() if ground.holds_policy else load(files))


def mistakes(reading: Reading, ground: Ground) -> tuple[ConfigurationError, ...]:
    """Return all that is wrong with a repository's own configuration; `configuration` raises the first."""
    try:
        configuration(reading, ground)
    except ConfigurationError as error:
        return _all(error, reading.read(CONFIG_PATHS))
    return ()


def foresee(head: Reading, since: Reading, rules: Reading, ground: Ground) -> None:
    """Raise `BrokenError` where no configuration rules a change, or none would once it is merged.

    What the change left as it was since it branched off becomes what stands now: git merges it so.
    """
    after, before, now = (one.read(CONFIG_PATHS) for one in (head, since, rules))
    touched = {path for path in CONFIG_PATHS if after.get(path) != before.get(path)}
    merged = {path: data for path, data in now.items() if path not in touched}
    merged |= {path: data for path, data in after.items() if path in touched}
    touches = bool(touched) or (not after and _differs(head, since))
    if touches:
        try:
            if not merged:
                _all_read(head)
            if not ground.holds_policy:
                load(merged)
        except ConfigurationError as error:
            raise BrokenError(_all(error, merged), brought=True) from error
    if wrong := mistakes(rules, ground):
        raise BrokenError(wrong, brought=False, mended=touches)


def _differs(head: Reading, since: Reading) -> bool:
    """Return whether a link, a folder or anything else that is not read took the place of another, or of none."""
    return {(one.path, one.reason, one.identity) for one in head.unread(CONFIG_PATHS)} != {
        (one.path, one.reason, one.identity) for one in since.unread(CONFIG_PATHS)
    }


def _all_read(reading: Reading) -> None:
    for one in reading.unread(CONFIG_PATHS):
        raise ConfigurationError(
            f"the configuration is not read: {one.detail or one.reason.value}",
            path=one.path,
            expected="a regular file of the repository",
            advice="Nothing is done without knowing what the repository wants.",
        )


def _all(first: ConfigurationError, files: Mapping[str, bytes]) -> tuple[ConfigurationError, ...]:
    """Return every mistake of the file whose first one is known."""
    found = problems(first.path, files[first.path]) if first.path in files else ()
    return found if first.line and found else (first,)
