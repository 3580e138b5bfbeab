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
from contextlib import closing
from dataclasses import dataclass
from uuid import UUID, uuid5

from echopilot_jobs.addresses import is_private
from echopilot_jobs.clock import Clock
from echopilot_jobs.executor.cancel import Cancel
from echopilot_jobs.executor.exchange import Exchange, Request, host_of
from echopilot_jobs.jobs import Job
from echopilot_jobs.placeholders import Unfilled, fill
from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.runs import BAD_ENDS, Outcome, Run, State

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
        self._guard = threading.Condition()
        self._unsent = 0

    def announce(self, job: Job, run: Run) -> None:
        """Tell of *run* as it stands: its first attempt began, or it ended for good. Jobs without a ping are no news."""
        path = _path_of(run)
        if job.ping is None or path is None:
            return
        said = (run.error or "").strip().partition("\n")[0]
        body = f"{run.job_name}: {run.state.words}" + (f": {shorten(plain(said), 200)}" if said else "")
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
                error = self._send(ping)
            except Exception as fault:  # one that cannot be sent must not silence those of other jobs
                error = type(fault).__name__  # its text may hold the address
            self._note(ping.job_name, error)
            self._count(-1)

    def _count(self, more: int) -> None:
        with self._guard:
            self._unsent += more
            self._guard.notify_all()

    def _send(self, ping: _Ping) -> str | None:
        """None when it arrived, else why not."""
        try:
            request = request_of(ping.address, ping.path, ping.rid, ping.body, os.environ)
        except Unfilled as error:
            return str(error)
        why = None
        for _ in range(TRIES):
            with closing(Cancel()) as never:
                outcome = Exchange(request, self._clock.monotonic() + PATIENCE_SECONDS, self._clock).run(never)
            if outcome is not None and outcome.state is State.SUCCEEDED:
                return None
            why = _why(outcome, request)
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
    # What an error says beside our own words may hold the address: nothing of it is let out.
    return Request(
        "POST", url, headers, body.encode(), allow_private=is_private(host_of(url)), hide=lambda _text: "not shown"
    )


def _path_of(run: Run) -> str | None:
    if run.state is State.RUNNING:
        return "/start" if run.attempt == 1 else None
    if run.state is State.SUCCEEDED or run.had_nothing_to_do:
        return ""  # a job that found nothing to do has done its duty
    return "/fail" if run.state in BAD_ENDS else None


def _why(outcome: Outcome | None, request: Request) -> str:
    """Why a try failed, in words of ours alone: what the other side says may hold the address."""
    if outcome is None:
        return f"no answer within {PATIENCE_SECONDS:g} s"
    if outcome.http_status is not None:
        return f"HTTP {outcome.http_status}"
    said = (outcome.error or "").removeprefix(f"{request.place}: ")
    if said.startswith(f"'{host_of(request.url)}' is at "):
        return "its host leads to a private address; wanted: a public one, or that address itself in the ping"
    return said
