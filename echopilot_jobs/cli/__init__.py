"""The command `echopilot`: data on standard output, talk on standard error, and exit codes that mean something.

0 done; 1 it failed; 2 the command was wrong; 3 refused in the present state; 78 settings or definitions cannot be used;
130 interrupted; 141 the reader of the output went away. Each verb is a module of its own, loaded when it is called.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line (this process's own by default) and return its exit code.

    A person's slip becomes a line on standard error, never a traceback.
    """
    try:
        # Inside, because a Ctrl-C that strikes while modules load deserves the same quiet end.
        from echopilot_jobs.cli.door import carry_out

        return carry_out(sys.argv[1:] if arguments is None else list(arguments))
    except KeyboardInterrupt:
        return INTERRUPTED
