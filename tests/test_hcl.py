"""The HCL reader on what is well-formed, what is not, and what is far too much."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot import hcl
from bot.hcl import Document, Items, Name, Null, Other, Table, Template, Value
from bot.source import Literal

ODD = st.lists(
    st.sampled_from([
        "target", "a", "x.y", '"', '"a"', "{", "}", "[", "]", "(", ")", "=", ":", "=>", ",", "\n", " ", "${", "%{",
        "$${", "<<E\n", "<<-E\n", "E\n", "E", "\\", "\\u12", "#", "//", "/*", "*/", "null", "true", "1", "-", "?", "é",
        "for", "\r\n", "\0", "\ufeff", "🥐",
    ]),
    max_size=40,
).map("".join)  # fmt: skip


def value(text: str) -> Value:
    document = hcl.read(f"a = {text}\n")
    assert document.trouble is None
    return document.attributes["a"]


def told(one: Value) -> object:
    """Return a value as plain Python: names in angle brackets, what is not told as `...`."""
    match one:
        case Template():
            return one.text if one.text is not None else "".join(map(_piece, one.pieces))
        case Name():
            return f"<{one.name}>"
        case Null():
            return None
        case Items():
            return [told(item) for item in one.items]
        case Table():
            return {told(pair.key): told(pair.value) for pair in one.pairs}
        case Other():
            return ...


def _piece(piece: object) -> str:
    if isinstance(piece, Literal):
        return piece.text
    return f"<{piece.name}>" if isinstance(piece, hcl.Hole) and piece.name else "<?>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"x"', "x"),
        ('""', ""),
        ('"a${B}c"', "a<B>c"),
        ('"${ B }"', "<B>"),
        ('"${upper("x}")}"', "<?>"),
        ('"${"${B}"}"', "<?>"),
        ('"%{ if B }x%{ endif }"', "<?>x<?>"),
        ('"$${B} %%{x} $ 5%"', "${B} %{x} $ 5%"),
        (r'"\"\\\n\t\u00e9\U0001F950\/"', '"\\\n\té🥐/'),
        ("B", "<B>"),
        ("B.c", ...),
        ("null", None),
        ("true", "true"),
        ("12", ...),
        ("-1.5e3", ...),
        ("f(B)", ...),
        ('B ? "x" : "y"', ...),
        ('B == "x"', ...),
        ("[]", []),
        ('["a", B, null,]', ["a", "<B>", None]),
        ('[\n  "a", # one\n  // two\n  "b" /* three\n */\n]', ["a", "b"]),
        ('["a"] # behind', ["a"]),
        ('["a"][0]', ...),
        ('[for x in B : "a/${x}"]', [...]),
        ("{}", {}),
        ('{ a = "x", "b" = B\n c : "y" }', {"a": "x", "b": "<B>", "c": "y"}),
        ('{ "a${B}" = "x" }', {"a<B>": "x"}),
        ('{ (B) = "x"\n c = "y" }', {"c": "y"}),
        ("{ for k, v in B : k => v }", {}),
        ("[[1], {a = [B]}]", [[...], {"a": ["<B>"]}]),
        ("<<EOT\na ${B}\n b\nEOT", "a <B>\n b\n"),
        ("<<-EOT\n  a $${B}\n  EOT", "  a ${B}\n"),
        ("<<EOT\nEOT", ""),
        ('<<EOT\nEOTX\n "\n EOT', 'EOTX\n "\n'),
        ("[<<E\nx\nE\n, 1]", ["x\n", ...]),
    ],
)
def test_values(text: str, expected: object) -> None:
    assert told(value(text)) == expected


def test_what_is_not_told_keeps_its_strings_and_names() -> None:
    found = value('concat(["a/b"], B ? [for x in split(",", C.d) : "c/${x}"] : [])')
    assert isinstance(found, Other)
    assert [told(one) for one in found.strings] == ["a/b", ",", "c/<x>"]
    assert {"B", "C", "concat"} <= found.names


def test_blocks_and_their_attributes() -> None:
    document = hcl.read(
        '# c\r\nvariable "A" {\r\n  default = "x"\r\n  validation { condition = A != "" }\r\n}\r\n'
        'target "a" { tags = ["y"] }\nplain {\n}\nA = "1"\nA = "2"\n'
    )
    assert [(one.kind, one.labels, set(one.body)) for one in document.blocks] == [
        ("variable", ("A",), {"default"}),
        ("target", ("a",), {"tags"}),
        ("plain", (), set()),
    ]
    assert told(document.attributes["A"]) == "2"
    assert document.mentions["A"] == 1


def test_json() -> None:
    document = hcl.read_json(
        '\ufeff{"target": {"a": {"tags":\n["x/${T}"], "args": {"A": null, "B": 1, "C": "\\u00e9"}}}, "x": []}'
    )
    (block,) = document.blocks
    assert (block.kind, block.labels, told(block.body["tags"])) == ("target", ("a",), ["x/<T>"])
    assert told(block.body["args"]) == {"A": None, "B": ..., "C": "é"}
    assert document.mentions == {"T": 1}


@pytest.mark.parametrize(
    ("text", "at", "why"),
    [
        ('target "a" {\n  x = 1\n', 21, "a block is not closed"),
        ('a = "x\n"', 4, "a string is not closed on its line"),
        ('a = "${x"', 5, "`${` is not closed"),
        ("a = <<E\nx\n", 8, "the heredoc E is not closed"),
        ("a = [1\n", 5, "a `]` is missing"),
        ("a = [1}", 5, "a `]` is missing"),
        ("}", 0, "a `}` closes nothing"),
    ],
)
def test_where_and_why_the_reading_ends(text: str, at: int, why: str) -> None:
    assert hcl.read(f'target "first" {{ a = "b" }}\n{text}').trouble == (at + 27, why)
    assert hcl.read(f'target "first" {{ a = "b" }}\n{text}').blocks[0].labels == ("first",)


def test_json_that_is_none() -> None:
    assert hcl.read_json("[]").trouble == (0, "expected an object")
    assert hcl.read_json('{"a": {}} x').trouble == (10, "something follows the object")
    assert hcl.read_json('{"a": {}').trouble is not None


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000,
        "a = " + "{a=" * 5000,
        "a = " + "(" * 5000,
        'a = "' + "${" * 5000,
        'a = "' + '${"' * 5000,
        "a {\n" * 5000,
        "a = 1 + " + "[(" * 3000,
    ],
)
def test_depth_is_bounded(text: str) -> None:
    for read in (hcl.read, hcl.read_json):
        document = read(text)
        assert document.trouble is not None
        assert not document.attributes


def test_size_is_bounded() -> None:
    document = hcl.read('a = "x"\n' + "b c\n" * hcl.MAX_TOKENS)
    assert document.trouble is not None
    assert "words and marks" in document.trouble[1]
    assert told(document.attributes["a"]) == "x"


@pytest.mark.parametrize(
    "text",
    [
        'a = "' + "x" * 1_000_000,
        'a = "' + "${x}" * 200_000 + '"',
        "a = <<E\n" + " E x\n" * 200_000,
        "<<E\n" * 100_000,
        "/* " * 300_000,
        "a = <<E\n" + "${" * 100_000,
        "#" * 1_000_000,
        '"\\' * 300_000,
    ],
)
def test_time_is_linear(text: str) -> None:
    hcl.read(text)
    hcl.read_json(text)


def places(document: Document) -> list[Literal]:
    """Return the literals in a document."""
    pending: list[Value] = [*document.attributes.values()]
    for block in document.blocks:
        pending += block.body.values()
    found: list[Literal] = []
    while pending:
        one = pending.pop()
        match one:
            case Template():
                found += [piece for piece in one.pieces if isinstance(piece, Literal)]
            case Items():
                pending += one.items
            case Table():
                pending += [side for pair in one.pairs for side in (pair.key, pair.value)]
            case Other():
                pending += one.strings
            case _:
                pass
    return found


@settings(max_examples=400, deadline=None)
@given(ODD)
@example('a = { "b" = "c" }')
def test_any_text(text: str) -> None:
    for read in (hcl.read, hcl.read_json):
        for literal in places(read(text)):
            if literal.plain and "$${" not in text and "%%{" not in text and "\\" not in text:
                assert text[literal.start : literal.end] == literal.text
