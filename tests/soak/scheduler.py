"""The real scheduler with the soak's jobs: `python -m tests.soak.scheduler`."""

from __future__ import annotations

import signal
import sys

if __name__ == "__main__":
    # As in the product's own entry: a stop that comes while modules load is a stop like any other.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

from echopilot_jobs.scheduler import main
from echopilot_jobs.settings import load
from tests.soak.jobs import registry

if __name__ == "__main__":
    sys.exit(main(load(), registry()))
