"""The walker: which nodes the paths of a table lead to, and under which names."""

from __future__ import annotations

import pytest

from bot.finders.yaml import MAX_KEY, Hit, Table, unread
from bot.model import UnreadReason
from bot.source import Source
from bot.yamltree import Scalar, Tree, compose


def walk(text: str, *paths: str) -> list[Hit]:
    tree = compose(Source("a.yml", text.encode()))
    assert isinstance(tree, Tree)
    return list(Table(paths).walk(tree))


def shown(text: str, *paths: str) -> list[tuple[str, str]]:
    return [(hit.where, hit.node.value) for hit in walk(text, *paths) if isinstance(hit.node, Scalar)]


@pytest.mark.parametrize(
    ("text", "paths", "expected"),
    [
        ("image: a\n", ("image",), [("image", "a")]),
        ("x: {image: a}\ny: {image: b}\n", ("*.image",), [("x.image", "a"), ("y.image", "b")]),
        ("x: {s: [{u: a}, {v: b}, {u: c}]}\n", ("x.s[].u",), [("x.s[0].u", "a"), ("x.s[2].u", "c")]),
        ("s: [a, [b], {c: d}]\n", ("s[]",), [("s[0]", "a")]),
        ("s: [[a, b]]\n", ("s[][]",), [("s[0][0]", "a"), ("s[0][1]", "b")]),
        ("- u: a\n", ("[].u",), [("[0].u", "a")]),
        ("a: 1\n---\na: 2\n", ("a",), [("a", "1"), ("a", "2")]),
        ("a: 1\na: 2\n", ("a",), [("a", "1"), ("a", "2")]),
        ("a: x\n", ("a.b", "a[]", "b"), []),
        ("a: x\n", ("a", "*"), [("a", "x"), ("a", "x")]),
        ("1: {true: x}\n", ("1.true",), [("1.true", "x")]),
        ("? [k]\n: {u: x}\nz: {u: y}\n", ("*.u",), [("z.u", "y")]),
        ("", ("a",), []),
        ("null\n", ("a",), []),
    ],
)
def test_paths(text: str, paths: tuple[str, ...], expected: list[tuple[str, str]]) -> None:
    assert shown(text, *paths) == expected


def test_hit_knows_its_path_and_parent() -> None:
    (hit,) = walk("jobs: {b: {uses: x}}\n", "jobs.*.uses")
    assert hit.path == "jobs.*.uses"
    assert [key.value for key, _ in hit.parent.value] == ["uses"]


def test_what_an_anchor_holds_is_yielded_once() -> None:
    text = "x: &x {uses: a}\njobs:\n  b: *x\n  c: {<<: *x}\n  d: {<<: *x, uses: e}\n"
    assert shown(text, "jobs.*.uses") == [("jobs.b.uses", "a"), ("jobs.d.uses", "e")]


def test_walk_of_recursive_and_exploding_graphs_ends() -> None:
    found = shown("a: &a\n  b: *a\n  c: x\n", "a.c", "a.b.c", "a.b.b.b.c")
    assert found == [("a.b.b.b.c", "x"), ("a.b.c", "x"), ("a.c", "x")]
    lines = ["a0: &a0 [{u: x}]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert len(shown("\n".join(lines), "a11" + "[]" * 12 + ".u")) == 1


def test_where_is_bounded_and_printable() -> None:
    key = "k" * 1_000_000
    (hit,) = walk(f"? {key}\n: {{u: a}}\n", "*.u")
    assert len(hit.where) < MAX_KEY + 10
    (hit,) = walk('"a\\n\\e[31m\\ud800": {u: a}\n', "*.u")
    assert hit.where.isascii()
    assert hit.where.isprintable()


def test_unread_keeps_the_reason() -> None:
    source = Source("a.yml", b"\xff")
    trouble = compose(source)
    assert not isinstance(trouble, Tree)
    assert unread(source, trouble).reason is UnreadReason.NOT_UTF8
