"""The web application on a real port, on a scene, with a clock that stands still unless told."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from werkzeug.serving import make_server

from echopilot_jobs.ledger import SqliteLedger
from echopilot_jobs.settings import Secret, Settings
from echopilot_jobs.testing import FakeClock
from echopilot_jobs.web import create_app

from . import scenes

KEY = "a-key-for-the-pictures-0123456789"
Scene = Callable[[Settings, Path], SqliteLedger]


@dataclass
class Site:
    """A served scene. `stop` closes the port while the pages are still open."""

    address: str
    settings: Settings
    ledger: SqliteLedger | None
    table: scenes.Table
    clock: FakeClock
    stop: Callable[[], None]


@contextmanager
def serving(home: Path, scene: Scene | None, table: scenes.Table | None = None) -> Iterator[Site]:
    """Serve *scene* from *home*; without one there is no ledger."""
    settings = Settings(home=home, dashboard_key=Secret(KEY))
    settings.var_dir.mkdir(parents=True)
    settings.logs_dir.mkdir()
    ledger = scene(settings, settings.ledger_path) if scene else None
    clock, table = FakeClock(scenes.NOW), table or scenes.all_up()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, create_app(settings, None, clock, table), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        thread.join()
        server.server_close()

    try:
        yield Site(f"http://127.0.0.1:{server.port}", settings, ledger, table, clock, stop)
    finally:
        stop()
        if ledger is not None:
            ledger.close()
