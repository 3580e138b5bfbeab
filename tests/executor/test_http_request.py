"""What an HTTP job sends, what it wants back, and whom it may ask."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests.adapters
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from echopilot_jobs.clock import SystemClock
from echopilot_jobs.executor import Cancel, Executor, OwnWeb, exchange
from echopilot_jobs.jobs import Http, Job
from echopilot_jobs.runs import Origin, Outcome, Run, State
from echopilot_jobs.slots import Slot
from echopilot_jobs.triggers import Every

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
TOKEN = "a-token-nobody-may-see"
LONG_AGO, FAR = datetime(2020, 2, 1, tzinfo=UTC), datetime(2049, 1, 1, tzinfo=UTC)
Ask = Callable[..., Outcome]


@pytest.fixture
def cancel() -> Iterator[Cancel]:
    wish = Cancel()
    yield wish
    wish.close()


@pytest.fixture
def ask(cancel: Cancel, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Carry out one request; private peers are allowed unless the test says otherwise."""
    monkeypatch.setenv("API_TOKEN", TOKEN)
    monkeypatch.delenv("NOT_SET", raising=False)

    def asking(url: str, **facts: Any) -> Outcome:
        action = Http(url, **{"allow_private": True, **facts})
        job = Job(name="j", trigger=Every(timedelta(minutes=1)), action=action, timeout=timedelta(seconds=10))
        run = Run(7, "j", Origin.SCHEDULE, State.RUNNING, NOON, Slot("j", NOON), attempt=1, started_at=NOON)
        return Executor(SystemClock(), "o", OwnWeb("http://127.0.0.1:1", lambda: "key")).carry_out(job, run, cancel)

    return asking


@pytest.fixture
def seen(httpserver: HTTPServer) -> list[Request]:
    """Every request `/x` was sent; it answers with the body it got and the token in its header."""
    requests_seen: list[Request] = []

    def answer(request: Request) -> Response:
        requests_seen.append(request)
        return Response(f"{request.get_data(as_text=True)} {request.headers.get('Authorization', '')}")

    httpserver.expect_request("/x").respond_with_handler(answer)
    return requests_seen


# -- what is sent


def test_headers_and_bodies_are_filled_when_the_request_is_made_and_come_back_hidden_I29_S21(
    httpserver: HTTPServer, seen: list[Request], ask: Ask
) -> None:
    outcome = ask(
        httpserver.url_for("/x"),
        method="PUT",
        headers={"Authorization": "Bearer ${API_TOKEN}", "User-Agent": "mine"},
        body="token=${API_TOKEN}",
    )

    assert seen[0].method == "PUT"
    assert seen[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert seen[0].headers["User-Agent"] == "mine"
    assert seen[0].get_data(as_text=True) == f"token={TOKEN}"
    assert outcome.state is State.SUCCEEDED
    assert outcome.output.head == "token=[API_TOKEN] Bearer [API_TOKEN]"
    assert TOKEN not in repr(outcome)


def test_json_is_filled_inside_its_texts_so_no_value_can_change_its_shape_S22(
    httpserver: HTTPServer, seen: list[Request], ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", 'x", "admin": true, "y": "')

    ask(httpserver.url_for("/x"), json={"who": "${API_TOKEN}", "n": [1, "a ${API_TOKEN}"]})

    assert seen[0].headers["Content-Type"] == "application/json"
    sent = json.loads(seen[0].get_data())
    assert sent == {"who": 'x", "admin": true, "y": "', "n": [1, 'a x", "admin": true, "y": "']}


def test_a_name_without_a_value_ends_the_run_before_anything_is_sent(
    httpserver: HTTPServer, seen: list[Request], ask: Ask
) -> None:
    outcome = ask(httpserver.url_for("/x"), headers={"X-Key": "${NOT_SET}"})

    assert (outcome.state, seen) == (State.FAILED, [])
    assert outcome.error == (
        "${NOT_SET} is not set in the scheduler's environment; set NOT_SET, then `bin/stack stop` and start the stack again"
    )


@pytest.mark.parametrize("before", [0, 3, 60, 70, 195, 4080, 4095])
def test_no_part_of_a_secret_comes_back_where_a_text_is_cut_I29_S25(
    httpserver: HTTPServer, ask: Ask, before: int
) -> None:
    echo = "x" * before + TOKEN
    httpserver.expect_request("/good").respond_with_data(echo)
    httpserver.expect_request("/bad").respond_with_response(Response("", status=f"500 {echo[:2000]}"))

    for path, facts in (("/good", {}), ("/good", {"contains": "more"}), ("/bad", {})):
        outcome = ask(httpserver.url_for(path), headers={"Authorization": "Bearer ${API_TOKEN}"}, **facts)

        assert TOKEN[:8] not in repr(outcome)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("line\nbreak", "a header holds what none may: a line break, or a space before its text"),
        ("pāswōrd-", "a header or the address holds a letter that may not be sent there; wanted: ASCII"),
    ],
)
def test_a_value_no_header_can_carry_is_named_without_being_shown_I29(
    httpserver: HTTPServer, seen: list[Request], ask: Ask, monkeypatch: pytest.MonkeyPatch, value: str, words: str
) -> None:
    monkeypatch.setenv("API_TOKEN", value)

    outcome = ask(httpserver.url_for("/x"), headers={"X-Key": "${API_TOKEN}"})

    assert (outcome.error, seen) == (f"{httpserver.url_for('/x')}: {words}", [])


# -- what is wanted back


@pytest.mark.parametrize(
    ("status", "expect", "good"),
    [
        (200, (), True),
        (204, (), True),
        (302, (), False),
        (404, (), False),
        (404, (404,), True),
        (200, (201, 202), False),
    ],
)
def test_success_is_the_status_that_was_wanted_I11(
    httpserver: HTTPServer, ask: Ask, status: int, expect: tuple[int, ...], good: bool
) -> None:
    httpserver.expect_request("/s").respond_with_data("", status=status)

    outcome = ask(httpserver.url_for("/s"), expect=expect)

    assert (outcome.state is State.SUCCEEDED, outcome.http_status) == (good, status)
    if not good:
        wanted = f"; wanted: {', '.join(map(str, expect))}" if expect else ""
        assert str(outcome.error).startswith(f"HTTP {status}")
        assert str(outcome.error).endswith(wanted)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ('{"ok": true}', None),
        ('{"ok": false}', "the answer's body does not hold '\"ok\": true'; came: one that begins '{\"ok\": false}'"),
        ("", "the answer's body does not hold '\"ok\": true'; came: an empty one"),
        ("red\x1b[31m", "the answer's body does not hold '\"ok\": true'; came: one that begins 'redU+001B[31m'"),
    ],
)
def test_a_good_status_with_another_body_than_wanted_is_no_success_I11(
    httpserver: HTTPServer, ask: Ask, body: str, error: str | None
) -> None:
    httpserver.expect_request("/b").respond_with_data(body)

    outcome = ask(httpserver.url_for("/b"), contains='"ok": true')

    assert (outcome.state, outcome.error) == (State.SUCCEEDED if error is None else State.FAILED, error)


# -- redirects


def test_redirects_are_followed_as_often_as_allowed_to_the_same_place_only(
    httpserver: HTTPServer, seen: list[Request], ask: Ask
) -> None:
    httpserver.expect_request("/a").respond_with_data("", status=303, headers={"Location": "/b"})
    httpserver.expect_request("/b").respond_with_data("", status=307, headers={"Location": httpserver.url_for("/x")})

    followed = ask(httpserver.url_for("/a"), redirects=2, body="sent once")
    stopped = ask(httpserver.url_for("/a"), redirects=1)

    assert (followed.state, seen[0].method, seen[0].get_data()) == (State.SUCCEEDED, "GET", b"")
    assert (
        stopped.error == f"{httpserver.url_for('/a')}: redirected once more, to {httpserver.url_for('/x')}; allowed: 1"
    )


def test_a_redirect_keeps_method_and_body_where_it_says_so(
    httpserver: HTTPServer, seen: list[Request], ask: Ask
) -> None:
    httpserver.expect_request("/a").respond_with_data("", status=308, headers={"Location": "x"})

    ask(httpserver.url_for("/a"), redirects=1, body="sent")

    assert (seen[0].method, seen[0].get_data()) == ("POST", b"sent")


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:9/x", "https://localhost/x", "//elsewhere.invalid/x", "ftp://h/x"]
)
def test_a_redirect_to_another_place_is_refused_and_our_headers_stay_S21(
    httpserver: HTTPServer, ask: Ask, location: str
) -> None:
    httpserver.expect_request("/a").respond_with_data("", status=302, headers={"Location": location})

    outcome = ask(httpserver.url_for("/a"), redirects=5, headers={"X-Key": "${API_TOKEN}"})

    assert outcome.state is State.FAILED
    assert "another place; wanted: the same scheme, host and port" in str(outcome.error)


@pytest.mark.parametrize(
    ("here", "location", "there"),
    [
        ("http://h.example/a", "https://h.example/b", "https://h.example/b"),
        ("http://h.example/a", "https://H.example:443/b", "https://H.example:443/b"),
        ("http://h.example/a", "http://h.example:80/b", "http://h.example:80/b"),
        ("https://h.example/a", "//h.example/b", "https://h.example/b"),
        ("https://h.example/a", "http://h.example/b", None),
        ("http://h.example/a", "https://h.example:8443/b", None),
        ("http://h.example:8080/a", "https://h.example/b", None),
        ("http://h.example/a", "http://h.example:8080/b", None),
        ("http://h.example/a", "http://user:word@h.example/b", None),
        ("http://h.example/a", "http://h.example@evil.example/b", None),
        ("http://h.example/a", "http://h.example.evil.example/b", None),
        ("http://h.example/a", "http://h.example:nonsense/b", None),
        ("http://h.example/a", "http://[::1/b", None),
    ],
)
def test_a_redirect_may_turn_to_tls_and_never_away_from_it_S21(here: str, location: str, there: str | None) -> None:
    request = exchange.Request("GET", here, {"X-Key": TOKEN}, redirects=1)

    if there is None:
        with pytest.raises(exchange.Unfollowed, match="redirected to"):
            request.follow(location, 302)
    else:
        assert request.follow(location, 302).url == there


def test_a_loop_of_redirects_ends_F57(httpserver: HTTPServer, ask: Ask) -> None:
    httpserver.expect_request("/a").respond_with_data("", status=302, headers={"Location": "/a"})

    assert "redirected once more" in str(ask(httpserver.url_for("/a"), redirects=5).error)


# -- whom it may ask


@contextmanager
def listening() -> Iterator[tuple[int, list[bytes]]]:
    """A port of this machine and what was sent to it."""
    got: list[bytes] = []
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while not over.is_set():
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(5)
                    got.append(connection.recv(1000))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], got
    finally:
        over.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "[::ffff:127.0.0.1]"])
def test_a_private_peer_is_left_before_a_byte_is_sent_S20(ask: Ask, scheme: str, host: str) -> None:
    with listening() as (port, got):
        outcome = ask(f"{scheme}://{host}:{port}/x", allow_private=False)

    assert outcome.state is State.FAILED
    assert "a private or loopback address; wanted: a public one, or allow_private = true" in str(outcome.error)
    assert b"".join(got) == b""


def test_a_public_name_that_leads_to_this_machine_is_refused_by_its_peer_F58_S20(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening() as (port, got):
        here = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_facts: here)

        outcome = ask("http://harmless.example/x", allow_private=False)

    assert outcome.error == (
        "http://harmless.example/x: 'harmless.example' is at 127.0.0.1, a private or loopback address; "
        "wanted: a public one, or allow_private = true"
    )
    assert b"".join(got) == b""


def test_a_name_nobody_knows_says_so_F58(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_args: Any, **_facts: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    assert ask("http://nowhere.example/x").error == "http://nowhere.example/x: its name is not known (DNS)"


def test_a_lookup_that_never_ends_is_inside_the_deadline_F58_I13(
    cancel: Cancel, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def hangs(*_args: Any, **_facts: Any) -> Any:
        over.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    action = Http("http://slow.example/x")
    job = Job(name="j", trigger=Every(timedelta(minutes=1)), action=action, timeout=timedelta(seconds=0.3))
    run = Run(7, "j", Origin.SCHEDULE, State.RUNNING, NOON, attempt=1, started_at=NOON)

    outcome = Executor(SystemClock(), "o", OwnWeb("http://127.0.0.1:1", lambda: "key")).carry_out(job, run, cancel)
    over.set()

    assert (outcome.state, outcome.error) == (
        State.TIMED_OUT,
        "http://slow.example/x had not answered in full after 0.3 s",
    )


# -- TLS


def certificate(folder: Path, name: str, end: datetime) -> Path:
    """A certificate for *name* that signs itself and is good until *end*, with its key in the same file."""
    pem, key, ask = (folder / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
    (folder / "index.txt").touch()
    (folder / "ca.cnf").write_text(
        f"[a]\ndatabase={folder}/index.txt\nnew_certs_dir={folder}\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n"
        f"[p]\ncommonName=supplied\n[x]\nsubjectAltName=DNS:{name}\n"
    )
    wanted = (
        f"openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} -keyout {key} -out {ask}"
    )
    signed = (
        f"openssl ca -batch -selfsign -config {folder}/ca.cnf -name a -extensions x -keyfile {key} -in {ask} -out {pem} "
        f"-notext -startdate 20200101000000Z -enddate {end:%Y%m%d%H%M%S}Z"
    )
    for command in (wanted, signed):
        subprocess.run(command.split(), check=True, capture_output=True)
    pem.write_text(pem.read_text() + key.read_text())
    return pem


@contextmanager
def speaking_tls(pem: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with suppress(OSError), context.wrap_socket(connection, server_side=True) as secure:
                    secure.recv(1000)
                    secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


@pytest.mark.parametrize(
    ("name", "end", "trusted", "error"),
    [
        ("localhost", FAR, True, None),
        ("localhost", FAR, False, "TLS failed: its certificate is signed by nobody this machine trusts"),
        ("localhost", LONG_AGO, True, "TLS failed: its certificate has expired"),
        ("elsewhere.example", FAR, True, "TLS failed: its certificate is another host's"),
    ],
)
def test_a_certificate_that_proves_nothing_is_refused_with_its_reason_F57(
    tmp_path: Path,
    ask: Ask,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    end: datetime,
    trusted: bool,
    error: str | None,
) -> None:
    pem = certificate(tmp_path, name, end)
    if trusted:
        monkeypatch.setattr(requests.adapters, "DEFAULT_CA_BUNDLE_PATH", str(pem))
        monkeypatch.setattr(requests.adapters, "_preloaded_ssl_context", None, raising=False)

    with speaking_tls(pem) as port:
        outcome = ask(f"https://localhost:{port}/x")

    assert outcome.error == (f"https://localhost:{port}/x: {error}" if error else None)


def test_tls_where_none_is_spoken_says_so_F57(httpserver: HTTPServer, ask: Ask) -> None:
    outcome = ask(httpserver.url_for("/x").replace("http://", "https://"))

    assert str(outcome.error).endswith(": TLS failed: no TLS is spoken there")
