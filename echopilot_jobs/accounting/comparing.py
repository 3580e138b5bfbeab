"""One job's owed slots against its rows, a window at a time: a million rows need the memory of fifty thousand."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter

from echopilot_jobs.accounting.findings import Account, Claim, Finding, Findings, Kind
from echopilot_jobs.accounting.logbook import Told
from echopilot_jobs.accounting.owed import ANY, SECOND, Owed, Strand, moment_of, moments_of
from echopilot_jobs.ledger import Dispositions, Ledger
from echopilot_jobs.records import record
from echopilot_jobs.runs import Origin
from echopilot_jobs.spans import stamp

AT_ONCE = 50_000
LAST_SECOND = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
_PLANNED = frozenset({Origin.SCHEDULE.value, Origin.CATCH_UP.value})
_BACKFILL = Origin.BACKFILL.value

RunRow = tuple[int, int, int, str, str, int]  # slot, generation, run, state, origin, whether it ever started
GapRow = tuple[int, int, int, int, str]  # first, last, count, generation, reason

_claim: Callable[[RunRow], Claim] = itemgetter(3, 4, 5)


@record(frozen=True)
class _Gap:
    """Gap rows that touch or overlap, as one."""

    first: int
    last: int
    count: int
    generations: frozenset[int]


class _Rows:
    """The rows of one window that a strand may count as its own, by slot."""

    def __init__(self, key: int | None, found: Dispositions) -> None:
        self.claims: dict[int, list[RunRow]] = {}
        self.skips: dict[int, list[tuple[int, str]]] = {}
        for row in found.runs:
            if key in (ANY, row[1]):
                self.claims.setdefault(row[0], []).append(row)
        for slot, generation, reason in found.skips:
            if key in (ANY, generation):
                self.skips.setdefault(slot, []).append((generation, reason))
        self._slots = sorted({*self.claims, *self.skips})

    def within(self, first: int, last: int) -> list[int]:
        """The slots in [first, last] that have a row."""
        return self._slots[bisect_left(self._slots, first) : bisect_right(self._slots, last)]

    def disposed_in(self, slot: int, generations: frozenset[int]) -> bool:
        """Whether the planner itself disposed of *slot* in one of *generations*: a backfill came later."""
        claimed = any(row[1] in generations and row[4] != _BACKFILL for row in self.claims.get(slot, ()))
        return claimed or any(generation in generations for generation, _ in self.skips.get(slot, ()))


class JobAudit:
    """Compares what one job owed with its rows, from second *start* to second *end*.

    *told* is what the log says of its runs, by number; those met among the rows end up in *seen*.
    """

    def __init__(
        self,
        ledger: Ledger,
        job_name: str,
        owed: Owed,
        start: int | None,
        end: int | None,
        told: Mapping[int, Told],
    ) -> None:
        self.account = Account(job_name, start, end)
        self.findings = Findings()
        self.seen: set[int] = set()
        self._ledger = ledger
        self._owed = owed
        self._told = told
        self._listed: dict[int | None, set[int]] = {}

    def compare(self) -> None:
        """Every window in turn."""
        start, end = self.account.first, self.account.last
        width = max(AT_ONCE * (self._owed.period // SECOND), 3_600)
        while start is not None and end is not None and start <= end:
            start = self._window(start, min(start + width - 1, end), end) + 1

    def compare_before(self) -> None:
        """Rows older than anything owed: a backfilled slot may be there, nothing else."""
        if self.account.first is not None and self.account.first > 0:
            self._strays(self._rows(0, self.account.first - 1))

    def compare_after(self, owed_now: Callable[[], Owed]) -> None:
        """Rows beyond the end: only what was planned while the audit went on."""
        if self.account.last is not None:
            found = self._rows(self.account.last + 1, LAST_SECOND)
            self._owed, self._listed = owed_now(), {}
            self._strays(found)

    # -- one window

    def _window(self, first: int, last: int, end: int) -> int:
        """Compare from *first* to about *last*; the second that was really reached."""
        found = self._rows(first, last)
        while (reach := min(max((gap[1] for gap in found.gaps), default=last), end)) > last:
            last = reach  # a gap is looked at as a whole
            found = self._rows(first, last)
        self._note_told(found.runs)
        self._listed = {}
        plain = [self._strand(strand, found, first, last) for strand in self._owed.strands]
        if found.gaps or not any(plain):
            self._strays(found)
        return last

    def _rows(self, first: int, last: int) -> Dispositions:
        return self._ledger.dispositions(self.account.job_name, moment_of(first), moment_of(last + 1))

    def _note_told(self, runs: Sequence[RunRow]) -> None:
        for row in runs if self._told else ():
            if told := self._told.get(row[2]):
                self.seen.add(row[2])
                if words := unlike(told, row[2], row[0], row[3]):
                    self._find("history", words, told.slot, row[2])

    def _strand(self, strand: Strand, found: Dispositions, first: int, last: int) -> bool:
        """Compare one strand; whether all rows of the window were its own, one a slot."""
        gaps = [gap for gap in found.gaps if self._strand_of(gap) is strand]
        if not gaps:
            moments = strand.moments(first, last)
            if not moments or self._is_plain(strand, moments, found):
                self.account.slots += len(moments)
                return bool(moments)
        rows = _Rows(strand.key, found)
        at = first
        for gap in _merged(gaps):
            self._listed_slots(strand, rows, at, gap.first - 1)
            self._counted_slots(strand, rows, gap, max(gap.first, first), min(gap.last, last))
            at = gap.last + 1
        self._listed_slots(strand, rows, at, last)
        return False

    def _strand_of(self, gap: GapRow) -> Strand | None:
        fitting = [strand for strand in self._owed.strands if strand.key in (gap[3], ANY) and strand.has(gap[0])]
        return min(fitting, key=lambda strand: strand.key is ANY, default=None)

    def _is_plain(self, strand: Strand, moments: Sequence[int], found: Dispositions) -> bool:
        """Whether the window holds just one planned run for each owed moment, and nothing else: the usual case, quickly."""
        runs = found.runs
        if found.skips or len(runs) != len(moments) or [row[0] for row in runs] != list(moments):
            return False
        if strand.key is not ANY and {row[1] for row in runs} != {strand.key}:
            return False
        if not _PLANNED.issuperset(row[4] for row in runs):
            return False
        self.account.add_claims(map(_claim, runs))
        return True

    # -- slots one by one, and slots in gaps

    def _listed_slots(self, strand: Strand, rows: _Rows, first: int, last: int) -> None:
        moments = strand.moments(first, last) if first <= last else ()
        self._listed.setdefault(strand.key, set()).update(moments)
        self.account.slots += len(moments)
        became: list[RunRow] = []
        reasons: list[str] = []
        for slot in moments:
            claims, skips = rows.claims.get(slot), rows.skips.get(slot)
            if claims is None and skips is None:
                self._lose(slot, 1, f"the slot of {self._said(slot, strand)} has neither run nor skip")
            elif claims is None and skips is not None:
                reasons.append(skips[-1][1])
            elif claims is not None and skips is None and len(claims) == 1 and claims[0][4] in _PLANNED:
                became.append(claims[0])
            else:
                self._settle(strand, rows, slot)
        self.account.add_claims(map(_claim, became))
        self.account.skipped.update(reasons)

    def _settle(self, strand: Strand, rows: _Rows, slot: int, *, in_gap: bool = False) -> None:
        """Count an owed slot that has rows, and find what is wrong with them."""
        claims = [row for row in rows.claims.get(slot, ()) if not self._is_of_interval(strand, row)]
        planned = [row for row in claims if row[4] != _BACKFILL]
        skips = rows.skips.get(slot, [])
        self.account.backfilled += len(claims) - len(planned)
        if planned:
            self.account.add_claims([_claim(planned[0])])
        elif skips:
            self.account.skipped[skips[-1][1]] += 1
        elif in_gap:
            self.account.in_gaps += 1
        elif claims:  # a person was there before the scheduler
            self.account.add_claims([_claim(claims[0])])
        if len(claims) > 1:
            ids = " and ".join(str(row[2]) for row in claims[:4])
            self._double(slot, f"the slot of {self._said(slot, strand)} has the runs {ids}", claims[1][2])
        elif planned and any(generation == planned[0][1] for generation, _ in skips):
            words = f"the slot of {self._said(slot, strand)} has run {planned[0][2]} and is skipped as well"
            self._double(slot, words, planned[0][2])

    def _is_of_interval(self, strand: Strand, row: RunRow) -> bool:
        """Whether a row met under a calendar strand is an interval's of its own generation: then it is no second claim."""
        others = (other for other in self._owed.strands if strand.key is ANY and other.key == row[1])
        return any(other.has(row[0]) for other in others)

    def _counted_slots(self, strand: Strand, rows: _Rows, gap: _Gap, first: int, last: int) -> None:
        """A gap says how many slots it holds; those between its ends that have rows of their own are not among them."""
        own = [slot for slot in rows.within(first, last) if strand.has(slot)]
        apart = {slot for slot in own if rows.disposed_in(slot, gap.generations)}
        elsewhere = {slot for slot in own if slot in rows.claims} - apart  # of another generation: counted, or left out
        for slot in own:
            self._settle(strand, rows, slot, in_gap=True)
        total = strand.count(first, last)
        self.account.slots += total
        most = total - len(apart)
        least = most - len(elsewhere)
        whole = (first, last) == (gap.first, gap.last)
        missing = least - gap.count
        if missing > 0:
            where = f"between {stamp(moment_of(first))} and {stamp(moment_of(last))}"
            words = f"{missing:,} of the slots {where} have no row: their gap counts {gap.count:,} of {least:,}"
            self._lose(first, missing, words)
        elif whole and len(gap.generations) == 1 and gap.count > most:
            stretch = f"{stamp(moment_of(first))} to {stamp(moment_of(last))}"
            words = f"the gap from {stretch} counts {gap.count:,} slots, not {most:,}"
            self._find("wrong", words, first)
        self.account.in_gaps += max(total - len(own) - max(missing, 0), 0)

    # -- rows that fit no slot

    def _strays(self, found: Dispositions) -> None:
        for slot, generation, run_id, _state, origin, _started in found.runs:
            if not self._fits(slot, generation) and not (origin == _BACKFILL and self._once_fitted(slot)):
                words = f"run {run_id} is of {stamp(moment_of(slot))}, which is no slot of any definition in force then"
                self._find("wrong", words, slot, run_id)
        for slot, generation, reason in found.skips:
            if not self._fits(slot, generation):
                words = f"{stamp(moment_of(slot))} is skipped ({reason}) and is no slot of any definition in force then"
                self._find("wrong", words, slot)
        for gap in found.gaps:
            if self._strand_of(gap) is None and not self._owed.in_unknown(gap[0]):
                words = f"a gap begins at {stamp(moment_of(gap[0]))}, which is no slot of any definition in force then"
                self._find("wrong", words, gap[0])

    def _fits(self, slot: int, generation: int) -> bool:
        listed = self._listed
        if slot in listed.get(generation, ()) or slot in listed.get(ANY, ()):
            return True
        return self._owed.owes(slot, generation) or self._owed.in_unknown(slot) is not None

    def _once_fitted(self, slot: int) -> bool:
        """Whether *slot* is a moment of any rule the job ever had: people may backfill the time before it was known."""
        return any(moments_of(trigger, slot, slot) for trigger in self._owed.triggers())

    # -- findings

    def _said(self, slot: int, strand: Strand) -> str:
        again = f" in clock generation {strand.key}" if strand.key else ""
        return f"{stamp(moment_of(slot))}{again}"

    def _lose(self, first: int, count: int, words: str) -> None:
        self.account.lost += count
        self._find("lost", words, first, count=count)

    def _double(self, slot: int, words: str, run_id: int) -> None:
        self.account.doubled += 1
        self._find("doubled", words, slot, run_id)

    def _find(
        self, kind: Kind, words: str, slot: int | None = None, run_id: int | None = None, *, count: int = 1
    ) -> None:
        self.findings.add(Finding(kind, self.account.job_name, words, slot, run_id), count)


def unlike(told: Told, run_id: int, slot: int | None, state: str) -> str | None:
    """What the ledger's row of a run has otherwise than the log told; None when they agree."""
    if told.slot is not None and told.slot != slot:
        has = stamp(moment_of(slot)) if slot is not None else "none"
        return f"the log has run {run_id} for the slot of {stamp(moment_of(told.slot))}, the ledger for {has}"
    if told.end is not None and told.end != state:
        return f"the log says that run {run_id} ended as {told.end}, the ledger has it as {state}"
    return None


def _merged(gaps: Sequence[GapRow]) -> Iterator[_Gap]:
    """Gap rows as disjoint stretches, the oldest first."""
    open_gap: _Gap | None = None
    for first, last, count, generation, _reason in sorted(gaps):
        if open_gap is not None and first <= open_gap.last:
            both = open_gap.generations | {generation}
            open_gap = _Gap(open_gap.first, max(open_gap.last, last), open_gap.count + count, both)
            continue
        if open_gap is not None:
            yield open_gap
        open_gap = _Gap(first, last, count, frozenset({generation}))
    if open_gap is not None:
        yield open_gap
