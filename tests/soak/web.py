"""The real web application with the soak's jobs: `gunicorn "tests.soak.web:create_app()"`."""

from __future__ import annotations

from flask import Flask

from echopilot_jobs.web.app import application, services_for
from tests.soak.jobs import registry


def create_app() -> Flask:
    """The application of the stack in the soak's folder."""
    return application(services_for(registry=registry()))
