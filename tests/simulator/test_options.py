"""The command lines of `bin/simulate` and `bin/soak`: a mistake is one line and exit code 2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from echopilot_jobs.simulator.__main__ import main as simulate
from tests.soak.__main__ import main as soak

MANY, SEED = "wanted: a whole number from 1", "wanted: a whole number from 0"
MINUTES = "wanted: minutes, more than 0, for example 10 or 0.5"


@pytest.mark.parametrize(
    ("program", "words", "said"),
    [
        (simulate, ("--histories", "0"), f"--histories: came '0'; {MANY}"),
        (simulate, ("--histories", "-5"), f"--histories: came '-5'; {MANY}"),
        (simulate, ("--histories", "x"), f"--histories: came 'x'; {MANY}"),
        (simulate, ("--processes", "0"), f"--processes: came '0'; {MANY}"),
        (simulate, ("--seed", "1.5"), f"--seed: came '1.5'; {SEED}"),
        (simulate, ("--trace", "-1"), f"--trace: came '-1'; {SEED}"),
        (
            simulate,
            ("--seeds-file", "no/such"),
            "--seeds-file: came 'no/such' (No such file or directory); wanted: a file of",
        ),
        (simulate, ("--historys", "3"), "unrecognized arguments: --historys 3"),
        (soak, ("--minutes", "0"), f"--minutes: came '0'; {MINUTES}"),
        (soak, ("--minutes", "-1"), f"--minutes: came '-1'; {MINUTES}"),
        (soak, ("--minutes", "nan"), f"--minutes: came 'nan'; {MINUTES}"),
        (soak, ("--minutes", "inf"), f"--minutes: came 'inf'; {MINUTES}"),
        (soak, ("--minutes", "x"), f"--minutes: came 'x'; {MINUTES}"),
        (soak, ("--seed", "x"), f"--seed: came 'x'; {SEED}"),
        (soak, ("--folder", "no/such"), "--folder: came 'no/such'; wanted: a folder that is there; make it first"),
    ],
)
def test_a_mistake_on_the_command_line_of_a_proof_is_one_line_with_what_is_wanted(
    program: Callable[[Sequence[str]], int], words: Sequence[str], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        program(words)

    captured = capfd.readouterr()
    assert (end.value.code, captured.out, captured.err.count("\n")) == (2, "", 1)
    assert captured.err.startswith(f"error: {said}")
    assert captured.err.endswith(f"; see `bin/{'soak' if program is soak else 'simulate'} --help`\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("# none\n", "(no seed in it); wanted: at least one seed"),
        ("1\nx y\n", "(line 2: 'x y'); wanted: a whole number a line"),
    ],
)
def test_a_file_of_seeds_that_would_prove_nothing_is_refused(
    content: str, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "seeds"
    path.write_text(content)

    with pytest.raises(SystemExit) as end:
        simulate(["--seeds-file", str(path)])

    assert end.value.code == 2
    assert said in capfd.readouterr().err
