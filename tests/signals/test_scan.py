"""Records are found in any text, whatever stands between them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echopilot_jobs.signals.scan import Damage, Scalar, scan


def parts(text: str) -> tuple[list[dict[str, Any]], int, int]:
    found = list(scan(text))
    records = [each for each in found if isinstance(each, dict)]
    return records, sum(isinstance(e, Damage) for e in found), sum(isinstance(e, Scalar) for e in found)


RECORDS = [{"ts": "2026-03-01T00:00:00Z", "n": i, "inner": {"a": [1, {"b": None}], "t": 'x}{][,"\n'}} for i in range(5)]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(map(json.dumps, RECORDS)),
        "\r\n".join(map(json.dumps, RECORDS)) + "\r\n\r\n",
        "\ufeff" + "\n".join(map(json.dumps, RECORDS)),
        json.dumps(RECORDS),
        json.dumps(RECORDS, indent=2),
        "\n".join(json.dumps(record, indent=4) for record in RECORDS),
        "".join(map(json.dumps, RECORDS)),
        json.dumps(RECORDS[:2], indent=1) + "\n" + "\n".join(map(json.dumps, RECORDS[2:])),
        "[\n" + ",\n".join(map(json.dumps, RECORDS)) + "\n]",
        "\x1e".join(json.dumps(record) + "\n" for record in RECORDS),
    ],
)
def test_the_same_records_are_found_in_every_layout(text: str) -> None:
    assert parts(text) == (RECORDS, 0, 0)


@pytest.mark.parametrize(
    ("bad", "damaged"),
    [
        ('{"ts": "2026-03-01T0', 1),
        ('{"ts": 1,', 1),
        ('{"ts":', 1),
        ("Traceback (most recent call last):", 1),
        ('{"a": 1}}', 1),
        ("{'a': 1}", 1),
        ('{"a":' * 20_000, 1),
        ("\x00\x01\x02", 1),
        ('{"a": "tab\there"}', 1),
        ("2026-03-01,ok,5\n2026-03-02,ok,6", 2),
        ('{\n  "torn": {\n    "x": 1,\n', 1),
    ],
)
def test_damage_costs_its_own_lines_and_nothing_around_them(bad: str, damaged: int) -> None:
    before, after = {"n": 1}, {"n": 2}

    records, hurt, _ = parts(f"{json.dumps(before)}\n{bad}\n{json.dumps(after)}\n")

    assert (records[0], records[-1]) == (before, after)
    assert hurt == damaged


def test_a_record_behind_a_log_prefix_is_a_record() -> None:
    assert parts('Mar  1 08:00 host app[7]: {"level": "error"}\n') == ([{"level": "error"}], 0, 0)


def test_bare_values_are_counted_and_are_no_records() -> None:
    assert parts('null\n17\n"text"\n[1, 2, 3]\n{"n": 1}\n') == ([{"n": 1}], 0, 4)


def test_numbers_no_float_can_hold_cost_their_value_and_not_the_record() -> None:
    ((record,), damage, _) = parts(
        '{"nan": NaN, "inf": -Infinity, "big": 1e999, "long": ' + "9" * 5000 + ', "ok": true}'
    )

    assert damage == 0
    assert (record["nan"], record["inf"], record["ok"]) == (None, None, True)


def test_of_a_key_written_twice_the_last_one_counts() -> None:
    assert parts('{"a": 1, "a": 2}')[0] == [{"a": 2}]


@given(st.text() | st.lists(st.sampled_from([*'{}[]",:\n 1e.-', "true", '"a"', "\u2028", "\ud800"])).map("".join))
def test_no_text_makes_it_raise_or_hang(text: str) -> None:
    for found in scan(text):
        assert isinstance(found, dict | Damage | Scalar)


def test_a_file_of_nothing_but_openings_is_given_up_on_line_by_line() -> None:
    records, damaged, _ = parts('{"a":\n' * 100_000 + '{"n": 1}\n')

    assert damaged == 100_000
    assert records == [{"n": 1}]
