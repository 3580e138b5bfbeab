"""Names of a package that are fetched when somebody asks for them.

Every process begins with this module, so it imports next to nothing.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # as type checkers read it; `typing` is the larger part of what `bin/echopilot` would load first

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def fetching(package: str, **names: tuple[str, ...]) -> Callable[[str], Any]:
    """The `__getattr__` of *package*, that fetches the *names* of each of its modules from there."""
    homes = {name: module for module, inside in names.items() for name in inside}

    def fetch(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{homes[name]}"), name)

    return fetch
