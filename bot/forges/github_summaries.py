"""Summaries of reviews on GitHub: read by their ids, and reacted to.

REST tells neither whether one was edited nor takes reactions to it.  GraphQL does both, by a node id that REST tells.
https://docs.github.com/en/rest/pulls/reviews, https://docs.github.com/en/graphql/reference/objects#pullrequestreview
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bot.errors import ForgeError, MissingError, TransientError
from bot.forges.base import Account, Comment, Reaction
from bot.forges.github_client import Client, NoGraphQLError, QueryError, SpentError, repository_path
from bot.forges.github_threads import below

_READ = """
query($id: ID!) {
  node(id: $id) {
    ... on PullRequestReview {
      body state submittedAt lastEditedAt includesCreatedEdit viewerDidAuthor
      author { login }
      editor { login }
    }
  }
}
"""
_REACT = """
mutation($subject: ID!, $content: ReactionContent!) {
  addReaction(input: {subjectId: $subject, content: $content}) { clientMutationId }
}
"""
_REACTIONS = {
    Reaction.SEEN: "EYES",
    Reaction.DONE: "THUMBS_UP",
    Reaction.CONFUSED: "CONFUSED",
    Reaction.REFUSED: "THUMBS_DOWN",
}
_SPOKEN = frozenset({"APPROVED", "CHANGES_REQUESTED", "COMMENTED"})
"""States of reviews that were submitted, and still stand."""
_MOST_KEPT = 500


class Summaries:
    """Reads and marks summaries.  Remembers node ids, so that a reaction costs one request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: OrderedDict[tuple[str, str], str] = OrderedDict()

    def said(self, client: Client, repository: str, ref: str, number: int) -> Comment:
        """Return a summary by its ref, `unsure` where GraphQL is not to be had.

        Raises `MissingError` where it is gone, not submitted, or dismissed, and `TransientError` where a limit
        keeps GraphQL from telling.
        """
        found = self._found(client, repository, ref, number)
        author, login = below(found, "user"), below(found, "user", "login")
        created = moment(found.get("submitted_at"))
        if found.get("state") not in _SPOKEN or created is None:
            raise MissingError("The review was not submitted, or was dismissed.")
        if not isinstance(login, str) or type(below(author, "id")) is not int:
            raise MissingError("GitHub does not say who wrote the review.")
        told = _told(client, str(found.get("node_id")))
        # The text is that of the answer which says whether it was edited: another one may be older or newer.
        text = (found if told is None else told).get("body")
        url = found.get("html_url")
        return Comment(
            ref=ref,
            number=number,
            author=Account(id=str(author["id"]), login=login),
            bot=author.get("type") != "User"
            or found.get("performed_via_github_app") is not None
            or (told is not None and told.get("viewerDidAuthor") is not False),
            text=text if isinstance(text, str) else "",
            edited=told is not None and _edited(told),
            unsure=told is None,
            created=created,
            url=url if isinstance(url, str) else "",
        )

    def react(self, client: Client, repository: str, comment: Comment, reaction: Reaction) -> None:
        """Show a reaction at a summary; raises `NoGraphQLError` where there is no way to."""
        if not client.graphql_served:
            raise NoGraphQLError("GitHub takes reactions to reviews by GraphQL alone.")
        with self._lock:
            node = self._nodes.get((repository.lower(), comment.ref))
        if node is None:
            node = str(self._found(client, repository, comment.ref, comment.number).get("node_id"))
        # May be asked again as a query is: to react twice is to react once.
        client.query(_REACT, {"subject": node, "content": _REACTIONS[reaction]})

    def _found(self, client: Client, repository: str, ref: str, number: int) -> Mapping[str, Any]:
        path = repository_path(repository, "pulls", str(number), "reviews", ref.rpartition("/")[2])
        found = client.get(path).json()
        if not isinstance(found, dict) or not isinstance(found.get("node_id"), str):
            raise ForgeError("GitHub's answer is not what its API gives.")
        with self._lock:
            self._nodes[repository.lower(), ref] = found["node_id"]
            if len(self._nodes) > _MOST_KEPT:
                self._nodes.popitem(last=False)
        return found


def moment(said: object) -> datetime | None:
    """Return a time that GitHub tells, in UTC where it names no zone; None for what is none."""
    try:
        found = datetime.fromisoformat(said) if isinstance(said, str) else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo is not None else found.replace(tzinfo=UTC)


def _told(client: Client, node: str) -> Mapping[str, Any] | None:
    """Return what GraphQL tells of a review, None where it tells nothing to anybody."""
    try:
        found = client.query(_READ, {"id": node}).get("node")
    except SpentError as error:
        raise TransientError(error.problem, retry_after=error.retry_after) from None
    except (NoGraphQLError, QueryError):
        return None
    if not isinstance(found, dict) or found.get("state") not in _SPOKEN:
        raise MissingError("The review is gone, or was dismissed.")
    return found


def _edited(told: Mapping[str, Any]) -> bool:
    """Return whether anybody may have edited what was submitted.

    What its author did to it before it was submitted, unseen by others, is no edit.
    """
    at, submitted = told.get("lastEditedAt"), moment(told.get("submittedAt"))
    if at is None:
        return told.get("includesCreatedEdit") is not False
    edited = moment(at)
    author, editor = below(told, "author", "login"), below(told, "editor", "login")
    if edited is None or submitted is None or author is None or author != editor:
        return True
    return edited > submitted
