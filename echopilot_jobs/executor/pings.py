"""Outside dead-man's switches: whoever watches from another machine is told of starts and ends.

The form is that of Healthchecks and its kin: `PING/start`, then `PING` or `PING/fail`, with the run's id as `rid`. The caller
announces only what a committed pass has written, so a wedged loop or a full disk silences the pings, and that is the alarm.
The address is a secret: it is in no log, no ledger and no error.
"""

from __future__ import annotations

import queue
import threading
import zlib
from uuid import UUID, uuid5

from echopilot_jobs.clock import Clock
from echopilot_jobs.jobs import Job
from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.records import record
from echopilot_jobs.runs import BAD_ENDS, Run, State

LANES = 4
WAITING_MOST = 100
_RID_SPACE = UUID("6f1f6a0e-3c1b-4f0e-9a37-0f1e5b1c7d52")


@record(frozen=True)
class News:
    """How the pings of a job fare, when that has changed: *error* is None when they arrive again."""

    job_name: str
    error: str | None


@record(frozen=True)
class _Ping:
    job_name: str
    address: str
    path: str
    rid: str
    body: str


class Pings:
    """Sends what is announced, those of one job in order, and never makes the caller wait.

    Each job has one of four lanes; a lane takes ten seconds for each of two tries. When a hundred wait in it already, a
    further one is given up and told so.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lanes: dict[int, queue.Queue[_Ping]] = {}
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._failing: set[str] = set()
        self._guard = threading.Condition()
        self._unsent = 0

    def announce(self, job: Job, run: Run) -> None:
        """Tell of *run* as it stands: its first attempt began, or it ended for good. Jobs without a ping are no news."""
        path = _path_of(run)
        if job.ping is None or path is None:
            return
        said = (run.error or "").strip().partition("\n")[0]
        body = f"{run.job_name}: {run.words}" + (f": {shorten(plain(said), 200)}" if said else "")
        rid = str(uuid5(_RID_SPACE, f"{run.idempotency_key}:{run.id}"))
        try:
            lane = self._lane_of(job.name)
        except RuntimeError:  # the machine gives no more threads: no reason to stop planning (F56)
            self._note(job.name, "no thread to send it with")
            return
        self._count(1)
        try:
            lane.put_nowait(_Ping(job.name, job.ping, path, rid, body))
        except queue.Full:
            self._count(-1)
            self._note(job.name, f"{WAITING_MOST} pings wait already")

    def wait_sent(self, seconds: float) -> bool:
        """Give what was announced *seconds* to leave, before a process ends; whether all of it did."""
        with self._guard:
            return self._guard.wait_for(lambda: not self._unsent, seconds)

    def news(self) -> list[News]:
        """What has changed since the last call, for the log."""
        found = []
        while not self._news.empty():
            found.append(self._news.get_nowait())
        return found

    def _lane_of(self, job_name: str) -> queue.Queue[_Ping]:
        number = zlib.crc32(job_name.encode()) % LANES
        if number not in self._lanes:
            lane: queue.Queue[_Ping] = queue.Queue(WAITING_MOST)
            threading.Thread(target=self._work, args=(lane,), name="pings", daemon=True).start()
            self._lanes[number] = lane
        return self._lanes[number]

    def _work(self, lane: queue.Queue[_Ping]) -> None:
        while True:
            ping = lane.get()
            try:
                from echopilot_jobs.executor import pinging  # not before the first claim, see `Executor.get_ready`

                error = pinging.send(ping.address, ping.path, ping.rid, ping.body, self._clock)
            except Exception as fault:  # one that cannot be sent must not silence those of other jobs
                error = type(fault).__name__  # its text may hold the address
            self._note(ping.job_name, error)
            self._count(-1)

    def _count(self, more: int) -> None:
        with self._guard:
            self._unsent += more
            self._guard.notify_all()

    def _note(self, job_name: str, error: str | None) -> None:
        with self._guard:
            was_failing = job_name in self._failing
            if error is not None:
                self._failing.add(job_name)
            else:
                self._failing.discard(job_name)
        if was_failing != (error is not None):
            self._news.put(News(job_name, error))


def _path_of(run: Run) -> str | None:
    if run.state is State.RUNNING:
        return "/start" if run.attempt == 1 else None
    if run.did_its_duty:
        return ""
    return "/fail" if run.state in BAD_ENDS else None
