"""`python -m echopilot_jobs` is the command `echopilot`."""

from __future__ import annotations

import sys

from echopilot_jobs.cli import main

if __name__ == "__main__":
    sys.exit(main())
