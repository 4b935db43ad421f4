"""Answers to commands: each reads well, and nothing that a stranger wrote is markup in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from gitlab_quick_actions import extract
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from test_markdown import HOSTILE

from bot.proposals.answers import Kind, Open, Part, Promise, Row, Usage, answer

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
PARSER = MarkdownIt("gfm-like", {"linkify": False, "html": True})


def part(
    kind: Kind,
    text: str,
    *,
    request: bool = False,
    lasting: bool = True,
    promise: Promise = Promise.ELSEWHERE,
) -> Part:
    """Return a part all of whose texts say one thing."""
    return Part(
        kind=kind,
        verb=text,
        said=text,
        problem=text,
        usage=text,
        example=text,
        needs=text,
        has=text,
        usages=(Usage(usage=text, who=text, says=text),),
        names=(text, text),
        near=text,
        rows=(Row(place=text, value=text, state=text, digest=text, why=text),),
        more=3,
        open=(Open(number=7, base=text, references=2, note=text),),
        held=2,
        ignored=(text,),
        who=text,
        because=text,
        until=date(2026, 4, 1),
        day=AT,
        since=AT,
        first=AT,
        refresh=AT,
        base=text,
        commit=text,
        request=request,
        lasting=lasting,
        promise=promise,
        default=text,
        checks=(text,),
        number=7,
        waits=True,
        again=(text,),
    )


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_says_something(kind: Kind) -> None:
    for lasting in (True, False):
        for request in (True, False):
            text = answer([part(kind, "node:22", request=request, lasting=lasting)])
            assert len(text) > 20
            assert "\n\n\n" not in text
            assert text.endswith("\n")


@pytest.mark.parametrize("kind", [Kind.IGNORED, Kind.UNPINNED, Kind.ALLOWED])
def test_every_promise_is_told_in_words_of_its_own(kind: Kind) -> None:
    told = {answer([part(kind, "node:22", promise=one)]) for one in Promise}
    assert len(told) == len(Promise)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text_only(kind: Kind, text: str) -> None:
    is_harmless(answer([part(kind, text), part(kind, text)]))


@given(st.sampled_from(list(Kind)), st.text(max_size=200))
def test_any_text_is_text_only(kind: Kind, text: str) -> None:
    is_harmless(answer([part(kind, text)]))


def is_harmless(made: str) -> None:
    """Hold Markdown against what nobody else's words may do in it."""
    html = PARSER.render(made)
    for sign in ("<script", "<img", '<a href="http', "<!--", "<blockquote"):
        assert sign not in html
    # Not a line of it is taken for an order, and nobody is called.
    assert extract(made)[1] == []
    plain = "".join(
        child.content
        for token in PARSER.parse(made)
        if token.type == "inline"
        for child in token.children or ()
        if child.type == "text"
    )
    for sigil in ("@acme", "#1", "://"):
        assert sigil not in plain


def test_no_part_is_glued_to_the_next() -> None:
    text = answer([part(kind, "node:22") for kind in Kind])
    assert text.count("\n---\n") == len(Kind) - 1
    # A rule right below a line would make a heading of it.
    assert all(
        before == ""
        for before, line in zip(text.split("\n"), text.split("\n")[1:], strict=False)
        if line == "---"
    )


def test_an_order_can_be_copied_as_it_is_shown() -> None:
    """Our own name has no sign in it that is not seen; what a stranger wrote behind it does."""
    made = answer([replace(part(Kind.MISTAKEN, "x"), near="@harbour.bot-1 status @acme")])
    assert "Do you mean `@harbour.bot-1 status @\N{WORD JOINER}acme`?" in made
