"""gunicorn's configuration for the `web` program; every name here is a gunicorn setting or one of its hooks.

Two workers, so that one that dies is not noticed outside. Threads are made on demand and cost nothing while idle; there
are many because a client that opens a connection and dawdles holds one until its deadline (see worker.py).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from echopilot_jobs import settings as _settings
from echopilot_jobs.ledger.identity import MarkUnclear, read_mark
from echopilot_jobs.processes import die_with_parent, die_with_stack

# gunicorn makes its heartbeat file there with mkstemp, so the folder being everybody's is no danger.
_SHARED_MEMORY = "/dev/shm"  # nosec B108

bind = f"0.0.0.0:{_settings.load().port}"  # reached from outside, and asks for the key
workers = 2
worker_class = "echopilot_jobs.stack.worker.DeadlineWorker"
threads = 160
timeout = 30
graceful_timeout = 6  # below stopwaitsecs=8 in supervisord.conf
keepalive = 5
# A heartbeat file on a slow disk makes gunicorn kill healthy workers.
worker_tmp_dir = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
# Version 27 opens a control socket in the home folder, which two projects of one account would share.
control_socket_disable = True
accesslog = None
errorlog = "-"
loglevel = "info"
proc_name = "echopilot-web"


def on_starting(_server: Any) -> None:
    """The master: no life without supervisord, or a killed stack would keep the port and answer with old code."""
    die_with_stack(signal.SIGTERM)


def post_fork(_server: Any, worker: Any) -> None:
    """A worker: no life without its master."""
    die_with_parent(signal.SIGTERM, worker.ppid)


def worker_exit(_server: Any, worker: Any) -> None:
    """A worker ends. It must not close a ledger that a copy was laid over: SQLite would move our log into the copy (F19)."""
    path = _settings.load().ledger_path
    if worker.booted and _may_be_another(path):
        sys.stdout.flush()
        os._exit(0)


def _may_be_another(path: Path) -> bool:
    try:
        mark = read_mark(path)
    except MarkUnclear:
        return True  # not closing it is never wrong
    return mark is not None and mark.was_written_over(path)
