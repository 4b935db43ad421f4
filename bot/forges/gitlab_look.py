"""A merge request with what stands around it, by one query: where its base is now, and its pipeline."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.forges.base import Request, RequestState
from bot.forges.gitlab_answers import below, commit, nodes, number, text
from bot.forges.gitlab_api import Api, NoGraphQLError, QueryError
from bot.forges.gitlab_projects import Project
from bot.forges.gitlab_texts import bare_title

_QUERY = """
query($project: ID!, $iid: String!) {
  project(fullPath: $project) {
    id
    repository { rootRef tree { lastCommit { sha } } }
    mergeRequest(iid: $iid) {
      iid webUrl state title description sourceBranch targetBranch sourceProjectId targetProjectId
      diffHeadSha
      author { id }
      diffRefs { baseSha headSha startSha }
      diffStatsSummary { fileCount }
      diffStats { path }
      headPipeline { id sha }
    }
  }
}
"""
_ID = re.compile(r"gid://gitlab/(Project|User|Ci::Pipeline)/([0-9]{1,18})")
_MOST_ODD = 3
"""Refusals after which GraphQL is not asked any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """An open merge request."""

    request: Request
    pipeline: int
    """The number of the pipeline that runs for its head in the project itself; 0 for none."""
    paths: tuple[str, ...]
    """What it changes, by the names of now; empty where not all of it is told."""


class Look:
    """Looks at merge requests by GraphQL, where a server has it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._odd = 0

    def at(self, project: Project, iid: int, us: int) -> Looked | None:
        """Return an open merge request; None where this query does not tell, and REST is to be asked."""
        if self._odd >= _MOST_ODD:
            return None
        try:
            said = self._api.graph(_QUERY, {"project": project.name, "iid": str(iid)})
        except NoGraphQLError:
            self._odd = _MOST_ODD
            return None
        except QueryError:
            self._odd += 1  # an older server knows less
            return None
        place, found = below(said, "project"), below(said, "project", "mergeRequest")
        head = commit(found, "diffHeadSha")
        source, target = number(found, "sourceProjectId"), number(found, "targetProjectId")
        if (
            _number(place) != project.id  # another one has its name by now
            or text(found, "iid") != str(iid)
            or text(found, "state") != "opened"
            or head is None
            or target != project.id
        ):
            return None
        # Until GitLab has looked at what was pushed last they are of what was there before.
        told = commit(found, "diffRefs", "headSha") == head
        base = text(found, "targetBranch")
        here = text(place, "repository", "rootRef") == base
        onto = commit(place, "repository", "tree", "lastCommit", "sha") if here else None
        fork = source != target
        files = number(found, "diffStatsSummary", "fileCount") if told else 0
        paths = {text(one, "path") for one in nodes(below(found, "diffStats"))} - {""}
        ran = commit(found, "headPipeline", "sha") == head and not fork
        return Looked(
            request=Request(
                number=iid,
                url=text(found, "webUrl"),
                state=RequestState.OPEN,
                branch=text(found, "sourceBranch"),
                base=base,
                head=head,
                title=bare_title(text(found, "title")),
                body=text(found, "description"),
                ours=_number(below(found, "author")) == us,
                fork=fork,
                onto=onto or "",
                against=(commit(found, "diffRefs", "startSha") or "") if told else "",
                since=(commit(found, "diffRefs", "baseSha") or "") if told else "",
                files=files if told else None,
            ),
            paths=tuple(sorted(paths)) if len(paths) == files else (),
            pipeline=_number(below(found, "headPipeline")) if ran else 0,
        )


def _number(start: object) -> int:
    """Return the number within the global id of an object, 0 where it has none."""
    found = _ID.fullmatch(text(start, "id"))
    return int(found[2]) if found is not None else 0
