"""One request and its answer, in a thread of its own that the deadline can cut off, and what the answer comes to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from select import select
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from echopilot_jobs.backoff import wait_of
from echopilot_jobs.clock import Clock
from echopilot_jobs.executor.cancel import Cancel
from echopilot_jobs.executor.causes import cause_of
from echopilot_jobs.executor.line import Line, PrivatePeer
from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.records import record
from echopilot_jobs.runs import Outcome, Output, State

BODY_MOST_BYTES = 1024 * 1024
EXCERPT_BYTES = 4096
CONNECT_SECONDS = 10.0
REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}


@record(frozen=True)
class Request:
    """What is sent, placeholders filled, and what is wanted back: see `jobs.Http`.

    *hide* takes what was filled in out of a text. It must see the text whole: half a secret would be one it does not know.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    expect: tuple[int, ...] = ()
    contains: str | None = None
    redirects: int = 0
    allow_private: bool = False
    hide: Callable[[str], str] = str
    steps: tuple[str, ...] = ()  # the addresses that led here

    @property
    def place(self) -> str:
        """The address without what may be a secret: no credentials, no query."""
        return place_of(self.url)

    def follow(self, location: str, status: int) -> Request:
        """The request a redirect asks for. Raises `Unfollowed` with the reason it is not made."""
        try:
            url = urljoin(self.url, location)
            is_same = _is_same_place(self.url, url)
        except ValueError:
            raise Unfollowed("redirected to what is no address") from None
        to = self.hide(place_of(url))
        if len(self.steps) >= self.redirects:
            raise Unfollowed(f"redirected once more, to {to}; allowed: {self.redirects}")
        if not is_same:
            raise Unfollowed(
                f"redirected to {to}, another place; wanted: the same scheme, host and port, or https in place of http"
            )
        keeps = status in (307, 308) or self.method in ("GET", "HEAD")
        method, body = (self.method, self.body) if keeps else ("GET", None)
        return replace(self, method=method, url=url, body=body, steps=(*self.steps, self.url))


class Unfollowed(Exception):
    """A redirect that is not followed, and why."""


class Exchange:
    """Started once, waited for once. *outcome* stays None when the wait ended first."""

    def __init__(self, request: Request, deadline: float, clock: Clock) -> None:
        self._request = request
        self._deadline = deadline
        self._clock = clock
        self._bell = Cancel()  # the same kind of bell, rung by the exchange itself
        self._line = Line(allow_private=request.allow_private)
        self._guard = threading.Lock()
        self._users = 2  # this side and the thread: the last one out closes the bell
        self.outcome: Outcome | None = None

    def run(self, cancel: Cancel) -> Outcome | None:
        """The outcome; None when the deadline passed or somebody cancelled first. The connection is cut then."""
        threading.Thread(target=self._work, name=f"http {self._request.place}", daemon=True).start()
        left = self._deadline - self._clock.monotonic()
        select([self._bell, cancel], [], [], max(left, 0.0))
        found = self.outcome
        if found is None:
            self._line.cut()
        self._leave()
        return found

    def _leave(self) -> None:
        with self._guard:
            self._users -= 1
            if not self._users:
                self._bell.close()

    def _work(self) -> None:
        place = self._request.place
        try:
            self.outcome = self._exchange()
        except (PrivatePeer, Unfollowed) as error:
            self.outcome = Outcome(State.FAILED, error=f"{place}: {error}")
        except Exception as error:  # urllib3 and http.client let a few of their own through on hostile answers
            said = cause_of(error) or f"{type(error).__name__}: {shorten(plain(self._request.hide(str(error))), 200)}"
            self.outcome = Outcome(State.FAILED, error=f"{place}: {said}")
        finally:
            self._bell.ask()
            self._leave()

    def _exchange(self) -> Outcome:
        wanted = self._request
        with self._line.session() as session:
            while True:
                with self._ask(session, wanted) as answer:
                    location = answer.headers.get("Location", "")
                    if not (wanted.redirects and answer.status_code in REDIRECTS and location):
                        return judged(wanted, answer, self._read(answer), self._clock.now())
                    wanted = wanted.follow(location, answer.status_code)

    def _ask(self, session: requests.Session, wanted: Request) -> requests.Response:
        left = max(self._deadline - self._clock.monotonic(), 0.1)
        # A second longer than the deadline, so that the deadline itself, and not this, ends what is too slow.
        timeout = (min(CONNECT_SECONDS, left + 1), left + 1)
        return session.request(
            wanted.method,
            wanted.url,
            headers=dict(wanted.headers),
            data=wanted.body,
            stream=True,
            allow_redirects=False,
            timeout=timeout,
        )

    def _read(self, answer: requests.Response) -> bytes:
        body = bytearray()
        for chunk in answer.iter_content(8192):
            body += chunk
            if len(body) >= BODY_MOST_BYTES or self._clock.monotonic() >= self._deadline:
                break
        return bytes(body[:BODY_MOST_BYTES])


def judged(wanted: Request, answer: requests.Response, body: bytes, now: datetime) -> Outcome:
    """What an answer comes to: its status first, then what its body was to hold."""
    text = wanted.hide(body.decode("utf-8", "replace"))  # before anything is cut
    wrong = _wrong_status(wanted, answer) or _wrong_body(wanted, body, text)
    excerpt = Output(
        head=text.encode()[:EXCERPT_BYTES].decode("utf-8", "ignore"), dropped_bytes=max(len(body) - EXCERPT_BYTES, 0)
    )
    return Outcome(
        State.FAILED if wrong else State.SUCCEEDED,
        error=wrong,
        result=_json(body),
        http_status=answer.status_code,
        output=excerpt,
        retry_after=_wished_wait(answer, now),
    )


def _wrong_status(wanted: Request, answer: requests.Response) -> str | None:
    status = answer.status_code
    if status in wanted.expect or (not wanted.expect and 200 <= status < 300):
        return None
    said = f"HTTP {status} {shorten(plain(wanted.hide(answer.reason or '')), 80)}".strip()
    return f"{said}; wanted: {', '.join(map(str, wanted.expect[:10]))}" if wanted.expect else said


def _wrong_body(wanted: Request, body: bytes, text: str) -> str | None:
    if wanted.contains is None or wanted.contains.encode() in body:
        return None
    came = f"one that begins '{shorten(plain(text[:200]), 80)}'" if body else "an empty one"
    if len(body) == BODY_MOST_BYTES:
        came += f", of which the first {BODY_MOST_BYTES:,} bytes were read"
    return f"the answer's body does not hold '{shorten(plain(wanted.contains), 80)}'; came: {came}"


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


def host_of(url: str) -> str:
    """The host an address names; empty for one that names none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def place_of(url: str) -> str:
    """An address without what may be a secret: no credentials, no query. For what is no address: that, and nothing of it."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that is none"
    host = parts.hostname or ""
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{plain(parts.path)}"


def _is_same_place(here: str, there: str) -> bool:
    """Whether a request for *here* may go on to *there*: the same host in the same way, or by TLS where it was not before.

    Raises `ValueError` for what is no address. Credentials in the address would take the place of our own header.
    """
    old, new = urlsplit(here), urlsplit(there)
    if old.hostname != new.hostname or new.username is not None or new.password is not None:
        return False
    ways = [(parts.scheme, parts.port or _PORTS.get(parts.scheme)) for parts in (old, new)]
    return ways[0] == ways[1] or ways == list(_PORTS.items())
