"""Death, an I/O error, a full disk at every step of every kind of run, and again while the next process finds its feet."""

from __future__ import annotations

import os

import pytest

from echopilot_jobs.simulator.play import judged, steps_of
from echopilot_jobs.simulator.steps import SCENES, Case, cases

# All of it takes hours: ECHOPILOT_EVERY_STEP=whole, or `bin/simulate --every-step --whole`.
WHOLE = os.environ.get("ECHOPILOT_EVERY_STEP") == "whole"
THOROUGH = ("failure and retry", "catching up")  # struck at every step; the others at every so-manieth


@pytest.mark.parametrize("scene", SCENES)
def test_a_blow_at_any_step_breaks_no_promise_F3_F24_F28_F77(scene: str) -> None:
    kills = 1 if WHOLE or scene in THOROUGH else 5
    chosen = cases(scene, kills=kills, refusals=1 if WHOLE else 4 * kills, pairs=1 if WHOLE else 3001)

    red = {str(case): found for case in chosen if (found := case.broken())}

    assert red == {}


@pytest.mark.parametrize("scene", SCENES)
def test_a_scene_shows_what_it_is_called_for(scene: str) -> None:
    verdict = judged(SCENES[scene])

    assert verdict.broken == []
    assert verdict.truth.effects
    assert len(steps_of(SCENES[scene])) > 200


def test_a_case_says_where_it_strikes() -> None:
    case = next(case for case in cases("inline") if isinstance(case, Case))

    assert str(case) == "inline: kill at step 1"
