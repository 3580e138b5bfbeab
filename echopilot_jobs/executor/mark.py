"""A forked child's mark, made visible to whoever looks for it.

`/proc/PID/environ` shows the block a program was *started* with; a child that was only forked shows its parent's, whatever
it does to its environment. So the fork server is started with room for a mark in that block, and each child writes its own
there.
"""

from __future__ import annotations

import os

from echopilot_jobs.processes import MARK
from echopilot_jobs.records import record

ROOM_BYTES = 255
EMPTY = "-" * ROOM_BYTES
_ENVIRONMENT_STARTS, _ENVIRONMENT_ENDS = 50, 51  # fields of /proc/PID/stat, counted from 1


@record(frozen=True)
class MarkRoom:
    """Where in the memory of this process, and of all it forks, the mark stands."""

    address: int

    @classmethod
    def find(cls) -> MarkRoom:
        """The room this process was started with. Raises `LookupError` when it was started without one."""
        with open("/proc/self/stat", "rb") as file:  # noqa: PTH123  # plain calls: this is the fork server's start
            fields = file.read().rpartition(b")")[2].split()
        start, end = (int(fields[number - 3]) for number in (_ENVIRONMENT_STARTS, _ENVIRONMENT_ENDS))
        with open("/proc/self/mem", "rb", buffering=0) as memory:  # noqa: PTH123
            memory.seek(start)
            block = memory.read(end - start)
        place = block.find(f"{MARK}={EMPTY}".encode())
        if place < 0:
            raise LookupError(f"started without room for a mark in {MARK}")
        return cls(start + place + len(MARK) + 1)

    def write(self, mark: str) -> None:
        """Let this process show *mark*; what is left of the room becomes NUL, so that the value ends where it ends."""
        data = mark.encode()
        if len(data) > ROOM_BYTES:
            raise ValueError(f"a mark of {len(data)} bytes; there is room for {ROOM_BYTES}")
        descriptor = os.open("/proc/self/mem", os.O_WRONLY | os.O_CLOEXEC)  # its own: an inherited one is its parent's
        try:
            os.pwrite(descriptor, data.ljust(ROOM_BYTES, b"\0"), self.address)
        finally:
            os.close(descriptor)
