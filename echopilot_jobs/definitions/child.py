"""What runs inside the probing child: `python -P …/definitions/child.py`.

It reads what to look at from standard input, imports it and writes a line of JSON for each beginning and each end to the
descriptor named in `ECHOPILOT_RESULT_FD`. Whoever reads them knows what was begun and never ended.

These are two processes. The parent of the one that imports is not who asked but a watcher between them, so that a module that
harms its parent harms nobody else. An end is written only when the watcher has answered: a killed or stopped one never does.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TextIO

from echopilot_jobs.processes import die_with_parent

FILES_MOST = 500
TEXT_MOST = 400
DECLARING = "echopilot_jobs.declaring"


class Wrong(Exception):
    """What is wrong with a module or a function, as the half of a sentence."""


def main() -> None:
    """Answer everything that was asked, then leave at once: threads an import has started must not keep us."""
    die_with_parent(signal.SIGKILL, parent=int(os.environ.pop("ECHOPILOT_PARENT")))
    descriptor = int(os.environ.pop("ECHOPILOT_RESULT_FD"))
    os.set_inheritable(descriptor, False)
    watcher, (ours, theirs) = os.getpid(), socket.socketpair()
    with os.fdopen(descriptor, "w", encoding="ascii") as answers:
        if child := os.fork():
            theirs.close()
            _watch(child, ours, answers)
        else:
            os.setsid()  # a signal to its own group is for it alone
            die_with_parent(signal.SIGKILL, parent=watcher)
            ours.close()
            _answer_all(theirs, answers)
    os._exit(0)


def _watch(child: int, line: socket.socket, answers: TextIO) -> None:
    """Answer *child* on *line* for as long as it lives, then tell how it ended."""
    ended = os.pidfd_open(child)
    poller = select.poll()
    for each in (line.fileno(), ended):
        poller.register(each, select.POLLIN)
    while ended not in [descriptor for descriptor, _ in poller.poll()]:
        if not _give_back(line):
            poller.unregister(line)
    _say(answers, status=os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _give_back(line: socket.socket) -> bool:
    """Answer one question; False when none will come any more."""
    with suppress(ConnectionError):
        if asked := line.recv(1):
            line.sendall(asked)
            return True
    return False


def _answer_all(watcher: socket.socket, answers: TextIO) -> None:
    asked = json.load(sys.stdin)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    home = Path(asked["home"])
    sys.path.insert(0, str(home))
    for number, item in enumerate(asked["items"]):
        _say(answers, begin=number)
        found = _look(home, item)
        _see_watcher(watcher)
        _say(answers, end=number, **found)
    _say(answers, files=_own_files(home))


def _see_watcher(line: socket.socket) -> None:
    """Wait for a word of the watcher. Where the last import has ended or stopped it there is none, and no further item."""
    line.sendall(b"?")
    if not line.recv(1):
        os._exit(1)


def _say(answers: TextIO, **facts: Any) -> None:
    answers.write(json.dumps(facts) + "\n")
    answers.flush()


def _look(home: Path, item: dict[str, Any]) -> dict[str, Any]:
    """What came of one item: a module whose jobs are wanted, or a function a job will call."""
    try:
        if "module" in item:
            _import(home, item["module"])
            declared = _declared(item["module"])
            return {"declared": declared, "refused": dict(_refused(home, declared))}
        with _environment(item["env"]):
            return {"warning": _judge(home, item["target"])}
    except Wrong as wrong:
        return {"problem": str(wrong)}


def _declared(name: str) -> list[dict[str, Any]]:
    """The jobs that importing has declared so far, as plain JSON."""
    if DECLARING not in sys.modules:
        return []  # nobody has even asked for the decorator
    found: list[dict[str, Any]] = sys.modules[DECLARING].declared()
    try:
        json.dumps(
            found, allow_nan=False, ensure_ascii=False
        ).encode()  # half a character is no text, in a file or elsewhere
    except (TypeError, ValueError) as error:
        raise Wrong(f"the jobs '{name}' declares hold what JSON cannot keep: {error}") from None
    return found


def _refused(home: Path, declared: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """The names of those whose function cannot be called, and why."""
    for each in declared:
        try:
            _judge(home, each["run"])
        except Wrong as wrong:
            yield each["name"], str(wrong)


@contextmanager
def _environment(extra: dict[str, str]) -> Iterator[None]:
    """The job's own variables, as they will be when its run imports the module."""
    before = dict(os.environ)
    os.environ.update(extra)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _judge(home: Path, target: str) -> str | None:
    """Raises `Wrong` unless *target* is a function that can be called with the run's context or without; a warning."""
    module_name, _, path = target.partition(":")
    module = _import(home, module_name)
    function = module
    for name in path.split("."):
        function = _attribute(function, name, module_name)
    _see_callable(function, target)
    top = module_name.partition(".")[0]
    if top in sys.stdlib_module_names and _is_below(home, getattr(module, "__file__", None)):
        return f"module '{top}' is named like one of Python's own, which other code may get instead; rename it"
    return None


def _import(home: Path, name: str) -> Any:
    try:
        return importlib.import_module(name)
    except SystemExit as error:
        raise Wrong(f"importing '{name}' leaves with sys.exit({error.code!r}); keep that under `if __name__`") from None
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise Wrong(f"no module '{missing}'{_nearest_module(home, missing)}") from None
        raise Wrong(_failed(home, name, error)) from None
    except BaseException as error:  # whatever an import raises is that module's own
        raise Wrong(_failed(home, name, error)) from None


def _failed(home: Path, name: str, error: BaseException) -> str:
    """Where and with what importing *name* failed: the last line of its own that was reached."""
    if isinstance(error, SyntaxError) and error.filename:
        place: tuple[str, int | None] = (error.filename, error.lineno)
    else:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
        own = [frame for frame in frames if _is_below(home, frame.filename)] or frames
        place = (own[-1].filename, own[-1].lineno) if own else (name, None)
    words = " ".join(f"{type(error).__name__}: {_text_of(error)}".split())[:TEXT_MOST]
    return f"importing '{name}' fails at {_shown(home, *place)}: {words}"


def _text_of(error: BaseException) -> str:
    try:
        return error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:  # an exception of the user's own may not even have words
        return "it cannot say why"


def _shown(home: Path, file: str, line: int | None) -> str:
    short = os.path.relpath(file, home) if _is_below(home, file) else file
    return f"{short}:{line}" if line else short


def _attribute(owner: Any, name: str, module_name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        near = get_close_matches(name, [each for each in dir(owner) if not each.startswith("_")], n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        where = getattr(owner, "__file__", None)
        raise Wrong(f"no function '{name}' in '{module_name}'{hint or (f' ({where})' if where else '')}") from None


def _see_callable(function: Callable[..., Any], target: str) -> None:
    name = target.partition(":")[2]
    if not callable(function):
        raise Wrong(f"'{name}' is of type {type(function).__name__}; wanted: a function")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise Wrong(f"'{name}' is a generator, whose body would never run; wanted: a function without `yield`")
    try:
        shape = inspect.signature(function)
    except (TypeError, ValueError):
        raise Wrong(f"'{name}' does not say what arguments it takes; wrap it in a function that takes none") from None
    if not (_takes(shape, 0) or _takes(shape, 1)):
        raise Wrong(f"'{name}' takes ({', '.join(shape.parameters)}); wanted: nothing, or one argument for the context")


def _takes(shape: inspect.Signature, count: int) -> bool:
    try:
        shape.bind(*[None] * count)
    except TypeError:
        return False
    return True


def _nearest_module(home: Path, missing: str) -> str:
    parent, _, last = missing.rpartition(".")
    folders = list(getattr(sys.modules.get(parent), "__path__", [])) if parent else [str(home)]
    near = get_close_matches(last, [each.name for each in pkgutil.iter_modules(folders)], n=1)
    if near:
        return f"; did you mean '{f'{parent}.' if parent else ''}{near[0]}'?"
    return "; it is looked for in the project's folder and among the installed packages"


def _own_files(home: Path) -> list[str]:
    """The files below *home* that were imported: when one changes, everything is looked at again."""
    found = {getattr(each, "__file__", None) for name, each in list(sys.modules.items()) if _is_users(name)}
    return sorted(file for file in found if file and _is_below(home, file))[:FILES_MOST]


def _is_users(module_name: str) -> bool:
    return module_name != "__main__" and module_name.partition(".")[0] != "echopilot_jobs"


def _is_below(home: Path, file: str | None) -> bool:
    return bool(file) and "site-packages" not in str(file) and Path(str(file)).is_relative_to(home)


if __name__ == "__main__":
    main()
