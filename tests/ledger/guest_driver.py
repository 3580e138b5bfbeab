"""Works on the ledger at PATH without leading it, as the web does: `python guest_driver.py PATH`.

Every line on standard input is a key to ask for a run with; the answer is the run's number, or the sentence of a refusal. At
the end of the input it closes what it has open, in good order.
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from keepkit import NOW

from echopilot_jobs.errors import EchoPilotError
from echopilot_jobs.ledger import GuestLedger
from echopilot_jobs.runs import Origin


def asked(ledger: GuestLedger, key: str) -> str:
    """What became of one request."""
    try:
        return str(ledger.request_run("work", NOW, origin=Origin.RETRY, request_key=key)[0].id)
    except EchoPilotError as error:
        return str(error)


if __name__ == "__main__":
    with closing(GuestLedger(Path(sys.argv[1]))) as ledger:
        print("open", flush=True)
        for line in sys.stdin:
            print(asked(ledger, line.strip()), flush=True)
