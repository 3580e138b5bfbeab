"""A judge that was never seen to fail proves nothing: it has to find every bug planted for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from echopilot_jobs.simulator.campaign import first_red, one
from echopilot_jobs.simulator.plants import EQUIVALENT, PLANTS

# Seeds known to show each bug, so that a run need not look for them; where one no longer does, they are looked for again.
SHOWN = dict(
    line.split()
    for line in (Path(__file__).parent / "plants.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
)


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_found_within_two_thousand_histories(name: str) -> None:
    hint = one(int(SHOWN.get(name, "0")), name)

    found = hint if hint.broken else first_red(name)

    assert found is not None, f"nobody noticed: {PLANTS[name].words}"
    assert not any(words.startswith("bug:") for words in found.broken), "it was the plant that did not work"
    assert not one(found.seed).broken, "that history is red without the bug, too"


def test_there_are_at_least_thirty_planted_bugs_and_every_equivalent_one_says_why() -> None:
    assert len(PLANTS) >= 34
    assert all(len(why) > 40 for why in EQUIVALENT.values())
