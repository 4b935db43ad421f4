"""The command line: parsing and help.  What a command does is elsewhere, imported when it is asked for."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TypeVar

import click

from bot.errors import MoorlineError, UsageError

F = TypeVar("F", bound=Callable[..., Any])

_FORMATS = ("table", "json", "sarif", "codequality", "github")
_BROKEN_PIPE, _INTERRUPTED = 141, 130
"""Exit codes as shells give them: 128 and the signal's number."""
_DEFECT = 70
"""`EX_SOFTWARE` of sysexits.h: Python's own 1 would mean findings."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What writing gives where there is no room; nothing is left to try again where the piece was a large one."""
_FILE = click.Path(dir_okay=False, path_type=Path)
_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _examples(*lines: str) -> str:
    """Return an epilog that click does not wrap."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def _path(command: F) -> F:
    return click.argument("path", type=click.Path(path_type=Path), default=".")(command)


def _printing(command: F) -> F:
    """Add the options of every command that prints a report."""
    for option in (
        click.option("--quiet", "-q", is_flag=True, help="Print no progress and no summary."),
        click.option("--all", "-a", "everything", is_flag=True, help="List what is pinned already, too."),
        click.option("--output", "-o", type=_FILE, metavar="FILE", help="Write to this file."),
        click.option(
            "--format", "-f", "format_", type=click.Choice(_FORMATS), default="table", show_default=True
        ),
    ):
        command = option(command)
    return command


def _staged(command: F) -> F:
    return click.option(
        "--staged", is_flag=True, help="Look at what is staged for the next commit, not at the files here."
    )(command)


def _serving(command: F) -> F:
    """Add the options of the commands that serve."""
    settings = click.option(
        "--settings",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="File with MOORLINE_* settings, `NAME=value` lines or TOML.",
    )
    return settings(command)


def _listening(command: F) -> F:
    host = click.option("--host", metavar="ADDRESS", help="Address to listen on.")
    port = click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.")
    return host(port(command))


def _version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"moorline {version('moorline')}")
        context.exit()


class _ReaderGoneError(Exception):
    """Whoever read our output stopped: nothing more is to be said, and nothing went wrong."""


class _Commands(click.Group):
    """The commands in the order in which one comes to need them, each with the same ways to ask for help."""

    group_class = type

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        # Its own, since click keeps the option that it makes first, by whatever context that was.
        cmd.context_settings = {**_HELP, **cmd.context_settings}
        super().add_command(cmd, name)

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            done = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:  # click would end it with 1, which means findings here
            raise _ReaderGoneError from None
        return done


@click.group(
    cls=_Commands,
    context_settings=_HELP,
    epilog="Start with `moorline demo`, or `moorline scan .` in a repository of yours. "
    "Exit codes: 0 clean, 1 findings, 2 usage or configuration, 3 some look-ups failed.",
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print the version."
)
def app() -> None:
    """Moor floating image tags.

    Finds every mutable reference in Dockerfiles, compose files, GitLab CI and GitHub workflows, pins it
    to a digest or commit, and looks at what it pins first.
    """


@app.command(
    short_help="Find every reference and say which ones float.",
    epilog=_examples(
        "moorline scan .                        what floats in this repository",
        "moorline scan --fail .                 the same; exit code 1 if anything does",
        "moorline scan -f json . | jq .files    for programs",
        "moorline scan -f sarif -o moorline.sarif .",
    ),
)
@_path
@_printing
@click.option("--fail", is_flag=True, help="Exit with 1 if a reference floats.")
@_staged
def scan(path: Path, *, fail: bool, staged: bool, **printing: Any) -> int:
    """Find every reference and say which ones float.

    PATH is a folder or a file. Looks nothing up and writes nothing.
    """
    from bot import local

    return local.scan(path, local.Printing(**printing), fail=fail, staged=staged)


@app.command(
    short_help="Resolve, check, and show or write the pins.",
    epilog=_examples(
        "moorline pin .                         show what would be written, as a diff",
        "moorline pin --write .                 edit the files",
        "moorline pin --branch moorline/pins .  commit to a branch; the working tree stays as it is",
        "moorline pin --ledger ~/moorline.db .  update what is pinned already, too",
    ),
)
@_path
@_printing
@click.option("--diff", is_flag=True, help="Show the change as a diff. What is done without --write.")
@click.option("--write", "-w", is_flag=True, help="Edit the files.")
@click.option("--branch", metavar="NAME", help="Commit the change to this branch.")
@click.option(
    "--ledger",
    type=_FILE,
    metavar="FILE",
    help="SQLite file that remembers when each digest was first seen. Without it what is pinned already "
    "is not updated.",
)
def pin(
    path: Path, *, diff: bool, write: bool, branch: str | None, ledger: Path | None, **printing: Any
) -> int:
    """Pin floating references: resolve, check, and show or write the change.

    Looks up each tag and each action's ref once, checks what it finds, and edits nothing but the
    references. Why something is left as it is, is always said.
    """
    if write and branch:
        raise click.UsageError("--write edits the files, --branch leaves them as they are: choose one.")
    from bot import local

    shown = local.Printing(**printing)
    return local.pin(path, shown, write=write, branch=branch, ledger=ledger, diff=diff or not write)


@app.command(
    short_help="Fail on references that the policy refuses.",
    epilog=_examples(
        "moorline guard . --base origin/main    only what came in since the common ancestor",
        "moorline guard .                       everything",
        "moorline guard . --base origin/main -f github",
        "moorline guard --staged                before a commit: what it brings in",
    ),
)
@_path
@_printing
@click.option(
    "--base",
    metavar="REV",
    help="Judge only what came in since the common ancestor with this revision, by the policy that "
    "stands there.",
)
@_staged
def guard(path: Path, *, base: str | None, staged: bool, **printing: Any) -> int:
    """Fail on references that the policy refuses. For pipelines; writes nothing.

    Exit codes: 0 nothing refused, 1 something refused, 2 usage or configuration, 3 some look-ups
    failed. A file that cannot be read is refused with --base, if it changed; without, it gives 3.
    """
    from bot import local

    return local.guard(path, local.Printing(**printing), base=base, staged=staged)


@app.command(
    short_help="Show where one reference leads, and how it is judged.",
    epilog=_examples(
        "moorline explain node:22",
        "moorline explain actions/checkout@v4",
        "moorline explain ghcr.io/acme/app:1.4 --path ../app    by that repository's policy",
        "moorline explain node:22 -f json",
    ),
)
@click.argument("reference")
@click.option(
    "--path",
    type=click.Path(path_type=Path),
    default=".",
    help="The repository whose policy judges.",
    show_default=True,
)
@click.option(
    "--format", "-f", "format_", type=click.Choice(("table", "json")), default="table", show_default=True
)
def explain(reference: str, *, path: Path, format_: str) -> int:
    """Show what a reference points to, what is known about it, and how the policy judges it.

    REFERENCE is an image, or an action as owner/name@ref.
    """
    from bot import local

    return local.explain(reference, path, as_json=format_ == "json")


@app.group(
    short_help="Look at a repository's configuration.",
    epilog=_examples("moorline config check .                what is wrong, and what rules in the end"),
)
def config() -> None:
    """Look at a repository's configuration, and at the policies above it."""


@config.command(
    "check",
    short_help="Say what is wrong with it, and what rules in the end.",
    epilog=_examples(
        "moorline config check                  the repository here",
        "moorline config check ../app --owner policy.yml",
        "moorline config check . -f json",
    ),
)
@_path
@click.option(
    "--owner",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The owner's policy, as it stands in their .github or moorline-config repository.",
)
@click.option(
    "--server",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The server's policy, in place of what MOORLINE_POLICY names.",
)
@click.option(
    "--format", "-f", "format_", type=click.Choice(("table", "json")), default="table", show_default=True
)
def config_check(path: Path, *, owner: Path | None, server: Path | None, format_: str) -> int:
    """Say what is wrong with a configuration, what it says in vain, and what rules in the end.

    PATH is a repository, or a configuration file. Exit codes: 0 nothing wrong, 2 something is.
    """
    from bot.config_check import check

    return check(path, owner=owner, server=server, format_=format_)


@app.command(
    short_help="Watch a push become a proposal, offline.",
    epilog=_examples(
        "moorline demo                          once, on the terminal",
        "moorline serve --demo                  the same, and leave it on a page",
    ),
)
def demo() -> int:
    """Watch a push become a proposal, with a sample repository.

    Needs no network, no git and no configuration, and leaves nothing behind.
    """
    from bot.demo import run

    return run.demo()


@app.command(
    short_help="Receive webhooks and work on them.",
    epilog=_examples(
        "moorline serve                         web and worker in one process",
        "moorline serve --demo                  the demo, if no forge is configured",
        "moorline serve --settings moorline.toml",
    ),
)
@_listening
@_serving
@click.option("--demo", is_flag=True, help="Work through the sample if no forge is configured.")
def serve(*, host: str | None, port: int | None, settings: Path | None, demo: bool) -> int:
    """Receive webhooks and work on them, in one process. SIGTERM drains."""
    from bot import service

    if demo and not service.configured(settings):
        from bot.demo import run

        return run.serve(host, port)
    return service.serve(settings, host=host, port=port)


@app.command(
    short_help="Receive webhooks only.",
    epilog=_examples(
        "moorline web --host 0.0.0.0 --port 8000",
        "moorline web --settings moorline.toml",
    ),
)
@_listening
@_serving
def web(*, host: str | None, port: int | None, settings: Path | None) -> int:
    """Receive webhooks only. A `worker` on the same database does the work."""
    from bot import service

    return service.serve(settings, host=host, port=port, worker=False)


@app.command(
    short_help="Work on what `web` has received.",
    epilog=_examples(
        "moorline worker                        as many as you like, on one database",
        "moorline worker --settings moorline.toml",
    ),
)
@_serving
def worker(*, settings: Path | None) -> int:
    """Work on what `web` has received. SIGTERM drains."""
    from bot import service

    return service.work(settings)


@app.command(
    short_help="Look at everything the service needs, and say what to do.",
    epilog=_examples(
        "moorline doctor                        settings, database, receiver, registries, forges",
        "moorline doctor --forge github         of the forges this one alone",
        "moorline doctor -f json                for programs",
    ),
)
@_serving
@click.option("--forge", type=click.Choice(("git", "github", "gitlab")), help="Of the forges this one alone.")
@click.option(
    "--format", "-f", "format_", type=click.Choice(("table", "json")), default="table", show_default=True
)
def doctor(*, settings: Path | None, forge: str | None, format_: str) -> int:
    """Look at settings, database, receiver, registries and forges, and say what to do. Changes nothing.

    Exit codes: 0 nothing is wrong, 1 something is, 2 the settings are, 3 something could not be looked
    at.
    """
    from bot.doctor import command

    return command.examine(settings, forge=forge, as_json=format_ == "json")


@app.command(
    short_help="Look at every repository now.",
    epilog=_examples(
        "moorline sweep --dry-run               what would be proposed, and why not the rest",
        "moorline sweep                         everything that the installation or token can see",
        "moorline sweep --owner acme --repo 'api-*'",
        "moorline sweep --forge gitlab --repo 'acme/**' -f json",
        "moorline sweep --resume                after Ctrl-C, or to see how it stands",
    ),
)
@_serving
@click.option(
    "--forge", "forges", multiple=True, metavar="NAME", help="Only this forge: github, gitlab, git."
)
@click.option("--owner", "owners", multiple=True, metavar="NAME", help="Only this owner or group.")
@click.option(
    "--repo",
    "repositories",
    multiple=True,
    metavar="GLOB",
    help="Only these, by owner/name, or by name where there is no slash.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing anywhere.")
@click.option("--resume", is_flag=True, help="Go on with the sweep that was begun last.")
@click.option(
    "--format", "-f", "format_", type=click.Choice(("table", "json")), default="table", show_default=True
)
def sweep(
    *,
    settings: Path | None,
    forges: tuple[str, ...],
    owners: tuple[str, ...],
    repositories: tuple[str, ...],
    dry_run: bool,
    resume: bool,
    format_: str,
) -> int:
    """Look at every repository, propose what floats, and sum it up.

    What did not change since it was last looked at costs nothing. Follows the workers that run; where
    there is none, works itself. Exit codes: 0 done, 2 usage or configuration, 3 some failed.
    """
    if resume and (dry_run or owners or repositories):
        raise click.UsageError("--resume goes on with what was asked for: it takes none of the others.")
    _check_globs(repositories)
    from bot import sweep as sweeping

    asked = sweeping.Asked(forges=forges, owners=owners, repositories=repositories, as_json=format_ == "json")
    act = sweeping.rehearse if dry_run else sweeping.resume if resume else sweeping.sweep
    return act(settings, asked)


def _check_globs(repositories: tuple[str, ...]) -> None:
    from bot.globs import wrong

    for one in repositories:
        problem = wrong(one)
        if problem is not None:
            raise click.UsageError(f"--repo {problem}.")


@app.group(
    cls=_Commands,
    short_help="List, retry or call off what waits.",
    epilog=_examples(
        "moorline jobs list                     what waits, runs or is stuck",
        "moorline jobs list --parked -f json    for programs",
        "moorline jobs retry acme/app           every ref of it, at once",
        "moorline jobs cancel acme/app main",
    ),
)
def jobs() -> None:
    """List, retry or call off what is to be looked at. Needs no running worker."""


_repository = click.argument("repository")
_ref = click.argument("ref", required=False)


@jobs.command(
    "list",
    short_help="List what waits, runs or is stuck, and why.",
    epilog=_examples("moorline jobs list --failed --parked", "moorline jobs list --repo acme/app"),
)
@_serving
@click.option("--waiting", is_flag=True, help="What waits or runs.")
@click.option("--failed", is_flag=True, help="What cannot succeed as things are.")
@click.option("--parked", is_flag=True, help="What was tried as often as is sensible.")
@click.option(
    "--repo",
    "repositories",
    multiple=True,
    metavar="GLOB",
    help="Only of these, by owner/name, or by name where there is no slash.",
)
@click.option(
    "--format", "-f", "format_", type=click.Choice(("table", "json")), default="table", show_default=True
)
def jobs_list(*, settings: Path | None, repositories: tuple[str, ...], format_: str, **shown: bool) -> int:
    """List what waits, runs or is stuck, and why. Without options all of it."""
    _check_globs(repositories)
    from bot import operating

    chosen = frozenset(operating.Shown(name) for name, wanted in shown.items() if wanted)
    return operating.list_jobs(settings, chosen, repositories=repositories, as_json=format_ == "json")


@jobs.command(
    "retry", short_help="Look again at what is stuck.", epilog=_examples("moorline jobs retry acme/app main")
)
@_repository
@_ref
@_serving
def jobs_retry(repository: str, ref: str | None, *, settings: Path | None) -> int:
    """Look again at what is stuck, and at once at what waits for its time.

    Without REF at every one of REPOSITORY. Exits with 1 where there is nothing of it.
    """
    from bot import operating

    return operating.retry(settings, repository, ref)


@jobs.command(
    "cancel",
    short_help="Forget what waits, call off what runs.",
    epilog=_examples("moorline jobs cancel acme/app"),
)
@_repository
@_ref
@_serving
def jobs_cancel(repository: str, ref: str | None, *, settings: Path | None) -> int:
    """Forget what waits, and call off what runs: no further step of it begins.

    Without REF all of REPOSITORY. Exits with 1 where there is nothing of it.
    """
    from bot import operating

    return operating.cancel(settings, repository, ref)


@app.command(
    short_help="Show or verify who did what, and on which evidence.",
    epilog=_examples(
        "moorline audit --last 20               the newest",
        "moorline audit --since 100             what came after entry 100",
        "moorline audit -f jsonl | jq .what     for programs",
        "moorline audit --verify                whether every entry is as it was written",
    ),
)
@_serving
@click.option(
    "--since", type=click.IntRange(min=0), default=0, metavar="N", help="Only entries after this one."
)
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the newest so many.")
@click.option(
    "--format", "-f", "format_", type=click.Choice(("table", "jsonl")), default="table", show_default=True
)
@click.option(
    "--verify", is_flag=True, help="Check the chain of hashes instead; exit code 1 if it is broken."
)
@click.option(
    "--head",
    metavar="NUMBER:HASH",
    help="With --verify: an entry as the log or the metrics told of it, which must be there still.",
)
def audit(
    *, settings: Path | None, since: int, last: int | None, format_: str, verify: bool, head: str | None
) -> int:
    """Show the audit log: who did what, when, and on which evidence. It is only ever added to."""
    if head is not None and not verify:
        raise click.UsageError("--head goes with --verify.")
    from bot import operating

    if verify:
        return operating.verify(settings, head=head)
    return operating.audit(settings, since=since, last=last, as_lines=format_ == "jsonl")


def _stuck() -> bool:
    """Return whether what was printed cannot be written; what is buffered of it is given up then."""
    stuck = False
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            stuck = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return stuck


def main() -> None:
    """Run the command line; every expected failure ends with one sentence and an exit code."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no "…" shows a "?"
    try:
        code = app(standalone_mode=False)
    except click.exceptions.Exit as done:
        raise SystemExit(done.exit_code) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except MoorlineError as error:
        click.echo(f"moorline: {error.problem}", err=True)
        if error.advice:
            click.echo(f"  {error.advice}", err=True)
        raise SystemExit(error.exit_code) from None
    except _ReaderGoneError:
        # What is still buffered must go somewhere when Python flushes it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(_BROKEN_PIPE) from None
    except (KeyboardInterrupt, click.Abort):
        # Python would wait for look-ups that are under way; nobody else does.
        os._exit(_INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - an edge: a defect must not look like findings
        stuck = _stuck()
        if isinstance(error, OSError) and (stuck or (error.errno in _FULL and error.filename is None)):
            with suppress(OSError):
                click.echo(f"moorline: The output cannot be written: {error.strerror}.", err=True)
            raise SystemExit(UsageError.exit_code) from None
        import traceback

        traceback.print_exc()
        click.echo("moorline: This is a defect of Moorline. Please report it with these lines.", err=True)
        raise SystemExit(_DEFECT) from None
    raise SystemExit(code)
