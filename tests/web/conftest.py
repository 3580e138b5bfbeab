"""A web application on a ledger in memory, with a clock that obeys and a process table that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from echopilot_jobs import builtin
from echopilot_jobs.ledger import Lease, Limits, SqliteLedger
from echopilot_jobs.runs import Outcome, Run
from echopilot_jobs.settings import Settings, load
from echopilot_jobs.supervision import Program
from echopilot_jobs.testing import FakeClock, MemoryLedger
from echopilot_jobs.web import create_app
from echopilot_jobs.web.auth import Door, door
from tests.programs import Table
from tests.schedulekit import reading

KEY = "correct-horse-battery-staple-9"


class Client(FlaskClient):
    """Reads every answer to its end, so that no file stays open behind it."""

    def open(self, *args: Any, buffered: bool = True, **kwargs: Any) -> Any:
        return super().open(*args, buffered=buffered, **kwargs)


class HourOld(Table):
    """Both programs up for an hour, until a test says otherwise."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        super().__init__([self.program("scheduler"), self.program("web")])

    def program(self, name: str, state: str = "RUNNING", age_s: float = 3600) -> Program:
        up = state in ("RUNNING", "STARTING")
        return Program(
            name, state, 71 if up else None, self._now - timedelta(seconds=age_s), None if up else 1, "as told"
        )


class Stack:
    """What a scheduler would do to the ledger, on demand."""

    def __init__(self, settings: Settings, ledger: SqliteLedger, clock: FakeClock) -> None:
        self.ledger, self.clock = ledger, clock
        self.registry = builtin.jobs(settings)
        self.lease = self.lead()

    def lead(self) -> Lease:
        """Become the planner and register the jobs."""
        self.lease = self.ledger.take_lease("boot:1:1", "atlas", "4f1c9e2d7a10", self.clock.now())
        with self.ledger.leading(self.lease, self.clock.now()) as transaction:
            transaction.standings(list(self.registry.values()))
        return self.lease

    def beat(self) -> None:
        """Renew the lease now."""
        with self.ledger.leading(self.lease, self.clock.now()) as transaction:
            transaction.renew(reading(self.clock.now()), planned=True)

    def start(self) -> Run:
        """Start what waits."""
        with self.ledger.leading(self.lease, self.clock.now()) as transaction:
            (run,) = transaction.start_ready(Limits(1))
        return run

    def finish(self, run: Run, outcome: Outcome) -> Run:
        """End it."""
        with self.ledger.leading(self.lease, self.clock.now()) as transaction:
            return transaction.finish(run, outcome)

    def carry_out(self, name: str, outcome: Outcome) -> Run:
        """A whole run of *name*."""
        self.ledger.request_run(name, self.clock.now())
        return self.finish(self.start(), outcome)


@pytest.fixture
def home(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a key and folders."""
    for name in (
        "REPL_ID",
        "REPLIT_DEPLOYMENT",
        "ECHOPILOT_HOSTS",
        "ECHOPILOT_TRUSTED_PROXIES",
        "ECHOPILOT_PLAIN_HTTP",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DASHBOARD_KEY", KEY)
    found = load()
    found.var_dir.mkdir(mode=0o700)
    found.logs_dir.mkdir()
    return found


@pytest.fixture
def ledger() -> Iterator[MemoryLedger]:
    """An empty ledger in memory."""
    store = MemoryLedger()
    yield store
    store.close()


@pytest.fixture
def stack(home: Settings, ledger: MemoryLedger, clock: FakeClock) -> Stack:
    """A scheduler leads and beats."""
    return Stack(home, ledger, clock)


@pytest.fixture
def table(clock: FakeClock) -> Table:
    """Both programs run."""
    return HourOld(clock.now())


@pytest.fixture
def make_app(home: Settings, ledger: MemoryLedger, clock: FakeClock, table: Table) -> Callable[..., Flask]:
    """`create_app` with this folder's parts; arguments replace them."""

    def make(**changes: Any) -> Flask:
        parts: dict[str, Any] = {
            "settings": home,
            "ledger": ledger,
            "clock": clock,
            "supervisor": table,
            "exec_wait": 0.0,
        }
        app = create_app(**{**parts, **changes})
        app.test_client_class = Client
        return app

    return make


@pytest.fixture
def app(make_app: Callable[..., Flask], stack: Stack) -> Flask:
    """The application beside a living scheduler."""
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Nobody in particular."""
    return app.test_client()


def with_key(app: Flask) -> FlaskClient:
    """A program that has the key."""
    found = app.test_client()
    found.environ_base["HTTP_X_DASH_KEY"] = KEY
    return found


@pytest.fixture
def api(app: Flask) -> FlaskClient:
    """A program that has the key."""
    return with_key(app)


class Browser:
    """A signed-in browser on the test client: same-origin headers and the form token come by themselves."""

    def __init__(self, app: Flask) -> None:
        self.client = app.test_client()
        self.client.environ_base["HTTP_ACCEPT"] = "text/html,application/xhtml+xml"
        answer = self.client.post("/login", data={"key": KEY}, headers=SAME_ORIGIN)
        assert answer.status_code == 303, answer.text

    @property
    def token(self) -> str:
        page = self.client.get("/").text
        return page.split('name="form_token" value="', 1)[1].split('"', 1)[0]

    def post(self, path: str, **headers: str) -> Any:
        return self.client.post(path, data={"form_token": self.token}, headers={**SAME_ORIGIN, **headers})


SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}


@pytest.fixture
def browser(app: Flask) -> Browser:
    """Somebody who has signed in with the key."""
    return Browser(app)


@pytest.fixture
def front_door(home: Settings) -> Door:
    """The sessions, links and failures of this home."""
    return door(home)
