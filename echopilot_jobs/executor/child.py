"""What runs inside the child process: `python -m echopilot_jobs.executor.child python|command TARGET…`.

It asks to die with the scheduler, then becomes the command, or reads the run's context from standard input, calls the
function and writes `{"ok":…}` as one JSON document to the descriptor named in `ECHOPILOT_RESULT_FD`.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import datetime
from typing import Any

from echopilot_jobs.processes import die_with_parent

RESULT_MOST_BYTES = 64 * 1024


def main() -> int:
    """Do what the arguments say; the process's exit status."""
    die_with_parent(signal.SIGKILL, parent=int(os.environ.pop("ECHOPILOT_PARENT")))
    kind, *words = sys.argv[1:]
    return _become(words) if kind == "command" else _call(words[0])


def _become(argv: list[str]) -> int:
    try:
        os.execvp(argv[0], argv)  # nosec B606  # an argument list, never a shell
    except OSError as error:
        sys.stderr.write(f"cannot start '{argv[0]}': {error.strerror}\n")
        return 127


def _call(target: str) -> int:
    from echopilot_jobs.context import RetryAfter, Skip  # here, because a command starts without it

    descriptor = int(os.environ.pop("ECHOPILOT_RESULT_FD"))
    os.set_inheritable(descriptor, False)  # a process the job starts must not hold our pipe open
    context = _context(json.load(sys.stdin))
    try:
        answer = {"ok": True, "result": _checked(_load(target)(context))}
    except Skip as wish:
        answer = {"ok": False, "skipped": " ".join(wish.reason.split())[:2000]}
    except RetryAfter as wish:
        answer = {"ok": False, "error": _one_line(wish), "retry_after_s": float(wish.seconds)}
    except Exception as error:  # the job's own failure: recorded, and shown with its traceback
        traceback.print_exc()
        answer = {"ok": False, "error": _one_line(error)}
    sys.stdout.flush()
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump(answer, file)
    return 0 if answer["ok"] or "skipped" in answer else 1


def _load(target: str) -> Callable[[Any], Any]:
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name, None)
    if not callable(function):
        raise LookupError(f"no function '{name}' in module '{module}'; wanted: 'package.module:function'")
    found: Callable[[Any], Any] = function
    return found


def _context(facts: dict[str, Any]) -> Any:
    from echopilot_jobs.context import RunContext

    moments = {key: facts[key] and datetime.fromisoformat(facts[key]) for key in ("started_at", "slot_at")}
    return RunContext(**{**facts, **moments})


def _checked(result: Any) -> Any:
    """*result* as JSON can keep it, or an error that says why it cannot."""
    try:
        size = len(json.dumps(result, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TypeError(f"the job returned what JSON cannot keep: {error}") from None
    if size > RESULT_MOST_BYTES:
        raise ValueError(f"the job returned {size:,} bytes; allowed: {RESULT_MOST_BYTES:,}; write an artefact instead")
    return result


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:2000]


if __name__ == "__main__":
    sys.exit(main())
