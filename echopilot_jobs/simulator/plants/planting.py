"""How a bug is put into the product and taken out again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from echopilot_jobs.ledger.statements import statements
from echopilot_jobs.records import record
from echopilot_jobs.simulator import store


class Patches:
    """Changes that can be taken back."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def put(self, home: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Replace an attribute by what *make* makes of it."""
        before = home.__dict__[name]
        plain = before.fget if isinstance(before, property) else before
        made = make(plain)
        setattr(home, name, property(made) if isinstance(before, property) else made)
        self._undo.append(lambda: setattr(home, name, before))

    def sql(self, name: str, pattern: str, instead: str) -> None:
        """Change the text of a named statement; the pattern must be there."""
        before = statements()[name]
        after, found = re.subn(pattern, instead, before)
        if not found:
            raise ValueError(f"statement '{name}' has no '{pattern}'; the plant needs a new place")
        statements()[name] = after
        self._undo.append(lambda: statements().update({name: before}))

    def take_back(self) -> None:
        """Everything as it was."""
        while self._undo:
            self._undo.pop()()


@record(frozen=True)
class Plant:
    """One bug: what it is in a person's words, and how it is put in."""

    name: str
    words: str
    put_in: Callable[[Patches], None]


PLANTS: dict[str, Plant] = {}


def plant(words: str) -> Callable[[Callable[[Patches], None]], Callable[[Patches], None]]:
    """Enter a function into the list under its own name."""

    def enter(put_in: Callable[[Patches], None]) -> Callable[[Patches], None]:
        name = put_in.__name__
        PLANTS[name] = Plant(name, words, put_in)
        return put_in

    return enter


@contextmanager
def planted(name: str | None) -> Iterator[None]:
    """Inside the block the product has that bug; None is no bug."""
    patches = Patches()
    try:
        if name is not None:
            PLANTS[name].put_in(patches)
        _forget_labels()
        yield
    finally:
        patches.take_back()
        _forget_labels()


def _forget_labels() -> None:
    store.label_of.cache_clear()
    store._names.cache_clear()


def planning(change: Callable[[Any, Any, Any], tuple[Any, Any]]) -> Callable[[Any], Any]:
    """A plan made for a changed job or standing."""

    def make(before: Any) -> Any:
        def plan(job: Any, standing: Any, now: Any, **facts: Any) -> Any:
            job, standing = change(job, standing, now)
            return before(job, standing, now, **facts)

        return plan

    return make
