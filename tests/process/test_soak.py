"""A minute of the kill soak, and the control that has to fail it: `bin/soak` is the same for longer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

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


def test_a_scheduler_that_has_the_effect_before_the_claim_is_found_out_by_the_same_verdict_I11(
    both: tuple[Soak, Soak],
) -> None:
    _, wrong = both

    assert wrong.kinds["unclaimed"] + wrong.kinds["doubled"] > 0
    assert wrong.kinds["damaged"] == wrong.kinds["log"] == 0
