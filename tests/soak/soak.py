"""One soak from beginning to end: storm, quiet stop, one last scheduler that puts everything in order, verdict."""

from __future__ import annotations

import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random

from echopilot_jobs.processes import Owner, command_line
from tests.soak.blows import Blows
from tests.soak.evidence import Evidence
from tests.soak.fleet import Fleet, eventually
from tests.soak.people import People
from tests.soak.records import Records
from tests.soak.storm import OF_CONTROL, Storm
from tests.soak.verdict import Finding, judge
from tests.soak.work import LEDGER

STOP_SECONDS = 30.0
SETTLE_SECONDS = 90.0
BLOWS_A_SECOND = 100 / 60
CONTROL = "tests.soak.control"

_SETTLED = """
select (select owner from stints order by id desc limit 1) as owner,
       (select started_at from stints order by id desc limit 1) as began,
       (select min(planned_through) from jobs where name in ('quick', 'note', 'beat')) as through,
       (select count(*) from runs where state = 'running' and stint_id < (select max(id) from stints)) as lost,
       (select count(*) from runs where state = 'queued' and id <= :last and not_before is null
               and job_id not in (select job_id from runs where state = 'running')) as waiting
"""
Told = Callable[[float, int], None]


def _tell_nobody(_seconds: float, _blows: int) -> None:
    """Where nobody watches."""


@dataclass
class Soak:
    """What came of one."""

    folder: Path
    seed: int
    seconds: float
    blows: Blows
    answers: Counter[int]
    evidence: Evidence
    findings: list[Finding]

    @property
    def kinds(self) -> Counter[str]:
        """How often each kind of promise was broken."""
        return Counter(finding.kind for finding in self.findings)


def soak(folder: Path, seconds: float, seed: int, told: Told = _tell_nobody) -> Soak:
    """A storm over a whole stack and a scheduler beside it, in *folder*, which must be empty; nothing is left running."""
    records, rng = Records(folder), Random(seed)
    fleet = Fleet(folder, records, rng)
    people = People(fleet.port, fleet.key, records, Random(seed + 1))
    return _carry_out(fleet, Storm(fleet, records, rng, bereaved=people.heal), records, people, seconds, seed, told)


def control(folder: Path, seconds: float, seed: int) -> Soak:
    """The same storm over two schedulers that have the effect before the claim: the verdict must be red."""
    records, rng = Records(folder), Random(seed)
    fleet = Fleet(folder, records, rng, module=CONTROL, whole=False)
    return _carry_out(fleet, Storm(fleet, records, rng, OF_CONTROL), records, None, seconds, seed)


def _carry_out(
    fleet: Fleet,
    storm: Storm,
    records: Records,
    people: People | None,
    seconds: float,
    seed: int,
    told: Told = _tell_nobody,
) -> Soak:
    real = people is not None
    try:
        for member in fleet.members:
            fleet.start(member)
        with people or nullcontext():
            storm.rage(seconds, round(seconds * BLOWS_A_SECOND) if real else 0, told)
        _wind_up(fleet, records, real=real)
    finally:
        fleet.end_everything()
    evidence, findings = judge(fleet.folder)
    return Soak(fleet.folder, seed, seconds, storm.blows, people.answers if people else Counter(), evidence, findings)


def _wind_up(fleet: Fleet, records: Records, *, real: bool) -> None:
    """Stop everybody in a hurry, let one scheduler put things in order, stop it in peace, and count what is left."""
    if not fleet.stop(STOP_SECONDS, hurry=True):
        records.add("too_slow", who="the fleet", seconds=STOP_SECONDS)
        fleet.end_everything()
    last = fleet.members[-1]
    newest = _ask(fleet.folder / LEDGER, "select max(id) from runs")
    fleet.start(last)
    if not eventually(lambda: _is_settled(fleet.folder / LEDGER, last.pids, newest, records), SETTLE_SECONDS):
        records.add("too_slow", who="the last scheduler's putting in order", seconds=SETTLE_SECONDS)
    if not fleet.stop(STOP_SECONDS):
        records.add("too_slow", who="the last scheduler", seconds=STOP_SECONDS)
    eventually(lambda: not fleet.census(), 3.0)  # what was killed a moment ago takes a moment to be gone
    for proc in fleet.census():
        records.add("orphan", pid=proc.pid, role=proc.role, mark=proc.mark, command=command_line(proc.pid))
    if real:
        _audit(fleet, records)


def _is_settled(ledger: Path, pids: list[int], newest: int, records: Records) -> bool:
    """Whether the last scheduler leads, plans, and nothing from before it runs or waits for no reason."""
    with closing(sqlite3.connect(ledger, timeout=20)) as db:
        owner, began, through, lost, waiting = db.execute(_SETTLED, {"last": newest}).fetchone()
    if through is None or Owner.parse(owner).pid not in pids or through < began + 2000 or lost or waiting:
        return False
    records.add("settled", began=began)
    return True


def _ask(ledger: Path, question: str) -> int:
    with closing(sqlite3.connect(ledger, timeout=20)) as db:
        return int(db.execute(question).fetchone()[0] or 0)


def _audit(fleet: Fleet, records: Records) -> None:
    """The product's own verdict, where it has one."""
    if (fleet.home / "echopilot_jobs" / "cli" / "audit.py").exists():
        command = ["python3", str(fleet.home / "bin" / "echopilot"), "audit"]
        said = subprocess.run(
            command, cwd=fleet.home, env=fleet.environment, capture_output=True, text=True, check=False
        )
        records.add("audit", code=said.returncode, said=said.stdout + said.stderr)
