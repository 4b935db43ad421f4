"""Conversations on GitLab: notes read by their ids, emoji, and answers in the thread.

https://docs.gitlab.com/api/notes/, https://docs.gitlab.com/api/discussions/,
https://docs.gitlab.com/api/emoji_reactions/ and https://docs.gitlab.com/api/members/
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bot.errors import MissingError
from bot.forges.base import Account, Comment, Reaction, Role
from bot.forges.gitlab_answers import flag, moment, node, nodes, text
from bot.forges.gitlab_answers import number as whole
from bot.forges.gitlab_api import Api, RefusedError, UncertainError
from bot.forges.gitlab_people import People
from bot.forges.gitlab_projects import Projects
from bot.forges.gitlab_session import OversizedError
from bot.forges.gitlab_texts import harmless

_REF = re.compile(r"comment/note/([1-9][0-9]{0,18})")
_LOGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}")
_BOT = re.compile(
    r"(?:project|group)_[0-9]+_bot(?:_[0-9a-z]+)?|service_account_[0-9a-z_]+|(?:support|alert)-bot"
)
_EMOJI = {
    Reaction.SEEN: "eyes",
    Reaction.DONE: "white_check_mark",
    Reaction.CONFUSED: "confused",
    Reaction.REFUSED: "thumbsdown",
}
_ROLES = ((50, Role.ADMIN), (40, Role.MAINTAIN), (30, Role.WRITE), (10, Role.READ))
"""Access levels from which on a role is held: Owner, Maintainer, Developer, Guest."""
_EDIT = timedelta(seconds=1)
"""What GitLab may take from making a note to storing it."""
_SKEW = timedelta(minutes=5)
_MOST_PAGES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class GitLabTalk:
    """`Talk` on GitLab."""

    api: Api
    projects: Projects
    people: People

    def said(self, repository: str, ref: str, number: int) -> Comment:
        """Return a note by its ref; raises `MissingError` where it is gone, or is for members only."""
        found = node(self.api.get(f"{self._place(repository, number)}/notes/{_note(ref)}"))
        created, updated = moment(text(found, "created_at")), moment(text(found, "updated_at"))
        identity, login = whole(found, "author", "id"), text(found, "author", "username")
        if created is None or updated is None or identity <= 0 or not login:
            raise MissingError("GitLab does not say who wrote the note.")
        if flag(found, "system") or flag(found, "internal") or flag(found, "confidential"):
            raise MissingError("It is not said to everybody.")
        return Comment(
            ref=ref,
            number=whole(found, "noteable_iid") if text(found, "noteable_type") == "MergeRequest" else 0,
            author=Account(id=str(identity), login=login),
            bot=_BOT.fullmatch(login) is not None or self._is_bot(identity),
            text=text(found, "body"),
            edited=abs(updated - created) > _EDIT,
            created=created,
            url="",
            path=text(found, "position", "new_path"),
            line=whole(found, "position", "new_line"),
        )

    def _is_bot(self, identity: int) -> bool:
        """Return whether an account is a program's: a note does not say so, its author's page does."""
        try:
            said = node(self.api.get(f"/users/{identity}"))
        except MissingError:
            return False  # this server shows no pages of accounts
        return flag(said, "bot") or text(said, "state") not in ("active", "")

    def role(self, repository: str, account: Account) -> Role:
        """Return what an account may do there now; everybody may read a public project."""
        project = self.projects.find(repository)
        try:
            said = node(self.api.get(f"/projects/{project.id}/members/all/{int(account.id)}"))
        except MissingError:
            return Role.NONE if self.projects.fresh(repository).repository("").private else Role.READ
        if text(said, "state") not in ("active", ""):
            return Role.NONE
        level = whole(said, "access_level")
        return next((role for least, role in _ROLES if level >= least), Role.NONE)

    def react(self, repository: str, comment: Comment, reaction: Reaction) -> None:
        """Show that a note was seen, or what became of it; one that is there is left."""
        place = f"{self._place(repository, comment.number)}/notes/{_note(comment.ref)}/award_emoji"
        try:
            self.api.send("post", place, {"name": _EMOJI[reaction]})
        except (MissingError, RefusedError, UncertainError):
            # Given before, or the note is gone: GitLab answers both in the same way.
            there = {
                (text(one, "name"), whole(one, "user", "id"))
                for one in nodes(self.api.get(place, {"per_page": 100}))
            }
            if (_EMOJI[reaction], self.people.number) not in there:
                raise

    def answer(
        self, repository: str, comment: Comment, body: str, *, maybe_since: datetime | None = None
    ) -> None:
        """Answer in the note's thread; where that cannot be found, by a note that names the asker."""
        place = self._place(repository, comment.number)
        since = datetime.fromtimestamp(self.api.now(), UTC)
        thread = self._thread(place, int(_note(comment.ref)))
        named = (
            f"@{comment.author.login}\n\n" if not thread and _LOGIN.fullmatch(comment.author.login) else ""
        )
        said = harmless(named + body)
        if maybe_since is not None and self._said(place, said, maybe_since):
            return
        target = f"{place}/discussions/{thread}/notes" if thread else f"{place}/notes"
        try:
            self.api.send("post", target, {"body": said})
        except UncertainError:
            if not self._said(place, said, since):
                raise

    def sticky(self, repository: str, number: int, known: str, body: str) -> str:
        """Make our note `known` say this, or say it anew where there is none; see `Talk.sticky`."""
        place = self._place(repository, number)
        said = harmless(body)
        if known.isdigit():
            try:
                if body:
                    self.api.send("put", f"{place}/notes/{known}", {"body": said})
                    return known
                self.api.send("delete", f"{place}/notes/{known}")
            except MissingError:
                pass  # somebody took it away
        if not body:
            return ""
        found = self._said(place, said, None)
        if found:
            return found
        try:
            return str(whole(self.api.send("post", f"{place}/notes", {"body": said}), "id") or "")
        except UncertainError:
            found = self._said(place, said, None)
            if not found:
                raise
            return found

    # --- places ---------------------------------------------------------------------------

    def _place(self, repository: str, number: int) -> str:
        return f"/projects/{self.projects.find(repository).id}/merge_requests/{int(number)}"

    def _thread(self, place: str, note: int) -> str:
        """Return the id of the thread that a note is in: the note itself does not tell it."""
        try:
            for one in self.api.pages(f"{place}/discussions", {}, most=_MOST_PAGES):
                if any(whole(each, "id") == note for each in nodes(one.get("notes"))):
                    found = text(one, "id")
                    return found if re.fullmatch(r"[0-9a-f]{1,64}", found) else ""
        except OversizedError:
            return ""
        return ""

    def _said(self, place: str, said: str, since: datetime | None) -> str:
        """Return the id of our own note that says just this, since then where a time is told; or nothing."""
        query = {"sort": "desc", "order_by": "created_at", "per_page": 100}
        rows, _ = self.api.page(f"{place}/notes", query)
        for row in rows:
            at = moment(text(row, "created_at"))
            if (
                text(row, "body").strip() == said.strip()
                and whole(row, "author", "id") == self.people.number
                and at is not None
                and (since is None or at >= since - _SKEW)
            ):
                return str(whole(row, "id"))
        return ""


def _note(ref: str) -> str:
    found = _REF.fullmatch(ref)
    if found is None:
        raise MissingError(f"{ref[:50]!a} is no note of GitLab's.")
    return found[1]
