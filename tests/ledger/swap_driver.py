"""Carries out one exchange and is killed before the N-th change of a file: `python swap_driver.py N WHAT LEDGER`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from keepkit import NOW

from echopilot_jobs.ledger.backup import restore
from echopilot_jobs.ledger.keeping import make_ready
from echopilot_jobs.ledger.swap import set_aside

CHANGES = {"os.rename", "os.remove", "open", "os.mkdir", "os.link", "sqlite3.connect"}


def main() -> None:
    """Exit 0 when it got through alive."""
    deadly, what, ledger = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    seen = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event in CHANGES and str(ledger.parent) in str(arguments[0]):
            seen += 1
            if seen == deadly:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    if what == "set_aside":
        set_aside(ledger, NOW)
    elif what == "restore":
        restore(ledger.with_name("backup"), ledger, NOW)
    else:
        make_ready(ledger, NOW)


if __name__ == "__main__":
    main()
