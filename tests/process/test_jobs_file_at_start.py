"""A bad jobs file at the start: the last good set runs and everybody is told, or nothing starts at all (I28)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.process.stacks import Stack, eventually

GOOD = '[jobs.mine]\nevery = "3600s"\ncommand = ["sh", "-c", "true"]\n'
BAD = GOOD + 'tiemout = "5m"\n'


def test_a_stack_with_a_bad_jobs_file_and_no_good_set_does_not_start_I28(new_stack: Callable[..., Stack]) -> None:
    stack = new_stack()
    (stack.home / "jobs.toml").write_text(BAD)

    checked, started = stack.run("stack", "check"), stack.run("stack")

    for ended in (checked, started):
        assert ended.returncode == 78
        assert "jobs.toml:4:1: job 'mine': " in ended.stderr
        assert "did you mean 'timeout'?" in ended.stderr
        assert "Traceback" not in ended.stderr
    assert "mend the jobs file, or move it away" in started.stderr
    assert stack.everything() == []


def test_a_start_with_a_home_elsewhere_says_that_the_projects_jobs_file_is_not_read(
    new_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    stack, home = new_stack(), tmp_path / "elsewhere"
    home.mkdir()
    (stack.home / "jobs.toml").write_text(GOOD)
    shutil.copy(stack.home / "supervisord.conf", home)
    said = f"stack: warning: '{stack.home}/jobs.toml' is not read, because ECHOPILOT_HOME is set"

    stack.launch(ECHOPILOT_HOME=str(home))
    eventually(lambda: "supervisord started with pid" in stack.console)
    check = stack.run("stack", "check", ECHOPILOT_HOME=str(home))

    assert said.replace("warning: ", "") in stack.console
    assert said in check.stderr
    assert stack.end() == 0


def test_a_stack_with_a_bad_jobs_file_starts_with_the_last_good_set_and_tells_everybody_I28_I26(
    new_stack: Callable[..., Stack],
) -> None:
    stack = new_stack()
    (stack.home / "jobs.toml").write_text(GOOD)
    stack.start()
    stack.end()
    (stack.home / "jobs.toml").write_text(BAD)

    stack.start()

    eventually(lambda: not stack.answers("/health"))
    status, listed = stack.run("echopilot", "status"), stack.run("echopilot", "jobs", "--json")
    check = stack.run("echopilot", "check", "--json")
    assert "THE JOBS FILE IS NOT IN FORCE" in stack.console
    assert "! the jobs file is not in force: jobs.toml:4:1: job 'mine'" in status.stdout
    assert "mine" in [job["name"] for job in json.loads(listed.stdout)["jobs"]]
    assert json.loads(listed.stdout)["jobs_file"]["problems"][0]["line"] == 4
    assert check.returncode == 78
    assert json.loads(check.stdout)["check"]["found"][0]["job"] == "mine"

    (stack.home / "jobs.toml").write_text(GOOD)

    stack.settle()
    eventually(lambda: stack.answers("/health"))
    assert stack.run("echopilot", "check").returncode == 0
