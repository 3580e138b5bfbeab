"""The judgement of a soak: a slot's account, an effect's claim, an owner's term, a line of the log, one by one.

It shares no code with what it judges: slots are counted from the periods of the soak's own table.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from echopilot_jobs.clock import from_ms, iso, to_ms
from tests.soak.evidence import Account, Evidence, Row
from tests.soak.jobs import JOBS, PERIODS

WAL_MOST = 8 * 2**20
CLOCKS_APART_MS = 3_000  # a process stopped between reading the clock and writing what it read
GENTLE_EXITS = {"stack": {0, -9, -15, 75}}
EXITS = {0, 1, -9, -15}  # 1: it lost its lease or its lock and stepped down
RETRIED = {job.name for job in JOBS if job.idempotent or job.retries}
INLINE = {"beat"}


@dataclass(frozen=True)
class Finding:
    """One broken promise: of which kind, and the evidence in a sentence."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


def judge(folder: Path) -> tuple[Evidence, list[Finding]]:
    """Look at everything a soak left in *folder*."""
    evidence = Evidence.of(folder)
    return evidence, [Finding(kind, text) for kind, check in CHECKS for text in check(evidence)]


# -- slots


def lost(evidence: Evidence) -> Iterator[str]:
    """Every slot since registration has a disposition (I2)."""
    disposed = _disposed(evidence)
    settled = max((record["began"] for record in evidence.noted("settled")), default=0)
    for name, account in evidence.accounts.items():
        for generation, slot in sorted(_owed(name, account) - set(disposed[name])):
            yield f"{name} {_when(slot)} (generation {generation}) has neither run nor skip nor gap"
        yield from _holes(name, account)
        for slot in _slots(name, account.planned_through, settled):
            yield f"{name} {_when(slot)} was due before the last scheduler began and is not planned"


def doubled_slots(evidence: Evidence) -> Iterator[str]:
    """No slot has two dispositions, and none is one that never was (I1, I3)."""
    disposed = _disposed(evidence)
    for name, account in evidence.accounts.items():
        owed = _owed(name, account)
        for (generation, slot), count in sorted(disposed[name].items()):
            if count > 1:
                yield f"{name} {_when(slot)} (generation {generation}) has {count} dispositions"
            if (generation, slot) not in owed:
                yield f"{name} {_when(slot)} (generation {generation}) was never due"


def _owed(name: str, account: Account) -> set[tuple[int, int]]:
    spans = [(o.generation, to_ms(o.after), to_ms(o.until)) for o in account.obligations]
    return {(generation, slot) for generation, start, end in spans for slot in _slots(name, start, end)}


def _slots(name: str, after: int, until: int) -> range:
    """The job's slots in (after, until], counted from the epoch."""
    period = PERIODS[name]
    return range(after // (period * 1000) * period + period, until // 1000 + 1, period)


def _disposed(evidence: Evidence) -> dict[str, Counter[tuple[int, int]]]:
    """By job, how many dispositions each (generation, slot) has."""
    found: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
    for run in evidence.runs.values():
        if run["slot_at"] is not None and run["origin"] != "retry":
            found[run["job"]][run["generation"], run["slot_at"]] += 1
    for skip in evidence.skips:
        found[skip["job"]][skip["generation"], skip["slot_at"]] += 1
    for gap in evidence.gaps:
        slots = range(gap["first_at"], gap["last_at"] + 1, PERIODS[gap["job"]])
        found[gap["job"]].update((gap["generation"], slot) for slot in slots)
        # A gap that counts wrong is no account of its slots.
        found[gap["job"]][gap["generation"], gap["first_at"]] += len(slots) != gap["count"]
    return found


def _holes(name: str, account: Account) -> Iterator[str]:
    """The stretches a job owes in follow each other without a hole from its registration on."""
    spans = [(to_ms(o.after), to_ms(o.until), o.generation) for o in account.obligations]
    if not spans or spans[0][0] != account.first_seen:
        yield f"{name} owes nothing from its registration at {_when_ms(account.first_seen)} on"
    for (_, end, generation), (start, _, later) in pairwise(spans):
        if generation == later and start > end:
            yield f"{name} owed nothing from {_when_ms(end)} to {_when_ms(start)}"


def untrue_skips(evidence: Evidence) -> Iterator[str]:
    """A slot skipped for an overlap met an open run of its job; an expired one was late (I4, I32)."""
    by_job: dict[str, list[Row]] = defaultdict(list)
    for run in evidence.runs.values():
        by_job[run["job"]].append(run)
    for skip in evidence.skips:
        at = skip["decided_at"]
        open_then = [run for run in by_job[skip["job"]] if run["claimed_at"] <= at <= (run["finished_at"] or at)]
        if skip["reason"] == "overlap" and not open_then:
            yield f"{skip['job']} {_when(skip['slot_at'])} was skipped for an overlap with nothing"
        if skip["reason"] == "expired" and at - skip["slot_at"] * 1000 <= 15_000:
            yield f"{skip['job']} {_when(skip['slot_at'])} was called expired {at - skip['slot_at'] * 1000} ms after it"


# -- runs and effects


def unclaimed(evidence: Evidence) -> Iterator[str]:
    """No effect without an earlier durable claim (I11)."""
    for effect in evidence.begins():
        run = evidence.runs.get(effect["run"])
        slot = _when(run["slot_at"]) if run and run["slot_at"] is not None else None
        if run is None or run["job"] != effect["job"] or slot != effect["slot"]:
            yield f"{_effect(effect)} has no run; the ledger has {_run(run)}"
        elif effect["attempt"] > run["attempt"] or effect["at"] < run["claimed_at"]:
            yield f"{_effect(effect)} came before its claim: {_run(run)}"
        elif effect["seen"] and effect["seen"] != "{}/running/{}".format(*_owner_and_attempt(effect)):
            yield f"{_effect(effect)} found in the ledger: {effect['seen']}"


def doubled_effects(evidence: Evidence) -> Iterator[str]:
    """One effect an attempt; one a slot, unless the job may be repeated; a repetition only after a recorded failure."""
    for effects in evidence.of_attempts("begin").values():
        if len(effects) > 1:
            yield f"{len(effects)} effects of one attempt: {'; '.join(map(_effect, effects))}"
    by_slot: dict[tuple[str, str], set[tuple[int, int]]] = defaultdict(set)
    for effect in evidence.begins():
        attempt = effect["run"], effect["attempt"]
        if effect["slot"]:
            by_slot[effect["job"], effect["slot"]].add(attempt)
        if effect["attempt"] > 1 and (effect["run"], effect["attempt"] - 1) not in evidence.failed_attempts:
            yield f"{_effect(effect)} repeats an attempt whose end nobody recorded"
    for (job, slot), attempts in by_slot.items():
        if len(attempts) > 1 and job not in RETRIED:
            yield f"{job} {slot} had its effect in {sorted(attempts)}, and may not be repeated"


def overlapping(evidence: Evidence) -> Iterator[str]:
    """Never more runs of a job at a time than it allows, orphans counted (I8)."""
    for effect in evidence.begins():
        if not effect["alone"]:
            yield f"{_effect(effect)} began beside {effect['met'] or 'one that is gone by now'}"
    ends = evidence.of_attempts("end")
    by_job: dict[str, list[tuple[float, int, Row]]] = defaultdict(list)
    for effect in evidence.begins():
        for end in ends.get((effect["run"], effect["attempt"]), [])[:1]:
            by_job[effect["job"]] += [(effect["monotonic"], 1, effect), (end["monotonic"], -1, effect)]
    most = {job.name: job.max_instances for job in JOBS}
    for name, moments in by_job.items():
        count = 0
        for _, change, effect in sorted(moments, key=lambda moment: moment[:2]):
            count += change
            if count > most[name]:
                yield f"{_effect(effect)} began while {count - 1} of its job went on"


def untrue_ends(evidence: Evidence) -> Iterator[str]:
    """Nothing succeeded without having been done, nothing was declared lost while it went on (I7, I11, I12)."""
    ended, begun = evidence.of_attempts("end"), evidence.of_attempts("begin")
    for run in evidence.runs.values():
        attempt = run["id"], run["attempt"]
        if run["state"] == "succeeded" and run["job"] not in INLINE and not (attempt in ended and attempt in begun):
            yield f"{_run(run)} says it succeeded and left no effect"
        if run["state"] == "abandoned":
            late = run["finished_at"] + CLOCKS_APART_MS
            for effect in [*begun.get(attempt, []), *ended.get(attempt, [])]:
                if effect["at"] > late:
                    yield f"{_effect(effect)} came after the run was declared lost: {_run(run)}"


def running(evidence: Evidence) -> Iterator[str]:
    """After an orderly stop nothing is said to run (I5, I25)."""
    for run in evidence.runs.values():
        if run["state"] == "running":
            yield _run(run)


def early(evidence: Evidence) -> Iterator[str]:
    """Nothing happens before its slot (I3)."""
    for effect in evidence.begins():
        run = evidence.runs.get(effect["run"])
        if run and run["slot_at"] is not None and effect["at"] < run["slot_at"] * 1000:
            yield f"{_effect(effect)} came {run['slot_at'] * 1000 - effect['at']} ms before its slot"


def broken_promises(evidence: Evidence) -> Iterator[str]:
    """A request that was answered has its one run, whatever died afterwards (I24)."""
    by_key: dict[str, list[Row]] = defaultdict(list)
    for run in evidence.runs.values():
        if run["request_key"]:
            by_key[run["request_key"]].append(run)
    for record in evidence.noted("promised"):
        found = by_key[f"web:{record['job']}:{record['key']}"]
        if [run["id"] for run in found] != [record["run"]]:
            yield f"'{record['key']}' was promised run {record['run']}; the ledger has {[_run(run) for run in found]}"
    for record in evidence.noted("web_error"):
        yield f"{record['path']} answered 500: {record['answer']}"


# -- processes, log, file


def two_leaders(evidence: Evidence) -> Iterator[str]:
    """One leads at a time: a term begins after the last beat of the one before (I19, I20)."""
    for former, latter in pairwise(evidence.stints):
        if latter["started_at"] < former["beat_at"]:
            terms = f"term {latter['term']} began {former['beat_at'] - latter['started_at']} ms"
            yield f"{terms} before the last beat of term {former['term']} ({former['owner']})"


def torn_log(evidence: Evidence) -> Iterator[str]:
    """Every line is strict JSON and true: what it says was claimed is in the ledger (I9, I21)."""
    yield from evidence.bad_lines
    for line in evidence.log:
        if line["event"] != "slot.claimed":
            continue
        run = evidence.runs.get(line["run"])
        if run is None or run["job"] != line["job"] or _when(run["slot_at"]) != line["slot"]:
            yield f"the log says {line}; the ledger has {_run(run)}"


def damaged(evidence: Evidence) -> Iterator[str]:
    """The file is whole, and its WAL small at rest (I14)."""
    yield from evidence.complaints
    wal = evidence.folder / "project/var/ledger.sqlite3-wal"
    if wal.exists() and wal.stat().st_size > WAL_MOST:
        yield f"the WAL holds {wal.stat().st_size:,} bytes at rest; allowed: {WAL_MOST:,}"


def orphans(evidence: Evidence) -> Iterator[str]:
    """Nothing a run or a stack started is left (I13, F4, F49)."""
    for record in evidence.noted("orphan"):
        yield f"pid {record['pid']} ({record['role']}) is left, mark '{record['mark']}': {record['command']}"


def rough_ends(evidence: Evidence) -> Iterator[str]:
    """Whoever was not killed ended as asked, without a traceback and in time (I25)."""
    yield from (f"traceback in {text}" for text in evidence.tracebacks)
    yield from (f"{record['who']} did not end within {record['seconds']} s" for record in evidence.noted("too_slow"))
    for record in evidence.noted("exit"):
        if record["code"] not in GENTLE_EXITS.get(record["member"], EXITS):
            yield f"{record['member']} pid {record['pid']} ended with {record['code']}"


def next_slots(evidence: Evidence) -> Iterator[str]:
    """The ledger's definitions, the jobs in force and the soak's own table give the same next slots (I31)."""
    from echopilot_jobs.triggers import trigger_of

    triggers = {job.name: job.trigger for job in JOBS}
    for name, account in evidence.accounts.items():
        kept = trigger_of(account.obligations[-1].definition["rule"]) if account.obligations else triggers[name]
        start = from_ms(account.planned_through)
        wanted = list(_slots(name, account.planned_through, account.planned_through + 1000 * 1000 * PERIODS[name]))[
            :900
        ]
        for which, trigger in (("kept", kept), ("in force", triggers[name])):
            given = trigger.after(start)
            if [round(next(given).timestamp()) for _ in wanted] != wanted:
                yield f"{name} has other next slots by the rule {which}"


def audit(evidence: Evidence) -> Iterator[str]:
    """`echopilot audit` finds nothing either."""
    for record in evidence.noted("audit"):
        if record["code"] != 0:
            yield f"`echopilot audit` ended with {record['code']}: {' / '.join(record['said'].splitlines()[-6:])}"


CHECKS: tuple[tuple[str, Callable[[Evidence], Iterator[str]]], ...] = (
    ("lost", lost),
    ("doubled", doubled_slots),
    ("doubled", doubled_effects),
    ("unclaimed", unclaimed),
    ("overlapping", overlapping),
    ("early", early),
    ("running", running),
    ("orphan", orphans),
    ("untrue", untrue_ends),
    ("untrue", untrue_skips),
    ("promise", broken_promises),
    ("leaders", two_leaders),
    ("log", torn_log),
    ("damaged", damaged),
    ("end", rough_ends),
    ("next", next_slots),
    ("audit", audit),
)


# -- words


def _owner_and_attempt(effect: Row) -> tuple[str, str]:
    owner, _run_id, attempt = effect["mark"].split("/")
    return owner, attempt


def _effect(effect: Row) -> str:
    what = f"{effect['job']} {effect['slot'] or 'without a slot'} run {effect['run']} attempt {effect['attempt']}"
    return f"{what} (pid {effect['pid']}, {_when_ms(effect['at'])}, mark {effect['mark']})"


def _run(run: Row | None) -> str:
    if run is None:
        return "nothing"
    moments = {key: _when_ms(run[key]) for key in ("claimed_at", "started_at", "finished_at") if run[key]}
    slot = _when(run["slot_at"]) if run["slot_at"] is not None else "no slot"
    return f"run {run['id']} {run['job']} {slot} {run['state']} attempt {run['attempt']} of {run['owner']} {moments}"


def _when(slot: int) -> str:
    return iso(from_ms(slot * 1000))


def _when_ms(ms: int) -> str:
    return iso(from_ms(ms))
