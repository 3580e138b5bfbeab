"""The dashboard and the API: `create_app()` for gunicorn, `blueprint()` for mounting both in an application of yours.

The web process reads the ledger and queues runs. It never plans and never carries a run out. Flask is imported when an
application is made, so that the launcher can make a login link without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from echopilot_jobs.web.auth import new_login_link

if TYPE_CHECKING:
    from flask import Blueprint, Flask

    from echopilot_jobs.clock import Clock
    from echopilot_jobs.ledger import Ledger
    from echopilot_jobs.settings import Settings
    from echopilot_jobs.web.services import ProgramTable

__all__ = ["blueprint", "create_app", "new_login_link"]


def create_app(
    settings: Settings | None = None,
    ledger: Ledger | None = None,
    clock: Clock | None = None,
    supervisor: ProgramTable | None = None,
    **more: Any,
) -> Flask:
    """The whole web application, locked with the dashboard key; without arguments that of this project's stack.

    *more* are the other arguments of `app.services_for`. Raises `ConfigError` for a setting that cannot be used.
    """
    from echopilot_jobs.web import app

    return app.application(app.services_for(settings, ledger, clock, supervisor, **more))


def blueprint(
    settings: Settings | None = None,
    ledger: Ledger | None = None,
    clock: Clock | None = None,
    supervisor: ProgramTable | None = None,
    **more: Any,
) -> Blueprint:
    """The same as one Blueprint, for an application of yours: `app.register_blueprint(blueprint(), url_prefix="/jobs")`."""
    from echopilot_jobs.web import app

    return app.blueprint(app.services_for(settings, ledger, clock, supervisor, **more))
