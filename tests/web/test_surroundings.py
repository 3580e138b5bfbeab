"""Hosts, proxies and plain HTTP: what is believed about the outside of a request."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from echopilot_jobs.errors import ConfigError
from echopilot_jobs.settings import load
from echopilot_jobs.testing import FakeClock
from echopilot_jobs.web.surroundings import Surroundings

from .conftest import KEY

FROM_OUTSIDE = {"REMOTE_ADDR": "203.0.113.7"}


@pytest.mark.parametrize("host", ["", "a b", "a/b", "evil\\", "a@b", "a:99999999", "[::1", "<script>", "x" * 300])
def test_a_malformed_host_is_400(client: FlaskClient, host: str) -> None:
    """S19"""
    assert client.get("/livez", headers={"Host": host}).status_code == 400


def test_with_a_list_of_hosts_others_are_421(make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch) -> None:
    """S19"""
    monkeypatch.setenv("ECHOPILOT_HOSTS", "jobs.example, ops.example")
    client = make_app(surroundings=Surroundings.of(load())).test_client()

    found = {
        host: client.get("/livez", headers={"Host": host}).status_code
        for host in (
            "jobs.example",
            "OPS.example:5000",
            "localhost:5000",
            "127.0.0.1",
            "evil.example",
            "jobs.example.evil",
        )
    }

    assert found == {
        "jobs.example": 200,
        "OPS.example:5000": 200,
        "localhost:5000": 200,
        "127.0.0.1": 200,
        "evil.example": 421,
        "jobs.example.evil": 421,
    }


@pytest.mark.parametrize(
    ("surroundings", "environ", "https", "client", "may"),
    [
        (Surroundings(), {"HTTP_X_FORWARDED_PROTO": "https", "REMOTE_ADDR": "203.0.113.7"}, False, "203.0.113.7", False),
        (Surroundings(), {"REMOTE_ADDR": "127.0.0.1"}, False, "127.0.0.1", True),
        (Surroundings(), {"REMOTE_ADDR": "::1"}, False, "::1", True),
        (Surroundings(), {"REMOTE_ADDR": "::ffff:127.0.0.1"}, False, "127.0.0.1", True),
        (Surroundings(), {"REMOTE_ADDR": "172.17.0.1", "HTTP_HOST": "localhost:5000"}, False, "172.17.0.1", True),
        (Surroundings(), {"REMOTE_ADDR": "172.17.0.1", "HTTP_HOST": "10.0.0.5:5000"}, False, "172.17.0.1", False),
        (Surroundings(), {"REMOTE_ADDR": "203.0.113.7", "wsgi.url_scheme": "https"}, True, "203.0.113.7", True),
        (Surroundings(plain_http=True), {"REMOTE_ADDR": "203.0.113.7"}, False, "203.0.113.7", True),
        (
            Surroundings(proxies=1),
            {"HTTP_X_FORWARDED_PROTO": "http, https", "HTTP_X_FORWARDED_FOR": "1.1.1.1, 2.2.2.2"},
            True, "2.2.2.2", True,
        ),
        (
            Surroundings(proxies=2),
            {"HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_FORWARDED_FOR": "9.9.9.9, 1.1.1.1, 2.2.2.2"},
            True, "1.1.1.1", True,
        ),
        (Surroundings(proxies=1), {"HTTP_X_FORWARDED_FOR": "garbage", "REMOTE_ADDR": "10.0.0.2"}, False, "unknown", False),
        (Surroundings(proxies=1), {"REMOTE_ADDR": "2001:db8:1:2:3::4"}, False, "2001:db8:1:2::/64", False),
    ],
)  # fmt: skip
def test_forwarded_headers_count_only_from_declared_proxies(
    surroundings: Surroundings, environ: dict[str, str], https: bool, client: str, may: bool
) -> None:
    """S29, S30"""
    assert surroundings.is_https(environ) is https
    assert surroundings.client(environ) == client
    assert surroundings.may_sign_in(environ) is may


def test_plain_http_from_outside_takes_no_key(app: Flask, clock: FakeClock) -> None:
    """S30: neither in the form nor in the header, and the page says what to do instead."""
    client = app.test_client()
    client.environ_base.update(FROM_OUTSIDE)
    client.environ_base["HTTP_HOST"] = "192.0.2.1:5000"

    page = client.get("/", headers={"Host": "192.0.2.1:5000"})
    form = client.post("/login", data={"key": KEY}, headers={"Host": "192.0.2.1:5000"})
    header = client.get("/api/jobs", headers={"Host": "192.0.2.1:5000", "X-Dash-Key": KEY})

    assert page.status_code == 200
    assert "plain HTTP" in page.text
    assert 'name="key"' not in page.text
    assert (form.status_code, header.status_code) == (403, 403)
    assert "ssh -L" in header.text


@pytest.mark.parametrize(
    "environment",
    [
        {"ECHOPILOT_TRUSTED_PROXIES": "many"},
        {"ECHOPILOT_TRUSTED_PROXIES": "-1"},
        {"ECHOPILOT_HOSTS": "https://x"},
        {"ECHOPILOT_HOSTS": "a:80"},
        {"ECHOPILOT_PLAIN_HTTP": "yes"},
    ],
)
def test_a_bad_setting_is_refused_with_what_is_allowed(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ConfigError, match=r"ECHOPILOT_\w+: came .*; wanted: "):
        load()
