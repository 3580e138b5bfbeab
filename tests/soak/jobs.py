"""The soak's jobs: one for every way a job can be in the way of another or of itself."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from echopilot_jobs.jobs import Command, Inline, Job, Python, Registry
from echopilot_jobs.triggers import Cron, Every

SECOND = timedelta(seconds=1)
BY_HAND = ("by_hand", "by_hand_too")


def every(seconds: int) -> Every:
    """A rule that yields a slot every *seconds*."""
    return Every(seconds * SECOND)


def python(name: str) -> Python:
    """A function of `work`."""
    return Python(f"tests.soak.work:{name}")


def command(name: str) -> Command:
    """A command of `work`."""
    return Command(("python3", "-m", "tests.soak.work", name))


JOBS = (
    Job(name="beat", trigger=every(1), action=Inline("tick")),
    Job(name="quick", trigger=every(1), action=python("quick")),
    Job(name="note", trigger=every(1), action=command("note"), catch_up="all"),
    Job(name="witness", trigger=every(2), action=python("witness"), catch_up="none"),
    Job(name="family", trigger=every(3), action=command("family")),
    Job(name="slow", trigger=every(1), action=python("slow"), overlap="queue_one"),
    Job(name="lasting", trigger=every(10), action=python("lasting")),
    Job(name="crowd", trigger=every(1), action=command("crowd"), overlap="allow", max_instances=2),
    Job(name="hurried", trigger=every(2), action=python("hurried"), overlap="cancel_previous"),
    Job(name="line", trigger=every(2), action=command("line"), overlap="queue_all", jitter=0.5 * SECOND),
    Job(name="again", trigger=every(7), action=command("again"), idempotent=True, retries=2),
    Job(name="failing", trigger=every(5), action=python("failing"), retries=1),
    Job(name="stubborn", trigger=every(17), action=command("stubborn"), timeout=SECOND),
    Job(name="minutely", trigger=Cron("0-59 0-23 * * *"), action=python("quick")),
    Job(name="starter", trigger=every(3600), action=command("note"), on_startup=True),
    *(Job(name=name, trigger=every(3600), action=python("quick")) for name in BY_HAND),
)
PERIODS = {job.name: 60 if job.name == "minutely" else round(job.trigger.period / SECOND) for job in JOBS}


def registry(names: Iterable[str] | None = None) -> Registry:
    """All of them, or those named."""
    wanted = None if names is None else set(names)
    return Registry([job for job in JOBS if wanted is None or job.name in wanted])
