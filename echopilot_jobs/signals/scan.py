"""The records in a text that may be NDJSON, a pretty-printed document, an array, or all of these with damage between.

Nothing here raises on any text, and the work stays linear: what failed attempts cost is counted, and when it grows beyond
a budget only whole lines are tried.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from echopilot_jobs.records import record

WASTE_MOST = 8_000_000  # characters looked at in vain before only single lines are tried
_BETWEEN: Final = re.compile(r"[\s,\[\]\x1e\ufeff]*")
_INDENT: Final = re.compile(r"[ \t]*")


@record(frozen=True)
class Damage:
    """A stretch that is no JSON, beginning at *offset* of the text."""

    offset: int


@record(frozen=True)
class Scalar:
    """JSON, but no record: a bare number, string, boolean or null."""

    offset: int


def _int(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else float(digits)  # int() refuses 4,301 digits, float() makes it infinite


# A NaN or Infinity is no JSON, but common; the record counts and the value is missing.
_DECODER: Final = json.JSONDecoder(parse_int=_int, parse_constant=lambda _: None)


def scan(text: str) -> Iterator[dict[str, Any] | Damage | Scalar]:
    """Every record of *text* in order, with the damage and the bare values between them."""
    return _Scanner(text).run()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._waste = 0

    def run(self) -> Iterator[dict[str, Any] | Damage | Scalar]:
        position = self._skip(0)
        while position < len(self._text):
            found, position = self._next(position)
            yield found
            position = self._skip(position)

    def _skip(self, position: int) -> int:
        match = _BETWEEN.match(self._text, position)
        return match.end() if match else position

    def _next(self, start: int) -> tuple[dict[str, Any] | Damage | Scalar, int]:
        if self._text[start] != "{":
            return self._other(start)
        try:
            return self._decode(start)
        except _Failed as failed:
            return Damage(start), self._resume(start, failed.at)

    def _decode(self, start: int) -> tuple[dict[str, Any], int]:
        try:
            if self._waste < WASTE_MOST:
                return _DECODER.raw_decode(self._text, start)
            line = self._text[start : self._line_end(start)]
            value, length = _DECODER.raw_decode(line)
            return value, start + length
        except json.JSONDecodeError as error:
            stopped = error.pos if self._waste < WASTE_MOST else start
            self._waste += stopped - start
            raise _Failed(stopped) from None
        except (RecursionError, ValueError, OverflowError):
            self._waste += 20_000
            raise _Failed(start) from None

    def _other(self, start: int) -> tuple[dict[str, Any] | Damage | Scalar, int]:
        """A line that does not begin with a record: a record behind a prefix, a bare value, or damage."""
        end = self._line_end(start)
        brace = self._text.find("{", start, end)
        if brace >= 0:
            try:
                value, stop = _DECODER.raw_decode(self._text[brace:end])
                if not self._text[brace + stop : end].strip(" \t\r,]"):
                    return value, end
            except (ValueError, RecursionError, OverflowError):
                pass
        return (Scalar(start) if _is_json(self._text[start:end].rstrip(" \t\r,]")) else Damage(start)), end

    def _resume(self, start: int, stopped: int) -> int:
        """Where to go on after the record at *start* broke at *stopped*: the next line that could begin one.

        A break within the line costs that line. One further down broke a pretty-printed record: its body is passed over
        up to a line that is indented no deeper than the record was.
        """
        end = self._line_end(start)
        if stopped <= end:
            return end
        depth = self._indent(start)
        while end < len(self._text):
            begin = end + 1
            first = _INDENT.match(self._text, begin).end()  # type: ignore[union-attr]  # it matches anything
            end = self._line_end(begin)
            if first - begin <= depth and self._text[first : first + 1] == "{":
                return begin
            if first - begin <= depth and self._text[first : first + 1] in "}]" and first < end:
                return end
        return end

    def _line_end(self, position: int) -> int:
        end = self._text.find("\n", position)
        return end if end >= 0 else len(self._text)

    def _indent(self, position: int) -> int:
        begin = self._text.rfind("\n", 0, position) + 1
        return position - begin if not self._text[begin:position].strip(" \t") else 0


class _Failed(Exception):
    def __init__(self, at: int) -> None:
        self.at = at


def _is_json(text: str) -> bool:
    try:
        _DECODER.decode(f"[{text}]")  # the brackets of a list on one line were passed over as separators
    except (ValueError, RecursionError, OverflowError):
        return False
    return True
