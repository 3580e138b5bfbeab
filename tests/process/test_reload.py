"""The real scheduler follows the jobs file: a saved file is in force within two seconds, a bad one never."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from echopilot_jobs import definitions, processes
from echopilot_jobs.runs import State
from echopilot_jobs.settings import Settings
from tests.process.lone import Lone
from tests.process.stacks import PROJECT, eventually

GROUND = "[jobs.self_heal]\nenabled = false\n"


def job(name: str, command: str, every: str = "1s", more: str = "") -> str:
    return f'[jobs.{name}]\nevery = "{every}"\ncommand = ["sh", "-c", {command!r}]\n{more}\n'


class Followed(Lone):
    """A scheduler as the stack starts it, in a folder with a jobs file."""

    @property
    def file(self) -> Path:
        return self.home / "jobs.toml"

    def save(self, text: str) -> None:
        """As an editor saves: a new file under the old name."""
        draft = self.home / "jobs.toml.new"
        draft.write_text(text)
        draft.replace(self.file)

    def begin(self, beside: str = "") -> subprocess.Popen[str]:
        """Start it and wait until it leads; Python reads *beside* before anything of ours."""
        (self.home / "sitecustomize.py").write_text(beside)
        found = os.pathsep.join([str(self.home), str(PROJECT)])
        environ = {**os.environ, "ECHOPILOT_HOME": str(self.home), "PYTHONPATH": found, "PORT": "1"}
        command = [sys.executable, "-m", "echopilot_jobs", "scheduler"]
        lives = len(self.events("startup"))
        with (self.home / f"console-{len(self.processes)}.txt").open("w") as console:
            process = subprocess.Popen(
                command, env=environ, stdout=console, stderr=subprocess.STDOUT, text=True, cwd=self.home
            )
        self.processes.append(process)
        eventually(lambda: len(self.events("startup")) > lives)
        return process

    def accepted(self) -> list[dict[str, Any]]:
        return self.events("jobs.accepted")

    def refused(self) -> list[str]:
        return [str(line["problem"]) for line in self.events("jobs.refused")]

    def has_run(self, name: str) -> bool:
        return any(run.state is State.SUCCEEDED for run in self.runs(name))


@pytest.fixture
def followed(settings: Settings, tmp_path: Path) -> Iterator[Followed]:
    made = Followed(tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


def test_a_saved_job_runs_without_a_restart_and_a_removed_one_no_longer_I28_F64(followed: Followed) -> None:
    followed.save(GROUND + job("one", "true"))
    process = followed.begin()
    eventually(lambda: followed.has_run("one"))

    followed.save(GROUND + job("two", "true"))

    eventually(lambda: followed.has_run("two"))
    taken = followed.accepted()[-1]
    assert (taken["added"], taken["changed"], taken["removed"]) == (["two"], [], ["one"])
    assert len(taken["version"]) == 12
    assert followed.ledger().job_names() == sorted({"two", "ceo_brief", "daily_report", "heartbeat", "self_heal"})
    assert process.poll() is None


NO_THREAD_AT_FIRST = """
import threading
start, refused = threading.Thread.start, []
def refuse(thread):
    if thread.name == "definitions" and len(refused) < 2:
        refused.append(thread)
        raise RuntimeError("can't start new thread")
    start(thread)
threading.Thread.start = refuse
"""


def test_a_machine_without_a_thread_for_the_watching_is_asked_again_F64(followed: Followed) -> None:
    followed.save(GROUND + job("one", "true"))
    process = followed.begin(NO_THREAD_AT_FIRST)

    followed.save(GROUND + job("two", "true"))

    eventually(lambda: followed.has_run("two"))
    assert process.poll() is None
    assert "Traceback" not in followed.said(process)


def test_a_bad_file_leaves_the_old_set_running_and_its_mistakes_in_log_and_shelf_I28(
    followed: Followed, settings: Settings
) -> None:
    followed.save(GROUND + job("one", "true"))
    process = followed.begin()

    followed.save(GROUND + job("one", "true", every="soon") + '[jobs.two]\nevery = "60s"\nrun = "nowhere:f"\n')

    eventually(lambda: len(followed.refused()) == 2)
    count = len(followed.runs("one"))
    eventually(lambda: len(followed.runs("one")) > count + 1)
    assert [text.partition(" job ")[0] for text in followed.refused()] == ["jobs.toml:4:1:", "jobs.toml:9:1:"]
    assert [problem.job for problem in definitions.in_force(settings).problems] == ["one", "two"]

    process.send_signal(signal.SIGTERM)
    process.wait(30)
    count = len(followed.runs("one"))
    followed.begin()
    eventually(lambda: len(followed.runs("one")) > count)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"{")], ids=["removed", "damaged"])
@pytest.mark.parametrize("is_refused", [False, True], ids=["in force", "a newer file refused"])
def test_what_is_kept_of_the_set_in_force_is_put_back_while_the_scheduler_lives_I28(
    followed: Followed, settings: Settings, damage: Callable[[Path], object], is_refused: bool
) -> None:
    followed.save(GROUND + job("one", "true"))
    followed.begin()
    eventually(lambda: followed.has_run("one"))
    if is_refused:
        followed.save(GROUND + job("one", "true", every="soon"))
        eventually(followed.refused)
    before = definitions.in_force(settings)

    for name in ("jobs.accepted.json", "jobs.composed.json"):
        damage(settings.var_dir / name)

    eventually(lambda: definitions.in_force(settings) == before and (settings.var_dir / "jobs.composed.json").exists())
    assert "one" in before.registry
    assert bool(before.problems) is is_refused


def test_a_refusal_that_ends_is_told_though_the_set_is_the_same_as_before(followed: Followed) -> None:
    good = GROUND + job("one", "true")
    followed.save(good)
    followed.begin()
    followed.save(good + "[jobs")
    eventually(followed.refused)
    count = len(followed.accepted())

    followed.save(good)

    eventually(lambda: len(followed.accepted()) > count)
    taken = followed.accepted()[-1]
    assert (taken["added"], taken["changed"], taken["removed"]) == ([], [], [])


def test_a_file_written_byte_by_byte_never_takes_a_job_away_F65(followed: Followed) -> None:
    true = '{ every = "1s", command = ["sh", "-c", "true"] }'
    text = f"jobs = {{ self_heal = {{ enabled = false }}, one = {true}, two = {true} }}\n"  # no part of it is whole
    followed.save(GROUND + job("one", "true") + job("old", "true"))
    followed.begin()
    pause = threading.Event()

    with followed.file.open("w") as file:
        for letter in text:
            file.write(letter)
            file.flush()
            pause.wait(0.01)

    eventually(lambda: followed.has_run("two"))
    assert [taken["removed"] for taken in followed.accepted()[1:]] == [["old"]]


def test_a_storm_of_saves_costs_a_handful_of_checks_and_ends_with_the_last_one_F66(followed: Followed) -> None:
    followed.save(GROUND)
    followed.begin()
    pause = threading.Event()

    for number in range(300):
        followed.save(GROUND + job(f"job{number}", "true", every="3600s"))
        pause.wait(0.01)

    eventually(lambda: followed.accepted()[-1]["added"] == ["job299"])
    assert len(followed.accepted()) <= 6

    def known() -> list[str]:
        return [name for name in followed.ledger().job_names() if name.startswith("job")]

    eventually(lambda: known() == ["job299"])


def test_a_run_under_way_ends_as_it_began_when_its_job_is_removed_F64(followed: Followed, tmp_path: Path) -> None:
    followed.save(GROUND + job("one", f"until [ -e {tmp_path}/go ]; do sleep 0.05; done; exit 3", more="retries = 5"))
    followed.begin()
    run = eventually(lambda: next((r for r in followed.runs("one") if r.state is State.RUNNING), None))
    assert run is not None

    followed.save(GROUND + job("two", "true"))
    eventually(lambda: followed.has_run("two"))
    (tmp_path / "go").touch()

    ended = eventually(lambda: next((r for r in followed.runs("one") if r.id == run.id and not r.is_open), None))
    assert ended is not None
    assert (ended.state, ended.attempt, ended.exit_status) == (State.FAILED, 1, 3)


def test_a_deleted_file_leaves_everything_as_it_was_and_an_empty_one_takes_the_jobs_away_F65(
    followed: Followed, settings: Settings
) -> None:
    followed.save(GROUND + job("one", "true"))
    followed.begin()

    followed.file.unlink()
    eventually(followed.refused)
    still = sorted(definitions.in_force(settings).registry)
    followed.save("")
    eventually(lambda: len(followed.accepted()) == 2)

    assert "one" in still
    assert followed.accepted()[-1]["removed"] == ["one"]


def test_a_module_that_is_mended_brings_its_job_into_force_F65(followed: Followed) -> None:
    followed.save(GROUND + '[jobs.py]\nevery = "3600s"\nrun = "mine:f"\n')
    (followed.home / "mine.py").write_text("def f(:\n")
    followed.begin()
    eventually(followed.refused)

    (followed.home / "mine.py").write_text("def f(context):\n    return 1\n")

    eventually(followed.accepted)
    assert "SyntaxError" in followed.refused()[0]
    assert "py" in followed.accepted()[-1]["added"]


def test_users_modules_are_never_imported_in_the_scheduler(followed: Followed) -> None:
    (followed.home / "mine.py").write_text(
        "import os\nopen('importers', 'a').write(f'{os.getpid()}\\n')\ndef f(context): ...\n"
    )
    followed.save(GROUND + '[jobs.py]\nevery = "3600s"\nrun = "mine:f"\n')

    process = followed.begin()

    importers = (followed.home / "importers").read_text().split()
    assert "py" in followed.accepted()[-1]["added"]
    assert importers
    assert str(process.pid) not in importers


def test_a_killed_check_leaves_no_process_behind_F4(followed: Followed) -> None:
    (followed.home / "mine.py").write_text("import time\ntime.sleep(60)\n")
    followed.save(GROUND)
    process = followed.begin()
    followed.save(GROUND + '[jobs.py]\nevery = "3600s"\nrun = "mine:f"\n')
    mark = f"{processes.owner_of(process.pid)}/check"
    checks = [processes.owner_of(pid) for pid in eventually(lambda: processes.marked(processes.MARK, mark))]

    process.kill()
    process.wait()

    eventually(lambda: not any(map(processes.is_alive, checks)))
