"""`python -m echopilot_jobs` is the command `echopilot`."""

from __future__ import annotations

import gc
import signal
import sys

if __name__ == "__main__":
    # Before anything slow is imported: a stop that comes while modules load is a stop like any other.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # Loading modules makes tens of thousands of objects and hardly any garbage, so it need not be looked for all the time.
    gc.set_threshold(50_000)

from echopilot_jobs.cli import main

if __name__ == "__main__":
    sys.exit(main())
