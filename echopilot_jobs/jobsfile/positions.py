"""Where in a TOML text each key stands, which `tomllib` does not keep.

The scan knows only as much of TOML as it needs to find keys. It runs before the parser and judges nothing but depth and
repetition: at the first thing it does not understand it stops, and the parser says what is wrong.
"""

from __future__ import annotations

import contextlib
import re
import tomllib
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import count

Path = tuple[str, ...]
Place = tuple[int, int]

DEPTH_MOST = 32
KEYS_MOST = 60_000  # a thousand jobs with every key there is, and room
TWICE_MOST = 100
TOO_DEEP = f"tables and lists nested deeper than {DEPTH_MOST}; wanted: a flatter file"
TOO_MANY = f"more than {KEYS_MOST:,} keys and items; wanted: fewer; large lists belong into files of their own"
_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_REST = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|$)")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_TEXT = re.compile(
    r'"""(?:[^"\\]++|\\.|"{1,2}(?!"))*"{3,5}|'
    r"'''(?:[^']++|'{1,2}(?!'))*'{3,5}|"
    r'"(?:[^"\\\n]++|\\.)*"|'
    r"'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[^\s,\]}#]*|[^\s,\[\]{}#=\"']+")


class TooMuch(Exception):
    """More than a file of definitions may have. Says what, and where the limit is passed."""

    def __init__(self, what: str, place: Place) -> None:
        super().__init__(what)
        self.place = place


class _Lost(Exception):
    """The scan does not understand what it sees."""


@dataclass
class Places:
    """Line and column (from 1) of every key, and of every item of a list under its number; and what was given twice."""

    of: dict[Path, Place] = field(default_factory=dict)
    twice: list[tuple[Path, Place, Place]] = field(default_factory=list)


def places(text: str) -> Places:
    """The places in *text*, whose lines end in LF alone; as far as it can be understood. Raises `TooMuch`."""
    scan = _Scan(text)
    with contextlib.suppress(_Lost):
        scan.whole()
    return scan.found


class _Scan:
    def __init__(self, text: str) -> None:
        self.text = text
        self.found = Places()
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._headers: set[Path] = set()
        self._values: set[Path] = set()
        self._count = 0
        self._counts: dict[Path, int] = {}  # arrays of tables, and how many tables each has so far

    def place(self, position: int) -> Place:
        line = bisect_right(self._starts, position)
        return line, position - self._starts[line - 1] + 1

    def whole(self) -> None:
        """Every statement in turn."""
        position = self._match(_BLANK, 0)
        table: Path = ()
        while position < len(self.text):
            if self.text.startswith("[", position):
                position, table = self._header(position)
            else:
                position = self._pair(position, table)
            if not (rest := _REST.match(self.text, position)):
                raise _Lost
            position = self._match(_BLANK, rest.end())

    def _match(self, pattern: re.Pattern[str], position: int) -> int:
        found = pattern.match(self.text, position)
        if found is None:
            raise _Lost
        return found.end()

    def _header(self, position: int) -> tuple[int, Path]:
        """`[a.b]` or `[[a.b]]`: where it ends, and the table that follows."""
        start = position
        brackets = 2 if self.text.startswith("[[", position) else 1
        position, path = self._key(self._match(_SPACE, position + brackets))
        position = self._match(_SPACE, position)
        if not self.text.startswith("]" * brackets, position):
            raise _Lost
        path = self._numbered(path[:-1]) + path[-1:]
        if brackets == 2:
            self._counts[path] = self._counts.get(path, -1) + 1
            path = (*path, str(self._counts[path]))
        elif path in self._headers:
            self._twice(path, start)
        self._headers.add(path)
        self._note(path, start)
        return position + brackets, path

    def _numbered(self, path: Path) -> Path:
        """The path with the number of the table it means, wherever a part of it is an array of tables."""
        found: Path = ()
        for part in path:
            found = (*found, part)
            if found in self._counts:
                found = (*found, str(self._counts[found]))
        return found

    def _note(self, path: Path, position: int) -> None:
        """Remember the path and, where it was only implied so far, what leads to it."""
        if len(path) > DEPTH_MOST:
            raise TooMuch(TOO_DEEP, self.place(position))
        place = self._counted(position)
        for length in range(1, len(path) + 1):
            self.found.of.setdefault(path[:length], place)

    def _counted(self, position: int) -> Place:
        """The place of one more key or item."""
        self._count += 1
        if self._count > KEYS_MOST:
            raise TooMuch(TOO_MANY, self.place(position))
        return self.place(position)

    def _twice(self, path: Path, position: int) -> None:
        if len(self.found.twice) < TWICE_MOST:
            self.found.twice.append((path, self.found.of[path], self.place(position)))

    def _pair(self, position: int, table: Path) -> int:
        """`a.b = value`: where it ends."""
        start = position
        position, keys = self._key(position)
        path = table + keys
        if path in self._values:
            self._twice(path, start)
        self._note(path, start)
        self._values.add(path)
        position = self._match(_SPACE, position)
        if not self.text.startswith("=", position):
            raise _Lost
        return self._value(self._match(_SPACE, position + 1), path)

    def _key(self, position: int) -> tuple[int, Path]:
        """A key with its dots: where it ends, and its parts."""
        start = position
        parts: list[str] = []
        while True:
            position, part = self._key_part(position)
            parts.append(part)
            if len(parts) > DEPTH_MOST:
                raise TooMuch(TOO_DEEP, self.place(start))
            dot = self._match(_SPACE, position)
            if not self.text.startswith(".", dot):
                return position, tuple(parts)
            position = self._match(_SPACE, dot + 1)

    def _key_part(self, position: int) -> tuple[int, str]:
        if bare := _BARE.match(self.text, position):
            return bare.end(), bare[0]
        quoted = _TEXT.match(self.text, position)
        if quoted is None or quoted[0][:3] in ('"""', "'''"):
            raise _Lost
        return quoted.end(), _unquoted(quoted[0])

    def _value(self, position: int, path: Path) -> int:
        """A value of any kind: where it ends."""
        if len(path) > DEPTH_MOST:
            raise TooMuch(TOO_DEEP, self.place(position))
        if self.text.startswith("[", position):
            return self._list(position + 1, path)
        if self.text.startswith("{", position):
            return self._inline_table(position + 1, path)
        for pattern in (_TEXT, _SCALAR):
            if found := pattern.match(self.text, position):
                return found.end()
        raise _Lost

    def _list(self, position: int, path: Path) -> int:
        for number in count():
            position = self._match(_BLANK, position)
            if self.text.startswith("]", position):
                return position + 1
            self.found.of[(*path, str(number))] = self._counted(position)
            position = self._match(_BLANK, self._value(position, (*path, str(number))))
            if self.text.startswith(",", position):
                position += 1
        raise _Lost

    def _inline_table(self, position: int, path: Path) -> int:
        while True:
            position = self._match(_BLANK, position)
            if self.text.startswith("}", position):
                return position + 1
            position = self._match(_BLANK, self._pair(position, path))
            if self.text.startswith(",", position):
                position += 1


def _unquoted(literal: str) -> str:
    if "\\" not in literal:
        return literal[1:-1]
    try:
        return str(tomllib.loads(f"k = {literal}")["k"])
    except ValueError:
        raise _Lost from None
