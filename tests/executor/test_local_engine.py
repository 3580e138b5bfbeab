"""The engine of one machine: notes on the way, ends with everything said before them, and no descriptor too few kills it."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import replace
from queue import SimpleQueue

import pytest

from echopilot_jobs.engines import Ended, Note
from echopilot_jobs.engines.local import LocalEngine
from echopilot_jobs.jobs import Python
from echopilot_jobs.runs import State
from tests.executor.runkit import EXECUTOR, Project, a_run, job

pytestmark = pytest.mark.process
TRUE = job(Python("os:getcwd"))


class Bell:
    """Rings until it is heard."""

    def __init__(self) -> None:
        self._rung: SimpleQueue[None] = SimpleQueue()

    def ring(self) -> None:
        self._rung.put(None)

    def wait(self) -> None:
        self._rung.get(timeout=20)


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def engine(project: Project, bell: Bell) -> Iterator[LocalEngine]:
    made = LocalEngine(replace(EXECUTOR, home=project.home), bell.ring, workers=2)
    yield made
    made.close()


def all_of(engine: LocalEngine, bell: Bell) -> tuple[list[Ended], list[Note]]:
    """Everything until nothing is busy any more, in the order the scheduler asks."""
    ended: list[Ended] = []
    notes: list[Note] = []
    while engine.busy or not ended:
        bell.wait()
        ended += engine.collect()
        notes += engine.notes()
    return ended, notes


def test_what_a_run_said_is_there_when_it_has_ended(engine: LocalEngine, bell: Bell, project: Project) -> None:
    project.write("def run(ctx):\n    for n in range(5): ctx.log.info('line', n=n)\n    ctx.progress(5, 5)")

    engine.submit(job(Python("work:run")), a_run())
    ended, notes = all_of(engine, bell)

    assert [item.outcome.state for item in ended] == [State.SUCCEEDED]
    assert [said.fields["n"] for note in notes for said in note.heard.said] == [0, 1, 2, 3, 4]
    assert [note.heard.progress.done for note in notes if note.heard.progress] == [5]
    assert {note.run.id for note in notes} == {a_run().id}


def test_a_submission_without_a_descriptor_is_a_failed_run_and_no_death_I15_F56(
    engine: LocalEngine, bell: Bell, project: Project
) -> None:
    project.write("def run(ctx): pass")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        engine.submit(job(Python("work:run")), a_run())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    ended, _ = all_of(engine, bell)

    assert (ended[0].outcome.state, engine.free, engine.busy) == (State.FAILED, 2, 0)
    assert "it could not be started: [Errno 24] Too many open files" in (ended[0].outcome.error or "")


def test_a_run_that_had_ended_when_all_were_to_stop_was_not_cut_off_I25_I12(
    engine: LocalEngine, bell: Bell, project: Project
) -> None:
    project.write("import time\ndef run(ctx): ctx.progress(1, 2); time.sleep(600)")
    engine.submit(TRUE, a_run())
    bell.wait()  # it has ended, and nobody has asked yet
    engine.cancel_all()
    ended, _ = [*engine.collect()], engine.notes()
    before = engine.cut_off

    engine.submit(job(Python("work:run")), a_run())
    bell.wait()  # it says how far it is
    engine.cancel_all()
    others, _ = all_of(engine, bell)

    assert [item.outcome.state for item in [*ended, *others]] == [State.SUCCEEDED, State.CANCELLED]
    assert (before, engine.cut_off) == (0, 1)
