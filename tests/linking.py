"""What forges make links, mentions and orders of, by their documentation: held against texts of ours.

Written from https://github.github.com/gfm/, GitHub's page on autolinked references, GitLab's on GitLab
Flavored Markdown and both pages on closing keywords; it shares nothing with what it judges.  Where forges
ask for more than a form (that a commit exists, that a project key is known), the form is enough here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.token import Token

_PARSER = MarkdownIt("gfm-like", {"linkify": True, "html": True})
_APART = r"(?<![A-Za-z0-9_])"
_CLOSING = r"(?:clos(?:e[sd]?|ing)|fix(?:e[sd]|ing)?|resolv(?:e[sd]?|ing)|implement(?:s|ed|ing)?)"
_REFERENCE = r"(?:(?i:[a-z0-9_./-]*[#!&][0-9]+|https?://\S+|gh-[0-9]+)|[A-Z][A-Z0-9_]+-[0-9]+)"
ORDERS = re.compile(rf"(?i:\b{_CLOSING}:?\s+(?:issues?\s+)?){_REFERENCE}|{_APART}@[A-Za-z0-9_][A-Za-z0-9_-]*")
"""What is looked for in raw text: closing words, and mentions."""
_WRITTEN = {
    "mention": rf"{_APART}@[A-Za-z0-9_]",
    "mail": r"[A-Za-z0-9.+_-]+@[A-Za-z0-9_-]+\.[A-Za-z0-9]",
    "issue": r"#[0-9]",
    "gh issue": rf"(?i:{_APART}gh-[0-9])",
    "merge request": r"![0-9]",
    "epic": r"&[0-9]",
    "snippet": r"\$[0-9]",
    "alert": r"\^alert#?[0-9]",
    "label": r"~[A-Za-z0-9_]|~\"[^\"]+\"",
    "milestone": r"%[A-Za-z0-9_]|%\"[^\"]+\"",
    "iteration": r"\*iteration:",
    "bracketed": r"\[[a-z_]+:[^\]\s]+\]",
    "wiki": r"\[\[",
    "project": r"[A-Za-z0-9_]/[A-Za-z0-9_.-]+>",
    "emoji": r":[A-Za-z0-9_+-]+:",
    "tracker": rf"{_APART}[A-Za-z][A-Za-z0-9_]*-[0-9]",
    "math": r"\$[^\s$][^$]*\$",
    "inline diff": r"[{\[][+-]",
}
_LINKED = {
    "scheme": r"[A-Za-z][A-Za-z0-9+.-]*://\S",
    "mail scheme": r"(?i:\b(?:mailto|xmpp):\S)",
    "www": rf"(?i:{_APART}www\.\S)",
}
_COMMIT = {"commit": r"(?i:(?<![0-9a-z])[0-9a-f]{7,64}(?![0-9a-z]))"}
IN_PROSE = {**_WRITTEN, **_LINKED, **_COMMIT}
IN_NAMES = {
    **{name: form for name, form in _WRITTEN.items() if name != "tracker"},
    "tracker": rf"{_APART}[A-Z][A-Z0-9_]+-[0-9]",
    **_LINKED,
    # A run of digits is a date in a tag.
    "commit": r"(?i:(?<![0-9a-z])(?![0-9]{7,14}(?![0-9a-z]))[0-9a-f]{7,64}(?![0-9a-z]))",
}


def found(text: str, forms: dict[str, str]) -> list[str]:
    """Return what of plain text a forge would take for more than that."""
    return [f"{name}: {one[0]!r}" for name, form in forms.items() for one in re.finditer(form, text)]


def read(markdown: str) -> tuple[str, list[str], list[str]]:
    """Return the text outside of code, where a blank stands for code; what is in code; and addresses."""
    outside: list[str] = []
    inside: list[str] = []
    links: list[str] = []
    for token in _all(_PARSER.parse(markdown)):
        if token.type in ("code_inline", "fence", "code_block"):
            inside.append(token.content)
            outside.append(" ")
        elif token.type in ("text", "text_special", "html_inline", "html_block"):
            outside.append(token.content)
        elif token.type == "link_open":
            links.append(str(token.attrs["href"]))
        elif token.type == "image":
            links.append(str(token.attrs["src"]))
        elif token.type in ("softbreak", "hardbreak") or token.nesting:
            outside.append("\n" if token.block or "break" in token.type else "")
    return "".join(outside), inside, links


def _all(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from token.children or ()


def is_harmless(markdown: str, ours: tuple[str, ...] = ()) -> None:
    """Hold Markdown against all of it; `ours` are addresses and references that a template itself says."""
    text, _, links = read(markdown)
    assert [one for one in links if not one.startswith(ours)] == []
    for one in ours:
        text, markdown = text.replace(one, " "), markdown.replace(one, " ")
    assert found(text, IN_PROSE) == []
    assert ORDERS.search(markdown) is None, ORDERS.search(markdown)


HARMFUL = ("@acme", "Fixes #1", "www.", "https://", "GH-12", "PROJ-1", ":tada:", "[vulnerability:", "3f78685")
"""What each of these stands in is harmful as it is."""
