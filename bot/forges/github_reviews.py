"""Reviews of people's pull requests: one review in one request, settled threads resolved or hidden.

A comment is ours by its account and by the review that we remember to have made, never by its text alone;
the text only tells which of a review's comments is which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.errors import ForgeError, SupersededError
from bot.forges.base import ChangedFile, Remark, Review, Said, Spoken
from bot.forges.github_client import Client, NoGraphQLError, QueryError, RefusedError, repository_path
from bot.forges.github_threads import THREADS, Thread, Told, below, first_line, following
from bot.forges.github_threads import threads as told_threads
from bot.forges.github_transport import AmbiguousError
from bot.forges.remarks import SETTLED, composed, hunks, placed, same
from bot.settling import settle

_MOST_FILES = 30
"""Pages of files, a hundred each: GitHub lists no more than 3,000."""
_MOST_THREADS = 10
_LONGEST = 65_000
_AT_ONCE = 30
_QUERY = (
    "query($owner: String!, $name: String!, $number: Int!, $after: String) {"
    f" repository(owner: $owner, name: $name) {{ pullRequest(number: $number) {{ {THREADS} }} }} }}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviews:
    """Reviews in one repository while it is published to; `told` keeps what was told with a request."""

    repository: str
    client: Client
    is_ours: Callable[[Mapping[str, Any]], bool]
    told: Told

    def review(
        self, number: int, review: Review, before: tuple[Spoken, ...] = (), *, uncertain: bool = False
    ) -> Said:
        """Say a review in place of what was said before; see `Reviewing.review`."""
        told = self.told.take(self.repository, number, review.commit)
        threads: Sequence[Thread] | None = None
        there = settle(review.remarks, before)
        if there.gone or uncertain or not there.certain:
            threads = told if told is not None and not uncertain else tuple(self._threads(number))
        begun = _begun(threads or (), before)
        if not there.certain:
            there = settle(review.remarks, before, {one: thread.now for one, thread in begun.items()})
        spoken, fresh = list(there.kept), list(there.fresh)
        settled = [begun[one] for one in there.gone if one in begun]
        if uncertain:
            # Who was stopped may have said this very review, or one before it.
            found, lost = self._found(fresh, threads or (), before)
            spoken += found
            settled += lost
            known = {one.remark for one in found}
            fresh = [one for one in fresh if one not in known]
        unplaced: list[Remark] = []
        if fresh:
            said, unplaced = self._say(number, review, fresh, before)
            spoken += said
        self._hide([one for one in settled if not one.resolved], {one.place for one in spoken})
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
            found, _ = self._found(remarks, tuple(self._threads(number)), before)
            if len(found) < len(remarks):
                raise
            return found
        id_ = said.get("id") if isinstance(said, dict) else None
        if not isinstance(id_, int):
            raise ForgeError("GitHub made no review.")
        return [Spoken(remark=one, place=str(id_)) for one in remarks]

    def _found(
        self, remarks: Sequence[Remark], threads: Sequence[Thread], before: Sequence[Spoken]
    ) -> tuple[list[Spoken], list[Thread]]:
        """Return the remarks that are said already, in a review that is none of those before, and what else is."""
        known = {one.place for one in before}
        left = [one for one in threads if not one.resolved and str(one.review) not in known]
        found: list[Spoken] = []
        for remark in remarks:
            alike = [one for one in left if _is(one, remark)]
            one = next((each for each in alike if each.now == remark.first), None)
            if one is not None:
                left.remove(one)
                found.append(Spoken(remark=remark, place=str(one.review)))
        return found, left

    # --- settling -------------------------------------------------------------------------

    def _hide(self, settled: Sequence[Thread], kept: set[str]) -> None:
        # A review of which nothing is left to say is folded away as a whole.
        done = sorted({one.review_node for one in settled if str(one.review) not in kept and one.review_node})
        if not settled:
            return
        if len(settled) <= _AT_ONCE and all(one.id for one in settled):
            both = [*_resolving(one.id for one in settled), *_minimizing(done)]
            if self._mutated(both):
                return
        for start in range(0, len(settled), _AT_ONCE):
            self._settle(settled[start : start + _AT_ONCE])
        if done:
            self._mutated(_minimizing(done))

    def _settle(self, threads: Sequence[Thread]) -> None:
        if self._mutated(_resolving(one.id for one in threads)):
            return
        if self._mutated(_minimizing(one.comment for one in threads)):
            return
        for one in threads:
            path = self._path("pulls", "comments", one.number)
            self.client.ask_again("PATCH", path, {"body": SETTLED})

    def _mutated(self, acts: Sequence[_Act]) -> bool:
        """Do several things in one request; return whether GitHub let us."""
        names = [f"i{place}" for place in range(len(acts))]
        declared = ", ".join(f"${name}: ID!" for name in names)
        parts = [f"{name}: {one.said(name)}" for name, one in zip(names, acts, strict=True)]
        variables = {name: one.id for name, one in zip(names, acts, strict=True)}
        try:
            self.client.mutate(f"mutation({declared}) {{ {' '.join(parts)} }}", variables)
        except (QueryError, NoGraphQLError, RefusedError):
            return False
        return True

    def _threads(self, number: int) -> Iterator[Thread]:
        """Yield the threads that our account began."""
        owner, _, name = self.repository.partition("/")
        after: str | None = None
        for _ in range(_MOST_THREADS):
            variables = {"owner": owner, "name": name, "number": number, "after": after}
            try:
                said = self.client.query(_QUERY, variables)
            except (NoGraphQLError, QueryError):  # an older server knows no such fields
                yield from self._comments(number)
                return
            found = below(said, "repository", "pullRequest", "reviewThreads")
            yield from told_threads(found, self.is_ours)
            after = following(found)
            if after is None:
                return

    def _comments(self, number: int) -> Iterator[Thread]:
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
                yield Thread(
                    id="",
                    resolved=same(body, SETTLED),
                    comment=str(one.get("node_id") or ""),
                    number=id_,
                    path=str(one.get("path") or ""),
                    line=int(one.get("original_line") or 0),
                    now=first_line(one.get("start_line"), one.get("line")),
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


def _begun(threads: Sequence[Thread], before: Sequence[Spoken]) -> dict[Spoken, Thread]:
    """Return the thread that each remark began: of several that say the same the one that began on its line."""
    left = list(threads)
    found: dict[Spoken, Thread] = {}
    for exactly in (True, False):
        for spoken in before:
            if spoken in found or not spoken.place:
                continue
            alike = [one for one in left if str(one.review) == spoken.place and _is(one, spoken.remark)]
            fitting = [one for one in alike if one.line == spoken.remark.last or not exactly]
            if fitting:
                found[spoken] = fitting[0]
                left.remove(fitting[0])
    return found


def _is(thread: Thread, remark: Remark) -> bool:
    return thread.path == remark.path and same(thread.body, composed(remark, "suggestion"))


@dataclass(frozen=True, slots=True)
class _Act:
    """One thing of a mutation."""

    what: str
    key: str
    id: str
    shape: str
    more: str = ""

    def said(self, name: str) -> str:
        """Return it as GraphQL, its id in the variable `name`."""
        return f"{self.what}(input: {{{self.key}: ${name}{self.more}}}) {{ {self.shape} }}"


def _resolving(ids: Iterable[str]) -> list[_Act]:
    return [_Act("resolveReviewThread", "threadId", one, "thread { id }") for one in ids]


def _minimizing(ids: Iterable[str]) -> list[_Act]:
    shape = "minimizedComment { isMinimized }"
    return [_Act("minimizeComment", "subjectId", one, shape, ", classifier: RESOLVED") for one in ids]
