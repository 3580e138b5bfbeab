"""Owners, trees and the dead, with real processes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from echopilot_jobs import processes
from echopilot_jobs.processes import Owner

pytestmark = pytest.mark.process
WAIT = 20.0


@pytest.fixture
def spawn() -> Iterator[object]:
    """Start Python code whose first printed line means it is ready; all are killed at the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str, **options: object) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            **options,  # type: ignore[call-overload]
        )
        started.append(process)
        return process

    yield start
    for process in started:
        for pid in [*processes.descendants(process.pid), process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait(WAIT)
        assert process.stdout is not None
        process.stdout.close()


def line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], WAIT)
    assert ready, "no line in time"
    return process.stdout.readline().decode().strip()


def gone(owner: Owner) -> bool:
    """Wait until that process has ended."""
    deadline = time.monotonic() + WAIT
    while processes.is_alive(owner) and time.monotonic() < deadline:
        processes.wait_for_exit([owner], 0.2)
    return not processes.is_alive(owner)


SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER


def test_an_owner_survives_being_written_and_read() -> None:
    owner = processes.this_process()

    assert Owner.parse(str(owner)) == owner
    assert owner.pid == os.getpid()


@pytest.mark.parametrize("text", ["", "x", "a:b:c", "boot:1", ":1:2", "boot:1:x"])
def test_what_is_no_owner_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any wording will do
        Owner.parse(text)


def test_this_process_is_alive_and_its_lookalikes_are_not() -> None:
    """I7: pid reuse in both directions, and another boot of the machine (F41, F43)."""
    owner = processes.this_process()

    assert processes.is_alive(owner)
    assert not processes.is_alive(replace(owner, started=owner.started - 1))
    assert not processes.is_alive(replace(owner, boot_id="00000000-0000-0000-0000-000000000000"))


def test_a_zombie_is_not_alive(spawn) -> None:  # type: ignore[no-untyped-def]
    """I5: an owner that ended counts as dead even before anybody collected it."""
    child = spawn(SLEEPER)
    line(child)
    owner = processes.owner_of(child.pid)

    child.kill()

    assert gone(owner)
    assert Path(f"/proc/{child.pid}").exists(), "the test is pointless when somebody else reaped it"


def test_a_name_full_of_brackets_does_not_confuse_the_reading(spawn) -> None:  # type: ignore[no-untyped-def]
    rename = "import ctypes; ctypes.CDLL(None).prctl(15, b') R (1 2', 0, 0, 0);"
    child = spawn(rename + SLEEPER)
    line(child)

    owner = processes.owner_of(child.pid)

    assert processes.is_alive(owner)
    assert child.pid in processes.descendants(os.getpid())


def test_a_child_dies_with_its_parent(spawn) -> None:  # type: ignore[no-untyped-def]
    """F4: kill -9 of the parent ends the child by the signal it asked for."""
    child = (
        "import signal, time\n"
        "from echopilot_jobs.processes import die_with_parent\n"
        "die_with_parent(signal.SIGTERM)\nprint('armed', flush=True)\ntime.sleep(600)"
    )
    parent = spawn(
        "import subprocess, sys\n"
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)\n"
        "p.stdout.readline(); print(p.pid, flush=True); p.wait()"
    )
    orphan = processes.owner_of(int(line(parent)))

    parent.kill()

    assert gone(orphan)


def test_a_child_whose_parent_is_gone_already_signals_itself(spawn) -> None:  # type: ignore[no-untyped-def]
    """F7: the parent may die between fork and the request; the kernel would never tell."""
    child = spawn(
        "import signal, time\nfrom echopilot_jobs.processes import die_with_parent\n"
        "die_with_parent(signal.SIGTERM, parent=2**22 - 1)\ntime.sleep(600)"
    )

    assert child.wait(WAIT) == -signal.SIGTERM


def test_a_stubborn_tree_ends_whole(spawn) -> None:  # type: ignore[no-untyped-def]
    """I13, F48, F49: TERM ignored, grandchildren included."""
    parent = spawn(
        "import subprocess, sys\n"
        f"p = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}], stdout=subprocess.PIPE)\n"
        "p.stdout.readline(); print(p.pid, flush=True)\n" + STUBBORN
    )
    grandchild = processes.owner_of(int(line(parent)))
    line(parent)

    killed = processes.end_tree(parent.pid, 0.2)

    assert killed == 2
    assert parent.wait(WAIT) == -signal.SIGKILL
    assert gone(grandchild)


def test_a_polite_tree_is_not_killed(spawn) -> None:  # type: ignore[no-untyped-def]
    child = spawn(SLEEPER)
    line(child)

    assert processes.end_tree(child.pid, WAIT) == 0
    assert child.wait(WAIT) == -signal.SIGTERM


def test_ending_what_has_ended_is_no_error(spawn) -> None:  # type: ignore[no-untyped-def]
    child = spawn("pass")
    child.wait(WAIT)

    assert processes.end_tree(child.pid, 1.0) == 0


TELLS_HOW_ITS_CHILD_ENDED = """
import pathlib, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {child!r}], stdout=subprocess.PIPE)
def leave(*_):
    pathlib.Path({note!r}).write_text(str(child.poll()))
    {last_act}
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
child.stdout.readline()
print(child.pid, flush=True)
while True:
    signal.pause()
"""


@pytest.mark.parametrize("last_act", ["child.kill()", "pass"], ids=["it ends its child", "it leaves its child"])
def test_a_program_is_asked_to_leave_before_its_children_are_F7_I12(spawn, tmp_path: Path, last_act: str) -> None:  # type: ignore[no-untyped-def]
    note = tmp_path / "note"
    program = spawn(TELLS_HOW_ITS_CHILD_ENDED.format(child=SLEEPER, note=str(note), last_act=last_act))
    child = processes.owner_of(int(line(program)))

    processes.end_programs([child.pid, program.pid], WAIT)

    assert note.read_text() == "None"  # it lived when its parent was asked
    assert program.wait(WAIT) == 0
    assert gone(child)


def test_a_program_that_stays_is_killed_before_it_sees_its_children_end_F7_I12(spawn) -> None:  # type: ignore[no-untyped-def]
    program = spawn(
        "import signal, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEPER!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(child.pid, flush=True)\n"
        "print(child.wait(), flush=True)"
    )
    child = processes.owner_of(int(line(program)))

    processes.end_programs([program.pid], 0.2)

    assert program.wait(WAIT) == -signal.SIGKILL
    assert gone(child)
    assert line(program) == ""


def test_an_escapee_is_found_by_its_mark(spawn) -> None:  # type: ignore[no-untyped-def]
    """F49: a double fork with setsid leaves no family tie, only the environment it was born with."""
    escape = "import os, time\nif os.fork(): os._exit(0)\nos.setsid()\nprint(os.getpid(), flush=True)\ntime.sleep(600)"
    value = f"run-{os.getpid()}"
    first = spawn(escape, env={**os.environ, "ECHOPILOT_TEST_MARK": value})
    escaped = int(line(first))
    first.wait(WAIT)

    found = processes.marked("ECHOPILOT_TEST_MARK", value)
    processes.end_tree(escaped, 0.0)

    assert found == [escaped]
    assert processes.marked("ECHOPILOT_TEST_MARK", value) == []


def test_a_subreaper_adopts_and_reaps_the_orphans_of_a_tree(spawn) -> None:  # type: ignore[no-untyped-def]
    """F50: nothing slips away to init and no zombie stays."""
    orphan_maker = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEPER!r}])"
    reaper = spawn(
        "import os, subprocess, sys\nfrom echopilot_jobs import processes\n"
        "assert processes.become_subreaper()\n"
        f"subprocess.run([sys.executable, '-c', {orphan_maker!r}], stdout=subprocess.DEVNULL)\n"
        "orphans = processes.descendants(os.getpid())\n"
        "for pid in orphans: processes.end_tree(pid, 5.0)\n"
        "processes._reap(orphans)\n"
        "left = open(f'/proc/self/task/{os.getpid()}/children').read().split()\n"
        "print(len(orphans), len(left), flush=True)"
    )

    assert line(reaper) == "1 0"
