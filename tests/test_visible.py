"""What is shown of outside text holds nothing unseen."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from bot.visible import visible

CUT = "\N{REPLACEMENT CHARACTER}"
# Signs that Unicode counts as format characters and that are drawn nevertheless.
DRAWN = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}


@pytest.mark.parametrize(
    "code",
    [
        0x00,
        0x0A,
        0x1B,
        0x7F,
        0x9B,
        0xAD,  # soft hyphen
        0x34F,  # combining grapheme joiner
        0x61C,
        0x115F,  # Hangul fillers
        0x1160,
        0x3164,
        0xFFA0,
        0x17B4,  # Khmer vowels that are not drawn
        0x17B5,
        0x180B,  # Mongolian variation selectors and separators
        0x180E,
        0x180F,
        0x200B,
        0x202E,
        0x2028,
        0x2060,
        0x2066,
        0x206A,
        0x2800,  # the Braille pattern without dots
        0xFE00,  # variation selectors
        0xFE0F,
        0xFEFF,
        0xFFF0,
        0xFFF9,
        0x1BCA0,
        0x1D173,
        0xD800,
        0xE0001,  # tags
        0xE0020,
        0xE007F,
        0xE0100,  # more variation selectors
        0xE01EF,
        0xE0FFF,
    ],
)
def test_nothing_unseen_is_passed(code: int) -> None:
    assert visible(f"no{chr(code)}de") == f"no{CUT}de"


def test_no_control_or_format_character_is_passed() -> None:
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        if code not in DRAWN and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            assert visible(char) == CUT, hex(code)


@pytest.mark.parametrize(
    "text", ["node:20", "größe", "東京", "한국어", "हिन्दी", "עברית", "العربية", "Ω≈ç√", "🚢", " "]
)
def test_what_is_seen_is_passed(text: str) -> None:
    assert visible(text) == text


def test_long_text_is_cut() -> None:
    assert visible("x" * 301) == "x" * 299 + "…"
    assert visible("x" * 300) == "x" * 300
