"""One HTTP request as a run: a total deadline, a bounded answer, no redirects, no uninvited credentials.

`requests` counts its timeout per read, so a server that drips would never end. The exchange therefore happens in a thread
of its own while this one keeps the deadline; when it passes, the connection is shut under the exchange and the run ends.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from select import select
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from echopilot_jobs import __version__
from echopilot_jobs.backoff import wait_of
from echopilot_jobs.clock import Clock
from echopilot_jobs.context import RunContext
from echopilot_jobs.executor.cancel import Cancel
from echopilot_jobs.jobs import Http
from echopilot_jobs.runs import Outcome, Output, State

BODY_MOST_BYTES = 1024 * 1024
EXCERPT_BYTES = 4096
CONNECT_SECONDS = 10.0
READY_PROBE_SECONDS = 2.0
READY_PAUSE_SECONDS = 0.25


@dataclass(frozen=True)
class OwnWeb:
    """Our own web process: where it answers, and how to prove that we may ask. The key is called for late and never shown.

    *stopping* says that the scheduler is on its way out, so that nobody waits for a web that is stopping too.
    """

    base_url: str
    key: Callable[[], str]
    stopping: Callable[[], bool] = lambda: False


def perform(
    action: Http, context: RunContext, seconds: float, own_web: OwnWeb, cancel: Cancel, clock: Clock
) -> Outcome:
    """Send the request and describe the answer within *seconds* in total, waiting for our own web to come up included."""
    deadline = clock.monotonic() + seconds
    own = action.url.startswith("/")
    url = own_web.base_url + action.url if own else action.url
    headers = {
        "User-Agent": f"echopilot-jobs/{__version__}",
        "Accept": "application/json, */*;q=0.1",
        **context.headers(),
    }
    if own:
        if not _wait_until_ready(own_web, deadline, cancel, clock):
            return _given_up(
                cancel.asked or own_web.stopping(),
                f"our own web at {own_web.base_url} did not answer within {seconds:g} s",
            )
        headers["X-Dash-Key"] = own_web.key()
    exchange = _Exchange(action.method, url, headers, deadline, clock)
    exchange.start()
    exchange.wait(cancel)
    if exchange.outcome is None:
        exchange.abort()
        return _given_up(cancel.asked, f"{_place(url)} had not answered in full after {seconds:g} s")
    return exchange.outcome


def _given_up(was_asked: bool, error: str) -> Outcome:
    if was_asked:
        return Outcome(State.CANCELLED, error="it was asked to stop", interrupted=True)
    return Outcome(State.TIMED_OUT, error=error)


def _wait_until_ready(own_web: OwnWeb, deadline: float, cancel: Cancel, clock: Clock) -> bool:
    """Ask `/livez` until it answers 200: at start-up both processes begin at once, and the web may be the slower one."""
    with _session() as session:
        while not (cancel.asked or own_web.stopping()) and (left := deadline - clock.monotonic()) > 0:
            try:
                if session.get(f"{own_web.base_url}/livez", timeout=min(left, READY_PROBE_SECONDS)).status_code == 200:
                    return True
            except requests.RequestException:
                pass
            select([cancel], [], [], min(left, READY_PAUSE_SECONDS))
    return False


def _session() -> requests.Session:
    """A session that takes nothing from its surroundings: no netrc, no proxies, no stored cookies (S21)."""
    session = requests.Session()
    session.trust_env = False
    return session


class _Line:
    """The socket of an exchange, so that another thread can cut it.

    Closing the response would wait for the very read that has to be ended; shutting the socket down ends that read.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._is_cut = False

    def adapter(self) -> HTTPAdapter:
        """A transport for one session whose connections report their socket here."""
        line = self

        class Plain(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                line.hold(self.sock)

        class Tls(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                line.hold(self.sock)

        adapter = HTTPAdapter()
        pools = {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}
        kinds = {"http": Plain, "https": Tls}
        adapter.poolmanager.pool_classes_by_scheme = {
            scheme: type("Pool", (pool,), {"ConnectionCls": kinds[scheme]}) for scheme, pool in pools.items()
        }
        return adapter

    def hold(self, connected: socket.socket | None) -> None:
        """Remember the socket; cut it at once if that was asked for while it was connecting."""
        self._socket = connected
        if self._is_cut:
            self.cut()

    def cut(self) -> None:
        """End whatever the exchange is waiting for."""
        self._is_cut = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class _Exchange:
    """One request and its answer, in a daemon thread that the deadline can cut off."""

    def __init__(self, method: str, url: str, headers: dict[str, str], deadline: float, clock: Clock) -> None:
        self._request = (method, url, headers)
        self._deadline = deadline
        self._clock = clock
        self._done = Cancel()  # the same kind of bell, rung by the exchange itself
        self._line = _Line()
        self.outcome: Outcome | None = None

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"http {_place(self._request[1])}", daemon=True).start()

    def wait(self, cancel: Cancel) -> None:
        """Return when the exchange has ended, the deadline has passed or somebody cancelled."""
        left = self._deadline - self._clock.monotonic()
        select([self._done, cancel], [], [], max(left, 0.0))

    def abort(self) -> None:
        """Cut the connection, so that the thread ends too."""
        self._line.cut()

    def _run(self) -> None:
        try:
            self.outcome = self._exchange()
        except requests.RequestException as error:
            self.outcome = Outcome(State.FAILED, error=_cause(error, self._request[1]))
        except Exception as error:  # urllib3 and http.client let a few of their own through on hostile answers
            self.outcome = Outcome(State.FAILED, error=f"{_place(self._request[1])}: {type(error).__name__}: {error}")
        finally:
            self._done.ask()

    def _exchange(self) -> Outcome:
        method, url, headers = self._request
        left = max(self._deadline - self._clock.monotonic(), 0.1)
        with _session() as session:
            session.mount("http://", self._line.adapter())
            session.mount("https://", self._line.adapter())
            # A second longer than the deadline, so that the deadline itself, and not this, ends what is too slow.
            timeout = (min(CONNECT_SECONDS, left + 1), left + 1)
            with session.request(
                method, url, headers=headers, stream=True, allow_redirects=False, timeout=timeout
            ) as answer:
                return _judge(answer, self._read(answer), self._clock.now())

    def _read(self, answer: requests.Response) -> bytes:
        body = bytearray()
        for chunk in answer.iter_content(8192):
            body += chunk
            if len(body) >= BODY_MOST_BYTES or self._clock.monotonic() >= self._deadline:
                break
        return bytes(body[:BODY_MOST_BYTES])


def _judge(answer: requests.Response, body: bytes, now: datetime) -> Outcome:
    good = 200 <= answer.status_code < 300
    excerpt = Output(
        head=body[:EXCERPT_BYTES].decode("utf-8", "replace"), dropped_bytes=max(len(body) - EXCERPT_BYTES, 0)
    )
    return Outcome(
        State.SUCCEEDED if good else State.FAILED,
        error=None if good else f"HTTP {answer.status_code} {answer.reason}".strip(),
        result=_json(body),
        http_status=answer.status_code,
        output=excerpt,
        retry_after=_wished_wait(answer, now),
    )


def _wished_wait(answer: requests.Response, now: datetime) -> timedelta | None:
    """What `Retry-After` of a 429 or 503 asks for, as seconds or as a date (RFC 9110, 10.2.3); nonsense is no wish."""
    wish = answer.headers.get("Retry-After", "").strip()
    if answer.status_code not in (429, 503) or not wish:
        return None
    if wish.isascii() and wish.isdecimal():
        return wait_of(float(wish[:20]))
    try:
        moment = parsedate_to_datetime(wish)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return wait_of((aware - now).total_seconds())


def _json(body: bytes) -> Any:
    """The answer as JSON when it is small and is JSON."""
    if len(body) > EXCERPT_BYTES:
        return None
    try:
        return json.loads(body, parse_constant=str)
    except (ValueError, RecursionError):
        return None


def _cause(error: requests.RequestException, url: str) -> str:
    """What went wrong in one line that names the host and port, never the query or credentials."""
    words = {
        requests.exceptions.SSLError: "TLS failed",
        requests.exceptions.ConnectTimeout: "no connection in time",
        requests.exceptions.ReadTimeout: "no answer in time",
        requests.exceptions.ConnectionError: "no connection",
    }
    said = next((text for kind, text in words.items() if isinstance(error, kind)), type(error).__name__)
    return f"{_place(url)}: {said}"


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
