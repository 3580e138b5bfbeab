"""`backup` and `restore` as a person uses them: what they refuse, what they say, what they leave."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from daykit import live

from echopilot_jobs.builtin import jobs
from echopilot_jobs.clock import SystemClock, iso
from echopilot_jobs.errors import SupervisorUnreachable
from echopilot_jobs.jobs import Inline, Job
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.ledger.identity import RUNS_BEYOND_MARK, Identity, identity_of, mark_path, read_mark, write_mark
from echopilot_jobs.ledger.inspection import inspect
from echopilot_jobs.processes import this_process
from echopilot_jobs.scheduler.lock import PlannerLock
from echopilot_jobs.supervision import Supervisor
from echopilot_jobs.testing import FakeClock
from echopilot_jobs.triggers import Every


@pytest.fixture
def home(settings, lived) -> Path:
    """A home whose scheduler has stopped."""
    lived.close()
    return settings.home


@pytest.fixture
def copy(call, home) -> Path:
    """A backup of it."""
    file = home / "copy.sqlite3"
    assert call("backup", str(file)).code == 0
    return file


def runs_of(path: Path) -> list[int]:
    with closing(SqliteLedger(path, create=False)) as ledger:
        return [run.id for run in ledger.runs(limit=200)]


def one_error(answer, code: int, *said: str) -> None:
    assert (answer.code, answer.out) == (code, "")
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    for words in said:
        assert words in answer.err


# -- backup


def test_a_backup_goes_to_its_folder_and_says_what_it_holds(call, home, settings):
    answer = call("backup")

    (file,) = (settings.var_dir / "backups").iterdir()
    newest = runs_of(settings.ledger_path)[0]
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith(f"'{file}' holds the ledger up to run {newest} (")
    assert answer.out.endswith("it was read again and is sound\n")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert runs_of(file) == runs_of(settings.ledger_path)


def test_a_backup_in_json_is_one_envelope(call, home, settings, monkeypatch):
    monkeypatch.chdir(home)

    answer = call("backup", "copy.sqlite3", "--json")

    document = json.loads(answer.out)
    assert answer.code == 0
    assert set(document) == {"version", "at", "backup"}
    facts = document["backup"]
    assert facts["file"] == str(home / "copy.sqlite3")
    assert facts["bytes"] == (home / "copy.sqlite3").stat().st_size
    assert facts["last_run"] == runs_of(settings.ledger_path)[0]
    assert facts["rows"]["runs"] == len(runs_of(settings.ledger_path))
    assert len(facts["ledger_id"]) == 32


def test_a_backup_of_nothing_says_what_to_do(call, settings):
    one_error(call("backup"), 1, "nothing was ever started here, so there is nothing to copy")


@pytest.fixture
def gone(home, settings) -> Path:
    """A home whose ledger was deleted while the stack was stopped; its mark knows of 411 runs."""
    write_mark(settings.ledger_path, Identity("1" * 32, 3, 411), SystemClock().now())
    for suffix in ("", "-wal", "-shm"):
        Path(f"{settings.ledger_path}{suffix}").unlink(missing_ok=True)
    return settings.ledger_path


@pytest.mark.parametrize("line", ["audit", "runs", "show 1", "run heartbeat", "prune --older-than 90d --yes", "backup"])
def test_a_ledger_that_is_gone_is_not_called_one_that_never_was_F18(call, gone, line):
    """Every verb that needs it says so, with the way back; the newest backup is named where there is one."""
    without = call(*line.split())
    backup = gone.parent / "backups" / "ledger-20260301T080000Z.sqlite3"
    backup.parent.mkdir()
    backup.touch()
    beside = call(*line.split())

    one_error(
        without,
        1,
        "the ledger known here, with runs up to 411 and last seen ",
        ", is gone; with the stack stopped, run",
    )
    one_error(beside, 1, f"run `echopilot restore {backup}`, or the next start begins a new one")


def test_status_says_of_a_ledger_that_is_gone_what_is_broken_and_not_that_none_ever_ran_F18(call, gone):
    answer = call("status")

    assert answer.out.startswith("broken now\n! no ledger at ")
    assert "the ledger known here, with runs up to 411" in answer.out
    assert "    -> with the stack stopped, run `echopilot restore FILE` with a backup" in answer.out
    assert "scheduler  unknown: " in answer.out
    assert "never started" not in answer.out


def test_a_backup_is_never_written_over(call, home, copy):
    before = copy.read_bytes()

    one_error(call("backup", str(copy)), 3, f"'{copy}' exists and is not overwritten; name another file")

    assert copy.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "came ''; wanted: the name of a file"),
        ("  ", "wanted: the name of a file"),
        ("-", "came '-'; wanted: the name of a file"),
        ("a\0b", "wanted: the name of a file"),
        ("x" * 300, "wanted: the name of a file"),
        ("var", "is a folder; name a file in it, for example"),
        (".", "is a folder"),
        ("nowhere/copy", "there is no folder '"),
        ("var/ledger.sqlite3", "is the ledger, or a name kept for its companions"),
        ("var/ledger.sqlite3-wal", "is the ledger, or a name kept for its companions"),
        ("var/ledger.sqlite3.mark.json", "is the ledger, or a name kept for its companions"),
        ("var/../var/ledger.sqlite3-shm", "is the ledger, or a name kept for its companions"),
        ("linked", "is the ledger, or a name kept for its companions"),
    ],
)
def test_a_name_that_cannot_be_meant_is_refused_with_2(call, home, monkeypatch, name, said):
    """The rows of the bad-input table on where a backup may go."""
    monkeypatch.chdir(home)
    (home / "linked").symlink_to(home / "var" / "ledger.sqlite3")
    before = sorted(home.rglob("*"))

    one_error(call("backup", name), 2, said)

    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize("name", ["ü \u2028 \x1b[31m.db", "50%?#&.sqlite3", "--json.sqlite3", "'; drop table runs; --"])
def test_any_name_that_can_be_a_files_is_taken_as_it_is(call, home, monkeypatch, name):
    """S15: and nothing in it acts on the terminal."""
    monkeypatch.chdir(home)

    answer = call("backup", "--", name)
    restored = call("restore", "--", name)

    assert (answer.code, restored.code) == (0, 0), answer.err + restored.err
    assert (home / name).is_file()
    assert "\x1b" not in answer.out + restored.out
    assert "\u2028" not in answer.out + restored.out


def test_a_folder_that_takes_no_files_is_said(call, home, settings):
    (settings.var_dir / "backups").write_text("in the way")

    one_error(call("backup"), 1, "backups' cannot be made", "name a file elsewhere")


@pytest.mark.process
def test_a_full_disk_leaves_no_half_backup(home, environment):
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (36864, 36864));"
        "from echopilot_jobs.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    target = home / "copies" / "copy"
    target.parent.mkdir()

    done = subprocess.run(
        [sys.executable, "-c", limited, "backup", str(target)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: no backup was written to '{target}': ")
    assert done.stderr.count("\n") == 1
    assert list(target.parent.iterdir()) == []


def test_a_damaged_ledger_gives_no_backup_F21(call, home, settings):
    whole = settings.ledger_path.read_bytes()
    settings.ledger_path.write_bytes(whole[: len(whole) // 2])

    answer = call("backup")

    assert (answer.code, answer.out) == (1, "")
    assert list((settings.var_dir / "backups").iterdir()) == []


@pytest.mark.process
def test_a_backup_shows_a_bar_on_a_terminal_only_where_there_is_time_to_see_it(home, environment, tmp_path):
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "echopilot_jobs", "backup"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=follower, env=environment) as process:
        os.close(follower)
        assert process.stdout
        out = process.stdout.read()
        talk = b""
        with contextlib.suppress(OSError):
            talk = os.read(leader, 65536)
    os.close(leader)

    assert b"is sound" in out
    assert talk == b""


def test_the_bar_is_fed_where_it_is_shown(monkeypatch, capsys):
    from echopilot_jobs.cli import bars

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    with bars.bar("copying") as progress:
        assert progress
        progress(5, 10)

    assert capsys.readouterr().out == ""


# -- restore


def test_a_restored_ledger_takes_the_place_of_the_one_that_is_kept_I10(call, home, settings, copy):
    with closing(SqliteLedger(settings.ledger_path)) as ledger:
        ledger.request_run("heartbeat", ledger.runs(limit=1)[0].claimed_at)
    newest = runs_of(settings.ledger_path)[0]

    answer = call("restore", str(copy))

    (kept,) = (each for each in settings.var_dir.glob("*before-restore-*") if each.name.endswith("Z"))
    assert (answer.code, answer.err.count("\n")) == (0, 1)
    assert f"holds what was in '{copy}'; the ledger before it is kept as '{kept}', and restoring that" in answer.out
    assert runs_of(kept)[0] == newest
    assert runs_of(settings.ledger_path)[0] == newest - 1
    with closing(SqliteLedger(settings.ledger_path)) as ledger:
        run, _ = ledger.request_run("heartbeat", ledger.runs(limit=1)[0].claimed_at)
    assert run.id == newest + 1


def test_run_numbers_go_on_above_those_of_the_log_where_ledger_and_mark_are_gone_I10(call, home, settings, copy):
    settings.logs_dir.mkdir(exist_ok=True)
    line = {"ts": iso(SystemClock().now()), "event": "slot.claimed", "job": "heartbeat", "run": 4711}
    (settings.logs_dir / "scheduler.log").write_text(json.dumps(line, separators=(",", ":")) + "\n")
    for each in settings.var_dir.glob("ledger.sqlite3*"):
        each.unlink()

    assert call("restore", str(copy)).code == 0

    with closing(SqliteLedger(settings.ledger_path)) as ledger:
        assert ledger.identity().last_run == 4711 + RUNS_BEYOND_MARK


def log_of(settings, run) -> None:
    """What the scheduler wrote when it claimed *run* and when that succeeded."""
    facts = {"ts": iso(run.claimed_at), "job": run.job_name, "run": run.id}
    lines = [
        {**facts, "event": "slot.claimed", "slot": iso(run.slot.due_at)},
        {**facts, "event": "run.finished", "state": "succeeded"},
    ]
    settings.logs_dir.mkdir(exist_ok=True)
    with (settings.logs_dir / "scheduler.log").open("a") as log:
        log.writelines(json.dumps(line) + "\n" for line in lines)


def test_audit_tells_what_a_restore_lost_in_one_line_and_goes_red_only_for_what_it_did_not(call, home, settings, copy):
    with closing(SqliteLedger(settings.ledger_path)) as ledger:
        known = {run.id for run in ledger.runs(limit=200)}
        now = SystemClock().now()
        a_second_past = (now - timedelta(seconds=90)).replace(second=1, microsecond=0)  # each tick is claimed in time
        live(ledger, jobs(settings), FakeClock(a_second_past), now)
        lost = sorted(
            (run for run in ledger.runs(limit=200) if run.slot and run.id not in known), key=lambda run: run.id
        )
    for run in lost:
        log_of(settings, run)
    call("restore", str(copy))

    answer = call("audit")
    log_of(settings, replace(lost[0], id=lost[-1].id + RUNS_BEYOND_MARK))
    other = call("audit")

    assert answer.code == 0, answer.out
    (note,) = (line for line in answer.out.splitlines() if line.startswith("note: lost by the restore of a copy of "))
    assert f"{len(lost)} run" in note
    assert str(lost[0].id) in note
    assert other.code == 1
    assert "the ledger has no such run" in other.out


def test_what_a_restore_lost_is_told_alike_before_and_after_the_next_start(call, home, settings, copy):
    """The copy does not know a job that was defined after it was made; the next start registers it again."""
    defined = {**jobs(settings), "late": Job("late", Every(timedelta(seconds=60)), Inline("tick"))}
    with closing(SqliteLedger(settings.ledger_path)) as ledger:
        now = SystemClock().now()
        live(ledger, defined, FakeClock(now - timedelta(minutes=3)), now)
        lost = ledger.runs(job_name="late", limit=200)
    for run in lost:
        log_of(settings, run)
    call("restore", str(copy))
    before = call("audit")

    with closing(SqliteLedger(settings.ledger_path)) as ledger:
        clock = FakeClock(SystemClock().now())
        live(ledger, defined, clock, clock.now())

    (note,) = (line for line in before.out.splitlines() if line.startswith("note: lost by the restore"))
    assert f"{len(lost)} runs the log tells of" in note
    assert note in call("audit").out


def test_a_restore_in_json_names_both_ledgers(call, home, settings, copy):
    facts = json.loads(call("restore", str(copy), "--json").out)["restore"]

    assert facts["ledger"] == str(settings.ledger_path)
    assert facts["from"] == str(copy)
    assert Path(facts["kept"]).is_file()
    assert facts["next_run_after"] == runs_of(settings.ledger_path)[0]


def test_before_anything_moves_a_restore_says_how_old_the_copy_is_and_what_it_lacks(call, home, settings, copy):
    with closing(SqliteLedger(settings.ledger_path)) as ledger:
        ledger.request_run("heartbeat", ledger.runs(limit=1)[0].claimed_at)
    *_, second, newest = sorted(runs_of(settings.ledger_path))

    answer = call("restore", str(copy), "--json")

    facts = json.loads(answer.out)["restore"]
    said = re.fullmatch(
        r"note: the copy was last led \S+ \w+( \d+ s)? ago, holds (\d+) runs and ends with run (\d+); "
        r"the ledger in place was last led .+ ago, holds (\d+) runs and ends with run (\d+) and is set aside whole; "
        r"pauses, open runs and definitions are again as the copy has them\n",
        answer.err,
    )
    assert said
    runs, last, all_runs, very_last = map(int, said.groups()[1:])
    assert (last, very_last, all_runs) == (second, newest, runs + 1)
    assert (facts["copy"]["newest_run"], facts["before"]["newest_run"]) == (second, newest)
    assert facts["copy"]["last_beat"].endswith("Z")


def test_a_rescued_copy_that_goes_further_is_named_before_an_older_one_takes_its_place_F18(call, home, settings, copy):
    with closing(SqliteLedger(settings.ledger_path)) as ledger:
        ledger.request_run("heartbeat", ledger.runs(limit=1)[0].claimed_at)
    newest, further = runs_of(settings.ledger_path)[0], f"{settings.ledger_path}.rescued-20260302T080000Z.sqlite3"
    settings.ledger_path.rename(further)

    older, rescued = call("restore", str(copy)), call("restore", further)

    assert f"note: '{further}' goes further than the copy: it was last led " in older.err
    assert f"and ends with run {newest}; `echopilot restore {further}` takes that one instead\n" in older.err
    assert "goes further" not in rescued.err
    assert runs_of(settings.ledger_path)[0] == newest


def test_a_ledger_can_be_restored_in_a_fresh_home_F42(call, home, settings, copy, tmp_path, monkeypatch):
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    monkeypatch.setenv("ECHOPILOT_HOME", str(fresh))

    answer = call("restore", str(copy))

    assert answer.code == 0
    assert answer.err.startswith("note: the copy was last led ")
    assert "the ledger in place" not in answer.err
    assert "kept" not in answer.out
    assert runs_of(fresh / "var" / "ledger.sqlite3") == runs_of(settings.ledger_path)
    assert (fresh / "var").stat().st_mode & 0o777 == 0o700
    assert (fresh / "var" / "ledger.sqlite3").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "wanted: a FILE to restore, or --accept, and not both"),
        (["copy.sqlite3", "--accept"], 2, "and not both"),
        ([""], 2, "came ''; wanted: the name of a file"),
        (["-"], 2, "came '-'; wanted: the name of a file"),
        (["nowhere"], 2, "there is no file '"),
        (["nowhere/x"], 2, "there is no file '"),
        (["var"], 2, "is a folder; name the file in it"),
        (["var/ledger.sqlite3"], 2, "is the ledger itself; name a copy of it, or use --accept"),
        (["linked"], 2, "is the ledger itself"),
        (["diary.txt"], 1, "is no SQLite database"),
        (["empty"], 1, "has 0 bytes"),
        (["tiny"], 1, "has only 3 bytes and is no SQLite database"),
        (["songs.db"], 1, "is a database, but no ledger of EchoPilot Jobs"),
        (["half.sqlite3"], 1, "is damaged"),
        (["newer.sqlite3"], 78, "is a ledger at version 99, this release knows"),
        (["pipe"], 1, "is no regular file, not a ledger"),
    ],
)
def test_what_cannot_be_restored_is_named_and_everything_stays(
    call, home, settings, copy, monkeypatch, arguments, code, said
):
    """The rows of the bad-input table on what may be restored."""
    monkeypatch.chdir(home)
    (home / "linked").symlink_to(settings.ledger_path)
    (home / "diary.txt").write_text("a diary\n" * 200)
    (home / "empty").touch()
    (home / "tiny").write_text("abc")
    os.mkfifo(home / "pipe")
    with closing(sqlite3.connect(home / "songs.db")) as db:
        db.execute("create table songs (name)")
    whole = copy.read_bytes()
    (home / "half.sqlite3").write_bytes(whole[: len(whole) // 2])
    (home / "newer.sqlite3").write_bytes(whole)
    with closing(sqlite3.connect(home / "newer.sqlite3")) as db:
        db.execute("pragma user_version = 99")
    before = runs_of(settings.ledger_path)

    one_error(call("restore", *arguments), code, said)

    assert runs_of(settings.ledger_path) == before
    assert not list(settings.var_dir.glob("*restor*"))


def test_a_copy_that_does_not_fit_on_the_disk_is_refused_before_anything_moves(call, home, settings, copy, monkeypatch):
    import shutil

    usage = shutil.disk_usage(home)._replace(free=4096)
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: usage)

    one_error(call("restore", str(copy)), 1, "MiB and '", "free; make room")

    assert not list(settings.var_dir.glob("*restor*"))


def test_a_restore_is_refused_while_a_scheduler_runs(call, home, settings, copy):
    lock = PlannerLock(settings.var_dir / "scheduler.lock")
    assert lock.take("boot:77:1")

    for arguments in ([str(copy)], ["--accept"]):
        one_error(
            call("restore", *arguments), 3, "a scheduler is running here ('boot:77:1')", "`bin/stack stop`", "shutdown`"
        )
    lock.close()

    assert call("restore", str(copy)).code == 0


def test_a_restore_lets_no_scheduler_begin_meanwhile_and_gives_the_lock_back(call, home, settings, copy, monkeypatch):
    from echopilot_jobs.ledger import backup

    held = []
    real = backup.restore

    def looking(*arguments: object, **named: object) -> object:
        other = PlannerLock(settings.var_dir / "scheduler.lock")
        held.append(not other.take("boot:1:1"))
        other.close()
        return real(*arguments, **named)

    monkeypatch.setattr(backup, "restore", looking)
    assert call("restore", str(copy)).code == 0

    lock = PlannerLock(settings.var_dir / "scheduler.lock")
    assert (held, lock.take("boot:1:1")) == ([True], True)
    lock.close()


def test_a_restore_is_refused_while_the_stack_runs_even_without_a_scheduler(call, home, settings, copy):
    note = settings.var_dir / "stack.lock"
    note.write_text(f"{this_process()}\n")

    one_error(
        call("restore", str(copy)), 3, f"the stack is running here, pid {os.getpid()}; stop it with `bin/stack stop`"
    )
    note.write_text("boot:1:1\n")

    assert call("restore", str(copy)).code == 0


@pytest.mark.process
def test_a_restore_is_refused_while_a_supervisord_started_by_hand_runs(call, home, settings, copy):
    conf = home / "by_hand.conf"
    conf.write_text(
        f"[unix_http_server]\nfile={settings.supervisor_socket}\n[supervisord]\nlogfile=/dev/null\n"
        f"logfile_maxbytes=0\npidfile={home / 'pid'}\n[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
    )
    command = [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-n", "-c", str(conf)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as supervisord:
        wait_for(lambda: answers(settings.supervisor_socket))
        one_error(call("restore", str(copy)), 3, f"a supervisord is running here, pid {supervisord.pid}; stop it")
        supervisord.terminate()

    assert call("restore", str(copy)).code == 0


def answers(socket: Path) -> bool:
    with contextlib.suppress(SupervisorUnreachable):
        return bool(Supervisor(socket).pid())
    return False


@pytest.mark.process
def test_a_restore_is_refused_while_the_real_scheduler_runs_and_done_after_it(home, settings, copy, call, spawn):
    scheduler = spawn("scheduler")
    wait_for(lambda: call("restore", str(copy)).code == 3)

    answer = call("restore", str(copy))
    assert "a scheduler is running here" in answer.err
    scheduler.terminate()
    scheduler.communicate(timeout=30)

    assert call("restore", str(copy)).code == 0


@pytest.mark.process
def test_a_restore_is_refused_while_anybody_has_the_ledger_open(call, home, settings, copy):
    """The web started by hand, another command, `sqlite3`: whoever it is gets named."""
    script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('select 1 from runs').fetchone(); "
    command = [sys.executable, "-c", script + "print(1, flush=True); sys.stdin.read()", str(settings.ledger_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout
        reader.stdout.readline()
        one_error(call("restore", str(copy)), 3, f"pid {reader.pid} (", "has the ledger open; end it, then restore")
        reader.communicate()

    assert call("restore", str(copy)).code == 0


def wait_for(look: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(600):
        if look():
            return
        pause.wait(0.05)
    raise AssertionError("waited in vain")


# -- restore --accept


def test_an_older_copy_put_there_by_hand_is_accepted_by_a_persons_word_F19(call, home, settings, copy):
    path = settings.ledger_path
    with closing(SqliteLedger(path)) as ledger:
        run, _ = ledger.request_run("heartbeat", ledger.runs(limit=1)[0].claimed_at)
    with closing(sqlite3.connect(path)) as db:
        known = identity_of(db)
    assert known
    write_mark(path, known, run.claimed_at)
    copy.replace(path)
    doctor = call("doctor").out
    assert f"it ends with run {run.id - 1} where run {run.id} was known" in doctor
    assert "-> stop the stack, then go on with it by `echopilot restore --accept`" in doctor

    answer = call("restore", "--accept")

    assert (answer.code, answer.err) == (0, "")
    assert "is sound and is the ledger from now on" in answer.out
    mark = read_mark(path)
    assert mark
    assert mark.last_run == run.id + RUNS_BEYOND_MARK
    assert "older copy" not in call("doctor").out


def test_ruins_are_not_accepted(call, home, settings):
    settings.ledger_path.write_bytes(b"ruins " * 500)

    one_error(call("restore", "--accept"), 1, "is no SQLite database")

    assert not mark_path(settings.ledger_path).exists()


def test_accepting_where_nothing_is_says_so(call, settings):
    one_error(call("restore", "--accept"), 1, "there is no '")


def test_what_was_restored_passes_every_check(call, home, settings, copy):
    assert call("restore", str(copy)).code == 0

    assert inspect(settings.ledger_path).is_sound
    assert "✗ ledger" not in call("doctor").out
