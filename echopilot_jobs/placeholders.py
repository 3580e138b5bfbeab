"""`${NAME}` in a definition: filled from the environment when a run starts, and nowhere kept (S21, I29)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]{0,127})\}")
SHORTEST_SECRET = 8  # a shorter value would blacken ordinary words


class Unfilled(LookupError):
    """A name that the environment does not have. Says which, and never a value."""

    def __init__(self, name: str) -> None:
        # The scheduler has the environment that supervisord was started with: starting it again brings nothing new.
        super().__init__(
            f"${{{name}}} is not set in the scheduler's environment; "
            f"set {name}, then `bin/stack stop` and start the stack again"
        )
        self.name = name


def names_in(text: str) -> list[str]:
    """The names *text* asks for, in order."""
    return PLACEHOLDER.findall(text)


def fill(text: str, environ: Mapping[str, str]) -> str:
    """*text* with every `${NAME}` replaced by its value. Raises `Unfilled` for the first name that has none."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise Unfilled(match[1])
        return environ[match[1]]

    return PLACEHOLDER.sub(value, text)


def hide(text: str, names: Iterable[str], environ: Mapping[str, str]) -> str:
    """*text* with the values of *names* replaced by `[NAME]`: what a run was told must not come back by its output."""
    for name in names:
        value = environ.get(name, "")
        if len(value) >= SHORTEST_SECRET:
            text = text.replace(value, f"[{name}]")
    return text


def hide_growing(text: str, names: Iterable[str], environ: Mapping[str, str]) -> str:
    """*text* hidden while more of it comes: an end that may be the first part of a value waits for the rest."""
    wanted = list(names)
    values = [value for name in wanted if len(value := environ.get(name, "")) >= SHORTEST_SECRET]
    end = len(text.rstrip("\ufffd"))  # a letter of which only some bytes have come
    while begun := max((_begun(text, end, value) for value in values), default=0):
        end -= begun  # and what stands before it may be the first part of another one
    return hide(text[:end], wanted, environ)


def _begun(text: str, end: int, value: str) -> int:
    """How many letters of *value* stand at the end of *text* up to *end*."""
    return next((n for n in range(min(len(value), end), 0, -1) if text.endswith(value[:n], 0, end)), 0)
