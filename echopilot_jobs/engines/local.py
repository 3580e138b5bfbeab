"""The engine of one machine: a few threads, each minding one child process or HTTP exchange."""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from echopilot_jobs.engines import PLACES, Ended, Note
from echopilot_jobs.executor import Cancel, Executor, Heard
from echopilot_jobs.jobs import Job
from echopilot_jobs.runs import Outcome, Run, State


class LocalEngine:
    """Keeps the promises of `engines.Engine`. *ring* is called from a worker when a run has ended or said something."""

    def __init__(self, executor: Executor, ring: Callable[[], None], workers: int = PLACES) -> None:
        self._executor = executor
        self._ring = ring
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="run")
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._notes: queue.SimpleQueue[Note] = queue.SimpleQueue()
        self._cancels: dict[int, Cancel] = {}
        self._cut_off = 0
        executor.warm()

    @property
    def free(self) -> int:
        return self._workers - len(self._cancels)

    @property
    def busy(self) -> int:
        return len(self._cancels)

    @property
    def cut_off(self) -> int:
        """How many of those given back were asked to stop before they ended by themselves."""
        return self._cut_off

    def submit(self, job: Job, run: Run) -> None:
        try:
            cancel = self._cancels[run.id] = Cancel()
            self._pool.submit(self._carry_out, job, run, cancel)
        except (OSError, RuntimeError) as error:  # no descriptor, no thread: the run has failed, the scheduler goes on
            self._ended.put(Ended(job, run, Outcome(State.FAILED, error=f"it could not be started: {error}")))
            self._ring()

    def collect(self) -> list[Ended]:
        ended = []
        while not self._ended.empty():
            ended.append(item := self._ended.get_nowait())
            if cancel := self._cancels.pop(item.run.id, None):
                cancel.close()
        self._cut_off += sum(item.outcome.interrupted for item in ended)
        return ended

    def notes(self) -> list[Note]:
        notes = []
        while not self._notes.empty():
            notes.append(self._notes.get_nowait())
        return notes

    def cancel(self, run_id: int) -> None:
        if run_id in self._cancels:
            self._cancels[run_id].ask()

    def cancel_all(self) -> None:
        for cancel in self._cancels.values():
            cancel.ask()

    def close(self) -> None:
        """Take no more runs and wait for those that are out."""
        self._pool.shutdown()

    def _carry_out(self, job: Job, run: Run, cancel: Cancel) -> None:
        def hear(heard: Heard) -> None:
            self._notes.put(Note(run, heard))
            self._ring()

        self._ended.put(Ended(job, run, self._executor.carry_out(job, run, cancel, hear)))
        self._ring()
