"""The note beside a ledger that a scheduler refused, for whoever asks why nothing is planned."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from echopilot_jobs.disk import read_whole
from echopilot_jobs.ledger.durable import beside

REFUSED_SUFFIX = ".refused"


def note_refusal(path: Path, sentence: str | None) -> None:
    """Leave word beside the ledger at *path* that no scheduler will lead it, and why; None takes the word back."""
    note = beside(path, REFUSED_SUFFIX)
    with suppress(OSError):
        note.write_text(sentence, encoding="utf-8") if sentence else note.unlink(missing_ok=True)


def refusal(path: Path) -> str | None:
    """Why no scheduler leads the ledger at *path*, if one refused it."""
    with suppress(OSError, ValueError):
        return read_whole(beside(path, REFUSED_SUFFIX)).decode()
    return None
