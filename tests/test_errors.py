"""What a message says stays short, however much there would be to say."""

from __future__ import annotations

import pytest

from echopilot_jobs.errors import unknown_name

MANY = [f"job_{number:04}" for number in range(1_000)]


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("zzz", [], "no job named 'zzz'; known: none"),
        ("zzz", MANY[:3], "no job named 'zzz'; known: job_0000, job_0001, job_0002"),
        ("dayly", ["daily", "hourly"], "no job named 'dayly'; did you mean 'daily'? known: daily, hourly"),
        ("dayly", [*MANY, "daily"], "no job named 'dayly'; did you mean 'daily'?"),
        ("zzz", MANY, f"no job named 'zzz'; known: {', '.join(MANY[:12])} and 988 more; see `echopilot jobs`"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_ones_or_with_a_dozen(
    name: str, known: list[str], said: str
) -> None:
    assert str(unknown_name("job", name, known)) == said
