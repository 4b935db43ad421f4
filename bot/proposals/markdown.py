"""Outside text made harmless for the Markdown of GitHub and GitLab.

Names of files, images, tags and the words of servers are chosen by strangers.  In a code span
nothing of them is read as Markdown, HTML, a mention, a link, a reference or a quick action; in prose
only words that cannot be any of these stand outside of one.  Either stays on one line.

What is taken for a link: https://github.github.com/gfm/#autolinks-extension-,
https://docs.github.com/en/get-started/writing-on-github/working-with-advanced-formatting/autolinked-references-and-urls
and https://docs.gitlab.com/user/markdown/#gitlab-specific-references.  Both let people add forms of
their own (`TICKET-12`), so that it is no list of forms that decides, but what a plain word is.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from bot.visible import visible

_BACKTICKS = re.compile(r"`+")
WORD_JOINER = "\u2060"
"""Is not seen, and keeps what stands before it from being read together with what stands behind."""
LONGEST = 60_000
"""Characters of a text: a body has an upper limit on every forge (65,536 on GitHub)."""

_BEFORE, _BEHIND = "\"'(", "\"').,;:!?…"
"""What may stand around a word."""
_LETTER = r"[A-Za-z\u00a1-\U0010ffff]"
_WORD = re.compile(rf"{_LETTER}++(?:['/-]{_LETTER}++)*+")
_NUMBER = re.compile(r"[0-9]{1,6}+(?:[.,:/-][0-9]{1,6}+)*+")
_HEX = re.compile(r"[0-9a-f]{7}", re.IGNORECASE)
"""The beginning of what may be a commit: forges link seven digits of one."""
_SIGNS = frozenset("-+=/")
"""What may stand alone."""
_BLANKS = re.compile(" +")

_MENTION = re.compile(r"(?<![A-Za-z0-9_])(?:@(?=[A-Za-z0-9_])|[#!](?=[0-9])|gh-(?=[0-9]))", re.IGNORECASE)
_ADDRESS = re.compile(r"@([A-Za-z0-9_][A-Za-z0-9_.-]{0,254})(?= |\Z)")
_CLOSING = re.compile(
    r"\b(?:clos(?:e[sd]?|ing)|fix(?:e[sd]|ing)?|resolv(?:e[sd]?|ing)|implement(?:s|ed|ing)?):? +"
    r"(?=(?:issues? +)?(?:https?:|\S*[0-9]))",
    re.IGNORECASE,
)


class Markdown(str):
    """Text that may stand in a document as it is."""

    __slots__ = ()


def code(text: str) -> Markdown:
    """Return code that shows `text`, fit for a cell of a table: one span, or one between each two bars.

    A reader sees the text as it is; `quiet` says what is not seen in it.
    """
    line = quiet(visible(text))
    # No bar is within code: behind a backslash some end the cell with it, and outside of a table all show both.
    return Markdown("\\|".join(_span(one) if one or one == line else "" for one in line.split("|")))


def order(text: str) -> Markdown:
    """Return code that shows a command to us: `@name` at its beginning is ours, and stays as it has to be written."""
    made = code(text)
    found = _ADDRESS.match(text)
    return Markdown(made.replace(f"@{WORD_JOINER}{found[1]}", f"@{found[1]}", 1)) if found else made


def quiet(line: str) -> str:
    """Return a line for code in which closing words and mentions are broken by a character that is not seen.

    GitLab looks for closing words in a description as it was written, and so does whoever reads the message of
    a squashed commit, which may be one: neither knows what is code.
    """
    for order in (_CLOSING, _MENTION):
        line = order.sub(rf"\g<0>{WORD_JOINER}", line)
    return line


def _span(line: str) -> str:
    longest = max((len(run) for run in _BACKTICKS.findall(line)), default=0)
    fence = "`" * (longest + 1)
    space = " " if not line.strip() or "`" in (line[0], line[-1]) else ""
    return f"{fence}{space}{line or ' '}{space}{fence}"


def prose(text: str) -> Markdown:
    """Return `text` as words within a sentence: no markup, mention, reference or link comes of it.

    A word that could be one, or part of one, is shown as code.
    """
    made: list[str] = []
    first = True
    for word in _BLANKS.split(visible(text)):
        made.append(_shown(word, first=first))
        first = first and not word
    return Markdown(" ".join(made))


def _shown(word: str, *, first: bool) -> str:
    rest = word.lstrip(_BEFORE)
    core = rest.rstrip(_BEHIND)
    before, behind = word[: len(word) - len(rest)], rest[len(core) :]
    if not word or _is_plain(core, before, behind, first=first):
        return word
    return f"{before}{code(core)}{behind}" if core else str(code(word))


def _is_plain(core: str, before: str, behind: str, *, first: bool) -> bool:
    """Return whether a word may stand as it is; the first one of a line could begin a list or a rule."""
    if _WORD.fullmatch(core):
        return not _HEX.search(core)
    if _NUMBER.fullmatch(core):
        return not first or bool(before) or not behind.startswith((".", ")"))
    return not first and (core in _SIGNS or not core)


_CUT_OFF = "\n\n*(cut: a forge takes no longer text)*\n"
_LONGEST_FENCE = 400
_FENCE = re.compile(r"(`{3,})[^`]*")


def cut(text: str, limit: int) -> str:
    """Return the lines of Markdown of ours that fit into a number of characters, no code block left open.

    Where a text ends within a code span, what is in it is code no more.
    """
    if len(text) <= limit:
        return text
    lines = text[: limit - len(_CUT_OFF) - _LONGEST_FENCE].split("\n")[:-1]
    fence = ""
    for line in lines:
        found = _FENCE.fullmatch(line)
        if found is not None and not fence:
            fence = found[1]
        elif fence and line == fence:
            fence = ""
    ended = "\n".join([*lines, fence] if fence else lines)
    return ended + _CUT_OFF


_COMMIT = re.compile(
    r"(?<![0-9A-Za-z])(?![0-9]{7,14}(?![0-9A-Za-z]))[0-9a-f]{7,}+(?![0-9A-Za-z])", re.IGNORECASE
)
"""A number such as 20270131 is a date in a tag."""
_ALIKE = (
    (re.compile(r"(?<![A-Za-z0-9_])((?i:gh)|[A-Z][A-Z0-9_]++)-(?=[0-9])"), "\\1\u2011"),
    (re.compile(r"(?<![A-Za-z0-9_])(www)\.", re.IGNORECASE), "\\1\u2024"),
    (re.compile(r":(?=[A-Za-z0-9_+-]+:)|(?<=mailto):|(?<=xmpp):", re.IGNORECASE), "\u2236"),
    (re.compile(r"(?<=/)/"), "\u2215"),
)
_WIDE = {ord(sign): chr(ord(sign) + 0xFEE0) for sign in "@#!&$~%^*[{<>"}


def named(text: str) -> Markdown:
    """Return a name for a title or the message of a commit, where nothing is code and all is looked at.

    What could be a link there is written with signs that look alike; a commit is cut short.
    """
    line = _COMMIT.sub(lambda found: f"{found[0][:6]}…", visible(text))
    line = line.translate(_WIDE)
    for form, sign in _ALIKE:
        line = form.sub(sign, line)
    return Markdown(line)


def address(url: str) -> Markdown:
    """Return an address that a forge gave, with whatever could end a link percent-encoded."""
    return Markdown(quote(url[:1000], safe=":/?=&%#-._~", errors="replace"))


def link(shown: Markdown, url: str) -> Markdown:
    """Return a link; `url` is one of ours, made of percent-encoded parts."""
    return Markdown(f"[{shown}]({url})")
