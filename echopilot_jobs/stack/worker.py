"""gunicorn's threaded worker with two habits added: slow clients have deadlines, and a stop frees the port at once."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

HEADER_SECONDS = 10.0  # for the whole request head, however slowly it drips in
REQUEST_SECONDS = 60.0  # for head, body and answer; a trigger waits up to 25 s for its run


class DeadlineWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """`gthread` reads with blocking sockets and without a limit: as many idle half-open clients as threads stall it.

    Here a connection that misses its deadline is shut down, which ends the blocked read as if the client had left.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadlines: dict[Any, float] = {}

    def enqueue_req(self, conn: Any) -> None:
        """A connection goes to the threads: its head has a deadline from now on."""
        self._deadlines[conn] = time.monotonic() + HEADER_SECONDS
        super().enqueue_req(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """The head is complete (called in a thread): the rest has its own, later deadline."""
        self._deadlines[conn] = time.monotonic() + REQUEST_SECONDS
        return super().handle_request(req, conn)

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Answered, failed or put aside (called in the main loop)."""
        self._deadlines.pop(conn, None)
        super().finish_request(conn, fs)

    def murder_pending(self) -> None:
        """Called about once a second by the main loop; here also ends what is overdue."""
        super().murder_pending()
        now = time.monotonic()
        for conn, deadline in list(self._deadlines.items()):
            if deadline < now:
                with contextlib.suppress(OSError):  # the client may have left in this moment
                    conn.sock.shutdown(socket.SHUT_RDWR)

    def set_accept_enabled(self, enabled: bool) -> None:
        """Stopping, or orphaned by a killed master: close the port now, so that the next master can open it.

        Stock keeps it open until the last request is done, and the new master waits in steps of a second.
        """
        super().set_accept_enabled(enabled)
        if not enabled and (not self.alive or os.getppid() != self.ppid):
            for listener in self.sockets:
                listener.close()
