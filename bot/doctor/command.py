"""`moorline doctor`: everything that is looked at, in order, and how it is shown."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bot import wiring
from bot.doctor import database, forges, receiver, registries, settings
from bot.doctor.findings import Finding, Findings, Mark, Part, Pen
from bot.errors import ConfigurationError, MoorlineError
from bot.logs import Redactor
from bot.service_settings import Settings
from bot.settings import FORGE_VARIABLES, Lookups, variables
from bot.visible import visible

if TYPE_CHECKING:
    from bot.forges.base import Forge

OK, TROUBLE, CONFIGURATION, UNKNOWN = 0, 1, 2, 3
FORGES = ("git", "github", "gitlab")
_CONFIGURED = frozenset({Part.SETTINGS, Part.POLICY})
_SIGNS = {Mark.OK: "✓", Mark.NOTE: "!", Mark.TROUBLE: "✗", Mark.UNKNOWN: "?"}
_COLOURS = {Mark.OK: "green", Mark.NOTE: "yellow", Mark.TROUBLE: "red", Mark.UNKNOWN: "magenta"}
_LONGEST = 600


def examine(file: Path | None, *, forge: str | None, as_json: bool) -> int:
    """Look at everything, or of the forges at one alone; print it, and return the exit code.

    0 nothing is wrong, 1 something is, 2 the settings are, 3 something could not be looked at.
    """
    redactor = Redactor(_known_secrets(os.environ))
    try:
        said = variables(os.environ, file)
        redactor = Redactor(_known_secrets(said))
        read = Settings.from_environ(said)
        redactor = Redactor((*_known_secrets(said), *read.secrets()))
        lookups = Lookups.from_environ(said)
    except ConfigurationError as error:
        found: Findings = iter([Pen(Part.SETTINGS).failed("settings", error)])
    else:
        found = _all(read, lookups, file, forge)
    shown = (_safe(one, redactor) for one in found)
    return _exit_code(_print_json(shown) if as_json else _print_lines(shown))


def _known_secrets(said: Mapping[str, str]) -> tuple[str, ...]:
    """Return values that are hidden even where they are no settings that can be used."""
    names = ("SECRET", "TOKEN", "KEY", "CREDENTIALS")
    return tuple(
        value.strip()
        for name, value in said.items()
        if name.startswith("MOORLINE_") and name.endswith(names) and not value.strip().startswith("/")
    )


# --- what is looked at --------------------------------------------------------------------


def _all(read: Settings, lookups: Lookups, file: Path | None, forge: str | None) -> Findings:
    yield from settings.examine(read, os.environ, file)
    yield from _policy(lookups)
    yield from database.examine(read.database_url.get_secret_value())
    try:
        network = wiring.Network(lookups)
    except MoorlineError as error:
        yield Pen(Part.SETTINGS).failed("network", error)
        return
    with network:
        if read.public_url:
            yield from receiver.examine(read, network.reaching([read.public_url]))
        try:
            yield from registries.examine(network.registries())
        except MoorlineError as error:
            yield Pen(Part.SETTINGS).failed("registries", error)
        for name in FORGES if forge is None else (forge,):
            yield from _forge(name, read, lookups, network, asked=forge is not None)


def _policy(lookups: Lookups) -> Findings:
    pen = Pen(Part.POLICY)
    try:
        wiring.policy(lookups)
    except ConfigurationError as error:
        yield pen.failed("policy", error)
        return
    if lookups.policy is not None:
        yield pen.ok("policy", f"{lookups.policy} can be used.")


def _forge(name: str, read: Settings, lookups: Lookups, network: wiring.Network, *, asked: bool) -> Findings:
    try:
        found = wiring.forges(_only(name, read), lookups, network).get(name)
    except MoorlineError as error:
        # What of it stands in one of the settings alone was said with these.
        yield Pen(Part(name)).unknown("settings", error.problem, error.advice)
        return
    except (OSError, RuntimeError, ValueError):
        yield Pen(Part(name)).unknown("settings", "A path in its settings is none.")
        return
    if found is None:
        if asked:
            yield Pen(Part.SETTINGS).trouble(
                name,
                f"The forge {name} is not configured.",
                f"Set {FORGE_VARIABLES[name]}; docs/settings.md says more.",
            )
        return
    yield from _looked(name, found, read)


def _looked(name: str, forge: Forge, read: Settings) -> Findings:
    if name == "git":
        yield from forges.served(forge, tuple(dict.fromkeys(read.git_repositories.values())))
    else:
        yield from forges.hosted(name, forge)


def _only(name: str, read: Settings) -> Settings:
    """Return the settings as if there were one forge alone: another's mistakes are not its own."""
    kept = type(read).model_fields
    gone = {
        field: kept[field].get_default(call_default_factory=True)
        for field in ("git_roots", "git_repositories", "github_app_id", "gitlab_token")
        if not field.startswith(f"{name}_")
    }
    return read.model_copy(update=gone)


# --- how it is shown ----------------------------------------------------------------------


def _safe(one: Finding, redactor: Redactor) -> Finding:
    def shown(text: str) -> str:
        return visible(redactor.text(text), _LONGEST)

    return Finding(
        part=one.part,
        mark=one.mark,
        subject=shown(one.subject),
        text=shown(one.text),
        advice=shown(one.advice),
    )


def _print_lines(found: Iterable[Finding]) -> list[Finding]:
    """Print each as soon as it is known; on a terminal with signs and colours, else with words."""
    seen = []
    with _printer() as write:
        for one in found:
            seen.append(one)
            write(one)
    counts = Counter(one.mark for one in seen)
    print(
        f"{counts[Mark.OK]} ok, {counts[Mark.NOTE]} to note, {counts[Mark.TROUBLE]} wrong, "
        f"{counts[Mark.UNKNOWN]} not looked at"
    )
    return seen


@contextmanager
def _printer() -> Iterator[Callable[[Finding], None]]:
    if not (sys.stdout.isatty() and _knows_signs(sys.stdout.encoding)):
        yield _write_plain
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)

    def write(one: Finding) -> None:
        line = Text(f"{_SIGNS[one.mark]} ", style=_COLOURS[one.mark])
        line.append(f"{one.part.value}, {one.subject}: ", style="bold")
        line.append(one.text, style="default")
        console.print(line)
        if one.advice:
            console.print(Text(f"    {one.advice}", style="dim"))

    yield write


def _knows_signs(encoding: str) -> bool:
    try:
        "".join(_SIGNS.values()).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _write_plain(one: Finding) -> None:
    print(f"{one.mark.value:<7} {one.part.value}, {one.subject}: {one.text}")
    if one.advice:
        print(f"        {one.advice}")


def _print_json(found: Iterable[Finding]) -> list[Finding]:
    seen = list(found)
    document = {
        "version": 1,
        "exit_code": _exit_code(seen),
        "findings": [
            {
                "part": one.part.value,
                "mark": one.mark.value,
                "subject": one.subject,
                "text": one.text,
                "advice": one.advice,
            }
            for one in seen
        ],
    }
    print(json.dumps(document, indent=2))
    return seen


def _exit_code(found: Iterable[Finding]) -> int:
    marks = {(one.mark, one.part in _CONFIGURED) for one in found}
    if (Mark.TROUBLE, True) in marks:
        return CONFIGURATION
    if (Mark.TROUBLE, False) in marks:
        return TROUBLE
    return UNKNOWN if Mark.UNKNOWN in {mark for mark, _ in marks} else OK
