"""What every rule promises."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Protocol


class Trigger(Protocol):
    """A rule that yields moments."""

    @property
    def period(self) -> timedelta:
        """The usual distance between two moments."""
        ...

    @property
    def follows_real_time(self) -> bool:
        """True for a rule that counts time as it passes, False for one that names times on a clock.

        When the machine's clock is set back, the first goes on from the new time and the second does not repeat itself.
        """
        ...

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The due moments strictly later than *moment* (aware, any zone), in order; whole seconds, aware and in UTC.

        They do not depend on when one asks, and they may end.
        """
        ...

    def as_dict(self) -> dict[str, Any]:
        """The rule as plain JSON, from which `trigger_of` makes an equal one."""
        ...

    def __str__(self) -> str:
        """The rule in a person's words."""
        ...
