"""People and their web process: they trigger, cancel, pause, backfill, answer and edit, and believe what they are told."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from echopilot_jobs.errors import LedgerUnavailable, UnknownName, WrongState
from echopilot_jobs.jobs import Job, slots
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.runs import OPEN_STATES
from echopilot_jobs.simulator.histories import Intent
from echopilot_jobs.simulator.truth import Deed
from echopilot_jobs.simulator.world import Killed

if TYPE_CHECKING:
    from echopilot_jobs.simulator.machine import Machine

TRY_AGAIN = 2.0
TRIES_MOST = 30


class People:
    """Carries out intents, each in a web process of its own, and again with the same key when that process died."""

    def __init__(self, machine: Machine, intents: tuple[Intent, ...]) -> None:
        self._machine = machine
        self._waiting = len(intents)
        self._dice = random.Random(f"people:{machine.history.seed}")
        for intent in intents:
            machine.world.at(intent.at, lambda intent=intent: self._try(intent, 1))  # type: ignore[misc]

    @property
    def over(self) -> bool:
        """Whether everybody got an answer."""
        return self._waiting == 0

    def _try(self, intent: Intent, attempt: int) -> None:
        web = _Web(self._machine, intent.dies_at if attempt == 1 else 0)
        again = False
        try:
            facts = self._do(intent, web)
        except (Killed, LedgerUnavailable):
            again = attempt < TRIES_MOST
        except (WrongState, UnknownName) as refusal:
            self._machine.truth.log.append((self._machine.world.true, "person", "refused", {"error": str(refusal)}))
        else:
            if facts is not None:
                self._machine.truth.deeds.append(Deed(self._machine.world.true, intent.kind, intent.job, facts))
                self._machine.ring()
        web.end()
        if again:
            self._machine.world.after(TRY_AGAIN, lambda: self._try(intent, attempt + 1))
        else:
            self._waiting -= 1

    def _do(self, intent: Intent, web: _Web) -> dict[str, Any] | None:
        """What was achieved, as the person was told; None when nothing was."""
        if intent.kind in ("redefine", "remove"):
            return self._redefine(intent) if intent.kind == "redefine" else self._remove(intent)
        ledger = SqliteLedger(self._machine.disk.path, create=False, connector=self._machine.disk.connector(web))
        deed: Callable[[SqliteLedger, Intent, datetime], dict[str, Any] | None] = getattr(self, f"_{intent.kind}")
        done = deed(ledger, intent, self._machine.clock.now())
        ledger.close()
        return done

    def _manual(self, ledger: SqliteLedger, intent: Intent, now: datetime) -> dict[str, Any]:
        run, _ = ledger.request_run(intent.job, now, request_key=f"key{intent.number}", actor="ann", params={"n": 1})
        return {"run": run.id, "key": f"key{intent.number}"}

    def _manual_again(self, ledger: SqliteLedger, intent: Intent, now: datetime) -> dict[str, Any]:
        """Two clicks with one key."""
        first = self._manual(ledger, intent, now)
        second = self._manual(ledger, intent, now)
        return {**first, "second": second["run"]}

    def _cancel(self, ledger: SqliteLedger, intent: Intent, now: datetime) -> dict[str, Any] | None:
        found = ledger.runs(job_name=intent.job, states=OPEN_STATES)
        if not found:
            return None
        run = ledger.cancel(found[intent.number % len(found)].id, now, "ann")
        return {"run": run.id, "state": run.state.value}

    def _pause(self, ledger: SqliteLedger, intent: Intent, now: datetime) -> dict[str, Any]:
        until = None if self._dice.random() < 0.2 else now + timedelta(seconds=self._dice.choice([3, 20, 100]))
        pause = ledger.pause(intent.job, now, until, "ann", "maintenance")
        if until is None:  # nobody leaves a job paused for ever
            self._waiting += 1
            wish = Intent(0.0, "resume", intent.job, intent.number)
            self._machine.world.after(60.0, lambda: self._try(wish, 1))
        return {"since": pause.since, "until": pause.until}

    def _resume(self, ledger: SqliteLedger, intent: Intent, now: datetime) -> dict[str, Any]:
        ledger.resume(intent.job, now, "ann")
        return {"now": now}

    def _backfill(self, ledger: SqliteLedger, intent: Intent, now: datetime) -> dict[str, Any] | None:
        job = self._machine.jobs.get(intent.job)
        if job is None:
            return None
        span = min(job.trigger.period * 3, timedelta(days=400))
        wanted = list(islice(slots(job, now - span, now), 3))
        runs = ledger.backfill(intent.job, wanted, "ann", now)
        return {"runs": [run.id for run in runs]}

    def _answer(self, ledger: SqliteLedger, _intent: Intent, now: datetime) -> dict[str, Any] | None:
        if ledger.waiting_hold() is None:
            return None
        word = self._dice.choice(["latest", "all", "drop"])
        return {"answer": ledger.answer_hold(word, "ann", now).answer}  # type: ignore[arg-type]

    def _redefine(self, intent: Intent) -> dict[str, Any] | None:
        """Somebody edits the jobs file: schedulers that start from now on read it, the running one follows it."""
        found: list[Job] = [job for job in self._machine.history.later if job.name == intent.job]
        if not found:
            return None
        self._machine.define(*found)
        live = intent.number % 2 == 0
        self._machine.reload(live=live)
        return {"trigger": str(found[0].trigger), "live": live}

    def _remove(self, intent: Intent) -> dict[str, Any] | None:
        """Somebody takes the job out of the jobs file."""
        if intent.job not in self._machine.jobs:
            return None
        self._machine.remove(intent.job)
        live = intent.number % 2 == 0
        self._machine.reload(live=live)
        return {"live": live}


class _Web:
    """One web process: may die at a step like every other, *dies_at* being the number of that step."""

    def __init__(self, machine: Machine, dies_at: int) -> None:
        self.alive = True
        self.owner = "web"
        self.held_inside = False
        self._machine = machine
        self._steps_left = dies_at

    def step(self, label: str) -> str | None:
        """Pass a step boundary."""
        trouble = self._machine.faults.blow(label)
        self._steps_left -= 1
        if self._steps_left == 0 or trouble == "kill":
            self.end()
            raise Killed
        return trouble

    def end(self) -> None:
        """Its connections go with it."""
        self._machine.disk.let_go(self)
        self.alive = False
