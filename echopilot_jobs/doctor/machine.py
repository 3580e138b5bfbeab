"""The machine: interpreter, SQLite, zone data, clock, and what kind of place this is."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import sqlite3
import sys
import tomllib
import zoneinfo
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from echopilot_jobs.doctor.findings import FAIL, OK, WARN, Finding, Place
from echopilot_jobs.spans import stamp

OLDEST_PYTHON = (3, 11)
OLDEST_SQLITE = (3, 37, 0)  # strict tables
WAL_SAFE_SQLITE = (3, 51, 3)
CODE_WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)
TIMEX_BYTES = 512  # `struct timex` has 208 on 64 bits; with no mode set the kernel only fills it in
TIME_ERROR = 5
# What a deployment of each type is to schedules; the names are those of `.replit`.
RESERVED = ("vm", "gce")
CONTAINER_MARKS = ("/.dockerenv", "/run/.containerenv")


def python(_place: Place) -> Iterator[Finding]:
    version = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        yield Finding(FAIL, f"Python {version}", "install Python 3.11 or newer and run `bin/stack` with it")
    else:
        yield Finding(OK, f"Python {version} at {sys.executable}")


def sqlite(_place: Place) -> Iterator[Finding]:
    found = sqlite3.sqlite_version_info
    if found < OLDEST_SQLITE:
        yield Finding(
            FAIL,
            f"SQLite {sqlite3.sqlite_version} lacks strict tables",
            "use a Python that links SQLite 3.37 or newer",
        )
    elif found < WAL_SAFE_SQLITE:
        yield Finding(
            OK,
            f"SQLite {sqlite3.sqlite_version}; before 3.51.3 two processes must not checkpoint at once, so only the "
            "scheduler does; do not run VACUUM or another program on a live ledger",
        )
    else:
        yield Finding(OK, f"SQLite {sqlite3.sqlite_version}")


def zone_data(_place: Place) -> Iterator[Finding]:
    try:
        ZoneInfo("Europe/Riga").utcoffset(CODE_WRITTEN)
    except ZoneInfoNotFoundError:
        yield Finding(FAIL, "no time zone data", "install the package `tzdata` (it is in locks/base.lock)")
        return
    system = [folder for folder in zoneinfo.TZPATH if Path(folder, "Europe/Riga").is_file()]
    yield Finding(OK, f"time zone data {_data_version(system)}")


def _data_version(system: list[str]) -> str:
    if system:
        return f"{_release(Path(system[0]))} of the system, in {system[0]}"
    import tzdata  # type: ignore[import-untyped,unused-ignore]

    return f"{tzdata.IANA_VERSION}, from the package tzdata"


def _release(folder: Path) -> str:
    """Which release of the zone data a folder has: its first line, or the file some systems keep, says so."""
    for name in ("tzdata.zi", "+VERSION"):
        with contextlib.suppress(OSError), (folder / name).open(encoding="ascii", errors="replace") as file:
            if found := re.search(r"\b20\d\d[a-z]+\b", file.readline(80)):
                return found[0]
    return "(release unknown)"


def clock(place: Place) -> Iterator[Finding]:
    now = place.now
    fix = "set the clock (NTP) before jobs are planned with it"
    if now < CODE_WRITTEN:
        yield Finding(FAIL, f"the clock says {stamp(now)}, before this release was written", fix)
    elif now > CODE_WRITTEN + timedelta(days=365 * 30):
        yield Finding(FAIL, f"the clock says {stamp(now)}, decades ahead", fix)
    else:
        yield Finding(OK, f"{stamp(now)}, plausible{_synchronised()}")


def _synchronised() -> str:
    """What the kernel says of the clock, in words; nothing where it cannot be asked."""
    try:
        state: int = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    except (OSError, AttributeError):
        return ""
    if state < 0:
        return ""
    return "; nothing is known to synchronise it (NTP)" if state == TIME_ERROR else "; the kernel calls it synchronised"


def place(place: Place) -> Iterator[Finding]:
    """Where we run, and what that means for the ledger."""
    where = whereabouts(place.environment)
    if where.startswith("replit") and (target := deployment_target(place.settings.home / ".replit")):
        yield _target(target)
    match where:
        case "replit deployment":
            yield Finding(
                WARN,
                "a Replit deployment: its disk is replaced at every publish, and the ledger's history with it",
                "keep reports elsewhere if they must outlive a publish; the type must be Reserved VM, never Autoscale",
            )
        case "replit workspace":
            yield Finding(
                WARN,
                "a Replit workspace: it sleeps some time after the tab is closed, and nothing runs meanwhile",
                "publish to a Reserved VM for schedules that must hold; two live stacks share secrets but no ledger",
            )
        case "container":
            yield Finding(
                OK, "a container: the ledger lives as long as the volume under `var/`; without one, as the container"
            )
        case _:
            yield Finding(OK, "an ordinary machine: the ledger stays where it is")


def deployment_target(file: Path) -> str | None:
    """What `.replit` says the deployment is to be; None where it says nothing."""
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8")).get("deployment", {}).get("deploymentTarget")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def _target(target: str) -> Finding:
    if target in RESERVED:
        return Finding(OK, f"`.replit` deploys to '{target}', a Reserved VM: a process that is always there")
    return Finding(
        FAIL,
        f"`.replit` deploys to '{target[:40]}', where nothing runs between requests: schedules would be missed",
        'set deploymentTarget = "vm" under [deployment], or choose Reserved VM when publishing',
    )


def whereabouts(environment: Mapping[str, str], marks: tuple[str, ...] = CONTAINER_MARKS) -> str:
    """`replit deployment`, `replit workspace`, `container` or `machine`."""
    if environment.get("REPL_ID"):
        return "replit deployment" if environment.get("REPLIT_DEPLOYMENT") == "1" else "replit workspace"
    contained = environment.get("container") or environment.get("KUBERNETES_SERVICE_HOST")
    return "container" if contained or any(map(os.path.exists, marks)) else "machine"


def account(_place: Place) -> Iterator[Finding]:
    if os.geteuid() == 0:
        yield Finding(
            WARN,
            "running as root: every job does, too",
            "start the stack as an account of its own that owns `var/` and `logs/`",
        )
    else:
        yield Finding(OK, f"uid {os.geteuid()}, not root")
