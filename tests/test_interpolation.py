"""Compose's templates and `.env` files: what they come to, and where the literals stand."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.interpolation import MAX_SETTINGS, Variable, dotenv, names, parse, resolve, wholes
from bot.source import Literal


def come_to(text: str, env: bytes = b"") -> str | None:
    template = parse(text)
    assert template is not None
    return resolve(template, dotenv(env)).text


@pytest.mark.parametrize(
    ("text", "env", "expected"),
    [
        ("", b"", ""),
        ("node:20", b"", "node:20"),
        ("$A", b"", None),
        ("$A", b"A=x", "x"),
        ("${A}", b"A=x", "x"),
        ("${A}", b"A=", ""),
        ("$A.b", b"A=x", "x.b"),
        ("$A_b", b"A=x", None),
        ("${A:-d}", b"", "d"),
        ("${A:-d}", b"A=", "d"),
        ("${A:-d}", b"A=x", "x"),
        ("${A-d}", b"", "d"),
        ("${A-d}", b"A=", ""),
        ("${A:-}", b"", ""),
        ("${A:?why}", b"", None),
        ("${A:?why}", b"A=", None),
        ("${A?why}", b"A=", ""),
        ("${A:?${B}}", b"A=x", "x"),
        ("${A:+d}", b"", ""),
        ("${A:+d}", b"A=", ""),
        ("${A:+d}", b"A=x", "d"),
        ("${A+d}", b"A=", "d"),
        ("${A+d}", b"", ""),
        ("${A:-${B:-c:d}}", b"", "c:d"),
        ("${A:-${B:-c:d}}", b"B=y", "y"),
        ("${A:-x${B}z}", b"B=y", "xyz"),
        ("${A:-x-y:?z+}", b"", "x-y:?z+"),
        ("$$A", b"A=x", "$A"),
        ("$${A}", b"A=x", "${A}"),
        ("$$$A", b"A=x", "$x"),
        ("${A:-$$}", b"", "$"),
        ("{A}", b"A=x", "{A}"),
        ("a}b", b"", "a}b"),
        ("${A:-{x}}", b"", "{x}"),
        ("${A}}", b"A=x", "x}"),
    ],
)
def test_what_a_template_comes_to(text: str, env: bytes, expected: str | None) -> None:
    assert come_to(text, env) == expected


@pytest.mark.parametrize(
    "text", ["$", "a$", "$5", "$-", "${", "${}", "${A", "${A:}", "${A.b}", "${5}", "${A:-${B}"]
)
def test_what_compose_refuses_is_no_template(text: str) -> None:
    assert parse(text) is None


def test_a_lenient_reading_keeps_what_begins_nothing() -> None:
    template = parse("cost $5 for ${A:-x} and ${", lenient=True)
    assert template == (
        Literal("cost $5 for ", 0, 12),
        Variable("A", ":-", (Literal("x", 17, 18),), 12, 19),
        Literal(" and ${", 19, 26),
    )


def test_the_literal_that_is_the_whole_is_told_with_its_variable() -> None:
    template = parse("${A:-${B:-node:20}}")
    assert template is not None
    found = resolve(template, {})
    assert (found.text, found.literal, found.argument) == ("node:20", Literal("node:20", 10, 17), "B")
    assert list(names(template)) == list(wholes(template)) == ["A", "B"]


def test_a_setting_that_is_the_whole_is_told_with_the_default_it_replaces() -> None:
    template = parse("${A:-node:20}")
    assert template is not None
    found = resolve(template, dotenv(b"A=redis:7"))
    assert found.setting is not None
    assert found.setting.value == "redis:7"
    assert found.literal is None
    assert found.unused == (("A", Literal("node:20", 5, 12)),)


@pytest.mark.parametrize("text", ["x${A:-b}", "${A:-b}${C:-d}", "${A:-$$}", "${A:-b$$c}", "${A:+b}"])
def test_what_is_put_together_has_no_place(text: str) -> None:
    template = parse(text)
    assert template is not None
    found = resolve(template, {})
    assert found.literal is None
    assert found.setting is None


@pytest.mark.parametrize(
    ("data", "value", "raw"),
    [
        (b"A=x", "x", b"x"),
        (b"A = x ", "x", b"x"),
        (b"A=", "", None),
        (b"A: x", "x", b"x"),
        (b"export A=x", "x", b"x"),
        (b"export\tA=x", "x", b"x"),
        (b"  A=x\r\nB=y\r\n", "x", b"x"),
        (b"\xef\xbb\xbfA=x", "x", b"x"),
        (b"A=x # y", "x", b"x"),
        (b"A=x#y", "x#y", b"x#y"),
        (b"A=x\t# y", "x\t# y", b"x\t# y"),
        (b"A='x'", "x", b"x"),
        (b'A="x" # y', "x", b"x"),
        (b"A='x # y'", "x # y", b"x # y"),
        (b"A='$B'", "$B", b"$B"),
        (b"A='it\\'s'", "it's", None),
        (b'A="a\\"b"', 'a"b', None),
        (b'A="a\\nb"', "a\nb", None),
        (b'A="a\nb"', "a\nb", None),
        (b'A="x"y', None, None),
        (b'A="x', None, None),
        (b"A=1\nA=2", "2", b"2"),
        (b"B=1\nA=$B", "1", None),
        (b'B=1\nA="x${B}"', "x1", None),
        (b"A=$B\nB=1", None, None),
        (b"A=${B:-x}", "x", None),
        (b"A=$$x", "$x", None),
        (b"# A=0\n\n#\nA=x", "x", b"x"),
        (b"1 wrong\nA=x", "x", b"x"),
        (b"A B=1\nA=x", "x", b"x"),
        ("ü=1\nA=é".encode(), "é", "é".encode()),
        (b"A=a=b", "a=b", b"a=b"),
        (b'B="1"\nA=x', "x", b"x"),
    ],
)
def test_what_an_env_file_sets(data: bytes, value: str | None, raw: bytes | None) -> None:
    setting = dotenv(data)["A"]
    assert setting.value == value
    assert (None if setting.span is None else data[setting.span.start : setting.span.end]) == raw


@pytest.mark.parametrize("data", [b"", b"A", b"A\nB", b"=x", b"\xff=x\nA=x", b"#A=x", b"export =x"])
def test_what_sets_nothing(data: bytes) -> None:
    assert "A" not in dotenv(data)


def test_a_name_alone_is_taken_over_from_outside() -> None:
    assert dotenv(b"A\nB=x").keys() == {"B"}


def test_a_quote_without_end_ends_the_file() -> None:
    settings = dotenv(b"A=x\nB='\nC=y\n")
    assert settings["A"].value == "x"
    assert settings["B"].value is None
    assert "C" not in settings


@given(st.text(alphabet="${}A:-?+x_ é", max_size=60), st.binary(max_size=40))
@example("${A:-" * 40 + "}" * 40, b"")
def test_the_pieces_of_a_template_tile_its_text(text: str, env: bytes) -> None:
    for lenient in (False, True):
        template = parse(text, lenient=lenient)
        if template is None:
            assert not lenient
            continue
        position = 0
        for piece in template:
            assert piece.start == position < piece.end
            position = piece.end
            if isinstance(piece, Literal) and piece.plain:
                assert piece.text == text[piece.start : piece.end]
        assert position == len(text)
        found = resolve(template, dotenv(env))
        if found.literal is not None:
            assert found.text == text[found.literal.start : found.literal.end]


@given(
    st.lists(
        st.sampled_from(
            [
                b"A",
                b"B",
                b"=",
                b":",
                b"'",
                b'"',
                b"\\",
                b"$",
                b"{",
                b"}",
                b"#",
                b" ",
                b"\n",
                b"\r",
                b"x",
                b"\xc3\xa9",
                b"\xff",
                b"\0",
            ]
        )
    )
)
def test_an_env_file_is_read_whatever_it_holds(parts: list[bytes]) -> None:
    data = b"".join(parts)
    for name, setting in dotenv(data).items():
        assert setting.name == name
        if setting.span is not None:
            assert setting.value is not None
            assert data[setting.span.start : setting.span.end] == setting.value.encode()


@pytest.mark.parametrize(
    "text",
    [
        "${A:-" * 100_000,
        "${A:-" * 100_000 + "}" * 100_000,
        "$" * 500_000,
        "${A}" * 100_000,
        "}" * 500_000,
        "${A:-}" * 50_000 + "$",
    ],
    ids=["open", "nested", "dollars", "many", "closing", "late"],
)
def test_hostile_templates_end(text: str) -> None:
    for lenient in (False, True):
        template = parse(text, lenient=lenient)
        if template is not None:
            resolve(template, dotenv(b"A=x"))
            list(names(template))


def test_settings_that_double_each_time_stay_small() -> None:
    lines = [b"A0=xxxxxxxx"] + [b"A%d=${A%d}${A%d}" % (n, n - 1, n - 1) for n in range(1, 60)]
    settings = dotenv(b"\n".join(lines))
    assert max(len(setting.value or "") for setting in settings.values()) <= 4096
    assert settings["A59"].value is None


def test_settings_are_bounded_in_count() -> None:
    data = b"".join(b"A%d=x\n" % n for n in range(MAX_SETTINGS + 5))
    assert len(dotenv(data)) == MAX_SETTINGS


@pytest.mark.parametrize(
    "data", [b"'" * 200_000, b"A='" + b"\\'" * 200_000, b"A=\n" * 100_000, b" " * 500_000, b"A" * 500_000]
)
def test_hostile_env_files_end(data: bytes) -> None:
    assert len(dotenv(data)) <= 1
