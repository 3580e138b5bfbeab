"""Runs in processes of their own: truthful ends, bounded time and output, nothing left behind."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echopilot_jobs.executor import Cancel, child_process
from echopilot_jobs.executor.capture import HEAD_BYTES, TAIL_BYTES, Capture
from echopilot_jobs.jobs import Command, Inline, Python
from echopilot_jobs.processes import become_subreaper
from echopilot_jobs.runs import Outcome, State
from tests.executor.runkit import EXECUTOR, NOON, a_run, job, left_behind

pytestmark = pytest.mark.process


@pytest.fixture
def cancel() -> Iterator[Cancel]:
    wish = Cancel()
    yield wish
    wish.close()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module `work` that the child can import."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path / "work.py"


def python(module: Path, body: str, cancel: Cancel, timeout: float = 60) -> Outcome:
    module.write_text(dedent(body), encoding="utf-8")
    return EXECUTOR.carry_out(job(Python("work:run"), timeout), a_run(), cancel)


def shell(script: str, cancel: Cancel, timeout: float = 60) -> Outcome:
    return EXECUTOR.carry_out(job(Command(("sh", "-c", script)), timeout), a_run(), cancel)


def test_a_python_job_gets_its_context_and_its_answer_is_kept(module: Path, cancel: Cancel) -> None:
    outcome = python(
        module,
        """
        def run(ctx):
            print("hello")
            return {"run": ctx.run_id, "slot": ctx.slot_at.isoformat(), "try": ctx.attempt, "key": ctx.idempotency_key}
        """,
        cancel,
    )

    key = f"j:{int(NOON.timestamp()) + 60}:0"
    assert outcome.state is State.SUCCEEDED
    assert outcome.result == {"run": os.getpid(), "slot": "2026-03-02T12:01:00+00:00", "try": 2, "key": key}
    assert (outcome.output.text, outcome.exit_status) == ("hello\n", 0)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("def run(ctx): raise ValueError('no\\nluck')", "ValueError: no luck"),
        (
            "import sys\ndef run(ctx): sys.exit(0)",
            "ended without an answer: exit status 0; to end well, return instead of exiting",
        ),
        ("import os\ndef run(ctx): os._exit(0)", "ended without an answer: exit status 0"),
        ("import os\ndef run(ctx): os.abort()", "ended without an answer: killed by SIGABRT"),
        ("def run(ctx): return {1, 2}", "TypeError: the job returned what JSON cannot keep"),
        ("def run(ctx): return float('nan')", "TypeError: the job returned what JSON cannot keep"),
        ("def run(ctx): return 'x' * 100_000", "allowed: 65,536; keep it as a file with ctx.artifact(path)"),
        ("def run(ctx): return run(ctx)", "RecursionError"),
        ("def walk(ctx): pass", "no function 'run' in module 'work'"),
        ("syntax error here", "SyntaxError"),
        ("import nowhere_to_be_found", "ModuleNotFoundError"),
    ],
)
def test_a_python_job_that_does_not_return_has_not_succeeded_I11_F54(
    module: Path, cancel: Cancel, body: str, error: str
) -> None:
    outcome = python(module, body, cancel)

    assert outcome.state is State.FAILED
    assert error in (outcome.error or "")


def test_a_job_that_finds_nothing_to_do_ends_as_cancelled_with_its_reason_and_no_alarm(
    module: Path, cancel: Cancel
) -> None:
    body = "from echopilot_jobs.context import Skip\n\ndef run(ctx):\n    raise Skip('no new orders')"

    outcome = python(module, body, cancel)

    assert (outcome.state, outcome.error) == (State.CANCELLED, "skipped by the job: no new orders")
    assert not outcome.interrupted


@pytest.mark.parametrize(("seconds", "wait"), [("90", 90), ("-1", 0), ("1e400", 365 * 86_400), ("float('nan')", None)])
def test_a_job_may_say_when_to_try_again(module: Path, cancel: Cancel, seconds: str, wait: float | None) -> None:
    body = f"from echopilot_jobs.context import RetryAfter\n\ndef run(ctx):\n    raise RetryAfter({seconds}, 'busy')"

    outcome = python(module, body, cancel)

    assert (outcome.state, outcome.error) == (State.FAILED, "RetryAfter: busy")
    assert outcome.retry_after == (None if wait is None else timedelta(seconds=wait))


def test_a_traceback_is_kept_in_the_output(module: Path, cancel: Cancel) -> None:
    outcome = python(module, "def run(ctx):\n    raise RuntimeError('here')", cancel)

    assert "line 2, in run" in outcome.output.text


@pytest.mark.parametrize(
    ("script", "state", "error"),
    [
        ("exit 0", State.SUCCEEDED, None),
        ("exit 3", State.FAILED, "exit status 3"),
        ("kill -KILL $$", State.FAILED, "killed by SIGKILL"),
        ("kill -SEGV $$", State.FAILED, "killed by SIGSEGV"),
    ],
)
def test_a_command_ends_as_its_exit_says_I12(cancel: Cancel, script: str, state: State, error: str | None) -> None:
    outcome = shell(script, cancel)

    assert (outcome.state, outcome.error) == (state, error)


def test_a_command_that_does_not_exist_fails_with_its_name(cancel: Cancel) -> None:
    outcome = EXECUTOR.carry_out(job(Command(("no-such-program", "x"))), a_run(), cancel)

    assert (outcome.state, outcome.exit_status) == (State.FAILED, 127)
    assert "cannot start 'no-such-program': No such file or directory" in outcome.output.text


def test_a_run_beyond_its_timeout_is_asked_to_leave_and_says_so_I13(cancel: Cancel) -> None:
    # Long enough for a loaded machine to have the shell set its trap.
    outcome = shell("trap 'echo leaving; exit 0' TERM; echo started; while :; do sleep 0.05; done", cancel, timeout=3)

    assert outcome.state is State.TIMED_OUT
    assert outcome.error == "ran longer than its timeout of 3 s and was ended"
    assert "leaving" in outcome.output.text


def test_a_run_that_ignores_TERM_is_killed_F48(cancel: Cancel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "GRACE_SECONDS", 0.3)

    outcome = shell("trap '' TERM; while :; do sleep 0.05; done", cancel, timeout=3)

    assert (outcome.state, outcome.exit_status) == (State.TIMED_OUT, -signal.SIGKILL)
    assert left_behind() == []


@pytest.mark.parametrize(
    "script",
    [
        "sleep 1000 & sleep 1000 & exit 0",
        "setsid sleep 1000 & exit 0",
        "setsid sh -c 'setsid sleep 1000 & sleep 1000' & sleep 0.1; exit 0",
        "(trap '' TERM HUP; sleep 1000) & exit 0",
        "env -i sleep 1000 & exit 0",
    ],
)
def test_nothing_a_run_started_outlives_it_F49(cancel: Cancel, script: str) -> None:
    become_subreaper()

    outcome = shell(script, cancel)

    assert outcome.state is State.SUCCEEDED
    assert left_behind() == []


def test_a_run_ends_with_its_process_even_if_a_stranger_holds_its_output_F52(cancel: Cancel) -> None:
    outcome = shell("sleep 1000 & echo done", cancel)

    assert (outcome.state, outcome.output.text) == (State.SUCCEEDED, "done\n")


def test_a_run_that_closes_its_output_and_lives_on_is_waited_for_F52(cancel: Cancel) -> None:
    outcome = shell("exec >&- 2>&-; sleep 0.3; exit 5", cancel)

    assert outcome.exit_status == 5


def test_endless_output_is_drained_and_kept_at_both_ends_I14_F51(cancel: Cancel) -> None:
    outcome = shell("echo first; head -c 3000000 /dev/zero | tr '\\0' x; printf '\\377\\000'; echo last", cancel)

    output = outcome.output
    assert output.head.startswith("first\n")
    assert output.tail.endswith("\ufffd\u2400last\n")
    assert len(output.head) == HEAD_BYTES
    assert output.dropped_bytes == 6 + 3_000_000 + 2 + 5 - HEAD_BYTES - TAIL_BYTES
    assert f"{output.dropped_bytes:,} bytes dropped" in output.text


def test_a_cancelled_run_leaves_and_says_so(cancel: Cancel) -> None:
    threading.Timer(0.3, cancel.ask).start()

    outcome = shell("sleep 1000", cancel)

    assert (outcome.state, outcome.error) == (State.CANCELLED, "it was asked to stop")
    assert left_behind() == []


def test_a_job_inherits_neither_secrets_nor_descriptors_F53(cancel: Cancel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHBOARD_KEY", "a-secret-that-must-not-travel")
    monkeypatch.setenv("DATABASE_URL", "another-secret")
    held = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(held, True)

    outcome = shell("env; ls /proc/self/fd", cancel)

    os.close(held)
    assert "secret" not in outcome.output.text
    assert "ECHOPILOT_RUN_ID=" in outcome.output.text
    descriptors = [line for line in outcome.output.text.splitlines() if line.isdigit()]
    assert descriptors == ["0", "1", "2", "3"]  # 3 is the folder `ls` itself reads


def test_a_job_s_own_child_cannot_forge_or_hold_the_answer(module: Path, cancel: Cancel) -> None:
    outcome = python(
        module,
        """
        import subprocess
        def run(ctx):
            subprocess.Popen(["sleep", "1000"], close_fds=False)
            return "mine"
        """,
        cancel,
    )

    assert (outcome.state, outcome.result) == (State.SUCCEEDED, "mine")
    assert left_behind() == []


def test_a_child_dies_with_its_scheduler_F4(tmp_path: Path) -> None:
    """The parent is killed, never the child: the kernel must end the child by itself."""
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    parent_script = dedent(
        f"""
        from tests.executor.runkit import EXECUTOR, a_run, job
        from echopilot_jobs.executor import Cancel
        from echopilot_jobs.jobs import Command
        EXECUTOR.carry_out(job(Command(("sh", "-c", "echo $$ > {ready}; exec sleep 1000"))), a_run(), Cancel())
        """
    )
    parent = os.spawnve(os.P_NOWAIT, sys.executable, [sys.executable, "-c", parent_script], _with_root())
    child = int(ready.read_text())
    exit_of_child = os.pidfd_open(child)

    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)

    import select

    assert select.select([exit_of_child], [], [], 10)[0], "the child outlived its scheduler"
    os.close(exit_of_child)


def _with_root() -> dict[str, str]:
    root = str(Path(__file__).parent.parent.parent)
    return {**os.environ, "PYTHONPATH": root}


def test_a_fault_of_our_own_is_an_outcome_too(cancel: Cancel) -> None:
    outcome = EXECUTOR.carry_out(job(Inline("tick")), a_run(), cancel)

    assert outcome.state is State.FAILED
    assert "the executor itself failed" in (outcome.error or "")


def test_what_the_machine_has_run_out_of_is_one_line(cancel: Cancel, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.EMFILE, "whatever it says")

    monkeypatch.setattr(child_process, "perform", short)

    outcome = EXECUTOR.carry_out(job(Command(("true",))), a_run(), cancel)

    assert outcome.error == "it could not be carried out: Too many open files"


@given(
    chunks=st.lists(st.binary(max_size=40).map(lambda data: bytes(33 + byte % 90 for byte in data)), max_size=30),
    head=st.integers(0, 30),
    tail=st.integers(1, 60),
)
def test_the_capture_keeps_both_ends_and_counts_what_it_drops_to_the_byte_I14(
    chunks: list[bytes], head: int, tail: int
) -> None:
    capture, data = Capture(head_bytes=head, tail_bytes=tail), b"".join(chunks)

    for chunk in chunks:
        capture.add(chunk)

    output = capture.output()
    kept = (output.head + output.tail).encode()
    assert output.dropped_bytes == max(len(data) - head - tail, 0)
    assert kept == (data if len(data) <= head + tail else data[:head] + data[-tail:])
