"""The job `ceo_brief`: every signal read and judged, as JSON and as a page a person can act on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from echopilot_jobs.artefacts import free_stem, write_pair
from echopilot_jobs.context import RunContext
from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.settings import Settings, load
from echopilot_jobs.signals.brief import as_json, make
from echopilot_jobs.signals.own import HOST, LEDGER, PROCESSES, OwnSignal, from_host, from_ledger, from_processes
from echopilot_jobs.signals.page import page
from echopilot_jobs.supervision import Supervisor


def run(ctx: RunContext) -> dict[str, Any]:
    """Write `logs/exec_briefs/brief_YYYYMMDD_HHMMSS.json` and `.html`, judged as of the run's start.

    Returns headline, json_path and html_path (relative to the home), sha256 and bytes of the JSON, and the count of risks.
    """
    settings = load()
    folder, now = settings.logs_dir / "exec_briefs", ctx.started_at
    stem = free_stem(folder, f"brief_{now:%Y%m%d_%H%M%S}")
    brief = make(patterns(settings), settings.home, now, settings.ledger_path, own_signals(settings, ctx))
    data = as_json(brief, [f"{stem}.html"])
    pair = write_pair(folder, stem, data, page(brief, data))
    return {
        "headline": data["headline"],
        "json_path": str(pair.json_path.relative_to(settings.home)),
        "html_path": str(pair.html_path.relative_to(settings.home)),
        "sha256": pair.sha256,
        "bytes": pair.bytes,
        "top_risks": len(data["top_risks"]),
    }


def patterns(settings: Settings) -> tuple[str, ...]:
    """The globs to read. The default one, which nobody asked for, is not missed where nothing matches it."""
    asked_for = "ECHOPILOT_SIGNALS" in settings.given
    return settings.signals if asked_for or any(any(settings.home.glob(each)) for each in settings.signals) else ()


def own_signals(settings: Settings, ctx: RunContext) -> dict[str, Callable[[], OwnSignal]]:
    """How each of our own signals is asked; asking raises when it is not there."""

    def ledger() -> OwnSignal:
        with contextlib.closing(SqliteLedger(settings.ledger_path, create=False)) as store:
            return from_ledger(store, ctx.started_at)

    return {
        LEDGER: ledger,
        PROCESSES: lambda: from_processes(Supervisor(settings.supervisor_socket).programs(), ctx.started_at),
        HOST: lambda: from_host(settings.home),
    }
