"""A minute of the kill soak, and the control that has to fail it: `bin/soak` is the same for longer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, pairwise
from pathlib import Path

import pytest

from tests.soak import work
from tests.soak.records import read
from tests.soak.soak import Soak, control, soak

pytestmark = pytest.mark.process
SEED = 1
SECONDS = 60.0
CONTROL_SECONDS = 15.0


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Soak, Soak]:
    """The soak and, beside it, the control."""
    folder, other = tmp_path_factory.mktemp("soak"), tmp_path_factory.mktemp("control")
    with ThreadPoolExecutor(1) as side:
        beside = side.submit(control, other, CONTROL_SECONDS, SEED)
        return soak(folder, SECONDS, SEED), beside.result()


def test_a_hundred_kills_lose_nothing_double_nothing_and_leave_nothing_I1_I2_I5_I8_I11_I13_I19_I20_I21_I24_I25(
    both: tuple[Soak, Soak],
) -> None:
    """F3 to F8, F40, F44, F46 to F49: real processes of two schedulers, a web and a supervisord under real signals."""
    done, _ = both

    assert [str(finding) for finding in done.findings] == []
    assert done.blows.counts.total() >= 100
    assert len(done.evidence.stints) >= 5
    assert sum(1 for _ in done.evidence.begins()) >= 50


def test_no_line_of_an_effect_lies_across_two_pages_where_a_kill_would_cut_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"RUN_ID": "1", "ATTEMPT": "1", "SLOT_AT": "", "MARK": "m" * 100, "JOB": "j", "SOAK": str(tmp_path)}
    for name, value in facts.items():
        monkeypatch.setenv(f"ECHOPILOT_{name}", value)
    for number in range(100):
        work.write("begin", seen="x" * 7 * number)

    ends = list(accumulate(map(len, (tmp_path / "effects.ndjson").read_bytes().splitlines(keepends=True))))
    assert len(read(tmp_path / "effects.ndjson")) == 100
    assert [end for before, end in pairwise([0, *ends]) if before // 4096 != (end - 1) // 4096] == []


def test_a_scheduler_that_has_the_effect_before_the_claim_is_found_out_by_the_same_verdict_I11(
    both: tuple[Soak, Soak],
) -> None:
    _, wrong = both

    assert wrong.kinds["unclaimed"] + wrong.kinds["doubled"] > 0
    assert wrong.kinds["damaged"] == wrong.kinds["log"] == 0
