"""Users' modules imported in a child process with a deadline: nothing of theirs ever runs in the process that asks."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess  # nosec B404  # importing users' code somewhere else is what this module is for
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from echopilot_jobs.clock import SystemClock
from echopilot_jobs.executor.starting import allowed_environment
from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.processes import MARK, PROJECT_ROOT, end_marked, end_tree, is_frozen, this_process
from echopilot_jobs.records import record

DEADLINE_SECONDS = 10.0
CHILDREN_MOST = 3  # one that ends or hangs the child is left out of the next
ANSWER_MOST_BYTES = 8 * 1024 * 1024
OUTPUT_KEPT = 4096
SCRIPT = Path(__file__).with_name("child.py")


@record(frozen=True)
class Item:
    """One thing to import: a *module* whose declarations are wanted, or a *target* with the variables its job has."""

    module: str | None = None
    target: str | None = None
    env: Mapping[str, str] = field(default_factory=dict, hash=False)

    def as_dict(self) -> dict[str, Any]:
        """As the child reads it."""
        return {"module": self.module} if self.module else {"target": self.target, "env": dict(self.env)}


@record(frozen=True)
class Answer:
    """What came of one item. *declared*: the jobs of the modules up to this one, *refused*: why some of them cannot run."""

    problem: str | None = None
    warning: str | None = None
    declared: tuple[dict[str, Any], ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass
class Answers:
    """What came of all items, in their order, and the files of the user's that were read on the way."""

    by_item: dict[int, Answer] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


def import_all(home: Path, items: Sequence[Item], deadline: float = DEADLINE_SECONDS) -> Answers:
    """Import every item, in one child as long as none of them breaks it; *deadline* seconds for each child."""
    answers = Answers()
    for _ in range(CHILDREN_MOST):
        left = {number: item for number, item in enumerate(items) if number not in answers.by_item}
        if not left:
            return answers
        _Child(home, left, answers).listen(deadline)
    for number in range(len(items)):
        answers.by_item.setdefault(number, Answer("not looked at, because the imports before it broke off"))
    return answers


class _Child:
    """One child and what it says. Nothing it started is left when `listen` returns."""

    def __init__(self, home: Path, items: Mapping[int, Item], answers: Answers) -> None:
        self._numbers = list(items)
        self._items = items
        self._answers = answers
        self._begun: int | None = None
        self._status: int | None = None  # of the process that imports; its watcher tells it
        self._is_frozen = False
        self._said = bytearray()
        self._printed = bytearray()
        self._mark = f"{this_process()}/check"
        self._answer, write = os.pipe()
        os.set_blocking(self._answer, False)
        asked = {"home": str(home), "items": [item.as_dict() for item in items.values()]}
        try:
            with _in_memory(json.dumps(asked).encode()) as stdin:  # may hold what a job's variables are filled with
                self._process = subprocess.Popen(  # nosec B603  # our own script
                    [sys.executable, "-P", str(SCRIPT)],
                    stdin=stdin,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env=_environment(self._mark, write),
                    cwd=home,
                    pass_fds=(write,),
                    start_new_session=True,
                )
        except BaseException:
            os.close(self._answer)
            raise
        finally:
            os.close(write)

    def listen(self, deadline: float) -> None:
        """Take in what it says until it ends or *deadline* seconds have passed; end it and all it started."""
        try:
            in_time = self._exchange(deadline)
            self._is_frozen = is_frozen(self._process.pid)
        finally:
            self._sweep()
        for line in bytes(self._said).split(b"\n"):
            with contextlib.suppress(ValueError):
                self._note(json.loads(line))
        if self._begun is not None:
            self._answers.by_item[self._begun] = Answer(self._broken_off(self._items[self._begun], in_time, deadline))
        elif any(number not in self._answers.by_item for number in self._numbers):
            self._blame_all(in_time, deadline)

    def _exchange(self, deadline: float) -> bool:
        """Read until the child has ended; False when time ran out first.

        Not until its pipes end: something that an import forked may hold them open for ever.
        """
        clock = SystemClock()
        until = clock.monotonic() + deadline
        stdout = self._process.stdout
        if stdout is None:
            raise AssertionError("stdout was asked to be a pipe")
        os.set_blocking(stdout.fileno(), False)
        ended = os.pidfd_open(self._process.pid)
        try:
            with selectors.DefaultSelector() as selector:
                for descriptor in (stdout.fileno(), self._answer, ended):
                    selector.register(descriptor, selectors.EVENT_READ)
                while (left := until - clock.monotonic()) > 0:
                    ready = {key.fd for key, _ in selector.select(left)}
                    for descriptor in ready - {ended}:
                        if not self._take(descriptor):
                            selector.unregister(descriptor)
                    if ended in ready and self._answer not in ready:
                        return True
                return False
        finally:
            os.close(ended)

    def _take(self, descriptor: int) -> bool:
        """Read what waits; False when nothing will come any more."""
        data = os.read(descriptor, 65_536)
        if descriptor != self._answer:
            self._printed = (self._printed + data)[-OUTPUT_KEPT:]
        elif len(self._said) < ANSWER_MOST_BYTES:
            self._said += data
        return bool(data)

    def _sweep(self) -> None:
        """End whatever is left: its tree, and what left that and still carries the mark."""
        end_tree(self._process.pid, 0)
        end_marked(self._mark)
        self._process.wait()
        os.close(self._answer)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _note(self, facts: dict[str, Any]) -> None:
        if "begin" in facts:
            self._begun = self._numbers[facts["begin"]]
        elif "end" in facts:
            self._begun = None
            declared = tuple(facts.get("declared", ()))
            answer = Answer(facts.get("problem"), facts.get("warning"), declared, facts.get("refused", {}))
            self._answers.by_item[self._numbers[facts["end"]]] = answer
        elif "status" in facts:
            self._status = facts["status"]
        elif "files" in facts:
            self._answers.files = tuple({*self._answers.files, *map(Path, facts["files"])})

    def _broken_off(self, item: Item, in_time: bool, deadline: float) -> str:
        """Why *item* was begun and never ended."""
        name = item.module or str(item.target).partition(":")[0]
        if self._is_frozen:
            return f"importing '{name}' stops the process that watches it (SIGSTOP); leave other processes alone there"
        if not in_time:
            return f"importing '{name}' did not end within {deadline:g} s; move that work into the function"
        if self._status is None:
            how = _ending(self._process.returncode)
            return f"importing '{name}' ends the process that watches it ({how}); leave other processes alone there"
        return f"importing '{name}' ends the process ({_ending(self._status)}); keep that under `if __name__`"

    def _blame_all(self, in_time: bool, deadline: float) -> None:
        """The child ended outside of every item: that is nobody's module, so all that is left is told of."""
        status = self._process.returncode if self._status is None else self._status
        how = f"ended with {_ending(status)}" if in_time else f"did not answer within {deadline:g} s"
        words = shorten(plain(bytes(self._printed).decode("utf-8", "replace").strip().rpartition("\n")[2]), 200)
        problem = f"the process that imports it {how}{f': {words}' if words else ''}"
        for number in self._numbers:
            self._answers.by_item.setdefault(number, Answer(problem))


def _ending(status: int) -> str:
    return f"exit status {status}" if status >= 0 else f"signal {-status}"


@contextlib.contextmanager
def _in_memory(content: bytes) -> Iterator[int]:
    """A descriptor to read *content* from, which is never on a disk."""
    descriptor = os.memfd_create("check", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _environment(mark: str, descriptor: int) -> dict[str, str]:
    """What a job's child has, without any secret of ours."""
    kept = allowed_environment()
    path = os.pathsep.join(filter(None, [str(PROJECT_ROOT), kept.get("PYTHONPATH")]))
    ours = {MARK: mark, "ECHOPILOT_PARENT": str(os.getpid()), "ECHOPILOT_RESULT_FD": str(descriptor)}
    return {**kept, **ours, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
