"""What a freshly forked child does: leave the fork server behind, then become the command or call the function."""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from echopilot_jobs.context import RetryAfter, RunContext, Skip
from echopilot_jobs.executor import calling
from echopilot_jobs.executor.mark import MarkRoom
from echopilot_jobs.executor.report import TEXT_MOST
from echopilot_jobs.executor.speaking import Speaker, checked
from echopilot_jobs.processes import become_subreaper, die_with_parent
from echopilot_jobs.records import record

CANNOT_START = 127
UMASK = 0o077
# What Python itself does about them at its start; everything else is left to the system.
PYTHON_SIGNALS: Mapping[signal.Signals, Callable[[int, FrameType | None], Any] | signal.Handlers] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGPIPE: signal.SIG_IGN,
    signal.SIGXFSZ: signal.SIG_IGN,
}

NOT_THE_JOB = (__file__, calling.__file__, str(importlib.__file__), "<frozen importlib")


@record(frozen=True)
class Errand:
    """What a child is born with: the descriptors of its order, its output and its report, and who forked it."""

    order: int
    output: int
    report: int
    server: int


def carry_out(errand: Errand, room: MarkRoom) -> int:
    """Do what the order says; the process's exit status. A command does not come back from here."""
    die_with_parent(signal.SIGKILL, errand.server)
    become_subreaper()  # while it lives its orphans stay in its tree; that outlasts the start of another program
    with os.fdopen(errand.order, "rb") as file:
        order = json.load(file)
    room.write(order["mark"])
    os.setsid()
    _take_over(errand)
    home = Path(order["home"])
    speaker = Speaker(errand.report, home / order["artefacts"], home)
    try:
        _settle_in(order, home)
    except OSError as error:
        return _no_start(speaker, f"cannot start in '{order['cwd']}': {error.strerror}")
    if "argv" in order:
        return _become(order["argv"], order["environ"], speaker)
    return _call(order, home, speaker)


# -- leaving the server behind


def _take_over(errand: Errand) -> None:
    """Output goes to the run's pipe, and no descriptor but the report is left of the server's (F53)."""
    os.dup2(errand.output, 1)
    os.dup2(errand.output, 2)
    os.set_inheritable(errand.report, False)  # what the run itself starts must neither hold nor forge it
    for entry in [*Path("/proc/self/fd").iterdir()]:
        if int(entry.name) not in (0, 1, 2, errand.report):
            with suppress(OSError):  # the listing's own is closed already
                os.close(int(entry.name))


def _settle_in(order: Mapping[str, Any], home: Path) -> None:
    """Signals, limits, environment, folder and import path as of a program just started."""
    for number in signal.valid_signals():
        if signal.getsignal(number) not in (signal.SIG_DFL, None):  # None: not Python's to change
            signal.signal(number, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(UMASK)
    os.environ.clear()
    os.environ.update(order["environ"])
    time.tzset()
    os.chdir(home / (order["cwd"] or "."))


def _no_start(speaker: Speaker, why: str) -> int:
    sys.stderr.write(f"{why}\n")
    speaker.answer({"ok": False, "trouble": why})
    return CANNOT_START


# -- commands


def _become(argv: list[str], environ: Mapping[str, str], speaker: Speaker) -> int:
    try:
        os.execvpe(argv[0], argv, environ)  # nosec B606  # an argument list; a shell only where the definition says so
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return _no_start(speaker, f"cannot start '{argv[0]}': {reason}")


# -- functions


def _call(order: Mapping[str, Any], home: Path, speaker: Speaker) -> int:
    for number, handler in PYTHON_SIGNALS.items():
        signal.signal(number, handler)
    gc.enable()
    _look_first_in(home)
    sys.argv = [order["target"]]
    answer: dict[str, Any]
    try:
        context = RunContext.from_facts(order["context"], speaker)
        answer = {"ok": True, "result": checked(calling.result_of(order["target"], _load(order["target"]), context))}
    except Skip as wish:
        answer = {"ok": False, "skipped": _one_line(wish.reason)}
    except RetryAfter as wish:
        answer = {"ok": False, "error": _named(wish), "retry_after_s": float(wish.seconds)}
    except SystemExit:
        raise  # it asked to end without an answer, and so it does
    except BaseException as error:  # the job's own failure: recorded, and shown with its traceback
        traceback.print_exception(error.with_traceback(_from_the_job(error.__traceback__)))
        answer = {"ok": False, "error": _named(error)}
    with suppress(OSError, ValueError):  # a job may have closed its own output
        sys.stdout.flush()
    speaker.answer(answer)
    return 0 if answer["ok"] or "skipped" in answer else 1  # on the way out threads are joined and `atexit` runs


def _look_first_in(home: Path) -> None:
    """Imports look in the project first, then where `PYTHONPATH` says, as the run's own environment has it."""
    named = [os.path.abspath(each) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]  # noqa: PTH100
    sys.path[:] = dict.fromkeys([str(home), *named, *sys.path])
    sys.path_importer_cache.clear()  # the server looked long ago; `invalidate_caches` would import half the library for it


def _load(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name, None)
    if not callable(function):
        raise LookupError(f"no function '{name}' in module '{module}'; wanted: 'package.module:function'")
    found: Callable[..., Any] = function
    return found


def _from_the_job(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames that led to the job's own."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(NOT_THE_JOB):
        trace = trace.tb_next
    return trace


def _named(error: BaseException) -> str:
    try:
        return _one_line(f"{type(error).__name__}: {error}")
    except Exception:  # an error whose own text fails
        return type(error).__name__


def _one_line(text: str) -> str:
    return " ".join(str(text).split())[:TEXT_MOST]
