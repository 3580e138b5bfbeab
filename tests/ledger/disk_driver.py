"""A ledger on a disk that is full: `python disk_driver.py MEANS FOLDER`. Prints `well` when every promise was kept.

MEANS is `disk` on a small disk of its own, or `limit`: no file may grow beyond 48 KiB, which any account may ask for.
"""

from __future__ import annotations

import resource
import sys
from contextlib import closing
from pathlib import Path

from keepkit import commit_run, new_ledger, opened, run_ids

from echopilot_jobs.errors import LedgerUnavailable
from echopilot_jobs.ledger.reserve import Reserve, is_full

LIMIT = 48 * 1024


def main() -> None:
    """Fill it, give the reserve, write again, make room, take the reserve back."""
    means, folder = sys.argv[1], Path(sys.argv[2])
    path = folder / "ledger.sqlite3"
    new_ledger(path)
    reserve = Reserve(path, 256 * 1024)
    assert means == "limit" or reserve.take()
    with opened(path) as db:
        db.execute("pragma wal_checkpoint(truncate)").fetchone()
        ballast = folder / "ballast"
        _fill(means, ballast)
        done, error = 0, None
        while error is None:
            try:
                done = commit_run(db)
            except LedgerUnavailable as failure:
                error = failure
        assert is_full(error, folder), error
        assert not Reserve(path.with_name("other")).take()
        assert not list(folder.glob("*.draft"))
        if means == "disk":
            assert reserve.release()
            assert not reserve.held
            assert commit_run(db) == done + 1, "the space given was not enough for one more"
            done += 1
            assert not reserve.take(), "taken on a full disk"
        _make_room(means, ballast)
        assert commit_run(db) == done + 1
    assert reserve.take()
    assert reserve.held
    assert run_ids(path) == list(range(1, done + 2))
    print("well")


def _fill(means: str, ballast: Path) -> None:
    if means == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))
        return
    with closing(ballast.open("wb", buffering=0)) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            return


def _make_room(means: str, ballast: Path) -> None:
    if means == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    else:
        ballast.unlink()


if __name__ == "__main__":
    main()
