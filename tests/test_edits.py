"""Edits: where what is not edited stands once they are made."""

from __future__ import annotations

from dataclasses import replace

import reports
from hypothesis import given
from hypothesis import strategies as st

from bot import edits
from bot.model import Edit, Finding, Span

PATH = "Dockerfile"
WORDS = st.lists(st.tuples(st.sampled_from(["a", "bb", "ccc"]), st.sampled_from(["keep", "edit", "behind"])))


def at(start: int, text: str) -> Finding:
    """Return a finding of a text at an offset."""
    found = reports.finding(PATH, value="node:20")
    location = replace(found.location, span=Span(start, start + len(text)))
    return replace(found, location=location, value=text)


@given(WORDS)
def test_what_is_not_edited_moves_by_what_is_put_in_before_it(words: list[tuple[str, str]]) -> None:
    before, after, made, text, new = [], [], [], "", ""
    for word, what in words:
        start, end = len(text), len(text) + len(word)
        text += f"{word} "
        if what == "edit":  # a word that is no finding
            made.append(Edit(path=PATH, span=Span(start, end), expected=word.encode(), replacement=b"12345"))
            new += "12345 "
        else:
            before.append(at(start, word))
            after.append(at(len(new), word))
            new += word
            if what == "behind":
                made.append(Edit(path=PATH, span=Span(end, end), expected=b"", replacement=b"!!"))
                new += "!!"
            new += " "
    changed = edits.apply({PATH: text.encode()}, made)
    assert changed == ({PATH: new.encode()} if made else {})
    assert edits.confirm(before, after, {}, made) is None
    if before:
        span = before[-1].location.span
        moved = replace(after[-1].location, span=Span(len(new) + 1, len(new) + 1 + span.end - span.start))
        wrong = [*after[:-1], replace(after[-1], location=moved)]
        assert edits.confirm(before, wrong, {}, made) is not None
