"""The grammar of commands: what is one, what is none, and what is said of mistakes."""

from __future__ import annotations

import re
import time
from datetime import date

import pytest
from commands import ROOT
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.commands import (
    FORMS,
    LONGEST_REASON,
    LONGEST_TEXT,
    MOST,
    MOST_NAMES,
    Command,
    Mistake,
    Said,
    Subject,
    Until,
    Verb,
    parse,
    role_name,
)
from bot.forges.base import Role

TODAY = date(2026, 3, 1)


def said(text: str, login: str = "moorline[bot]", *, slash: bool = True) -> tuple[Said, ...]:
    return parse(text, login, slash=slash, today=TODAY)


def verbs(text: str, login: str = "moorline[bot]", *, slash: bool = True) -> list[str]:
    return [
        one.verb.value if isinstance(one, Command) else f"mistake: {one.problem}"
        for one in said(text, login, slash=slash)
    ]


def test_every_verb_has_a_form_whose_example_is_understood() -> None:
    assert set(FORMS) == set(Verb)
    for verb, form in FORMS.items():
        [one] = said(f"@moorline {form.example}")
        assert isinstance(one, Command), form.example
        assert one.verb is verb
        assert bool(one.because) is form.because
        assert (one.until is not None) is (form.until is not Until.NO)
        assert bool(one.names) is (form.subject in (Subject.MAYBE, Subject.ONE, Subject.SEVERAL))
        assert bool(one.days) is (form.subject is Subject.DAYS)
        assert form.usage.startswith(verb.value)


def test_changes_need_write_exceptions_need_maintain_and_the_glass_an_admin() -> None:
    reads = {Verb.HELP, Verb.STATUS, Verb.EXPLAIN}
    least = {verb: form.least for verb, form in FORMS.items()}
    assert {verb for verb, role in least.items() if role is Role.READ} == reads
    assert least[Verb.ALLOW] is least[Verb.DISALLOW] is Role.MAINTAIN
    assert least[Verb.OVERRIDE] is Role.ADMIN
    rest = set(Verb) - reads - {Verb.ALLOW, Verb.DISALLOW, Verb.OVERRIDE}
    assert {least[verb] for verb in rest} == {Role.WRITE}


@pytest.mark.parametrize(
    "text",
    [
        "@moorline pause",
        "@Moorline PAUSE",
        "@moorline[bot] pause",
        "@moorline: pause",
        "@moorline, pause!",
        "   @moorline pause",
        "/moorline pause",
        "Thanks, ada.\n\n@moorline pause\n",
        "Thanks,\r\n@moorline pause\r\n",
        "> quoted\n\n@moorline pause",
        "```\nx\n```\n@moorline pause",
        "~~~ sh\n@moorline resume\n```\n~~~~\n@moorline pause",
        "``` a ` b ```\n@moorline pause",
        "`<!--`\n@moorline pause",
        "<!-- hidden -->\n@moorline pause",
        "<!--\nhidden\n-->\n@moorline pause",
        "a \\` b ` c\n@moorline pause",
        "@moorline pause <!-- because",
        "- item\n- item\n\n@moorline pause",
        "# Heading\n@moorline pause",
        "![x](/u) and [y](/v)\n@moorline pause",
        "words\n\n```sh\n@moorline resume\n```\n\n@moorline pause\n\nmore words\n\n~~~\nx\n~~~",
        "@moorline pause\n\n- ```\n  x",
        "@moorline pause\n\n<details>\n\nx",
        "see <https://example.org> and <ada@example.org>\n@moorline pause",
        "it is `<br>`, a < b and 1 <2\n@moorline pause",
        "```html\n<ul>\n```\n@moorline pause",
        "| a |\n|---|\n| x |\n\n@moorline pause",
        "it costs $5 or ~6\n@moorline pause",
        "a\n-- \n@moorline pause",
    ],
)
def test_what_is_a_command(text: str) -> None:
    assert verbs(text) == ["pause"]


@pytest.mark.parametrize(
    "text",
    [
        "please @moorline pause",
        "ask @moorline to pause",
        "@moorline-team pause",
        "@moorlines pause",
        "@acme/moorline pause",
        "/moorlines pause",
        "//moorline pause",
        "> @moorline pause",
        "> said\n@moorline pause",
        ">> @moorline pause",
        "    @moorline pause",
        "\t@moorline pause",
        "  \t@moorline pause",
        "- @moorline pause",
        "1. @moorline pause",
        "```\n@moorline pause\n```",
        "```\n@moorline pause",
        "   ```\n@moorline pause\n   ```",
        "- ```\n  @moorline pause\n  ```",
        "~~~\n@moorline pause\n```\n~~~",
        "````\n```\n@moorline pause\n````",
        "a ` b\n@moorline pause\nc ` d",
        "a `` b ` c\n@moorline pause\nd `` e",
        "\\` ` a\n@moorline pause\nb `",
        "<!--\n@moorline pause\n-->",
        "<!-- @moorline pause -->",
        "text <!-- hidden\n@moorline pause\n-->",
        "text <!-- hidden\n\n@moorline pause\n-->",
        "<!-- never ends\n@moorline pause",
        "<pre>\n@moorline pause\n</pre>",
        "<BLOCKQUOTE>\n\n@moorline pause\n\n</blockquote>",
        "<script>\n@moorline pause",
        "```\n    ```\n@moorline pause\n```",
        "```\n\t```\n@moorline pause\n```",
        "text\n    ```\n```\n@moorline pause\n````",
        "\n    ```\n```\n@moorline pause",
        "- ```\n  x\n\n```\n@moorline pause\n````",
        "* ~~~\n\n~~~\n@moorline pause\n~~~",
        "- > quoted\n@moorline pause",
        "> q\n\u00a0\n@moorline pause",
        "> q\n\f\n@moorline pause",
        "- item\n@moorline pause",
        "- item\n\n  @moorline pause",
        "<details><pre>\n@moorline pause",
        "see <code>\n@moorline pause\n</code>",
        "<pre></pre><pre>\n@moorline pause",
        "<div><blockquote>\n\n@moorline pause",
        "<blockquote><blockquote>\n\nx</blockquote>\n\n@moorline pause",
        "<pre>\n</prefoo>\n@moorline pause",
        "<pre>\n<pre>\n</pre>\n@moorline pause\n</pre>",
        "<!-- a --> <!-- b\n@moorline pause\n-->",
        "<div>\n```\n\n```\n@moorline pause\n```",
        '<a title="\n@moorline pause\n">x</a>',
        "[x]: /u '\n@moorline pause\n'",
        "[x\n@moorline pause\n]: /u",
        '[x](/u "\n@moorline pause\n")',
        "![x\n@moorline pause\n](/u)",
        ">>>\n\n@moorline pause\n\n>>>",
        "$$\n@moorline pause\n$$",
        "---\n@moorline pause\n---",
        "a `\n===\nb `\n@moorline pause\n`",
        "===\n    `\n@moorline pause\n`",
        "    `\n`\n@moorline pause\n`",
        "`a\n@moorline pause\n2. b`",
        "<br>\n\n@moorline pause",
        "<pre>\nx\n</pre>\n@moorline pause",
        "see <code>x</code>\n@moorline pause",
        "<ul>\n<li>\n\n@moorline pause\n\n</li>\n</ul>",
        "<ol>\n\n@moorline pause",
        "<div hidden>\n\n@moorline pause\n\n</div>",
        "<q>\n\n@moorline pause\n\n</q>",
        "he said <q>x\n@moorline pause\n</q>",
        "a <tt>b\n@moorline pause\n</tt>",
        "a <del>b\n@moorline pause\n</del>",
        "a <tt>b\n\n@moorline pause\n\n</tt>",
        "- a <tt>b\n\n@moorline pause",
        "> <q>b\n\n@moorline pause",
        "<?php\n\n@moorline pause",
        "words\n@moorline pause\n<tt>b</tt>",
        "words\n@moorline pause\n    <tt>b</tt>",
        "@moorline pause <q>b</q>",
        ">>> [!note]\nx\n\n@moorline pause\n>>>",
        ">>> [!warning] Do not say this\n\n@moorline pause\n\n>>>",
        ">>>>\n\n@moorline pause",
        "- >>> [!tip]\n\n@moorline pause",
        "| a | b |\n|---|---|\n| x | y |\n@moorline pause",
        "a | b\n-|-\nx | y\n@moorline pause",
        "a\n:-:\n@moorline pause",
        "@moorline pause\n|---|",
        "words\n@moorline pause | x\n- | -",
        "| a |\n|---|\n| <tt> |\n\n@moorline pause",
        "Term\n: words\n@moorline pause",
        "hi[^1]\n\n[^1]:\n\n    x\n@moorline pause",
        "$x\n@moorline pause\ny$",
        "~~x\n@moorline pause\ny~~",
        "",
        "@",
        "/",
    ],
)
def test_what_is_none(text: str) -> None:
    assert said(text) == ()


def test_the_bot_answers_to_its_account_alone() -> None:
    assert verbs("@harbour pause", "harbour[bot]") == ["pause"]
    assert verbs("@moorline pause", "harbour[bot]") == []
    assert verbs("/harbour pause", "harbour[bot]") == ["pause"]
    assert verbs("/moorline pause", "harbour[bot]") == ["pause"]
    assert verbs("@group_1_bot.x pause", "group_1_bot.x", slash=False) == ["pause"]
    assert verbs("/moorline pause", "moorline", slash=False) == []


def test_several_in_one_comment_are_taken_in_order() -> None:
    text = "@moorline ignore node:22 because it moves\nsome words\n@moorline status\n\n@moorline help"
    assert verbs(text) == ["ignore", "status", "help"]
    many = said("\n".join(["@moorline status"] * (MOST + 5)))
    assert len(many) == MOST + 1
    assert isinstance(many[-1], Mistake)


def test_the_parts_of_a_command() -> None:
    [one] = said("@moorline allow `ghcr.io/acme/tool:1.4` until 2026-12-31 because we   read\tit, until then")
    assert one == Command(
        verb=Verb.ALLOW,
        names=("ghcr.io/acme/tool:1.4",),
        until=date(2026, 12, 31),
        because="we read it, until then",
    )
    [one] = said("@moorline pin node:22, `redis:7` and actions/checkout@v4")
    assert one == Command(verb=Verb.PIN, names=("node:22", "redis:7", "actions/checkout@v4"))
    assert said("@moorline pin all") == said("@moorline pin") == (Command(verb=Verb.PIN),)
    assert said("@moorline snooze 2w") == (Command(verb=Verb.SNOOZE, days=14),)
    assert said("@moorline snooze 3 days") == (Command(verb=Verb.SNOOZE, days=3),)
    assert said("@moorline") == (Command(verb=Verb.HELP),)


@pytest.mark.parametrize(
    ("text", "problem", "meant"),
    [
        ("ignroe node:22 because x", "no such command", Verb.IGNORE),
        ("rebsae", "no such command", Verb.REBASE),
        ("stauts", "no such command", Verb.STATUS),
        ("statsus", "no such command", Verb.STATUS),
        ("clos", "no such command", Verb.CLOSE),
        ("cancel", "no such command", None),
        ("ping", "no such command", None),
        ("pleas", "no such command", None),
        ("please", "no such command", None),
        ("can you dance?", "no such command", None),
        ("please ignore nginx", "needs a reason", Verb.IGNORE),
        ("could you please rebase", "begins with its name", Verb.REBASE),
        ("pause?", "no such command", Verb.PAUSE),
        ("disalow node:22", "no such command", Verb.DISALLOW),
        ("disallow", "name it", Verb.DISALLOW),
        ("disallow node:22 because x", "takes no reason", Verb.DISALLOW),
        ("disallow node:22 until 2026-12-31", "takes no date", Verb.DISALLOW),
        ("thank you!", "no such command", None),
        ("ignore", "name it", Verb.IGNORE),
        ("ignore a b because x", "one image", Verb.IGNORE),
        ("ignore node:22", "needs a reason", Verb.IGNORE),
        ("ignore node:22 because", "needs a reason", Verb.IGNORE),
        ("ignore node:22 until tomorrow because x", "year, month and day", Verb.IGNORE),
        ("ignore node:22 until 2026-02-30 because x", "year, month and day", Verb.IGNORE),
        ("ignore node:22 until 2026-02-28 because x", "is over", Verb.IGNORE),
        ("ignore node:22 until 2099-01-01 because x", "five years", Verb.IGNORE),
        ("ignore node:22 until 2026-12-31 soon because x", "Behind the date", Verb.IGNORE),
        ("ignore node:22 until", "year, month and day", Verb.IGNORE),
        ("ignore * because x", "as it stands in the file", Verb.IGNORE),
        (f"ignore node:22 because {'x' * (LONGEST_REASON + 1)}", "at most 500", Verb.IGNORE),
        ("allow node:22 because x", "needs a last day", Verb.ALLOW),
        ("unpin node:22 until 2026-12-31 because x", "takes no date", Verb.UNPIN),
        ("pause because x", "takes no reason", Verb.PAUSE),
        ("pause now", "Nothing stands behind", Verb.PAUSE),
        ("snooze", "number of days", Verb.SNOOZE),
        ("snooze 0d", "1 to 365", Verb.SNOOZE),
        ("snooze 9999w", "1 to 365", Verb.SNOOZE),
        ("explain a b", "at a time", Verb.EXPLAIN),
        (f"pin {' '.join(f'a{n}' for n in range(MOST_NAMES + 1))}", "At most 20", Verb.PIN),
        (f"help {'x' * 3000}", "at most 2000", None),
    ],
)
def test_a_mistake_is_told_with_what_was_meant(text: str, problem: str, meant: Verb | None) -> None:
    [one] = said(f"@moorline {text}")
    assert isinstance(one, Mistake)
    assert problem in one.problem
    assert one.meant is meant
    assert len(one.said) <= 100


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("stauts", "status"),
        ("ignroe node:22 because x", "ignore node:22 because x"),
        ("can you pause?", "pause"),
        ("Could you please ignore node:22 because you can?", "ignore node:22 because you can"),
        ("ignroe node:22", ""),
        ("statuss node:22", ""),
        ("thank you", ""),
        (f"ignroe node:22 because {'x' * 300}", ""),
    ],
)
def test_what_may_be_said_instead_is_a_command(text: str, instead: str) -> None:
    [one] = said(f"@moorline {text}")
    assert isinstance(one, Mistake)
    assert one.instead == instead
    if instead:
        assert isinstance(said(f"@moorline {instead}")[0], Command)


@pytest.mark.parametrize(
    "text", ["please rebase", "rebase please", "kindly rebase, please!", "Please, rebase."]
)
def test_what_is_polite_is_no_part_of_a_command(text: str) -> None:
    assert verbs(f"@moorline {text}") == ["rebase"]


def test_what_a_reason_ends_with_is_a_part_of_it() -> None:
    [one] = said("@moorline please ignore node:22 because we ask you to, please")
    assert isinstance(one, Command)
    assert one.because == "we ask you to, please"


@given(st.text(alphabet="abcdefghilmnoprstuvwxyz", min_size=1, max_size=9))
def test_no_command_with_an_effect_is_guessed_from_a_weak_likeness(word: str) -> None:
    [one] = said(f"@moorline {word}")
    if isinstance(one, Mistake) and one.meant is not None and FORMS[one.meant].least is not Role.READ:
        assert word[0] == one.meant.value[0]
        assert abs(len(word) - len(one.meant.value)) <= 1
        assert len(set(word) - set(one.meant.value)) <= 1


def test_roles_are_called_as_the_forge_calls_them() -> None:
    roles = [Role.READ, Role.WRITE, Role.MAINTAIN, Role.ADMIN]
    assert [role_name(one, "github") for one in roles] == ["read", "write", "maintain", "admin"]
    assert [role_name(one, "gitlab") for one in roles] == [
        "Guest or Reporter",
        "Developer",
        "Maintainer",
        "Owner",
    ]


def test_nothing_unseen_is_left_in_a_reason() -> None:
    [one] = said("@moorline ignore node:22 because a\u202eb\u200bc\x00d\u2028e")
    assert isinstance(one, Command)
    assert one.because.isprintable()
    assert "\n" not in one.because


@given(st.text(max_size=3000), st.booleans())
@example("@moorline \x00", True)
@example("`" * 3000, True)
@example("@moorline ignore \ud800 because \udfff", False)
def test_any_text_is_parsed_without_raising(text: str, slash: bool) -> None:
    for one in (*said(text, slash=slash), *said(f"@moorline {text}", slash=slash)):
        assert isinstance(one, Command | Mistake)


PIECES = st.sampled_from(
    [
        "`",
        "``",
        "```",
        "\n",
        "\n\n",
        "> ",
        "    ",
        "<!--",
        "-->",
        "\\",
        "@moorline pause",
        "x ",
        "- ",
        "<pre>",
        "~~~",
    ]
)


@given(st.lists(PIECES, max_size=60))
def test_any_markdown_is_parsed_without_raising(pieces: list[str]) -> None:
    assert len(said("".join(pieces))) <= MOST + 1


@given(st.lists(PIECES.filter(lambda one: one != "~~~"), max_size=40))
def test_nothing_within_a_code_block_is_a_command(pieces: list[str]) -> None:
    assert said("~~~\n" + "".join(pieces) + "\n~~~\n") == ()


BLOCKS = st.sampled_from(
    [
        "```", "````", "~~~", "    ```", "\t```", "   ```", "- ```", "* ~~~", "- ", "- item", "  x", "2. x", "- > q",
        "> q", "> ```", "", "", "\u00a0", "\f", "x", "    x", "    `", "`", "a ` b", "# `", "===", "---", "***",
        "<pre>", "</pre>", "<pre></pre><pre>", "<details><pre>", "</prefoo>", "<div>", "<div><blockquote>", "</div>",
        "see <code>", "</code>", "<!--", "-->", "x <!--", "<!-- a -->", "<?php", "?>", "[x]: /u '", "'", "[x]:", "[",
        "| a |", "|---|", "a | b", "-|-", ":-:", "<ul>", "<li>", "</ul>", "a <tt>b", "</tt>", "said <q>x", "<del>x", "</del>",
        "<table><tr><td>", ">>> [!note]", ">>>", ">>>> [!tip] x", "see <https://example.org>", "~~x", "y~~", "www.example.org",
        ": x", "[^1]:", "x[^1]",
    ]
)  # fmt: skip


MARKDOWN = MarkdownIt("commonmark", {"linkify": True}).enable(["table", "strikethrough", "linkify"])


@settings(max_examples=600)
@given(st.lists(BLOCKS, max_size=7), st.lists(BLOCKS, max_size=4))
def test_what_markdown_shows_as_another_block_is_no_command(before: list[str], after: list[str]) -> None:
    text = "\n".join([*before, "@moorline pause", *after])
    if not said(text):
        return
    at = len(before)
    tokens = MARKDOWN.parse(text)
    kinds = {one.type for one in tokens if one.map is not None and one.map[0] <= at < one.map[1]}
    assert not kinds & {
        "code_block",
        "fence",
        "html_block",
        "blockquote_open",
        "list_item_open",
        "table_open",
    }
    [place] = [n for n, one in enumerate(tokens) if one.type == "inline" and "@moorline pause" in one.content]
    struck, plain = False, []
    for one in tokens[place].children or ():
        struck = one.type == "s_open" or (struck and one.type != "s_close")
        if one.type == "text" and not struck:
            plain.append(one.content)
    assert any(one.startswith("@moorline pause") for one in plain)
    # no HTML is open: there is none, before it or in its block, but comments
    flat = [each for one in tokens[: place + 1] for each in (one, *(one.children or ()))]
    assert all(one.content.lstrip().startswith("<!--") for one in flat if one.type.startswith("html_"))
    # what GitLab has besides: a line of three signs begins a quote of many lines
    hides = {"fence", "code_block", "html_block"}
    hidden = {n for one in tokens if one.type in hides and one.map for n in range(*one.map)}
    assert not any(line.startswith(">>>") for n, line in enumerate(before) if n not in hidden)


@given(st.lists(st.sampled_from(["words", "more, words.", "", "\n```\nx\n```\n"]), max_size=8))
def test_a_command_among_paragraphs_and_code_is_heard(pieces: list[str]) -> None:
    text = "\n".join(pieces)
    assert verbs(f"{text}\n\n@moorline pause\n\n{text}") == ["pause"]


@pytest.mark.parametrize(
    "piece",
    [
        "`",
        "<a",
        "<https://",
        "<a@",
        "$a",
        "a~",
        "|-",
        "| a\n|-|\n",
        "<pre>",
        "<code></code>",
        "<a '",
        "![",
        "](",
        "x [",
        "a `\n",
        "* ",
        "_ ",
        "` `` ",
        "<!--",
        "<!-- -->",
        "\\`",
        "> ",
        "- ",
        "1. ",
        "@moorline ",
        "@moorline pause\n",
        "\n",
        "``` \n",
        "@a",
    ],
)
def test_time_is_linear_in_the_text(piece: str) -> None:
    """Eight times the text takes about eight times as long: a square would take sixty-four times."""

    def seconds(length: int) -> float:
        text = (piece * length)[:length]
        best = 9.0
        for _ in range(3):
            begun = time.perf_counter()
            said(text)
            best = min(best, time.perf_counter() - begun)
        return best

    assert seconds(LONGEST_TEXT) < max(40 * seconds(LONGEST_TEXT // 8), 0.3)


@pytest.mark.parametrize(
    "before", ["_", "*", "-", "=", "```\n```", "<pre>\n</pre>", "<pre", ">>>", "|-", ":"]
)
def test_blanks_before_a_word_take_no_longer_than_other_text(before: str) -> None:
    begun = time.perf_counter()
    assert said(before + " " * (LONGEST_TEXT - 20) + "x") == ()
    assert time.perf_counter() - begun < 2


def test_what_lies_beyond_the_limit_is_not_looked_at() -> None:
    text = "x" * (LONGEST_TEXT - 8) + "\n\n@moorline pause"
    assert said(text) == ()
    assert verbs("@moorline pause\n" + "x" * LONGEST_TEXT) == ["pause"]


def test_the_documents_show_every_command_as_it_is() -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8").replace("\\|", "|")
    for verb, form in FORMS.items():
        shown = "`pause`, `resume`" if verb in (Verb.PAUSE, Verb.RESUME) else f"| `{form.usage}` |"
        assert shown in text, verb
    examples = re.findall(r"`@moorline ([^`]+)` \|$", text, re.MULTILINE)
    assert len(examples) >= len(FORMS) - 1
    for each in examples:
        [one] = parse(f"@moorline {each}", "moorline", slash=False, today=TODAY)
        assert isinstance(one, Command), each
