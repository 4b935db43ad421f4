"""The GitLab forge listens and answers: notes by their ids, roles, emoji, threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from gitlab_standin import GitLab, Level, gitlab
from gitlab_world import MergeRequest, Note, User

from bot.errors import MissingError
from bot.forges.base import Account, Comment, Reaction, Role, Wish
from bot.forges.gitlab import GitLabForge

NAME = "acme/web"


class Site:
    """A stand-in with a person's merge request."""

    def __init__(self, lab: GitLab) -> None:
        self.lab = lab
        self.bot = lab.user("moorline", "Moorline", bot=True)
        self.ada = lab.user("ada", "Ada")
        lab.join("acme", self.bot, Level.DEVELOPER)
        lab.join("acme", self.ada, Level.MAINTAINER)
        self.project = lab.project(NAME, {"Dockerfile": b"FROM node:18\n"})
        lab.push(self.project, {"Dockerfile": b"FROM node:20\n"}, "feature", user=self.ada)
        hers = GitLabForge(lab.url, lab.token(self.ada), pause=lambda _seconds: None)
        number = hers.open(NAME, "main", "feature", Wish(title="Newer", body="")).request.number
        self.request: MergeRequest = self.project.merge_requests[number]
        self.forge = GitLabForge(lab.url, lab.token(self.bot), pause=lambda _seconds: None)
        lab.requests.clear()

    def say(self, text: str = "@moorline help", user: User | None = None) -> Note:
        return self.lab.comment(self.request, text, user or self.ada)

    def heard(self, note: Note | None = None) -> Comment:
        made = note or self.say()
        return self.forge.talk.said(NAME, f"comment/note/{made.id}", self.request.iid)

    @property
    def said(self) -> list[Note]:
        return [one for one in self.request.notes if one.author is self.bot and not one.system]


@pytest.fixture
def site() -> Iterator[Site]:
    with gitlab() as lab:
        yield Site(lab)


def test_a_note_is_read_by_its_id(site: Site) -> None:
    made = site.heard()
    assert (made.author, made.number, made.bot, made.edited, made.text) == (
        Account(id=str(site.ada.id), login="ada"),
        site.request.iid,
        False,
        False,
        "@moorline help",
    )


def test_an_edited_note_and_a_program_are_told(site: Site) -> None:
    note = site.say()
    note.updated += timedelta(minutes=1)
    assert site.heard(note).edited
    assert site.heard(site.say(user=site.bot)).bot
    named = site.lab.user("project_7_bot_0123abcd", "CI")
    assert site.heard(site.say(user=named)).bot


def test_what_is_not_for_everybody_or_gone_is_missing(site: Site) -> None:
    note = site.say()
    note.internal = True
    with pytest.raises(MissingError):
        site.heard(note)
    for ref in ("comment/note/999999", "comment/issue/1", "comment/note/1/../2"):
        with pytest.raises(MissingError):
            site.forge.talk.said(NAME, ref, site.request.iid)


def test_roles_are_as_the_forge_has_them_now(site: Site) -> None:
    levels = {
        Level.OWNER: Role.ADMIN,
        Level.MAINTAINER: Role.MAINTAIN,
        Level.DEVELOPER: Role.WRITE,
        Level.REPORTER: Role.READ,
        Level.GUEST: Role.READ,
    }
    account = Account(id=str(site.ada.id), login="ada")
    for level, role in levels.items():
        site.lab.join("acme", site.ada, level)
        assert site.forge.talk.role(NAME, account) is role, level
    site.lab.join("acme", site.ada, Level.NONE)
    assert site.forge.talk.role(NAME, account) is Role.NONE
    site.project.visibility = "public"
    assert site.forge.talk.role(NAME, account) is Role.READ
    site.lab.join("acme", site.ada, Level.OWNER)
    site.ada.state = "blocked"
    assert site.forge.talk.role(NAME, account) is Role.NONE


def test_emoji_are_given_once(site: Site) -> None:
    note = site.say()
    comment = site.heard(note)
    for reaction in (*Reaction, *Reaction):
        site.forge.talk.react(NAME, comment, reaction)
    assert note.emoji == [(site.bot, name) for name in ("eyes", "white_check_mark", "confused", "thumbsdown")]
    site.request.notes.remove(note)
    with pytest.raises(MissingError):
        site.forge.talk.react(NAME, comment, Reaction.SEEN)


def test_an_answer_is_in_the_thread_and_not_given_twice(site: Site) -> None:
    note = site.say()
    comment = site.heard(note)
    site.forge.talk.answer(NAME, comment, "Here.\n/close\n")
    site.forge.talk.answer(NAME, comment, "Here.\n/close\n", maybe_since=comment.created)
    [answer] = site.said
    assert answer.discussion == note.discussion
    assert answer.body.startswith("Here.\n\u2060/close")
    assert site.request.state == "opened"
    later = comment.created + timedelta(days=1)
    site.forge.talk.answer(NAME, comment, "Here.\n/close\n", maybe_since=later)
    assert len(site.said) == 2


def test_a_note_without_a_thread_is_answered_by_name(site: Site) -> None:
    note = site.say()
    comment = site.heard(note)
    site.request.notes.remove(note)
    site.forge.talk.answer(NAME, comment, "Here.")
    assert [one.body for one in site.said] == ["@ada\n\nHere."]
    site.forge.talk.answer(NAME, replace(comment, author=Account(id="1", login="a b")), "There.")
    assert site.said[-1].body == "There."


def test_a_lost_answer_is_looked_for(site: Site) -> None:
    comment = site.heard()
    site.lab.bad_gateway("POST", "*/notes", done=True)
    site.forge.talk.answer(NAME, comment, "Here.")
    assert len(site.said) == 1


def test_a_sticky_note_is_one_note(site: Site) -> None:
    number, talk = site.request.iid, site.forge.talk
    known = talk.sticky(NAME, number, "", "one")
    assert talk.sticky(NAME, number, "", "one") == known
    assert talk.sticky(NAME, number, known, "two") == known
    assert [one.body for one in site.said] == ["two"]
    assert talk.sticky(NAME, number, known, "") == ""
    assert site.said == []
    assert talk.sticky(NAME, number, known, "three") not in ("", known)
