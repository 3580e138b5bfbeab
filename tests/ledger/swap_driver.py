"""Carries out exchanges and is killed before the N-th change of a file: a line `N WHAT LEDGER` each, answered by a status.

Each is done by a process of its own, forked here where no thread is.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from keepkit import NOW

from echopilot_jobs.ledger.backup import restore
from echopilot_jobs.ledger.swap import part, set_aside

CHANGES = {"os.rename", "os.remove", "open", "os.mkdir", "os.link", "sqlite3.connect"}


def main() -> None:
    """Until standard input ends."""
    for line in sys.stdin:
        deadly, what, ledger = line.rstrip("\n").split(" ", 2)
        child = os.fork()
        if not child:
            carry_out(int(deadly), what, Path(ledger))
        print(os.waitpid(child, 0)[1], flush=True)


def carry_out(deadly: int, what: str, ledger: Path) -> None:
    """In the child: never returns."""
    seen = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event in CHANGES and str(ledger.parent) in str(arguments[0]):
            seen += 1
            if seen == deadly:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    if what == "restore":
        restore(ledger.with_name("backup"), ledger, NOW)
    else:
        {"part": part, "set_aside": set_aside}[what](ledger, NOW)
    os._exit(0)


if __name__ == "__main__":
    main()
