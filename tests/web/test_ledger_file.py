"""The ledger's file as the web holds it while it is replaced."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.web.services import LedgerFile


@pytest.fixture
def uncollected() -> Iterator[None]:
    """What is dropped goes at once, or stays."""
    gc.disable()
    yield
    gc.enable()


def put_another(path: Path) -> None:
    """A new ledger in the place of the one at *path*."""
    incoming = path.with_name("incoming")
    SqliteLedger(incoming).close()
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    incoming.replace(path)


@pytest.mark.usefixtures("uncollected")
def test_of_a_ledger_that_was_replaced_nothing_stays_open(tmp_path: Path) -> None:
    """A web that lives for months meets many restores."""
    path = tmp_path / "ledger.sqlite3"
    put_another(path)
    source = LedgerFile(path)
    source.open()
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(5):
        put_another(path)
        assert source.open().job_names() == []

    assert len(list(Path("/proc/self/fd").iterdir())) == before
