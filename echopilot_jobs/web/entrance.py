"""Signing in and out: the key in a form, or a one-time link that only its button spends."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from echopilot_jobs.web import audit, guard
from echopilot_jobs.web.problems import Refused
from echopilot_jobs.web.services import NAME, services

_NEXT = re.compile(r"run-([0-9]{1,18})")


def add_to(blueprint: Blueprint) -> None:
    """Put the sign-in and sign-out routes on *blueprint*."""
    for rule, view, method in (("/login", login, "GET"), ("/login", sign_in, "POST"), ("/logout", logout, "POST")):
        blueprint.add_url_rule(rule, view.__name__, view, methods=[method], provide_automatic_options=False)


def login() -> Response:
    """The form; with a token in the address one button. Looking spends nothing: previews of links look, too."""
    return sign_in_page(token=request.args.get("token", "")[:100])


def sign_in() -> AnyResponse:
    """Trade the key or a one-time token for a session with a new identity."""
    guard.same_site()
    guard.refuse_plain_http()
    wanted = request.form.get("next", "")
    try:
        wrong = _try_token() if request.form.get("token") else _try_key()
    except Refused as refused:
        if refused.status != 429:
            raise
        page = sign_in_page(wrong=str(refused), status=429)
        page.headers.update(refused.headers)
        return page
    if wrong:
        return sign_in_page(wrong=wrong, wanted=wanted, status=401)
    return _let_in(wanted)


def _try_key() -> str | None:
    """What is wrong with the key in the form; None when it fits."""
    given = request.form.get("key", "").strip()
    return None if guard.try_key(given.encode("utf-8", "replace")) else "That is not the dashboard key."


def _try_token() -> str | None:
    """What is wrong with the token in the form; None when it has just been spent."""
    if wait := guard.wait_left():
        raise guard.too_many(wait)
    if services().door.use_link(request.form["token"], services().clock.now()):
        return None
    guard.count_failure("link")
    return "This link was used before, or is older than 15 minutes."


def _let_in(wanted: str) -> AnyResponse:
    now, found = services().clock.now(), guard.caller()
    if found and found.session:
        services().door.end_session(found.session.ticket)
    session = services().door.begin_session(now)
    audit.note("web.signed_in", now, session=session.name, client=guard.client_of(request))
    response = redirect(_place(wanted), 303)
    guard.set_cookie(response, session.ticket)
    return response


def logout() -> AnyResponse:
    """End the session here, not only in the browser."""
    found = guard.caller()
    if found and found.session:
        services().door.end_session(found.session.ticket)
        audit.note("web.signed_out", services().clock.now(), session=found.session.name)
    response = redirect(url_for(f"{NAME}.login"), 303)
    guard.set_cookie(response, None)
    return response


def sign_in_page(*, token: str = "", wrong: str = "", wanted: str = "", status: int = 200) -> Response:
    """The sign-in page with what went wrong the last time."""
    facts: dict[str, Any] = {
        "token": token,
        "wrong": wrong,
        "wanted": wanted or request.args.get("next", ""),
        "refused": not services().surroundings.may_sign_in(request.environ),
        "has_own_key": services().settings.dashboard_key is not None,
    }
    page = make_response(render_template("login.html", **facts))
    page.status_code = status
    return page


def _place(wanted: str) -> str:
    """Where to go after signing in: a run, or the dashboard; never an address that came with the request (S18)."""
    found = _NEXT.fullmatch(wanted)
    return url_for(f"{NAME}.run", run_id=found[1]) if found else url_for(f"{NAME}.home")
