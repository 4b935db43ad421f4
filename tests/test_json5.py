"""JSON5: what people write in it is read, everything else is refused in linear time."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import json5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ("[]", []),
        ('{"a": true, "b": [false, null, "x"]}', {"a": True, "b": [False, None, "x"]}),
        ("{a: true, $b_1: 'it\"s'}", {"a": True, "$b_1": 'it"s'}),
        ("{a:true}", {"a": True}),
        ('{"a": [1, -2.5, +Infinity, 0x1F, .5],}', {"a": [None] * 5}),
        ("// head\n{ /* in */ 'a' /* of */ : /* it */ true, // end\n}", {"a": True}),
        ("/* * / ** */{}", {}),
        ('{"//": "http://x /* y */"}', {"//": "http://x /* y */"}),
        (
            r'"a\n\t\u0041\x42\/\"\q\
b"',
            'a\n\tAB/"qb',
        ),
        ("'\\u'", "u"),
        ('{"a": 1, "a": "last"}', {"a": "last"}),
        ("\ufeff{\u00a0}\r\n", {}),
        ('"\\ud83d\\ude00"', "\ud83d\ude00"),
    ],
)
def test_read(text: str, value: Any) -> None:
    assert json5.loads(text) == value


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "{",
            "}",
            "[",
            "{a}",
            "{a:}",
            "{,}",
            "[,]",
            "[1 2]",
            "{a: 1 b: 2}",
            "{} {}",
            "{}}",
            '"a',
            "'a\n'",
        ),
        *("/* open", "{a: 1,,}", "{[]: 1}", "{a: 1]", "[1}", "/", "\\", ":", ","),
        "[" * 101 + "]" * 101,
        "x" * (json5.MAX_TEXT + 1),
    ],
)
def test_refused(text: str) -> None:
    assert json5.loads(text) is None


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.text()),
    lambda below: st.one_of(st.lists(below), st.dictionaries(st.text(), below)),
)


@given(VALUES, st.sampled_from([None, 2, "\t"]), st.booleans())
def test_json_is_json5(value: Any, indent: Any, ascii_: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_)
    read = json5.loads(text)
    assert json.loads(json.dumps(read)) == value


@given(st.text(st.sampled_from("{}[]:,\"'\\/* \n#axu0")))
def test_any_text_is_read_or_refused(text: str) -> None:
    json5.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "/*" * 100_000,
            "[" * 200_000,
            '"' + "\\a" * 100_000,
            "//" * 100_000,
            " " * 200_000 + "x y",
            "{a:" * 60_000,
        ),
        "[" + "'\\" * 100_000,
    ],
)
def test_hostile_text_takes_linear_time(text: str) -> None:
    start = time.process_time()
    assert json5.loads(text) is None
    assert time.process_time() - start < 1
