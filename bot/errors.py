"""Errors that end a run, each telling a person what to do next.

Trouble with one image or one file is a value in the report (`model.Unresolved`,
`model.Unread`); only trouble with the run itself is raised.  Adapters translate
their libraries' exceptions into these, `raise ... from`, and never put a secret
into a message: an exception's text may be stored and shown.
"""

from __future__ import annotations


class MoorlineError(Exception):
    """What went wrong, in one sentence, and what a person can do about it."""

    exit_code = 2

    def __init__(self, problem: str, *, advice: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.problem} {self.advice}".strip() if self.advice else self.problem


class UsageError(MoorlineError):
    """The command line asks for something that cannot be done."""


class ConfigurationError(MoorlineError):
    """A setting or a repository's own file is wrong; says where and what was expected."""

    def __init__(
        self,
        problem: str,
        *,
        path: str = "",
        line: int | None = None,
        key: str = "",
        expected: str = "",
        advice: str = "",
    ) -> None:
        place = f"{path}:{line}" if path and line else path
        text = f"{place}: " if place else ""
        text += f"{key}: {problem}" if key else problem
        if expected:
            text += f" (expected {expected})"
        super().__init__(text, advice=advice)
        self.path = path
        self.line = line
        self.key = key
        self.expected = expected


class ForgeError(MoorlineError):
    """A forge refused or could not be reached."""


class MissingError(ForgeError):
    """There is no such repository, branch or request, or none that we may see: not worth trying again."""


class SuspendedError(ForgeError):
    """Whoever owns the repository suspended us there: it is left out until they end that."""


class MovedError(ForgeError):
    """The repository has another name by now, `name`; whoever asked should ask for that."""

    def __init__(self, problem: str, *, name: str) -> None:
        super().__init__(problem)
        self.name = name


class TransientError(ForgeError):
    """Worth trying again later; `retry_after` is in seconds where the server named a time."""

    def __init__(self, problem: str, *, advice: str = "", retry_after: float | None = None) -> None:
        super().__init__(problem, advice=advice)
        self.retry_after = retry_after


class SupersededError(ForgeError):
    """The branch moved while we worked: a newer run takes over, nothing was written."""


class GuardError(MoorlineError):
    """The publish guard met a change that is not a pin: nothing was written."""


class StoreError(MoorlineError):
    """The database cannot be reached or holds something this version does not understand."""
