"""`testing.run_now` runs a job as the scheduler would, here and at once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from echopilot_jobs import RetryAfter, RunContext, Skip, declaring, job
from echopilot_jobs.jobs import Action, BadParameters, Command, Job, Param, Python
from echopilot_jobs.jobsfile import BadJobsFile
from echopilot_jobs.runs import State
from echopilot_jobs.testing import run_now
from echopilot_jobs.triggers import OnRequest

SLOT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def speaks(ctx: RunContext) -> dict[str, Any]:
    ctx.log.info("began with %s", ctx.params["day"], rows=3)
    ctx.progress(1, 2, "half")
    ctx.progress(2, 2)
    return {"slot": ctx.slot_at == SLOT, "attempt": ctx.attempt, "key": ctx.idempotency_key}


@pytest.fixture
def declared() -> Iterator[Any]:
    kept = dict(declaring._declared)
    yield job(every="6h", params={"day": {"type": "date", "default": "2026-01-01"}})(speaks)
    declaring.clear()
    declaring._declared.update(kept)


def test_what_it_returns_and_says_is_there(declared: Any) -> None:
    ended = run_now(declared, params={"day": "2026-03-01"}, slot_at=SLOT, attempt=2)

    assert ended.state is State.SUCCEEDED
    assert ended.result == {"slot": True, "attempt": 2, "key": "speaks:1772438400:0"}
    assert ended.lines == ["info: began with 2026-03-01 rows=3"]
    assert ended.progress == [(1, 2, "half"), (2, 2, "")]


def test_parameters_have_their_defaults_and_are_checked(declared: Any) -> None:
    assert run_now(declared).lines == ["info: began with 2026-01-01 rows=3"]
    with pytest.raises(BadParameters, match=r"parameter 'day' of 'speaks': came 'monday'; wanted: a date"):
        run_now(declared, params={"day": "monday"})
    with pytest.raises(BadParameters, match=r"no parameter 'dya'; did you mean 'day'\?"):
        run_now(declared, params={"dya": "2026-03-01"})


def no_context() -> int:
    return 7


async def waits(_ctx: RunContext) -> str:
    return "waited"


def skips(_ctx: RunContext) -> None:
    raise Skip("nothing to do")


def asks_again() -> None:
    raise RetryAfter(90)


def fails() -> None:
    raise KeyError("day")


def returns_what_is_no_json() -> object:
    return {1, 2}


def leaves() -> None:
    sys.exit(3)


def yields() -> Iterator[int]:
    yield 1


def wants_more(_one: int, _two: int) -> None:
    pass


@pytest.mark.parametrize(
    ("function", "state", "result", "error"),
    [
        (no_context, State.SUCCEEDED, 7, None),
        (waits, State.SUCCEEDED, "waited", None),
        (skips, State.CANCELLED, None, "skipped by the job: nothing to do"),
        (asks_again, State.FAILED, None, "RetryAfter: asked to be tried again in 90 s"),
        (fails, State.FAILED, None, "KeyError: 'day'"),
        (returns_what_is_no_json, State.FAILED, None, "JSON"),
        (yields, State.FAILED, None, "is a generator"),
        (leaves, State.FAILED, None, "ended without an answer: exit status 3"),
        (wants_more, State.FAILED, None, "needs the arguments _one, _two"),
    ],
)
def test_every_end_is_told_as_the_scheduler_tells_it_I12(
    function: Any, state: State, result: Any, error: str | None
) -> None:
    ended = run_now(function)

    assert (ended.state, ended.result) == (state, result)
    assert ended.error is None if error is None else error in str(ended.error)


def test_a_coroutine_is_awaited_also_where_a_loop_is_running_already() -> None:
    async def a_test_with_a_loop() -> Any:
        return run_now(waits)

    with ThreadPoolExecutor(1) as thread:  # this one may have the loop of a browser going
        ended = thread.submit(lambda: asyncio.run(a_test_with_a_loop())).result()

    assert (ended.state, ended.result) == (State.SUCCEEDED, "waited")


def test_the_wait_it_asks_for_and_what_it_raised_can_be_looked_at() -> None:
    assert run_now(asks_again).retry_after == timedelta(seconds=90)
    assert isinstance(run_now(fails).raised, KeyError)


def test_files_it_keeps_are_copied_whole_into_the_folder_of_the_test_I23(tmp_path: Path) -> None:
    (tmp_path / "made.csv").write_text("a,b\n")
    (tmp_path / "kept").mkdir()

    def writes(ctx: RunContext) -> None:
        ctx.artifact(tmp_path / "made.csv", name="report.csv")

    ended = run_now(writes, folder=tmp_path / "kept")

    (kept,) = ended.artefacts
    assert ended.folder == tmp_path / "kept"
    assert (kept.name, kept.bytes, (tmp_path / "kept" / "report.csv").read_text()) == ("report.csv", 4, "a,b\n")


def test_files_it_could_not_keep_in_earnest_it_cannot_keep_in_a_test(tmp_path: Path) -> None:
    (tmp_path / "made.csv").write_text("a,b\n")

    def writes(ctx: RunContext) -> None:
        ctx.artifact(tmp_path / "made.csv", name="../made.csv")

    ended = run_now(writes)

    assert ended.state is State.FAILED
    assert "an artefact named '../made.csv'; wanted" in str(ended.error)
    assert (ended.artefacts, ended.folder) == ([], None)


def test_a_job_of_the_registry_runs_as_its_function_does() -> None:
    def made(action: Action) -> Job:
        return Job(
            "seven", OnRequest(), action, params={"day": Param("date", "2026-01-01")}, timeout=timedelta(hours=1)
        )

    assert run_now(made(Python(f"{__name__}:no_context"))).result == 7
    assert run_now(made(Python(f"{__name__}:tells"))).result == ["seven", "2026-01-01", 3600]
    with pytest.raises(TypeError, match="job 'seven' does 'command true'; run_now runs python functions alone"):
        run_now(made(Command(("true",))))


def tells(ctx: RunContext) -> list[Any]:
    return [ctx.job_name, ctx.params["day"], (ctx.deadline - ctx.started_at).total_seconds()]


def test_a_declaration_that_would_be_refused_is_refused_in_the_test_too_I28(declared: Any) -> None:
    job(every="6h", timeout="0s")(no_context)

    with pytest.raises(
        BadJobsFile, match=r"test_run_now:[0-9]+:1: job 'no_context': timeout: came '0s'; wanted: a length"
    ):
        run_now(no_context)
