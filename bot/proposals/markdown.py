"""Outside text made harmless for the Markdown of GitHub and GitLab.

Names of files, images, tags and the words of servers are chosen by strangers.  In a code span
nothing of them is read as Markdown, HTML, a mention, a closing keyword or a quick action; in
prose each character that could begin one is defused.  Either stays on one line.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from bot.visible import visible

_BACKTICKS = re.compile(r"`+")
_SIGIL = re.compile(r"([@#!~%&$])(?=\S)")
WORD_JOINER = "\u2060"
"""Is not seen, and keeps what stands before it from being read together with what stands behind."""


class Markdown(str):
    """Text that may stand in a document as it is."""

    __slots__ = ()


def code(text: str) -> Markdown:
    """Return a code span that shows `text`, fit for a cell of a table."""
    line = visible(text).replace("|", "\\|")
    longest = max((len(run) for run in _BACKTICKS.findall(line)), default=0)
    fence = "`" * (longest + 1)
    space = " " if not line.strip() or "`" in (line[0], line[-1]) else ""
    return Markdown(f"{fence}{space}{line or ' '}{space}{fence}")


def prose(text: str) -> Markdown:
    """Return `text` as words within a sentence: no markup, mention or link comes of it."""
    line = _SIGIL.sub(rf"\1{WORD_JOINER}", visible(text))
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return Markdown(re.sub(r"([\\`*_\[\]|~])", r"\\\1", line).replace("://", f":{WORD_JOINER}//"))


def address(url: str) -> Markdown:
    """Return an address that a forge gave, with whatever could end a link percent-encoded."""
    return Markdown(quote(url[:1000], safe=":/?=&%#-._~", errors="replace"))


def link(shown: Markdown, url: str) -> Markdown:
    """Return a link; `url` is one of ours, made of percent-encoded parts."""
    return Markdown(f"[{shown}]({url})")
