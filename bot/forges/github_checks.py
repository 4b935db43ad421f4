"""The check run `moorline`: what we say of one commit."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from bot.errors import ForgeError
from bot.forges.base import Annotation, Check
from bot.forges.github_client import Client, repository_path
from bot.forges.github_transport import AmbiguousError
from bot.reference import is_commit

NAME = "moorline"
_BATCH = 50
"""Annotations of one request."""
_MOST = 500
_LONGEST = 65_535
_LONGEST_LABEL, _LONGEST_DESCRIPTION, _MOST_BUTTONS = 20, 40, 3
_LONGEST_TITLE = 255
_LONGEST_MESSAGE = 16_000
_MOST_KEPT = 2_000


class Runs:
    """Runs that this process made, by repository and commit: which one, and with how many annotations."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()

    def get(self, repository: str, commit: str) -> tuple[int, int] | None:
        with self._lock:
            return self._known.get((repository.lower(), commit))

    def put(self, repository: str, commit: str, run: tuple[int, int]) -> None:
        with self._lock:
            self._known[repository.lower(), commit] = run
            if len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)


def report(
    client: Client, repository: str, commit: str, check: Check, *, app: int, runs: Runs, fresh: bool
) -> None:
    """Report on a commit, in place of what we said of it before.

    `fresh` says that nobody can have reported on it yet.  A run that holds annotations is followed by a new
    one, which GitHub shows instead: annotations are only ever added to a run, never taken back.
    """
    if not is_commit(commit):
        raise ForgeError("A check is about a commit's full id.")
    path = repository_path(repository, "check-runs")
    shown = list(check.annotations[:_MOST])
    body = _body(check, shown[:_BATCH], len(check.annotations) - len(shown))
    known = runs.get(repository, commit)
    if known is None and not fresh:
        known = _latest(client, repository, commit, app)
    if known is not None and known[1] == 0:
        run = known[0]
        client.ask_again("PATCH", f"{path}/{run}", body) if not shown else client.write(
            "PATCH", f"{path}/{run}", body
        )
    else:
        run = _created(client, repository, commit, body, app, known)
    runs.put(repository, commit, (run, len(shown)))
    for start in range(_BATCH, len(shown), _BATCH):
        more = {
            "output": {
                **body["output"],
                "annotations": [_annotation(one) for one in shown[start : start + _BATCH]],
            }
        }
        client.write("PATCH", f"{path}/{run}", more)


def _created(
    client: Client,
    repository: str,
    commit: str,
    body: dict[str, Any],
    app: int,
    before: tuple[int, int] | None,
) -> int:
    try:
        said = client.write(
            "POST", repository_path(repository, "check-runs"), {**body, "name": NAME, "head_sha": commit}
        ).json()
        run = said.get("id") if isinstance(said, dict) else None
    except AmbiguousError:
        found = _latest(client, repository, commit, app)
        if found is None or (before is not None and found[0] == before[0]):
            raise
        run = found[0]
    if not isinstance(run, int):
        raise ForgeError("GitHub made no check run.")
    return run


def _latest(client: Client, repository: str, commit: str, app: int) -> tuple[int, int] | None:
    """Return our newest run on a commit and how many annotations it holds."""
    path = repository_path(repository, "commits", commit, "check-runs")
    said = client.get(path, check_name=NAME, filter="latest", app_id=app, per_page=10).json()
    found = said.get("check_runs") if isinstance(said, dict) else None
    for one in found if isinstance(found, list) else ():
        run, owner, output = _parts(one)
        if isinstance(run, int) and owner == app:
            return run, output if isinstance(output, int) else 0
    return None


def _parts(one: object) -> tuple[object, object, object]:
    """Return a run's id, its App's id and its number of annotations."""
    if not isinstance(one, dict):
        return None, None, None
    owner, output = one.get("app"), one.get("output")
    return (
        one.get("id"),
        owner.get("id") if isinstance(owner, dict) else None,
        output.get("annotations_count") if isinstance(output, dict) else None,
    )


def _body(check: Check, annotations: Sequence[Annotation], left: int) -> dict[str, Any]:
    more = f"\n\n{left:,} further remarks have no place here." if left > 0 else ""
    summary = check.summary
    if len(summary) + len(more) > _LONGEST:
        more = f"\n\n*(cut: GitHub takes no longer text)*{more}"
        summary = summary[: _LONGEST - len(more)]
    made: dict[str, Any] = {
        "status": "completed",
        "conclusion": check.conclusion.value,
        "output": {"title": check.title[:_LONGEST_TITLE] or NAME, "summary": f"{summary}{more}"},
    }
    if annotations:
        made["output"]["annotations"] = [_annotation(one) for one in annotations]
    if check.url:
        made["details_url"] = check.url
    if check.buttons:
        made["actions"] = [
            {
                "label": one.label[:_LONGEST_LABEL],
                "description": one.description[:_LONGEST_DESCRIPTION],
                "identifier": one.id[:_LONGEST_LABEL],
            }
            for one in check.buttons[:_MOST_BUTTONS]
        ]
    return made


def _annotation(one: Annotation) -> dict[str, Any]:
    line = max(one.line, 1)
    made = {
        "path": one.path,
        "start_line": line,
        "end_line": line,
        "annotation_level": one.level.value,
        "message": one.message[:_LONGEST_MESSAGE] or one.title or NAME,
    }
    return {**made, "title": one.title[:_LONGEST_TITLE]} if one.title else made
