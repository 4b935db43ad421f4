"""Which comments are looked at: every one that may hold a command, and hardly another."""

from __future__ import annotations

import json
from datetime import date

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from webhook_samples import WEBHOOKS, context, read

from bot.commands import FORMS, parse
from webhooks.deliveries import READERS
from webhooks.events import Irrelevant, Reason, Wanted
from webhooks.hints import speaks_to_us

TODAY = date(2026, 3, 1)
LOGINS = ("moorline", "Moorline[bot]", "our.own-bot_1", "x")
WORDS = [
    *(form.example for form in FORMS.values()),
    *(f"@{login}" for login in LOGINS),
    *(f"/{login}" for login in LOGINS),
    "/moorline",
    "/Moorline",
    "@MOORLINE[bot]",
    " ",
    "   ",
    "\n",
    "\r",
    "\r\n",
    "\u2028",
    "> ",
    "- ",
    "```",
    ":",
    ",",
    ".",
    "\u017f",
    "\u0130",
    "\u212a",
]
texts = st.one_of(st.lists(st.sampled_from(WORDS), max_size=12).map("".join), st.text(max_size=60))


@given(texts, st.sampled_from(LOGINS), st.booleans())
@example("x\r/moorline help", "moorline", True)
@example("@MOORLINE[bot] help", "Moorline[bot]", False)
def test_whatever_is_a_command_is_looked_at(text: str, login: str, slash: bool) -> None:
    if parse(text, login, slash=slash, today=TODAY):
        assert speaks_to_us(text, {"9900", login}, slash=slash)


@pytest.mark.parametrize(
    "text",
    [
        "Looks good to me.",
        "@mallory what of https://forge.example/acme/moorline and moorline itself?",
        "see docs /moorline",
        "x@y.example",
        "",
    ],
)
def test_what_people_say_to_each_other_is_not(text: str) -> None:
    assert not speaks_to_us(text, {"9900", "moorline[bot]"}, slash=True)


def test_who_does_not_know_its_name_looks_at_all() -> None:
    assert speaks_to_us("Looks good to me.", (), slash=True)
    assert speaks_to_us(None, {"moorline"}, slash=True)


def test_a_long_comment_takes_no_long_time() -> None:
    for text in ("@" * 1_000_000, "\n   " * 250_000, "/moorlin\n" * 100_000):
        assert not speaks_to_us(text, {"moorline"}, slash=True)


@pytest.mark.parametrize(
    ("forge", "sample", "keys"),
    [
        ("github", "comment", ("comment", "body")),
        ("github", "review", ("review", "body")),
        ("gitlab", "note", ("object_attributes", "note")),
    ],
)
def test_of_an_ordinary_conversation_nothing_is_stored(
    forge: str, sample: str, keys: tuple[str, str]
) -> None:
    headers, body = read(WEBHOOKS / forge / sample)
    lowered = {name.lower(): value for name, value in headers.items()}
    event = json.loads(body)
    for number in range(50):
        event[keys[0]][keys[1]] = f"I would rather do it as in commit {number}, what of @ann?"
        found = READERS[forge].read(lowered, json.dumps(event).encode(), context(forge))
        assert isinstance(found, Irrelevant)
        assert found.reason is Reason.UNADDRESSED
    event[keys[0]][keys[1]] = "Well.\n\n@moorline-bot status\n@moorline status"
    assert isinstance(READERS[forge].read(lowered, json.dumps(event).encode(), context(forge)), Wanted)


def test_an_app_in_a_person_s_name_is_told_apart() -> None:
    headers, body = read(WEBHOOKS / "github" / "comment-by-way-of-another-app")
    lowered = {name.lower(): value for name, value in headers.items()}
    found = READERS["github"].read(lowered, body, context("github"))
    assert isinstance(found, Irrelevant)
    assert found.reason is Reason.UNHEARD
