"""Reviews of people's pull requests: one review in one request, settled threads resolved or hidden.

A comment is ours by its account and by the review that we remember to have made, never by its text alone;
the text only tells which of a review's comments is which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.errors import ForgeError, SupersededError
from bot.forges.base import ChangedFile, Remark, Review, Said, Spoken
from bot.forges.github_client import Client, NoGraphQLError, QueryError, RefusedError, repository_path
from bot.forges.github_transport import AmbiguousError
from bot.forges.remarks import SETTLED, compare, composed, hunks, placed, same

_MOST_FILES = 30
"""Pages of files, a hundred each: GitHub lists no more than 3,000."""
_MOST_THREADS = 10
_LONGEST = 65_000
_AT_ONCE = 30
_THREADS = """
query($owner: String!, $name: String!, $number: Int!, $after: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $number) {
      reviewThreads(first: 100, after: $after) {
        nodes {
          id isResolved originalLine
          comments(first: 1) {
            nodes {
              id fullDatabaseId isMinimized body path
              author { __typename login }
              pullRequestReview { id fullDatabaseId }
            }
          }
        }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Thread:
    """A thread that our own account began."""

    id: str
    resolved: bool
    comment: str
    """The node id of its first comment."""
    number: int
    """Its REST id."""
    path: str
    line: int
    """The line that it was begun on."""
    body: str
    review: int
    review_node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviews:
    """Reviews in one repository while it is published to."""

    repository: str
    client: Client
    is_ours: Callable[[Mapping[str, Any]], bool]

    def review(
        self, number: int, review: Review, before: tuple[Spoken, ...] = (), *, uncertain: bool = False
    ) -> Said:
        """Say a review in place of what was said before; see `Reviewing.review`."""
        there = compare(review, before)
        spoken, fresh = list(there.kept), list(there.fresh)
        threads: list[_Thread] | None = None
        if uncertain and fresh:
            threads = list(self._threads(number))
            found = self._found(fresh, threads, before)
            spoken += found
            known = {one.remark for one in found}
            fresh = [one for one in fresh if one not in known]
        unplaced: list[Remark] = []
        if fresh:
            said, unplaced = self._say(number, review, fresh, before)
            spoken += said
        if there.gone:
            kept = {one.place for one in spoken}
            self._hide(list(self._threads(number)) if threads is None else threads, there.gone, kept)
        return Said(spoken=tuple(spoken), unplaced=tuple(unplaced))

    # --- saying ---------------------------------------------------------------------------

    def _say(
        self, number: int, review: Review, fresh: Sequence[Remark], before: Sequence[Spoken]
    ) -> tuple[list[Spoken], list[Remark]]:
        """Return what was said and what found no place.  One bad comment fails the whole review."""
        try:
            return self._sent(number, review, fresh, before), []
        except RefusedError as error:
            if "locked" in error.message.lower():
                return [], list(fresh)  # its people want no more said: the check says it all the same
            if error.status != 422:
                raise
        said = self.client.get(self._path("pulls", number)).json()
        head = said.get("head") if isinstance(said, dict) else None
        if not isinstance(head, dict) or head.get("sha") != review.commit:
            raise SupersededError("The pull request has another head than the one that was reviewed.")
        inside, outside = placed(fresh, changed(self.client, self.repository, number))
        if not inside:
            return [], list(fresh)
        try:
            return self._sent(number, review, inside, before), outside
        except RefusedError as error:
            if error.status != 422:
                raise
        return [], list(fresh)  # why, only GitHub knows; the check says it all the same

    def _sent(
        self, number: int, review: Review, remarks: Sequence[Remark], before: Sequence[Spoken]
    ) -> list[Spoken]:
        body = {
            "commit_id": review.commit,
            "event": "COMMENT",
            "body": review.body[:_LONGEST],
            "comments": [_comment(one) for one in remarks],
        }
        try:
            said = self.client.write("POST", self._path("pulls", number, "reviews"), body).json()
        except AmbiguousError:
            found = self._found(remarks, list(self._threads(number)), before)
            if len(found) < len(remarks):
                raise
            return found
        id_ = said.get("id") if isinstance(said, dict) else None
        if not isinstance(id_, int):
            raise ForgeError("GitHub made no review.")
        return [Spoken(remark=one, place=str(id_)) for one in remarks]

    def _found(
        self, remarks: Sequence[Remark], threads: Sequence[_Thread], before: Sequence[Spoken]
    ) -> list[Spoken]:
        """Return the remarks that are said already, in a review that is none of those before."""
        known = {one.place for one in before}
        left = [one for one in threads if not one.resolved and str(one.review) not in known]
        found: list[Spoken] = []
        for remark in remarks:
            one = _best(left, remark)
            if one is not None:
                left.remove(one)
                found.append(Spoken(remark=remark, place=str(one.review)))
        return found

    # --- settling -------------------------------------------------------------------------

    def _hide(self, threads: Sequence[_Thread], gone: Sequence[Spoken], kept: set[str]) -> None:
        left = list(threads)
        settled: list[_Thread] = []
        for spoken in gone:
            one = _best([each for each in left if str(each.review) == spoken.place], spoken.remark)
            if one is not None:
                left.remove(one)
                if not one.resolved:
                    settled.append(one)
        for start in range(0, len(settled), _AT_ONCE):
            self._settle(settled[start : start + _AT_ONCE])
        # A review of which nothing is left to say is folded away as a whole.
        done = {one.review_node for one in settled if str(one.review) not in kept and one.review_node}
        if done:
            self._minimized(sorted(done))

    def _settle(self, threads: Sequence[_Thread]) -> None:
        if self._mutated("resolveReviewThread", "threadId", [one.id for one in threads], "thread { id }"):
            return
        if self._minimized([one.comment for one in threads]):
            return
        for one in threads:
            path = self._path("pulls", "comments", one.number)
            self.client.ask_again("PATCH", path, {"body": SETTLED})

    def _minimized(self, ids: Sequence[str]) -> bool:
        return self._mutated(
            "minimizeComment",
            "subjectId",
            ids,
            "minimizedComment { isMinimized }",
            ", classifier: RESOLVED",
        )

    def _mutated(self, what: str, key: str, ids: Sequence[str], shape: str, more: str = "") -> bool:
        """Do the same with several things in one request; return whether GitHub let us."""
        names = [f"i{place}" for place in range(len(ids))]
        declared = ", ".join(f"${name}: ID!" for name in names)
        parts = [f"{name}: {what}(input: {{{key}: ${name}{more}}}) {{ {shape} }}" for name in names]
        try:
            self.client.mutate(
                f"mutation({declared}) {{ {' '.join(parts)} }}", dict(zip(names, ids, strict=True))
            )
        except (QueryError, NoGraphQLError, RefusedError):
            return False
        return True

    def _threads(self, number: int) -> Iterator[_Thread]:
        """Yield the threads that our account began."""
        owner, _, name = self.repository.partition("/")
        after: str | None = None
        for _ in range(_MOST_THREADS):
            variables = {"owner": owner, "name": name, "number": number, "after": after}
            try:
                said = self.client.query(_THREADS, variables)
            except (NoGraphQLError, QueryError):  # an older server knows no such fields
                yield from self._comments(number)
                return
            found = _below(said, "repository", "pullRequest", "reviewThreads")
            for node in _below(found, "nodes") or ():
                one = self._thread(node)
                if one is not None:
                    yield one
            after = _below(found, "pageInfo", "endCursor")
            if _below(found, "pageInfo", "hasNextPage") is not True or not isinstance(after, str):
                return

    def _thread(self, node: Any) -> _Thread | None:
        first = next(iter(_below(node, "comments", "nodes") or ()), None)
        author = _below(first, "author")
        if not isinstance(first, dict) or not isinstance(author, dict) or not self.is_ours(author):
            return None
        try:
            return _Thread(
                id=str(node["id"]),
                resolved=bool(node["isResolved"]) or bool(first["isMinimized"]),
                comment=str(first["id"]),
                number=int(first["fullDatabaseId"]),
                path=str(first["path"]),
                line=int(node["originalLine"] or 0),
                body=str(first["body"]),
                review=int(_below(first, "pullRequestReview", "fullDatabaseId") or 0),
                review_node=str(_below(first, "pullRequestReview", "id") or ""),
            )
        except (KeyError, TypeError, ValueError):
            return None

    def _comments(self, number: int) -> Iterator[_Thread]:
        """Yield the same by REST, which knows of no threads: what is settled is told by its text."""
        for one in self.client.pages(self._path("pulls", number, "comments"), most=_MOST_THREADS):
            if (
                not isinstance(one, dict)
                or one.get("in_reply_to_id")
                or not self.is_ours(one.get("user") or {})
            ):
                continue
            body, id_ = one.get("body"), one.get("id")
            if isinstance(body, str) and isinstance(id_, int):
                yield _Thread(
                    id="",
                    resolved=same(body, SETTLED),
                    comment=str(one.get("node_id") or ""),
                    number=id_,
                    path=str(one.get("path") or ""),
                    line=int(one.get("original_line") or 0),
                    body=body,
                    review=int(one.get("pull_request_review_id") or 0),
                    review_node="",
                )

    def _path(self, *parts: str | int) -> str:
        return repository_path(self.repository, *(str(part) for part in parts))


def changed(client: Client, repository: str, number: int) -> tuple[ChangedFile, ...]:
    """Return the files of a pull request, 3,000 at most; where GitHub shows no diff there are no hunks."""
    found: list[ChangedFile] = []
    path = repository_path(repository, "pulls", str(number), "files")
    for one in client.pages(path, most=_MOST_FILES):
        name = one.get("filename") if isinstance(one, dict) else None
        if not isinstance(name, str):
            continue
        patch, old = one.get("patch"), one.get("previous_filename")
        gone = one.get("status") == "removed"
        found.append(
            ChangedFile(
                path=name,
                hunks=hunks(patch) if isinstance(patch, str) and not gone else (),
                old_path=old if isinstance(old, str) else "",
            )
        )
    return tuple(found)


def _comment(remark: Remark) -> dict[str, Any]:
    made: dict[str, Any] = {
        "path": remark.path,
        "body": composed(remark, "suggestion")[:_LONGEST],
        "line": remark.last,
        "side": "RIGHT",
    }
    if remark.first < remark.last:
        made |= {"start_line": remark.first, "start_side": "RIGHT"}
    return made


def _best(threads: Sequence[_Thread], remark: Remark) -> _Thread | None:
    """Return the thread that a remark began: of several that say the same the one on its line."""
    found = [one for one in threads if _is(one, remark)]
    return min(found, key=lambda one: (one.line != remark.last, one.resolved), default=None)


def _is(thread: _Thread, remark: Remark) -> bool:
    return thread.path == remark.path and same(thread.body, composed(remark, "suggestion"))


def _below(start: Any, *keys: str) -> Any:
    for key in keys:
        start = start.get(key) if isinstance(start, dict) else None
    return start
