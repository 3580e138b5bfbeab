"""How a worker of the web lets go of the ledger when it ends."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.ledger.identity import write_mark
from echopilot_jobs.settings import Settings
from echopilot_jobs.stack.gunicorn_conf import _may_be_another

WORKER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from echopilot_jobs.ledger import GuestLedger
from echopilot_jobs.stack.gunicorn_conf import worker_exit

ledger = GuestLedger(Path(sys.argv[1]))
ledger.take_lease("b:2:1", "h", "r", datetime.now(UTC))
print("open", flush=True)
sys.stdin.readline()
worker_exit(None, SimpleNamespace(booted=True))
ledger.close()
"""


def test_a_worker_that_cannot_tell_does_not_close_its_ledger_F19(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3.mark.json").mkdir()

    assert _may_be_another(tmp_path / "ledger.sqlite3")


@pytest.mark.process
@pytest.mark.parametrize("laid_over", [True, False])
def test_a_worker_closes_its_ledger_unless_a_copy_was_laid_over_it_F19(settings: Settings, laid_over: bool) -> None:
    """Closed by the last one, SQLite moves the log into the file: into the copy that was laid there."""
    path, older = settings.ledger_path, settings.home / "older"
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(SqliteLedger(path)) as scheduler:
        scheduler.take_lease("b:1:1", "h", "r", datetime.now(UTC))
        known = scheduler.identity()
    shutil.copy(path, older)
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert worker.stdout
    assert worker.stdout.readline() == "open\n"
    write_mark(path, known, datetime.now(UTC))
    if laid_over:
        subprocess.run(["cp", "-p", older, path], check=True)

    worker.communicate("end\n", timeout=30)

    assert worker.returncode == 0
    assert (path.read_bytes() == older.read_bytes()) is laid_over
    assert path.with_name("ledger.sqlite3-wal").exists() is laid_over
