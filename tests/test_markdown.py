"""Outside text in Markdown: read back by a Markdown parser, it must be text and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.proposals import markdown
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
]

PARSER = MarkdownIt("gfm-like", {"linkify": False, "html": True})


def tokens(text: str) -> list[tuple[str, str]]:
    """Return the inline tokens of a line of Markdown by kind and content."""
    [inline] = [token for token in PARSER.parse(text) if token.type == "inline"]
    return [(token.type, token.content) for token in inline.children or ()]


@given(st.text(max_size=400))
@example("`")
@example("``")
@example(" `a` ")
@example("")
@example("a|b")
@example("\\|")
def test_code_is_one_code_span(text: str) -> None:
    made = tokens(f"x {markdown.code(text)} y")
    assert [kind for kind, _ in made] == ["text", "code_inline", "text"]
    shown = made[1][1].replace("\\|", "|").strip()
    assert shown == " ".join(visible(text).split()) or shown == visible(text).strip()


@given(st.text(max_size=400))
def test_prose_is_text_only(text: str) -> None:
    made = tokens(f"x {markdown.prose(text)} y")
    assert {kind for kind, _ in made} <= {"text", "text_special"}


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("shown", [markdown.code, markdown.prose])
def test_hostile_text_stays_in_its_cell(text: str, shown: object) -> None:
    assert callable(shown)
    table = f"| A | B |\n|---|---|\n| {shown(text)} | end |\n"
    parsed = PARSER.parse(table)
    cells = [token.content for token in parsed if token.type == "inline"]
    assert len(cells) == 4
    assert cells[3] == "end"
    html = PARSER.render(table)
    assert "<script" not in html
    assert "<img" not in html
    assert "<a " not in html


@pytest.mark.parametrize(
    "text", ["@acme", "mail me @acme/team", "#12", "!34", "acme/app#5", "%v1", "~bug", "&3"]
)
def test_no_sigil_is_followed_by_a_word(text: str) -> None:
    made = str(markdown.prose(text))
    for sigil in "@#!%&":
        assert f"{sigil}a" not in made.replace("&amp;", "")
        assert not any(f"{sigil}{digit}" in made.replace("&amp;", "") for digit in "1235v")


def test_a_line_never_begins_with_a_quick_action() -> None:
    for text in ("/merge", "x\n/merge", "x\r/merge", "x\u2028/merge"):
        for shown in (markdown.code(text), markdown.prose(text)):
            assert not any(line.startswith("/") for line in f"- {shown}".splitlines())
