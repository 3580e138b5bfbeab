"""What a run is told about itself, and how it speaks: its log, its progress, the files it leaves."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from dataclasses import field, replace
from datetime import UTC, datetime
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, Protocol

from echopilot_jobs.clock import iso
from echopilot_jobs.plain import plain
from echopilot_jobs.records import record
from echopilot_jobs.runs import Artefact, Run

if TYPE_CHECKING:
    from echopilot_jobs.jobs import Job

NEVER = datetime.max.replace(tzinfo=UTC)
OUR_FIELDS = frozenset({"ts", "event", "job", "run", "level", "message", "dropped", "self", "name"})


class Skip(Exception):
    """Raised by a python job that finds nothing to do: the run ends as cancelled, with *reason*, and is not tried again."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class RetryAfter(Exception):
    """Raised by a python job that wants to be tried again, not before *seconds* have passed, if attempts are left."""

    def __init__(self, seconds: float, reason: str = "") -> None:
        super().__init__(reason or f"asked to be tried again in {seconds:g} s")
        self.seconds = seconds


class Voice(Protocol):
    """Where what a run says goes. Nothing here raises for want of a listener."""

    def say(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        """A line for the run's output and for the scheduler's log."""
        ...

    def progress(self, done: float, total: float | None, note: str) -> None:
        """How far the run is."""
        ...

    def keep(self, path: str, name: str | None) -> Artefact:
        """Keep a file for people. Raises `ValueError` or `OSError` with the reason it cannot be kept."""
        ...


class Aloud:
    """The voice of a run outside the scheduler, in a test or at a prompt: lines go to standard error, the rest nowhere."""

    def say(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        print(line_of(level, message, fields), file=sys.stderr)  # noqa: T201  # that is what it is for

    def progress(self, done: float, total: float | None, note: str) -> None:
        pass

    def keep(self, path: str, name: str | None) -> Artefact:
        return Artefact(name or path.rpartition("/")[2], path, 0, "")


def line_of(level: str, message: str, fields: Mapping[str, Any]) -> str:
    """What was said, as one readable line: `info: loaded rows=3`."""
    facts = "".join(f" {key}={plain(value)}" for key, value in fields.items())
    return f"{level}: {plain(message)}{facts}"


def beside_ours(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a line as its event carries them: one that has the name of one of ours gets `_` behind it."""
    return {f"{key}_" if key in OUR_FIELDS else key: value for key, value in fields.items()}


def line_of_event(facts: Mapping[str, Any]) -> str:
    """The line an event `run.said` tells of, letter for letter as it stands in the run's output."""
    own = {key: value for key, value in facts.items() if key not in OUR_FIELDS}
    fields = {key[:-1] if key[:-1] in OUR_FIELDS else key: value for key, value in own.items()}
    return line_of(str(facts.get("level", "info")), str(facts.get("message", "")), fields)


class JobLog:
    """The logger of a run: `ctx.log.info("loaded", rows=3)`. Positional arguments are put in as `logging` does it.

    Every line lands in the run's output and, with its fields, in `scheduler.log`.
    """

    def __init__(self, voice: Voice) -> None:
        self._voice = voice

    def debug(self, message: object, /, *args: object, **fields: Any) -> None:
        """A detail."""
        self._say("debug", message, args, fields)

    def info(self, message: object, /, *args: object, **fields: Any) -> None:
        """Something as it should be."""
        self._say("info", message, args, fields)

    def warning(self, message: object, /, *args: object, **fields: Any) -> None:
        """Something somebody should look at one day."""
        self._say("warning", message, args, fields)

    def error(self, message: object, /, *args: object, **fields: Any) -> None:
        """Something that went wrong. The run goes on: only raising ends it."""
        self._say("error", message, args, fields)

    def exception(self, message: object, /, *args: object, **fields: Any) -> None:
        """An error with the exception being handled: its traceback goes to the run's output."""
        caught = sys.exception()
        facts = {} if caught is None else {"exception": f"{type(caught).__name__}: {caught}"}
        self._say("error", message, args, {**fields, **facts})
        traceback.print_exc()

    def _say(self, level: str, message: object, args: tuple[object, ...], fields: Mapping[str, Any]) -> None:
        self._voice.say(level, _filled(str(message), args), fields)


def _filled(message: str, args: tuple[object, ...]) -> str:
    """*message* with *args* in their places; a line that does not fit its arguments is said all the same."""
    if not args:
        return message
    try:
        return message % args
    except (TypeError, ValueError):
        return f"{message} {args!r}"


@record(frozen=True)
class RunContext:
    """The argument of a python job. Moments are aware and in UTC; `slot_at` is None for runs no slot asked for.

    *deadline* is when this attempt will be ended. *params* holds every parameter of the job, given or by default.
    """

    run_id: int
    job_name: str
    attempt: int
    started_at: datetime
    idempotency_key: str
    slot_at: datetime | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    deadline: datetime = NEVER
    voice: Voice = field(default_factory=Aloud, repr=False, compare=False)

    @classmethod
    def of(cls, run: Run, job: Job, deadline: datetime = NEVER) -> RunContext:
        """The context of a run that has just been started. Raises `BadParameters` when what it was given no longer fits."""
        from echopilot_jobs.jobs import values_of  # here, because a child reads its context without knowing jobs

        return cls(
            run_id=run.id,
            job_name=run.job_name,
            attempt=run.attempt,
            started_at=run.started_at or run.claimed_at,
            idempotency_key=run.idempotency_key,
            slot_at=run.slot.due_at if run.slot else None,
            params=values_of(job.name, job.params, run.params or {}),
            deadline=deadline,
        )

    @property
    def log(self) -> JobLog:
        """The run's logger."""
        return JobLog(self.voice)

    def progress(self, done: float, total: float | None = None, note: str = "") -> None:
        """Say how far the run is; shown live. Cheap enough to be called for every row."""
        self.voice.progress(done, total, note)

    def artifact(self, path: str | PathLike[str], name: str | None = None) -> Artefact:
        """Copy the file *path* whole to where people find it with the run, as *name* (its own, when left out).

        Raises `ValueError` for what is no regular file, too large or badly named, and `OSError` when it cannot be copied.
        """
        return self.voice.keep(fspath(path), name)

    def environment(self) -> dict[str, str]:
        """The same facts as environment variables, for commands."""
        given = {f"ECHOPILOT_PARAM_{name.upper()}": _text(value) for name, value in self.params.items()}
        return {
            **given,
            "ECHOPILOT_RUN_ID": str(self.run_id),
            "ECHOPILOT_JOB": self.job_name,
            "ECHOPILOT_ATTEMPT": str(self.attempt),
            "ECHOPILOT_SLOT_AT": iso(self.slot_at) if self.slot_at else "",
            "ECHOPILOT_IDEMPOTENCY_KEY": self.idempotency_key,
            "ECHOPILOT_DEADLINE": iso(self.deadline),
        }

    def headers(self) -> dict[str, str]:
        """The same facts as HTTP headers."""
        slot = {"X-Slot-At": iso(self.slot_at)} if self.slot_at else {}
        return {"X-Run-Id": str(self.run_id), "Idempotency-Key": self.idempotency_key, **slot}

    def facts(self) -> dict[str, Any]:
        """Everything but the voice, as JSON."""
        return {
            "run_id": self.run_id,
            "job_name": self.job_name,
            "attempt": self.attempt,
            "started_at": self.started_at.isoformat(),
            "idempotency_key": self.idempotency_key,
            "slot_at": self.slot_at.isoformat() if self.slot_at else None,
            "params": dict(self.params),
            "deadline": self.deadline.isoformat(),
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], voice: Voice) -> RunContext:
        """The context that `facts` told of, with a voice of its own."""
        moments = {
            key: datetime.fromisoformat(facts[key]) for key in ("started_at", "slot_at", "deadline") if facts[key]
        }
        return replace(cls(**{**facts, **moments}), voice=voice)


def _text(value: object) -> str:
    """A parameter's value as a shell script reads it."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
