"""The jobs in force, by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from echopilot_jobs.clock import iso
from echopilot_jobs.errors import ConfigError, WrongState, unknown_name
from echopilot_jobs.jobs.job import Job, next_slot
from echopilot_jobs.slots import Slot


class Registry(Mapping[str, Job]):
    """The jobs in force, by name, in the order they were given. Asking for an unknown one names the nearest.

    *group_limits*: how many runs of one group may go on at a time; a group not named there has no limit.
    """

    def __init__(self, jobs: Iterable[Job], group_limits: Mapping[str, int] | None = None) -> None:
        self._jobs: dict[str, Job] = {}
        self.group_limits: Mapping[str, int] = dict(group_limits or {})
        if wrong := [
            f"group '{name}': limit '{n}'; wanted: 1 or more" for name, n in self.group_limits.items() if n < 1
        ]:
            raise ConfigError(wrong)
        for job in jobs:
            if job.name in self._jobs:
                raise ConfigError([f"two jobs are named '{job.name}'; wanted: one name, one job"])
            self._jobs[job.name] = job

    def __getitem__(self, name: str) -> Job:
        try:
            return self._jobs[name]
        except KeyError:
            raise unknown_name("job", name, list(self._jobs)) from None

    def __contains__(self, name: object) -> bool:
        return name in self._jobs

    def __iter__(self) -> Iterator[str]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    def get(self, name: str, default: Job | None = None) -> Job | None:  # type: ignore[override]
        """The job, or *default*, as for names out of history. `Mapping.get` would raise: our error is no `KeyError`."""
        return self._jobs.get(name, default)

    def switched_on(self, name: str) -> Job:
        """The job, for somebody who wants a run of it by hand. Raises `WrongState` when it is disabled."""
        job = self[name]
        if not job.enabled:
            raise WrongState(f"'{job.name}' is disabled; take `enabled = false` out of its definition first")
        return job

    def upcoming(self, after: datetime) -> list[Slot]:
        """The next slot of every enabled job that has one, soonest first."""
        found = (next_slot(job, after) for job in self.values() if job.enabled)
        return sorted((slot for slot in found if slot), key=lambda slot: (slot.due_at, slot.job_name))

    def with_next(self, after: datetime) -> list[tuple[Job, datetime | None]]:
        """Every job with its next moment, soonest first; those that have none come last."""
        moments = {slot.job_name: slot.due_at for slot in self.upcoming(after)}
        coming = [(self._jobs[name], due) for name, due in moments.items()]
        return [*coming, *((job, None) for name, job in self._jobs.items() if name not in moments)]

    def next_times(self, after: datetime) -> dict[str, str | None]:
        """Job name to ISO time of its next slot, in the registry's order: the `next` of the `tick` line."""
        found = {name: next_slot(job, after) if job.enabled else None for name, job in self.items()}
        return {name: iso(slot.due_at) if slot else None for name, slot in found.items()}
