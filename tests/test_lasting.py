"""Lines in the configuration: spliced in, everything else kept, and what cannot be spliced is left."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_answers import is_harmless
from test_markdown import HOSTILE

from bot.config import Config, load, parse
from bot.errors import ConfigurationError
from bot.forges import guard
from bot.proposals import checks, lasting
from bot.proposals.lasting import Line
from bot.visible import visible

PATH = ".moorline.yml"
IGNORE = Line(key="ignore", what="image", name="node:22", because="it moves", by="wes")
UNTIL = Line(
    key="ignore",
    what="action",
    name="acme/tool@v1",
    until=date(2026, 5, 1),
    because='so "we" say: # no\\comment',
    by="wes",
)
ALLOW = Line(
    key="allow",
    what="reference",
    name="redis:7",
    check="age",
    digest="sha256:" + "a" * 64,
    until=date(2026, 5, 1),
    because="read",
    by="mia",
)


def added(text: str, *lines: Line, path: str = PATH) -> str | None:
    data = text.encode()
    made = lasting.added({path: data} if text else {}, lines)
    if made is None:
        return None
    assert made.before == data
    assert made.path == path
    guard.judge(made.edits, {path: data} if text else {})  # the publish guard lets it pass
    return made.after.decode()


def test_a_new_file_holds_the_lines_alone() -> None:
    assert added("", IGNORE, ALLOW) == (
        'ignore:\n  - image: "node:22"\n    because: "it moves"\n'
        'allow:\n  - reference: "redis:7"\n    check: age\n'
        f'    digest: "sha256:{"a" * 64}"\n    until: 2026-05-01\n    because: "read"\n'
    )


ENTRY = '- image: "node:22"\n{0}  because: "it moves"\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("mode: observe\n", "mode: observe\nignore:\n  " + ENTRY.format("  ")),
        ("mode: observe", "mode: observe\nignore:\n  " + ENTRY.format("  ")),
        ("# only a word\n", "# only a word\nignore:\n  " + ENTRY.format("  ")),
        ("---\nmode: observe\n# end\n", "---\nmode: observe\n# end\nignore:\n  " + ENTRY.format("  ")),
        ("ignore: []\n", 'ignore: [{image: "node:22", because: "it moves"}]\n'),
        (
            "ignore: [{image: a, because: b}] # c\n",
            'ignore: [{image: a, because: b}, {image: "node:22", because: "it moves"}] # c\n',
        ),
        (
            "ignore: [{image: a, because: b},]\n",
            'ignore: [{image: a, because: b},{image: "node:22", because: "it moves"}]\n',
        ),
        (
            "ignore:\n- image: a # one\n  because: b # two\n# three\nmode: observe\n",
            "ignore:\n- image: a # one\n  because: b # two\n" + ENTRY.format("") + "# three\nmode: observe\n",
        ),
        (
            "ignore:\n  - image: a\n    because: b\n    # of a\nmode: observe\n",
            "ignore:\n  - image: a\n    because: b\n    # of a\n  " + ENTRY.format("  ") + "mode: observe\n",
        ),
        (
            "ignore:\n  - image: a\n    because: b\n  # - image: c\n\n# of mode\nmode: observe\n",
            "ignore:\n  - image: a\n    because: b\n  # - image: c\n  "
            + ENTRY.format("  ")
            + "\n# of mode\nmode: observe\n",
        ),
        (
            "ignore:\n  - image: a\n    because: b\n\n    # of a\n# of mode\nmode: observe\n",
            "ignore:\n  - image: a\n    because: b\n\n    # of a\n  "
            + ENTRY.format("  ")
            + "# of mode\nmode: observe\n",
        ),
        (
            "ignore:\n- image: a\n  because: b\n# of a\n# still\n\nmode: observe\n",
            "ignore:\n- image: a\n  because: b\n# of a\n# still\n" + ENTRY.format("") + "\nmode: observe\n",
        ),
        (
            "ignore:\n- image: a\n  because: b\n# of a",
            "ignore:\n- image: a\n  because: b\n# of a\n" + ENTRY.format(""),
        ),
        (
            "ignore:\n- image: a\n  because: b\n\n# of nothing\n",
            "ignore:\n- image: a\n  because: b\n" + ENTRY.format("") + "\n# of nothing\n",
        ),
        (
            "ignore:\n    -   image: a\n        because: b",
            "ignore:\n    -   image: a\n        because: b\n    " + ENTRY.format("    "),
        ),
        (
            "ignore:\n  - paths: [a, b]\n    because: >-\n      long\n      words\n\n\nmode: observe\n",
            "ignore:\n  - paths: [a, b]\n    because: >-\n      long\n      words\n  "
            + ENTRY.format("  ")
            + "\n\nmode: observe\n",
        ),
        (
            "ignore:\n  - because: b\n    paths:\n      - c # d\nmode: observe\n",
            "ignore:\n  - because: b\n    paths:\n      - c # d\n  " + ENTRY.format("  ") + "mode: observe\n",
        ),
        (
            "ignore:\n  - {image: a, because: b} # c\n",
            "ignore:\n  - {image: a, because: b} # c\n  " + ENTRY.format("  "),
        ),
    ],
)
def test_lines_go_behind_the_last_entry_and_nothing_else_changes(before: str, after: str) -> None:
    assert added(before, IGNORE) == after


def test_line_endings_are_kept() -> None:
    made = added("mode: observe\r\nignore:\r\n  - image: a\r\n    because: b\r\n", IGNORE)
    assert made == (
        "mode: observe\r\nignore:\r\n  - image: a\r\n    because: b\r\n"
        '  - image: "node:22"\r\n    because: "it moves"\r\n'
    )


@pytest.mark.parametrize(
    "before",
    [
        "{mode: observe}\n",
        "mode: observe\n...\n",
        "mode: observe\n---\nmode: observe\n",
        "- a\n",
        "ignore: 7\n",
        "ignore:\nmode: observe\n",
        "ignore: ~\n",
        "ignore: !!null\n",
        "a: &x [{image: a, because: b}]\nignore: *x\n",
        "ignore:\n  -\n    image: a\n    because: b\n",
        "mode: observe: x\n",
        "unknown: 1\n",
        "a\x00b",
    ],
)
def test_what_cannot_be_spliced_is_left(before: str) -> None:
    assert added(before, IGNORE) is None


def test_a_file_that_would_be_too_large_is_left() -> None:
    assert added("# " + "x" * (64 * 1024 - 20) + "\n", IGNORE) is None


def test_the_file_that_is_there_is_used() -> None:
    assert added("mode: observe\n", IGNORE, path=".github/.moorline.yml") is not None


def test_a_line_that_stands_there_is_known() -> None:
    text = added("", IGNORE, UNTIL, ALLOW)
    assert text is not None
    config = load({PATH: text.encode()})
    assert all(line.is_in(config) for line in (IGNORE, UNTIL, ALLOW))
    assert not any(line.is_in(Config()) for line in (IGNORE, UNTIL, ALLOW))


TEXT = (
    st.text(min_size=1, max_size=80)
    .map(lambda text: visible(text, 500))
    .filter(lambda text: text.strip() and text.isprintable())
)


@given(TEXT, st.sampled_from(["", "mode: observe\n", "ignore:\n- image: a\n  because: b\n", "ignore: []\n"]))
def test_any_reason_is_written_as_it_is(because: str, before: str) -> None:
    line = Line(key="ignore", what="image", name="node:22", because=because, by="x")
    text = added(before, line)
    assert text is not None
    config = parse(PATH, text.encode())
    assert config.ignore[-1].because == because
    assert len(config.ignore) == len(parse(PATH, before.encode()).ignore) + 1


KEYS = st.lists(
    st.sampled_from(
        [
            "mode: observe",
            "ignore:",
            "  - image: a",
            "    because: b",
            "# c",
            "",
            "allow: []",
            "own: pin",
            "- x",
            "{",
            "]",
            "\t",
        ]
    ),
    max_size=12,
)


@given(KEYS)
def test_whatever_stands_there_is_kept_or_left(rows: list[str]) -> None:
    before = "\n".join(rows)
    text = added(before, IGNORE, ALLOW)
    if text is None:
        return
    try:
        old = parse(PATH, before.encode())
    except ConfigurationError:
        pytest.fail("a broken file was edited")
    new = parse(PATH, text.encode())
    assert new.ignore[: len(old.ignore)] == old.ignore
    made = lasting.added({PATH: before.encode()} if before else {}, [IGNORE, ALLOW])
    assert made is not None
    assert all(edit.expected == b"" for edit in made.edits)  # nothing that stands there is replaced


AROUND = st.lists(
    st.sampled_from(["", "# at the margin", "  # in the list", "    # in the entry", "# two\n# rows"]),
    max_size=4,
)


def owners(rows: list[str], at: int) -> set[tuple[str, ...]]:
    """Return the rows from a comment to what it stands right below, and to what it stands right above."""
    found = set()
    for step in (-1, 1):
        end = at
        while 0 <= end + step < len(rows) and rows[end].lstrip().startswith("#"):
            end += step
        if rows[end].strip() and not rows[end].lstrip().startswith("#"):
            found.add(tuple(rows[min(at, end) : max(at, end) + 1]))
    return found


@given(AROUND, AROUND, AROUND, st.sampled_from(["", "  "]), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_comments_stay_with_what_they_stand_at(
    first: list[str], second: list[str], last: list[str], indent: str, newline: str, more: bool
) -> None:
    def entry(name: str) -> list[str]:
        return [f"{indent}- image: {name}", f"{indent}  because: x"]

    end = ["mode: observe  # why", *last] if more else []
    rows = "\n".join(["ignore:", *entry("a"), *first, *entry("b"), *second, *end]).split("\n")
    before = newline.join(rows) + newline
    made = added(before, IGNORE)
    assert made is not None
    after = made.split(newline)
    fresh = [n for n, row in enumerate(after) if "node:22" in row or "it moves" in row]
    assert fresh == [fresh[0], fresh[0] + 1]
    # Without the new lines it is what it was, byte for byte.
    assert newline.join(row for n, row in enumerate(after) if n not in fresh) == before
    kept = [n for n in range(len(after)) if n not in fresh]
    begun = rows.index(f"{indent}- image: b")
    end_of_list = rows.index(end[0]) if end else len(rows)
    for place, row in enumerate(rows):
        if row.startswith(" ") and "#" in row:
            assert place > end_of_list or kept[place] < fresh[0]  # what is further in belongs to the list
        elif row.startswith("#") and owners(rows, place):
            there = owners(after, kept[place])
            mixed = any(one.startswith(" ") and "#" in one for one in rows[begun:end_of_list])
            assert mixed or owners(rows, place) & there


@pytest.mark.parametrize("text", HOSTILE)
def test_the_proposal_and_the_broken_glass_show_hostile_words_as_text(text: str) -> None:
    line = Line(key="ignore", what="image", name="node:22", because=visible(text, 500), by=text)
    made = lasting.added({}, [line])
    assert made is not None
    proposal = lasting.proposal("acme/app", "main", "c" * 40, made, [line], Config())
    is_harmless(proposal.body)
    assert proposal.title == "Keep 1 decision in .moorline.yml"
    assert text not in proposal.message
    title, summary = checks.overridden(text, "All is well.", text, text)
    assert title == "Passes because the glass was broken"
    is_harmless(summary)
