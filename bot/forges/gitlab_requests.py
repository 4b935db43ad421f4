"""Merge requests: looked up before they are made, adopted where they are there already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bot.errors import ForgeError
from bot.forges.base import Opened, Request, RequestState, Wish
from bot.forges.gitlab_answers import Node, commit, moment, node, nodes, number, text
from bot.forges.gitlab_api import Api, RefusedError, UncertainError
from bot.forges.gitlab_kept import Kept
from bot.forges.gitlab_people import People
from bot.forges.gitlab_projects import Project
from bot.forges.gitlab_texts import bare_title, harmless, titled
from bot.visible import visible

_JUST_NOW = 30.0
"""Seconds for which a look at a branch's requests counts as the look before a write."""
_STATES = {
    "opened": RequestState.OPEN,
    "locked": RequestState.OPEN,
    "closed": RequestState.CLOSED,
    "merged": RequestState.MERGED,
}
_RECENT = 5.0
"""Seconds by which the server's clock may be misread: its `Date` has whole seconds."""


class Requests:
    """Merge requests of projects."""

    def __init__(self, api: Api, people: People, clock: Callable[[], float]) -> None:
        self._api = api
        self._people = people
        self._looked: Kept[tuple[int, str, str], tuple[Node, ...]] = Kept(
            1_000, seconds=_JUST_NOW, clock=clock
        )

    # --- reading --------------------------------------------------------------------------

    def one(self, project: int, number_: int) -> Request:
        """Return a merge request; raises `MissingError`."""
        return self._request(self._said(project, number_))

    def _said(self, project: int, number_: int) -> Node:
        return node(self._api.get(f"{_place(project)}/{number_}"))

    def _between(self, project: int, base: str, branch: str) -> tuple[Node, ...]:
        """Return the merge requests of this project's branch to a base, in any state, newest first."""
        query = {
            "source_branch": branch,
            "target_branch": base,
            "state": "all",
            "scope": "all",
            "order_by": "created_at",
            "sort": "desc",
            "per_page": 100,
        }
        rows, _ = self._api.page(_place(project), query)
        made = tuple(row for row in rows if _is_between(row, base, branch))
        self._looked.put((project, base, branch), made)
        return made

    def newest(self, project: int, base: str, branch: str) -> Request | None:
        """Return our own newest merge request from a branch to a base, an open one before all."""
        found = [self._request(row) for row in self._between(project, base, branch)]
        ours = [one for one in found if one.ours]
        return next((one for one in ours if one.state is RequestState.OPEN), ours[0] if ours else None)

    def _request(self, said: Node) -> Request:
        state = _STATES.get(text(said, "state"))
        if state is None or number(said, "iid") <= 0:
            raise ForgeError("GitLab's answer is no merge request.")
        head = commit(said, "sha") or ""
        refs = node(said["diff_refs"]) if isinstance(said.get("diff_refs"), dict) else {}
        # Until GitLab has looked at what was pushed last they are of what was there before.
        told = bool(head) and commit(refs, "head_sha") == head
        return Request(
            number=number(said, "iid"),
            url=text(said, "web_url"),
            state=state,
            branch=text(said, "source_branch"),
            base=text(said, "target_branch"),
            head=head,
            title=bare_title(text(said, "title")),
            body=text(said, "description"),
            ours=number(said, "author", "id") == self._people.number,
            fork=number(said, "source_project_id") != number(said, "target_project_id"),
            by=_ended_by(said, state),
            against=(commit(refs, "start_sha") or "") if told else "",
            since=(commit(refs, "base_sha") or "") if told else "",
            files=_exactly(text(said, "changes_count")) if told else None,
        )

    # --- writing --------------------------------------------------------------------------

    def open(self, project: Project, base: str, branch: str, wish: Wish) -> Opened:
        """Return the open merge request from branch to base, made as wished, or edited where it is there."""
        looked = self._looked.pop((project.id, base, branch))
        there = self._open_one(self._between(project.id, base, branch) if looked is None else looked)
        if there is None:
            return self._create(project, base, branch, wish)
        return self._adopted(project, there, wish)

    def _create(self, project: Project, base: str, branch: str, wish: Wish) -> Opened:
        reviewers = self._people.named(wish.reviewers, "reviewer")
        assignees = self._people.named(wish.assignees, "assignee")
        notes = [*reviewers.notes, *assignees.notes]
        body: dict[str, object] = {
            "source_branch": branch,
            "target_branch": base,
            "title": titled(wish.title, draft=wish.draft),
            "description": harmless(wish.body),
            "remove_source_branch": wish.remove_branch,
        }
        if wish.squash is not None:
            body["squash"] = wish.squash
        labels = [visible(label, 255).replace(",", " ") for label in wish.labels]
        if labels:
            body["labels"] = ",".join(labels)
        asked = {"reviewer_ids": list(reviewers.ids), "assignee_ids": list(assignees.ids)}
        people = {key: ids for key, ids in asked.items() if ids}
        try:
            try:
                answer = node(self._api.send("post", _place(project.id), {**body, **people}))
            except RefusedError as error:
                if error.status == 409 or not people:
                    raise
                # Refused is not done: it may be the people, and the request matters more than they do.
                answer = node(self._api.send("post", _place(project.id), body))
                notes.append(f"Reviewers and assignees were left out, since GitLab refused: {error.said}")
                people = {}
        except (RefusedError, UncertainError) as error:
            if isinstance(error, RefusedError) and error.status != 409:
                raise
            there = self._open_one(self._between(project.id, base, branch))
            if there is None:
                raise
            adopted = self._adopted(project, there, wish)
            return replace(adopted, notes=(*notes, *adopted.notes))
        for key, ids in people.items():
            given = {number(one, "id") for one in nodes(answer.get(f"{key.removesuffix('_ids')}s"))}
            if set(ids) - given:
                notes.append(
                    f"GitLab took {len(given)} of {len(ids)} {key.removesuffix('_ids')}s; more need a higher tier."
                )
        return Opened(request=self._request(answer), notes=tuple(notes))

    def edit(self, project: Project, number_: int, wish: Wish) -> Opened:
        """Make title and body of an open merge request as wished; whether it is a draft is left to people."""
        return self._edited(project, self._said(project.id, number_), wish)

    def _adopted(self, project: Project, said: Node, wish: Wish) -> Opened:
        there = self._request(said)
        if not there.ours:
            note = f"!{there.number} proposes the branch already; somebody else opened it, and it was left as it is."
            return Opened(request=there, notes=(note,))
        return self._edited(project, said, wish)

    def _edited(self, project: Project, said: Node, wish: Wish) -> Opened:
        there = self._request(said)
        if there.state is not RequestState.OPEN:
            return Opened(
                request=there, notes=(f"!{there.number} is not open any more, and was left as it is.",)
            )
        title = titled(wish.title, draft=there.title != text(said, "title"))
        body: dict[str, object] = {}
        if bare_title(title) != there.title:
            body["title"] = title
        description = harmless(wish.body)
        if description.rstrip() != there.body.replace("\r\n", "\n").rstrip():
            body["description"] = description
        if not body:
            return Opened(request=there)
        place = f"{_place(project.id)}/{there.number}"
        try:
            return Opened(request=self._request(node(self._api.send("put", place, body))))
        except UncertainError:
            now = self._said(project.id, there.number)
            if any(text(now, key).rstrip() != str(value).rstrip() for key, value in body.items()):
                raise
            return Opened(request=self._request(now))

    def close(self, project: int, number_: int, comment: str) -> None:
        """Say why once, and close a merge request; one that is not open is left without a word."""
        there = self.one(project, number_)
        if there.state is not RequestState.OPEN:
            return
        if comment and not self._is_said(project, number_, comment, since=0.0):
            self.comment(project, number_, comment)
        try:
            self._api.send("put", f"{_place(project)}/{number_}", {"state_event": "close"})
        except UncertainError:
            if self.one(project, number_).state is RequestState.OPEN:
                raise

    def comment(self, project: int, number_: int, body: str) -> None:
        """Add a note; where GitLab fails after having done so, the note is looked for and not said twice."""
        since = self._api.now() - _RECENT
        try:
            self._api.send("post", f"{_place(project)}/{number_}/notes", {"body": harmless(body)})
        except UncertainError:
            if not self._is_said(project, number_, body, since=since):
                raise

    def _is_said(self, project: int, number_: int, body: str, *, since: float) -> bool:
        """Return whether one of the newest notes is ours, says this, and was made since then."""
        query = {"sort": "desc", "order_by": "created_at", "per_page": 100}
        rows, _ = self._api.page(f"{_place(project)}/{number_}/notes", query)
        wanted = harmless(body).strip()
        return any(
            text(row, "body").strip() == wanted
            and number(row, "author", "id") == self._people.number
            and (at := moment(text(row, "created_at"))) is not None
            and at.timestamp() >= since
            for row in rows
        )

    def _open_one(self, found: tuple[Node, ...]) -> Node | None:
        return next((one for one in found if self._request(one).state is RequestState.OPEN), None)


def _ended_by(said: Node, state: RequestState) -> str:
    """Return the name of who merged or closed a merge request; empty where that is not told."""
    if state is RequestState.MERGED:
        return text(said, "merge_user", "username") or text(said, "merged_by", "username")
    return text(said, "closed_by", "username") if state is RequestState.CLOSED else ""


def _place(project: int) -> str:
    return f"/projects/{project}/merge_requests"


def _exactly(count: str) -> int | None:
    """Return how many files there are; of too many, or too long ones, GitLab says `1000+` and leaves some out."""
    return int(count) if count.isascii() and count.isdigit() and len(count) < 9 else None


def _is_between(said: Node, base: str, branch: str) -> bool:
    """Return whether a row is about these branches, both of one project: a fork's may have the same name."""
    return (text(said, "source_branch"), text(said, "target_branch")) == (branch, base) and number(
        said, "source_project_id"
    ) == number(said, "target_project_id")
