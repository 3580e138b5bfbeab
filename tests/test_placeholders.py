"""What a definition fills in does not come back, whole or in part."""

from __future__ import annotations

import pytest

from echopilot_jobs.placeholders import hide_growing

ENVIRON = {"TOKEN": "open-sesame-123", "LONG": "open-sesame-123-and-more", "SHORT": "abc", "WORD": "pässwörter"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("all of open-sesame-123 here", "all of [TOKEN] here"),
        ("it begins: open-sesa", "it begins: "),
        ("it begins: o", "it begins: "),
        ("not open-sesam!", "not open-sesam!"),
        ("open-sesame-123 and open", "[TOKEN] and "),
        ("ends with ab", "ends with ab"),
        ("half a letter: p\ufffd", "half a letter: "),
        ("", ""),
    ],
)
def test_what_may_be_the_first_part_of_a_value_waits_for_the_rest_S25(text: str, shown: str) -> None:
    assert hide_growing(text, ["TOKEN", "SHORT", "WORD"], ENVIRON) == shown


def test_a_value_inside_a_longer_one_gives_away_nothing_of_it_S25() -> None:
    text = "open-sesame-123-and"

    assert hide_growing(text, ["LONG", "TOKEN"], ENVIRON) == ""
    assert hide_growing(text + " that", ["LONG", "TOKEN"], ENVIRON) == "[TOKEN]-and that"


def test_values_that_begin_with_the_end_of_another_or_repeat_themselves_give_away_nothing_S25() -> None:
    environ = {"A": "secret-number-one", "B": "one-more-secret", "C": "-" * 9}

    assert hide_growing("it is secret-number-one", environ, environ) == "it is "
    assert hide_growing("it is " + "-" * 40, environ, environ) == "it is "
