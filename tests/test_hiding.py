"""What a run was told does not come back by what it says, in any of the forms it is likely to take."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echopilot_jobs.placeholders import SHORTEST_SECRET, Hider

SECRETS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), min_size=SHORTEST_SECRET
)
WAYS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "as JSON": json.dumps,
    "as JSON beyond ASCII": lambda text: json.dumps({"token": text}, ensure_ascii=False),
    "in a URL": lambda text: quote(text, safe=""),
    "in a path": quote,
    "in a form": quote_plus,
    "as hex": lambda text: text.encode().hex(),
    "as HEX": lambda text: text.encode().hex().upper(),
    "as base64": lambda text: base64.b64encode(text.encode()).decode(),
    "as basic authentication": lambda text: base64.b64encode(f"ada:{text}".encode()).decode(),
    "as a token before another": lambda text: base64.urlsafe_b64encode(f"id={text};x=1".encode()).decode(),
}


@pytest.mark.parametrize("way", WAYS)
@given(secret=SECRETS)
def test_a_secret_is_hidden_however_it_is_written_S25(way: str, secret: str) -> None:
    hide = Hider(["TOKEN"], {"TOKEN": secret})
    written = WAYS[way](secret)

    shown = hide(f"before {written} after")

    assert written not in shown
    assert "[TOKEN]" in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")


def test_each_line_of_a_key_of_several_lines_is_hidden_S25() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBg\r\n  kqhkiG9w0BAQEF \n-----END KEY-----\n"
    hide = Hider(["KEY"], {"KEY": key})

    assert hide(key) == "[KEY]"
    assert hide(" ".join(key.split("\n"))).count("[KEY]") == 4
    assert "MIIEvQ" not in hide(key.split("\r\n", maxsplit=1)[0])


def test_of_two_secrets_that_hold_each_other_the_longer_one_is_hidden_whole() -> None:
    hide = Hider(["SHORT", "LONG"], {"SHORT": "0123456789", "LONG": "0123456789abcdef"})

    assert hide("0123456789abcdef 0123456789") == "[LONG] [SHORT]"


def test_what_is_shorter_than_a_secret_can_be_and_what_is_not_set_stay() -> None:
    hide = Hider(["SHORT", "NOT_SET", "EMPTY"], {"SHORT": "x" * (SHORTEST_SECRET - 1), "EMPTY": ""})

    assert hide("xxxxxxx and [NOT_SET]") == "xxxxxxx and [NOT_SET]"


ENVIRON = {"TOKEN": "open-sesame-123", "LONG": "open-sesame-123-and-more", "SHORT": "abc", "WORD": "pässwörter"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("all of open-sesame-123 here", "all of [TOKEN] here"),
        ("it begins: open-sesa", "it begins: "),
        ("it begins: o", "it begins: "),
        ("not open-sesam!", "not open-sesam!"),
        ("open-sesame-123 and open", "[TOKEN] and "),
        ("short ones do not wait: ab ", "short ones do not wait: ab "),
        ("half a letter: p\ufffd", "half a letter: "),
        ("", ""),
    ],
)
def test_what_may_be_the_first_part_of_a_value_waits_for_the_rest_S25(text: str, shown: str) -> None:
    assert Hider(["TOKEN", "SHORT", "WORD"], ENVIRON).growing(text) == shown


def test_a_value_inside_a_longer_one_gives_away_nothing_of_it_S25() -> None:
    text = "open-sesame-123-and"

    assert Hider(["LONG", "TOKEN"], ENVIRON).growing(text) == ""
    assert Hider(["LONG", "TOKEN"], ENVIRON).growing(text + " that") == "[TOKEN]-and that"


def test_values_that_begin_with_the_end_of_another_or_repeat_themselves_give_away_nothing_S25() -> None:
    environ = {"A": "secret-number-one", "B": "one-more-secret", "C": "-" * 9}

    assert Hider(environ, environ).growing("it is secret-number-one") == "it is "
    assert Hider(environ, environ).growing("it is " + "-" * 40) == "it is "
