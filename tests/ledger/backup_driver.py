"""Processes around a backup: `python backup_driver.py WHAT LEDGER TARGET [N]`."""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path

from keepkit import commit_run, opened

from echopilot_jobs.errors import EchoPilotError
from echopilot_jobs.ledger import copying
from echopilot_jobs.ledger.backup import back_up


def main() -> int:
    """`write`: commit until killed. `die`: be killed at step N of a backup. `limit`: no file beyond N bytes."""
    what, ledger, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    copying.STEP_PAGES = 5
    if what == "write":
        with opened(ledger) as db:
            while True:
                print(commit_run(db), flush=True)
    left = int(sys.argv[4])

    def die(_done: int, _total: int) -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    if what == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (left, resource.RLIM_INFINITY))
    try:
        back_up(ledger, target, die if what == "die" else None)
    except EchoPilotError as error:
        print(error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
