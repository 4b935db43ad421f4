"""Which lines of a comment are plain text at their beginnings: no code, quote, comment or list.  Pure.

CommonMark as far as it matters here, and what GitHub and GitLab add to it.  Where it is doubtful what a line
is, it is left out, and where it is doubtful what ends a block, so is all that follows: behind any HTML but a
comment nothing is heard any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*\Z)|~{3,})")
_CLOSES = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*\Z")
_INDENTED = re.compile(r" {0,3}\t| {4}")
_ASIDE = re.compile(r" {0,3}(?:>|(?:[-*+:~]|[0-9]{1,9}[.)])(?:[ \t]|\Z))")
"""A quote or an item of a list: where it ends depends on what is in it."""
_RULE = re.compile(r" {0,3}(?:#{1,6}(?:[ \t]|\Z)|(?:(?:=+|-+)[ \t]*|_[_ \t]*|\*[* \t]*)\Z)")
"""A heading, what makes one of the lines above, or a rule: a paragraph does not go on behind it."""
_TABLE = re.compile(r"[ \t]*[|:-][-|: \t\v\f]*\Z")
"""What stands between the head of a table and its rows; all lines until a blank one may be rows."""
_UNSURE = re.compile(r" {0,3}(?:>>>|\$\$)")
"""A quote or alert of many lines as GitLab has it, and mathematics."""
_PREFACE = re.compile(r"(?:---|\+\+\+|;;;)")
_LINK = r"<(?:https?://[^\s<>`\\]*|[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9.-]{1,255})>"
_TAG = re.compile(rf"[ \t]*(?!{_LINK}|<!--(?!-?>))<[A-Za-z/!?]")
"""HTML, whatever it is: where an element ends, and whether it quotes or lists, is for a browser to know."""
_COMMENT = re.compile(r" {0,3}<!--(?!-?>)")
_DOUBTFUL = re.compile(rf"```|~~~|>>>|(?!{_LINK})<[A-Za-z/!?]")
_INLINE = re.compile(r"\\.|`+|<[A-Za-z/!?]|\]\((?![^()\n]*\))|!\[(?![^][\n]*\])", re.DOTALL)
_INLINE_COMMENT = re.compile(r"<!--(?!-?>)")
_INLINE_LINK = re.compile(_LINK)
_FROM = re.compile(r"[$~](?=\S)")
_TO = re.compile(r"(?<=\S)[$~]")
"""Where mathematics, or what is struck out, may begin and end."""
_BLANK = " \t"
"""What a blank line is made of: other blanks are text."""


def spoken(text: str, limit: int) -> Iterator[str]:
    """Yield the lines, of the first `limit` characters, that are plain text at their beginnings.

    Never raises, and takes time linear in the text.
    """
    cut = len(text) > limit
    lines = text[: limit + 1].replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if cut:
        lines.pop()  # the rest of it is not there
    if _PREFACE.match(next((line for line in lines if line.strip(_BLANK)), "")):
        return
    reader = _Reader()
    for line in lines:
        yield from reader.take(line)
        if reader.lost:
            return
    yield from reader.end()


class _Reader:
    """Knows in which block a line stands."""

    def __init__(self) -> None:
        self.lost = False
        """Whether it is doubtful what the rest is."""
        self._paragraph: list[str] = []
        self._held: list[str] = []
        """Lines that count unless HTML follows in what may be their block."""
        self._fence = ""
        """What began the code block that goes on."""
        self._hidden = ""
        """What ends the comment that goes on."""
        self._aside = False
        """Whether this may be a quote, a list, a table or a footnote."""
        self._after_blank = True

    def take(self, line: str) -> Iterator[str]:
        """Yield the lines of the paragraph that ends with this one, if one does."""
        if self._fence:
            closing = _CLOSES.match(line)
            if closing is not None and closing[1].startswith(self._fence):
                self._fence = ""
        elif self._hidden:
            self._hide(line)
        elif not line.strip(_BLANK):
            yield from self.end()
            self._after_blank = True
        else:
            yield from self._take_text(line)
            self._after_blank = False

    def _take_text(self, line: str) -> Iterator[str]:
        if self._after_blank and line[0] not in _BLANK:
            self._aside = False
        if self._aside:
            self.lost = _doubtful(line)
        elif _INDENTED.match(line) and not self._paragraph:
            self._aside = True  # code, or what goes on in a footnote, and with it the lines behind it
            self.lost = not self._after_blank and _doubtful(line)
        elif _is_row(line) or _TAG.match(line):
            self._paragraph.append(line)  # the head of a table, or a block with HTML in it
            self._drop()
        elif _interrupts(line):
            self._held += self.end(sure=False)
            self._begin(line)
            if self._fence:
                yield from self._release()
        else:
            self._paragraph.append(line)

    def _drop(self) -> None:
        """Take a paragraph, and what follows without a blank line, as no plain text."""
        lost = _doubtful("\n".join(self._paragraph))
        self._paragraph = []
        self._held = []
        self._aside = True
        self.lost |= lost

    def _release(self) -> Iterator[str]:
        yield from self._held
        self._held = []

    def end(self, *, sure: bool = True) -> Iterator[str]:
        """Yield the lines of the paragraph that begin outside of code spans and comments.

        Unless it is `sure` that it ends here, a code span may go on.
        """
        if sure:
            yield from self._release()
        text = "\n".join(self._paragraph)
        covered, lost, is_open = _covered(text, sure=sure)
        self.lost |= lost
        self._aside |= is_open
        if text.lstrip(_BLANK).startswith("[") and "]:" in text:
            covered = [(0, _NOWHERE[0])]  # what a link is, or its title
            self._aside |= not sure
        at = 0
        spans = iter(covered)
        start, stop = next(spans, _NOWHERE)
        signs = _between(text)
        for line in self._paragraph:
            while stop <= at:
                start, stop = next(spans, _NOWHERE)
            if start > at and not _INDENTED.match(line) and not any(a < at <= b for a, b in signs):
                yield line
            at += len(line) + 1
        self._paragraph = []

    def _begin(self, line: str) -> None:
        if self.lost:
            return
        fence = _FENCE.match(line)
        if self._aside or _UNSURE.match(line):
            self.lost = _UNSURE.match(line) is not None or _doubtful(line)
        elif fence is not None:
            self._fence = fence[1]
        elif comment := _COMMENT.match(line):
            self._hidden = "-->"
            self._hide(line[comment.end() :])
        else:
            self._aside = _RULE.match(line) is None or _ASIDE.match(line) is not None
            self.lost = _doubtful(line)

    def _hide(self, line: str) -> None:
        _, end, behind = line.partition(self._hidden)
        self.lost = "<" in behind  # one more, that a browser hides and Markdown does not
        if end:
            self._hidden = ""


_NOWHERE = (1 << 62, 1 << 62)


def _interrupts(line: str) -> bool:
    """Tell whether a line may end the paragraph before it."""
    return (
        any(one.match(line) is not None for one in (_FENCE, _ASIDE, _RULE, _UNSURE, _COMMENT))
        # code behind a table, text otherwise
        or (_INDENTED.match(line) is not None and _has_sign(line))
    )


def _is_row(line: str) -> bool:
    """Tell whether a line makes the one before it the head of a table."""
    return _TABLE.match(line) is not None and "-" in line and ("|" in line or ":" in line)


def _has_sign(line: str) -> bool:
    """Tell whether a line that is text may hide what follows."""
    return any(sign in line for sign in "`<[")


def _doubtful(line: str) -> bool:
    """Tell whether a line may begin what does not end where its block seems to."""
    return _DOUBTFUL.search(line) is not None


def _covered(text: str, *, sure: bool) -> tuple[list[tuple[int, int]], bool, bool]:
    """Return where code spans and comments are, in order; whether the rest is lost; whether a span is open."""
    runs = _runs(text)
    made: list[tuple[int, int]] = []
    at = 0
    while (found := _INLINE.search(text, at)) is not None:
        sign, start, at = found[0], found.start(), found.end()
        if sign[0] == "\\":
            at = start + 2  # a run of backticks behind an escaped one is shorter by that
        elif sign[0] == "`":
            places = runs.get(len(sign), [])
            while places and places[-1] < at:
                places.pop()
            if places:
                at = places.pop() + len(sign)
                made.append((start, at))
            elif not sure:
                return [*made, (start, _NOWHERE[0])], False, True
        elif sign[0] == "<" and (at := _behind(text, start)) > 0:
            made.append((start, at))
        elif text.startswith("](", start) or sign[0] == "!":  # a link's title, an image's text
            return [*made, (start, _NOWHERE[0])], False, not sure
        elif _INLINE_COMMENT.match(text, start):
            return [*made, (start, _NOWHERE[0])], True, False
        else:  # an element: nothing that stands with it counts
            return [(0, _NOWHERE[0])], True, False
    return made, False, False


def _runs(text: str) -> dict[int, list[int]]:
    """Return by their length where runs of backticks begin, the first ones at the end."""
    runs: dict[int, list[int]] = {}
    for run in re.finditer(r"`+", text):
        runs.setdefault(run.end() - run.start(), []).append(run.start())
    for places in runs.values():
        places.reverse()
    return runs


def _behind(text: str, start: int) -> int:
    """Return where the comment or link that starts there has ended, 0 where it is neither."""
    if _INLINE_COMMENT.match(text, start):
        end = text.find("-->", start + 4)
        return end + 3 if end >= 0 else 0
    link = _INLINE_LINK.match(text, start)
    return link.end() if link else 0


def _between(text: str) -> list[tuple[int, int]]:
    """Return from where to where a text may be mathematics, and be struck out."""
    found = []
    for sign in "$~":
        start = next((one.start() for one in _FROM.finditer(text) if one[0] == sign), -1)
        ends = [one.start() for one in _TO.finditer(text) if one[0] == sign]
        if start >= 0 and ends:
            found.append((start, ends[-1]))
    return found
