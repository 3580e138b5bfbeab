"""How the command speaks, fails and ends, whatever it is asked."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from echopilot_jobs import definitions
from echopilot_jobs.cli.door import VERBS
from echopilot_jobs.clock import SystemClock

CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["stats"], 2, "no command 'stats'; did you mean 'status'? known: status, jobs"),
        (["zzz"], 2, "no command 'zzz'; known: status, jobs"),
        (["\uff33tatus"], 2, "no command"),
        (["../status"], 2, "no command '../status'"),
        (["\x1b[31mstatus"], 2, "no command 'U+001B[31mstatus'"),
        (["status", "extra"], 2, "unexpected extra argument"),
        (["status", "--jsno"], 2, "no such option '--jsno'"),
        (["--nope"], 2, "no such option '--nope'"),
        (["--", "stats"], 2, "no command 'stats'"),
        (["run"], 2, "missing argument 'JOB'"),
        (["run", ""], 2, "no job named ''; known: ceo_brief, daily_report, heartbeat, self_heal"),
        (["run", "daily_reprot"], 2, "no job named 'daily_reprot'; did you mean 'daily_report'?"),
        (["run", "a/../b"], 2, "no job named 'a/../b'"),
        (["run", "x" * 5000], 2, "no job named 'xxx"),
        (["run", "--", "--wait"], 2, "no job named '--wait'"),
        (["run", "heart\u202ebeat"], 2, "no job named 'heartU+202Ebeat'"),
        (["run", "heartbeat", "another"], 2, "unexpected extra argument"),
        (["run", "heartbeat", "--timeout", "5"], 2, "--timeout goes with --wait"),
        (["run", "heartbeat", "--wait", "--timeout", "0"], 2, "'--timeout'"),
        (["run", "heartbeat", "--wait", "--timeout", "-1"], 2, "'--timeout'"),
        (["run", "heartbeat", "--wait", "--timeout", "nan"], 2, "'--timeout'"),
        (["run", "heartbeat", "--wait", "--timeout", "inf"], 2, "'--timeout'"),
        (["run", "heartbeat", "--wait", "--timeout", "soon"], 2, "'--timeout'"),
        (["run", "heartbeat", "--param", "date"], 2, "--param 'date'; wanted: NAME=VALUE"),
        (["run", "heartbeat", "--param", "=x"], 2, "--param '=x'; wanted: NAME=VALUE"),
        (["run", "heartbeat", "--param", "a b=x"], 2, "--param 'a b=x'; wanted: NAME=VALUE"),
        (["show"], 2, "missing argument 'RUN'"),
        (["show", "0"], 2, "came '0'; wanted: a run's number"),
        (["show", "-1"], 2, "no such option '-1'"),
        (["show", "--", "-1"], 2, "came '-1'; wanted: a run's number"),
        (["show", "x"], 2, "came 'x'; wanted: a run's number"),
        (["show", "1e3"], 2, "came '1e3'; wanted: a run's number"),
        (["show", "\uff11"], 2, "wanted: a run's number"),
        (["show", "9" * 30], 2, "wanted: a run's number"),
        (["show", "9223372036854775807"], 2, "no run 9223372036854775807; see `echopilot runs`"),
        (["show", "9223372036854775808"], 2, "wanted: a run's number"),
        (["runs", "--limit", "0"], 2, "came '0'; wanted: a whole number from 1 to 200"),
        (["runs", "--limit", "201"], 2, "came '201'; wanted: a whole number from 1 to 200"),
        (["runs", "--limit", "-1"], 2, "came '-1'; wanted: a whole number from 1 to 200"),
        (["runs", "--limit", "many"], 2, "came 'many'; wanted: a whole number from 1 to 200"),
        (["runs", "--limit", ""], 2, "came ''; wanted: a whole number from 1 to 200"),
        (["runs", "--before", "x"], 2, "came 'x'; wanted: a run's number"),
        (["runs", "--state", "done"], 2, "'--state': came 'done'; wanted: queued, running, retry_wait,"),
        (["runs", "--state", ""], 2, "came ''; wanted: queued, running"),
        (["runs", "--job", "heartbeet"], 2, "no job named 'heartbeet'; did you mean 'heartbeat'?"),
        (["runs", "--job", "' or 1=1 --"], 2, "no job named '' or 1=1 --'"),
        (["runs", "--job"], 2, "option '--job' requires an argument"),
        (["scheduler", "now"], 2, "unexpected extra argument"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_that_says_what_is_wanted(call, lived, arguments, code, said):
    """The command line's rows of the bad-input table."""
    answer = call(*arguments)

    assert answer.code == code
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert said in answer.err
    assert not CONTROLS.search(answer.err)


def test_no_arguments_show_the_help_as_talk(call):
    answer = call()

    assert (answer.code, answer.out) == (2, "")
    assert all(f"\n  {verb} " in answer.err for verb in VERBS)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["status", "--help"], ["run", "-h"], ["--version"]])
def test_help_asked_for_is_data(call, arguments):
    answer = call(*arguments)

    assert answer.code == 0
    assert answer.out
    assert answer.err == ""


@pytest.mark.parametrize("arguments", [["runs"], ["show", "1"], ["run", "heartbeat"]])
def test_a_home_where_nothing_was_started_says_so_and_what_to_do(call, arguments):
    answer = call(*arguments)

    assert answer.code == 1
    assert "nothing was ever started here; start it with `bin/stack`" in answer.err


@pytest.mark.parametrize("line", ["runs", "show 1", "run heartbeat", "logs", "backup", "audit", "check"])
def test_a_home_that_does_not_exist_is_not_taken_for_one_where_nothing_was_started(call, monkeypatch, tmp_path, line):
    monkeypatch.setenv("ECHOPILOT_HOME", str(tmp_path / "nowhere"))

    answer = call(*line.split())

    said = f"the folder '{tmp_path}/nowhere', which ECHOPILOT_HOME names, does not exist"
    assert (answer.code, answer.out) == (78 if line == "check" else 1, "")
    assert answer.err == f"error: {said}; set it to the one that holds `var/`, or unset it\n"


def test_status_of_a_home_that_does_not_exist_says_so_first_and_nothing_of_a_start(call, monkeypatch, tmp_path):
    monkeypatch.setenv("ECHOPILOT_HOME", str(tmp_path / "nowhere"))

    answer = call("status")

    assert answer.out.startswith(
        f"broken now\n! the folder '{tmp_path}/nowhere', which ECHOPILOT_HOME names, does not exist\n"
        "    -> set it to the one that holds `var/`, or unset it\n"
    )
    assert "bin/stack" not in answer.out
    assert "does not exist" in call("next").err
    assert "does not exist" in call("jobs").err


def test_bad_settings_are_all_named_and_end_with_78(call, monkeypatch):
    """The environment's rows of the bad-input table."""
    monkeypatch.setenv("PORT", "70000")
    monkeypatch.setenv("SCHED_BRIEF_UTC", "25:00")
    monkeypatch.setenv("DASHBOARD_KEY", "swordfish")

    for verb in ("status", "jobs", "runs", "check"):
        answer = call(verb)
        assert answer.code == 78
        assert all(f"error: {name}: " in answer.err for name in ("PORT", "SCHED_BRIEF_UTC", "DASHBOARD_KEY"))
        assert "swordfish" not in answer.out + answer.err


@pytest.mark.parametrize("verb", ["status", "jobs", "runs", "show", "doctor", "check"])
def test_json_has_one_envelope_and_stays_ascii(call, lived, verb):
    """S15: what is in the ledger cannot act on a terminal through JSON either."""
    bad = lived.runs(job_name="self_heal")[0]
    arguments = [verb, str(bad.id)] if verb == "show" else [verb]

    answer = call(*arguments, "--json")

    document = json.loads(answer.out)
    assert document["version"] == 1
    beside = {"jobs": {"jobs_file"}, "runs": {"next_before"}}.get(verb, set())
    assert set(document) == {"version", "at", {"show": "run"}.get(verb, verb)} | beside
    assert answer.out.isascii()
    assert not CONTROLS.search(answer.out)


@pytest.mark.parametrize("verb", ["status", "runs", "show", "jobs"])
def test_what_a_job_printed_is_shown_and_not_obeyed(call, lived, verb):
    """S15."""
    bad = lived.runs(job_name="self_heal")[0]

    answer = call(*([verb, str(bad.id)] if verb == "show" else [verb]))

    assert answer.code == 0
    assert not CONTROLS.search(answer.out)
    if verb != "jobs":
        assert "U+001B[31mU+009B5mU+001B]52;c;aGk=U+0007 overU+202EturnedU+2028lineU+0000" in answer.out


def on_terminal(arguments: list[str], environment: dict[str, str], width: int) -> tuple[int, str]:
    """Exit code and everything written when standard output is a terminal of that width."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "echopilot_jobs", *arguments]
    environment = {**environment, "COLUMNS": str(width)}
    with subprocess.Popen(command, stdout=follower, stderr=follower, env=environment) as process:
        os.close(follower)
        try:
            written = b"".join(iter(lambda: _read(leader), b""))
        finally:
            process.wait(30)
            os.close(leader)
    return process.returncode, written.decode().replace("\r\n", "\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other end is closed
        return b""


@pytest.mark.process
@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_any_terminal_is_wide_enough(lived, environment, width):
    for arguments in (["status"], ["runs"], ["jobs"], ["show", "2"]):
        code, written = on_terminal(arguments, environment, width)

        assert code == 0
        assert "Traceback" not in written
        assert "heartbeat" in written

    assert "sqlite" in on_terminal(["doctor"], environment, width)[1]


@pytest.mark.process
def test_a_table_never_passes_the_edge_and_loses_no_cell(lived, environment):
    narrow = COLOURS.sub("", on_terminal(["runs"], environment, 30)[1])

    assert max(map(len, narrow.splitlines())) <= 30
    assert all(f"\n{name}: " in narrow for name in ("job", "state", "origin", "when", "late", "took", "error"))


@pytest.mark.process
@pytest.mark.parametrize(("width", "shown"), [(60, "slot: "), (80, ""), (120, " SLOT ")])
def test_the_slots_of_runs_are_shown_where_there_is_room_for_them(lived, environment, width, shown):
    screen = COLOURS.sub("", on_terminal(["runs", "heartbeat"], environment, width)[1])

    assert [word for word in ("slot: ", " SLOT ") if word in screen] == ([shown] if shown else [])


@pytest.mark.process
def test_colour_is_for_terminals_and_no_color_is_honoured(lived, environment, spawn):
    _, coloured = on_terminal(["runs"], environment, 200)
    _, bare = on_terminal(["runs"], {**environment, "NO_COLOR": "1"}, 200)
    piped = spawn("runs").communicate()[0].decode()

    assert "\x1b[32msucceeded" in coloured
    assert not CONTROLS.search(COLOURS.sub("", coloured))
    assert "\x1b" not in bare
    assert "\x1b" not in piped
    assert not CONTROLS.search(bare)


@pytest.mark.process
def test_a_reader_that_goes_away_is_no_crash(lived, environment):
    for verb in ("runs --limit 200", "status", "jobs --json", "--help"):
        line = f"'{sys.executable}' -m echopilot_jobs {verb} | true; exit ${{PIPESTATUS[0]}}"
        shell = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, check=False)

        assert [
            line for line in shell.stderr.splitlines() if not line.startswith(b"note: no scheduler is running")
        ] == []
        assert shell.returncode in (0, 141)


@pytest.mark.process
def test_a_closed_pipe_ends_with_141_and_not_a_word(lived, spawn):
    reader, writer = os.pipe()
    os.close(reader)
    process = spawn("runs", stdout=writer)
    os.close(writer)

    assert process.communicate()[1] == b""
    assert process.returncode == 141


@pytest.mark.process
def test_a_full_disk_behind_the_output_is_said(lived, spawn):
    with Path("/dev/full").open("w") as full:
        process = spawn("runs", stdout=full)

        assert process.communicate()[1] == b"error: the output cannot be written: No space left on device\n"
    assert process.returncode == 1


@pytest.mark.process
@pytest.mark.parametrize("verb", ["runs", "doctor", "run heartbeat"])
def test_without_standard_output_nothing_is_done_in_silence(lived, environment, verb):
    line = f"'{sys.executable}' -m echopilot_jobs {verb} <&- >&-"
    before = lived.runs(limit=1)

    shell = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, check=False)

    words = b"error: standard output is closed; give it a place to go, such as `> FILE` or `> /dev/null`\n"
    assert (shell.stderr, shell.returncode) == (words, 2)
    assert lived.runs(limit=1) == before


@pytest.mark.process
def test_an_encoding_without_our_signs_is_no_crash(lived, environment):
    ascii_only = {**environment, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}

    process = subprocess.run(
        [sys.executable, "-m", "echopilot_jobs", "doctor"], env=ascii_only, capture_output=True, check=False
    )

    assert process.stderr == b""
    assert b"\nok python " in process.stdout
    assert process.stdout.isascii()


@pytest.mark.process
def test_ctrl_c_while_waiting_is_130_and_leaves_the_run_alone(lived, spawn):
    process = spawn("run", "ceo_brief", "--wait")
    first = process.stderr.readline()
    second = process.stderr.readline()

    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=30)

    assert b"no scheduler is running" in first
    assert b"is queued; waiting for a scheduler" in second
    assert process.returncode == 130
    assert b"Traceback" not in rest
    assert lived.runs(job_name="ceo_brief", limit=1)[0].is_open


HEAVY = {
    *(
        "flask",
        "pydantic",
        "requests",
        "urllib3",
        "jinja2",
        "loguru",
        "schedule",
        "supervisor",
        "psutil",
        "rich",
        "gunicorn",
    ),
    *(
        "xmlrpc",
        "http.client",
        "email",
        "ssl",
        "socket",
        "subprocess",
        "tempfile",
        "shutil",
        "secrets",
        "random",
        "ctypes",
    ),
    *("asyncio", "logging", "difflib", "shlex", "importlib.resources", "importlib.metadata", "multiprocessing"),
    *(
        f"echopilot_jobs.{name}"
        for name in ("web", "simulator", "scheduler", "executor", "signals", "doctor", "reporting")
    ),
    *(
        f"echopilot_jobs.ledger.{name}"
        for name in ("protocol", "sqlite", "sqlite_pass", "watch", "identity", "inspection")
    ),
    *(f"echopilot_jobs.accounting.{name}" for name in ("audit", "preview", "reasons", "timetable", "why")),
    *(f"echopilot_jobs.{name}" for name in ("stretches", "outages", "context", "logs", "triggers.dst")),
}


def loaded(environment: dict[str, str], program: str, *words: str) -> set[str]:
    """Every module that *program* has loaded when it ends, given *words* as its command line."""
    script = (
        f"import atexit, sys\nsys.argv = {['echopilot', *words]}\n"
        f"atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n{program}"
    )
    process = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, check=False, text=True
    )
    assert process.returncode == 0, process.stderr
    return set(process.stderr.split())


@pytest.mark.process
@pytest.mark.parametrize("words", [["status"], ["runs"], ["jobs"], ["--version"]], ids=" ".join)
def test_a_look_loads_nothing_it_does_not_need(lived, environment, words) -> None:
    """Start-up time is measured in bench/; here stands what keeps it short."""
    found = loaded(environment, "from echopilot_jobs.cli import main\nsys.exit(main())", *words)

    assert found & HEAVY == set()


@pytest.mark.process
def test_a_look_at_jobs_that_were_judged_composes_nothing(lived, environment, settings) -> None:
    definitions.begin(settings, SystemClock().now())

    found = loaded(environment, "from echopilot_jobs.cli import main\nsys.exit(main())", "status")

    judging = {name for name in found if name.startswith(("echopilot_jobs.jobsfile", "echopilot_jobs.definitions"))}
    assert judging - {"echopilot_jobs.jobsfile", "echopilot_jobs.definitions"} == {
        *(f"echopilot_jobs.jobsfile.{name}" for name in ("documents", "problems")),
        *(f"echopilot_jobs.definitions.{name}" for name in ("composed", "inforce", "sheet", "shelf")),
    }
    assert "tomllib" not in found


@pytest.mark.process
def test_a_look_at_supervisord_takes_a_socket_and_no_mail_nor_tls(lived, environment, settings) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(settings.supervisor_socket))

    found = loaded(environment, "from echopilot_jobs.cli import main\nsys.exit(main())", "status")

    assert "echopilot_jobs.rpc" in found
    assert found & HEAVY == {"socket"}


@pytest.mark.process
def test_next_loads_what_previews_and_nothing_that_writes(lived, environment) -> None:
    found = loaded(environment, "from echopilot_jobs.cli import main\nsys.exit(main())", "next")

    assert {name for name in found & HEAVY if not name.startswith("echopilot_jobs.")} == set()
    assert "echopilot_jobs.ledger.sqlite_pass" not in found


@pytest.mark.process
def test_the_way_to_an_environment_that_is_ready_loads_nothing_that_only_makes_one(environment) -> None:
    program = (
        "from echopilot_jobs.stack import bootstrap\nlock = bootstrap.ROOT / 'locks' / 'base.lock'\n"
        "bootstrap.ready_python({**bootstrap.read_pins(lock), 'not-here': '1'}, bootstrap.ROOT.parent)\n"
        "bootstrap.ready_venv(lock, bootstrap.ROOT)"
    )

    found = loaded(environment, program)

    assert found & {*HEAVY, "dataclasses", "inspect", "platform"} == set()
