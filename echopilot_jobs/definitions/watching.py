"""The jobs file watched from a thread of its own: a saved file is judged once it has come to rest, and the loop is rung.

`stat` twice a second costs nothing measurable and works on every file system; the scheduler's loop is woken only when there
is something to say.
"""

from __future__ import annotations

import math
import threading
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path

from echopilot_jobs.clock import Clock
from echopilot_jobs.definitions import shelf
from echopilot_jobs.definitions.judging import Checked, check_sheet, keep, kept_stamps, put_back
from echopilot_jobs.definitions.sheet import NAME, Stamp, path_of, read_sheet, stamp_of, stamps_of
from echopilot_jobs.definitions.shelf import Shelf, read_shelf
from echopilot_jobs.jobsfile import Problem
from echopilot_jobs.records import record
from echopilot_jobs.settings import Settings

LOOK_EVERY_SECONDS = 0.5
LOOK_AGAIN_SECONDS = 0.1
SETTLED_SECONDS = 0.3
PATIENCE_SECONDS = 2.0
PUT_BACK_EVERY_SECONDS = 5.0


@record(frozen=True)
class Verdict:
    """What became of the jobs file. *unkept* says why the shelf could not be written, if so."""

    checked: Checked
    unkept: str | None = None


@record(frozen=True)
class _Sight:
    """What there is to be judged: the content of the jobs file and the stamps of everything else it depends on."""

    digest: str | None
    others: tuple[tuple[Path, Stamp], ...]


class Watch:
    """Says when there is something new that has come to rest. A pass costs a few `stat`s; time is told by the caller.

    A file that is being written in place is waited for, however long that takes: half of it may be a valid file. One that is
    replaced again and again is whole each time, so it is judged at least every two seconds (F66).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: frozenset[Path] = frozenset()
        self._stamps: dict[Path, Stamp] | None = None
        self._judged: _Sight | None = None
        self._waiting: tuple[_Sight, Stamp, float, float] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether something new has not come to rest yet."""
        return self._waiting is not None

    def is_due(self, now: float) -> bool:
        """Whether what is there now is new and ready to be judged."""
        stamps = stamps_of([self._path, *self._files])
        if stamps == self._stamps and self._waiting is None:
            return False
        sight = self._see(stamps)
        if sight == self._judged:  # touched, or back to what it was
            self._stamps, self._waiting = stamps, None
            return False
        stamp = stamps[self._path]
        if self._waiting is None:
            self._waiting = (sight, stamp, now, now)
            return False
        before, stamp_before, since, first = self._waiting
        if sight == before:
            return now - since >= SETTLED_SECONDS
        self._waiting = (sight, stamp, now, first)
        replaced = stamp is not None and stamp_before is not None and stamp[2] != stamp_before[2]
        return replaced and now - first >= PATIENCE_SECONDS

    def judged(self, digest: str | None, files: frozenset[Path], before: dict[Path, Stamp]) -> None:
        """This *digest* has been judged, with the other *files* as they were *before* that."""
        self._files = files
        known = {path: before[path] if path in before else stamp_of(path) for path in files}
        self._judged = _Sight(digest, tuple(sorted(known.items())))
        self._stamps, self._waiting = None, None  # looked at anew: it may have changed meanwhile

    def stamps(self) -> dict[Path, Stamp]:
        """The stamps of everything watched, to be taken before it is judged."""
        return stamps_of(self._files)

    def _see(self, stamps: dict[Path, Stamp]) -> _Sight:
        others = tuple(sorted((path, stamps[path]) for path in self._files))
        return _Sight(read_sheet(self._path).digest, others)


class Watcher:
    """Judges the jobs file whenever it has changed, in a thread that ends with the process; *ring* wakes the loop."""

    def __init__(self, settings: Settings, clock: Clock, ring: Callable[[], None]) -> None:
        self._settings = settings
        self._clock = clock
        self._ring = ring
        self._watch = Watch(path_of(settings))
        self._verdicts: deque[Verdict] = deque(maxlen=16)
        self._kept: Shelf | None = None
        self._is_kept = False
        self._kept_stamps: list[Stamp] = []
        self._put_back_at = -math.inf
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="definitions", daemon=True)

    def start(self) -> None:
        """Begin to watch; what is there now is judged first."""
        self._thread.start()

    def stop(self) -> None:
        """Judge nothing more. Does not wait for a check that goes on: its child ends with this process."""
        self._stop.set()

    def take(self) -> list[Verdict]:
        """What was judged since the last time, oldest first. May be called from any thread."""
        found = []
        while self._verdicts:
            found.append(self._verdicts.popleft())
        return found

    def _run(self) -> None:
        due = True  # the set the scheduler began with may have been judged long ago
        while True:
            if due:
                self._judge()
            pause = LOOK_AGAIN_SECONDS if self._watch.is_waiting else LOOK_EVERY_SECONDS
            if self._stop.wait(pause):
                return
            self._put_back()
            due = self._watch.is_due(self._clock.monotonic())

    def _put_back(self) -> None:
        """Write again what is kept of the set in force, where somebody removed or damaged it or the disk had no room for it.

        Whoever looks at the set in force reads it there.
        """
        now, stamps = self._clock.monotonic(), kept_stamps(self._settings)
        if self._kept is None or now < self._put_back_at or (self._is_kept and stamps == self._kept_stamps):
            return
        self._is_kept = put_back(self._settings, self._kept, was_written=self._is_kept)
        self._put_back_at = now + PUT_BACK_EVERY_SECONDS
        self._kept_stamps = kept_stamps(self._settings)

    def _judge(self) -> None:
        """One check, kept and handed over. A bug in it is told of like a refusal and ends nothing."""
        before = self._watch.stamps()
        sheet = read_sheet(self._watch_path)
        try:
            kept = read_shelf(shelf.path_of(self._settings))
            checked = check_sheet(self._settings, sheet, kept, self._clock.now())
        except Exception as error:
            traceback.print_exc()
            words = f"it could not be judged: {type(error).__name__}: {error}"
            checked = Checked(sheet.digest, None, (Problem(words, file=NAME),))
        unkept = None
        if not self._stop.is_set():
            self._kept, unkept = keep(self._settings, checked, self._clock.now())
            self._is_kept = unkept is None
            self._kept_stamps = kept_stamps(self._settings)
        self._watch.judged(checked.digest, checked.files, before)
        self._verdicts.append(Verdict(checked, unkept))
        self._ring()

    @property
    def _watch_path(self) -> Path:
        return path_of(self._settings)
