"""Texts that GitLab is given: no line of them is a quick action, and titles say drafts as GitLab does.

GitLab executes a line such as `/merge` of a note, a description and, some of them, a commit message, with
the rights of whoever wrote it.  Texts come here neutralised; this is the second wall.
"""

from __future__ import annotations

import re

from bot.visible import visible

_JOINER = "\u2060"
"""Word joiner: is not seen, and what stands behind it does not stand at the beginning of the line."""
_COMMAND = re.compile(r"(?m)^([ \t]*)/")
_DRAFT = re.compile(r"(?:\s*(?:\[draft\]|\(draft\)|draft:|draft - |\[wip\]|wip:)\s*)+", re.IGNORECASE)
_BACKTICKS = re.compile(r"`+")
MAX_TITLE = 255
MAX_TEXT = 1_000_000
"""Characters of a description or note; GitLab takes 1,048,576."""
DRAFT = "Draft: "


def harmless(text: str) -> str:
    """Return a text none of whose lines begins with a slash, with LF alone at the ends of lines.

    GitLab removes carriage returns before it looks for commands, so that they cannot be left in.
    """
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    return _COMMAND.sub(rf"\1{_JOINER}/", plain)[:MAX_TEXT]


def titled(title: str, *, draft: bool) -> str:
    """Return a title on one line of at most 255 characters, marked as a draft or not."""
    bare = bare_title(visible(title, 1_000))
    return visible(f"{DRAFT if draft else ''}{bare}", MAX_TITLE)


def bare_title(title: str) -> str:
    """Return a title without the marks of a draft before it."""
    mark = _DRAFT.match(title)
    return title[mark.end() :] if mark is not None and mark.end() < len(title) else title


def fenced(text: str) -> str:
    """Return a code block that shows a text; nothing in it ends the block or is a quick action."""
    lines = [visible(line, 500) for line in text.splitlines()]
    inner = harmless("\n".join(lines))
    longest = max((len(run) for run in _BACKTICKS.findall(inner)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{inner}\n{fence}\n"
