"""The keys of a table: what is said of each where a model of the table declares it, and a table held against its model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from echopilot_jobs.jobsfile.words import Wrong

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

UNKNOWN_MOST = 50  # of one table; with more of them the rest is of the same kind

AnyTable = TypeVar("AnyTable", bound="DataclassInstance")
Fault = tuple[str, object, str]


def key(
    read: Callable[[object], Any], default: Any, kind: str, meaning: str, example: str, *, default_words: str = ""
) -> Any:
    """A key of a table: how it is read, its *default*, its *kind* of value, what it means and an *example* in TOML."""
    about = {"read": read, "kind": kind, "meaning": meaning, "example": example, "default_words": default_words}
    return field(default_factory=dict, metadata=about) if default == {} else field(default=default, metadata=about)


def keys_of(model: type) -> tuple[str, ...]:
    """The keys of a table."""
    return tuple(one.name for one in fields(model))


def validated(model: type[AnyTable], found: Mapping[str, Any]) -> tuple[AnyTable, list[Fault]]:
    """The table, its faulty keys left at their defaults, and for each fault: the key, what came, what is the matter.

    An unknown key comes with an empty text.
    """
    readers = {one.name: one.metadata["read"] for one in fields(model)}
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for given, value in found.items():
        if given not in readers:
            faults += [(given, value, "")] if len(faults) < UNKNOWN_MOST else []
            continue
        try:
            values[given] = readers[given](value)
        except Wrong as error:
            faults.append((given, value, str(error)))
    return model(**values), faults
