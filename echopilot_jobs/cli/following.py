"""Following a run to its end: its moves, how far it is, and what it says, as they happen."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echopilot_jobs.cli import out
from echopilot_jobs.cli.bars import Advance, bar
from echopilot_jobs.errors import EchoPilotError
from echopilot_jobs.plain import plain
from echopilot_jobs.spans import span

if TYPE_CHECKING:
    from echopilot_jobs.clock import Clock
    from echopilot_jobs.ledger import SqliteLedger
    from echopilot_jobs.runs import Progress, Run

LOOK_EVERY_SECONDS = 0.2
AT_ONCE_BYTES = 1024 * 1024
ABOUT = frozenset({"ts", "event", "job", "run", "level", "message"})


class StillOpen(EchoPilotError):
    """The run had not ended when the waiting did."""


class Said:
    """What one run writes to its own log from now on, read out of the scheduler's log as that grows and is rotated."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._file = self._opened()
        self._torn = b""
        if self._file is not None:
            self._file.seek(0, os.SEEK_END)

    def lines(self, run_id: int) -> Iterator[str]:
        """What the run has said since the last call, one line each: `info  message  key=value`."""
        for line in self._grown():
            if b'"event":"run.said"' in line and (words := said_words(line, run_id)):
                yield words

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def _grown(self) -> Iterator[bytes]:
        yield from self._read()
        if self._is_another():  # rotated: the old one was read to its end just now
            if self._file is not None:
                self._file.close()
            self._file, self._torn = self._opened(), b""
            yield from self._read()

    def _read(self) -> Iterator[bytes]:
        while self._file is not None and (block := self._file.read(AT_ONCE_BYTES)):
            *whole, self._torn = (self._torn + block).split(b"\n")
            yield from whole

    def _opened(self) -> Any:
        try:
            return self._log.open("rb")
        except OSError:
            return None

    def _is_another(self) -> bool:
        try:
            there = self._log.stat()
        except OSError:
            return False
        return self._file is None or os.fstat(self._file.fileno()).st_ino != there.st_ino


def said_words(line: bytes, run_id: int) -> str | None:
    """A log line as a person reads it, if it is one that this run said."""
    try:
        facts = json.loads(line)
    except ValueError:
        return None
    if not isinstance(facts, dict) or facts.get("run") != run_id:
        return None
    more = "".join(f"  {key}={value}" for key, value in facts.items() if key not in ABOUT)
    return plain(f"{facts.get('level', 'info'):<7} {facts.get('message', '')}{more}")


def follow(
    ledger: SqliteLedger,
    run: Run,
    timeout: float | None,
    clock: Clock,
    pause: Callable[[float], Any] | None = None,
    said: Said | None = None,
    tell: Callable[[str], None] = out.say,
) -> Run:
    """The run once it has ended. Raises `StillOpen` after *timeout* seconds; a Ctrl-C leaves the run alone.

    On a terminal a bar shows how far it is, elsewhere a line for every step it tells of. What it *said* goes to *tell*.
    """
    rest = pause or threading.Event().wait
    started = clock.monotonic()
    seen, far = run.state, None
    with bar(f"run {run.id}", wanted=run.is_open) as advance:
        while (run := ledger.run(run.id)).is_open:
            if run.state is not seen:
                seen = run.state
                out.say(f"run {run.id} is {seen.value}" + (f", attempt {run.attempt}" if run.attempt > 1 else ""))
            for words in said.lines(run.id) if said else ():
                tell(words)
            far = _progress(ledger.progress(run.id), far, advance)
            _give_up(run, timeout, clock.monotonic() - started)
            rest(LOOK_EVERY_SECONDS)
    for words in said.lines(run.id) if said else ():
        tell(words)
    return run


def progress_words(progress: Progress) -> str:
    """How far a run is: `40 of 100 (40 %), orders`."""
    share = ""
    if progress.total:
        share = f" of {progress.total:,.10g} ({progress.done / progress.total:.0%})"
    return f"{progress.done:,.10g}{share}" + (f", {plain(progress.note)}" if progress.note else "")


def _progress(now: Progress | None, before: Progress | None, advance: Advance | None) -> Progress | None:
    if now is not None and now != before:
        if advance:
            advance(now.done, now.total, now.note)
        else:
            out.say(f"  {progress_words(now)}")
    return now


def _give_up(run: Run, timeout: float | None, waited: float) -> None:
    if timeout is not None and waited >= timeout:
        raise StillOpen(
            f"run {run.id} is still {run.state.value} after {span(timeout)}; it goes on, "
            f"look with `echopilot show {run.id}`"
        )
