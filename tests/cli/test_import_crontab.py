"""`echopilot import-crontab`: the jobs file on standard output, what to know on standard error."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from echopilot_jobs.settings import Settings

if TYPE_CHECKING:
    from tests.cli.conftest import Call

CRONTAB = "# the night\nMAILTO=me\n30 2 * * 1-5 /opt/export --full\n0 8 * * * /opt/heartbeat\n"


def test_a_crontab_comes_out_as_toml_and_what_to_know_on_the_other_stream(call: Call, settings: Settings) -> None:
    (settings.home / "tab").write_text(CRONTAB)

    answer = call("import-crontab", str(settings.home / "tab"), "--timezone", "Europe/Riga")

    jobs = tomllib.loads(answer.out)["jobs"]
    assert answer.code == 0
    assert jobs["export"] | {"timezone": "Europe/Riga", "cron": "30 2 * * 1-5"} == jobs["export"]
    assert list(jobs) == ["export", "heartbeat_2"]
    assert "note: line 2: MAILTO: nobody is mailed" in answer.err
    assert answer.err.endswith("2 jobs; 0 not translated\n")


def test_a_line_that_is_left_out_makes_the_exit_code_1(call: Call, settings: Settings) -> None:
    (settings.home / "tab").write_text("17 * * * * root /opt/a\n61 * * * * root /opt/b\n")

    answer = call("import-crontab", "--system", str(settings.home / "tab"))

    assert answer.code == 1
    assert list(tomllib.loads(answer.out)["jobs"]) == ["a"]
    assert "note: line 2: not translated: cron: came '61 * * * *': bad minute" in answer.err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "which cannot be read: No such file or directory"),
        (b"0 5 * * * caf\xe9\n", "came the byte 0xE9 on line 1; wanted: UTF-8"),
        (b"\0", "with a NUL byte in it; wanted: the text of a crontab"),
        (b"#" * 1_048_577, "came more than 1,048,576 bytes; wanted: a crontab"),
    ],
)
def test_what_is_no_crontab_is_refused_in_one_line(
    call: Call, settings: Settings, content: bytes | None, message: str
) -> None:
    if content is not None:
        (settings.home / "tab").write_bytes(content)

    answer = call("import-crontab", str(settings.home / "tab"))

    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert answer.err.count("\n") == 1


def test_a_crontab_may_be_piped_in(environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "echopilot_jobs", "import-crontab"]

    done = subprocess.run(command, input=CRONTAB, capture_output=True, text=True, env=environment, check=True)

    assert list(tomllib.loads(done.stdout)["jobs"]) == ["export", "heartbeat_2"]
