"""`moorline sweep`: a look at every repository, now, with a summary at the end."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
from pydantic import SecretStr

from bot.errors import ConfigurationError, UsageError
from bot.model import Trigger
from bot.operating import OPERATOR
from bot.runs.timetable import new_sweep
from bot.service import Service, read
from bot.service_settings import Settings
from bot.settings import FORGE_VARIABLES
from bot.store.base import Place, PlaceState, Sweep
from bot.store.database import sqlite_file
from bot.sweep import rehearsing, summary
from bot.sweep.following import follow
from bot.sweep.summary import Summary
from bot.visible import visible

OK, LOOK_UPS_FAILED, INTERRUPTED = 0, 3, 130
_RECENT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be swept, and how it is printed; empty means everything."""

    forges: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    as_json: bool = False


def sweep(file: Path | None, asked: Asked) -> int:
    """Sweep what is asked for, print what became of it, and return the exit code."""
    with _opened(file) as service:
        names = _forges(service, asked)
        return _follow(service, _begin(service, names, asked), as_json=asked.as_json)


def resume(file: Path | None, asked: Asked) -> int:
    """Go on with the sweeps that were begun last; return the exit code."""
    with _opened(file) as service:
        names = _forges(service, asked)
        recent = [one for one in service.store.sweeps.last(OPERATOR, _RECENT) if one.forge in names]
        # One command begins one for each forge, all at one moment.
        begun = [one for one in recent if one.started == recent[0].started]
        if not begun:
            raise UsageError("There is no sweep to go on with.", advice="Begin one with `moorline sweep`.")
        return _follow(service, begun, as_json=asked.as_json)


def rehearse(file: Path | None, asked: Asked) -> int:
    """Print what a sweep would do, writing nothing anywhere; return the exit code."""

    with _opened(file, dry=True) as service:
        names = _forges(service, asked)
        shown = [
            Summary(
                forge=name,
                places=rehearsing.rehearse(service, name, asked.owners, asked.repositories),
                dry=True,
            )
            for name in names
        ]
        code = _print(shown, as_json=asked.as_json)
        _explain(service, shown, globs=asked.repositories, owners=asked.owners)
    return code


@contextmanager
def _opened(file: Path | None, *, dry: bool = False) -> Iterator[Service]:
    # The log of a service would be told between the lines of the progress.

    settings, lookups = read(file, level=logging.WARNING)
    settings.check_whole(receives=False, works=True)
    with _database(settings, dry=dry) as chosen, Service(chosen, lookups) as service:
        if not service.forges:
            raise ConfigurationError(
                "no forge is configured",
                key="MOORLINE_GITHUB_APP_ID, MOORLINE_GITLAB_TOKEN or MOORLINE_GIT_REPOSITORIES",
                expected="one of them",
            )
        yield service


@contextmanager
def _database(settings: Settings, *, dry: bool) -> Iterator[Settings]:
    """Yield the settings; for a rehearsal without a database with one that is gone at its end."""

    path = sqlite_file(settings.database_url.get_secret_value())
    if not dry or path is None or path.exists():
        yield settings
        return
    with tempfile.TemporaryDirectory(prefix="moorline-") as folder:
        yield settings.model_copy(update={"database_url": SecretStr(f"sqlite:///{folder}/rehearsal.db")})


def _forges(service: Service, asked: Asked) -> list[str]:
    """Return the forges that are meant; raises `UsageError` for one that is not configured."""
    for name in asked.forges:
        if name not in service.forges:
            known = ", ".join(sorted(service.forges))
            needed = f" Set {FORGE_VARIABLES[name]} for it." if name in FORGE_VARIABLES else ""
            advice = f"There is {known}.{needed}"
            raise UsageError(f"The forge {visible(name)} is not configured.", advice=advice)
    return sorted(set(asked.forges) or service.forges)


def _begin(service: Service, names: list[str], asked: Asked) -> list[Sweep]:
    now = datetime.now(UTC)
    begun = []
    for name in names:
        made = new_sweep(name, Trigger.SWEEP, OPERATOR, now, owners=asked.owners, globs=asked.repositories)
        service.store.sweeps.begin(made, now)
        service.store.audit.add(
            OPERATOR,
            "sweep.began",
            name,
            {"sweep": made.id, "owners": made.owners, "repositories": made.globs},
            now,
        )
        begun.append(made)
    return begun


def _requests(
    service: Service, forge: str, places: Sequence[Place]
) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the addresses of the requests that stand where a sweep proposed something."""
    return {
        (one.repository, one.ref): tuple(
            stored.url
            for stored in service.store.proposals.standing(forge, one.repository, one.ref)
            if stored.url
        )
        for one in places
        if one.state is PlaceState.PROPOSED
    }


def _follow(service: Service, begun: Sequence[Sweep], *, as_json: bool) -> int:
    followed = follow(service, begun)
    store = service.store.sweeps
    shown = [
        Summary(
            forge=one.forge,
            places=store.places(one.id),
            sweep=one,
            requests=_requests(service, one.forge, store.places(one.id)),
        )
        for one in begun
    ]
    code = _print(shown, as_json=as_json)
    if followed.ended:
        _explain(service, shown, globs=begun[0].globs, owners=begun[0].owners)
    else:
        click.echo("moorline: Stopped. Go on with `moorline sweep --resume`.", err=True)
        code = INTERRUPTED
    if not followed.drained:
        # A step that did not end in time would keep the process; another start recovers it.
        sys.stdout.flush()
        os._exit(code)
    return code


def _explain(
    service: Service, shown: Sequence[Summary], *, globs: Sequence[str], owners: Sequence[str]
) -> None:
    """Say what a short summary does not: that nothing matches, or that nobody can list what is served."""
    seen = {one.forge for one in shown if one.seen}
    if (globs or owners) and not seen and not any(one.failed for one in shown):
        named = " ".join(visible(one) for one in (*owners, *globs))
        click.echo(f"moorline: No repository matches {named}.", err=True)
    elif service.settings.git_roots and any(one.forge == "git" for one in shown):
        click.echo(
            "moorline: What is below MOORLINE_GIT_ROOTS is looked at when its hook calls, and not swept: a sweep "
            "looks at MOORLINE_GIT_REPOSITORIES, and at the forges that list theirs.",
            err=True,
        )


def _print(shown: Sequence[Summary], *, as_json: bool) -> int:
    click.echo(summary.document(shown) if as_json else summary.text(shown))
    return LOOK_UPS_FAILED if any(one.failed for one in shown) else OK
