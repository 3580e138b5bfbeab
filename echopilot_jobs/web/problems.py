"""What a caller gets when something is refused or broken: JSON for programs, a small page for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, g, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from echopilot_jobs.errors import SEE_RUNS, EchoPilotError, UnknownName
from echopilot_jobs.web import audit
from echopilot_jobs.web.services import services

TITLES = {
    400: "That request makes no sense here",
    401: "Please sign in",
    403: "Refused",
    404: "Nothing here",
    405: "Not like this",
    409: "Not right now",
    413: "Too much",
    414: "Too long",
    415: "Wrong kind of content",
    421: "Wrong host",
    422: "Those values do not fit",
    429: "Too many tries",
    502: "The run failed",
    503: "Not available right now",
}
PROBES = frozenset({"livez", "readyz", "health"})
ADVICE = {
    404: "the address names nothing; the dashboard and /api/jobs list what there is",
    405: "this address does not take that method; the `Allow` header lists those it takes",
    413: "the body is too large; wanted: at most 65,536 bytes",
}


class Refused(EchoPilotError):
    """A request the guard or a view turns away, with the status it becomes and headers that go with it."""

    def __init__(
        self,
        status: int,
        message: str,
        headers: Mapping[str, str] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        self.facts = dict(facts or {})


def wants_json() -> bool:
    """Whether a program asks: an API address, a key in the header, or nobody who says they read HTML."""
    endpoint = (request.endpoint or "").rpartition(".")[2]
    if endpoint.startswith("api_") or endpoint in PROBES or "/api/" in request.path or "X-Dash-Key" in request.headers:
        return True
    return "text/html" not in request.headers.get("Accept", "")


def reply(body: Mapping[str, Any], status: int = 200) -> Response:
    """*body* as JSON, its keys in the order given; strict JSON even where a job's own result is not."""
    try:
        text = json.dumps(body, allow_nan=False)
    except ValueError:  # a job returned NaN or infinity: JSON has no such numbers
        text = json.dumps(json.loads(json.dumps(body), parse_constant=lambda _: None))
    return Response(text + "\n", status, mimetype="application/json")


def answer(
    status: int, message: str, headers: Mapping[str, str] | None = None, near: Sequence[str] = (), **facts: Any
) -> Response:
    """The problem as a response: `{"ok": false, "error": …, "request_id": …}`, or a page that says the same.

    *near* are the jobs that may have been meant; the page leads to them.
    """
    if "HX-Request" in request.headers:
        response = _page("problem_live.html", status, message, near)
    elif wants_json():
        response = reply({"ok": False, "error": message, "request_id": request_id(), **facts})
    else:
        response = _page("problem.html", status, message, near)
    response.status_code = status
    response.headers.update(dict(headers or {}))
    return response


def _page(template: str, status: int, message: str, near: Sequence[str]) -> Response:
    title = TITLES.get(status, "Something is wrong")
    said = message.removesuffix(SEE_RUNS)
    facts = {"status": status, "title": title, "message": said, "request_id": request_id(), "now": _now()}
    return make_response(render_template(template, near=near, leads_to_runs=said != message, **facts))


def on_ours(error: EchoPilotError) -> Response:
    """An error that is meant for a person."""
    headers = error.headers if isinstance(error, Refused) else {}
    facts = error.facts if isinstance(error, Refused) else {}
    near = [name for name in error.near if name in services().registry] if isinstance(error, UnknownName) else []
    return answer(error.status, str(error), headers, near, **facts)


def on_http(error: HTTPException) -> Response | HTTPException:
    """What Flask and Werkzeug refuse by themselves."""
    status = error.code or 500
    if status < 400 or status == 500:
        return error if status < 400 else on_bug(error)
    kept = [(name, value) for name, value in error.get_headers() if name in ("Allow", "Retry-After", "Content-Range")]
    return answer(status, ADVICE.get(status, f"this request is refused ({error.name.lower()})"), dict(kept))


def on_bug(error: Exception) -> Response:
    """Anything else: the traceback goes to the log, the caller gets an id to quote."""
    audit.bug(error, _now(), request_id=request_id(), method=request.method, path=request.path[:200])
    return answer(500, f"something broke here and was logged as {request_id()}; see `logs/web.log`")


def request_id() -> str:
    """Eight random bytes that name this request in the answer and in the log."""
    return str(g.get("request_id", "unknown"))


def _now() -> Any:
    return services().clock.now()
