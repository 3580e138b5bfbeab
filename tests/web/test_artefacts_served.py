"""Briefs and reports are served from `logs/` alone, in a sandbox."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from echopilot_jobs.runs import Outcome, State
from echopilot_jobs.settings import Settings
from echopilot_jobs.web.artefacts import inside

from .conftest import Browser, Stack


def ran(stack: Stack, result: Any) -> int:
    return stack.carry_out("ceo_brief", Outcome(State.SUCCEEDED, result=result)).id


def test_a_brief_is_shown_in_a_sandbox(browser: Browser, stack: Stack, home: Settings) -> None:
    """S12"""
    path = home.logs_dir / "exec_briefs" / "b.html"
    path.parent.mkdir()
    path.write_text("<!doctype html><style>h1{}</style><h1>quiet</h1><script>alert(1)</script>")
    ran(stack, {"html_path": str(path)})

    answer = browser.client.get("/artefacts/1/html")

    assert answer.status_code == 200
    assert answer.content_type == "text/html; charset=utf-8"
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script-src" not in policy
    assert "allow-" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_paths_relative_to_the_project_are_found(browser: Browser, stack: Stack, home: Settings) -> None:
    (home.logs_dir / "b.json").write_text('{"headline": "quiet"}')
    ran(stack, {"json_path": "logs/b.json"})

    assert browser.client.get("/artefacts/1/json").json == {"headline": "quiet"}


@pytest.fixture
def outside(home: Settings) -> Path:
    """What must never be served, beside what may be."""
    (home.logs_dir / "good.html").write_text("good")
    for name in ("secret.html", "ledger.html", "dashboard_key"):
        (home.var_dir / name).write_text("secret")
    (home.home / "secret.html").write_text("secret")
    (home.logs_dir / "link.html").symlink_to(home.var_dir / "secret.html")
    (home.logs_dir / "loop.html").symlink_to(home.logs_dir / "loop.html")
    (home.logs_dir / "folder.html").mkdir()
    (home.logs_dir / "linked").symlink_to(home.var_dir)
    os.mkfifo(home.logs_dir / "fifo.html")
    os.link(home.var_dir / "secret.html", home.logs_dir / "hard.html")
    (home.logs_dir / "device.html").symlink_to("/dev/zero")
    return home.var_dir / "secret.html"


STEPS = [
    "../",
    "..\\",
    "%2e%2e/",
    "..%2f",
    "..%252f",
    "....//",
    "..;/",
    "\u2025/",
    "．．/",
    "..\x00/",
    "./../",
    ".//../",
]
TARGETS = ["secret.html", "var/secret.html", "var/dashboard_key", "etc/passwd"]
PATHS = [f"logs/{step * count}{target}" for step in STEPS for count in (1, 2, 3) for target in TARGETS]
PATHS += [f"{step * count}{target}" for step in STEPS[:4] for count in (1, 6) for target in TARGETS]
PATHS += [
    "",
    ".",
    "..",
    "/",
    "logs",
    "logs/",
    "logs/.",
    "~/secret.html",
    "file:///etc/passwd",
    "//etc/passwd",
    "\\\\host\\x.html",
]
PATHS += [
    "/etc/passwd",
    "/proc/self/environ",
    "/dev/zero",
    "/dev/stdin",
    "logs/good.html/",
    "logs/good.html/.",
    "logs/good.txt",
]
PATHS += [f"logs/{name}.html" for name in ("link", "loop", "folder", "fifo", "hard", "device", "missing")]
PATHS += [
    "logs/linked/secret.html",
    "logs/good.html\x00.json",
    "x" * 5_000,
    "logs/" + "a/" * 2_000 + "x.html",
    "\ud800.html",
]


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
def test_nothing_outside_of_logs_is_ever_served(
    browser: Browser, stack: Stack, home: Settings, outside: Path, path: str
) -> None:
    """S17"""
    ran(stack, {"html_path": path, "json_path": path})
    absolute = str(home.home / path) if "\x00" not in path else path
    ran(stack, {"html_path": absolute})

    for address in ("/artefacts/1/html", "/artefacts/1/json", "/artefacts/2/html"):
        answer = browser.client.get(address)
        assert "secret" not in answer.text.replace("secret.html", "")
        assert answer.status_code == 404 or (
            answer.status_code == 200 and answer.text == "good" and "good.html" in path
        )


@pytest.mark.parametrize(
    "result",
    [None, 7, "logs/good.html", [], {}, {"html_path": None}, {"html_path": ["logs/good.html"]}, {"html_path": 5}],
)
def test_a_run_without_artefacts_has_none(browser: Browser, stack: Stack, outside: Path, result: Any) -> None:
    ran(stack, result)

    answer = browser.client.get("/artefacts/1/html")

    assert answer.status_code == 404
    assert "left no html file" in answer.text


def test_a_file_swapped_for_a_link_between_check_and_open_is_refused(
    browser: Browser, stack: Stack, home: Settings, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S17: the race."""
    path = home.logs_dir / "swapped.html"
    path.write_text("good")

    def swap(root: Path, wanted: Path, kind: str) -> Path | None:
        found = inside(root, wanted, kind)
        path.unlink()
        path.symlink_to(outside)
        return found

    monkeypatch.setattr("echopilot_jobs.web.artefacts.inside", swap)
    ran(stack, {"html_path": "logs/swapped.html"})

    assert browser.client.get("/artefacts/1/html").status_code == 404
