"""`echopilot logs`: what the scheduler and the programs wrote, rotated and compressed files included, and on as it grows."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echopilot_jobs.access import may_read
from echopilot_jobs.cli import completion, inputs, out, sight
from echopilot_jobs.cli.following import Told
from echopilot_jobs.cli.show import show_output
from echopilot_jobs.clock import iso
from echopilot_jobs.context import line_of_event
from echopilot_jobs.errors import LedgerUnavailable, unknown_name
from echopilot_jobs.logreading import SCHEDULER_LOG, Follower, Keep, Parts
from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.records import record
from echopilot_jobs.settings import Settings

if TYPE_CHECKING:
    from echopilot_jobs.ledger import SqliteLedger

LOOK_EVERY_SECONDS = 0.2
LINES_MOST = 100_000
PROGRAMS = {
    "scheduler": SCHEDULER_LOG,
    "web": "web.log",
    "console": "console-scheduler.log",
    "supervisord": "supervisord.log",
}
LEVELS = ("debug", "info", "warning", "error")
BAD = frozenset({"failed", "timed_out", "abandoned"})
# Events that somebody should know of; everything else is as it should be.
ERRORS = frozenset(
    {"scheduler.failed", "ledger.unreachable", "ledger.vanished", "ledger.refused", "ledger.set_aside", "job.failed_to_plan",
     "jobs.refused", "run.abandoned", "lease.lost", "lock.lost", "scheduler.died"}
)  # fmt: skip
WARNINGS = frozenset(
    {"slot.skipped", "outage.recorded", "clock.stepped", "backlog.held", "job.overlapping", "run.finish_refused",
     "run.cancelled", "processes.swept", "log.repaired", "log.lost", "ping.failed", "ledger.new", "ledger.adopted"}
)  # fmt: skip


# What stands in every line of a level and above, told much faster than by reading it as JSON.
ERROR_WORDS = (*ERRORS, *BAD)
WARNING_WORDS = (*ERROR_WORDS, *WARNINGS, "retry_wait")
TELLING = {
    2: re.compile(
        rf'"(?:{"|".join(map(re.escape, WARNING_WORDS))})"|"level": ?"(?:warning|error)"|"ok": ?false'.encode()
    ),
    3: re.compile(rf'"(?:{"|".join(map(re.escape, ERROR_WORDS))})"|"level": ?"error"'.encode()),
}
MOMENT = re.compile(rb'\{"ts": ?"([0-9T:-]{19})')


@record(frozen=True)
class Wanted:
    """Which lines are told; moments are text to the second, as lines carry them."""

    job: str | None = None
    run: int | None = None
    since: str = ""
    until: str = ""
    level: int = 0

    def keeps(self, line: bytes, at: str | None = None) -> bool:
        """Whether *line* of `scheduler.log` is one of them; a line that is no event only where nothing is chosen.

        *at* stands in for the moment that a few kinds of events do not carry.
        """
        # Most lines are told without reading them as JSON, which a gigabyte would take minutes for.
        if self._named not in line or ((telling := TELLING.get(self.level)) and not telling.search(line)):
            return False
        facts = event_of(line)
        if facts is None:
            return self == Wanted()
        at = moment_of(line) or at or ""
        if at and ((self.since and at < self.since) or (self.until and at > self.until)):
            return False
        if self.job is not None and facts.get("job") != self.job:
            return False
        return (self.run is None or facts.get("run") == self.run) and level_of(facts) >= self.level

    @cached_property
    def _named(self) -> bytes:
        """What stands in every line of the job."""
        return b"" if self.job is None else json.dumps(self.job).encode()

    def is_before(self, line: bytes) -> bool:
        """Whether *line*, and so every older one, is too old. A clock that was set back may hide a few."""
        return bool(self.since) and bool(at := moment_of(line)) and at < self.since

    def keeper(self) -> Keep:
        """`keeps` for lines one after another: an event without a moment has its neighbour's."""
        last = ""

        def keep(line: bytes) -> bool:
            nonlocal last
            last = moment_of(line) or last
            return self.keeps(line, last)

        return keep


def moment_of(line: bytes) -> str:
    """When an event was written, to the second; empty where it does not say."""
    found = MOMENT.match(line)
    return found[1].decode() if found else ""


def _begun(context: click.Context, parameter: click.Parameter, begun: str) -> list[Any]:
    """Programs, jobs and, once a digit was typed, runs that go on from what was *begun*."""
    if begun.isdecimal():
        return [*completion.runs(context, parameter, begun)]
    programs = [name for name in PROGRAMS if name.startswith(begun)]
    return [*programs, *completion.job_names(context, parameter, begun)]


@click.command("logs")
@click.argument("of", required=False, metavar="[JOB|RUN|PROGRAM]", shell_complete=_begun)
@click.option(
    "-f",
    "--follow",
    is_flag=True,
    help="Go on as it grows, until Ctrl-C or the end of the run that was named.",
)
@click.option(
    "-n", "--lines", type=inputs.whole(f"lines from 1 to {LINES_MOST:,}", LINES_MOST), default=50, show_default=True,
    metavar="N", help="The newest N lines.",
)  # fmt: skip
@click.option("--since", metavar="TIME", help="Only later ones: '2h ago', 'yesterday 08:00'.")
@click.option("--until", metavar="TIME", help="Only earlier ones.")
@click.option(
    "--level", type=inputs.OneOf(LEVELS), default="debug", help="Only lines of this level and of graver ones."
)
@click.option("--json", "as_json", is_flag=True, help='A JSON object a line: events as written, others {"line": …}.')
@click.option("--raw", is_flag=True, help="The lines as they were written.")
def command(
    of: str | None,
    follow: bool,
    lines: int,
    since: str | None,
    until: str | None,
    level: str,
    as_json: bool,
    raw: bool,
) -> None:
    """Show the newest log lines, of everything or of one job, run or program (scheduler, web, console, supervisord).

    Rotated and compressed files are read too. Of a run its output is shown as well.

    Example: echopilot logs ceo_brief -f --level warning
    """
    if as_json and raw:
        raise click.UsageError("--json is for programs, --raw shows what was written; give one of them")
    now, settings = sight.now(), sight.settings()
    sight.refuse_missing_home(settings)
    name, wanted = _target(settings, of)
    wanted = replace(wanted, **_times(since, until, now), level=LEVELS.index(level))
    is_events = name == PROGRAMS["scheduler"]
    if not is_events and (wanted.since or wanted.until or wanted.level):
        raise click.UsageError(
            f"--since, --until and --level go with the scheduler's log; '{name}' has lines of any kind"
        )
    current = settings.logs_dir / name
    may_read(settings.logs_dir)
    may_read(current)
    show = _json if as_json else _foreign if raw or not is_events else _line
    with Parts(current) as parts:
        follower = Follower(current, parts) if follow else None  # before reading, so that nothing falls between
        found = parts.last_lines(lines, *_chosen(wanted, is_events=is_events))
        if wanted.run is not None and not found:
            sight.ledger(settings).run(wanted.run)  # an unknown one is said, and nothing else
        _show_newest(current, found, show, parts, lambda: _runs_of(settings, wanted))
    run = None if wanted.run is None else _OfRun(sight.ledger(settings), wanted.run, prints=not (as_json or raw))
    if run is not None:
        run.begin(found)
    if follower is not None:
        _follow(follower, _chosen(wanted, is_events=is_events)[0], show, run)


def _times(since: str | None, until: str | None, now: datetime) -> dict[str, Any]:
    """Both moments as lines carry them. Raises when they are the wrong way round."""
    first, last = (
        iso(read(name, text, now))[:19] if text else ""
        for name, text, read in (("--since", since, inputs.past_moment), ("--until", until, inputs.moment))
    )
    if first and last and first > last:
        raise inputs.refused("--until", "it is before --since; wanted: the earlier moment in --since")
    return {"since": first, "until": last}


def _chosen(wanted: Wanted, *, is_events: bool) -> tuple[Keep, Keep]:
    """Which lines to show, and which line ends the look into the past."""
    return (wanted.keeper(), wanted.is_before) if is_events else (bool, lambda _line: False)


def _target(settings: Settings, of: str | None) -> tuple[str, Wanted]:
    """The log to read, and what of it."""
    if of is None or of in PROGRAMS:
        return PROGRAMS[of or "scheduler"], Wanted()
    if of.isascii() and of.isdecimal():
        return PROGRAMS["scheduler"], Wanted(run=inputs.whole("a run's number, for example 12")(of))
    known = set(sight.registry(settings))
    try:
        with_history = sight.ledger(settings)
    except LedgerUnavailable:
        pass
    else:
        known |= set(with_history.first_seen())
        with_history.close()
    if of not in known:
        raise unknown_name("job, run or program", of, [*known, *PROGRAMS])
    return PROGRAMS["scheduler"], Wanted(job=of)


def _runs_of(settings: Settings, wanted: Wanted) -> str:
    """Beside that no line was found: whether the job has runs at all, or the choice is narrow. Empty when that is unknown."""
    narrow = "; give fewer of --since, --until and --level" if wanted.since or wanted.until or wanted.level else ""
    if wanted.job is None:
        return narrow
    try:
        with contextlib.closing(sight.reading(settings)) as ledger:
            newest = ledger.runs(job_name=wanted.job, limit=1)
    except LedgerUnavailable:
        return narrow
    if not newest:
        return f"; {wanted.job} has no runs yet"
    return f"; the newest run of {wanted.job} is {newest[0].id}, see `echopilot show {newest[0].id}`{narrow}"


def _show_newest(
    current: Path, found: list[bytes], show: Callable[[bytes], None], parts: Parts, beside: Callable[[], str]
) -> None:
    for line in found:
        show(line)
    if not parts.paths:
        out.say(f"no '{current}' yet; the stack writes it: {sight.START}")
    elif not found:
        out.say(f"no such lines{beside()}")


class _OfRun:
    """One run: what it prints, beside what it logs, and whether it goes on."""

    def __init__(self, ledger: SqliteLedger, run_id: int, *, prints: bool) -> None:
        self._ledger = ledger
        self._run_id = run_id
        self._prints = prints
        self._told = Told(lambda words: out.line(f"  {words}"))
        ledger.run(run_id)  # an unknown one is said

    def begin(self, lines: list[bytes]) -> None:
        """Show what it has printed until now; *lines* of its log were shown already."""
        for line in lines:
            self.note(line)
        if self._prints:
            output = self._ledger.output(self._run_id)
            show_output(output)
            self._told.seen(output)

    def note(self, line: bytes) -> None:
        """A line of the log that was shown: its output has it, too."""
        if (facts := event_of(line)) is not None and facts["event"] == "run.said":
            self._told.heard(line_of_event(facts))

    @property
    def is_open(self) -> bool:
        """Whether more may come."""
        return self._ledger.run(self._run_id).is_open

    def show_news(self, *, ended: bool) -> None:
        """Show what it has printed since."""
        if self._prints:
            self._told.printed(self._ledger.output(self._run_id), ended=ended)


def _follow(follower: Follower, keep: Keep, show: Callable[[bytes], None], run: _OfRun | None) -> None:
    """Show what comes, of a run until it has ended."""
    rest = threading.Event()
    try:
        while True:
            goes_on = run is None or run.is_open  # asked before reading: nothing comes after the end
            for line in filter(keep, follower):
                show(line)
                if run is not None:
                    run.note(line)
            if run is not None:
                run.show_news(ended=not goes_on)
            out.flush()
            if not goes_on:
                return
            rest.wait(LOOK_EVERY_SECONDS)
    finally:
        follower.close()


# -- a line


def event_of(line: bytes) -> dict[str, Any] | None:
    """The event a line of `scheduler.log` tells of; None for a line that is no event."""
    try:
        facts = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) and "event" in facts else None


def level_of(facts: dict[str, Any]) -> int:
    """How grave an event is, as a place in `LEVELS`."""
    event = str(facts.get("event"))
    if event == "run.said":
        said = facts.get("level")
        return LEVELS.index(said) if said in LEVELS else 1
    if event in ERRORS or (event == "run.finished" and facts.get("state") in BAD):
        return 3
    if event in WARNINGS or facts.get("ok") is False or facts.get("state") == "retry_wait":
        return 2
    return 0 if event == "tick" else 1


def words_of(facts: dict[str, Any]) -> tuple[str, str, str]:
    """An event for a person: its time, what happened, and the facts beside it."""
    at = f"{str(facts.get('ts', ''))[:19].replace('T', ' '):19}"  # a few kinds carry none
    event = str(facts["event"])
    told_already, what = {"ts", "event"}, event
    if event == "run.said":  # its level stands before every line
        told_already, what = {*told_already, "level", "message"}, str(facts.get("message", ""))
    return at, what, _fields({key: value for key, value in facts.items() if key not in told_already})


def _fields(facts: dict[str, Any]) -> str:
    shown = ((key, value) for key, value in facts.items() if value is not None)
    return " ".join(f"{key}={_value(value)}" for key, value in shown)


def _value(value: object) -> str:
    return value if isinstance(value, str) and " " not in value else json.dumps(value, ensure_ascii=False)


def _line(line: bytes) -> None:
    facts = event_of(line)
    if facts is None:
        _foreign(line)
        return
    at, what, beside = words_of(facts)
    out.logged(at, LEVELS[level_of(facts)], shorten(plain(what), 400), shorten(plain(beside), 2_000))


def _foreign(line: bytes) -> None:
    out.line(line.decode("utf-8", "replace").removesuffix("\r"))


def _json(line: bytes) -> None:
    """An event as it was written; anything else as its text in an object, so that every line is one."""
    if event_of(line) is None:
        line = json.dumps({"line": line.decode("utf-8", "replace")}).encode()
    _foreign(line)


def said_of(lines: Iterator[bytes], run_id: int) -> Iterator[str]:
    """What run *run_id* says of itself in *lines*, a text each, as its output has them too."""
    wanted = Wanted(run=run_id)
    for line in lines:
        facts = event_of(line) if wanted.keeps(line) else None
        if facts is not None and facts["event"] == "run.said":
            yield line_of_event(facts)
