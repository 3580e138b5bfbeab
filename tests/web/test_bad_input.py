"""Whatever is sent, the answer is a fitting 4xx and never a 500."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echopilot_jobs.errors import EchoPilotError
from echopilot_jobs.web import inputs
from echopilot_jobs.web.guard import BODY_MOST

from .conftest import KEY, SAME_ORIGIN, Browser, Stack

RUN = "/api/jobs/self_heal/run"
DEEP = 200_000


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{", 400, "no JSON"),
        (b"nope", 400, "no JSON"),
        (b"[]", 400, "is JSON but a list"),
        (b'"text"', 400, "is JSON but a str"),
        (b"null", 400, "wanted: an object"),
        (b"\xff\xfe{\x00}\x00", 400, "not UTF-8 at byte 0"),
        (b"\xef\xbb\xbf{}", 400, "no JSON"),
        (b'{"params": {"a": NaN}}', 400, "'NaN' is no JSON"),
        (b'{"params": {"a": -Infinity}}', 400, "'-Infinity' is no JSON"),
        (b'{"params": {"a": 1e400}}', 400, "too large"),
        (b'{"params": {"a": ' + b"9" * 5_000 + b"}}", 400, "5000 digits"),
        (b'{"params": {"a": -' + b"9" * 5_000 + b"}}", 400, "5001 digits"),
        (b'{"params": {"a": 1' + b"0" * 999 + b'.0}}', 400, "too large"),
        (b'{"params": {"a": 1, "a": 2}}', 400, "'a' comes twice"),
        (b'{"params": {}, "params": {}}', 400, "'params' comes twice"),
        (b'{"params": {"a": "\\ud800"}}', 400, "half a surrogate pair"),
        (b'{"params": {"\\udfff": 1}}', 400, "half a surrogate pair"),
        (b'{"params": [1]}', 400, "params is a list"),
        (b'{"parms": {}}', 400, "unknown field 'parms'; wanted: params"),
        (b'{"params":' + b"[" * 40 + b"]" * 40 + b"}", 400, "deeper than 32"),
        (b"[" * 30_000, 400, "deeper than 32"),
        (b'{"a":' * 10_000, 400, "deeper than 32"),
        (b'"' * 60_000, 400, "no JSON"),
        (b'\\"' * 30_000, 400, "no JSON"),
        (b'{"params": {"a": "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["}}', 422, "no parameter"),
        (b'{"params": {"a": "caf\xc3\xa9 \xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x9a\x80 \xe2\x80\xa8"}}', 422, "no parameter"),
        (b'{"params": {}}', 202, "queued"),
        (b"{}", 202, "queued"),
        (b"", 202, "queued"),
        (b"{" + b" " * BODY_MOST + b"}", 413, "at most"),
    ],
)  # fmt: skip
def test_a_body_is_read_strictly(api: FlaskClient, body: bytes, status: int, says: str) -> None:
    """S31, I14"""
    answer = api.post(RUN, data=body, content_type="application/json")

    assert answer.status_code == status, answer.text
    assert says in answer.text


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "application/jsonx",
        "é/ü",
        "application/json/",
    ],
)
def test_other_kinds_of_content_are_415(api: FlaskClient, content_type: str) -> None:
    answer = api.post(RUN, data=b"{}", headers={"Content-Type": content_type.encode().decode("latin-1")})

    assert answer.status_code == 415


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", "application/json;charset=klingon"]
)
def test_json_may_say_more_about_itself(api: FlaskClient, content_type: str) -> None:
    assert api.post(RUN, data=b"{}", content_type=content_type).status_code == 202


PATHS = [
    ("/api/jobs/%00", 404),
    ("/api/jobs/self_heal%00", 404),
    ("/api/jobs/..%2f..%2fetc%2fpasswd", 404),
    ("/api/jobs/%252e%252e%252f", 404),
    ("/api/jobs/..\\..\\x", 404),
    ("/api/jobs/%ff%fe", 404),
    ("/api/jobs/" + "a" * 1_900, 404),
    ("/api/jobs/" + "a" * 4_000, 414),
    ("/api/jobs?" + "a" * 4_000, 414),
    ("/api//jobs", 404),
    ("//api/jobs", 404),
    ("/api/jobs/", 404),
    ("/API/jobs", 404),
    ("/api/./jobs", 404),
    ("/api/runs/0", 404),
    ("/api/runs/-1", 404),
    ("/api/runs/1.5", 404),
    ("/api/runs/1e3", 404),
    ("/api/runs/٣", 404),
    ("/api/runs/abc", 404),
    ("/api/runs/" + "9" * 18, 404),
    ("/api/runs/" + "9" * 1_900, 404),
    ("/runs/" + "9" * 1_900, 404),
    ("/runs/%0d%0aX-Evil:1", 404),
    ("/artefacts/1/exe", 404),
    ("/artefacts/1/..%2f..%2fvar%2fledger.sqlite3", 404),
    ("/artefacts/" + "9" * 1_900 + "/html", 404),
    ("/static/../app.py", 404),
    ("/static/..%2fapp.py", 404),
    ("/static/%2e%2e/app.py", 404),
    ("/static/%252e%252e/app.py", 404),
    ("/static/.", 404),
    ("/static/%00", 404),
    ("/static/" + "a" * 1_900, 404),
    ("/static//etc/passwd", 404),
    ("/api/runs?limit=-1", 400),
    ("/api/runs?limit=0", 400),
    ("/api/runs?limit=201", 400),
    ("/api/runs?limit=1e9", 400),
    ("/api/runs?limit=abc", 400),
    ("/api/runs?limit=", 400),
    ("/api/runs?limit=%00", 400),
    ("/api/runs?limit=٣", 400),
    ("/api/runs?limit=" + "9" * 1_900, 400),
    ("/api/runs?before=0", 400),
    ("/api/runs?before=-5", 400),
    ("/api/runs?before=1;drop", 400),
    ("/api/runs?before=" + "9" * 1_900, 400),
    ("/api/runs?before=" + "9" * 18, 200),
    ("/api/runs?state=dead", 400),
    ("/api/runs?state=", 400),
    ("/api/runs?state=failed,", 400),
    ("/api/runs?state=FAILED", 400),
    ("/api/runs?state=failed,timed_out", 200),
    ("/api/runs?job=nope", 400),
    ("/api/runs?job=%27%20or%201=1", 400),
    ("/api/runs?job=%ff", 400),
    ("/api/runs?job=self_heal&state=queued&limit=1&before=99", 200),
    ("/api/runs?limit=5&limit=abc", 200),
    ("/api/runs?%ff=%fe&&&=&a", 400),
    ("/api/runs?since=nonsense", 400),
    ("/api/jobs?state=failed", 400),
    ("/api/jobs/heartbeat?limit=5", 400),
    ("/api/definitions?job=heartbeat", 400),
    ("/api/backlog?limit=1", 400),
    ("/api/metrics-summary?hours=48", 400),
    ("/runs?state=dead", 400),
    ("/runs?job=%00%ff", 404),
    ("/runs?before=x", 400),
    ("/login?token=%00%ff%3Cscript%3E", 200),
    ("/?run=%3Cscript%3E", 200),
    ("/%c0%ae%c0%ae/", 404),
    ("/%", 404),
    ("/%zz", 404),
]


@pytest.mark.parametrize(
    ("path", "status"), PATHS, ids=[path[:60].encode("ascii", "replace").decode() for path, _ in PATHS]
)
def test_odd_addresses_get_their_4xx(api: FlaskClient, path: str, status: int) -> None:
    """S17, S19"""
    answer = api.get(path)

    assert answer.status_code == status, answer.text[:300]
    if status >= 400:
        assert answer.json is not None
        assert set(answer.json) >= {"ok", "error", "request_id"}
        assert answer.json["ok"] is False


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "CONNECT", "PROPFIND", "FOO"])
@pytest.mark.parametrize(
    "path", ["/", "/api/jobs", RUN, "/api/exec/brief", "/health", "/login", "/nope", "/static/echopilot.css"]
)
def test_odd_methods_are_refused(api: FlaskClient, stack: Stack, method: str, path: str) -> None:
    """S19"""
    answer = api.open(path, method=method)

    assert answer.status_code in (200, 404, 405)
    assert answer.status_code != 200 or method in ("HEAD", "OPTIONS"), "only HEAD, and OPTIONS of a static file"
    assert stack.ledger.runs() == []


@pytest.mark.parametrize(
    "path", ["/api/exec/brief", "/api/exec/report", "/api/automations/start", "/api/automations/stop"]
)
def test_calls_without_arguments_say_so(api: FlaskClient, path: str) -> None:
    answer = api.post(path, json={"force": True})

    assert answer.status_code == 400
    assert "unknown field 'force'; wanted: none at all" in answer.text


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "\x01", "x" * 201, "x" * 5_000])
def test_a_bad_idempotency_key_is_400(api: FlaskClient, stack: Stack, key: str) -> None:
    answer = api.post(RUN, headers={"Idempotency-Key": key})

    assert answer.status_code == 400
    assert stack.ledger.runs() == []


@pytest.mark.parametrize(
    "form",
    [
        b"key=%ff%00&key=2",
        b"key",
        b"&&&==",
        b"token=" + b"%f0" * 500,
        b"token=%ed%a0%80",
        b"key=" + b"a" * 60_000,
        b"a=1&" * 15_000,
    ],
)
def test_a_mangled_sign_in_form_is_a_refusal(client: FlaskClient, form: bytes) -> None:
    answer = client.post("/login", data=form, content_type="application/x-www-form-urlencoded")

    assert answer.status_code in (401, 413)


@pytest.mark.parametrize(
    "body",
    [
        b"--x\r\n\r\n",
        b"--x\r\nContent-Disposition: form-data; name=key\r\n\r\n\xff\r\n--x--",
        b"--x--",
        b"garbage",
        b"--x\r\nContent-Disposition: form-data; name=key; filename=f\r\n\r\na\r\n--x--",
        b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n" * 1_100 + b"--x--",
    ],
)
def test_a_mangled_multipart_form_is_a_refusal(client: FlaskClient, body: bytes) -> None:
    answer = client.post("/login", data=body, content_type="multipart/form-data; boundary=x")

    assert answer.status_code in (400, 401, 413)


@pytest.mark.parametrize(
    "cookie",
    ["echopilot=", "echopilot=\x00", "echopilot=" + "a" * 22, "echopilot=é", '="', ";;;=;", "echopilot=" + "x" * 7_000],
)
def test_a_mangled_cookie_is_nobody(client: FlaskClient, cookie: str) -> None:
    assert client.get("/live", headers={"Cookie": cookie.encode().decode("latin-1")}).status_code == 401


def test_a_body_that_is_too_large_is_413_before_it_is_read(client: FlaskClient) -> None:
    """S31: also where nobody would read it."""
    for path in ("/", "/api/exec/brief", "/login", "/nope"):
        answer = client.post(path, data=b"x" * (BODY_MOST + 1), content_type="application/json")
        assert answer.status_code == 413, path


def test_a_body_of_unknown_length_ends_at_the_limit(app: Flask) -> None:
    """S31: chunked for ever."""

    class Endless:
        read_bytes = 0

        def read(self, size: int = -1) -> bytes:
            self.read_bytes += max(size, 1_000)
            assert self.read_bytes < 10 * BODY_MOST
            return b"x" * max(size, 1_000)

        readline = read

    stream = Endless()
    answer = app.test_client().post(
        RUN,
        headers={"X-Dash-Key": KEY, "Transfer-Encoding": "chunked", "Content-Type": "application/json"},
        environ_overrides={"wsgi.input": stream, "wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    )

    assert answer.status_code == 413


def test_a_broken_connection_is_not_a_500(app: Flask) -> None:
    class Broken:
        def read(self, size: int = -1) -> bytes:
            raise OSError("connection reset")

        readline = read

    answer = app.test_client().post(
        RUN,
        headers={"X-Dash-Key": KEY, "Content-Type": "application/json"},
        environ_overrides={"wsgi.input": Broken(), "CONTENT_LENGTH": "100"},
    )

    assert answer.status_code == 400


def test_an_error_that_should_not_be_shows_an_id_and_logs_the_rest(
    app: Flask,
    api: FlaskClient,
    browser: Browser,
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """S26"""
    monkeypatch.setattr(stack.ledger, "last_runs", lambda: {}["a secret thing"])

    answer = api.get("/api/jobs")

    assert answer.status_code == 500
    assert answer.json is not None
    assert "secret" not in answer.text
    logged = json.loads(capsys.readouterr().err.strip().splitlines()[-1])
    assert logged["request_id"] == answer.json["request_id"] == answer.headers["X-Request-Id"]
    assert "KeyError: 'a secret thing'" in logged["traceback"]
    assert KEY not in json.dumps(logged)


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=500)
@given(body=st.binary(max_size=400) | any_json.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")))
def test_any_body_is_an_object_or_a_refusal(body: bytes) -> None:
    found = _read(body)

    if isinstance(found, EchoPilotError):
        assert 400 <= found.status < 500
        assert str(found).isascii()
    else:
        assert json.loads(json.dumps(found, allow_nan=False)) == found


def _read(body: bytes) -> dict[str, Any] | EchoPilotError:
    try:
        return inputs.json_object(body, "application/json")
    except EchoPilotError as error:
        return error


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    method=st.sampled_from(["GET", "POST", "PUT"]),
    path=st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    prefix=st.sampled_from(
        ["/", "/api/", "/api/jobs/", "/api/runs/", "/runs/", "/artefacts/", "/static/", "/jobs/", "/scheduler/"]
    ),
    query=st.dictionaries(
        st.sampled_from(["limit", "before", "state", "job", "token", "next", "run", "v"]), st.text(max_size=20)
    ),
    key=st.sampled_from([KEY, None]),
    body=st.binary(max_size=60),
)
def test_no_request_makes_a_500(
    app: Flask, method: str, path: str, prefix: str, query: dict[str, str], key: str | None, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"} | ({"X-Dash-Key": key} if key else {})

    asked = {name: value.encode("utf-8", "replace") for name, value in query.items()}
    answer = app.test_client().open(
        prefix + path.replace("?", ""),
        method=method,
        query_string=asked,
        headers=headers,
        data=None if method == "GET" else body,
    )

    assert answer.status_code < 500 or (answer.status_code == 502 and "/api/exec" in prefix + path)


def test_what_a_caller_sent_is_repeated_in_ascii_and_cut() -> None:
    shown = inputs.shown("\x1b[31m\u202eevil" + "x" * 500)

    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) == 80


def test_the_form_of_a_session_may_not_be_smuggled_as_another_kind(browser: Browser) -> None:
    answer = browser.client.post(
        "/logout", data=b"form_token=" + browser.token.encode(), content_type="text/plain", headers=SAME_ORIGIN
    )

    assert answer.status_code == 403
