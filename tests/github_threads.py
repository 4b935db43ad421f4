"""The GitHub stand-in's threads of review over GraphQL, what a pull request changes, and the hiding of comments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from github_git import Changed
from github_shapes import node_id, pull_changes
from github_world import Account, Pull, Refused, Repository, Review, ReviewComment

Node = dict[str, Any]
Paged = Callable[[Sequence[Any], Callable[[Any], Any], Mapping[str, Any]], Any]
REACTIONS = {"EYES": "eyes", "THUMBS_UP": "+1", "CONFUSED": "confused", "THUMBS_DOWN": "-1"}
"""REST's names of those that GraphQL gives: of the others a forge of this kind has no need."""
_STATUS = {"added": "ADDED", "removed": "DELETED", "modified": "MODIFIED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Threads:
    """What GraphQL tells of one repository's pull requests beside themselves."""

    repository: Repository
    account: Callable[[Account], Node]
    commit: Callable[[str], Node | None]
    paged: Paged
    viewer: Account
    """Who asks."""

    def fields(self, pull: Pull) -> Node:
        """Return the fields of a pull request that are answered here."""
        git = self.repository.git
        return {
            "reviewThreads": lambda _info, **page: self.paged(
                [
                    one
                    for one in self.repository.review_comments.values()
                    if one.number == pull.number and one.reply_to is None
                ],
                self._thread,
                page,
            ),
            "files": lambda _info, **page: self.paged(pull_changes(self.repository, pull), _changed, page),
            "commits": lambda _info, **page: self.paged(
                git.between(pull.base_sha, pull.head_sha),
                lambda sha: {"id": node_id("PRC", sha), "commit": self.commit(sha)},
                page,
            ),
        }

    def _thread(self, first: ReviewComment) -> Node:
        said = [
            first,
            *(one for one in self.repository.review_comments.values() if one.reply_to == first.id),
        ]
        return {
            "id": node_id("PRRT", first.id),
            "isResolved": first.resolved,
            "isCollapsed": first.resolved,
            "isOutdated": first.original_line is not None and first.line is None,
            "diffSide": first.side,
            "line": first.line,
            "originalLine": first.original_line,
            "startLine": first.start_line,
            "originalStartLine": first.original_start,
            "path": first.path,
            "viewerCanResolve": True,
            "comments": lambda _info, **page: self.paged(said, self._comment, page),
        }

    def _comment(self, one: ReviewComment) -> Node:
        review = self.repository.reviews.get(one.review or 0)
        return {
            "__typename": "PullRequestReviewComment",
            "id": node_id("PRRC", one.id),
            "databaseId": None,  # it has 32 bits, and ids have outgrown them
            "fullDatabaseId": str(one.id),
            "author": self.account(one.author),
            "body": one.body,
            "path": one.path,
            "line": one.line,
            "isMinimized": bool(one.minimized),
            "minimizedReason": one.minimized or None,
            "viewerCanMinimize": True,
            "pullRequestReview": None if review is None else self._review(review),
        }

    def _review(self, one: Review) -> Node:
        return {
            "__typename": "PullRequestReview",
            "id": node_id("PRR", one.id),
            "databaseId": None,
            "fullDatabaseId": str(one.id),
            "author": self.account(one.author),
            "authorAssociation": "NONE",
            "body": one.body,
            "state": one.state,
            "commit": lambda _info: self.commit(one.commit),
            "createdAt": one.submitted_at,
            "publishedAt": None if one.state == "PENDING" else one.submitted_at,
            "submittedAt": None if one.state == "PENDING" else one.submitted_at,
            "updatedAt": one.edited_at or one.submitted_at,
            "lastEditedAt": one.edited_at,
            "includesCreatedEdit": one.edited_at is not None,
            "editor": None if one.editor is None else self.account(one.editor),
            "isMinimized": bool(one.minimized),
            "minimizedReason": one.minimized or None,
            "viewerCanMinimize": True,
            "viewerCanReact": True,
            "viewerDidAuthor": one.author is self.viewer,
        }

    def node(self, wanted: str) -> Node | None:
        """Return a review by its node id, or None where it is none of this repository."""
        for one in self.repository.reviews.values():
            if node_id("PRR", one.id) == wanted and (one.state != "PENDING" or one.author is self.viewer):
                return self._review(one)
        return None

    def react(self, subject: str, content: str) -> Node | None:
        """React to a review once, or return None where it is none of this repository."""
        for one in self.repository.reviews.values():
            if node_id("PRR", one.id) == subject:
                mark = self.viewer.login, REACTIONS[content]
                one.reactions += [] if mark in one.reactions else [mark]
                return {"reaction": None, "subject": self._review(one)}
        return None

    def resolve(self, thread: str) -> Node | None:
        """Resolve a thread, or return None where it is none of this repository."""
        for one in self.repository.review_comments.values():
            if node_id("PRRT", one.id) == thread:
                one.resolved = True
                return {"thread": self._thread(one)}
        return None

    def minimize(self, subject: str, classifier: str) -> Node | None:
        """Hide a comment or review, or return None where it is none of this repository."""
        for one in self.repository.review_comments.values():
            if node_id("PRRC", one.id) == subject:
                one.minimized = classifier.lower()
                return {"minimizedComment": self._comment(one)}
        for review in self.repository.reviews.values():
            if node_id("PRR", review.id) == subject:
                review.minimized = classifier.lower()
                return {"minimizedComment": self._review(review)}
        return None


def _changed(one: Changed) -> Node:
    return {"path": one.path, "changeType": _STATUS[one.status], "additions": 0, "deletions": 0}


def refused() -> Refused:
    """Return what an App without the permission is told."""
    return Refused(403, "Resource not accessible by integration")
