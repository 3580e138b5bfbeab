"""What a job is: a named action with its trigger, its limits and its parameters; and the set of them in force."""

from echopilot_jobs.jobs.actions import Action, Command, Http, Inline, Python
from echopilot_jobs.jobs.job import (
    NAME_RULE,
    CatchUp,
    Job,
    Overlap,
    next_slot,
    next_wake,
    planned_at,
    slots,
)
from echopilot_jobs.jobs.params import BadParameters, Param, ParamType, values_of
from echopilot_jobs.jobs.registry import Registry

__all__ = [
    "NAME_RULE",
    "Action",
    "BadParameters",
    "CatchUp",
    "Command",
    "Http",
    "Inline",
    "Job",
    "Overlap",
    "Param",
    "ParamType",
    "Python",
    "Registry",
    "next_slot",
    "next_wake",
    "planned_at",
    "slots",
    "values_of",
]
