"""What we say of a commit (a status), and what GitLab says of its pipeline's configuration (CI lint)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from bot.errors import ForgeError, MissingError
from bot.forges.base import Check, Conclusion
from bot.forges.gitlab_answers import Node, below, node, number, text
from bot.forges.gitlab_api import Api, RefusedError, UncertainError
from bot.forges.gitlab_kept import Kept
from bot.forges.gitlab_listing import part
from bot.forges.gitlab_projects import Project
from bot.forges.gitlab_texts import fenced
from bot.visible import visible

_NAME = "moorline"
_MOST = 255
"""Characters of a description and of a URL."""
_MOST_STATUSES = 3
"""Pages of a commit's statuses that are looked through."""
_SHOWN = 20
"""Messages of the lint that are shown."""


class Checks:
    """Statuses of commits.

    `refs` tells which branch a commit was last seen at the head of, `new` which ones we have just made, and
    `pipelines` which pipeline runs for a merge request's head, 0 for none, as it was seen just now.
    """

    def __init__(
        self,
        api: Api,
        refs: Kept[tuple[int, str], str],
        new: Kept[tuple[int, str], bool],
        pipelines: Kept[tuple[int, str], int],
    ) -> None:
        self._api = api
        self._refs = refs
        self._new = new
        self._pipelines = pipelines

    def report(self, project: int, commit: str, check: Check, *, first: bool = False) -> None:
        """Set our status of a commit; one that says the same already is left.

        A status belongs to a pipeline.  Without `pipeline_id` and `ref` GitLab could make one of its own for
        it, so that it is put to the newest pipeline that has run for the commit, if any.  A commit that we
        have just made has no status yet, and GitLab itself finds the pipeline of its branch by `ref`.  With
        `first` nobody reported on it yet, so that a pipeline that is known need not be looked for.
        """
        just_made = self._new.pop((project, commit))
        running = self._pipelines.pop((project, commit))
        ref = self._refs.get((project, commit))
        if first and (running or (running is not None and ref)):
            self._joined(project, commit, _wanted(check), running, "" if running else ref or "")
            return
        there = [] if just_made else self._statuses(project, commit)
        pipeline = self._pipeline(there, ref)
        wanted = _wanted(check)
        if self._is_said(there, wanted, pipeline):
            return
        self._joined(
            project, commit, wanted, number(pipeline, "pipeline_id"), text(pipeline, "ref") or ref or ""
        )

    def _joined(self, project: int, commit: str, wanted: dict[str, object], pipeline: int, ref: str) -> None:
        """Set our status within a pipeline, 0 for whichever GitLab finds by its ref, if that is known."""
        body: dict[str, object] = {"name": _NAME, **wanted}
        if ref:
            body["ref"] = ref
        if pipeline:
            body["pipeline_id"] = pipeline
        try:
            self._set(project, commit, body)
        except MissingError:
            if "pipeline_id" not in body:
                raise
            del body["pipeline_id"]  # it was removed meanwhile
            self._set(project, commit, body)

    def _set(self, project: int, commit: str, body: dict[str, object]) -> None:
        try:
            self._api.send("post", f"/projects/{project}/statuses/{part(commit)}", body)
        except UncertainError:
            there = self._statuses(project, commit)
            wanted = {
                key: value for key, value in body.items() if key in ("state", "description", "target_url")
            }
            if not self._is_said(there, wanted, None):
                raise

    def _statuses(self, project: int, commit: str) -> list[Node]:
        place = f"/projects/{project}/repository/commits/{part(commit)}/statuses"
        found: list[Node] = []
        query: dict[str, object] = {"per_page": 100}
        for _ in range(_MOST_STATUSES):
            rows, more = self._api.page(place, query)
            found += rows
            if more is None:
                break
            query = dict(more)
        return found

    def _pipeline(self, there: Sequence[Node], ref: str | None) -> Node | None:
        """Return a status of the pipeline to join: of the commit's branch if it has one, else the newest."""
        others = [one for one in there if text(one, "name") != _NAME and number(one, "pipeline_id")]
        fitting = [one for one in others if text(one, "ref") == ref] or others
        return max(fitting, key=lambda one: number(one, "pipeline_id"), default=None)

    def _is_said(self, there: Sequence[Node], wanted: dict[str, object], pipeline: Node | None) -> bool:
        ours = [one for one in there if text(one, "name") == _NAME]
        if pipeline is not None:
            ours = [one for one in ours if number(one, "pipeline_id") == number(pipeline, "pipeline_id")]
        newest = max(ours, key=lambda one: number(one, "id"), default=None)
        return newest is not None and (
            text(newest, "status"),
            text(newest, "description"),
            text(newest, "target_url"),
        ) == (wanted["state"], wanted["description"], wanted.get("target_url", ""))

    # --- lint -----------------------------------------------------------------------------

    def lint(self, project: Project, commit: str, paths: Iterable[str]) -> str:
        """Return what GitLab's CI lint says of the configuration at a commit, as Markdown.

        Empty where the configuration is not among the paths, or GitLab does not say.
        """
        path = project.ci_config_path
        if path not in set(paths):  # one in another project or behind a URL is no path of ours
            return ""
        query = {"content_ref": commit, "dry_run": "false"}
        try:
            said = node(self._api.get(f"/projects/{project.id}/ci/lint", query))
        except (MissingError, RefusedError):
            return ""
        except UncertainError:
            raise
        except ForgeError:
            return ""
        errors, warnings = _lines(below(said, "errors")), _lines(below(said, "warnings"))
        if said.get("valid") is True and not errors:
            verdict = "GitLab's CI lint accepts the changed pipeline configuration"
            verdict += ", with warnings:\n\n" if warnings else ".\n"
        else:
            verdict = "GitLab's CI lint does **not** accept the changed pipeline configuration:\n\n"
        lines = [f"error: {one}" for one in errors] + [f"warning: {one}" for one in warnings]
        if not lines:
            return verdict
        if len(lines) > _SHOWN:
            lines[_SHOWN:] = [f"... and {len(lines) - _SHOWN} more"]
        return verdict + fenced("\n".join(lines))


def _wanted(check: Check) -> dict[str, object]:
    failed = check.conclusion is Conclusion.FAILURE or check.held
    said = check.brief or check.title  # nothing else of a check is shown here
    described = visible(said, _MOST)
    if check.conclusion is Conclusion.NEUTRAL:
        # GitLab has no neutral status.  One that failed keeps people from merging, where a project wants
        # that: so only what was not even looked at fails, and what was is shown as a success.
        described = visible(f"{'Held' if check.held else 'Neutral'}: {said}", _MOST)
    wanted: dict[str, object] = {"state": "failed" if failed else "success", "description": described}
    if check.url and len(check.url) <= _MOST and urlsplit(check.url).scheme in ("http", "https"):
        wanted["target_url"] = check.url
    return wanted


def _lines(found: object) -> list[str]:
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
