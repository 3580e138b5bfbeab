"""Imports point inward, and each outside library has one home."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "echopilot_jobs"

# Ring by ring, inside out. A module may import its own ring and the rings before it.
RINGS = [
    {
        "errors",
        "clock",
        "processes",
        "plain",
        "spans",
        "addresses",
        "rpc",
        "records",
        "revision",
        "disk",
        "lazy",
        "access",
    },
    {"outages", "slots", "runs", "holds", "triggers", "settings", "wake", "backoff", "typed", "placeholders"},
    {"jobs", "jobsfile", "crontab", "fluent", "context", "declaring", "stretches", "planner", "events", "logs"},
    {"ledger", "executor", "supervision", "artefacts", "logreading"},
    {"engines", "healing", "signals", "reporting", "accounting"},
    {"pump", "scheduler", "builtin", "definitions", "testing", "doctor", "simulator"},
    {"cli", "web", "stack", "__main__"},
]
HOMES = {
    "schedule": {"pump", "fluent", "declaring"},
    "cronsim": "triggers",
    "loguru": "logs",
    "flask": "web",
    "werkzeug": "web",
    "click": "cli",
    "rich": "cli",
    "requests": "executor",
    "supervisor": "stack",
    "gunicorn": "stack",
    "sqlite3": {"ledger", "web", "doctor", "simulator"},
    "jinja2": {"signals", "reporting", "builtin"},
    "psutil": {"signals", "doctor", "simulator"},
}
RING_OF = {module: number for number, ring in enumerate(RINGS) for module in ring}


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        top = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if top != "__init__":
            yield top, path


def imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "echopilot_jobs":
                yield from ((f"echopilot_jobs.{alias.name}", node.lineno) for alias in node.names)
            else:
                yield node.module, node.lineno


def test_every_module_belongs_to_a_ring() -> None:
    strangers = {top for top, _ in modules()} - set(RING_OF)

    assert not strangers, f"say in tests/test_layers.py and CONTRIBUTING.md where these live: {sorted(strangers)}"


@pytest.mark.parametrize(
    ("top", "path"), list(modules()), ids=lambda value: str(value).rpartition("echopilot_jobs/")[2]
)
def test_imports_point_inward_and_libraries_stay_at_home(top: str, path: Path) -> None:
    wrong = []
    for name, line in imports(path):
        first, _, rest = name.partition(".")
        if first == "echopilot_jobs":
            inner = rest.partition(".")[0]
            if inner in RING_OF and RING_OF[inner] > RING_OF[top]:
                wrong.append(f"line {line}: {top} (ring {RING_OF[top]}) imports {inner} (ring {RING_OF[inner]})")
        elif first in HOMES and top not in ({HOMES[first]} if isinstance(HOMES[first], str) else HOMES[first]):
            wrong.append(f"line {line}: {first} lives in {HOMES[first]}, not in {top}")

    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "name", ["datetime.now", "datetime.utcnow", "time.time(", "time.monotonic(", "uuid.uuid", "random.random("]
)
def test_only_the_clock_asks_the_system_for_time(name: str) -> None:
    # The launcher and the plugin run before or beside our process model and own no clock of ours.
    exempt = {"clock", "stack"}

    guilty = [str(path) for top, path in modules() if top not in exempt and name in path.read_text(encoding="utf-8")]

    assert not guilty
