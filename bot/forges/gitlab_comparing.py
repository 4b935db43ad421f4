"""In which files two commits differ: a push that was told of does not say whether it was forced.

GitLab lists the commits that a push brought, without their parents.  One that also threw commits away looks
just like any other, and a protected branch may allow it (`allow_force_push`); what a merge left out of one of
its sides is not listed either.  Only the two trees tell.
https://docs.gitlab.com/api/repositories/#compare-branches-tags-or-commits
"""

from __future__ import annotations

from bot.errors import MissingError
from bot.forges.gitlab_answers import flag, node, nodes, text
from bot.forges.gitlab_api import Api, RefusedError
from bot.forges.gitlab_session import OversizedError

_MOST_FILES = 1000
"""GitLab's own limit of a diff, unless its administrator raised it: a list of so many may be cut off."""
_LARGEST = 8 * 1024 * 1024
"""Bytes of an answer, which has the diffs along with the names: to look at everything costs less than more."""


def differing(api: Api, project: int, before: str, after: str) -> frozenset[str] | None:
    """Return the paths at which two commits differ, None where GitLab does not tell all of them."""
    query = {"from": before, "to": after, "straight": "true"}
    try:
        said = node(api.get(f"/projects/{project}/repository/compare", query, limit=_LARGEST))
    except (MissingError, RefusedError, OversizedError):
        return None  # what was thrown away may be gone for good
    rows = said.get("diffs")
    if not isinstance(rows, list) or len(rows) >= _MOST_FILES or flag(said, "compare_timeout"):
        return None
    paths = [(text(one, "old_path"), text(one, "new_path")) for one in nodes(rows)]
    if len(paths) != len(rows) or not all(old and new for old, new in paths):
        return None
    return frozenset(path for pair in paths for path in pair)
