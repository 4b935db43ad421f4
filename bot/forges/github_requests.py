"""Pull requests of our own: opened once, edited in place, closed with a word."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.errors import ForgeError, MissingError
from bot.forges.base import Opened, Request, RequestState, Wish
from bot.forges.github_client import Client, RefusedError, repository_path
from bot.forges.github_look import Look
from bot.forges.github_transport import AmbiguousError, clean

_LONGEST_TITLE = 256
_LONGEST_BODY = 65_536
_CUT_OFF = "\n\n*(cut: GitHub takes no longer text)*"
_MOST_COMMENTS = 10
"""Pages of comments that are looked through for one of ours."""
_MOST_NAMES = 100
_MOST_ASSIGNEES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Pull requests of one repository while it is published to."""

    repository: str
    client: Client
    look: Look
    is_ours: Callable[[object], bool]

    def open(self, base: str, branch: str, wish: Wish, *, looked: bool) -> Opened:
        """Return the open request from branch to base; see `Hosting.open`.

        `looked` says that there was none a moment ago.  GitHub itself lets no second one be open between
        the same two branches, so that one that came since is met there.
        """
        there = None if looked else self.look.request_of(base, branch, "open")
        if there is not None:
            return self._adopted(there, wish)
        body = {**_texts(wish), "head": branch, "base": base}
        notes: list[str] = []
        try:
            made = self._created(body, wish.draft, notes)
        except AmbiguousError:
            there = self.look.request_of(base, branch, "open")
            if there is None:
                raise
            return self._adopted(there, wish)
        except RefusedError as error:
            there = self.look.request_of(base, branch, "open") if "already exists" in error.message else None
            if there is None:
                raise _not_opened(error) from None
            return self._adopted(there, wish)
        return Opened(request=made, notes=(*notes, *self._dressed(made.number, wish)))

    def edit(self, number: int, wish: Wish) -> Opened:
        """Make title and body as wished; see `Hosting.edit`."""
        said = self.client.ask_again("PATCH", self._path("pulls", number), _texts(wish)).json()
        return Opened(request=self.look.told(said))

    def close(self, number: int, comment: str) -> None:
        """Say why, once, and close; see `Hosting.close`."""
        there = self.look.request(number)
        if there.state is not RequestState.OPEN:
            return
        if comment and not self._said(number, comment):
            self.comment(number, comment)
        self.client.ask_again("PATCH", self._path("pulls", number), {"state": "closed"})

    def comment(self, number: int, body: str) -> None:
        """Add a comment; where the answer was lost, it is looked for before anything else."""
        text = _cut(body)
        try:
            self.client.write("POST", self._path("issues", number, "comments"), {"body": text})
        except AmbiguousError:
            if not self._said(number, text):
                raise

    # --- the rest ------------------------------------------------------------------------

    def _created(self, body: Mapping[str, Any], draft: bool, notes: list[str]) -> Request:
        path = repository_path(self.repository, "pulls")
        try:
            return self.look.told(self.client.write("POST", path, {**body, "draft": draft}).json())
        except RefusedError as error:
            if not draft or "draft" not in error.message.lower():
                raise
        notes.append("Drafts are not part of this repository's plan: the request is an ordinary one.")
        return self.look.told(self.client.write("POST", path, {**body, "draft": False}).json())

    def _adopted(self, there: Request, wish: Wish) -> Opened:
        if not there.ours:
            raise ForgeError(f"{there.url} is somebody else's, and is left alone.")
        request = there
        if (there.title, there.body) != tuple(_texts(wish).values()):
            request = self.edit(there.number, wish).request
        # Whoever made it may have been stopped before this.
        return Opened(request=request, notes=self._dressed(there.number, wish))

    def _dressed(self, number: int, wish: Wish) -> tuple[str, ...]:
        """Give a request its labels, reviewers and assignees, and return what could not be done."""
        return (
            *self._labels(number, wish.labels),
            *self._reviewers(number, wish.reviewers),
            *self._assignees(number, wish.assignees),
        )

    def _labels(self, number: int, labels: Sequence[str]) -> list[str]:
        if not labels:
            return []
        try:
            # Labels that are there already stay as they are; unknown ones are made.
            self.client.ask_again(
                "POST", self._path("issues", number, "labels"), {"labels": list(labels[:_MOST_NAMES])}
            )
        except (RefusedError, MissingError) as error:
            return [f"The labels {_named(labels)} could not be set: {_why(error)}."]
        return []

    def _reviewers(self, number: int, reviewers: Sequence[str]) -> list[str]:
        wanted = list(dict.fromkeys(reviewers))[:_MOST_NAMES]
        if not wanted:
            return []
        try:
            self._ask_for(number, wanted)
        except (RefusedError, MissingError):
            # One unknown name spoils the whole request: they are asked for one by one.
            return (
                [note for one in wanted if (note := self._reviewer(number, one))]
                if len(wanted) > 1
                else [_nobody(wanted[0])]
            )
        return []

    def _reviewer(self, number: int, reviewer: str) -> str:
        try:
            self._ask_for(number, [reviewer])
        except (RefusedError, MissingError):
            return _nobody(reviewer)
        return ""

    def _ask_for(self, number: int, reviewers: Sequence[str]) -> None:
        people = [one for one in reviewers if not one.startswith("team:")]
        teams = [one.removeprefix("team:").rpartition("/")[2] for one in reviewers if one.startswith("team:")]
        body = {name: names for name, names in (("reviewers", people), ("team_reviewers", teams)) if names}
        self.client.ask_again("POST", self._path("pulls", number, "requested_reviewers"), body)

    def _assignees(self, number: int, assignees: Sequence[str]) -> list[str]:
        named = list(dict.fromkeys(assignees))
        wanted = named[:_MOST_ASSIGNEES]
        if not wanted:
            return []
        path = self._path("issues", number)
        notes: list[str] = []
        there: list[str] = []
        try:
            there = _assigned(self.client.get(path).json())
            every = {"assignees": _together(there, wanted)}
            there = _assigned(self.client.ask_again("PATCH", path, every).json())
        except (RefusedError, MissingError):
            for one in wanted:
                try:
                    more = {"assignees": _together(there, [one])}
                    there = _assigned(self.client.ask_again("PATCH", path, more).json())
                except (RefusedError, MissingError):
                    continue
        # Whom GitHub does not let be assigned it leaves out in silence.
        known = {one.lower() for one in there}
        notes += [f"{clean(one)!a} cannot be assigned here." for one in named if one.lower() not in known]
        return notes

    def _said(self, number: int, comment: str) -> bool:
        """Return whether we said this very thing before."""
        path = self._path("issues", number, "comments")
        for one in self.client.pages(path, most=_MOST_COMMENTS):
            if isinstance(one, dict) and self.is_ours(one.get("user")) and _same(one.get("body"), comment):
                return True
        return False

    def _path(self, *parts: str | int) -> str:
        return repository_path(self.repository, *(str(part) for part in parts))


def _texts(wish: Wish) -> dict[str, str]:
    title = " ".join(wish.title.split())
    return {
        "title": title if len(title) <= _LONGEST_TITLE else title[: _LONGEST_TITLE - 1] + "…",
        "body": _cut(wish.body),
    }


def _cut(body: str) -> str:
    return body if len(body) <= _LONGEST_BODY else body[: _LONGEST_BODY - len(_CUT_OFF)] + _CUT_OFF


def _same(there: object, text: str) -> bool:
    return (
        isinstance(there, str)
        and there.replace("\r\n", "\n").strip() == _cut(text).replace("\r\n", "\n").strip()
    )


def _assigned(said: object) -> list[str]:
    found = said.get("assignees") if isinstance(said, dict) else None
    return [
        one["login"] for one in found or () if isinstance(one, dict) and isinstance(one.get("login"), str)
    ]


def _together(there: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return logins once each: GitHub does not tell their case apart."""
    known = {one.lower() for one in there}
    return [*there, *(one for one in wanted if one.lower() not in known)]


def _nobody(name: str) -> str:
    what = "No team" if name.startswith("team:") else "Nobody"
    return f"{what} called {clean(name.removeprefix('team:'))!a} can be asked for a review here."


def _named(names: Sequence[str]) -> str:
    return ", ".join(f"{clean(one)!a}" for one in names[:_MOST_NAMES])


def _why(error: ForgeError) -> str:
    return error.message if isinstance(error, RefusedError) and error.message else error.problem.rstrip(".")


def _not_opened(error: RefusedError) -> ForgeError:
    if error.status != 422:
        return error
    return ForgeError(f"GitHub would not open the pull request: {error.message}.")
