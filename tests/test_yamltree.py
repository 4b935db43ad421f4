"""YAML trees: places to the byte, and what would crash or hang a loader."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import yamltree
from bot.model import UnreadReason
from bot.source import Source, Text
from bot.yamltree import (
    Mapping,
    Node,
    Scalar,
    Sequence,
    Tree,
    Unparsable,
    check,
    compose,
    get,
    items,
    scalar,
)

ROOT = Path(__file__).parent.parent


def tree(data: str | bytes) -> Tree:
    made = compose(Source("a.yml", data.encode() if isinstance(data, str) else data))
    assert isinstance(made, Tree), made
    return made


def refused(data: str | bytes) -> Unparsable:
    made = compose(Source("a.yml", data.encode() if isinstance(data, str) else data))
    assert isinstance(made, Unparsable)
    return made


def value_at(made: Tree, key: str) -> Node:
    node = get(made.documents[-1], key)
    assert node is not None
    return node


def spanned(data: str | bytes, key: str = "image") -> bytes | None:
    """Return the bytes that the span of a root key's value covers."""
    made = tree(data)
    span = made.span(value_at(made, key))
    return None if span is None else made.source.data[span.start : span.end]


def scalars(node: Node, seen: set[int]) -> list[Scalar]:
    """Return every scalar of a graph, once."""
    if id(node) in seen:
        return []
    seen.add(id(node))
    if isinstance(node, Scalar):
        return [node]
    if isinstance(node, Sequence):
        return [one for item in node.value for one in scalars(item, seen)]
    assert isinstance(node, Mapping)
    return [one for pair in node.value for item in pair for one in scalars(item, seen)]


# --- spans ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image: node:20", "node:20"),
        ("image: node:20\n", "node:20"),
        ("image:    node:20   # why\n", "node:20"),
        ("image: 'node:20'\n", "node:20"),
        ('image: "node:20"\n', "node:20"),
        ('"image": node:20\n', "node:20"),
        ("? image\n: node:20\n", "node:20"),
        ("image : node:20\n", "node:20"),
        ("{image: node:20}\n", "node:20"),
        ("{image: 127.0.0.1:5077/a:1}\n", "127.0.0.1:5077/a:1"),
        ('{"image":"node:20"}\n', "node:20"),
        ("image: &main node:20\n", "node:20"),
        ("image: !!str node:20\n", "node:20"),
        ("image: !!str &main 'node:20'\n", "node:20"),
        ("image: &main !<tag:yaml.org,2002:str> node:20\n", "node:20"),
        ("image: !custom node:20\n", "node:20"),
        ("image: >-\n  node:20\n", "node:20"),
        ("image: |\n  node:20\n\nother: 1\n", "node:20"),
        ("image: |2-\n  node:20\n", "node:20"),
        ("image: >- # node:20\n  node:20\n", "node:20"),
        ("image: \n  node:20\n", "node:20"),
        ("image: node:18\nimage: node:20\n", "node:20"),
        ("# ümläut 🚢\nname: 🚢 é\nimage: node:20 # é\n", "node:20"),
        ("{n: 🚢, image: node:20}\n", "node:20"),
        ("a: 1\r\nimage: node:20\r\n", "node:20"),
        ("a: 1\rimage: node:20\r", "node:20"),
        ("\ufeffimage: node:20\n", "node:20"),
        ("\ufeff# é\r\nimage: 'node:20'\r\n", "node:20"),
        ("image: >-\r\n  node:20\r\n", "node:20"),
        ("--- \na: 1\n...\n---\nimage: node:20\n", "node:20"),
        ("%YAML 1.2\n---\nimage: node:20\n", "node:20"),
        ("# \x85 \u2028\nimage: node:20\n", "node:20"),
    ],
)
def test_span_covers_the_value_alone(text: str, expected: str) -> None:
    assert spanned(text) == expected.encode()


@pytest.mark.parametrize(
    "text",
    [
        'image: "node\\x3a20"\n',
        'image: "a\\/b"\n',
        "image: 'it''s'\n",
        'image: "node:\\\n  20"\n',
        "image: node\n  :20\n",
        "image: |\n  node:20\n  node:22\n",
        "image: >-\n  node:20\n  # no comment in here\n",
        "image:\n",
        "image: ''\n",
        "image: [node:20]\n",
    ],
)
def test_no_span_where_the_file_does_not_hold_the_value_letter_by_letter(text: str) -> None:
    assert spanned(text) is None


def test_raw_takes_quotes_and_properties() -> None:
    made = tree('é: 1\nimage: &a "b\\x41"\n')
    span = made.raw(value_at(made, "image"))
    assert made.source.data[span.start : span.end] == b'&a "b\\x41"'


def test_raw_ends_with_the_text_of_a_block_scalar() -> None:
    made = tree("image: |+ # why\n  a\n  b \n\n\nother: 1\n")
    span = made.raw(value_at(made, "image"))
    assert made.source.data[span.start : span.end] == b"|+ # why\n  a\n  b"


def test_slow_loader_reads_what_the_fast_one_refuses_with_the_same_places() -> None:
    # libyaml refuses an anchor that is used again; YAML does not.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = tree("é: &x 1\nb: &x 2\nimage: &y node:20\nlist: [*x, *y]\n")
    with pytest.raises(yaml.YAMLError):
        list(yaml.compose_all("é: &x 1\nb: &x 2\n", Loader=yaml.CSafeLoader))
    node = value_at(made, "image")
    span = made.span(node)
    assert span is not None
    assert made.source.data[span.start : span.end] == b"node:20"
    listed = value_at(made, "list")
    assert isinstance(listed, Sequence)
    assert listed.value[1] is node


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=700),
            st.sampled_from(["plain", "'", '"']),
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_offsets_in_any_text(comments: list[tuple[str, str]], newline: str, bom: bool) -> None:
    lines = []
    for text, quote in comments:
        mark = "" if quote == "plain" else quote
        lines.append("# " + "".join(text.split()))
        lines.append(f"- {mark}node:20{mark} # {''.join(text.split())}")
    data = (("\ufeff" if bom else "") + newline.join(lines)).encode()
    made = compose(Source("a.yml", data))
    if isinstance(made, Unparsable):
        return  # characters that YAML has no place for
    (root,) = made.documents
    assert isinstance(root, Sequence)
    assert len(root.value) == len(comments)
    for node in root.value:
        span = made.span(node)
        assert span is not None
        assert data[span.start : span.end] == b"node:20"


@given(st.text(max_size=1500), st.booleans())
@settings(max_examples=60, deadline=None)
def test_text_offsets_agree_with_encoding(text: str, bom: bool) -> None:
    text = text.encode("utf-8", "ignore").decode()
    mark = b"\xef\xbb\xbf" if bom else b""
    made = Text(mark + text.encode())
    skew = len(mark)
    if not bom and text.startswith("\ufeff"):
        text, skew = text[1:], 3
    assert made.text == text
    for index in {
        0,
        len(text),
        len(text) // 2,
        min(511, len(text)),
        min(512, len(text)),
        min(513, len(text)),
    }:
        assert made.offset(index) == skew + len(text[:index].encode())


# --- comments behind -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("uses: a/b@v1\n", (12, "")),
        ("uses: a/b@v1", (12, "")),
        ("uses: a/b@v1  \t\n", (12, "")),
        ("uses: 'a/b@v1'\n", (14, "")),
        ("uses: a/b@v1 # v1\n", (13, "# v1")),
        ("uses: a/b@v1\t#v1\r\n", (13, "#v1")),
        ("é: 1\nuses: a/b@v1 # é\n", (19, "# é")),
        ("uses: a/b@v1 # one\n# ] two\nb: 1\n", (13, "# one")),
    ],
)
def test_behind(text: str, expected: tuple[int, str]) -> None:
    made = tree(text)
    found = made.behind(value_at(made, "uses"))
    assert found is not None
    span, comment = found
    assert (span.start, comment) == expected
    assert made.source.data[span.start : span.end] == comment.encode()


@pytest.mark.parametrize(
    "text",
    [
        "{uses: a/b@v1}\n",
        "{uses: a/b@v1, with: x}\n",
        "{\n  uses: a/b@v1\n}\n",
        "{\n  uses: 'a/b@v1' # v1\n\n  # more\n  , with: x}\n",
        "uses: >-\n  a/b@v1\n",
        'uses: "a/b@v1"#v1\n',
        "uses: [a]\n",
    ],
)
def test_nothing_may_stand_behind(text: str) -> None:
    made = tree(text)
    assert made.behind(value_at(made, "uses")) is None


# --- mappings ------------------------------------------------------------------------------


def test_merge_keys_come_after_own_ones_and_do_not_override() -> None:
    made = tree("base: &b {a: 1, c: 2}\nmore: &m {c: 3, d: 4}\nuse: {<<: [*b, *m], a: 0}\n")
    found = [(scalar(key), scalar(value)) for key, value in items(value_at(made, "use"))]
    assert found == [("a", "0"), ("c", "2"), ("d", "4")]


def test_quoted_merge_key_is_an_ordinary_key() -> None:
    made = tree("use: {'<<': {a: 1}}\n")
    assert [scalar(key) for key, _ in items(value_at(made, "use"))] == ["<<"]


def test_mapping_that_merges_itself_ends() -> None:
    made = tree("use: &u\n  <<: *u\n  a: 1\n  b: {<<: [*u, *u]}\n")
    assert [scalar(key) for key, _ in items(value_at(made, "use"))] == ["a", "b"]
    assert scalar(get(get(value_at(made, "use"), "b"), "a")) == "1"


def test_last_of_equal_keys_wins() -> None:
    assert scalar(value_at(tree("a: 1\na: 2\n"), "a")) == "2"


# --- trouble -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b"a: 1\nb: [\n", 3, UnreadReason.UNPARSABLE),
        (b"a: 1\nb: c: d\n", 2, UnreadReason.UNPARSABLE),
        (b"a:\n\t- b\n", 2, UnreadReason.UNPARSABLE),
        ("# \u2028\na: 1\nb: c: d\n".encode(), 3, UnreadReason.UNPARSABLE),
        (b"a: 1\n{{- if .x }}\nb: 2\n{{ end }}\n", 3, UnreadReason.UNPARSABLE),
        (b"{% raw %}\na: 1\n", 1, UnreadReason.UNPARSABLE),
        (b"a: 1\nb: \x07\n", 2, UnreadReason.UNPARSABLE),
        (b"a: 1\nb: x\x00\n", 2, UnreadReason.UNPARSABLE),
        (b"a: *nobody\n", 1, UnreadReason.UNPARSABLE),
        (b"a: \xff\n", 1, UnreadReason.NOT_UTF8),
        (b"\xef\xbb\xbfa: 1\nb: 1\n\xe9: 1\n", 3, UnreadReason.NOT_UTF8),
        ("a: 1\n".encode("utf-16"), 1, UnreadReason.NOT_UTF8),
        (b"\xef\xbb\xbf\xef\xbb\xbfa: 1\n", 1, UnreadReason.UNPARSABLE),
    ],
)
def test_refusal_names_line_and_reason(data: bytes, line: int, reason: UnreadReason) -> None:
    trouble = refused(data)
    assert (trouble.line, trouble.reason) == (line, reason)
    assert trouble.detail
    assert check(Source("f.yml", data)) == trouble


DEEP = {
    "sequences": '"- " * N',
    "sequences with tabs and spaces": '"-   " * N',
    "keys": '"? " * N',
    "mixed indicators": '"- ? " * N',
    "values": '"? a\\n: " + "- " * N',
    "flow sequences": '"[" * N',
    "flow mappings": '"{a: " * N',
    "flow pairs": '"[a: " * N',
    "flow keys": '"{? " * N',
    "flow with anchors": '"&a [" * N',
    "flow over lines": '"[\\n" * N',
    "flow with comments": '"[ # c\\n" * N',
    "behind a lone CR": '"# c\\r" + "- " * N',
    "behind NEL": '"# c\\x85" + "- " * N',
    "behind LS": '"# c\\u2028" + "- " * N',
    "behind PS": '"# c\\u2029" + "- " * N',
    "behind a byte order mark": '"a: 1\\n---\\n\\ufeff" + "- " * N',
    "behind two byte order marks": '"\\ufeff\\ufeff" + "- " * N',
    "behind a directive": '"%YAML 1.1\\n---\\n" + "- " * N',
    "in a later document": '"a: 1\\n...\\n---\\n" + "- " * N',
    "indentation": '"".join(" " * i + "a:\\n" for i in range(3000))',
    "indentation, lone CR": '"".join(" " * i + "a:\\r" for i in range(3000))',
    "indentation with anchors": '"".join(" " * i + f"- &a{i} !t\\n" for i in range(3000))',
    "two in a column": '"".join(" " * i + "a:\\n" + " " * i + "-\\n" for i in range(2000))',
    "two in a column, comments between":
        '"".join(" " * i + "a: # c\\n# c\\n\\n" + " " * i + "- # c\\n" for i in range(2000))',
}  # fmt: skip

CHILD = """
import sys
from bot.source import Source
from bot.yamltree import Unparsable, compose
N = 200_000
made = compose(Source("a.yml", ({}).encode()))
assert isinstance(made, Unparsable), made
print(made.detail)
"""


def test_deep_nesting_is_refused_and_does_not_crash() -> None:
    running = {
        name: subprocess.Popen(
            [sys.executable, "-c", CHILD.format(made)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for name, made in DEEP.items()
    }
    for name, process in running.items():
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, f"{name}: {process.returncode} {err}"
        assert out.strip(), name


TOKENS = [
    "- ",
    "? ",
    ": ",
    "a: ",
    "a",
    "\n",
    "\r",
    "\r\n",
    " ",
    "  ",
    "\t",
    "[",
    "]",
    "{",
    "}",
    ",",
    "&a ",
    "!t ",
]
TOKENS += ["*a", "# c\n", "---\n", "...\n", '"q"', "'q'", "|\n", ">-\n", "\ufeff", "\x85", "\u2028", "<<: "]


@given(st.lists(st.sampled_from(TOKENS), max_size=60), st.integers(1, 40), st.integers(0, 40))
@settings(max_examples=150, deadline=None)
def test_what_passes_the_guard_is_nested_no_deeper_than_the_stack_bears(
    tokens: list[str], times: int, indented: int
) -> None:
    text = "".join(" " * (step if indented else 0) + "".join(tokens) for step in range(times))
    made = Text(text.encode())
    if yamltree._too_much(Source("a.yml", b""), made) is not None:
        return
    depth = deepest = 0
    try:
        for event in yaml.parse(made.text, Loader=yaml.CSafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            deepest = max(deepest, depth)
    except yaml.YAMLError:
        pass
    assert deepest <= 4 * yamltree.MAX_DEPTH


@given(
    st.binary(max_size=400)
    | st.lists(st.sampled_from(TOKENS), max_size=80).map(lambda t: "".join(t).encode())
)
@settings(max_examples=300, deadline=None)
def test_never_raises_and_spans_hold_their_values(data: bytes) -> None:
    made = compose(Source("a.yml", data))
    if isinstance(made, Unparsable):
        return
    for document in made.documents:
        for node in scalars(document, set()):
            span = made.span(node)
            made.behind(node)
            assert made.line(node) >= 1
            if span is not None:
                stripped = node.value.strip("\n") if node.style in ("|", ">") else node.value
                assert data[span.start : span.end] == stripped.encode()


@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(st.sampled_from([*TOKENS, "*a", "&a ", "\n", "---\n", "x: "]), max_size=40).map(
            lambda parts: "".join(parts).encode()
        ),
    )
)
@settings(max_examples=300, deadline=None)
def test_check_refuses_what_compose_refuses(data: bytes) -> None:
    refused = check(Source("f.yml", data))
    assert (refused is None) is isinstance(compose(Source("f.yml", data)), Tree)


def test_check_knows_an_alias_by_its_document() -> None:
    assert check(Source("f.yml", b"- &a x\n- *a\n")) is None
    refused = check(Source("f.yml", b"- &a x\n--- *a\n"))
    assert refused == compose(Source("f.yml", b"- &a x\n--- *a\n"))
    assert refused == Unparsable(line=2, detail="found undefined alias")


def test_check_keeps_nothing() -> None:
    data = b"- a: b\n" * 100_000
    tracemalloc.start()
    try:
        assert check(Source("f.yml", data)) is None
        assert tracemalloc.get_traced_memory()[1] < 4 * len(data)
    finally:
        tracemalloc.stop()


def test_many_tag_directives_are_refused() -> None:
    # The C parser would compare each with all before it: two megabytes take half a minute.
    text = "".join(f"%TAG !a{number}! x\n" for number in range(150_000)) + "--- a\n"
    assert "tag directives" in refused(text).detail


def test_slow_loader_is_not_let_at_what_it_takes_minutes_for() -> None:
    text = "[" * 190 + "a," * 60_000
    assert len(text) < yamltree.SLOW_LIMIT
    assert yamltree._compose_slowly(Source("a.yml", text.encode()), Text(text.encode())) is None
    assert yamltree._flow_depth(text) == 191
    assert yamltree._flow_depth("}" * 50 + "[{}][{a: ${{ b }}}]") == 5


def test_merge_keys_cannot_multiply() -> None:
    big = "big: &b {" + ", ".join(f"k{number}: 1" for number in range(2000)) + "}\n"
    trouble = refused(big + "".join(f"j{number}: {{<<: *b}}\n" for number in range(2000)))
    assert trouble.line is not None
    assert "merge keys" in trouble.detail


def test_long_list_of_merges_is_walked_in_linear_time() -> None:
    made = tree("m: &m {a: 1}\nuse: {<<: [" + ", ".join(["*m"] * 60_000) + "]}\n")
    assert [scalar(key) for key, _ in items(value_at(made, "use"))] == ["a"]


def test_billion_laughs_stay_a_shared_graph() -> None:
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]
    made = tree("\n".join(lines) + "\nimage: node:20\n")
    assert scalar(value_at(made, "image")) == "node:20"


def test_many_broken_files_cost_no_more_than_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    slowly = yamltree._compose_slowly

    def counted(source: Source, text: Text) -> yamltree.Tree | None:
        before = yamltree._spent.get()
        spent = before[0] if before else 0
        made = slowly(source, text)
        after = yamltree._spent.get()
        tried.append((after[0] if after else 0) - spent)
        return made

    monkeypatch.setattr(yamltree, "_compose_slowly", counted)
    data = b"a: [\n" + b"# filler\n" * 2500
    with yamltree.sparing():
        for number in range(100):
            found = compose(Source(f"{number}.yml", data))
            assert isinstance(found, Unparsable)
            assert found.line is not None
    assert sum(tried) <= yamltree.SLOW_TOTAL
    assert tried.count(0) > 60
    # The next look is another one.
    with yamltree.sparing():
        compose(Source("again.yml", data))
    assert tried[-1] == len(data)
