"""The disk: folders, space, the file system under the ledger, the ledger itself, and locks."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import subprocess  # nosec B404 - one fixed program: this Python
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from echopilot_jobs.access import give_to_owner
from echopilot_jobs.disk import FLOOR, LOW, MAKE_ROOM, amount, free_bytes, pipes_in, shortage
from echopilot_jobs.doctor.findings import FAIL, OK, WARN, Finding, Place
from echopilot_jobs.errors import EchoPilotError
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.ledger.backup import newest_backup
from echopilot_jobs.ledger.connection import LOG_AT_REST_BYTES
from echopilot_jobs.ledger.identity import LedgerMark, MarkUnclear, continuity, read_mark
from echopilot_jobs.ledger.inspection import Condition, Health, inspect
from echopilot_jobs.ledger.missing import gone_by, restoring
from echopilot_jobs.ledger.permits import narrowed, unwritable, widen
from echopilot_jobs.plain import remedy_apart
from echopilot_jobs.processes import Owner, is_alive
from echopilot_jobs.runs import State
from echopilot_jobs.settings import missing_home
from echopilot_jobs.spans import span, stamp

MEBIBYTE = 1024 * 1024
LEAST_INODES = 1000
# No shared memory between machines: WAL needs it, and their locks are not to be trusted either.
REMOTE = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "glusterfs", "vboxsf", "drvfs"}
)
FLEETING = {"tmpfs": "gone at the next boot", "ramfs": "gone at the next boot", "overlay": "gone with the container"}
LOCK_PROBE = """
import fcntl, sys
with open(sys.argv[1], "r+") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit(7)
"""
HELD = 7


def folders(place: Place) -> Iterator[Finding]:
    if not place.settings.home.is_dir():
        what, _, fix = missing_home(place.settings.home).partition("; ")
        yield Finding(FAIL, what, fix)
        return
    yield _folder(place.settings.var_dir)
    if any(place.settings.var_dir.glob("*.lock")) and not place.settings.logs_dir.exists():
        yield Finding(
            WARN,
            f"'{place.settings.logs_dir}' is gone, though a stack has lived here",
            "the next start makes it; look for the logs it had, if nobody meant to remove them",
            mend=lambda: _make_logs(place),
        )
    else:
        yield _folder(place.settings.logs_dir)
    yield from _open_to_others(place.settings.var_dir)
    for pipe in (*pipes_in(place.settings.var_dir), *pipes_in(place.settings.logs_dir)):
        yield Finding(
            FAIL,
            f"'{pipe}' is a pipe where a file should be: whoever opens it waits for its other end",
            "remove it, or move it away",
        )


def _make_logs(place: Place) -> None:
    place.settings.logs_dir.mkdir(mode=0o700, exist_ok=True)
    give_to_owner(place.settings.home, (place.settings.logs_dir,))


def _folder(folder: Path) -> Finding:
    if not folder.exists():
        parent = next(each for each in folder.parents if each.exists())
        if os.access(parent, os.W_OK | os.X_OK):
            return Finding(OK, f"'{folder}' is not there yet; the first start makes it")
        return Finding(
            FAIL, f"'{folder}' cannot be made by uid {os.geteuid()}", f"make it, or open '{parent}' to that account"
        )
    try:
        _write_like_we_do(folder)
    except OSError as error:
        fix = f"give uid {os.geteuid()} write access: `chown -R` the folder to the account that runs the stack"
        return Finding(FAIL, f"'{folder}' cannot be written by uid {os.geteuid()}: {error.strerror}", fix)
    return Finding(OK, f"'{folder}' can be written")


def _write_like_we_do(folder: Path) -> None:
    """A file made, written through and linked: artefacts and the supervisor's socket need all three."""
    with tempfile.TemporaryDirectory(prefix=".doctor", dir=folder) as name:
        draft = Path(name, "probe")
        with draft.open("wb") as file:
            file.write(b"probe")
            os.fsync(file.fileno())
        os.link(draft, Path(name, "linked"))


def _open_to_others(folder: Path) -> Iterator[Finding]:
    with contextlib.suppress(OSError):
        mode = stat.S_IMODE(folder.stat().st_mode)
        if mode & 0o077:
            yield Finding(
                WARN,
                f"'{folder}' is open to other accounts (mode {mode:04o})",
                f"run `chmod 700 '{folder}'`",
                mend=lambda: folder.chmod(0o700),
            )


def free_space(place: Place) -> Iterator[Finding]:
    """Room for the ledger and for the logs, judged as `status` and `/health` do, and a word before it is too little."""
    var, logs = _existing(place.settings.var_dir), _existing(place.settings.logs_dir)
    yield _tightest({folder: free_bytes([folder]) or 0 for folder in (var, logs)})
    room = os.statvfs(var)
    if room.f_files and room.f_favail < LEAST_INODES:
        yield Finding(FAIL, f"only {room.f_favail:,} more files fit on the disk (inodes)", "delete files nobody needs")


def _tightest(rooms: dict[Path, int]) -> Finding:
    where, free = min(rooms.items(), key=lambda room: room[1])
    if short := shortage(free):
        return Finding(FAIL, f"the disk under '{where}' is {short.word}: {short.what}", short.do)
    if free < LOW:
        return Finding(WARN, f"{amount(free)} free under '{where}'; below {amount(FLOOR)} it is too little", MAKE_ROOM)
    return Finding(OK, f"{amount(free)} free under '{where}'")


def file_system(place: Place) -> Iterator[Finding]:
    """Whether the ledger may live where it lives: local, lasting, with locks that hold between processes."""
    where = _existing(place.settings.var_dir)
    kind = file_system_of(where)
    if kind in REMOTE or kind.startswith("fuse.sshfs"):
        yield Finding(
            FAIL,
            f"'{where}' is on {kind}, a network file system: SQLite's WAL needs memory shared on one machine",
            "set ECHOPILOT_HOME to a folder on a local disk",
        )
        return
    if not locks_hold(where):
        yield Finding(
            FAIL, f"'{where}' ({kind}) lets two processes take one lock", "set ECHOPILOT_HOME to a local disk"
        )
    elif kind.startswith("fuse"):
        yield Finding(
            WARN,
            f"'{where}' is on {kind}: a program decides there whether what is written outlives a crash",
            "set ECHOPILOT_HOME to a folder on a local disk if what is behind it is remote or in memory",
        )
    elif kind in FLEETING:
        yield Finding(
            WARN, f"'{where}' is on {kind}: the ledger is {FLEETING[kind]}", "put `var/` on a volume or a disk"
        )
    else:
        yield Finding(OK, f"{kind} under '{where}', locks hold between processes")


def file_system_of(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The file system type of the mount that holds *path*, `unknown` where that cannot be told."""
    best, kind = "", "unknown"
    real = os.path.realpath(path)
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return kind
    for line in lines:
        left, _, right = line.partition(" - ")
        point = left.split(" ")[4].encode("latin-1", "replace").decode("unicode_escape")  # \040 is a space
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):  # of mounts on one point, the last is seen
            best, kind = point, right.split(" ")[0]
    return kind


def locks_hold(folder: Path) -> bool:
    """Whether a lock taken here keeps another process out. True where it cannot be tried."""
    try:
        file = tempfile.NamedTemporaryFile(prefix=".doctor", dir=folder)  # noqa: SIM115 - closed by the `with` below
    except OSError:
        return True  # said by the folders' check
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        other = subprocess.run(  # nosec B603
            [sys.executable, "-I", "-S", "-c", LOCK_PROBE, file.name], check=False, timeout=30
        )
        return other.returncode == HELD


def ledger(place: Place) -> Iterator[Finding]:
    """The ledger's own condition, every page of it read; whether it is the one known; its log; its newest backup."""
    path = place.settings.ledger_path
    if closed := [*_closed(path)]:
        yield from closed
        return
    try:
        mark, found = read_mark(path), inspect(path)
    except MarkUnclear as error:
        what, _, fix = str(error).partition("; ")
        yield Finding(FAIL, what, fix)
        return
    if not found.is_sound:
        yield _unusable(found, mark, path)
        return
    try:
        yield from _ledger(path, place)
    except EchoPilotError as error:
        yield Finding(FAIL, str(error), "see the checks of folders, free space and locks here; restart the scheduler")
    judged = continuity(path, mark, found.identity)
    if judged.needs_a_person:
        said, _, advice = judged.sentence.partition("; ")
        yield Finding(FAIL, said, advice or None)
    wal = path.with_name(f"{path.name}-wal")
    with contextlib.suppress(OSError):
        if (size := wal.stat().st_size) > LOG_AT_REST_BYTES:
            fix = "the scheduler empties it: is it running? is a program reading the ledger for long?"
            yield Finding(WARN, f"the write-ahead log is {size // MEBIBYTE} MiB", fix)


def _closed(path: Path) -> Iterator[Finding]:
    """The ledger's files that this account may not write (F23); what SQLite left read-only of its own can be mended."""
    if files := narrowed(path):
        names = " and ".join(f"'{file}' (mode {stat.S_IMODE(file.stat().st_mode):04o})" for file in files)
        fix = "run `echopilot doctor --fix`, which gives the ledger's mode to them"
        yield Finding(FAIL, f"{names}: closed to uid {os.geteuid()}, its own account", fix, mend=lambda: _open_up(path))
    elif said := unwritable(path):
        yield Finding(FAIL, *remedy_apart(said))


def _open_up(path: Path) -> None:
    widen(path)


def _unusable(found: Health, mark: LedgerMark | None, path: Path) -> Finding:
    """What to do about a ledger that cannot be used. Nothing of it is ever overwritten, whatever is done."""
    match found.condition:
        case Condition.MISSING | Condition.EMPTY:
            lost = gone_by(mark, path) if mark else None
            return Finding(FAIL, lost.what, lost.do) if lost else Finding(OK, "no ledger yet; the first start makes it")
        case Condition.DAMAGED:
            return Finding(
                FAIL,
                f"the ledger is damaged or no ledger: {found.sentence}",
                f"stop the stack, keep a copy of `var/`, {restoring(path)}; without that the next start keeps the file under "
                "another name and begins a new ledger",
            )
        case Condition.TOO_NEW:
            older = "put back a copy made before the change with `echopilot restore FILE`"
            return Finding(FAIL, found.sentence, f"start the newer release again, or {older}")
        case Condition.FOREIGN:
            return Finding(FAIL, found.sentence, "move it away; the next start then begins a ledger in its place")
    return Finding(
        FAIL, found.sentence, f"give the files in `var/` to uid {os.geteuid()}; see who holds them with `fuser`"
    )


def _ledger(path: Path, place: Place) -> Iterator[Finding]:
    with contextlib.closing(SqliteLedger(path, create=False)) as ledger:
        ledger.ping()
        stint, newest = ledger.stint(), ledger.runs(limit=1)
        running = ledger.runs(states=frozenset({State.RUNNING}), limit=200)
        reborn = ledger.rebirth()
    size = f"{path.stat().st_size // 1024:,} KiB"
    run_id = newest[0].id if newest else "none"
    yield Finding(OK, f"{size}, newest run {run_id}, sound, takes writes; {_backed_up(place)}")
    if reborn and reborn.is_news(place.now):
        yield Finding(WARN, reborn.words(stamp), f"with the stack stopped, {restoring(path)}")
    if stint and (ahead := stint.beat_at - place.now).total_seconds() > 60:
        yield Finding(
            FAIL,
            f"the newest beat lies {span(ahead)} in the future: the clock was, or is, wrong",
            "set the clock; calendar jobs wait until it has passed that moment",
        )
    lost = [run for run in running if run.owner and not _lives(run.owner)]
    if lost:
        named = ", ".join(str(run.id) for run in lost[:5])
        yield Finding(
            WARN,
            f"{len(lost)} runs are marked running but their scheduler is dead ({named})",
            "start the scheduler; it ends them",
        )


def _backed_up(place: Place) -> str:
    newest = newest_backup(place.settings.var_dir)
    with contextlib.suppress(OSError):
        if newest:
            age = place.now - datetime.fromtimestamp(newest.stat().st_mtime, UTC)
            return f"newest backup {span(max(age, timedelta(0)))} ago"
    return "no backup yet"


def _lives(owner: str) -> bool:
    try:
        return is_alive(Owner.parse(owner))
    except (ValueError, OSError):
        return False


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.is_dir())
