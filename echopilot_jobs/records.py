"""Frozen dataclasses that are made when their first instance is, and told apart without generated code.

Python 3.11 writes and compiles six methods for each dataclass, most of a millisecond: a fifth of what a short command takes,
for classes and comparisons it mostly never uses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable
from functools import cache
from operator import attrgetter
from threading import RLock
from typing import TYPE_CHECKING, Any, cast

__all__ = ["record"]

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(*, frozen: bool):
        """As `dataclasses.dataclass(frozen=True)`, for what is said of an instance; for any thread.

        `dataclasses.fields` of the class itself raises `TypeError` before there is one: a class that is asked for its fields
        is declared with `dataclass`, and so is one whose instances are ordered, or made ten thousand times a second.
        """
        if not frozen:
            raise TypeError("a record is frozen; what may change is declared with `dataclass`")

        def declare(cls: type) -> type:
            def new(wanted: type, *_args: Any, **_fields: Any) -> Any:
                if cls in _unmade:
                    _make(cls)
                return object.__new__(wanted)

            _unmade.add(cls)
            cls.__new__ = new
            for name, method in (("__eq__", _equal), ("__hash__", _hash), ("__repr__", _show)):
                if cls.__dict__.get(name) is None:  # a class that defines __eq__ alone has None for a hash
                    setattr(cls, name, method)
            return cls

        return declare


_unmade: set[type] = set()
_making = RLock()


def _make(cls: type) -> None:
    with _making:
        for each in reversed(cls.__mro__):  # fields are inherited from classes that have theirs
            if each in _unmade:
                dataclasses.dataclass(frozen=True, eq=False, repr=False)(each)
                _unmade.discard(each)


def _equal(self: Any, other: object) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    values = _compared(_kind(self))
    return values(self) == values(other)


def _hash(self: Any) -> int:
    return hash(_hashed(_kind(self))(self))


def _kind(instance: object) -> Hashable:
    return cast("Hashable", instance.__class__)  # mypy holds that classes cannot be hashed


def _show(self: Any) -> str:
    shown = (f"{each.name}={getattr(self, each.name)!r}" for each in dataclasses.fields(self) if each.repr)
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


@cache
def _compared(cls: Any) -> Callable[[Any], Any]:
    return _values([each.name for each in dataclasses.fields(cls) if each.compare])


@cache
def _hashed(cls: Any) -> Callable[[Any], Any]:
    counts = ((each.name, each.compare if each.hash is None else each.hash) for each in dataclasses.fields(cls))
    return _values([name for name, is_counted in counts if is_counted])


def _values(names: list[str]) -> Callable[[Any], Any]:
    return attrgetter(*names) if names else lambda _instance: ()
