"""Accounts: who we are, and who is meant by a name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from bot.errors import ForgeError
from bot.forges.base import Account
from bot.forges.gitlab_answers import flag, node, nodes, number, text
from bot.forges.gitlab_api import Api
from bot.forges.gitlab_branches import Person
from bot.forges.gitlab_kept import Kept
from bot.visible import visible

_FRESH = 600.0
_MOST_NAMES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Numbers of accounts, and what is to be said of the names that lead to none."""

    ids: tuple[int, ...] = ()
    notes: tuple[str, ...] = field(default=())


class People:
    """Asks for ourselves once, and for others by their names."""

    def __init__(self, api: Api, clock: Callable[[], float]) -> None:
        self._api = api
        self._me: tuple[Account, Person] | None = None
        self._admin = False
        self._known: Kept[str, int] = Kept(5_000, seconds=_FRESH, clock=clock)

    def account(self) -> Account:
        """Return who we are."""
        return self._ourselves()[0]

    def person(self) -> Person:
        """Return who we are in a commit."""
        return self._ourselves()[1]

    @property
    def number(self) -> int:
        """Our account's number."""
        return int(self.account().id)

    @property
    def admin(self) -> bool:
        """Whether we administer the server: system hooks are for administrators alone."""
        self._ourselves()
        return self._admin

    def _ourselves(self) -> tuple[Account, Person]:
        if self._me is None:
            said = node(self._api.get("/user"))
            identity, login = number(said, "id"), text(said, "username")
            if identity <= 0 or not login:
                raise ForgeError("GitLab does not say whose token this is.")
            told = (text(said, key) for key in ("commit_email", "email", "public_email"))
            person = Person(
                name=text(said, "name"), addresses=frozenset(one.casefold() for one in told if one)
            )
            self._admin = flag(said, "is_admin")
            self._me = Account(id=str(identity), login=login), person
        return self._me

    def named(self, names: Iterable[str], what: str) -> Found:
        """Return the accounts of names; `what` is what they are asked to be, for the notes."""
        ids: list[int] = []
        notes: list[str] = []
        for place, given in enumerate(names):
            name = given.removeprefix("@")
            shown = visible(name, 100)
            if place >= _MOST_NAMES:
                notes.append(f"Only the first {_MOST_NAMES} {what}s were looked at.")
                break
            if name.startswith("team:"):
                notes.append(f"{shown} was not asked as {what}: GitLab takes accounts here, no teams.")
                continue
            found = self._one(name)
            if found is None:
                notes.append(f"{shown} was not asked as {what}: GitLab knows no such account.")
            elif found not in ids:
                ids.append(found)
        return Found(ids=tuple(ids), notes=tuple(notes))

    def _one(self, name: str) -> int | None:
        key = name.casefold()
        found = self._known.get(key) or 0
        if not found:
            for row in nodes(self._api.get("/users", {"username": name})):
                if text(row, "username").casefold() == key:
                    found = number(row, "id")
            self._known.put(key, found)
        return found or None
