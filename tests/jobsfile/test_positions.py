"""Every key of a TOML text has its line and column, however it is written."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echopilot_jobs.jobsfile import read
from echopilot_jobs.jobsfile.positions import TooMuch, places

HAIRY = r'''# [not.a.table] = "nor a key"
title = "a # no comment [no.table] \" = still text"   # a = 1
lit = 'C:\path\"'
"quoted key" = 1
'lit.key' = 2
"esc\u0061ped" = 3
dotted . "key one".two = 4
long = """
[not.a.table]
key = "no key"
"""
longer = """"quotes" inside ""two"" and \""" escaped"""""
lit2 = \'\'\'
[nor.this]
it's = 'fine'
\'\'\'
when = 1979-05-27 07:32:00
then = 1979-05-27T07:32:00.999999-07:00
odd = [+1, -0, 0xDEAD_BEEF, 1e6, inf, -nan, 07:32:00]
list = [ 1, # one ]
  "two, ]", [ 'in', [ "deep" ] ],
  { x = 1, y.z = [ 2 ] },
]
inline = { a = "}", "b c" = { d = [ { e = 1 } ] }, f = {} }
empty = []
	tabbed = true

[ jobs . "a.b" ]
k = 1
[jobs.c]   # comment
[jobs.c.deep."x y"]
k = 2
[[arr]]
k = 1
[arr.sub]
s = 1
[[arr]]
k = 2
[[arr.inner]]
i = 1
[[arr.inner]]
i = 2
[arr.inner.last]
z = 1'''.replace("\\'", "'")


def paths_in(tables: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every key and every item, as the parser sees them."""
    if path:
        yield path
    items = tables.items() if isinstance(tables, dict) else enumerate(tables) if isinstance(tables, list) else ()
    for key, value in items:
        yield from paths_in(value, (*path, str(key)))


def test_every_key_and_item_of_a_hairy_file_has_a_place_and_nothing_else_has() -> None:
    tables = tomllib.loads(HAIRY)

    found = places(HAIRY)

    assert set(found.of) == set(paths_in(tables))
    assert found.twice == []


@pytest.mark.parametrize(
    ("path", "mark"),
    [
        (("title",), "title"),
        (("quoted key",), '"quoted key"'),
        (("lit.key",), "'lit.key'"),
        (("escaped",), '"esc'),
        (("dotted", "key one", "two"), "dotted ."),
        (("lit2",), "lit2"),
        (("list", "1"), '"two, ]"'),
        (("list", "2", "1", "0"), '"deep"'),
        (("list", "3", "y", "z"), "y.z"),
        (("list", "3", "y", "z", "0"), "2 ]"),
        (("inline", "b c", "d", "0", "e"), "e = 1"),
        (("inline", "f"), "f = {}"),
        (("tabbed",), "tabbed"),
        (("jobs", "a.b"), '[ jobs . "a.b" ]'),
        (("jobs", "c", "deep", "x y", "k"), "k = 2\n[[arr]]"),
        (("arr", "1", "k"), "k = 2\n[[arr.inner]]"),
        (("arr", "1", "inner", "1", "i"), "i = 2"),
        (("arr", "1", "inner", "1", "last", "z"), "z = 1"),
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else "",
)
def test_the_place_is_where_the_key_begins(path: tuple[str, ...], mark: str) -> None:
    start = HAIRY.index(mark)

    line, column = places(HAIRY).of[path]

    assert line == HAIRY.count("\n", 0, start) + 1
    assert column == start - HAIRY.rfind("\n", 0, start)


def test_a_path_that_is_only_implied_has_the_place_of_what_implies_it() -> None:
    document = read(b'\n[jobs.a.http.headers]\nX = "y"\n', "jobs.toml")

    assert document.place("jobs", "a", "http") == (2, 1)
    assert document.place("jobs", "a", "http", "headers", "X") == (3, 1)
    assert document.place("jobs", "a", "http", "headers", "Z") == (2, 1)
    assert document.place("groups") == (None, None)


def test_dates_and_times_become_text_so_that_tables_are_plain_json() -> None:
    tables = read(b"a = 2026-03-01\nb = 08:00:00\nc = 2026-03-01T08:00:00Z\nd = [2026-03-01 08:00:00]\n", "x").tables

    assert tables == {
        "a": "2026-03-01",
        "b": "08:00:00",
        "c": "2026-03-01T08:00:00+00:00",
        "d": ["2026-03-01T08:00:00"],
    }


def test_thirty_two_levels_are_read_and_one_more_is_not() -> None:
    places("a = " + "[" * 31 + "]" * 31)

    with pytest.raises(TooMuch, match="nested deeper than 32"):
        places("a = " + "[" * 33 + "]" * 33)


@given(st.text(alphabet="ab\"'[]{}=.,#\n\\ 1:-", max_size=60))
def test_what_the_parser_accepts_the_scan_understands_too(text: str) -> None:
    try:
        tables = tomllib.loads(text)
    except ValueError:
        places(text)
        return

    assert set(places(text).of) == set(paths_in(tables))
