"""Cron expressions; the home of `cronsim`, which parses them and does the calendar's part.

It is driven on naive wall times only, where it knows no jumps of the clock, and `zones` decides when those walls were
real. Left to drive a zone itself, version 2.8 departs from Debian cron's rules: asked inside the second copy of a repeated
hour it answers with moments already past, and a rule with wildcards yields midnights that never were and loses moments
when half an hour is repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any

from echopilot_jobs.plain import plain, shorten
from echopilot_jobs.records import record
from echopilot_jobs.triggers.zones import FIRST, SECOND, first_change, fixed_moments, offset_at, zone_named

if TYPE_CHECKING:
    from cronsim import CronSim

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# By the names that cronsim calls them.
RANGES = {
    "minute": "minute 0-59",
    "hour": "hour 0-23",
    "day-of-month": "day 1-31",
    "month": "month 1-12 or jan-dec",
    "day-of-week": "weekday 0-7 or sun-sat",
}
FIELDS = " ".join(RANGES)
LONGEST = 200
REFERENCE = datetime(
    2024, 1, 1, tzinfo=UTC
)  # where periods are measured and where the search for a first moment begins
YEARS_TO_SEARCH = 50  # 29 February falls on a given weekday at least every 40 years


@record(frozen=True)
class Cron:
    """A cron expression of five fields, or `@daily` and the like, on the wall clock of *zone* (Debian cron's dialect).

    A rule whose minutes and hours are both fixed runs once, at the first instant after a spring gap that holds its time,
    and at the first copy of a time that an autumn fold shows twice. One whose minute or hour field begins with `*`
    follows real time: nothing inside a gap, both copies of a fold (F38). If both day fields are restricted, either may
    match. Names, `L`, `LW` and `FRI#2` are understood. Raises `ValueError` for what does not parse or can never fire.
    """

    expression: str
    zone: str = "UTC"

    def __post_init__(self) -> None:
        zone_named(self.zone)
        object.__setattr__(self, "expression", " ".join(self.expression.split()))
        _check_expression(self.expression)
        if next(self.after(REFERENCE), None) is None:
            raise ValueError(_never(self.expression, self.zone))

    @property
    def period(self) -> timedelta:
        return _usual_distance(self.expression)

    @property
    def follows_real_time(self) -> bool:
        """Whether the minute or the hour field begins with `*`."""
        return any(field.startswith("*") for field in _fields(self.expression)[:2])

    @property
    def is_of_every_hour(self) -> bool:
        """Whether no hour is left out on the days it fires: then a jump of the clock costs and doubles nothing."""
        return _fields(self.expression)[1] in ("*", "*/1")

    def after(self, moment: datetime) -> Iterator[datetime]:
        if self.follows_real_time:
            return self._in_real_time(moment)
        return fixed_moments(self.walls, moment, self.zone)

    def walls(self, after: datetime) -> Iterator[datetime]:
        """The wall times, naive, strictly after a naive one."""
        return _simulated(self.expression, after)

    def _in_real_time(self, moment: datetime) -> Iterator[datetime]:
        """Between two jumps of the clock the wall is real time plus an offset; each stretch is simulated by itself."""
        last = max(moment.astimezone(UTC), FIRST)
        limit = last.year + YEARS_TO_SEARCH
        try:
            offset = offset_at(last, self.zone)
            start = _naive(last + offset)
            while last.year <= limit:
                for wall in self.walls(start):
                    due = wall.replace(tzinfo=UTC) - offset
                    if change := first_change(self.zone, last, due):
                        break
                    yield due
                    last, limit = due, due.year + YEARS_TO_SEARCH
                else:
                    return
                last, offset = change.at, change.after
                start = _naive(last + offset - SECOND)  # the walls sought lie strictly after it
        except OverflowError:  # the year 10000
            return

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "cron", "expression": self.expression, "zone": self.zone}

    @property
    def takes_either_day(self) -> bool:
        """Whether a day that fits one of both day fields is enough: neither of them begins with `*`."""
        _, _, day, _, weekday = _fields(self.expression)
        return not day.startswith("*") and not weekday.startswith("*")

    def in_words(self) -> str:
        """The expression as an English sentence: `At 02:15 on Monday through Friday`."""
        words = _simulator(self.expression, _naive(REFERENCE)).explain()
        return " or on ".join(words.rsplit(" and on ", 1)) if self.takes_either_day else words

    def __str__(self) -> str:
        return f"cron '{self.expression}' {self.zone}"


@lru_cache(maxsize=1024)
def _fields(expression: str) -> tuple[str, ...]:
    return tuple(MACROS.get(expression.lower(), expression).split())


def _simulator(expression: str, after: datetime) -> CronSim:
    from cronsim import CronSim

    return CronSim(" ".join(_fields(expression)), after)


def _simulated(expression: str, after: datetime) -> Iterator[datetime]:
    return iter(_simulator(expression, after))


@lru_cache(maxsize=1024)
def _usual_distance(expression: str) -> timedelta:
    """The distance most often met among its next moments on a clock that never jumps; of equals the shortest."""
    walls = list(islice(_simulated(expression, _naive(REFERENCE)), 41))
    counts = Counter(late - early for early, late in pairwise(walls))
    return max(counts, key=lambda distance: (counts[distance], -distance), default=timedelta(days=365))


def _check_expression(expression: str) -> None:
    """Raise `ValueError`, in one line, for what is not an expression of five fields."""
    shown = shorten(plain(expression), LONGEST)
    if expression.startswith("@") and expression.lower() not in MACROS:
        hint = "; for a run at start-up use 'on_startup'" if expression.lower() == "@reboot" else ""
        raise ValueError(f"cron '{shown}'; wanted: {', '.join(MACROS)}{hint}")
    if len(expression) > LONGEST:
        raise ValueError(f"cron '{shown}'; wanted: at most {LONGEST} characters")
    fields = _fields(expression)
    if len(fields) != 5:
        hint = "; for seconds use 'every'" if len(fields) == 6 else ""
        count = f"{len(fields)} field{'' if len(fields) == 1 else 's'}"
        raise ValueError(f"cron '{shown}' has {count}; wanted five: {FIELDS}{hint}")
    if wrong := _mistake(fields):
        # cronsim says "bad day-of-month" both of a 32nd and of a 31 February; only the second is one in other months.
        if "day-of-month" in wrong and not _mistake((*fields[:3], "*", fields[4])):
            raise ValueError(_never(expression, ""))
        raise ValueError(f"cron '{shown}': {wrong}; wanted: {_range_of(wrong)}, alone or as in 1,2 or 1-5 or */5")


def _mistake(fields: tuple[str, ...]) -> str:
    from cronsim import CronSim, CronSimError

    try:
        CronSim(" ".join(fields), _naive(REFERENCE))
    except CronSimError as error:
        return str(error).lower()
    except (AssertionError, TypeError, ValueError):  # it trips over odd mixtures such as 'MON#2/3'
        return "bad mixture"
    return ""


def _range_of(mistake: str) -> str:
    """What the field that a *mistake* names may hold; of every field where it names none."""
    return RANGES.get(mistake.removeprefix("bad "), ", ".join(RANGES.values()))


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


def _never(expression: str, zone: str) -> str:
    where = f" in '{zone}'" if zone else ""
    return f"cron '{expression}' can never fire{where}; wanted: days and times that exist"
