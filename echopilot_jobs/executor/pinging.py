"""One ping sent: two tries of ten seconds, and why neither arrived, in words of ours alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing

from echopilot_jobs.addresses import is_private
from echopilot_jobs.clock import Clock
from echopilot_jobs.executor.cancel import Cancel
from echopilot_jobs.executor.exchange import Exchange, Request, host_of
from echopilot_jobs.placeholders import Unfilled, fill
from echopilot_jobs.runs import Outcome, State

PATIENCE_SECONDS = 10.0
TRIES = 2


def send(address: str, path: str, rid: str, body: str, clock: Clock) -> str | None:
    """None when the ping arrived, else why not."""
    try:
        request = request_of(address, path, rid, body, os.environ)
    except Unfilled as error:
        return str(error)
    why = None
    for _ in range(TRIES):
        with closing(Cancel()) as never:
            outcome = Exchange(request, clock.monotonic() + PATIENCE_SECONDS, clock).run(never)
        if outcome is not None and outcome.state is State.SUCCEEDED:
            return None
        why = _why(outcome, request)
    return why


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
