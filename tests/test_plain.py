"""What a person is shown can do nothing to the screen it is shown on."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from echopilot_jobs.plain import coded_parts, plain, plain_lines, shorten

BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def test_no_control_bidi_or_separator_of_all_unicode_passes_unseen():
    """S15."""
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        risky = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        if risky or unicodedata.bidirectional(character) in BIDI:
            assert plain(character) == f"U+{code:04X}"


def test_what_people_write_stays_as_it_is():
    """S15."""
    for text in ("plain", "naïve café", "日本語", "👩\u200d🚀 and 🇱🇻", "می\u200cخواهم", "<b>&amp;", "{0} %s {{7*7}}"):
        assert plain(text) == text


def test_terminal_commands_are_shown_not_sent():
    """S15: colours, title and clipboard sequences."""
    assert plain("\x1b[31mred\x1b]52;c;aGk=\x07\x9b0m") == "U+001B[31mredU+001B]52;c;aGk=U+0007U+009B0m"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("a\nb\n", ["a", "b"]),
        ("a\r\nb", ["a", "b"]),
        ("a\rb", ["aU+000Db"]),
        ("a\u2028b\x85c\x0bd", ["aU+2028bU+0085cU+000Bd"]),
        ("\tx", ["    x"]),
        ("\n", [""]),
    ],
)
def test_lines_end_at_line_feeds_alone(text, lines):
    """S14."""
    assert plain_lines(text) == lines


def test_a_shortened_text_says_how_much_is_missing():
    assert shorten("short", 5) == "short"
    assert shorten("a longer text", 8) == "a longer… (+5)"


def test_a_letter_keeps_its_marks_and_an_emoji_its_parts():
    assert shorten("xe\u0301\u0301y", 2) == "x… (+4)"
    assert "\u200d…" not in shorten("ab👩\u200d🚀cd", 4)


def test_code_stands_between_two_backticks_and_a_lone_one_is_text():
    assert coded_parts("see `a b` or `c`") == [("see ", False), ("a b", True), (" or ", False), ("c", True)]
    assert coded_parts("one ` alone") == [("one ` alone", False)]
    assert coded_parts("``") == [("``", False)]


def test_a_flood_of_marks_is_still_cut():
    assert len(shorten("a" + "\u0301" * 10_000, 100)) < 120
