"""The process runs are forked from: `python -m echopilot_jobs.executor.forkserver DESCRIPTOR PARENT`.

An interpreter takes tens of milliseconds to start and a fork of a warm one a few. This one has a single thread, imports none
of the user's code and knows no secret. It dies with the scheduler, and what it forked dies with it.

A request is one byte with four descriptors: the order (JSON in a memory file), standard output, the report, and a socket on
which this end says `{"pid": …}` or `{"error": …}`, then `{"ended": status}`. The pid stays taken until the other end of that
socket is closed: whoever sweeps the run's processes may name it until then.

Every child adopts its own orphans as long as it lives. So what comes to this process was left behind by a run that has
ended, whatever it did to its session and its environment, and is ended before that end is told.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from echopilot_jobs.executor import child
from echopilot_jobs.executor.mark import MarkRoom
from echopilot_jobs.processes import LOOKS_MOST, become_subreaper, die_with_parent, end_tree

IGNORED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
)  # its life ends with the scheduler's, not before


def main() -> int:
    """Serve until the scheduler is gone; in a child, carry out its order. The process's exit status."""
    control, parent = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])
    die_with_parent(signal.SIGKILL, parent)
    become_subreaper()  # what an ended run leaves behind comes here
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    room = MarkRoom.find()
    gc.collect()
    gc.freeze()  # a collection in a child would otherwise touch, and so copy, every page of it
    errand = _Server(control).serve()
    return 0 if errand is None else child.carry_out(errand, room)


@dataclass
class _Child:
    pid: int
    status: socket.socket
    told: bool = False
    let_go: bool = False


class _Server:
    """Forks on request, says how each child ended, and collects it when told that nobody needs its pid any more."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, _Child] = {}  # by the descriptor of the status socket
        self._immortal: set[int] = set()  # stuck in the kernel: nobody waits for them twice
        self._bell, self._striker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._poll = select.poll()
        for descriptor in (control.fileno(), self._bell):
            self._poll.register(descriptor, select.POLLIN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._striker, warn_on_full_buffer=False)

    def serve(self) -> child.Errand | None:
        """Return an errand in every child, and None in the server itself when the scheduler has gone."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._control.fileno():
                    message, descriptors = self._receive()
                    if not message:
                        return None
                    if errand := self._begin(descriptors):
                        return errand
                elif descriptor == self._bell:
                    with suppress(BlockingIOError):
                        os.read(self._bell, 4096)
                else:
                    self._let_go(self._children[descriptor])
            self._look_at_children()

    def _receive(self) -> tuple[bytes, list[int]]:
        try:
            message, descriptors, flags, _ = socket.recv_fds(self._control, 1, 4)
        except ConnectionResetError:
            return b"", []
        if flags & socket.MSG_CTRUNC:  # no descriptors left here: the other end sees its socket closed without a word
            _close(descriptors)
            return message, []
        return message, descriptors

    def _begin(self, descriptors: list[int]) -> child.Errand | None:
        if len(descriptors) != 4:
            return None
        *ours, status_descriptor = descriptors
        status = socket.socket(fileno=status_descriptor)
        if _is_closed(status):  # the scheduler gave up before we came to it
            _close(ours)
            status.close()
            return None
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            _close(ours)
            _say(status, {"error": error.strerror})
            status.close()
            return None
        if pid == 0:
            status.close()
            self._forget()
            order, output, report = ours
            return child.Errand(order, output, report, server)
        _close(ours)
        self._children[status.fileno()] = _Child(pid, status)
        self._poll.register(status.fileno(), select.POLLIN)
        _say(status, {"pid": pid})
        return None

    def _forget(self) -> None:
        """In a child: close what is the server's, through the objects that would otherwise close it again later."""
        signal.set_wakeup_fd(-1)
        self._control.close()
        for each in self._children.values():
            each.status.close()
        _close([self._bell, self._striker])

    def _let_go(self, known: _Child) -> None:
        """Nobody listens any more: what still lives of it ends, and it is collected as soon as it has."""
        if not known.let_go:
            known.let_go = True
            self._poll.unregister(known.status.fileno())
            os.kill(known.pid, signal.SIGKILL)

    def _look_at_children(self) -> None:
        for descriptor, known in [*self._children.items()]:
            ended = os.waitid(os.P_PID, known.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                continue
            if not known.told:
                known.told = True
                self._end_adopted()
                status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
                _say(known.status, {"ended": status})
            if known.let_go:
                os.waitpid(known.pid, 0)
                known.status.close()
                del self._children[descriptor]
        self._end_adopted()

    def _end_adopted(self) -> None:
        """End and collect what ended runs left behind, and what that leaves behind in its turn (F49, F50)."""
        for _ in range(LOOKS_MOST):
            adopted = self._adopted()
            for pid in adopted - self._immortal:
                end_tree(pid, 0)
            gone = {pid for pid in adopted if os.waitpid(pid, os.WNOHANG)[0] == pid}
            self._immortal = adopted - gone
            if not gone:
                break

    def _adopted(self) -> set[int]:
        """Our children that we did not fork ourselves."""
        with suppress(OSError):
            words = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
            return {int(word) for word in words}.difference(known.pid for known in self._children.values())
        return set()


def _is_closed(status: socket.socket) -> bool:
    poll = select.poll()
    poll.register(status.fileno(), 0)
    return bool(poll.poll(0))


def _say(status: socket.socket, facts: dict[str, object]) -> None:
    with suppress(OSError):
        status.send(json.dumps(facts).encode("ascii"), socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
