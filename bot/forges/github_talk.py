"""Conversations on GitHub: comments read by their ids, reactions, and answers where somebody asked.

Summaries of reviews have a room of their own, `github_summaries`.
https://docs.github.com/en/rest/issues/comments, https://docs.github.com/en/rest/pulls/comments,
https://docs.github.com/en/rest/collaborators/collaborators#get-repository-permissions-for-a-user
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.errors import ForgeError, MissingError
from bot.forges.base import Account, Comment, Reaction, Role
from bot.forges.github_client import Client, repository_path
from bot.forges.github_summaries import Summaries, moment
from bot.forges.github_transport import AmbiguousError

_REF = re.compile(r"comment/(issue|review|summary)/([1-9][0-9]{0,18})")
_NUMBER = re.compile(r"/(?:issues|pulls)/([1-9][0-9]{0,9})\Z")
_LOGIN = re.compile(r"[A-Za-z0-9_-]{1,100}")
_LONGEST = 65_000
_CUT_OFF = "\n\n*(cut: GitHub takes no longer text)*"
_REACTIONS = {
    Reaction.SEEN: "eyes",
    Reaction.DONE: "+1",
    Reaction.CONFUSED: "confused",
    Reaction.REFUSED: "-1",
}
_ROLES = {"admin": Role.ADMIN, "maintain": Role.MAINTAIN, "write": Role.WRITE, "read": Role.READ}
_SKEW = timedelta(minutes=5)
"""By how much our clock may be ahead of GitHub's."""
_MOST_PAGES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class GitHubTalk:
    """`Talk` on GitHub."""

    reading: Callable[[str], AbstractContextManager[Client]]
    """Gives what reads of a repository."""
    writing: Callable[[str], AbstractContextManager[Client]]
    """Gives what writes to the repository that is being published to."""
    is_ours: Callable[[Mapping[str, Any]], bool]
    clock: Callable[[], float]
    """Seconds since 1970."""
    summaries: Summaries

    def said(self, repository: str, ref: str, number: int) -> Comment:
        """Return a comment by its ref; raises `MissingError` where it is gone."""
        if _kind(ref) == "summary":
            with self.reading(repository) as client:
                return self.summaries.said(client, repository, ref, number)
        with self.reading(repository) as client:
            found = _object(client.get(_place(repository, ref)).json())
        author = _object(found.get("user") or {})
        created, login = moment(found.get("created_at")), author.get("login")
        text = found.get("body")
        if created is None or not isinstance(login, str) or type(author.get("id")) is not int:
            raise MissingError("GitHub does not say who wrote the comment.")
        place = found.get("issue_url") or found.get("pull_request_url")
        where = _NUMBER.search(place) if isinstance(place, str) else None
        path, line, url = found.get("path"), found.get("line"), found.get("html_url")
        return Comment(
            ref=ref,
            number=int(where[1]) if where else 0,
            author=Account(id=str(author["id"]), login=login),
            # What an App says in a person's name is an App's word as well.
            bot=author.get("type") != "User" or found.get("performed_via_github_app") is not None,
            text=text if isinstance(text, str) else "",
            edited=found.get("updated_at") != found.get("created_at"),
            created=created,
            url=url if isinstance(url, str) else "",
            path=path if isinstance(path, str) else "",
            line=line if type(line) is int else 0,
        )

    def role(self, repository: str, account: Account) -> Role:
        """Return what an account may do there now; a role of the organisation's own counts as what it holds."""
        path = repository_path(repository, "collaborators", account.login, "permission")
        try:
            with self.reading(repository) as client:
                said = _object(client.get(path).json())
        except MissingError:
            return Role.NONE
        user = _object(said.get("user") or {})
        if str(user.get("id", account.id)) != account.id:
            return Role.NONE  # the name is somebody else's by now
        role = _ROLES.get(str(said.get("permission")), Role.NONE)
        may = _object(user.get("permissions") or {})
        maintains = said.get("role_name") == "maintain" or may.get("maintain") is True
        return Role.MAINTAIN if role is Role.WRITE and maintains else role

    def react(self, repository: str, comment: Comment, reaction: Reaction) -> None:
        """Show that a comment was seen, or what became of it; GitHub keeps one reaction of a kind."""
        if _kind(comment.ref) == "summary":
            with self.writing(repository) as client:
                self.summaries.react(client, repository, comment, reaction)
            return
        path = f"{_place(repository, comment.ref)}/reactions"
        with self.writing(repository) as client:
            client.ask_again("POST", path, {"content": _REACTIONS[reaction]})

    def answer(
        self, repository: str, comment: Comment, body: str, *, maybe_since: datetime | None = None
    ) -> None:
        """Answer in the thread of a comment on a line, else by a comment that names the asker."""
        on_line = _kind(comment.ref) == "review"
        named = (
            "" if on_line or not _LOGIN.fullmatch(comment.author.login) else f"@{comment.author.login}\n\n"
        )
        text = _cut(named + body)
        kind = "pulls" if on_line else "issues"
        place = repository_path(repository, kind, str(comment.number), "comments")
        since = maybe_since or datetime.fromtimestamp(self.clock(), UTC)
        with self.writing(repository) as client:
            if maybe_since is not None and self._said(client, place, text, since):
                return
            target = f"{place}/{_first(client, repository, comment)}/replies" if on_line else place
            try:
                client.write("POST", target, {"body": text})
            except AmbiguousError:
                if not self._said(client, place, text, since):
                    raise

    def sticky(self, repository: str, number: int, known: str, body: str) -> str:
        """Make our comment `known` say this, or say it anew where there is none; see `Talk.sticky`."""
        text = _cut(body)
        place = repository_path(repository, "issues", str(number), "comments")
        with self.writing(repository) as client:
            if known.isdigit():
                one = repository_path(repository, "issues", "comments", known)
                try:
                    if body:
                        client.ask_again("PATCH", one, {"body": text})
                        return known
                    client.write("DELETE", one)
                except MissingError:
                    pass  # somebody took it away
            if not body:
                return ""
            found = self._said(client, place, text, None)
            if found:
                return found
            try:
                return str(_object(client.write("POST", place, {"body": text}).json()).get("id") or "")
            except AmbiguousError:
                found = self._said(client, place, text, None)
                if not found:
                    raise
                return found

    def _said(self, client: Client, place: str, text: str, since: datetime | None) -> str:
        """Return the id of our own comment that says just this, since then where a time is told; or nothing."""
        told = {} if since is None else {"since": f"{since - _SKEW:%Y-%m-%dT%H:%M:%SZ}"}
        for one in _pages(client, place, told):
            body, at = one.get("body"), moment(one.get("created_at"))
            if (
                isinstance(body, str)
                and (since is None or (at is not None and at >= since - _SKEW))
                and body.replace("\r\n", "\n").strip() == text.strip()
                and self.is_ours(_object(one.get("user") or {}))
            ):
                return str(one.get("id") or "")
        return ""


def _pages(client: Client, path: str, told: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    for page in range(1, _MOST_PAGES + 1):
        found = client.get(path, per_page=100, page=page, **told).json()
        rows = found if isinstance(found, list) else []
        yield from (one for one in rows if isinstance(one, dict))
        if len(rows) < 100:
            return


def _first(client: Client, repository: str, comment: Comment) -> str:
    """Return the id of the comment that a thread began with: only that one takes replies."""
    found = _object(client.get(_place(repository, comment.ref)).json())
    first = found.get("in_reply_to_id")
    return str(first) if type(first) is int else comment.ref.rpartition("/")[2]


def _kind(ref: str) -> str:
    """Return `issue`, `review` or `summary`; raises `MissingError` for a ref of another form."""
    found = _REF.fullmatch(ref)
    if found is None:
        raise MissingError(f"{ref[:50]!a} is no comment of GitHub's.")
    return found[1]


def _place(repository: str, ref: str) -> str:
    kind = "issues" if _kind(ref) == "issue" else "pulls"
    return repository_path(repository, kind, "comments", ref.rpartition("/")[2])


def _object(said: object) -> Mapping[str, Any]:
    if not isinstance(said, dict):
        raise ForgeError("GitHub's answer is not what its API gives.")
    return said


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - len(_CUT_OFF)] + _CUT_OFF
