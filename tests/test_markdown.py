"""Outside text in Markdown: read as forges read it, it must be text and nothing else."""

from __future__ import annotations

import re

import linking
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.proposals import markdown
from bot.proposals.render import render_text
from bot.visible import visible

HOSTILE = [
    "@acme/security please merge",
    "`</code><script>alert(1)</script>",
    "| a | b |",
    "``` suggestion",
    "/merge",
    "/approve\n/merge",
    "[click](https://evil.example)",
    "![](https://evil.example/pixel.png)",
    "Fixes #1, closes acme/app#2",
    "<img src=x onerror=alert(1)>",
    "<!-- hidden",
    "https://evil.example/login",
    "\u202egpj.exe",
    "a\\|b",
    "\\`",
    "x" * 5000,
    "[skip ci]",
    "closes GH-12, resolves PROJ-1 and fixes: https://forge.example/acme/app/-/issues/7",
    "closing issue acme/app#3, see www.evil.example or evil.example/login",
    "3f786850e387550fdab836ed7e6dc881de23001b since 3f78685, ann@3f786850e387550fdab836ed7e6dc881de23001b",
    '!12 &3 ~bug %v1 $7 ^alert#1 [vulnerability:1] [[home]] *iteration:"one" :tada: $x$ {+new+}',
    "mail mallory@evil.example, mailto:mallory@evil.example or ftp://evil.example/x",
    "1. one",
    "- one",
    ": one",
    "=== ---",
    "x\\|www.evil.example|@acme",
]

PIECES = [
    *"@#!~%&$^*_`[](){}<>|\\/:;.,-+='\" ",
    *"0123456789",
    *"abcdefgh",
    "GH-",
    "gh-12",
    "www.",
    "evil.example",
    "http://",
    "mailto:",
    "ftp://",
    "javascript:",
    "acme/app",
    "PROJ-1",
    "closes ",
    "Fixes: ",
    "resolving issue ",
    "deadbeef",
    "3f786850e387550fdab836ed7e6dc881de23001b",
    "[vulnerability:",
    "^alert#",
    ":tada:",
    '~"a label"',
    "<b>",
    "&amp;",
    "&#64;acme",
    "\n",
    "\u2060",
    "\u00a0",
    "é",
]
hostile = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=25).map("".join),
    st.sampled_from(HOSTILE),
    st.text(max_size=200),
)
"""Texts that strangers may choose: what forges look for, in any order."""

PARSER = MarkdownIt("gfm-like", {"linkify": False, "html": True})
TABLE = "| A | B |\n|---|---|\n| {} | end |\n"


def shown(made: str) -> str:
    """Return what a reader sees of a line, blanks and what is not seen left out."""
    [inline] = [token for token in PARSER.parse(made) if token.type == "inline"]
    text = "".join(token.content for token in inline.children or ())
    return re.sub(r"\s+", "", text.replace(markdown.WORD_JOINER, ""))


def bare(text: str) -> str:
    return re.sub(r"\s+", "", visible(text))


@given(hostile)
@example("`")
@example("``")
@example(" `a` ")
@example("")
@example("a|b")
@example("\\|")
@example("a||b")
def test_code_is_nothing_but_code(text: str) -> None:
    made = markdown.code(text)
    outside, _, links = linking.read(f"x {made} y")
    assert set(outside) <= set("xy |\n")
    assert links == []
    assert linking.ORDERS.search(made) is None
    assert shown(f"x {made} y") == f"x{bare(text)}y"
    if "|" not in text:
        assert len(re.findall(r"`+", made)) >= 2


@given(hostile, st.sampled_from(["x {} y", "{}", "- {}", "{}\n\ny", TABLE]))
@example("Closes #1", "{}")
@example("1. one", "{}")
@example("=", "x\n{}")
def test_prose_is_words_and_code(text: str, place: str) -> None:
    made = markdown.prose(text)
    linking.is_harmless(place.format(made))
    if place == "x {} y":
        assert shown(place.format(made)) == f"x{bare(text)}y"


@given(hostile)
def test_prose_begins_no_block(text: str) -> None:
    kinds = {token.type for token in PARSER.parse(str(markdown.prose(text)))}
    assert kinds <= {"paragraph_open", "inline", "paragraph_close"}


@given(hostile)
@example("[vulnerability:www.:")
def test_a_name_is_no_link_in_titles_and_messages(text: str) -> None:
    for name in (markdown.named(text), render_text("{{ view | plain }}", text)):
        line = f"Pin 1 image: {name}"
        assert linking.found(line, linking.IN_NAMES) == []
        assert linking.ORDERS.search(line) is None
        assert "\n" not in name
        assert markdown.WORD_JOINER not in name  # a title shows it


@pytest.mark.parametrize(
    "name", ["node:22", "ghcr.io/acme/tool:1.4-rc.1", "actions/checkout", "app:20270131", "host:5000/a/b:1"]
)
def test_an_ordinary_name_is_shown_as_it_is(name: str) -> None:
    assert markdown.named(name) == name


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("we read its source, and don't mind", "we read its source, and don't mind"),
        ("ghcr.io answered 503 (twice).", "`ghcr.io` answered 503 (twice)."),
        ("since 2027-01-31, 12:30", "since 2027-01-31, 12:30"),
        ("see https://wiki.example/a#b.", "see `https://wiki.example/a#b`."),
        (" and ", " and "),
        ("", ""),
        ("a - b", "a - b"),
        ("naïve façade, 日本語", "naïve façade, 日本語"),
    ],
)
def test_prose_reads_well(text: str, made: str) -> None:
    assert markdown.prose(text) == made


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("made", [markdown.code, markdown.prose])
def test_hostile_text_stays_in_its_cell(text: str, made: object) -> None:
    assert callable(made)
    table = TABLE.format(made(text))
    cells = [token.content for token in PARSER.parse(table) if token.type == "inline"]
    assert len(cells) == 4
    assert cells[3] == "end"
    html = PARSER.render(table)
    assert "<script" not in html
    assert "<img" not in html
    assert "<a " not in html


@given(hostile)
def test_no_cell_ends_whatever_escapes_a_bar(text: str) -> None:
    # One reader takes a backslash before a backslash for an escape, the other does not.
    for made in (markdown.code(text), markdown.prose(text)):
        assert re.search(r"(?<!\\)\||\\\\\|", made) is None


def test_a_line_never_begins_with_a_quick_action() -> None:
    for text in ("/merge", "x\n/merge", "x\r/merge", "x\u2028/merge"):
        for made in (markdown.code(text), markdown.prose(text)):
            assert not any(line.startswith("/") for line in made.splitlines())


# --- what is too long ---------------------------------------------------------------------


@given(st.lists(hostile, min_size=1, max_size=30), st.integers(500, 3000))
def test_what_is_cut_leaves_no_code_open(texts: list[str], limit: int) -> None:
    rows = [f"| {markdown.code(text)} | {markdown.prose(text)} |" for text in texts]
    made = "| A | B |\n|---|---|\n" + "\n".join(rows) + "\n"
    kept = markdown.cut(made, limit)
    assert len(kept) <= max(limit, 0)
    linking.is_harmless(kept)
    assert kept == made or kept.rstrip().endswith("*(cut: a forge takes no longer text)*")


def test_what_is_cut_within_a_block_ends_it() -> None:
    made = "x\n\n````diff\n" + "+ @acme ```\n" * 500 + "````\n\nend\n"
    kept = markdown.cut(made, 2000)
    assert linking.read(kept)[0].split() == ["x", "(cut:", "a", "forge", "takes", "no", "longer", "text)"]
    assert markdown.cut(made, 20_000) == made
