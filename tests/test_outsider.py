"""A scheduler started beside the stack is told of while it leads instead of the stack's own."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from echopilot_jobs.accounting.outsider import Outsider, outsider
from echopilot_jobs.processes import Owner, this_process
from echopilot_jobs.runs import Stint
from echopilot_jobs.supervision import Program

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
STRANGER = 2**22 + 7  # above every pid there is


@pytest.fixture
def stint() -> Stint:
    """The life of this very process as a scheduler."""
    return Stint(1, str(this_process()), "host", "rev", 3, NOW, NOW, None, None)


def own(pid: int | None, state: str = "RUNNING") -> list[Program]:
    return [Program("web", "RUNNING", STRANGER, NOW, None, ""), Program("scheduler", state, pid, NOW, None, "")]


def test_who_leads_beside_the_stacks_own_scheduler_is_named_with_how_to_end_it(stint: Stint) -> None:
    found = outsider(stint, own(STRANGER))

    assert found == Outsider(os.getpid(), STRANGER)
    assert found.words == (
        f"pid {os.getpid()} leads, which the stack did not start; its own, pid {STRANGER}, only stands by"
    )
    assert f"`kill {os.getpid()}`" in found.remedy


@pytest.mark.parametrize("pid", [os.getpid(), os.getppid()], ids=["itself", "what started it"])
def test_the_stacks_own_scheduler_is_no_outsider(stint: Stint, pid: int) -> None:
    assert outsider(stint, own(pid)) is None


@pytest.mark.parametrize(
    "programs", [[], own(None, "STOPPED"), own(STRANGER, "STARTING")], ids=["no stack", "stopped", "coming up"]
)
def test_where_no_scheduler_of_the_stack_waits_nobody_leads_in_its_stead(stint: Stint, programs: list[Program]) -> None:
    assert outsider(stint, programs) is None


def test_who_has_ended_leads_no_more(stint: Stint) -> None:
    gone = replace(stint, owner=str(Owner("another boot", os.getpid(), 1)))

    assert outsider(replace(stint, ended_at=NOW, ended_how="stopped"), own(STRANGER)) is None
    assert outsider(gone, own(STRANGER)) is None
    assert outsider(replace(stint, owner="nonsense"), own(STRANGER)) is None
    assert outsider(None, own(STRANGER)) is None
