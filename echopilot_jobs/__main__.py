"""`python -m echopilot_jobs` is the command `echopilot`."""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":
    # Before anything slow is imported: a stop that comes while modules load is a stop like any other.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

from echopilot_jobs.cli import main

if __name__ == "__main__":
    sys.exit(main())
