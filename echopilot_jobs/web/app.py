"""The application: services put together, one Blueprint that holds everything, and a Flask around it."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from flask import Blueprint, Flask, Response, request, url_for
from flask.blueprints import BlueprintSetupState
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from echopilot_jobs import __version__
from echopilot_jobs import settings as _settings
from echopilot_jobs.clock import Clock, SystemClock, iso
from echopilot_jobs.definitions import Desk
from echopilot_jobs.disk import amount
from echopilot_jobs.errors import EchoPilotError
from echopilot_jobs.jobs import Registry
from echopilot_jobs.ledger import Ledger
from echopilot_jobs.plain import coded_parts, plain, sentence
from echopilot_jobs.settings import Settings
from echopilot_jobs.spans import relative, span
from echopilot_jobs.supervision import Supervisor
from echopilot_jobs.web import api, entrance, guard, pages, problems, words
from echopilot_jobs.web.auth import Doorkeeper
from echopilot_jobs.web.health import DESK, HealthDesk
from echopilot_jobs.web.services import NAME, GivenJobs, GivenLedger, LedgerFile, ProgramTable, Services
from echopilot_jobs.web.services import services as _services
from echopilot_jobs.web.surroundings import Surroundings

STATIC_FOR_SECONDS = 31_536_000


def application(services: Services) -> Flask:
    """A Flask that holds the blueprint and guards the addresses no route has."""
    app = Flask(NAME, static_folder=None, template_folder=None)
    # Routes answer to exactly their own spelling: no redirect is ever built from what a caller sent.
    app.url_map.merge_slashes = False
    app.register_blueprint(blueprint(services))
    app.before_request(_admit_strays)
    app.after_request(guard.seal)
    _register_problems(app)
    return app


def services_for(
    settings: Settings | None = None,
    ledger: Ledger | None = None,
    clock: Clock | None = None,
    supervisor: ProgramTable | None = None,
    *,
    registry: Registry | None = None,
    surroundings: Surroundings | None = None,
    exec_wait: float = 25.0,
) -> Services:
    """What the blueprint works with; everything not given is that of this project's stack."""
    settings = settings or _settings.load()
    clock = clock or SystemClock()
    return Services(
        settings=settings,
        clock=clock,
        jobs=Desk(settings) if registry is None else GivenJobs(registry),
        supervisor=supervisor or Supervisor(settings.supervisor_socket),
        doorkeeper=Doorkeeper(settings),
        surroundings=surroundings or Surroundings.of(settings),
        source=GivenLedger(ledger) if ledger is not None else LedgerFile(settings.ledger_path),
        started_at=clock.now(),
        exec_wait=exec_wait,
    )


def blueprint(services: Services) -> Blueprint:
    """Pages, API, guard and static files as one Blueprint; mount it with any `url_prefix`, once per application."""
    found = Blueprint(NAME, "echopilot_jobs.web", template_folder="templates", static_folder="static")
    api.add_to(found)
    pages.add_to(found)
    entrance.add_to(found)
    found.before_request(guard.admit)
    found.after_request(_keep_static)
    found.after_request(guard.seal)
    _register_problems(found)
    found.context_processor(_for_templates)
    found.record_once(lambda state: _enter(state, services))
    return found


def _enter(state: BlueprintSetupState, services: Services) -> None:
    state.app.extensions[NAME] = services
    state.app.extensions[DESK] = HealthDesk(services)
    # The problem page is also drawn for addresses that no blueprint matched.
    state.app.context_processor(_for_templates)
    state.app.jinja_env.globals["here"] = lambda endpoint, **values: url_for(f"{NAME}.{endpoint}", **values)
    state.app.jinja_env.filters.update(
        iso=iso,
        span=span,
        relative=relative,
        plain=plain,
        printed=words.printed,
        excerpt=words.excerpt,
        coded_parts=coded_parts,
        sentence=sentence,
        clock_text=words.clock_text,
        state_words=words.state_words,
        milliseconds=words.milliseconds,
        lasting=words.lasting,
        amount=amount,
        counted=words.counted,
        pretty=words.pretty,
    )


def _register_problems(target: Flask | Blueprint) -> None:
    target.register_error_handler(EchoPilotError, problems.on_ours)
    target.register_error_handler(HTTPException, problems.on_http)
    target.register_error_handler(Exception, problems.on_bug)


def _admit_strays() -> AnyResponse | None:
    """The guard for addresses no route has; the blueprint's own pass it anyway."""
    return guard.admit() if request.blueprint is None else None


def _keep_static(response: Response) -> Response:
    """Static files may be kept for ever, because their address changes with their content; nothing else may."""
    if request.endpoint == f"{NAME}.static" and response.status_code == 200 and "v" in request.args:
        response.headers["Cache-Control"] = f"public, max-age={STATIC_FOR_SECONDS}, immutable"
    return response


def _for_templates() -> dict[str, Any]:
    found = guard.caller()
    return {
        "jobs_file": _services().jobs.now() if found else None,
        "asset": _asset,
        "signs": words.SIGNS,
        "reasons": words.REASONS,
        "version": __version__,
        "signed_in": found is not None,
        "form_token": found.session.form_token if found and found.session else "",
    }


def _asset(name: str) -> str:
    return url_for(f"{NAME}.static", filename=name, v=_fingerprint(name))


@cache
def _fingerprint(name: str) -> str:
    content = files("echopilot_jobs.web").joinpath("static", name).read_bytes()
    return hashlib.sha256(content).hexdigest()[:12]
