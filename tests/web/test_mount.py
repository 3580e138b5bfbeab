"""The blueprint lives in an application of somebody else's."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from echopilot_jobs.settings import Settings
from echopilot_jobs.testing import FakeClock, MemoryLedger
from echopilot_jobs.web import blueprint

from .conftest import KEY, SAME_ORIGIN, Client, Stack, Table


@pytest.fixture
def host(home: Settings, ledger: MemoryLedger, clock: FakeClock, table: Table, stack: Stack) -> Flask:
    """An application with a page of its own and ours below `/ops`."""
    app = Flask("host")
    app.test_client_class = Client
    app.register_blueprint(blueprint(home, ledger, clock, table, exec_wait=0.0), url_prefix="/ops")
    app.add_url_rule("/", "front", lambda: "the host's own page")
    return app


def test_pages_and_api_work_below_a_prefix(host: Flask, stack: Stack) -> None:
    client: Any = host.test_client()
    assert client.get("/ops/api/jobs").status_code == 401
    assert client.get("/ops/api/jobs", headers={"X-Dash-Key": KEY}).status_code == 200

    client.post("/ops/login", data={"key": KEY})
    page = client.get("/ops/").text
    token = page.split('name="form_token" value="', 1)[1].split('"', 1)[0]
    queued = client.post("/ops/jobs/self_heal/run", data={"form_token": token}, headers=SAME_ORIGIN)

    assert 'hx-get="/ops/live"' in page
    assert 'href="/ops/static/echopilot.css?v=' in page
    assert queued.headers["Location"] == "/ops/?run=1"
    assert client.get("/ops/runs/1").status_code == 200
    assert client.get("/ops/runs/99").status_code == 404


def test_the_hosts_own_pages_stay_its_own(host: Flask) -> None:
    front = host.test_client().get("/")

    assert front.text == "the host's own page"
    assert "Content-Security-Policy" not in front.headers
    assert host.test_client().get("/nope").status_code == 404


def test_every_route_below_the_prefix_is_guarded(host: Flask) -> None:
    """S2"""
    client = host.test_client()

    assert client.post("/ops/api/self-heal").status_code == 401
    assert client.get("/ops/live").status_code == 401
    assert client.get("/ops/runs", headers={"Accept": "text/html"}).headers["Location"] == "/ops/login"
