"""Reviews of people's merge requests: discussions on lines, one notification, resolved when settled.

A discussion is ours by its author's id and by what we remember of it.  Drafts make one notification of
several notes; where a server has none, or will not have them, the discussions are begun one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bot.errors import ForgeError, MissingError, SupersededError
from bot.forges.base import ChangedFile, Remark, Request, Review, Said, Spoken
from bot.forges.gitlab_answers import Node, commit, flag, node, nodes, number, text
from bot.forges.gitlab_api import Api, RefusedError, UncertainError
from bot.forges.gitlab_files import Grown
from bot.forges.gitlab_kept import Kept
from bot.forges.gitlab_session import OversizedError
from bot.forges.gitlab_texts import MAX_TEXT, harmless
from bot.forges.remarks import composed, hunks, same
from bot.settling import settle

_MOST_PAGES = 30
_JUST_NOW = 60.0
"""Seconds for which what a merge request changes is not asked again; its head is, before anything is said."""
_HEAD = re.compile(r"@@ -(\d{1,9})(?:,\d{1,9})? \+(\d{1,9})")
_SETTLED = 4000
"""Lines of a diff that a place is looked for in at most, times a hundred."""
_Lines: TypeAlias = dict[int, int | None]
"""The old number of each line of a new file that a diff shows; None for one that was added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Diff:
    """A file of a merge request."""

    path: str
    old_path: str
    diff: str

    def lines(self) -> _Lines:
        """Return which lines of the new file are shown."""
        found: _Lines = {}
        old = new = 0
        for line in self.diff.split("\n")[: _SETTLED * 100]:
            if head := _HEAD.match(line):
                old, new = int(head[1]), int(head[2])
            elif line.startswith("+"):
                found[new] = None
                new += 1
            elif line.startswith("-"):
                old += 1
            elif line.startswith(" "):
                found[new] = old
                old, new = old + 1, new + 1
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Discussion:
    """A discussion that our own account began on a line."""

    id: str
    path: str
    body: str
    line: int
    head: str
    """The head for which its place is known: GitLab moves it along until its line is changed."""
    resolved: bool

    def now(self, head: str) -> int | None:
        """Return the line that it stands on at a head, None where it stands on none."""
        return self.line if self.head == head and self.line else None


class Reviews:
    """Reviews of merge requests; `us` is the number of our account."""

    def __init__(
        self,
        api: Api,
        us: Callable[[], int],
        clock: Callable[[], float],
        learn: Callable[[int, str, Grown], None],
    ) -> None:
        """`learn` is told what a head is made of."""
        self._api = api
        self._learn = learn
        self._us = us
        self._refs: Kept[tuple[int, int], Mapping[str, str]] = Kept(1_000, seconds=_JUST_NOW, clock=clock)
        self._counts: Kept[tuple[int, int], int] = Kept(1_000, seconds=_JUST_NOW, clock=clock)
        self._edited: Kept[tuple[int, int], str] = Kept(1_000, seconds=_JUST_NOW, clock=clock)
        """Heads of merge requests that only edit files which were there before."""
        self._shown: Kept[tuple[int, int], tuple[_Diff, ...]] = Kept(100, seconds=_JUST_NOW, clock=clock)

    def note(self, project: int, request: Request) -> None:
        """Remember where a merge request is: what is said of it soon need not ask again."""
        self._shown.pop((project, request.number))  # it was of the head before
        if request.since and request.against:
            refs = {"base_sha": request.since, "start_sha": request.against, "head_sha": request.head}
            self._refs.put((project, request.number), refs)
            if request.files is not None:
                self._counts.put((project, request.number), request.files)
        if request.changed is not None:
            self._edited.put((project, request.number), request.head)

    def changed(self, project: int, request: int) -> tuple[ChangedFile, ...]:
        """Return the files of a merge request, as far as GitLab tells of them."""
        return tuple(
            ChangedFile(
                path=one.path,
                hunks=hunks(one.diff),
                old_path=one.old_path if one.old_path != one.path else "",
            )
            for one in self._diffs(project, request)
        )

    def review(
        self,
        project: int,
        request: int,
        review: Review,
        before: tuple[Spoken, ...] = (),
        *,
        uncertain: bool = False,
    ) -> Said:
        """Say a review in place of what was said before; see `Reviewing.review`."""
        there = settle(review.remarks, before)
        discussions: tuple[_Discussion, ...] = ()
        if uncertain or not there.certain:
            discussions = tuple(self._discussions(project, request))
        if not there.certain:
            begun = {one.id: one for one in discussions}
            there = settle(
                review.remarks,
                before,
                {one: begun[one.place].now(review.commit) for one in before if one.place in begun},
            )
        spoken, fresh = list(there.kept), list(there.fresh)
        places = {one.place for one in before}
        lost: list[str] = []
        if uncertain:
            # Who was stopped may have said this very review, or one before it.
            found = _found(discussions, fresh, places, review.commit)
            spoken += found
            known = {one.remark for one in found}
            fresh = [one for one in fresh if one not in known]
            said_now = {one.place for one in found} | places
            lost = [one.id for one in discussions if not one.resolved and one.id not in said_now]
        unplaced: list[Remark] = []
        if fresh:
            said, unplaced = self._say(
                project,
                request,
                review,
                fresh,
                places | {one.place for one in spoken},
                tidy=not uncertain,
            )
            spoken += said
        for place in (*(one.place for one in there.gone), *lost):
            self._resolve(project, request, place)
        return Said(spoken=tuple(spoken), unplaced=tuple(unplaced))

    # --- saying ---------------------------------------------------------------------------

    def _say(
        self,
        project: int,
        request: int,
        review: Review,
        fresh: Sequence[Remark],
        before: set[str],
        *,
        tidy: bool,
    ) -> tuple[list[Spoken], list[Remark]]:
        """Return what was said and what found no place; `tidy` where no drafts can be left over."""
        known = self._refs.pop((project, request))
        if known is None or known["head_sha"] != review.commit:
            known = self._at(project, request, review)
        at = {**known, "position_type": "text"}
        shown = self._shown.get((project, request))
        if shown is None and self._edited.pop((project, request)) == review.commit:
            # What is said without a look at the diff stands on lines that were not there before.
            added = [(one, {**at, **_added(one)}) for one in fresh]
            made, left = self._said(project, request, review, added, before, tidy=tidy)
            if not left:
                return made, []
            places = before | {one.place for one in made}
            more, left = self._say(project, request, review, left, places, tidy=True)
            return made + more, left
        shown = shown or self._diffs(project, request)
        diffs = {one.path: one for one in shown}
        notes: list[tuple[Remark, dict[str, object]]] = []
        unplaced: list[Remark] = []
        for remark in fresh:
            diff = diffs.get(remark.path)
            position = _position(diff, remark) if diff is not None else None
            if position is None:
                unplaced.append(remark)
            else:
                notes.append((remark, {**at, **position}))
        said, refused = self._said(project, request, review, notes, before, tidy=tidy)
        return said, unplaced + refused

    def _said(
        self,
        project: int,
        request: int,
        review: Review,
        notes: Sequence[tuple[Remark, dict[str, object]]],
        before: set[str],
        *,
        tidy: bool,
    ) -> tuple[list[Spoken], list[Remark]]:
        """Return what was said and what GitLab would not have."""
        if len(notes) > 1:
            made = self._by_drafts(project, request, review, notes, before, tidy=tidy)
            if made is not None:
                return made
        return self._one_by_one(project, request, review, notes, before)

    def _at(self, project: int, request: int, review: Review) -> Mapping[str, str]:
        """Return what a position on a merge request names, asked now."""
        said = node(self._api.get(_place(project, request)))
        found = {key: commit(said, "diff_refs", key) or "" for key in ("base_sha", "start_sha", "head_sha")}
        if found["head_sha"] != review.commit or not all(found.values()):
            raise SupersededError("The merge request has another head than the one that was reviewed.")
        return found

    def _by_drafts(
        self,
        project: int,
        request: int,
        review: Review,
        notes: Sequence[tuple[Remark, dict[str, object]]],
        before: set[str],
        *,
        tidy: bool,
    ) -> tuple[list[Spoken], list[Remark]] | None:
        """Say everything at once; None where this server does not let us."""
        place = f"{_place(project, request)}/draft_notes"
        if not tidy:
            try:
                left, _ = self._api.page(place, {"per_page": 100})  # those of our own account alone
                for one in left:
                    self._api.send("delete", f"{place}/{number(one, 'id')}")
            except (MissingError, RefusedError):
                return None
        unplaced: list[Remark] = []
        drafted: list[Remark] = []
        for remark, position in notes:
            # What would be a note of its own goes below the first: one notification less.
            below = f"\n\n{harmless(review.body)}" if not drafted and review.body else ""
            body = {"note": f"{_text(remark)}{below}", "position": position}
            try:
                self._api.send("post", place, body)
            except MissingError:
                return None
            except RefusedError as error:
                if error.status not in (400, 422):
                    return None
                self._at(project, request, review)  # it may have moved on meanwhile
                unplaced.append(remark)
            else:
                drafted.append(remark)
        if not drafted:
            return [], unplaced
        self._api.send("post", f"{place}/bulk_publish")
        found = _found(self._discussions(project, request), drafted, before, review.commit)
        return found, unplaced

    def _one_by_one(
        self,
        project: int,
        request: int,
        review: Review,
        notes: Sequence[tuple[Remark, dict[str, object]]],
        before: set[str],
    ) -> tuple[list[Spoken], list[Remark]]:
        made: list[Spoken] = []
        unplaced: list[Remark] = []
        for remark, position in notes:
            # What would be a note of its own goes below the first: one notification less.
            below = f"\n\n{harmless(review.body)}" if not made and review.body else ""
            body = {"body": f"{_text(remark)}{below}", "position": position}
            try:
                said = node(self._api.send("post", f"{_place(project, request)}/discussions", body))
            except UncertainError:
                there = self._discussions(project, request)
                found = _found(there, [remark], before | {one.place for one in made}, review.commit)
                if not found:
                    raise
                made += found
                continue
            except RefusedError as error:
                if error.status not in (400, 403, 422):
                    raise
                self._at(project, request, review)  # 403: its people have locked the discussion
                unplaced.append(remark)
                continue
            if not text(said, "id"):
                raise ForgeError("GitLab began no discussion.")
            made.append(Spoken(remark=remark, place=text(said, "id")))
        return made, unplaced

    # --- what stands there ----------------------------------------------------------------

    def _discussions(self, project: int, request: int) -> Iterator[_Discussion]:
        """Yield our own discussions on lines."""
        us = self._us()
        for one in self._api.pages(f"{_place(project, request)}/discussions", {}, most=_MOST_PAGES):
            first = next(nodes(one.get("notes")), None)
            if (
                first is not None
                and number(first, "author", "id") == us
                and text(first, "position", "new_path")
            ):
                yield _Discussion(
                    id=text(one, "id"),
                    path=text(first, "position", "new_path"),
                    body=text(first, "body"),
                    line=number(first, "position", "new_line"),
                    head=text(first, "position", "head_sha"),
                    resolved=flag(first, "resolved"),
                )

    def _resolve(self, project: int, request: int, discussion: str) -> None:
        if not re.fullmatch(r"[0-9A-Za-z_-]{1,100}", discussion):
            return
        place = f"{_place(project, request)}/discussions/{discussion}"
        try:
            self._api.send("put", place, {"resolved": True})
        except (MissingError, RefusedError):
            return  # somebody removed it, or the merge request lets nobody any more: it is history
        except UncertainError:
            self._api.send("put", place, {"resolved": True})  # to resolve it twice is to resolve it

    def _diffs(self, project: int, request: int) -> tuple[_Diff, ...]:
        """Return what a merge request changes; what was removed has no diff here."""
        made = self._between(project, request)
        if made is None:
            rows = self._api.pages(f"{_place(project, request)}/diffs", {}, most=_MOST_PAGES)
            made = tuple(_diff(one) for one in rows if text(one, "new_path"))
        self._shown.put((project, request), made)
        return made

    def _between(self, project: int, request: int) -> tuple[_Diff, ...] | None:
        """Return the same by the very commits, where they are known; None where it may not be all of it.

        What a merge request changes may be of another head by the time that it is asked.
        """
        refs, count = self._refs.get((project, request)), self._counts.get((project, request))
        if refs is None or not count:
            return None
        since, head = refs["base_sha"], refs["head_sha"]
        query = {"from": since, "to": head, "straight": "true"}
        try:
            said = node(self._api.get(f"/projects/{project}/repository/compare", query))
        except (MissingError, RefusedError, OversizedError):
            return None  # a fork's commits need not be known here
        rows = [one for one in nodes(said.get("diffs")) if text(one, "new_path")]
        if len(rows) != count or flag(said, "compare_timeout") or text(said, "commit", "id") != head:
            return None
        self._learn(project, head, _grown(since, rows))
        return tuple(map(_diff, rows))


def _diff(row: Node) -> _Diff:
    return _Diff(
        path=text(row, "new_path"),
        old_path=text(row, "old_path"),
        diff="" if flag(row, "deleted_file") else text(row, "diff"),
    )


def _grown(since: str, rows: Sequence[Node]) -> Grown:
    there = {text(row, "new_path") for row in rows if not flag(row, "deleted_file")}
    gone = {text(row, "old_path") for row in rows if flag(row, "deleted_file") or flag(row, "renamed_file")}
    return Grown(since=since, there=frozenset(there), gone=frozenset(gone - there))


def _place(project: int, request: int) -> str:
    return f"/projects/{project}/merge_requests/{request}"


def _found(
    discussions: Iterable[_Discussion], remarks: Sequence[Remark], before: set[str], head: str
) -> list[Spoken]:
    """Return the remarks that stand there as open discussions that we did not know."""
    left = [one for one in discussions if not one.resolved and one.id not in before]
    found: list[Spoken] = []
    for remark in remarks:
        said = _text(remark)
        alike = [
            one
            for one in left
            if one.path == remark.path and one.now(head) == remark.first and _begins(one.body, said)
        ]
        if alike:
            left.remove(alike[0])
            found.append(Spoken(remark=remark, place=alike[0].id))
    return found


def _text(remark: Remark) -> str:
    """Return a note with its suggestion, which counts its lines from the one that it stands on."""
    below = remark.last - remark.first
    body = harmless(remark.body)
    fenced = Remark(
        path=remark.path, first=remark.first, last=remark.last, body=body, suggestion=remark.suggestion
    )
    return composed(fenced, f"suggestion:-0+{below}")[:MAX_TEXT]


def _begins(there: str, said: str) -> bool:
    """Return whether a note is what was said, or that and what stands below the first of several."""
    plain = there.replace("\r\n", "\n").strip()
    return same(plain, said) or plain.startswith(f"{said.strip()}\n\n")


def _added(remark: Remark) -> Node:
    """Return where a remark stands on an added line of a file that kept its name."""
    return {"old_path": remark.path, "new_path": remark.path, "new_line": remark.first}


def _position(diff: _Diff, remark: Remark) -> Node | None:
    """Return where a remark stands: added lines have a new number alone, unchanged ones both."""
    lines = diff.lines()
    if any(line not in lines for line in range(remark.first, remark.last + 1)):
        return None
    old = lines[remark.first]
    position: dict[str, object] = {
        "old_path": diff.old_path or diff.path,
        "new_path": diff.path,
        "new_line": remark.first,
    }
    return position if old is None else {**position, "old_line": old}
