"""HTTP jobs against a server that behaves badly in every way we know."""

from __future__ import annotations

import gzip
import socket
import struct
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from echopilot_jobs.clock import SystemClock
from echopilot_jobs.executor import Cancel, Executor, OwnWeb
from echopilot_jobs.executor.exchange import BODY_MOST_BYTES, EXCERPT_BYTES
from echopilot_jobs.jobs import Http, Job
from echopilot_jobs.runs import Origin, Outcome, Run, State
from echopilot_jobs.slots import Slot
from echopilot_jobs.triggers import Every

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
KEY = "the-dashboard-key-itself"


@pytest.fixture
def cancel() -> Iterator[Cancel]:
    wish = Cancel()
    yield wish
    wish.close()


def carry_out(
    url: str, cancel: Cancel, timeout: float = 5, own: str = "http://127.0.0.1:1", contains: str | None = None
) -> Outcome:
    job = Job(
        name="j",
        trigger=Every(timedelta(minutes=1)),
        action=Http(url, allow_private=True, contains=contains),
        timeout=timedelta(seconds=timeout),
    )
    run = Run(7, "j", Origin.SCHEDULE, State.RUNNING, NOON, Slot("j", NOON), attempt=1, started_at=NOON)
    return Executor(SystemClock(), "o", OwnWeb(own, lambda: KEY)).carry_out(job, run, cancel)


@contextmanager
def server(behave: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A TCP server whose every connection *behave*s as told until the test is over."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    behave(connection, over)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x?token=hidden"
    finally:
        over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def test_our_own_web_is_asked_with_the_key_and_the_run_s_facts(httpserver: HTTPServer, cancel: Cancel) -> None:
    seen: list[Request] = []

    def answer(request: Request) -> Response:
        seen.append(request)
        return Response('{"ok": true}', content_type="application/json")

    httpserver.expect_request("/livez").respond_with_data("ok")
    httpserver.expect_request("/api/self-heal", method="POST").respond_with_handler(answer)

    outcome = carry_out("/api/self-heal", cancel, own=httpserver.url_for("").rstrip("/"))

    headers = seen[0].headers
    assert (outcome.state, outcome.http_status, outcome.result) == (State.SUCCEEDED, 200, {"ok": True})
    assert (headers["X-Dash-Key"], headers["X-Run-Id"], headers["X-Slot-At"]) == (KEY, "7", "2026-03-02T12:00:00Z")
    assert headers["Idempotency-Key"] == f"j:{int(NOON.timestamp())}:0"


def test_a_start_before_the_web_is_up_waits_for_it(cancel: Cancel) -> None:
    with socket.create_server(("127.0.0.1", 0)) as placeholder:
        port = placeholder.getsockname()[1]
    web = HTTPServer(port=port)
    web.expect_request("/livez").respond_with_data("ok")
    web.expect_request("/api/x").respond_with_data("{}")
    late = threading.Timer(0.6, web.start)
    late.start()

    outcome = carry_out("/api/x", cancel, own=f"http://127.0.0.1:{port}", timeout=20)

    late.join()
    web.stop()
    assert outcome.state is State.SUCCEEDED


def test_nobody_waits_for_the_web_of_a_stack_that_stops_I25(cancel: Cancel) -> None:
    own_web = OwnWeb("http://127.0.0.1:1", lambda: KEY, stopping=lambda: True)
    job = Job(name="j", trigger=Every(timedelta(minutes=1)), action=Http("/api/x"))
    run = Run(7, "j", Origin.STARTUP, State.RUNNING, NOON, attempt=1, started_at=NOON)

    outcome = Executor(SystemClock(), "o", own_web).carry_out(job, run, cancel)

    assert outcome.state is State.CANCELLED


def test_a_web_that_never_comes_up_is_named_when_time_is_over_I13(cancel: Cancel) -> None:
    outcome = carry_out("/api/x", cancel, timeout=0.5)

    assert outcome.state is State.TIMED_OUT
    assert outcome.error == "our own web at http://127.0.0.1:1 did not answer within 0.5 s"


def test_another_host_never_sees_our_key(httpserver: HTTPServer, cancel: Cancel) -> None:
    httpserver.expect_request("/x", headers={"X-Dash-Key": KEY}).respond_with_data("leak", status=500)
    httpserver.expect_request("/x").respond_with_data("fine")

    assert carry_out(httpserver.url_for("/x"), cancel).state is State.SUCCEEDED


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 429, 500, 503])
def test_a_status_that_is_no_success_fails_with_its_number_and_redirects_are_not_followed(
    httpserver: HTTPServer, cancel: Cancel, status: int
) -> None:
    httpserver.expect_request("/x").respond_with_data("no", status=status, headers={"Location": "/elsewhere"})
    httpserver.expect_request("/elsewhere").respond_with_data("followed")

    outcome = carry_out(httpserver.url_for("/x"), cancel)

    assert (outcome.state, outcome.http_status) == (State.FAILED, status)
    assert f"HTTP {status}" in (outcome.error or "")


def test_netrc_and_proxies_of_the_surroundings_are_not_used_S21(
    httpserver: HTTPServer, cancel: Cancel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    httpserver.expect_request("/x").respond_with_data("fine")

    assert carry_out(httpserver.url_for("/x"), cancel).state is State.SUCCEEDED


def drip(head: bytes, drop: bytes) -> Callable[[socket.socket, threading.Event], None]:
    def behave(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(head)
        while not over.wait(0.05):
            connection.sendall(drop)

    return behave


def say(answer: bytes) -> Callable[[socket.socket, threading.Event], None]:
    def behave(connection: socket.socket, _over: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(answer)

    return behave


def silence(connection: socket.socket, over: threading.Event) -> None:
    connection.recv(65_536)
    over.wait(30)


OK = b"HTTP/1.1 200 OK\r\n"


def reset(connection: socket.socket, _over: threading.Event) -> None:
    connection.recv(65_536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing sends RST


def zipped(body: bytes, encoding: bytes = b"gzip") -> bytes:
    """An answer with a *body* that is packed as it says."""
    return OK + b"Content-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b" % (encoding, len(body), body)


NO_LENGTH = "the answer says two lengths, or one that is no number (Content-Length)"


@pytest.mark.parametrize(
    ("behave", "words"),
    [
        (say(b""), "the connection was closed before an answer"),
        (reset, "connection reset"),
        (say(b"<html>as in HTTP/0.9</html>"), "what came is no answer in HTTP/1.1"),
        (say(b"HTTP/1.1 2"), "what came is no answer in HTTP/1.1"),
        (say(b"HTTP/1.1 200 OK\r\nX-A: b\r\nX-B"), "the answer broke off inside its headers"),
        (say(b"HTTP/1.1 200 OK\r\nX-A: b\r\n"), "the answer broke off inside its headers"),
        (say(OK), "the answer broke off inside its headers"),
        (say(OK + b"Content-Length: 500\r\n\r\nshort"), "the answer is shorter than it says"),
        (say(OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"), NO_LENGTH),
        (say(OK + b"Content-Length: abc\r\n\r\nok"), NO_LENGTH),
        (say(OK + b"Content-Length: -5\r\n\r\nok"), NO_LENGTH),
        (say(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab"), "the answer is shorter than it says"),
        (say(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), "the answer's chunks are not as HTTP/1.1 has them"),
        (say(OK + b"Content-Encoding: gzip\r\n\r\nnot gzip"), "the answer is not compressed as it says"),
        (say(OK + b"X: y\r\n" * 500 + b"\r\n"), "the answer's headers are more than are read: 100"),
        (say(OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n"), "the answer's headers are longer than is read: 64 KiB a line"),
        (say(b"HTTP/1.1 100 Continue\r\n\r\n"), "the connection was closed before an answer"),
        (say(b"HTTP/1.1 connection refused\r\n\r\n"), "what came is no answer in HTTP/1.1"),  # its words are not ours
    ],
)
def test_an_answer_that_is_none_says_what_was_wrong_with_it_F57_I12(
    cancel: Cancel, behave: Callable[[socket.socket, threading.Event], None], words: str
) -> None:
    with server(behave) as url:
        outcome = carry_out(url, cancel)

    assert (outcome.state, outcome.http_status) == (State.FAILED, None)
    assert outcome.error == f"{url.partition('?')[0]}: {words}"


@pytest.mark.parametrize("ending", [b"\r\n\r\n", b"\n\n"])
def test_an_answer_of_a_head_alone_is_whole(cancel: Cancel, ending: bytes) -> None:
    with server(say(b"HTTP/1.0 200 OK" + ending)) as url:
        outcome = carry_out(url, cancel)

    assert (outcome.state, outcome.http_status) == (State.SUCCEEDED, 200)


def test_an_answer_that_says_its_length_twice_alike_is_whole(cancel: Cancel) -> None:
    with server(say(OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok")) as url:
        assert carry_out(url, cancel).output.text == "ok"


def test_a_redirect_to_what_is_no_address_is_an_answer_like_others(cancel: Cancel) -> None:
    with server(say(b"HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n")) as url:
        outcome = carry_out(url, cancel)

    assert (outcome.state, outcome.error) == (State.FAILED, "HTTP 302 Found")


@pytest.mark.parametrize("head", [b"\r\n", b"Content-Length: 99999999999\r\n\r\n"])
def test_a_body_without_end_is_read_to_the_limit_and_no_further_I14(cancel: Cancel, head: bytes) -> None:
    def pour(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(OK + head)
        while not over.is_set():
            connection.sendall(b"x" * 65_536)

    with server(pour) as url:
        outcome = carry_out(url, cancel, timeout=60)
        missing = carry_out(url, cancel, timeout=60, contains="the end")

    assert (outcome.state, outcome.output.dropped_bytes) == (State.SUCCEEDED, BODY_MOST_BYTES - EXCERPT_BYTES)
    assert str(missing.error).endswith("of which the first 1,048,576 bytes were read")


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_bombs_of_gzip_in_gzip_take_no_more_memory_than_the_limit_allows_I14(cancel: Cancel, layers: int) -> None:
    bomb = gzip.compress(b"\0" * 100_000_000)
    for _ in range(layers - 1):
        bomb = gzip.compress(bomb)

    with server(say(zipped(bomb, b", ".join([b"gzip"] * layers)))) as url:
        tracemalloc.start()
        outcome = carry_out(url, cancel, timeout=60)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert outcome.state is State.SUCCEEDED
    assert most < 8 * BODY_MOST_BYTES


@pytest.mark.parametrize(
    ("behave", "state"),
    [
        (silence, State.TIMED_OUT),
        (drip(b"HTTP/1.1 200 OK\r\nX-A: ", b"x"), State.TIMED_OUT),  # headers that never end
        (drip(OK + b"Content-Length: 999999\r\n\r\n", b"x"), State.TIMED_OUT),  # a body a byte at a time
        (drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), State.TIMED_OUT),
        (say(b""), State.FAILED),
        (say(b"\x00\x01\x02 nonsense\r\n\r\n"), State.FAILED),
        (say(OK + b"Content-Length: 500\r\n\r\nshort"), State.FAILED),
        (say(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), State.FAILED),
        (say(OK + b"Content-Encoding: gzip\r\n\r\nnot gzip"), State.FAILED),
        (say(OK + b"X: y\r\n" * 500 + b"\r\n"), State.FAILED),  # more headers than the library takes
    ],
)
def test_a_server_that_misbehaves_ends_the_run_in_time_with_a_cause_F57(
    cancel: Cancel, behave: Callable[[socket.socket, threading.Event], None], state: State
) -> None:
    with server(behave) as url:
        outcome = carry_out(url, cancel, timeout=0.7)
        exchanges = [thread for thread in threading.enumerate() if thread.name.startswith("http ")]
        for thread in exchanges:
            thread.join(5)

    assert outcome.state is state
    assert not any(thread.is_alive() for thread in exchanges), "the exchange outlived its run"
    assert outcome.error
    assert "hidden" not in outcome.error
    assert "\n" not in outcome.error


def test_a_refused_connection_says_so(cancel: Cancel) -> None:
    outcome = carry_out("http://127.0.0.1:1/x", cancel)

    assert (outcome.state, outcome.error) == (State.FAILED, "http://127.0.0.1:1/x: connection refused")


def test_a_bomb_of_gzip_is_read_no_further_than_the_limit_I14(httpserver: HTTPServer, cancel: Cancel) -> None:
    bomb = gzip.compress(b"\0" * 200_000_000, compresslevel=9)
    httpserver.expect_request("/x").respond_with_data(bomb, headers={"Content-Encoding": "gzip"})

    outcome = carry_out(httpserver.url_for("/x"), cancel, timeout=30)

    assert outcome.state is State.SUCCEEDED
    assert len(outcome.output.head) <= 4096


def test_a_cancelled_exchange_ends_at_once(cancel: Cancel) -> None:
    with server(silence) as url:
        threading.Timer(0.3, cancel.ask).start()
        outcome = carry_out(url, cancel, timeout=60)

    assert outcome.state is State.CANCELLED


@pytest.mark.parametrize(
    ("status", "wish", "seconds"),
    [
        (503, "120", 120),
        (429, " 7 ", 7),
        (429, "0", 0),
        (503, "99999999999999999999999999", 365 * 86_400),
        (429, "soon", None),
        (429, "-5", None),
        (429, "", None),
        (503, "Thu, 01 Jan 1970 00:00:00 GMT", 0),
        (503, "Fri, 31 Feb 2027 25:00:00", None),
        (500, "120", None),
        (200, "120", None),
    ],
)
def test_what_the_other_side_asks_to_wait_is_kept_to_F59(
    httpserver: HTTPServer, cancel: Cancel, status: int, wish: str, seconds: float | None
) -> None:
    httpserver.expect_request("/x").respond_with_data("", status=status, headers={"Retry-After": wish})

    outcome = carry_out(httpserver.url_for("/x"), cancel)

    assert outcome.retry_after == (None if seconds is None else timedelta(seconds=seconds))


def test_a_date_to_come_back_at_is_a_wait_too_F59(httpserver: HTTPServer, cancel: Cancel) -> None:
    httpserver.expect_request("/x").respond_with_data(
        "", status=503, headers={"Retry-After": "Fri, 31 Dec 2100 23:59:59 GMT"}
    )

    outcome = carry_out(httpserver.url_for("/x"), cancel)

    assert outcome.retry_after == timedelta(days=365)
