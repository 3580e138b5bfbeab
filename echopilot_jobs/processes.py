"""Processes as Linux tells about them: who owns a run, who is alive, who descends from whom, how a tree ends.

A pid alone is no identity, because the system hands pids out again; a pid with its start time and the boot id
is one. Everything here reads `/proc` and so needs Linux; `die_with_parent` and `become_subreaper` do nothing
elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal as signals
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from echopilot_jobs.clock import SystemClock
from echopilot_jobs.disk import read_whole
from echopilot_jobs.records import record

PROC = Path("/proc")
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
DEAD_STATES = frozenset("ZXx")
LOOKS_MOST = 20  # a machine on which something ends during every look must not be looked at for ever
MARK = "ECHOPILOT_MARK"  # in the environment of every process of a run: its owner, a slash, and which attempt it is
PARENT_VARIABLE = "ECHOPILOT_STACK_PID"  # in the programs' environment: the pid of the supervisord that started them
PROJECT_ROOT = Path(__file__).resolve().parent.parent


@record(frozen=True)
class Owner:
    """One process, told apart from every later process with the same pid and from those of another boot."""

    boot_id: str
    pid: int
    started: int  # clock ticks since boot, field 22 of /proc/PID/stat

    def __str__(self) -> str:
        return f"{self.boot_id}:{self.pid}:{self.started}"

    @classmethod
    def parse(cls, text: str) -> Owner:
        """The owner that `str()` wrote. Raises `ValueError` for anything else."""
        boot, pid, started = text.rsplit(":", 2)
        if not boot:
            raise ValueError(f"no owner: '{text}'; wanted 'boot_id:pid:started'")
        return cls(boot, int(pid), int(started))


@record(frozen=True)
class _Stat:
    """What we need of /proc/PID/stat."""

    pid: int
    parent: int
    state: str
    started: int


def boot_id() -> str:
    """The identity of this boot of the machine; another value means every process known before is gone."""
    return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def this_process() -> Owner:
    """The calling process as an owner."""
    return owner_of(os.getpid())


def owner_of(pid: int) -> Owner:
    """The process *pid* as an owner. Raises `ProcessLookupError` when there is none."""
    stat = _stat(pid)
    if stat is None:
        raise ProcessLookupError(f"no process {pid}")
    return Owner(boot_id(), pid, stat.started)


def is_alive(owner: Owner) -> bool:
    """True while that very process runs: same boot, same pid, same start time, and not a zombie."""
    if owner.boot_id != boot_id():
        return False
    stat = _stat(owner.pid)
    return stat is not None and stat.started == owner.started and stat.state not in DEAD_STATES


def is_frozen(pid: int) -> bool:
    """True while *pid* is stopped by SIGSTOP, Ctrl-Z or a debugger: alive, and answering nobody."""
    stat = _stat(pid)
    return stat is not None and stat.state in "Tt"


def command_line(pid: int) -> str:
    """What *pid* was started as, for a person; '' when it is gone or hidden."""
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    return ""


def exit_note(var_dir: Path, program: str) -> Path:
    """The file in which supervisord's plugin leaves what it saw of a program's last end."""
    return var_dir / f"{program}.exit"


def take_exit_words(var_dir: Path, program: str) -> str:
    """What supervisord saw of the last end of *program*, once; '' when it ended as asked or nobody saw it."""
    note = exit_note(var_dir, program)
    try:
        words = read_whole(note).decode("ascii", "replace")[:200]
        note.unlink()
    except OSError:
        return ""
    return words


def stack_owner(var_dir: Path) -> Owner | None:
    """The living supervisord that holds the stack's lock in *var_dir*, even one deleted under it; None when none does."""
    lock = var_dir / "stack.lock"
    with contextlib.suppress(OSError, ValueError):
        owner = Owner.parse(read_whole(lock).decode("ascii").strip())
        if is_alive(owner):
            return owner
    return keeper_of_deleted(lock)


def unsteered(socket: Path) -> Owner | None:
    """The supervisord that lives though its socket at *socket* is gone, so that nobody can steer it; None when none does."""
    return None if socket.exists() else stack_owner(socket.parent)


def keeper_of_deleted(path: Path) -> Owner | None:
    """The oldest living process that still has a file open that was deleted at *path*; None as far as we may look."""
    holders = filter(None, map(_stat, with_open({f"{os.path.realpath(path.parent)}/{path.name} (deleted)"})))
    oldest = min(holders, key=lambda stat: stat.started, default=None)
    return Owner(boot_id(), oldest.pid, oldest.started) if oldest is not None else None


def with_open(names: set[str]) -> Iterator[int]:
    """Pids of the living processes with a descriptor that leads to one of *names*, as the kernel spells them.

    Takes milliseconds: it looks at all that the processes of this account have open, and may not look at others'.
    """
    return (pid for pid in _pids() if _has_open(PROC / str(pid) / "fd", names))


def _has_open(descriptors: Path, names: set[str]) -> bool:
    with contextlib.suppress(OSError):  # gone, or somebody else's
        for descriptor in descriptors.iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                if str(descriptor.readlink()) in names:
                    return True
    return False


def ancestors(pid: int) -> list[int]:
    """The parent of *pid*, its parent and so on, as far as they can be seen."""
    found: list[int] = []
    while (stat := _stat(pid)) is not None and stat.parent > 0:
        pid = stat.parent
        found.append(pid)
    return found


def die_with_parent(signal: int, parent: int | None = None) -> None:
    """Have the kernel send *signal* to this process when its parent dies; at once if it is gone already.

    *parent* is the pid it should have, None whatever it has now. The kernel means the parent's *thread*: a
    child started from a thread gets the signal when that thread ends. The request does not survive a fork,
    nor the exec of a set-user-id program. Off Linux this does nothing.
    """
    before = os.getppid() if parent is None else parent
    if _prctl(PR_SET_PDEATHSIG, signal) and os.getppid() != before:
        # The parent died between fork and the request, so the kernel will never send it: do it ourselves.
        os.kill(os.getpid(), signal)


def die_with_stack(signal: int) -> None:
    """`die_with_parent` for a program of the stack; run by hand, outside of it, the parent is whoever started it."""
    named = os.environ.get(PARENT_VARIABLE, "")
    die_with_parent(signal, int(named) if named.isdecimal() else None)


def become_subreaper() -> bool:
    """Adopt descendants whose parents die, so that none can slip away to init. True if the kernel agreed."""
    return _prctl(PR_SET_CHILD_SUBREAPER, 1)


def descendants(pid: int) -> list[int]:
    """Pids of the living descendants of *pid*, parents before children, zombies left out."""
    return [stat.pid for stat in _tree(pid)]


def environment_of(pid: int) -> dict[str, str] | None:
    """The environment *pid* was started with; None where we may not look or it is gone."""
    try:
        pairs = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    return {
        os.fsdecode(name): os.fsdecode(value) for name, _, value in (pair.partition(b"=") for pair in pairs) if name
    }


def marked(name: str, value: str, *, prefix: bool = False) -> list[int]:
    """Pids of living processes started with NAME=value in their environment, as far as we may look.

    With *prefix*, of all whose value begins with *value*. A process that ends while we look may have left a child that is
    on no list yet, so then we look again.
    """
    wanted = b"\0" + f"{name}={value}".encode() + (b"" if prefix else b"\0")
    found: list[int] = []
    for _ in range(LOOKS_MOST):
        found, has_changed = _look_for(wanted)
        if not has_changed:
            break
    return [pid for pid in found if (stat := _stat(pid)) is not None and stat.state not in DEAD_STATES]


def _look_for(wanted: bytes) -> tuple[list[int], bool]:
    """The pids whose environment holds *wanted*, and whether one of all ended before it could be looked at."""
    found, has_changed = [], False
    for pid in _pids():
        try:
            if wanted in b"\0" + (PROC / str(pid) / "environ").read_bytes():
                found.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            has_changed = True
        except OSError:  # somebody else's
            continue
    return found, has_changed


def end_marked(value: str, *, prefix: bool = False, name: str = MARK) -> int:
    """End every process that carries the mark *value*, and what it gives birth to meanwhile; how many there were (I13).

    The mark is the variable *name* of its environment.
    """
    count = 0
    for _ in range(LOOKS_MOST):
        left = marked(name, value, prefix=prefix)
        for pid in left:
            end_tree(pid, 0)
            _reap([pid])  # ours by adoption, where this process is a subreaper
        count += len(left)
        if not left:
            break
    return count


def end_leftovers(owner: str) -> int:
    """End every process that the runs of a dead *owner* left behind; how many there were (I8, F49).

    A killed scheduler's child dies with it, but a grandchild may not: it still carries its run's mark.
    """
    return end_marked(f"{owner}/", prefix=True)


def end_tree(pid: int, grace_seconds: float) -> int:
    """End *pid* and all its descendants: TERM, *grace_seconds* to leave, then KILL until none is left.

    Returns how many had to be killed. Adopted descendants are reaped; *pid* itself is left to who started it.
    """
    tree = _told_to_leave(_family(pid), grace_seconds)
    killed = _kill_all(tree)
    _reap(stat.pid for stat in tree if stat.pid != pid)
    return killed


def end_programs(pids: Iterable[int], grace_seconds: float) -> None:
    """End the programs *pids* and all their descendants: the programs by themselves first, then what they leave.

    TERM goes to the programs alone, with *grace_seconds* to end what is theirs and to write it down: a child that died
    of our TERM would be one that failed to them (I12). One that stays is killed with all it has, and so writes nothing.
    What the others left has as long again, from TERM to KILL.
    """
    given = set(pids)
    programs = [stat for stat in map(_stat, given) if stat and not given.intersection(ancestors(stat.pid))]
    tree = [stat for program in programs for stat in _family(program.pid)]
    tree = _told_to_leave(tree, grace_seconds, only=programs)
    _kill_all(programs)
    _kill_all(_told_to_leave(tree, grace_seconds))


def signal_tree(pid: int, signal: int) -> None:
    """Send *signal* to *pid* and all its living descendants."""
    _send(_family(pid), signal)


def wait_for_exit(processes: Iterable[Owner | _Stat], seconds: float) -> bool:
    """Wait until one of *processes* has ended, at most *seconds*. True if one has."""
    poller, descriptors = select.poll(), []
    try:
        for process in processes:
            try:
                descriptor = os.pidfd_open(process.pid)
            except OSError:  # gone, or a kernel without pidfd: look again soon
                seconds = min(seconds, 0.02)
                continue
            descriptors.append(descriptor)
            poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(max(0.0, seconds) * 1000))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _prctl(option: int, value: int) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    answer: int = ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
    return answer == 0


def _pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def _stat(pid: int) -> _Stat | None:
    try:
        text = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The command's name stands in brackets and may hold spaces and brackets itself: count from the last one.
    fields = text[text.rindex(b")") + 2 :].split()
    return _Stat(pid=pid, parent=int(fields[1]), state=fields[0].decode("ascii"), started=int(fields[19]))


def _tree(pid: int) -> list[_Stat]:
    children: dict[int, list[_Stat]] = {}
    for stat in filter(None, map(_stat, _pids())):
        children.setdefault(stat.parent, []).append(stat)
    found: list[_Stat] = []
    queue = [pid]
    for parent in queue:
        found += children.get(parent, [])
        queue += [child.pid for child in children.get(parent, [])]
    return [stat for stat in found if stat.state not in DEAD_STATES]


def _family(pid: int) -> list[_Stat]:
    head = _stat(pid)
    return [*([head] if head else []), *_tree(pid)]


def _merged(known: list[_Stat], parents: list[_Stat]) -> list[_Stat]:
    seen = {(stat.pid, stat.started) for stat in known}
    young = [child for stat in parents for child in _tree(stat.pid)]
    return known + [stat for stat in young if (stat.pid, stat.started) not in seen]


def _alive(processes: Iterable[_Stat]) -> list[_Stat]:
    now = ((known, _stat(known.pid)) for known in processes)
    return [known for known, at in now if at and at.started == known.started and at.state not in DEAD_STATES]


def _told_to_leave(tree: list[_Stat], seconds: float, only: list[_Stat] | None = None) -> list[_Stat]:
    """TERM, to *only* these of the tree if given, and at most *seconds* until they are gone. The tree as it has become."""
    _send(tree if only is None else only, signals.SIGTERM)
    clock = SystemClock()
    deadline = clock.monotonic() + seconds
    while (left := _alive(tree if only is None else only)) and (time_left := deadline - clock.monotonic()) > 0:
        wait_for_exit(left, min(time_left, 1.0))
        tree = _merged(tree, left)  # children that the grace itself gave birth to
    return tree


def _send(processes: Iterable[_Stat], signal: int) -> None:
    for stat in _alive(processes):  # looked at just before the signal: a pid may be another's by now
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(stat.pid, signal)


def _kill_all(tree: list[_Stat]) -> int:
    """KILL until nothing of the tree lives, following children born meanwhile. The number killed."""
    killed: set[tuple[int, int]] = set()
    for _ in range(200):  # a process stuck in the kernel outlives KILL: give up after seconds
        left = _alive(tree)
        if not left:
            break
        _send(left, signals.SIGSTOP)  # a stopped parent cannot fork faster than we look
        tree[:] = _merged(tree, left)
        _send(tree, signals.SIGKILL)
        killed |= {(stat.pid, stat.started) for stat in left}
        wait_for_exit(left, 0.05)
    return len(killed)


def _reap(pids: Iterable[int]) -> None:
    """Collect adopted children that ended; those of other parents are not ours to collect."""
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
