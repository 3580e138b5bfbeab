"""What every test may ask for."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as examples
from playwright.sync_api import Browser, sync_playwright

from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.settings import Settings, load
from echopilot_jobs.testing import FakeClock, MemoryLedger

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# No test judges wall time, and neither may the library that makes examples: a busy machine is no failure.
examples.register_profile("here", examples(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
examples.load_profile("here")


def pytest_configure() -> None:
    """A shell that starts us in the background has us ignore Ctrl-C, and every process of a test would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without Chromium its tests are left out and counted as deselected; `bin/test` says so, and CI refuses it."""
    if CHROMIUM is None:
        out = [item for item in items if item.get_closest_marker("browser")]
        items[:] = [item for item in items if item not in out]
        config.hook.pytest_deselected(items=out)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """One browser for all tests; each test opens contexts of its own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-quic"])
        yield browser
        browser.close()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands at 07:59:30 UTC until it is told to move."""
    return FakeClock()


@pytest.fixture(params=["file", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteLedger]:
    """Every store in turn."""
    store = SqliteLedger(tmp_path / "ledger.sqlite3") if request.param == "file" else MemoryLedger()
    yield store
    store.close()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Default settings with a home of their own."""
    for name in ("DASHBOARD_KEY", "PORT", "SCHED_BRIEF_UTC", "SCHED_REPORT_UTC", "ECHOPILOT_SIGNALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("SCHED_SELFHEAL_EVERY_HOURS", raising=False)
    monkeypatch.setenv("ECHOPILOT_HOME", str(tmp_path))
    return load()
