"""The one error tree.

An `EchoPilotError` is meant for a person: the command line prints it and exits, the API answers with `status`. A message
says what came, what is allowed and what to do next. Anything else that is raised is a bug and keeps its traceback in the
log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NAMED_MOST = 12


class EchoPilotError(Exception):
    """Something a person can act on. `status` is the HTTP answer it becomes, `exit_code` the process's."""

    status = 400
    exit_code = 1


class ConfigError(EchoPilotError):
    """Settings or definitions that cannot be used. Carries every problem found, one line each."""

    status = 422
    exit_code = 78  # EX_CONFIG of sysexits.h

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


SEE_RUNS = "; see `echopilot runs` for those there are"  # a page leads there instead


class UnknownName(EchoPilotError):
    """A job, run or program that does not exist; the message names those that do, `near` those that may be meant."""

    status = 404

    def __init__(self, message: str, near: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.near = tuple(near)


class WrongState(EchoPilotError):
    """A legal request at the wrong moment, such as finishing a run that already ended."""

    status = 409


class LeaseLost(EchoPilotError):
    """Another scheduler holds the lease now; whatever this one still wants to write is refused."""

    status = 409


class LeaseHeld(EchoPilotError):
    """Another scheduler leads and is alive; this one may only stand by."""

    status = 409


class LedgerUnavailable(EchoPilotError):
    """The ledger cannot be read or written right now (locked, full disk, missing folder)."""

    status = 503


class LedgerTooNew(EchoPilotError):
    """The ledger was written by a newer release than this one."""

    status = 503
    exit_code = 78


class SupervisorUnreachable(EchoPilotError):
    """supervisord did not answer on its socket."""

    status = 503


class SupervisorLost(SupervisorUnreachable):
    """supervisord lives, and its socket was deleted: nobody can ask or order it until a person starts it anew."""


def nearest_names(name: str, known: Iterable[str], most: int = 1) -> list[str]:
    """At most so many of *known* that may have been meant, the likeliest first: what differs by case alone leads."""
    from difflib import get_close_matches

    names = [*known]
    same = [each for each in names if each.casefold() == name.casefold()]
    return list(dict.fromkeys([*same, *get_close_matches(name, names, n=most)]))[:most]


def unknown_name(kind: str, name: str, known: Sequence[str]) -> UnknownName:
    """The error for a name nobody knows, with the nearest known one when there is one."""
    near = nearest_names(name, known, most=3)
    if near and len(known) > NAMED_MOST:  # many names would hide the one that is meant
        meant = " or ".join(f"'{each}'" for each in near)
        return UnknownName(f"no {kind} named '{name}'; did you mean {meant}?", near)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return UnknownName(f"no {kind} named '{name}'; {hint}known: {_some_of(known)}", near)


def _some_of(known: Sequence[str]) -> str:
    """Names for one line: all of a few, of many the first ones and how many there are besides."""
    names = sorted(known)
    if len(names) <= NAMED_MOST:
        return ", ".join(names) or "none"
    return f"{', '.join(names[:NAMED_MOST])} and {len(names) - NAMED_MOST:,} more; see `echopilot jobs`"
