"""Output kept within bounds: the first bytes, the last bytes, and how many were between them (I14)."""

from __future__ import annotations

from collections import deque

from echopilot_jobs.runs import Output

HEAD_BYTES = 64 * 1024
TAIL_BYTES = 192 * 1024
SO_FAR_BYTES = 16 * 1024


class Capture:
    """Takes any amount of bytes and remembers at most `HEAD_BYTES` + `TAIL_BYTES` of them."""

    def __init__(self, head_bytes: int = HEAD_BYTES, tail_bytes: int = TAIL_BYTES) -> None:
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._head_room = head_bytes
        self._tail_most = tail_bytes
        self._tail_size = 0
        self._dropped = 0

    def add(self, data: bytes) -> None:
        """Take in the next bytes."""
        first, rest = data[: self._head_room], data[self._head_room :]
        self._head += first
        self._head_room -= len(first)
        if rest:
            self._tail.append(rest)
            self._tail_size += len(rest)
            self._drop_surplus()

    def _drop_surplus(self) -> None:
        while (surplus := self._tail_size - self._tail_most) > 0:
            oldest = self._tail.popleft()
            if len(oldest) > surplus:
                self._tail.appendleft(oldest[surplus:])
            gone = min(len(oldest), surplus)
            self._tail_size -= gone
            self._dropped += gone

    def output(self) -> Output:
        """What was kept, as text; bytes that are no UTF-8 become U+FFFD, NUL becomes its picture."""
        if not self._dropped:
            return Output(head=_text(bytes(self._head) + b"".join(self._tail)))
        return Output(head=_text(bytes(self._head)), tail=_text(b"".join(self._tail)), dropped_bytes=self._dropped)


def newest_part(output: Output, most_bytes: int = SO_FAR_BYTES) -> Output:
    """The end of *output*, whole lines where there are any: what is worth showing while more comes. The rest is counted."""
    newest = (output.tail if output.dropped_bytes else output.head).encode()
    if not output.dropped_bytes and len(newest) <= most_bytes:
        return output
    cut = newest[-most_bytes:]
    kept = cut.partition(b"\n")[2] or cut
    whole = len(output.head.encode()) + len(output.tail.encode()) + output.dropped_bytes
    return Output(tail=kept.decode("utf-8", "ignore"), dropped_bytes=whole - len(kept))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\0", "\u2400")
