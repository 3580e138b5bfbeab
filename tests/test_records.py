"""Records are the frozen dataclasses they stand for, however late they are made."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from threading import Barrier, Thread
from typing import Any, ClassVar

import pytest

from echopilot_jobs.records import record


def made_by(how: Callable[..., Any]) -> Any:
    """A class with everything a dataclass may have, declared by *how*."""

    @how(frozen=True)
    class Point:
        """A place."""

        axes: ClassVar[int] = 2
        x: int
        y: int = 0
        tags: tuple[str, ...] = field(default_factory=tuple)
        secret: str = field(default="", repr=False)
        note: str = field(default="", compare=False)
        load: dict[str, int] = field(default_factory=dict, hash=False)

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError("x is below zero")

        @property
        def total(self) -> int:
            return self.x + self.y

    return Point


@dataclass(frozen=True)
class Plain:
    x: int


@record(frozen=True)
class Base:
    x: int


@record(frozen=True)
class Derived(Base):
    y: int = 2


@record(frozen=True)
class Empty:
    pass


@record(frozen=True)
class Named:
    name: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Named) and self.name.lower() == other.name.lower()

    def __hash__(self) -> int:
        return hash(self.name.lower())


@pytest.mark.parametrize(
    "look",
    [
        repr,
        asdict,
        lambda one: one.total,
        lambda one: replace(one, y=5) == one,
        lambda one: replace(one, note="other") == one,
        lambda one: hash(one) == hash(replace(one, note="other", load={"a": 1})),
        lambda one: hash(one) == hash(replace(one, y=9)),
        lambda one: one == (1, 2),
        lambda one: [each.name for each in fields(one)],
        lambda one: type(one).__match_args__,
        lambda one: copy.copy(one) == one and copy.deepcopy(one) == one,
        lambda one: len({one, replace(one), replace(one, x=7)}),
    ],
)
def test_what_is_said_of_an_instance_is_what_a_dataclass_says(look: Callable[[Any], object]) -> None:
    wanted, found = (look(made_by(how)(1, y=2, tags=("a",), secret="s", note="n")) for how in (dataclass, record))

    assert found == wanted


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (lambda point: point(), TypeError),
        (lambda point: point(1, 2, (), "", "", {}, 7), TypeError),
        (lambda point: point(1, z=2), TypeError),
        (lambda point: point(-1), ValueError),
        (lambda point: setattr(point(1), "x", 2), FrozenInstanceError),
        (lambda point: delattr(point(1), "x"), FrozenInstanceError),
        (lambda point: setattr(point(1), "other", 2), FrozenInstanceError),
        (lambda point: hash(dataclasses.replace(point(1), tags=[])), TypeError),
    ],
)
def test_what_a_dataclass_refuses_is_refused(wrong: Callable[[Any], object], kind: type[Exception]) -> None:
    words = []
    for how in (dataclass, record):
        with pytest.raises(kind) as raised:
            wrong(made_by(how))
        words.append(str(raised.value))

    assert words[0] == words[1]


def test_fields_are_inherited_though_the_derived_class_is_the_first_to_be_used() -> None:
    assert Derived(1) == Derived(1, 2)
    assert repr(Derived(1)) == "Derived(x=1, y=2)"
    assert Derived(1) != Base(1)


def test_a_record_without_fields_and_one_that_compares_in_its_own_way() -> None:
    assert Empty() == Empty()
    assert len({Empty(), Empty()}) == 1
    assert len({Named("A"), Named("a")}) == 1


def test_it_can_be_pickled_and_read_by_a_process_that_made_none() -> None:
    assert pickle.loads(pickle.dumps(Derived(4))) == Derived(4)


def test_it_is_told_from_a_class_that_looks_the_same() -> None:
    assert Base(1) != Plain(1)


def test_a_class_is_made_once_though_many_threads_want_the_first_instance() -> None:
    for _ in range(50):
        point, start, found = made_by(record), Barrier(8), []

        def make(point: Any = point, start: Barrier = start, found: list[Any] = found) -> None:
            start.wait()
            found.append(point(1, y=2))

        threads = [Thread(target=make) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert found == [point(1, y=2)] * 8
