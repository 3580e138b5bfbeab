"""Outside dead-man's switches: whoever watches from another machine is told of starts and ends.

The form is that of Healthchecks and its kin: `PING/start`, then `PING` or `PING/fail`, with the run's id as `rid`. The caller
announces only what a committed pass has written, so a wedged loop or a full disk silences the pings, and that is the alarm.
The address is a secret: it is in no log, no ledger and no error.
"""

from __future__ import annotations

import os
import queue
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID, uuid5

from echopilot_jobs.addresses import is_private
from echopilot_jobs.clock import Clock
from echopilot_jobs.context import SKIPPED
from echopilot_jobs.executor.cancel import Cancel
from echopilot_jobs.executor.exchange import Exchange, Request, host_of
from echopilot_jobs.jobs import Job
from echopilot_jobs.placeholders import Unfilled, fill
from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.runs import BAD_ENDS, Run, State

LANES = 4
WAITING_MOST = 100
PATIENCE_SECONDS = 10.0
TRIES = 2
_RID_SPACE = UUID("6f1f6a0e-3c1b-4f0e-9a37-0f1e5b1c7d52")


@dataclass(frozen=True)
class News:
    """How the pings of a job fare, when that has changed: *error* is None when they arrive again."""

    job_name: str
    error: str | None


@dataclass(frozen=True)
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
        self._guard = threading.Lock()

    def announce(self, job: Job, run: Run) -> None:
        """Tell of *run* as it stands: its first attempt began, or it ended for good. Jobs without a ping are no news."""
        path = _path_of(run)
        if job.ping is None or path is None:
            return
        body = f"{run.job_name}: {run.state.value}" + (f": {shorten(plain(run.error), 200)}" if run.error else "")
        rid = str(uuid5(_RID_SPACE, f"{run.idempotency_key}:{run.id}"))
        try:
            self._lane_of(job.name).put_nowait(_Ping(job.name, job.ping, path, rid, body))
        except queue.Full:
            self._note(job.name, f"{WAITING_MOST} pings wait already")

    def news(self) -> list[News]:
        """What has changed since the last call, for the log."""
        found = []
        while not self._news.empty():
            found.append(self._news.get_nowait())
        return found

    def _lane_of(self, job_name: str) -> queue.Queue[_Ping]:
        number = zlib.crc32(job_name.encode()) % LANES
        if number not in self._lanes:
            self._lanes[number] = queue.Queue(WAITING_MOST)
            threading.Thread(target=self._work, args=(self._lanes[number],), name="pings", daemon=True).start()
        return self._lanes[number]

    def _work(self, lane: queue.Queue[_Ping]) -> None:
        while True:
            ping = lane.get()
            self._note(ping.job_name, self._send(ping))

    def _send(self, ping: _Ping) -> str | None:
        """None when it arrived, else why not."""
        try:
            request = request_of(ping.address, ping.path, ping.rid, ping.body, os.environ)
        except Unfilled as error:
            return str(error)
        why = ""
        for _ in range(TRIES):
            never = Cancel()
            outcome = Exchange(request, self._clock.monotonic() + PATIENCE_SECONDS, self._clock).run(never)
            never.close()
            if outcome is not None and outcome.state is State.SUCCEEDED:
                return None
            why = _without_address(outcome.error if outcome else f"no answer within {PATIENCE_SECONDS:g} s", request)
        return why

    def _note(self, job_name: str, error: str | None) -> None:
        with self._guard:
            was_failing = job_name in self._failing
            if error is not None:
                self._failing.add(job_name)
            else:
                self._failing.discard(job_name)
        if was_failing != (error is not None):
            self._news.put(News(job_name, error))


def request_of(address: str, path: str, rid: str, body: str, environ: Mapping[str, str]) -> Request:
    """The ping to *address* with *path* after it. Raises `Unfilled`.

    The operator chose the place, so one that says itself that it is private may be asked; a name that leads there may not.
    """
    base, _, query = fill(address, environ).partition("?")
    url = f"{base.rstrip('/')}{path}?{f'{query}&' if query else ''}rid={rid}"
    headers = {"User-Agent": "echopilot-jobs", "Content-Type": "text/plain; charset=utf-8"}
    return Request("POST", url, headers, body.encode(), allow_private=is_private(host_of(url)))


def _path_of(run: Run) -> str | None:
    if run.state is State.RUNNING:
        return "/start" if run.attempt == 1 else None
    if run.state is State.SUCCEEDED or (run.error or "").startswith(SKIPPED):
        return ""  # a job that found nothing to do has done its duty
    return "/fail" if run.state in BAD_ENDS else None


def _without_address(error: str | None, request: Request) -> str:
    return (error or "no reason given").removeprefix(f"{request.place}: ").replace(request.place, "it")
