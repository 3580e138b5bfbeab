"""The command line's rows of the bad-input table (contract, section 5): what came, what is wanted, nothing changed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest
from housekit import everything_in
from test_cli_manners import CONTROLS

from echopilot_jobs.cli.door import VERBS

LONG = "x" * 5000

# (command line, exit code, what the one line says)
LINES = [
    # -- names of verbs and options
    ("statsu", 2, "no command 'statsu'; did you mean 'status'?"),
    ("prun --older-than 90d", 2, "did you mean 'prune'?"),
    ("complation bash", 2, "did you mean 'completion'?"),
    ("status --wacht", 2, "did you mean '--watch'?"),
    ("run export --prama day=1", 2, "did you mean '--param'?"),
    ("run export --tiemout 5", 2, "did you mean '--timeout'?"),
    ("backfill export --form x --to y", 2, "did you mean '--from'?"),
    ("prune --older 90d", 2, "did you mean '--older-than'?"),
    ("jobs --hlep", 2, "did you mean '--help'?"),
    ("jobs -x", 2, "no such option '-x'"),
    ("doctor --repair", 2, "no such option '--repair'; did you mean '--fix'?"),
    ("runs --count 6", 2, "no such option '--count'; did you mean '--limit'?"),
    ("runs --number 6", 2, "did you mean '--limit'?"),
    ("runs -n 6", 2, "no such option '-n'; did you mean '--limit'?"),
    ("logs --limit 6", 2, "did you mean '--lines'?"),
    ("next --limit 6", 2, "did you mean '--count'?"),
    ("status --limit 6", 2, "no such option '--limit'; see `echopilot status --help`"),
    # -- status
    ("status --watch", 2, "needs a terminal"),
    ("status -w --json", 2, "give one of them"),
    ("status now", 2, "unexpected extra argument"),
    # -- run
    ("run", 2, "missing argument 'JOB'"),
    ("run EXPORT", 2, "no job named 'EXPORT'; did you mean 'export'?"),
    ("why Export now", 2, "did you mean 'export'?"),
    ("STATUS", 2, "no command 'STATUS'; did you mean 'status'?"),
    ("run exprot", 2, "no job named 'exprot'; did you mean 'export'?"),
    ("run -- --wait", 2, "no job named '--wait'"),
    ("run -- -p", 2, "no job named '-p'"),
    ("run EXPORT", 2, "no job named 'EXPORT'"),
    ("run export -p", 2, "option '-p' requires an argument"),
    ("run export -p day", 2, "'day'; wanted: NAME=VALUE"),
    ("run export -p =1", 2, "wanted: NAME=VALUE"),
    ("run export -p day=yesterday", 2, "came 'yesterday'; wanted: a date YYYY-MM-DD"),
    ("run export -p day=2026-02-30", 2, "came '2026-02-30'; wanted: a date YYYY-MM-DD"),
    ("run export -p copies=1.5", 2, "came '1.5'; wanted: a whole number"),
    ("run export -p copies=" + "9" * 400, 2, "wanted: a whole number"),
    ("run export -p how=gently", 2, "came 'gently'; wanted: one of fast, slow"),
    ("run export -p dya=2026-03-01", 2, "'export' has no parameter 'dya'; did you mean 'day'?"),
    ("run heartbeat -p a=1", 2, "'heartbeat' has no parameter 'a'; known: none"),
    ("run needy", 2, "parameter 'who' of 'needy' is required"),
    ("run needy -p who=" + LONG, 2, "wanted: text of at most 4,000 characters"),
    ("run export --timeout 5", 2, "--timeout goes with --wait or --logs"),
    ("run export --logs --timeout 0", 2, "wanted: seconds, more than zero"),
    ("run export --key", 2, "option '--key' requires an argument"),
    ("run export --key ''", 2, "wanted: 1 to 200 printable ASCII, no spaces"),
    ("run export --key 'a b'", 2, "wanted: 1 to 200 printable ASCII, no spaces"),
    ("run export --key " + LONG, 2, "(5000 characters); wanted: 1 to 200"),
    ("run export --key \u00e4", 2, "wanted: 1 to 200 printable ASCII"),
    ("run resting", 3, "'resting' is disabled; take `enabled = false` out"),
    ("run resting --wait --logs", 3, "'resting' is disabled"),
    ("backfill resting --from 2h --to now", 3, "'resting' is disabled; take `enabled = false` out"),
    ("backfill resting --from 2h --to now --dry-run", 3, "'resting' is disabled"),
    # -- prune
    ("prune", 2, "missing option '--older-than'"),
    ("prune --older-than 90", 2, "came '90'; wanted: a length such as"),
    ("prune --older-than -1d", 2, "wanted: a length such as"),
    ("prune --older-than 0d", 2, "wanted: a length such as"),
    ("prune --older-than 1h --yes", 2, "came 1 h; wanted: at least a day"),
    ("prune --older-than 99999d", 2, "at most 3650 days"),
    ("prune --older-than 90d --keep 0", 2, "came '0'; wanted: a whole number from 1"),
    ("prune --older-than 90d --keep many", 2, "came 'many'; wanted: a whole number"),
    ("prune 90d", 2, "missing option '--older-than'"),
    # -- completion
    ("completion", 2, "missing argument"),
    ("completion powershell", 2, "'SHELL': came 'powershell'; wanted: bash, zsh, fish"),
    ("completion bash zsh", 2, "unexpected extra argument"),
    # -- backfill
    ("backfill export", 2, "missing option '--from'"),
    ("backfill export --from 08:00 --to 99:00", 2, "'--to'"),
    ("backfill export --from '2h ago' --to now --wait --dry-run", 2, "nothing to wait for"),
    ("backfill exprot --from '2h ago' --to now", 2, "did you mean 'export'?"),
    ("backfill export --from now --to '2h ago'", 2, "later than --to"),
    # -- the other verbs
    ("show twelve", 2, "wanted: a run's number"),
    ("cancel 0", 2, "wanted: a run's number"),
    ("cancel 99999", 2, "no run 99999"),
    ("cancel 1", 3, "run 1 "),
    ("pause", 2, "name one or more jobs, or give --all"),
    ("pause exprot", 2, "did you mean 'export'?"),
    ("pause export --for never", 2, "wanted: a length such as"),
    ("resume export", 3, "'export' is not paused"),
    ("resume export --all", 2, "not both"),
    ("backlog now", 2, "'ANSWER': came 'now'; wanted: latest, all, drop"),
    ("backlog drop", 3, "no backlog waits"),
    ("clock reset", 2, "'ORDER': came 'reset'; wanted: trust"),
    ("clock trust", 3, "the clock"),
    ("next exprot", 2, "did you mean 'export'?"),
    ("next --count 0", 2, "wanted: a whole number"),
    ("timetable --days 0", 2, "wanted: a whole number"),
    ("timetable --tz Mars/Phobos", 2, "Mars/Phobos"),
    ("why export noon", 2, "wanted: a moment such as"),
    ("why exprot 08:00", 2, "did you mean 'export'?"),
    ("audit --job exprot", 2, "did you mean 'export'?"),
    ("audit --since soon", 2, "wanted: a moment such as"),
    ("audit --since", 2, "requires an argument; see `echopilot audit --help`"),
    ("replay nowhere.log", 2, "'FILE': came 'nowhere.log', and there is no such file; wanted: a log of"),
    ("replay .", 2, "'FILE': came '.', which is a folder; wanted: a log"),
    ("runs --state foo", 2, "came 'foo'; wanted: queued, running, retry_wait, succeeded"),
    ("runs --origin foo", 2, "came 'foo'; wanted: schedule, catch_up"),
    ("runs --failed --open", 2, "give one of --state, --failed and --open; see `echopilot runs --help`"),
    ("check everything", 2, "unexpected extra argument"),
    ("backup -", 2, "wanted: the name of a file"),
    ("backup ''", 2, "wanted: the name of a file"),
    ("backup .", 2, "is a folder; name a file in it"),
    ("backup no/such/folder/copy", 2, "there is no folder"),
    ("restore", 2, "wanted: a FILE to restore, or --accept"),
    ("restore nowhere.sqlite3", 2, "there is no file"),
    ("restore . ", 2, "is a folder"),
    ("runs --since now --until yesterday", 2, "'--since': came "),
    ("runs --since now --until yesterday", 2, ", which is later than --until, "),
    ("simulate --takes 0s", 2, "came '0s'; wanted: a length such as '90s', '15m', '2h', '3d' or '1h30m', more than zero,"),
    ("runs --failed --state queued", 2, "give one of --state, --failed and --open"),
    ("runs --job exprot", 2, "did you mean 'export'?"),
    ("logs exprot", 2, "no job, run or program named 'exprot'"),
    ("logs --lines 0", 2, "wanted: lines from 1 to"),
    ("logs --level loud", 2, "'--level': came 'loud'; wanted: debug, info"),
    ("logs --since soon", 2, "wanted: a moment such as"),
    ("logs --json --raw", 2, "give one of them"),
    ("logs --follwo", 2, "did you mean '--follow'?"),
    ("logs web --level error", 2, "go with the scheduler's log"),
    ("logs --since now --until '2h ago'", 2, "the earlier moment in --since"),
    ("retry 1 --wiat", 2, "did you mean '--wait'?"),
    ("retry 1 --wait", 3, "run 1 "),
    ("retry", 2, "missing argument 'RUN'"),
    ("retry 1 2", 2, "unexpected extra argument"),
    ("retry x", 2, "wanted: a run's number"),
    ("retry 99999", 2, "no run 99999"),
    ("retry 1", 3, "run 1 "),
    ("brief extra", 2, "unexpected extra argument"),
    ("brief --last", 1, "no run of ceo_brief has succeeded yet; leave --last out"),
    ("completion", 2, "missing argument 'bash|zsh|fish'. Choose from: bash, zsh, fish; see"),
    ("logs --since tomorrow", 2, "wanted: a moment up to now"),
    ("report --date soon", 2, "wanted: a date YYYY-MM-DD"),
    ("report --last --date 2026-03-01", 2, "give one of them"),
    ("simulate --days 0", 2, "wanted: days from 1 to 366"),
    ("simulate --outage soon", 2, "wanted: FROM..TO"),
    ("import-crontab nowhere", 2, "cannot be read"),
    ("import-crontab --timezone Mars/Phobos", 2, "Mars/Phobos"),
    ("scheduler --now", 2, "no such option '--now'"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "code", "said"), LINES, ids=[line[:60] for line, _, _ in LINES])
def test_a_bad_command_line_is_one_line_of_talk_and_changes_nothing(call, house, monkeypatch, line, code, said):
    """Contract 5, the command line; S15."""
    monkeypatch.chdir(house.settings.home)
    before = everything_in(house.settings.ledger_path)

    answer = call(*shlex.split(line))

    assert (answer.code, answer.out) == (code, ""), answer.err
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    assert said in answer.err
    assert not CONTROLS.search(answer.err)
    assert everything_in(house.settings.ledger_path) == before


def test_the_table_leaves_out_no_verb():
    assert {line.split()[0] for line, _, _ in LINES} >= set(VERBS)


def test_every_mistake_in_the_parameters_is_named_at_once(call, house):
    answer = call("run", "export", "-p", "day=soon", "-p", "copies=x", "-p", "hwo=fast")

    assert (answer.code, answer.out) == (2, "")
    assert [line.startswith("error: ") for line in answer.err.splitlines()] == [True] * 3
    assert all(words in answer.err for words in ("came 'soon'", "came 'x'", "did you mean 'how'?"))


@pytest.mark.parametrize(
    "verb", ["status", "jobs", "next", "runs", "run export", "prune --older-than 90d", "pause --all"]
)
def test_settings_that_cannot_be_used_end_every_verb_with_78(call, house, monkeypatch, verb):
    monkeypatch.setenv("SCHED_BRIEF_UTC", "24:00")
    before = everything_in(house.settings.ledger_path)

    answer = call(*verb.split())

    assert (answer.code, answer.out) == (78, "")
    assert answer.err.startswith("error: SCHED_BRIEF_UTC: came '24:00'; wanted: a UTC time HH:MM")
    assert everything_in(house.settings.ledger_path) == before


@pytest.mark.parametrize(
    ("verb", "code", "said"),
    [
        ("run export", 1, "nothing was ever started here; start it with `bin/stack`"),
        ("prune --older-than 90d --yes", 1, "nothing was ever started here"),
        ("backfill export --from '2h ago' --to now", 1, "nothing was ever started here"),
        ("cancel 1", 1, "nothing was ever started here"),
        ("backup", 1, "nothing to copy"),
    ],
)
def test_where_nothing_was_ever_started_that_is_said_and_nothing_is_made(call, settings, verb, code, said):
    (settings.home / "jobs.toml").write_text('[jobs.export]\nmanual = true\ncommand = ["true"]\n')

    answer = call(*shlex.split(verb))

    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err
    assert not settings.var_dir.exists()


@pytest.mark.process
def test_a_run_works_with_every_standard_stream_closed(house, environment):
    line = f"'{sys.executable}' -m echopilot_jobs run export <&- >&- 2>&-"

    shell = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, check=False)

    assert (shell.returncode, shell.stdout, shell.stderr) == (0, b"", b"")
    assert house.ledger.runs(job_name="export", limit=1)


@pytest.mark.process
def test_a_reader_that_goes_away_while_a_run_is_followed_is_no_crash(house, spawn):
    reader, writer = os.pipe()
    process = spawn("run", "heartbeat", "--logs", stdout=writer)
    os.close(writer)
    os.close(reader)
    process.stderr.readline()
    process.stderr.readline()

    run = house.ledger.runs(job_name="heartbeat", limit=1)[0]
    house.ledger.cancel(run.id, run.claimed_at, "test")

    assert b"Traceback" not in process.communicate(timeout=60)[1]
    assert process.returncode == 141


@pytest.mark.process
def test_the_c_locale_and_bytes_that_are_no_text_are_no_crash(house, environment):
    plain = {**environment, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "echopilot_jobs"]

    named = subprocess.run([*command, "run", b"caf\xe9"], env=plain, capture_output=True, check=False)
    keyed = subprocess.run([*command, "run", "export", "--key", b"\xff"], env=plain, capture_output=True, check=False)
    shown = subprocess.run([*command, "status"], env=plain, capture_output=True, check=False)

    assert (named.returncode, keyed.returncode, shown.returncode) == (2, 2, 0)
    assert named.stderr.startswith(b"error: no job named 'caf")
    assert keyed.stderr.startswith(b"error: invalid value for '--key'")
    assert named.stderr.count(b"\n") == keyed.stderr.count(b"\n") == 1
    assert shown.stdout.isascii()
