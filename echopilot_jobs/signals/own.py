"""Signals of our own: the run ledger, supervisord's process table, the host. Each can be missing without harm to the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from echopilot_jobs.ledger import Beat, Ledger, beat_of
from echopilot_jobs.ledger.rebirth import Rebirth
from echopilot_jobs.outages import life_words
from echopilot_jobs.records import record
from echopilot_jobs.runs import BAD_ENDS, Run, Stint
from echopilot_jobs.signals.findings import Finding, Severity, capped, count, listed, percent, quoted
from echopilot_jobs.signals.moments import lasting
from echopilot_jobs.slots import SkipReason
from echopilot_jobs.spans import day_clock, day_clock_to_the_second
from echopilot_jobs.supervision import Program

LEDGER, PROCESSES, HOST = "run ledger", "process table", "host"
DAY = timedelta(hours=24)
GIB = 1024**3
JOBS_NAMED_MOST = 6
RUNS_NAMED_MOST = 3
LIVES_TOLD_MOST = 5
_CGROUPS = Path("/sys/fs/cgroup")
_ON_PURPOSE = frozenset(
    reason.value
    for reason in (
        SkipReason.PAUSED,
        SkipReason.DISABLED,
        SkipReason.OPERATOR,
        SkipReason.SUPERSEDED,
        SkipReason.DST_GAP,
    )
)


@record(frozen=True)
class OwnSignal:
    """What one of our own signals says: figures for the table of key figures, lines for the page, findings."""

    name: str
    kpis: dict[str, Any]
    lines: tuple[str, ...]
    findings: tuple[Finding, ...] = field(default=())


def from_ledger(ledger: Ledger, now: datetime) -> OwnSignal:
    """The last 24 hours of runs, skipped slots and scheduler lives. Raises what the ledger raises."""
    since = now - DAY
    bad = ledger.bad_ends_between(since, now)
    runs = ledger.runs_between(since, now)
    known = {run.id for run in runs}
    runs += [run for run in bad if run.id not in known]  # of a backfill, say, whose slots are older
    skips = Counter(skip.reason.value for skip in ledger.skips_between(since, now))
    for gap in ledger.gaps_between(since, now):
        skips[gap.reason.value] += gap.count
    meant = _on_purpose(skips).total()
    stints = ledger.stints_between(since, now)
    late = [run for run in runs if run.is_late]
    dark = dark_minutes(stints, since, now)
    states = Counter(run.words for run in runs)
    starts = [stint for stint in stints if stint.started_at >= since]
    said = ", ".join(f"{n:,} {state}" for state, n in states.most_common())
    return OwnSignal(
        LEDGER,
        {
            "runs_24h": len(runs),
            "runs_failed_24h": len(bad),
            "runs_late_24h": len(late),
            "slots_skipped_24h": skips.total(),
            "scheduler_starts_24h": len(starts),
            "scheduler_dark_minutes_24h": dark,
        },
        (
            f"{count(len(runs), 'run')} in the last 24 h{': ' + said if said else ''}",
            f"{count(skips.total(), 'slot')} skipped{f', {meant:,} of them on purpose' if meant else ''}",
            f"{count(len(late), 'run')} late",
            f"{count(len(starts), 'scheduler start')}, {count(dark, 'dark minute')}",
        ),
        (
            *_lost_ledger(ledger.rebirth(), now),
            *_bad_runs(bad, ledger),
            *_late(late),
            *_skipped(skips),
            *_darkness(dark, starts, max((stint.id for stint in stints), default=0)),
        ),
    )


def dark_minutes(stints: Sequence[Stint], since: datetime, now: datetime) -> int:
    """Whole minutes in which no scheduler lived, counted from *since* or from the first life there is."""
    if not stints:
        return 0
    reached, dark = max(since, min(stint.started_at for stint in stints)), timedelta(0)
    for stint in sorted(stints, key=lambda stint: stint.started_at):
        dark += max(timedelta(0), stint.started_at - reached)
        reached = max(reached, now if beat_of(stint, now) is Beat.LIVES else stint.beat_at)
    return (dark + max(timedelta(0), now - reached)) // timedelta(minutes=1)


def _lost_ledger(reborn: Rebirth | None, now: datetime) -> list[Finding]:
    """That the figures beside this one begin with an empty ledger, and are no quiet day."""
    if reborn is None or not reborn.is_news(now):
        return []
    return [
        Finding(
            "lost_ledger",
            Severity.HIGH,
            LEDGER,
            reborn.words(day_clock),
            ("what happened before that moment is missing in every figure of the ledger's",),
            "put a backup back with `echopilot restore`, if there is one; `echopilot audit` says what the log tells of",
        )
    ]


def _bad_runs(bad: Sequence[Run], ledger: Ledger) -> list[Finding]:
    if not bad:
        return []
    by_job = Counter(run.job_name for run in bad)
    last = ledger.last_runs()
    broken = [name for name in by_job if name in last and last[name].state in BAD_ENDS]
    newest = {run.job_name: run for run in bad}  # they come oldest first
    lines = [f"{name}: {count(n, 'run')} ended badly{_last_error(newest[name])}" for name, n in by_job.most_common()]
    still = [_newest_words(broken)] if broken else []
    return [
        Finding(
            "failed_runs",
            Severity.HIGH if broken else Severity.MEDIUM,
            LEDGER,
            f"{count(len(bad), 'run')} ended badly in the last 24 h: {', '.join(capped(list(by_job), JOBS_NAMED_MOST))}",
            (*capped(lines, JOBS_NAMED_MOST), *still),
            _read_them([newest[name] for name in broken or by_job]),
            weight=min(1.0, len(bad) / 10),
        )
    ]


def _newest_words(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"the newest run of {names[0]} is one of them"
    return f"the newest runs of these are among them: {', '.join(capped(names, JOBS_NAMED_MOST))}"


def _read_them(runs: Sequence[Run]) -> str:
    """How to look at these runs, by their numbers."""
    shown = [f"`echopilot show {run.id}` ({run.job_name})" for run in runs]
    if len(shown) > RUNS_NAMED_MOST:
        shown = [*shown[:RUNS_NAMED_MOST], "`echopilot runs --failed`"]
    return f"read the last lines that were printed: {listed(shown)}, or open the run on the dashboard"


def _last_error(newest: Run) -> str:
    said = (newest.error or "").strip().splitlines()
    when = f" at {day_clock(newest.finished_at)}" if newest.finished_at else ""
    return f", the last one, run {newest.id},{when} ({newest.words}){': ' + quoted(said[-1], 160) if said else ''}"


def _late(late: Sequence[Run]) -> list[Finding]:
    if not late:
        return []
    worst = max(late, key=lambda run: run.lateness or timedelta(0))
    most = lasting((worst.lateness or timedelta(0)).total_seconds())
    return [
        Finding(
            "late_runs",
            Severity.MEDIUM if len(late) >= 5 else Severity.LOW,
            LEDGER,
            f"{count(len(late), 'run')} started more than a minute late in the last 24 h",
            (f"the latest was {worst.job_name}, {most} after its slot", _by_job(run.job_name for run in late)),
            "see whether the scheduler was down at those times, or whether jobs take longer than their interval",
            weight=min(1.0, len(late) / 50),
        )
    ]


def _by_job(names: Iterable[str]) -> str:
    return ", ".join(capped([f"{name} {n:,}" for name, n in Counter(names).most_common()], JOBS_NAMED_MOST))


def _skipped(skips: Counter[str]) -> list[Finding]:
    """The slots that were due and waited for in vain; those skipped on purpose are told beside them and not counted."""
    meant = _on_purpose(skips)
    missed = skips - meant
    if not missed:
        return []
    return [
        Finding(
            "skipped_slots",
            Severity.MEDIUM,
            LEDGER,
            f"{count(missed.total(), 'slot')} of the last 24 h {'was' if missed.total() == 1 else 'were'} missed",
            (_by_reason(missed), *([f"skipped on purpose and not counted: {_by_reason(meant)}"] if meant else [])),
            "`echopilot why JOB TIME` tells of each, the daily report counts them by job and reason; "
            "`expired` and `coalesced` follow a time when no scheduler ran",
            weight=min(1.0, missed.total() / 500),
        )
    ]


def _on_purpose(skips: Counter[str]) -> Counter[str]:
    return Counter({reason: n for reason, n in skips.items() if reason in _ON_PURPOSE})


def _by_reason(skips: Counter[str]) -> str:
    return ", ".join(f"{reason} {n:,}" for reason, n in skips.most_common())


def _darkness(dark: int, starts: Sequence[Stint], newest: int) -> list[Finding]:
    """*newest*: which stint leads now, for it is what carries out the brief that says this."""
    if dark < 2 and len(starts) < 5:
        return []
    return [
        Finding(
            "scheduler_dark",
            Severity.CRITICAL
            if dark >= 360
            else Severity.HIGH
            if dark >= 60
            else Severity.MEDIUM
            if dark
            else Severity.LOW,
            LEDGER,
            f"the scheduler was away for {count(dark, 'minute')} of the last 24 h and started {count(len(starts), 'time')}"
            if dark
            else f"the scheduler started {count(len(starts), 'time')} in the last 24 h",
            tuple(capped([_life(stint, newest) for stint in reversed(starts)], LIVES_TOLD_MOST)),
            "read logs/scheduler.log around those starts; an outside check should tell you when the machine is down",
            weight=min(1.0, dark / 1440),
        )
    ]


def _life(stint: Stint, newest: int) -> str:
    """One life in a line, to the second: several of them may fall into a minute."""
    goes_on = stint.id == newest and stint.ended_at is None
    end = "still running" if goes_on else life_words(stint.ended_how)
    started, beat = day_clock_to_the_second(stint.started_at), day_clock_to_the_second(stint.beat_at)
    return f"started {started}, last beat {beat}, {end}"


def from_processes(programs: Sequence[Program], now: datetime) -> OwnSignal:
    """supervisord's process table."""
    down = [program for program in programs if program.state not in ("RUNNING", "STARTING")]
    young = [p for p in programs if p.state == "RUNNING" and p.started_at and now - p.started_at < timedelta(minutes=5)]
    return OwnSignal(
        PROCESSES,
        {"programs": len(programs), "programs_running": sum(p.state == "RUNNING" for p in programs)},
        tuple(f"{program.name}: {program.state}, {program.description}" for program in programs),
        (
            *(
                Finding(
                    "process_down",
                    Severity.CRITICAL if program.state in ("FATAL", "BACKOFF", "UNKNOWN") else Severity.HIGH,
                    PROCESSES,
                    f"the program {quoted(program.name)} is {program.state}",
                    (f"supervisord says: {quoted(program.description, 160)}",),
                    f"`supervisorctl tail {program.name}` tells why; `supervisorctl start {program.name}` brings it back",
                    weight=0.9,
                )
                for program in down
            ),
            *(
                Finding(
                    "process_young",
                    Severity.LOW,
                    PROCESSES,
                    f"the program {quoted(program.name)} started less than five minutes ago",
                    (f"running since {day_clock(program.started_at)}",),
                    "if nobody restarted it, see its log for the reason",
                )
                for program in young
                if program.started_at
            ),
        ),
    )


def from_host(home: Path) -> OwnSignal:
    """Memory, disk and load, judged against the container's limits where it has some."""
    memory = psutil.virtual_memory()
    used, size, bound = memory.total - memory.available, memory.total, "of the machine"
    if (inside := cgroup_memory()) is not None and inside[1] < size:
        (used, size), bound = inside, "of the container's limit"
    disk = psutil.disk_usage(str(home))
    cpus, load = cpu_count(), psutil.getloadavg()[1]
    figures = {
        "memory_percent": round(100 * used / size, 1),
        "disk_percent": round(100 * disk.used / (disk.used + disk.free or 1), 1),
        "load_5min_per_cpu": round(load / cpus, 2),
    }
    lines = (
        f"memory: {used / GIB:.1f} of {size / GIB:.1f} GiB {bound} ({percent(used, size)})",
        f"disk: {disk.free / GIB:.1f} GiB free of {disk.total / GIB:.1f} GiB",
        f"load: {load:.2f} over 5 minutes on {cpus:g} CPU{'s' if cpus != 1 else ''}",
    )
    return OwnSignal(HOST, figures, lines, _short_of(figures, lines))


def _short_of(figures: dict[str, float], lines: Sequence[str]) -> tuple[Finding, ...]:
    """What the host runs short of; *lines* belong to the *figures* one by one."""
    # Processes that wait for a CPU or a disk make everything slower and break nothing: a build on a small machine stands at
    # 4 for an hour while every job succeeds. So load weighs nothing among findings of its severity, where failing jobs and
    # dark time come first, and is critical only where hardly anything can move. Memory and disk that run out do break jobs.
    marks = ((90, 97), (90, 95), (2, 16))
    return tuple(
        Finding(
            f"host_{name.partition('_')[0]}",
            Severity.CRITICAL if value >= most else Severity.HIGH,
            HOST,
            f"the host runs short: {line}",
            (f"{line}; from {mark} on it is called high, from {most} on critical",),
            "find the biggest user and end it, clear old files, or give the machine more",
            weight=0.0 if name.startswith("load") else min(1.0, value / most / 1.5),
        )
        for (name, value), line, (mark, most) in zip(figures.items(), lines, marks, strict=True)
        if value >= mark
    )


def cgroup_memory(root: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> tuple[int, int] | None:
    """Used and allowed bytes of our memory cgroup; None without a limit. What the kernel can drop is not counted as used."""
    for folder in (root / _own_group(own), root):
        limit, used = _number(folder / "memory.max"), _number(folder / "memory.current")
        if limit and used is not None:
            return max(0, used - _inactive(folder / "memory.stat")), limit
    limit, used = _number(root / "memory/memory.limit_in_bytes"), _number(root / "memory/memory.usage_in_bytes")
    return (used, limit) if limit and used is not None and limit < 2**60 else None


def _own_group(own: Path) -> str:
    try:
        lines = own.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line[3:].lstrip("/") for line in lines if line.startswith("0::")), "")


def _number(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # `max` means no limit


def _inactive(path: Path) -> int:
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)


def cpu_count(root: Path = _CGROUPS) -> float:
    """CPUs we may use: the machine's, or the container's quota where that is less."""
    cpus = float(psutil.cpu_count() or 1)
    try:
        quota, period = (root / "cpu.max").read_text(encoding="ascii").split()
        return min(cpus, int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return cpus
