"""The GitHub forge listens and answers: comments by their ids, roles, reactions, threads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from github_forging import BRANCH, OLD, REPOSITORY, Place, both
from github_standin import github
from github_world import Review

from bot.errors import ForgeError, MissingError, TransientError
from bot.forges.base import Account, Comment, Reaction, Role, Wish
from bot.forges.github import GitHubForge
from bot.forges.github_client import Client, QueryError


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with github(enterprise=getattr(request, "param", False)) as standin:
        roles = {"ann": "write", "mia": "maintain", "tom": "triage", "eve": "read"}
        standin.repository(REPOSITORY, {"Dockerfile": OLD}, roles=roles)
        standin.install("acme")
        yield Place(standin)


@pytest.fixture
def forge(place: Place) -> GitHubForge:
    """A forge with an open request of its own, number 1."""
    made = place.forge()
    place.published(made)
    with made.publishing(REPOSITORY):
        made.open(REPOSITORY, "main", BRANCH, Wish(title="Pin images", body="Because."))
    place.github.forget()
    return made


def heard(place: Place, forge: GitHubForge, text: str = "@moorline help", by: str = "ann") -> Comment:
    made = place.github.comment(REPOSITORY, 1, text, by=by)
    return forge.talk.said(REPOSITORY, f"comment/issue/{made.id}", 1)


@both
def test_a_comment_is_read_by_its_id(place: Place, forge: GitHubForge) -> None:
    made = heard(place, forge, "@moorline help\r\nplease")
    assert (made.author.login, made.number, made.bot, made.edited) == ("ann", 1, False, False)
    assert made.text == "@moorline help\r\nplease"
    assert made.created.tzinfo is not None
    assert place.github.count("GET", "*/issues/comments/*") == 1


def test_an_edited_comment_and_a_program_are_told(place: Place, forge: GitHubForge) -> None:
    made = place.github.comment(REPOSITORY, 1, "x", by="ann")
    made.updated_at = "2026-01-01T00:00:00Z"
    assert forge.talk.said(REPOSITORY, f"comment/issue/{made.id}", 1).edited
    ours = place.github.comment(REPOSITORY, 1, "x", by=place.github.bot)
    assert forge.talk.said(REPOSITORY, f"comment/issue/{ours.id}", 1).bot


def test_a_comment_on_a_line_is_read_and_answered_in_its_thread(place: Place, forge: GitHubForge) -> None:
    first = place.github.review_comment(REPOSITORY, 1, "Dockerfile", 1, "why?", by="ann")
    second = place.github.review_comment(REPOSITORY, 1, "Dockerfile", 1, "@moorline help", by="ann")
    second.reply_to = first.id
    made = forge.talk.said(REPOSITORY, f"comment/review/{second.id}", 1)
    assert (made.number, made.path, made.line) == (1, "Dockerfile", 1)
    with forge.publishing(REPOSITORY):
        forge.talk.react(REPOSITORY, made, Reaction.SEEN)
        forge.talk.answer(REPOSITORY, made, "Here.")
    [answer] = [one for one in place.github[REPOSITORY].review_comments.values() if one.body == "Here."]
    assert answer.reply_to == first.id
    assert [kind for _, kind in second.reactions] == ["eyes"]


def test_what_is_gone_or_no_comment_is_missing(forge: GitHubForge) -> None:
    for ref in (
        "comment/issue/999999",
        "comment/review/999999",
        "comment/summary/999999",
        "comment/note/1",
        "comment/issue/../1",
    ):
        with pytest.raises(MissingError):
            forge.talk.said(REPOSITORY, ref, 1)


@both
def test_roles_are_as_the_forge_has_them_now(place: Place, forge: GitHubForge) -> None:
    roles = {"ann": Role.WRITE, "mia": Role.MAINTAIN, "tom": Role.READ, "eve": Role.READ}
    for login, role in roles.items():
        assert forge.talk.role(REPOSITORY, heard(place, forge, by=login).author) is role, login
    admin = heard(place, forge, by="acme")
    assert forge.talk.role(REPOSITORY, admin.author) is Role.ADMIN
    assert forge.talk.role(REPOSITORY, Account(id="1", login="nobody")) is Role.NONE
    ann = heard(place, forge).author
    place.github[REPOSITORY].roles["ann"] = "read"
    assert forge.talk.role(REPOSITORY, ann) is Role.READ
    assert forge.talk.role(REPOSITORY, replace(ann, id="999")) is Role.NONE  # another's name by now


def test_reactions_are_given_once(place: Place, forge: GitHubForge) -> None:
    comment = heard(place, forge)
    with forge.publishing(REPOSITORY):
        for reaction in (*Reaction, *Reaction):
            forge.talk.react(REPOSITORY, comment, reaction)
    [made] = place.github.comments(REPOSITORY, 1)
    assert [kind for _, kind in made.reactions] == ["eyes", "+1", "confused", "-1"]


def test_an_answer_names_the_asker_and_is_not_given_twice(place: Place, forge: GitHubForge) -> None:
    comment = heard(place, forge)
    with forge.publishing(REPOSITORY):
        forge.talk.answer(REPOSITORY, comment, "Here.")
        forge.talk.answer(REPOSITORY, comment, "Here.", maybe_since=comment.created)
        assert [one.body for one in place.github.comments(REPOSITORY, 1)][1:] == ["@ann\n\nHere."]
        later = comment.created + timedelta(days=1)
        forge.talk.answer(REPOSITORY, comment, "Here.", maybe_since=later)
    assert len(place.github.comments(REPOSITORY, 1)) == 3


@pytest.mark.parametrize("how", ["fail", "cut"])
def test_a_lost_answer_is_looked_for(place: Place, forge: GitHubForge, how: str) -> None:
    comment = heard(place, forge)
    getattr(place.github, how)("POST", "*/comments", done=True)
    with forge.publishing(REPOSITORY):
        forge.talk.answer(REPOSITORY, comment, "Here.")
    assert len(place.github.comments(REPOSITORY, 1)) == 2


def test_a_stranger_s_words_are_not_taken_for_ours(place: Place, forge: GitHubForge) -> None:
    comment = heard(place, forge)
    place.github.comment(REPOSITORY, 1, "@ann\n\nHere.", by="eve")
    with forge.publishing(REPOSITORY):
        forge.talk.answer(REPOSITORY, comment, "Here.", maybe_since=comment.created)
    assert len(place.github.comments(REPOSITORY, 1)) == 3


def test_a_sticky_comment_is_one_comment(place: Place, forge: GitHubForge) -> None:
    with forge.publishing(REPOSITORY):
        known = forge.talk.sticky(REPOSITORY, 1, "", "one")
        assert forge.talk.sticky(REPOSITORY, 1, "", "one") == known  # we died before we could remember it
        assert forge.talk.sticky(REPOSITORY, 1, known, "two") == known
        assert [one.body for one in place.github.comments(REPOSITORY, 1)] == ["two"]
        assert forge.talk.sticky(REPOSITORY, 1, known, "") == ""
        assert place.github.comments(REPOSITORY, 1) == []
        assert forge.talk.sticky(REPOSITORY, 1, known, "") == ""
        again = forge.talk.sticky(REPOSITORY, 1, known, "three")
        assert again not in ("", known)


def test_nothing_is_said_outside_of_publishing(place: Place, forge: GitHubForge) -> None:
    comment = heard(place, forge)
    with pytest.raises(ForgeError, match="not being published"):
        forge.talk.answer(REPOSITORY, comment, "Here.")
    assert datetime.now(UTC) > comment.created


# --- summaries of reviews -----------------------------------------------------------------


def reviewed(place: Place, text: str = "@moorline help", by: str = "ann", state: str = "COMMENTED") -> Review:
    return place.github.review(REPOSITORY, 1, text, by=by, state=state)


def summary(forge: GitHubForge, review: Review, number: int = 1) -> Comment:
    return forge.talk.said(REPOSITORY, f"comment/summary/{review.id}", number)


@both
def test_a_summary_is_read_by_its_id(place: Place, forge: GitHubForge) -> None:
    made = summary(forge, reviewed(place, "Well.\r\n@moorline help", state="APPROVED"))
    assert (made.author.login, made.number, made.text) == ("ann", 1, "Well.\r\n@moorline help")
    assert (made.bot, made.edited, made.unsure, made.path, made.line) == (False, False, False, "", 0)
    assert made.created.tzinfo is not None
    assert "#pullrequestreview-" in made.url
    assert (place.github.count("GET", "*/reviews/*"), place.github.count("POST", "*graphql")) == (1, 1)


def test_programs_and_we_ourselves_are_told_apart(place: Place, forge: GitHubForge) -> None:
    place.github.account("helper[bot]", "Bot")
    assert not summary(forge, reviewed(place)).bot
    assert summary(forge, reviewed(place, by="helper[bot]")).bot
    assert summary(forge, reviewed(place, by=place.github.bot)).bot


@pytest.mark.parametrize(
    ("editor", "after", "edited"),
    [("ann", -1, False), ("ann", 0, False), ("ann", 1, True), ("acme", -1, True), ("acme", 0, True)],
)
def test_a_summary_that_was_edited_once_others_saw_it_is_told(
    place: Place, forge: GitHubForge, editor: str, after: int, *, edited: bool
) -> None:
    made = reviewed(place)
    place.github.edit_review(REPOSITORY, made.id, "@moorline pause", by=editor)
    moment = datetime.fromisoformat(made.submitted_at) + timedelta(seconds=after)
    made.edited_at = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    assert summary(forge, made).edited is edited
    made.editor = None  # an account that is no more
    assert summary(forge, made).edited


@pytest.mark.parametrize("when", ["before", "between"])
def test_a_summary_that_is_not_submitted_or_dismissed_is_missing(
    place: Place, forge: GitHubForge, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, pending = reviewed(place, state="APPROVED"), reviewed(place, state="PENDING")
    ours = reviewed(place, state="PENDING", by=place.github.bot)
    if when == "before":
        place.github.dismiss_review(REPOSITORY, made.id)
    else:
        query = Client.query

        def dismissed(client: Client, text: str, *said: Any, **more: Any) -> Mapping[str, Any]:
            made.state = "DISMISSED"
            return query(client, text, *said, **more)

        monkeypatch.setattr(Client, "query", dismissed)
    for one in (made, pending, ours):
        with pytest.raises(MissingError):
            summary(forge, one)


def test_a_summary_of_another_request_is_missing(place: Place, forge: GitHubForge) -> None:
    place.github.push(REPOSITORY, {"x": b"x"}, branch="topic", by="ann")
    other = place.github.open_pull(REPOSITORY, "topic", by="ann").number
    made = reviewed(place)
    for number in (other, 0, 99):
        with pytest.raises(MissingError):
            summary(forge, made, number)


@both
@pytest.mark.parametrize("how", ["refused", "cut"])
def test_without_graphql_nobody_knows_whether_it_was_edited(
    place: Place, forge: GitHubForge, how: str
) -> None:
    made = reviewed(place)
    if how == "refused":
        place.github.switches.graphql = 404
    else:
        place.github.cut("POST", "*graphql", times=None)
    found = summary(forge, made)
    assert (found.unsure, found.text) == (True, "@moorline help")
    with forge.publishing(REPOSITORY):
        with pytest.raises(ForgeError, match="reactions"):
            forge.talk.react(REPOSITORY, found, Reaction.SEEN)
        forge.talk.answer(REPOSITORY, found, "Here.")
    assert [one.body for one in place.github.comments(REPOSITORY, 1)] == ["@ann\n\nHere."]


def test_a_server_that_does_not_know_the_fields_tells_nothing_either(
    place: Place, forge: GitHubForge, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = reviewed(place)

    def refused(_client: Client, _text: str, *_said: Any) -> Mapping[str, Any]:
        raise QueryError("Field 'lastEditedAt' doesn't exist on type 'PullRequestReview'", ["undefinedField"])

    monkeypatch.setattr(Client, "query", refused)
    assert summary(forge, made).unsure


def test_where_queries_are_used_up_a_summary_is_read_later(place: Place, forge: GitHubForge) -> None:
    made = reviewed(place)
    place.github.exhaust(600, resource="graphql")
    with pytest.raises(TransientError) as caught:
        summary(forge, made)
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 0


@both
def test_a_summary_gets_a_reaction_and_an_answer_below_it(place: Place, forge: GitHubForge) -> None:
    made = reviewed(place)
    comment = summary(forge, made)
    place.github.forget()
    with forge.publishing(REPOSITORY):
        for reaction in (*Reaction, *Reaction):
            forge.talk.react(REPOSITORY, comment, reaction)
        assert place.github.count("GET") == 0
        forge.talk.answer(REPOSITORY, comment, "Here.")
        forge.talk.answer(REPOSITORY, comment, "Here.", maybe_since=comment.created)
    assert [kind for _, kind in made.reactions] == ["eyes", "+1", "confused", "-1"]
    assert [one.body for one in place.github.comments(REPOSITORY, 1)] == ["@ann\n\nHere."]


def test_who_has_forgotten_a_summary_looks_it_up_to_react(place: Place, forge: GitHubForge) -> None:
    made = reviewed(place)
    comment = summary(forge, made)
    again = place.forge()
    with again.publishing(REPOSITORY):
        again.talk.react(REPOSITORY, comment, Reaction.SEEN)
        with pytest.raises(MissingError):
            again.talk.react(REPOSITORY, replace(comment, ref="comment/summary/999"), Reaction.SEEN)
    assert [kind for _, kind in made.reactions] == ["eyes"]
