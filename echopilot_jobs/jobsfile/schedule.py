"""The schedule keys of a job's table, taken together, into its rule."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from echopilot_jobs.jobsfile import when
from echopilot_jobs.jobsfile.notes import Notes
from echopilot_jobs.jobsfile.tables import JobTable
from echopilot_jobs.jobsfile.words import came
from echopilot_jobs.spans import span
from echopilot_jobs.triggers import Cron, OnRequest, Trigger, Until, trigger_of, without_end

WANTED = 'one of every = "6h", cron = "15 2 * * 1-5" or manual = true'
ON_START = "; for a run at start-up only: manual = true and on_startup = true"


def trigger_of_table(table: JobTable, given: set[str], rule: object, notes: Notes) -> Trigger | None:
    """The rule, or None when *notes* say what is wrong with it. *rule* is a trigger as plain JSON, for jobs in code."""
    rhythms = [key for key in ("every", "cron", "manual") if key in given and (key != "manual" or table.manual)]
    if len(rhythms) > 1:
        said = " and ".join(f"'{key}'{notes.line_of(key)}" for key in rhythms)
        if table.cron is not None and not notes.blames("timezone"):  # the others were read already
            _cron(table.cron, table.timezone, notes)
        notes.wrong([rhythms[1]], f"came {said}; wanted: one of them")
        return None
    if not rhythms and rule is None:
        if notes.misses("every", "cron", "manual"):
            _refuse_none(given, notes)
        return None
    trigger = _bare(table, given, rule, notes, rhythms[0] if rhythms else "rule")
    if trigger is None:
        return None
    _judge_jitter(table.jitter, trigger, notes)
    if table.until is None or isinstance(trigger, OnRequest) or notes.blames("timezone"):
        return trigger
    return Until(without_end(trigger), when.last_moment(table.until, table.timezone))


def _refuse_none(given: set[str], notes: Notes) -> None:
    if "manual" in given:
        if not notes.blames("manual"):
            notes.wrong(["manual"], f"came false and no schedule; wanted: {WANTED}")
    elif "at" in given:
        notes.wrong(["at"], "came without 'every'; wanted: every = 'day' beside it, or the days it means")
    else:
        notes.wrong([], f"no schedule; wanted: {WANTED}{ON_START}")


def _bare(table: JobTable, given: set[str], rule: object, notes: Notes, rhythm: str) -> Trigger | None:
    """The rule without its end."""
    _judge_company(table, given, notes, rhythm)
    if notes.blames(rhythm, "at", "timezone"):
        return None
    if table.cron is not None:
        return _cron(table.cron, table.timezone, notes)
    try:
        if table.every is not None:
            return when.rule_of(table.every, table.at, table.timezone)
        return OnRequest() if table.manual else trigger_of(rule if isinstance(rule, Mapping) else {})
    except ValueError as error:
        notes.wrong([rhythm], str(error).replace(f"{rhythm} '", "came '", 1))
        return None


def _cron(fields: str, zone: str, notes: Notes) -> Trigger | None:
    try:
        return Cron(fields, zone)
    except ValueError as error:
        notes.wrong(["cron"], str(error).replace("cron '", "came '", 1))
        return None


def _judge_company(table: JobTable, given: set[str], notes: Notes, rhythm: str) -> None:
    """What may not stand beside *rhythm*."""
    if "at" in given and not (isinstance(table.every, when.Days | when.Weekdays) or notes.blames("every")):
        wanted = "only with days, such as every = 'day' or 'monday'"
        notes.wrong(["at"], f"came with {_said(table, rhythm)}; wanted: {wanted}")
    if rhythm == "rule" and "timezone" in given and "until" not in given:
        wanted = "the whole schedule here, with 'every' or 'cron'"
        notes.wrong(["timezone"], f"the schedule of this job is in code; wanted: {wanted}")


def _said(table: JobTable, rhythm: str) -> str:
    if rhythm == "cron":
        return f"cron = {came(table.cron)}"
    return {"every": "a length in 'every'", "manual": "manual = true"}.get(rhythm, "a schedule in code")


def _judge_jitter(jitter: timedelta, trigger: Trigger, notes: Notes) -> None:
    if jitter and jitter > trigger.period / 2:
        most = span(trigger.period / 2)
        notes.wrong(["jitter"], f"came '{span(jitter)}'; wanted: at most half the distance between slots, '{most}'")
