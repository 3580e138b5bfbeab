"""Nobody unknown gets in, nothing foreign gets through, and every answer carries its headers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from echopilot_jobs.settings import Settings, load
from echopilot_jobs.testing import FakeClock
from echopilot_jobs.web.auth import Door, new_login_link
from echopilot_jobs.web.guard import OPEN
from echopilot_jobs.web.surroundings import Surroundings

from .conftest import KEY, SAME_ORIGIN, Browser, Stack

FROM_OUTSIDE = {"REMOTE_ADDR": "203.0.113.7"}
VALUES = {"name": "self_heal", "run_id": "1", "kind": "html", "filename": "echopilot.css", "verb": "start"}
VALUES |= {"hold": "1", "answer": "latest"}


def addresses(app: Flask) -> Iterator[tuple[str, str, str]]:
    """Every route as (endpoint, method, path)."""
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: VALUES[found[1]], rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD"}):
            yield rule.endpoint.removeprefix("echopilot."), method, path


def test_every_route_but_the_named_ones_turns_strangers_away(app: Flask, client: FlaskClient) -> None:
    """S2: a new open route fails here."""
    opened = set()
    for endpoint, method, path in addresses(app):
        answer = client.open(path, method=method)
        if answer.status_code not in (401, 303):
            opened.add(endpoint)
        elif answer.status_code == 303:
            assert answer.headers["Location"].startswith("/login"), path

    assert opened <= OPEN
    assert {"home", "login", "livez", "readyz", "health", "static"} <= opened


def test_no_route_answers_a_browsers_question_about_other_origins(app: Flask, api: FlaskClient) -> None:
    """S9"""
    for _, _, path in addresses(app):
        answer = api.options(path, headers={"Origin": "https://evil.example"})
        assert answer.status_code == 405 or path.startswith("/static"), path
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize(
    "key",
    ["", "wrong", "ключ".encode().decode("latin-1"), "\xff\xfe", f"{KEY},{KEY}", f" {KEY}x", "k" * 8_000, KEY.upper()],
)
def test_a_wrong_key_is_401_and_never_500(client: FlaskClient, key: str) -> None:
    """S3"""
    answer = client.get("/api/jobs", headers={"X-Dash-Key": key})

    assert answer.status_code == 401
    assert answer.json is not None
    assert answer.json["ok"] is False
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]


def test_a_wrong_key_is_refused_on_open_routes_too(client: FlaskClient) -> None:
    """S7: otherwise they could be guessed against."""
    assert client.get("/health", headers={"X-Dash-Key": "wrong"}).status_code == 401


def test_the_right_key_opens_the_api(api: FlaskClient) -> None:
    assert api.get("/api/jobs").status_code == 200


@pytest.fixture
def tls(make_app: Callable[..., Flask], stack: Stack) -> Flask:
    """The application behind one declared proxy that speaks TLS."""
    return make_app(surroundings=Surroundings(proxies=1))


def behind(address: str, **headers: str) -> dict[str, Any]:
    return {"headers": {"X-Forwarded-For": address, "X-Forwarded-Proto": "https", **headers}}


def test_a_guesser_waits_with_the_right_key_too_while_others_do_not(tls: Flask, clock: FakeClock) -> None:
    """S7: header and form share the count, and a spoofed first hop changes nothing."""
    client = tls.test_client()

    codes = [
        client.get("/api/jobs", **behind(f"10.0.0.{n}, 203.0.113.7", **{"X-Dash-Key": "wrong"})).status_code
        for n in range(4)
    ]
    codes.append(client.post("/login", data={"key": "wrong"}, **behind("203.0.113.7")).status_code)
    blocked = client.get("/api/jobs", **behind("203.0.113.7", **{"X-Dash-Key": KEY}))
    form = client.post("/login", data={"key": KEY}, **behind("203.0.113.7"))
    other = client.get("/api/jobs", **behind("198.51.100.2", **{"X-Dash-Key": KEY}))
    clock.sleep(60)
    later = client.get("/api/jobs", **behind("203.0.113.7", **{"X-Dash-Key": KEY}))

    assert codes == [401] * 5
    assert (blocked.status_code, blocked.headers["Retry-After"]) == (429, "60")
    assert form.status_code == 429
    assert other.status_code == 200
    assert later.status_code == 200


def test_an_undeclared_proxy_can_lock_nobody_out_for_more_than_a_minute(client: FlaskClient, clock: FakeClock) -> None:
    """S7: the scheduler's own calls come from the same address."""
    for _ in range(12):
        for _ in range(5):
            client.get("/api/jobs", headers={"X-Dash-Key": "wrong", "X-Forwarded-For": "203.0.113.7"})
        clock.sleep(60)
        assert client.get("/api/jobs", headers={"X-Dash-Key": KEY, "X-Forwarded-For": "203.0.113.7"}).status_code == 200
        assert client.get("/api/jobs", headers={"X-Dash-Key": KEY}).status_code == 200


def test_wrong_keys_from_this_machine_do_not_keep_our_own_scheduler_out(client: FlaskClient) -> None:
    """S7, I15: the right key works at once, a wrong one still waits; behind an undeclared proxy both wait."""
    codes = [client.get("/api/jobs", headers={"X-Dash-Key": "wrong"}).status_code for _ in range(7)]
    proxied = {"X-Forwarded-For": "203.0.113.7"}
    proxied_codes = [client.get("/api/jobs", headers={"X-Dash-Key": "wrong", **proxied}).status_code for _ in range(6)]

    assert codes == [401] * 5 + [429] * 2
    assert client.get("/api/jobs", headers={"X-Dash-Key": KEY}).status_code == 200
    assert proxied_codes[-1] == 429
    assert client.get("/api/jobs", headers={"X-Dash-Key": KEY, **proxied}).status_code == 429


# -- cookies


def cookie(answer: Any) -> str:
    (found,) = answer.headers.getlist("Set-Cookie")
    return str(found)


def test_the_cookie_is_hidden_from_scripts_and_other_sites(client: FlaskClient) -> None:
    """S5"""
    found = cookie(client.post("/login", data={"key": KEY}))

    assert re.fullmatch(r"echopilot=[\w-]{22}; HttpOnly; Path=/; SameSite=Strict", found)
    assert KEY not in found


def test_over_tls_the_cookie_is_bound_to_the_host(tls: Flask) -> None:
    """S5"""
    answer = tls.test_client().post("/login", data={"key": KEY}, **behind("203.0.113.7"))

    assert re.fullmatch(r"__Host-echopilot=[\w-]{22}; Secure; HttpOnly; Path=/; SameSite=Strict", cookie(answer))
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_in_a_replit_workspace_the_cookie_works_inside_the_preview_frame(make_app: Callable[..., Flask]) -> None:
    there = Surroundings.of(load(), {"REPL_ID": "x"})
    answer = make_app(surroundings=there).test_client().post("/login", data={"key": KEY}, **behind("203.0.113.7"))

    assert re.fullmatch(
        r"__Host-echopilot=[\w-]{22}; Secure; HttpOnly; Path=/; SameSite=None; Partitioned", cookie(answer)
    )
    assert "frame-ancestors https://replit.com" in answer.headers["Content-Security-Policy"]
    assert "X-Frame-Options" not in answer.headers


def test_a_replit_deployment_is_framed_by_nobody(make_app: Callable[..., Flask]) -> None:
    there = Surroundings.of(load(), {"REPL_ID": "x", "REPLIT_DEPLOYMENT": "1"})
    answer = make_app(surroundings=there).test_client().post("/login", data={"key": KEY}, **behind("203.0.113.7"))

    assert "SameSite=Strict" in cookie(answer)
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_signing_in_again_gives_a_new_identity_and_kills_the_old(app: Flask, browser: Browser) -> None:
    """S4"""
    old = browser.client.get_cookie("echopilot")
    assert old is not None
    answer = browser.client.post("/login", data={"key": KEY}, headers=SAME_ORIGIN)
    copied = app.test_client()
    copied.set_cookie("echopilot", old.value)

    assert answer.status_code == 303
    assert cookie(answer).split("=")[1] != old.value
    assert copied.get("/live").status_code == 401


def test_signing_out_kills_copies_of_the_cookie(app: Flask, browser: Browser) -> None:
    """S6"""
    copied = app.test_client()
    ticket = browser.client.get_cookie("echopilot")
    assert ticket is not None
    copied.set_cookie("echopilot", ticket.value)
    assert copied.get("/live").status_code == 200

    assert browser.post("/logout").status_code == 303

    assert copied.get("/live").status_code == 401


# -- forms


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "neither Origin nor Sec-Fetch-Site"),
        ({"Origin": "null"}, "another origin"),
        ({"Origin": "https://evil.example"}, "another origin"),
        ({"Origin": "http://localhost.evil.example"}, "another origin"),
        ({"Origin": "http://localhost:81"}, "another origin"),
        ({"Origin": "http://[::1"}, "another origin"),
        ({"Origin": "file://localhost"}, "another origin"),
        ({"Sec-Fetch-Site": "cross-site"}, "another origin"),
        ({"Sec-Fetch-Site": "same-site"}, "another origin"),
        ({"Sec-Fetch-Site": "none"}, "another origin"),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}, "another origin"),
    ],
)
def test_a_form_of_another_site_is_refused(browser: Browser, stack: Stack, headers: dict[str, str], says: str) -> None:
    """S8"""
    answer = browser.client.post("/jobs/self_heal/run", data={"form_token": browser.token}, headers=headers)

    assert answer.status_code == 403
    assert says in answer.text
    assert stack.ledger.runs() == []


@pytest.mark.parametrize("token", [None, "", "x", "é", "0" * 64])
def test_a_form_without_its_token_is_refused(browser: Browser, stack: Stack, token: str | None) -> None:
    """S8"""
    data = {} if token is None else {"form_token": token}

    assert browser.client.post("/jobs/self_heal/run", data=data, headers=SAME_ORIGIN).status_code == 403
    assert browser.client.post("/api/jobs/self_heal/run", json={}, headers=SAME_ORIGIN).status_code == 403
    assert stack.ledger.runs() == []


def test_the_token_of_another_session_is_refused(app: Flask, browser: Browser) -> None:
    """S8"""
    other = Browser(app).token

    answer = browser.client.post("/jobs/self_heal/run", data={"form_token": other}, headers=SAME_ORIGIN)

    assert answer.status_code == 403


def test_json_in_disguise_is_refused_for_a_session(browser: Browser, stack: Stack) -> None:
    """S8: a cross-site page may send text/plain, never our headers."""
    answer = browser.client.post("/api/jobs/self_heal/run", data="{}", content_type="text/plain", headers=SAME_ORIGIN)

    assert answer.status_code == 403
    assert stack.ledger.runs() == []


def test_a_key_beside_a_cookie_does_not_excuse_a_foreign_form(browser: Browser) -> None:
    """S8"""
    headers = {"X-Dash-Key": KEY, "Origin": "https://evil.example"}

    assert browser.client.post("/api/jobs/self_heal/run", headers=headers).status_code == 403


def test_nothing_changes_by_looking(app: Flask, browser: Browser, stack: Stack) -> None:
    """S8: no GET triggers anything."""
    for endpoint, method, path in addresses(app):
        if method == "GET" and endpoint != "static":
            browser.client.get(path)

    assert stack.ledger.runs() == []


def test_a_session_may_use_the_api_with_its_form_token(browser: Browser) -> None:
    headers = {**SAME_ORIGIN, "X-Form-Token": browser.token}

    assert browser.client.post("/api/jobs/self_heal/run", json={}, headers=headers).status_code == 202


# -- the one-time link


def token_of(home: Settings, clock: FakeClock) -> str:
    return new_login_link(home, clock.now()).partition("token=")[2]


def test_looking_at_a_link_spends_nothing_and_its_button_works_once(
    app: Flask, home: Settings, clock: FakeClock
) -> None:
    token = token_of(home, clock)
    client = app.test_client()

    looks = [client.get(f"/login?token={token}") for _ in range(3)]
    first = client.post("/login", data={"token": token}, headers=SAME_ORIGIN)
    second = app.test_client().post("/login", data={"token": token}, headers=SAME_ORIGIN)

    assert all(look.status_code == 200 and "Sign in here" in look.text for look in looks)
    assert (first.status_code, first.headers["Location"]) == (303, "/")
    assert client.get("/live").status_code == 200
    assert second.status_code == 401
    assert "used before" in second.text


def test_a_link_works_in_a_browser_that_is_already_signed_in(
    browser: Browser, home: Settings, clock: FakeClock
) -> None:
    answer = browser.client.post("/login", data={"token": token_of(home, clock)}, headers=SAME_ORIGIN)

    assert answer.status_code == 303


def test_a_foreign_site_cannot_sign_anybody_in(client: FlaskClient, home: Settings, clock: FakeClock) -> None:
    data = {"token": token_of(home, clock)}

    assert client.post("/login", data=data, headers={"Origin": "https://evil.example"}).status_code == 403
    assert client.post("/login", data=data, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


ELSEWHERE = """//evil.example https://evil.example /\\evil.example \\\\evil run-1/../.. run- run-1x run-٣ javascript:alert(1)
/runs/1 %2f%2fevil.example /%09/evil.example run-1%0d%0aX:1 http:evil ?next=//evil ///evil //evil%00 /@evil .evil"""


@pytest.mark.parametrize("wanted", [*ELSEWHERE.split(), "\t//evil", "run-1\n", " run-1"])
def test_signing_in_leads_to_our_own_pages_alone(client: FlaskClient, wanted: str) -> None:
    """S18"""
    answer = client.post("/login", data={"key": KEY, "next": wanted})

    assert answer.headers["Location"] == "/"


def test_signing_in_leads_back_to_the_run_one_wanted_to_see(client: FlaskClient) -> None:
    asked = client.get("/runs/12", headers={"Accept": "text/html"})
    page = client.get(asked.headers["Location"])
    answer = client.post("/login", data={"key": KEY, "next": "run-12"})

    assert asked.headers["Location"] == "/login?next=run-12"
    assert 'name="next" value="run-12"' in page.text
    assert answer.headers["Location"] == "/runs/12"


def test_a_form_token_that_lapsed_says_what_to_do(app: Flask, browser: Browser, clock: FakeClock) -> None:
    token = browser.token
    clock.sleep(9 * 3600)

    answer = browser.client.post("/jobs/self_heal/run", data={"form_token": token}, headers=SAME_ORIGIN)
    part = browser.client.get("/live", headers={"HX-Request": "true"})

    assert answer.status_code == 401
    assert part.status_code == 401
    assert part.headers["HX-Refresh"] == "true"


# -- headers


def test_every_answer_is_sealed(app: Flask, api: FlaskClient, browser: Browser) -> None:
    """S10, S11: pages, errors, files, refusals."""
    answers = [api.open(path, method=method) for _, method, path in addresses(app)]
    answers += [browser.client.get(path) for _, method, path in addresses(app) if method == "GET"]
    answers += [
        api.get("/nope"),
        app.test_client().get("/api/jobs"),
        api.delete("/api/jobs"),
        api.get("/static/nope.js"),
    ]
    etag = browser.client.get("/static/echopilot.css").headers["ETag"]
    answers.append(browser.client.get("/static/echopilot.css", headers={"If-None-Match": etag}))

    assert {304, 404, 405, 401, 200, 303} <= {answer.status_code for answer in answers}
    for answer in answers:
        where = f"{answer.request.method} {answer.request.path} {answer.status_code}"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy, where
        assert "base-uri 'none'" in policy, where
        assert "unsafe-eval" not in policy, where
        assert "unsafe-inline" not in policy or policy.startswith("sandbox;"), where
        assert answer.headers["X-Content-Type-Options"] == "nosniff", where
        assert answer.headers["Referrer-Policy"] in ("same-origin", "no-referrer"), where
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin", where
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin", where
        assert answer.headers["Cache-Control"] in ("no-store", "no-cache"), where
        assert "no-store" in answer.headers["Cache-Control"] or answer.request.path.startswith("/static/"), where
        assert answer.headers["X-Frame-Options"] == "DENY", where
        assert "Werkzeug" not in answer.headers.get("Server", ""), where


def test_only_static_files_may_be_kept(client: FlaskClient) -> None:
    """S11"""
    versioned = re.search(r'href="(/static/echopilot.css\?v=[0-9a-f]{12})"', client.get("/").text)
    assert versioned

    assert "immutable" in client.get(versioned[1]).headers["Cache-Control"]
    assert client.get("/").headers["Cache-Control"] == "no-store"


def test_a_changed_key_ends_the_sessions_of_the_old_one(
    make_app: Callable[..., Flask], home: Settings, browser: Browser
) -> None:
    """S6"""
    ticket = browser.client.get_cookie("echopilot")
    assert ticket is not None
    changed = make_app(settings=replace(home, dashboard_key=type(home.dashboard_key)("another-key-0123456789")))
    client = changed.test_client()
    client.set_cookie("echopilot", ticket.value)

    assert client.get("/live").status_code == 401


def test_a_full_disk_keeps_neither_the_key_nor_the_session_out(
    app: Flask, api: FlaskClient, browser: Browser, home: Settings, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F24: reading goes on when sessions cannot be written."""
    (home.var_dir / "web.sqlite3").chmod(0o400)
    monkeypatch.setattr(Door, "_writing", _refuse_to_write)
    clock.sleep(300)

    assert browser.client.get("/live").status_code == 200
    assert api.get("/api/jobs").status_code == 200
    answer = app.test_client().post("/login", data={"key": KEY})
    assert answer.status_code == 503


def _refuse_to_write(self: Door) -> Any:
    from echopilot_jobs.web.auth import SessionsUnavailable

    raise SessionsUnavailable("the sessions in 'web.sqlite3' cannot be used: database or disk is full")
