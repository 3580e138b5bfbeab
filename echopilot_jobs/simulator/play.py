"""From a seed to a verdict."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from echopilot_jobs.records import record
from echopilot_jobs.simulator.evidence import Evidence
from echopilot_jobs.simulator.histories import History, history
from echopilot_jobs.simulator.machine import Machine
from echopilot_jobs.simulator.model import broken
from echopilot_jobs.simulator.truth import Truth
from echopilot_jobs.simulator.watch import Seen

FAST = Path("/dev/shm")  # nosec B108  # a disk in memory, where there is one


@record(frozen=True)
class Verdict:
    """What came of one history; *broken* names every promise that did not hold."""

    history: History
    truth: Truth
    seen: Seen
    broken: list[str]


def judge(seed: int) -> Verdict:
    """Play the history of *seed* and judge it."""
    return judged(history(seed))


def judged(made: History) -> Verdict:
    """Play *made* on a ledger of its own and judge it."""
    with stage(made) as machine:
        machine.play()
        held = bool(machine.watch.rows("select 1 from generations where held = 1"))
    truth, seen = machine.truth, machine.watch.seen
    return Verdict(made, truth, seen, broken(Evidence(truth, seen, made.group_limits, held=held)))


def steps_of(made: History, until: float = 70.0) -> list[str]:
    """The labels of the steps of all processes in the first seconds of a history."""
    with stage(made) as machine:
        machine.faults.counts_steps = True
        machine.first.start()
        machine.world.run_until(until)
        return machine.faults.labels


@contextmanager
def stage(made: History) -> Iterator[Machine]:
    """A machine for *made* with a disk of its own, gone when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="echopilot-sim-", dir=FAST if FAST.is_dir() else None))
    machine = Machine(made, folder)
    try:
        yield machine
    finally:
        machine.watch.close()
        machine.disk.close_all()
        shutil.rmtree(folder)
