"""What a child reports through its own pipe, one JSON line at a time, read within bounds and believed with care.

`{"answer": …}` how the function ended, `{"artefact": …}` a file it left, `{"said": …}` a line of its log, `{"progress": …}`.
The child is a stranger's code: whatever is not such a line is passed over and counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import Any

from echopilot_jobs.plain import plain
from echopilot_jobs.records import record
from echopilot_jobs.runs import Artefact, Output, Progress

RESULT_MOST_BYTES = 64 * 1024
LINE_MOST_BYTES = 64 * 1024
ANSWER_MOST_BYTES = RESULT_MOST_BYTES + 32 * 1024  # with what stands around a result, and errors in escapes
SAID_MOST_LINES = 2000
SAID_MOST_BYTES = 1024 * 1024
ARTEFACTS_MOST = 100
ARTEFACT_MOST_BYTES = 100 * 1024 * 1024
ARTEFACT_NAME = r"[A-Za-z0-9_][A-Za-z0-9 ._+()=,@-]{0,119}"
FIELDS_MOST = 32
TEXT_MOST = 2000
LEVELS = ("debug", "info", "warning", "error")
_HALVES = re.compile("[\ud800-\udfff]")


@record(frozen=True)
class Said:
    """One line a run wrote to its log. *dropped*: how many more it wrote that were not kept, told once."""

    level: str
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    dropped: int = 0


@record(frozen=True)
class Heard:
    """What a run said since it was last listened to, and, when it printed something, what it has printed so far."""

    said: tuple[Said, ...] = ()
    progress: Progress | None = None
    output: Output | None = None

    def __bool__(self) -> bool:
        return bool(self.said) or self.progress is not None or self.output is not None


class Report:
    """Takes the bytes of the pipe and keeps what they say, within the bounds above."""

    def __init__(self) -> None:
        self.answer: dict[str, Any] | None = None
        self.artefacts: dict[str, Artefact] = {}
        self._part = bytearray()
        self._skipping = False
        self._room_lines = SAID_MOST_LINES
        self._room_bytes = SAID_MOST_BYTES
        self._dropped = 0
        self._said: list[Said] = []
        self._progress_line = b""

    @property
    def is_waiting(self) -> bool:
        """Whether something waits to be heard."""
        return bool(self._said or self._progress_line)

    def add(self, data: bytes, now: datetime) -> None:
        """Take in the next bytes."""
        self._now = now
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._end_of_line(line)
        self._grow(rest)

    def heard(self, *, last: bool = False) -> Heard:
        """What was said since the last call; at the *last* one, also how much was left out."""
        said, self._said = self._said, []
        progress = self._newest_progress()
        if last and self._dropped:
            said.append(Said("warning", f"{self._dropped:,} lines more were not kept", dropped=self._dropped))
        return Heard(tuple(said), progress)

    def _grow(self, data: bytes) -> None:
        if not self._skipping:
            self._part += data
        if len(self._part) > ANSWER_MOST_BYTES:
            self._part.clear()
            self._skipping = True

    def _end_of_line(self, data: bytes) -> None:
        self._grow(data)
        line, skipped = bytes(self._part), self._skipping
        self._part.clear()
        self._skipping = False
        if skipped:
            self._dropped += 1
        elif line:
            self._line(line)

    def _line(self, line: bytes) -> None:
        if line.startswith(b'{"progress"') and len(line) <= LINE_MOST_BYTES:
            self._progress_line = line  # only the newest is of use, so only that one will be parsed
        elif line.startswith(b'{"said"'):
            self._take_said(line)
        elif (facts := _parsed(line)) is not None and self._take(facts):
            return
        else:
            self._dropped += 1

    def _take_said(self, line: bytes) -> None:
        """A flood of the run's own words is not even parsed; its answer and its artefacts are never drowned by it."""
        if self._room_lines > 0 and len(line) <= min(self._room_bytes, LINE_MOST_BYTES):
            self._room_lines -= 1
            self._room_bytes -= len(line)
            try:
                self._said.append(_said(_parsed(line)["said"]))  # type: ignore[index]  # None is caught below
                return
            except (TypeError, KeyError, AttributeError):
                pass
        self._dropped += 1

    def _take(self, facts: Mapping[str, Any]) -> bool:
        """Whether *facts* are an answer or an artefact we could take."""
        try:
            if "answer" in facts and self.answer is None:
                self.answer = _answer(facts["answer"])
                return True
            if "artefact" in facts and len(self.artefacts) < ARTEFACTS_MOST:
                told = facts["artefact"]
                kept = Artefact(str(told["name"]), str(told["path"]), int(told["bytes"]), str(told["sha256"]))
                self.artefacts[kept.name] = kept
                return True
        except (TypeError, ValueError, KeyError, AttributeError, RecursionError):
            pass
        return False

    def _newest_progress(self) -> Progress | None:
        line, self._progress_line = self._progress_line, b""
        facts = _parsed(line) if line else None
        try:
            return None if facts is None else _progress(facts["progress"], self._now)
        except (TypeError, ValueError, KeyError):
            self._dropped += 1
            return None


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        facts = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None


def _said(facts: Mapping[str, Any]) -> Said:
    level = facts["level"] if facts["level"] in LEVELS else "info"
    fields = {plain(key)[:80]: _whole(value) for key, value in [*facts["fields"].items()][:FIELDS_MOST]}
    return Said(level, clean(facts["message"]), fields)


def _whole(value: Any) -> Any:
    """*value* with halves of surrogate pairs spelled out, as in a message: many a reader of JSON refuses the line else."""
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(_HALVES.sub(lambda half: f"U+{ord(half[0]):04X}", text)) if _HALVES.search(text) else value


def _progress(facts: Mapping[str, Any], now: datetime) -> Progress:
    total = facts["total"]
    return Progress(now, _number(facts["done"]), None if total is None else _number(total), clean(facts["note"])[:200])


def clean(text: object) -> str:
    """Text a ledger and a log can hold, on one line and not too long."""
    return plain(" ".join(str(text).split()))[:TEXT_MOST]


def _answer(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Only what an answer may hold, in the types it holds it in. Raises `ValueError` for a result no JSON can hold."""
    json.dumps(facts.get("result"), allow_nan=False)
    answer: dict[str, Any] = {"ok": facts["ok"] is True, "result": facts.get("result")}
    answer |= {key: clean(facts[key]) for key in ("error", "skipped", "trouble") if key in facts}
    if isinstance(facts.get("retry_after_s"), int | float):
        answer["retry_after_s"] = float(facts["retry_after_s"])
    return answer


def _number(value: object) -> float:
    # Compared and not converted: a whole number may be larger than any float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1e15:
        raise ValueError("no number")
    return value
