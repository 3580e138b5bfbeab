"""What is worth knowing about a job that is not wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import PurePath

from echopilot_jobs.backoff import BASE, LEAST, MOST
from echopilot_jobs.jobs import Command, Http, Job
from echopilot_jobs.jobsfile.notes import Notes
from echopilot_jobs.jobsfile.request import texts_in
from echopilot_jobs.placeholders import names_in, shell_name_in
from echopilot_jobs.spans import span
from echopilot_jobs.triggers import Every, EveryBetween, OnRequest, without_end

AHEAD = timedelta(days=366)
SHORTEST_WINDOW = timedelta(seconds=60)
CAUGHT_UP_MOST = 10
UNSET = "is not set in the environment"
SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "busybox"})

Note = tuple[tuple[str, ...], str]


def advise(
    job: Job,
    given: set[str],
    notes: Notes,
    limits: Mapping[str, int],
    environ: Mapping[str, str],
    now: datetime | None,
) -> None:
    """Note every warning about *job*, whose keys *given* somebody wrote."""
    for path, text in (
        *_of_time(job, given),
        *_of_limits(job, given),
        *_of_group(job, limits),
        *_of_action(job),
        *_unset(job, environ),
        *_as_in_a_shell(job),
        *(_of_clocks(job, now) if now else ()),
    ):
        notes.warn(path, text)


def _of_time(job: Job, given: set[str]) -> Iterator[Note]:
    if isinstance(job.trigger, OnRequest):
        for key in ("until", "jitter", "timezone", "catch_up", "catch_up_window"):
            if key in given:
                yield (key,), "it changes nothing for a job without a schedule; remove it"
    elif isinstance(job.trigger, Every | EveryBetween) and "timezone" in given:
        yield ("timezone",), "it changes nothing for a length in 'every', which counts time as it passes; remove it"


def _of_group(job: Job, limits: Mapping[str, int]) -> Iterator[Note]:
    if job.group is not None and job.group not in limits:
        yield ("group",), f"'{job.group}' has no limit; give it one under [groups]: {job.group} = 1"


def _of_limits(job: Job, given: set[str]) -> Iterator[Note]:
    if isinstance(job.trigger, OnRequest):
        return
    if "catch_up_window" in given:
        yield from _of_window(job)
    # The period of a rule may take a while to find, so it is asked for only where it can matter.
    if job.overlap in ("queue_one", "queue_all") and job.timeout > (period := job.trigger.period):
        yield (
            ("timeout",),
            (
                f"'{span(job.timeout)}' is longer than the distance between slots, '{span(period)}', and overlap = "
                f"'{job.overlap}' lets runs wait for one another; a slow one delays those after it"
            ),
        )
    least = _least_time(job.retries)
    if least > _least_distance(job) and least > (period := job.trigger.period):
        yield (
            ("retries",),
            (
                f"'{job.retries}' more attempts wait '{span(least)}' on average, longer than the distance between slots, "
                f"'{span(period)}'; they stop when the next slot is claimed"
            ),
        )
    if job.retry_on and not job.retries:
        yield ("retry_on",), "it changes nothing without 'retries'; add retries = 3 or remove it"


def _least_distance(job: Job) -> timedelta:
    """Less than which two of its slots never lie apart."""
    rule = without_end(job.trigger)
    return rule.period if isinstance(rule, Every | EveryBetween) else timedelta(minutes=1)


def _of_window(job: Job) -> Iterator[Note]:
    if job.catch_up == "none":
        yield ("catch_up_window",), "it changes nothing with catch_up = 'none'; remove one"
    elif job.window < SHORTEST_WINDOW:
        yield (
            ("catch_up_window",),
            (
                f"'{span(job.window)}' is shorter than a restart may take, '{span(SHORTEST_WINDOW)}'; "
                "slots missed by one will expire"
            ),
        )
    elif job.catch_up == "all" and job.window > CAUGHT_UP_MOST * (period := job.trigger.period):
        yield (
            ("catch_up_window",),
            (
                f"'{span(job.window)}' holds more than {CAUGHT_UP_MOST} slots, one each '{span(period)}'; "
                f"at most {CAUGHT_UP_MOST} are caught up"
            ),
        )


def _least_time(retries: int) -> timedelta:
    """What the waits between attempts come to on average."""
    waits = (min(BASE * 2 ** min(attempt, 30), MOST) for attempt in range(retries))
    return sum(((LEAST + wait) / 2 for wait in waits), timedelta(0))


def _of_action(job: Job) -> Iterator[Note]:
    if isinstance(job.action, Command):
        if job.action.shell:
            yield (
                ("shell",),
                "a shell reads this command: everything in it is expanded; a list is safer where it will do",
            )
        elif names := [name for word in job.action.argv for name in names_in(word)]:
            yield (
                ("command",),
                (f"'${{{names[0]}}}' stays as it is in an argument; hand it over in env, where nobody else can see it"),
            )
        elif name := _for_a_shell(job.action.argv):
            yield (
                ("command",),
                f"'${name}' stays as it is: no shell reads a list; write its value, or one text with shell = true",
            )


def _for_a_shell(argv: tuple[str, ...]) -> str | None:
    """The first `$NAME` among the arguments. A word with blanks in it is a program or a sentence in its own language."""
    if any(PurePath(word).name in SHELLS for word in argv):
        return None
    return next(filter(None, (shell_name_in(word) for word in argv if len(word.split()) == 1)), None)


def _as_in_a_shell(job: Job) -> Iterator[Note]:
    for path, text in fillable(job):
        if name := shell_name_in(text):
            yield path, f"'${name}' stays as it is; did you mean '${{{name}}}'?"
    if isinstance(job.action, Http) and (name := shell_name_in(job.action.url)):
        yield ("http", "url"), f"'${name}' stays as it is in an address; write '${{{name}}}' in a header or the body"


def _unset(job: Job, environ: Mapping[str, str]) -> Iterator[Note]:
    for path, text in fillable(job):
        for name in dict.fromkeys(names_in(text)):
            if name not in environ:
                yield path, f"'${{{name}}}' {UNSET}; set {name}, or the run fails"


def fillable(job: Job) -> Iterator[Note]:
    """Every text that may hold `${NAME}`."""
    yield from ((("env", name), value) for name, value in job.env.items())
    if job.ping:
        yield ("ping",), job.ping
    if isinstance(job.action, Http):
        yield from ((("http", "headers", name), value) for name, value in job.action.headers.items())
        yield from ((("http", "json"), text) for text in texts_in(job.action.json))
        yield ("http", "body"), job.action.body or ""


def _of_clocks(job: Job, now: datetime) -> Iterator[Note]:
    if next(job.trigger.after(now), None) is None and not isinstance(job.trigger, OnRequest):
        yield ("until",), "its end has passed: it will not run again by itself"
        return
    from echopilot_jobs.triggers.dst import dst_notes

    found = dst_notes(job.trigger, now, now + AHEAD)
    if found:
        more = f" (and {len(found) - 2} more within a year)" if len(found) > 2 else ""
        yield ("timezone",), "; ".join(str(note) for note in found[:2]) + more
