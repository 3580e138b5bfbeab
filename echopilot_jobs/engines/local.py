"""The engine of one machine: a few threads, each minding one child process or HTTP exchange."""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from echopilot_jobs.engines import Ended
from echopilot_jobs.executor import Cancel, Executor
from echopilot_jobs.jobs import Job
from echopilot_jobs.runs import Run

WORKERS = 8


class LocalEngine:
    """Keeps the promises of `engines.Engine`. *ring* is called from a worker thread whenever a run has ended.

    The threads live as long as the engine: the kernel's parent-death signal means the thread that started a child, so a
    pool that let idle threads go would kill children with them.
    """

    def __init__(self, executor: Executor, ring: Callable[[], None], workers: int = WORKERS) -> None:
        self._executor = executor
        self._ring = ring
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="run")
        self._ended: queue.SimpleQueue[Ended] = queue.SimpleQueue()
        self._cancels: dict[int, Cancel] = {}

    @property
    def free(self) -> int:
        return self._workers - len(self._cancels)

    @property
    def busy(self) -> int:
        return len(self._cancels)

    def submit(self, job: Job, run: Run) -> None:
        cancel = self._cancels[run.id] = Cancel()
        self._pool.submit(self._carry_out, job, run, cancel)

    def collect(self) -> list[Ended]:
        ended = []
        while not self._ended.empty():
            ended.append(item := self._ended.get_nowait())
            self._cancels.pop(item.run.id).close()
        return ended

    def cancel(self, run_id: int) -> None:
        if run_id in self._cancels:
            self._cancels[run_id].ask()

    def cancel_all(self) -> None:
        for cancel in self._cancels.values():
            cancel.ask()

    def _carry_out(self, job: Job, run: Run, cancel: Cancel) -> None:
        self._ended.put(Ended(job, run, self._executor.carry_out(job, run, cancel)))
        self._ring()
