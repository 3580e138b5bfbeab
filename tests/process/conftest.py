"""Fixtures that give a test a whole stack, and take it down whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.process.lone import Lone
from tests.process.stacks import Stack


@pytest.fixture
def new_stack(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """Make copies of the project, not started yet; torn down at the end."""
    made: list[Stack] = []

    def make(home: Path | None = None) -> Stack:
        made.append(Stack(home or tmp_path / f"stack{len(made)}"))
        return made[-1]

    yield make
    for stack in made:
        stack.tear_down()


@pytest.fixture
def stack(new_stack: Callable[..., Stack]) -> Stack:
    """A copy of the project, running: both programs have a process, the web answers."""
    made = new_stack()
    made.start()
    return made


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for all tests of a module that only look at it."""
    made = Stack(tmp_path_factory.mktemp("running") / "stack")
    try:
        made.start()
        made.settle()
        yield made
    finally:
        made.tear_down()


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Lone]:
    lone = Lone(tmp_path)
    yield lone
    for process in lone.processes:
        process.kill()
        process.wait()
