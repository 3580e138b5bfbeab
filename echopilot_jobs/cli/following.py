"""Following a run to its end: its moves, how far it is, and what it says, as they happen."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from echopilot_jobs.cli import out
from echopilot_jobs.cli.bars import Advance, bar
from echopilot_jobs.cli.leading import Patience
from echopilot_jobs.cli.rows import brief_error, state_words
from echopilot_jobs.errors import EchoPilotError
from echopilot_jobs.plain import plain
from echopilot_jobs.runs import Output, State
from echopilot_jobs.spans import span

if TYPE_CHECKING:
    from datetime import datetime

    from echopilot_jobs.clock import Clock
    from echopilot_jobs.jobs import Job
    from echopilot_jobs.ledger import SqliteLedger
    from echopilot_jobs.logreading import Follower
    from echopilot_jobs.runs import Progress, Run

LOOK_EVERY_SECONDS = 0.2
LAST_LINES = 20
STATUS_MOST = 125  # beyond it shells speak of signals and of commands that were not found


class StillOpen(EchoPilotError):
    """The run had not ended when the waiting did."""


def follow(
    ledger: SqliteLedger,
    run: Run,
    timeout: float | None,
    clock: Clock,
    pause: Callable[[float], Any] | None = None,
    log: Follower | None = None,
    tell: Callable[[str], None] = out.say,
    first: str = "",
    printed: Callable[[Output], None] | None = None,
) -> Run:
    """The run once it has ended. Raises `StillOpen` after *timeout* seconds; a Ctrl-C leaves the run alone.

    Raises `NobodyLeads` when no scheduler leads and none begins to in time.
    On a terminal a bar shows how far it is, elsewhere a line for every step it tells of. What it says in the
    scheduler's *log* goes to *tell*, and what it has printed so far to *printed*.
    """
    try:
        if first:  # said in here, so that a Ctrl-C which answers it is answered, too
            out.say(first)
        run = _watched(ledger, run, timeout, clock, pause or threading.Event().wait, log, tell, printed)
    except KeyboardInterrupt:
        out.say(f"run {run.id} goes on; stop it with `echopilot cancel {run.id}`")
        raise
    _tell_said(log, run.id, tell)
    return run


def _watched(
    ledger: SqliteLedger,
    run: Run,
    timeout: float | None,
    clock: Clock,
    rest: Callable[[float], Any],
    log: Follower | None,
    tell: Callable[[str], None],
    printed: Callable[[Output], None] | None,
) -> Run:
    started, patience = clock.monotonic(), Patience(ledger, clock)
    seen, far = run.state, None
    with bar(f"run {run.id}", wanted=run.is_open) as advance:
        while (run := ledger.run(run.id)).is_open:
            if run.state is not seen:
                seen = run.state
                out.say(_move_words(run, clock.now()))
            _tell_said(log, run.id, tell)
            if printed is not None:
                printed(ledger.output(run.id))
            far = _progress(ledger.progress(run.id), far, advance)
            _give_up(run, timeout, clock.monotonic() - started)
            patience.check(run)
            rest(LOOK_EVERY_SECONDS)
    return run


def _move_words(run: Run, now: datetime) -> str:
    """That an open run has moved: which attempt begins, or how one ended and until when the next one waits."""
    if run.state is State.RETRY_WAIT:
        why = f" ({brief_error(run)})" if run.error else ""
        return f"run {run.id}: attempt {run.attempt} {run.attempt_words}{why}; {state_words(run, now)}"
    return f"run {run.id} is {run.words}" + (f", attempt {run.attempt}" if run.attempt > 1 else "")


def _progress(now: Progress | None, before: Progress | None, advance: Advance | None) -> Progress | None:
    if now is not None and now != before:
        if advance:
            advance(now.done, now.total, now.note)
        else:
            out.say(f"  {now.words}")
    return now


def _tell_said(log: Follower | None, run_id: int, tell: Callable[[str], None]) -> None:
    if log is None:
        return
    from echopilot_jobs.cli.logs import said_of

    for words in said_of(iter(log), run_id):
        tell(words)
    out.flush()


def _give_up(run: Run, timeout: float | None, waited: float) -> None:
    if timeout is not None and waited >= timeout:
        raise StillOpen(
            f"run {run.id} is still {run.words} after {span(timeout)}; it goes on, look with `echopilot show {run.id}`"
        )


class Told:
    """Passes on what a run logs and prints, and knows afterwards what was told already."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._said: set[str] = set()
        self._printed = ""  # what was told of the output, as far back as it is kept while the run goes on

    def __call__(self, words: str) -> None:
        """Tell a line of its log."""
        self.heard(words)
        self._tell(words)

    def heard(self, words: str) -> None:
        """Remember a line of its log that was told elsewhere."""
        self._said.add(plain(words))

    def printed(self, output: Output, *, ended: bool = False) -> None:
        """Tell the lines that are new in what a run has printed so far; the last one only when it is whole."""
        text = output.tail if output.dropped_bytes and not ended else output.text
        whole = text if ended else text[: text.rfind("\n") + 1]
        for line in self._news_of(whole):
            self._tell(line)
        self._printed = whole

    def seen(self, output: Output) -> None:
        """Take what a run has printed so far as told."""
        text = output.tail if output.dropped_bytes else output.text
        self._printed = text[: text.rfind("\n") + 1]

    def left_of(self, output: Output) -> Output:
        """What a run printed, without what was told."""
        return Output("\n".join(self._news_of(output.text))) if self._said or self._printed else output

    def _news_of(self, text: str) -> list[str]:
        """The lines that follow those told, without those of the log, which are told from there."""
        return [line for line in _after(self._printed, text).splitlines() if plain(line) not in self._said]


def _after(known: str, text: str) -> str:
    """What *text* has beyond *known*, which it may hold from its beginning, further on, or only the end of."""
    if (place := text.find(known)) >= 0:
        return text[place + len(known) :]
    while known:
        _, _, known = known.partition("\n")
        if text.startswith(known):
            break
    return text[len(known) :]


def exit_code(job: Job, run: Run) -> int:
    """How this command ends after *run* did."""
    from echopilot_jobs.jobs import Command

    if run.did_its_duty:
        return 0
    status = run.exit_status if isinstance(job.action, Command) else None
    return status if status is not None and 1 <= status <= STATUS_MOST else 1


def tell_end(run: Run, output: Output) -> None:
    """How *run* ended: the fact, its result and the end of what it printed as data, its error as talk."""
    from echopilot_jobs.cli.show import show_output  # `status` needs this module, and nothing of that one

    took = f" after {run.took_words}" if run.took_words else ""
    out.line(f"run {run.id} of {run.job_name} {run.words}{took}")
    if isinstance(run.result, dict):
        out.facts([(name, value) for name, value in run.result.items() if value is not None])
    elif run.result is not None:
        out.facts([("result", json.dumps(run.result))])
    show_output(output, LAST_LINES)
    if run.had_nothing_to_do:
        out.say(f"note: {run.error}")
    elif run.error:
        out.say(f"error: {run.error}; see `echopilot show {run.id}`")
