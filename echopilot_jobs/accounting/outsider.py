"""A scheduler that leads although it is not the stack's own: then the stack's program runs and does nothing."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from echopilot_jobs.processes import Owner, ancestors, is_alive
from echopilot_jobs.records import record

if TYPE_CHECKING:
    from echopilot_jobs.runs import Stint
    from echopilot_jobs.supervision import Program


@record(frozen=True)
class Outsider:
    """The scheduler *pid*, which leads, and the one of the stack, *stands_by*."""

    pid: int
    stands_by: int

    @property
    def words(self) -> str:
        """Who leads and who does not."""
        return f"pid {self.pid} leads, which the stack did not start; its own, pid {self.stands_by}, only stands by"

    @property
    def remedy(self) -> str:
        """How the stack's own comes to lead."""
        return (
            f"Ctrl-C where pid {self.pid} was started, or `kill {self.pid}`, lets the stack's own lead within seconds"
        )


def outsider(stint: Stint | None, programs: Iterable[Program]) -> Outsider | None:
    """Whoever leads beside the stack's running scheduler; None where that leads itself, or nobody here does."""
    own = next((each.pid for each in programs if each.name == "scheduler" and each.state == "RUNNING"), None)
    if stint is None or stint.ended_at is not None or not own:
        return None
    with suppress(ValueError, OSError):
        leader = Owner.parse(stint.owner)
        if is_alive(leader) and own not in (leader.pid, *ancestors(leader.pid)):
            return Outsider(leader.pid, own)
    return None
