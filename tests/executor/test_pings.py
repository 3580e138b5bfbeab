"""An outside watcher is told of starts and ends, and the address stays a secret."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from echopilot_jobs.clock import SystemClock
from echopilot_jobs.executor import pings
from echopilot_jobs.executor.pinging import request_of
from echopilot_jobs.executor.pings import News, Pings
from echopilot_jobs.jobs import Inline, Job
from echopilot_jobs.placeholders import Unfilled
from echopilot_jobs.runs import Origin, Run, State
from echopilot_jobs.slots import Slot
from echopilot_jobs.triggers import Every

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SECRET = "9b2f6a52-a-secret-place"


def job(ping: str | None, name: str = "j") -> Job:
    return Job(name=name, trigger=Every(timedelta(minutes=1)), action=Inline("x"), ping=ping)


def run(state: State, attempt: int = 1, error: str | None = None) -> Run:
    return Run(7, "j", Origin.SCHEDULE, state, NOON, Slot("j", NOON), attempt=attempt, error=error)


@pytest.fixture
def watcher(httpserver: HTTPServer) -> Callable[..., list[tuple[str, str, str]]]:
    """What an outside watcher hears, once it has heard *count* pings: path, run's id, body."""
    heard: queue.Queue[Request] = queue.Queue()

    def answer(request: Request) -> Response:
        request.get_data()
        heard.put(request)
        return Response("OK")

    httpserver.expect_request("/ping", method="POST").respond_with_handler(answer)
    httpserver.expect_request("/ping/start", method="POST").respond_with_handler(answer)
    httpserver.expect_request("/ping/fail", method="POST").respond_with_handler(answer)

    def hearing(count: int) -> list[tuple[str, str, str]]:
        got = [heard.get(timeout=10) for _ in range(count)]
        assert heard.empty()
        return [(each.path, each.args["rid"], each.get_data(as_text=True)) for each in got]

    return hearing


def test_a_start_and_its_end_are_told_in_order_with_the_run_s_id(httpserver: HTTPServer, watcher: Any) -> None:
    teller = Pings(SystemClock())
    watched = job(httpserver.url_for("/ping"))

    for state in (State.RUNNING, State.SUCCEEDED):
        teller.announce(watched, run(state))
    teller.announce(watched, run(State.FAILED, error="no more\x1b rows\nTraceback of many lines"))
    teller.announce(watched, run(State.CANCELLED, error="skipped by the job: no rows"))

    (start, rid, _), (end, same, ended), (fail, again, words), (skip, _, _) = watcher(4)
    assert skip == "/ping"
    assert (start, end, fail) == ("/ping/start", "/ping", "/ping/fail")
    assert rid == same == again
    assert (ended, words) == ("j: succeeded", "j: failed: no moreU+001B rows")


@pytest.mark.parametrize("state", [State.QUEUED, State.RETRY_WAIT, State.CANCELLED])
def test_what_is_neither_a_start_nor_an_end_says_nothing(httpserver: HTTPServer, watcher: Any, state: State) -> None:
    teller = Pings(SystemClock())
    watched = job(httpserver.url_for("/ping"))

    teller.announce(watched, run(state))
    teller.announce(watched, run(State.RUNNING, attempt=2))
    teller.announce(job(None), run(State.SUCCEEDED))
    teller.announce(watched, run(State.ABANDONED))

    assert [path for path, _, _ in watcher(1)] == ["/ping/fail"]


def eventually_news(teller: Pings) -> News:
    clock = SystemClock()
    until = clock.monotonic() + 20
    while clock.monotonic() < until:
        if (news := next(iter(teller.news()), None)) is not None:
            return news
    raise AssertionError("no news")


def test_a_watcher_out_of_reach_is_told_once_and_its_address_is_in_no_word_I29(
    httpserver: HTTPServer, watcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    teller = Pings(SystemClock())
    monkeypatch.setenv("WATCHER", f"http://127.0.0.1:1/{SECRET}?key={SECRET}")

    for address in ("${WATCHER}", "${WATCHER}", httpserver.url_for("/ping"), httpserver.url_for("/ping")):
        teller.announce(job(address), run(State.SUCCEEDED))

    watcher(2)
    assert teller.news() == [News("j", "connection refused"), News("j", None)]


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (f"https://[{SECRET}]/x", "the address is none that can be asked"),
        (f"https://[::1/{SECRET}", "the address is none that can be asked"),
        (f"nowhere-{SECRET}", "the address is none that can be asked"),
        (f"file:///{SECRET}", "the address is none that can be asked"),
        (f"http://127.0.0.1:99999/{SECRET}", "the address is none that can be asked"),
        (f"http://{SECRET}.invalid/", "its name is not known (DNS)"),
        (
            f"http://{SECRET}.example/",
            "its host leads to a private address; wanted: a public one, or that address itself in the ping",
        ),
    ],
)
def test_an_address_that_cannot_be_asked_is_not_shown_and_silences_nobody_else_I15_I29(
    httpserver: HTTPServer,
    watcher: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    address: str,
    words: str,
) -> None:
    monkeypatch.setenv("WATCHER", address)
    lookup = socket.getaddrinfo

    def resolve(host: str, *rest: Any, **facts: Any) -> Any:
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return lookup("127.0.0.1" if host.endswith(".example") else host, httpserver.port, *rest[1:], **facts)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    teller = Pings(SystemClock())

    teller.announce(job("${WATCHER}"), run(State.SUCCEEDED))
    teller.announce(job(httpserver.url_for("/ping")), run(State.SUCCEEDED))

    assert len(watcher(1)) == 1
    assert teller.wait_sent(10)
    assert teller.news() == [News("j", words), News("j", None)]
    assert SECRET not in "".join(capsys.readouterr())


def test_what_the_watcher_answers_is_not_repeated_I29(httpserver: HTTPServer) -> None:
    httpserver.expect_request(f"/{SECRET}").respond_with_response(Response("", status=f"404 no check {SECRET}"))
    teller = Pings(SystemClock())

    teller.announce(job(httpserver.url_for(f"/{SECRET}")), run(State.SUCCEEDED))

    assert teller.wait_sent(20)
    assert teller.news() == [News("j", "HTTP 404")]


def test_a_redirect_is_not_followed_S21(httpserver: HTTPServer, watcher: Any) -> None:
    httpserver.expect_request("/moved").respond_with_data("", status=307, headers={"Location": "/ping"})
    teller = Pings(SystemClock())

    teller.announce(job(httpserver.url_for("/moved")), run(State.SUCCEEDED))

    assert teller.wait_sent(20)
    assert teller.news() == [News("j", "HTTP 307")]
    assert watcher(0) == []


def test_a_process_that_ends_can_wait_for_the_last_pings_and_not_for_ever(httpserver: HTTPServer) -> None:
    arrived, over = threading.Event(), threading.Event()

    def slow(_request: Request) -> Response:
        arrived.set()
        over.wait(30)
        return Response("OK")

    httpserver.expect_request("/ping").respond_with_handler(slow)
    teller = Pings(SystemClock())

    assert teller.wait_sent(0)
    teller.announce(job(httpserver.url_for("/ping")), run(State.SUCCEEDED))
    assert arrived.wait(10)
    assert not teller.wait_sent(0)
    over.set()

    assert teller.wait_sent(10)


def test_a_machine_without_a_thread_to_give_is_told_of_and_stops_nothing_F56(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    teller = Pings(SystemClock())

    with monkeypatch.context() as poor:
        poor.setattr(threading.Thread, "start", refuse)
        teller.announce(job("https://example.com/x"), run(State.SUCCEEDED))

    assert teller.news() == [News("j", "no thread to send it with")]
    assert teller.wait_sent(0)


def test_a_missing_name_is_what_the_log_says() -> None:
    teller = Pings(SystemClock())

    teller.announce(job("${NO_SUCH_WATCHER}"), run(State.SUCCEEDED))

    assert "${NO_SUCH_WATCHER} is not set" in str(eventually_news(teller).error)


def test_the_caller_never_waits_and_a_flood_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pings, "WAITING_MOST", 3)
    monkeypatch.setattr(pings.threading, "Thread", lambda **_facts: type("Idle", (), {"start": lambda _self: None})())
    teller = Pings(SystemClock())

    for _ in range(10):
        teller.announce(job("https://example.com/x"), run(State.SUCCEEDED))

    assert [news.error for news in teller.news()] == ["3 pings wait already"]


@pytest.mark.parametrize(
    ("address", "path", "url", "private"),
    [
        ("https://hc.example/abc", "/start", "https://hc.example/abc/start?rid=r", False),
        ("https://hc.example/abc/", "", "https://hc.example/abc?rid=r", False),
        ("https://hc.example/abc?create=1", "/fail", "https://hc.example/abc/fail?create=1&rid=r", False),
        ("http://10.0.0.7:8000/abc", "", "http://10.0.0.7:8000/abc?rid=r", True),
        ("http://localhost/abc", "", "http://localhost/abc?rid=r", True),
    ],
)
def test_the_address_takes_the_path_and_a_private_one_must_say_so_itself_S20(
    address: str, path: str, url: str, private: bool
) -> None:
    request = request_of(address, path, "r", "body", {})

    assert (request.url, request.allow_private, request.redirects) == (url, private, 0)


def test_the_definition_shows_that_there_is_a_ping_and_changes_with_it_but_never_shows_it_I29() -> None:
    one, other, none = job(f"https://hc.example/{SECRET}"), job("https://hc.example/other"), job(None)

    assert SECRET not in repr(one.definition())
    assert SECRET not in repr(one)
    assert len({one.version, other.version, none.version}) == 3
    with pytest.raises(Unfilled):
        request_of("${NOPE}", "", "r", "", {})
