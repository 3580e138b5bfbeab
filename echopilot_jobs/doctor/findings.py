"""What a check says, and what it may look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, replace
from datetime import datetime
from typing import Literal

from echopilot_jobs.records import record
from echopilot_jobs.settings import Settings

Level = Literal["ok", "warn", "fail"]
OK: Level = "ok"
WARN: Level = "warn"
FAIL: Level = "fail"
_ORDER: tuple[Level, ...] = (OK, WARN, FAIL)


@record(frozen=True)
class Finding:
    """One fact: `ok`, `warn` (works, but) or `fail` (a promise cannot be kept), with what to do about it.

    *mend* does that, where it is safe: it may be called twice, and never touches a ledger or anything that is in use.
    """

    state: Level
    finding: str
    fix: str | None = None
    name: str = ""
    mend: Callable[[], object] | None = field(default=None, compare=False)

    def named(self, name: str) -> Finding:
        """The same finding under its check's name."""
        return replace(self, name=name)

    def as_dict(self) -> dict[str, str | bool | None]:
        """The finding as JSON types."""
        facts = {"name": self.name, "state": self.state, "finding": self.finding, "fix": self.fix}
        return {**facts, "fixable": self.mend is not None}


@record(frozen=True)
class Place:
    """What is examined. *problems* are the settings' own complaints; the settings are then the defaults."""

    settings: Settings
    now: datetime
    environment: Mapping[str, str]
    problems: tuple[str, ...] = ()


def worst(findings: Iterable[Finding]) -> Level:
    """The gravest state among *findings*; `ok` for none."""
    return max((finding.state for finding in findings), key=_ORDER.index, default=OK)
