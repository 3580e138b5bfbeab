"""What a check says, and what it may look at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from echopilot_jobs.settings import Settings

Level = Literal["ok", "warn", "fail"]
OK: Level = "ok"
WARN: Level = "warn"
FAIL: Level = "fail"
_ORDER: tuple[Level, ...] = (OK, WARN, FAIL)


@dataclass(frozen=True)
class Finding:
    """One fact: `ok`, `warn` (works, but) or `fail` (a promise cannot be kept), with what to do about it."""

    state: Level
    finding: str
    fix: str | None = None
    name: str = ""

    def named(self, name: str) -> Finding:
        """The same finding under its check's name."""
        return replace(self, name=name)

    def as_dict(self) -> dict[str, str | None]:
        """The finding as JSON types."""
        return {"name": self.name, "state": self.state, "finding": self.finding, "fix": self.fix}


@dataclass(frozen=True)
class Place:
    """What is examined. *problems* are the settings' own complaints; the settings are then the defaults."""

    settings: Settings
    now: datetime
    environment: Mapping[str, str]
    problems: tuple[str, ...] = ()


def worst(findings: Iterable[Finding]) -> Level:
    """The gravest state among *findings*; `ok` for none."""
    return max((finding.state for finding in findings), key=_ORDER.index, default=OK)
