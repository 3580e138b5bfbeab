"""An HTTP request as a run: a total deadline, a bounded answer, no uninvited credentials, no unwelcome peer.

`requests` counts its timeout per read, so a server that drips would never end. The exchange therefore happens in a thread
of its own while this one keeps the deadline, the lookup of the name included; when it passes, the connection is shut under
the exchange and the run ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from select import select
from typing import Any

import requests

from echopilot_jobs import __version__
from echopilot_jobs.clock import Clock
from echopilot_jobs.context import RunContext
from echopilot_jobs.executor.cancel import Cancel
from echopilot_jobs.executor.exchange import Exchange, Request
from echopilot_jobs.executor.line import bare_session
from echopilot_jobs.executor.own_web import OwnWeb
from echopilot_jobs.jobs import Http
from echopilot_jobs.placeholders import Hider, fill
from echopilot_jobs.runs import Outcome, State

READY_PROBE_SECONDS = 2.0
READY_PAUSE_SECONDS = 0.25


def perform(
    action: Http, context: RunContext, seconds: float, own_web: OwnWeb, cancel: Cancel, clock: Clock
) -> Outcome:
    """Send the request and describe the answer within *seconds* in total, waiting for our own web to come up included.

    Raises `Unfilled` before anything is sent when a `${NAME}` of the definition has no value.
    """
    deadline = clock.monotonic() + seconds
    request = request_of(action, context, os.environ)
    if action.is_own:
        if not _wait_until_ready(own_web, deadline, cancel, clock):
            return _given_up(
                cancel.asked or own_web.stopping(),
                f"our own web at {own_web.base_url} did not answer within {seconds:g} s",
            )
        request = _to_own_web(request, own_web)
    outcome = Exchange(request, deadline, clock).run(cancel)
    return outcome or _given_up(cancel.asked, f"{request.place} had not answered in full after {seconds:g} s")


def request_of(action: Http, context: RunContext, environ: Mapping[str, str]) -> Request:
    """The request of one attempt, every `${NAME}` filled from *environ*. Raises `Unfilled`."""
    headers = {
        "User-Agent": f"echopilot-jobs/{__version__}",
        "Accept": "application/json, */*;q=0.1",
        **({"Content-Type": "application/json"} if action.json is not None else {}),
    }
    named = {name.lower(): name for name in headers}
    for name, value in action.headers.items():  # what the definition says takes the place of ours
        headers.pop(named.get(name.lower(), ""), None)
        headers[name] = fill(value, environ)
    return Request(
        action.method,
        action.url,
        {**headers, **context.headers()},
        _body(action, environ),
        action.expect,
        action.contains,
        action.redirects,
        action.allow_private,
        Hider(action.secret_names, environ),
    )


def _body(action: Http, environ: Mapping[str, str]) -> bytes | None:
    if action.json is not None:
        return json.dumps(_filled(action.json, environ)).encode()
    return None if action.body is None else fill(action.body, environ).encode()


def _filled(value: Any, environ: Mapping[str, str]) -> Any:
    """JSON with every text in it filled: a value's own quotes cannot become part of the JSON."""
    match value:
        case str():
            return fill(value, environ)
        case list():
            return [_filled(item, environ) for item in value]
        case dict():
            return {key: _filled(item, environ) for key, item in value.items()}
    return value


def _to_own_web(request: Request, own_web: OwnWeb) -> Request:
    headers = {**request.headers, "X-Dash-Key": own_web.key()}
    return replace(request, url=own_web.base_url + request.url, headers=headers, redirects=0, allow_private=True)


def _given_up(was_asked: bool, error: str) -> Outcome:
    if was_asked:
        return Outcome(State.CANCELLED, error="it was asked to stop", interrupted=True)
    return Outcome(State.TIMED_OUT, error=error)


def _wait_until_ready(own_web: OwnWeb, deadline: float, cancel: Cancel, clock: Clock) -> bool:
    """Ask `/livez` until it answers 200: at start-up both processes begin at once, and the web may be the slower one."""
    with bare_session() as session:
        while not (cancel.asked or own_web.stopping()) and (left := deadline - clock.monotonic()) > 0:
            try:
                if session.get(f"{own_web.base_url}/livez", timeout=min(left, READY_PROBE_SECONDS)).status_code == 200:
                    return True
            except requests.RequestException:
                pass
            select([cancel], [], [], min(left, READY_PAUSE_SECONDS))
    return False
