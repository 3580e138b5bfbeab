"""Default deny: what every request passes before a view sees it, and what every response carries away."""

from __future__ import annotations

import hmac
import secrets
from datetime import timedelta
from urllib.parse import urlsplit

from flask import Request, Response, g, redirect, request, url_for
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from echopilot_jobs.records import record
from echopilot_jobs.web import audit
from echopilot_jobs.web.auth import LONGEST_WAIT, Session
from echopilot_jobs.web.problems import Refused, wants_json
from echopilot_jobs.web.services import NAME, services
from echopilot_jobs.web.surroundings import is_loopback_client, is_well_formed

BODY_MOST = 64 * 1024
PATH_MOST = 2_000
KEY_HEADER = "X-Dash-Key"
FORM_TOKEN_HEADER = "X-Form-Token"  # nosec B105
SAFE_METHODS = frozenset({"GET", "HEAD"})

# Every other route needs the key or a session. A test lists the routes and fails on a new open one (S2).
OPEN = frozenset({"home", "login", "sign_in", "livez", "readyz", "health", "static"})


@record(frozen=True)
class Caller:
    """Who asks: `session` for a browser, None for the header key. *name* goes into runs and the audit trail."""

    name: str
    session: Session | None = None


def admit() -> AnyResponse | None:
    """Let the request pass, answer in its place, or raise what it becomes."""
    g.request_id = secrets.token_hex(8)
    _shape(request)
    endpoint = (request.endpoint or "").removeprefix(f"{NAME}.")
    if endpoint == "static":
        return None
    caller = g.caller = _by_key(request) or _by_session(request)
    if (
        caller is not None
        and caller.session is not None
        and request.method not in SAFE_METHODS
        and endpoint != "sign_in"
    ):
        _same_site(request)
        _form_token(request, caller.session)
    if caller is None and endpoint not in OPEN and not _is_stray_page(endpoint):
        return _turn_away()
    return None


def caller() -> Caller | None:
    """Who asks, None for an anonymous request to an open route."""
    found: Caller | None = g.get("caller")
    return found


def actor() -> str:
    """The caller as it is kept with a run."""
    found = caller()
    return found.name if found else "nobody"


def try_key(given: bytes) -> bool:
    """Whether *given* is the dashboard key. Wrong tries are counted per client, too many answer 429 (S7)."""
    now, door = services().clock.now(), services().door
    client = client_of(request)
    # On this very machine the right key always works: else anybody who can reach the port from here could keep our own
    # scheduler out. Behind a proxy, declared or not, the client has another name and waits like everybody.
    here = is_loopback_client(client) and " " not in client
    fits = door.key_fits(given)
    if (wait := door.wait_for(client, now)) and not (here and fits):
        raise too_many(wait)
    if fits:
        door.forgive(client)
        return True
    count_failure("key")
    return False


def count_failure(what: str) -> None:
    """Remember a wrong key or token of this client."""
    now, client = services().clock.now(), client_of(request)
    # A proxy nobody declared makes the whole world look like this machine: never lock that out for long.
    longest = timedelta(minutes=1) if is_loopback_client(client) else LONGEST_WAIT
    services().door.failed(client, now, longest)
    audit.note("web.login_failed", now, what=what, client=client, path=request.path[:200], request_id=g.request_id)


def wait_left() -> timedelta:
    """How long this client has to wait before it may try again."""
    return services().door.wait_for(client_of(request), services().clock.now())


def client_of(req: Request) -> str:
    """The address failures are counted by."""
    return services().surroundings.client(req.environ)


def cookie_name() -> str:
    """The session cookie's name: with `__Host-` the browser itself holds us to Secure and Path=/."""
    return "__Host-echopilot" if _is_https() else "echopilot"


def set_cookie(response: AnyResponse, ticket: str | None) -> None:
    """Hand the browser its *ticket*, or take it back with None."""
    framed = services().surroundings.is_framed and _is_https()
    response.set_cookie(
        cookie_name(),
        ticket or "",
        max_age=None if ticket else 0,
        path="/",
        secure=_is_https(),
        httponly=True,
        samesite="None" if framed else "Strict",
        partitioned=framed,
    )


def same_site() -> None:
    """Refuse a form that another site submitted; for the sign-in forms, which have no session to protect yet."""
    if "Sec-Fetch-Site" in request.headers or "Origin" in request.headers:
        _same_site(request)


def seal(response: Response) -> Response:
    """Headers for every response: nothing inline, nothing framed, nothing kept (S10, S11)."""
    headers = response.headers
    headers.setdefault("Content-Security-Policy", _policy())
    headers.setdefault("Cache-Control", "no-store")
    headers.setdefault("Referrer-Policy", _referrer(response))
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["X-Request-Id"] = str(g.get("request_id", ""))
    headers["Vary"] = "Cookie, X-Dash-Key"
    if not services().surroundings.is_framed:
        headers["X-Frame-Options"] = "DENY"
    if _is_https():
        headers["Strict-Transport-Security"] = "max-age=31536000"
    return response


# -- the steps of `admit`


def _shape(req: Request) -> None:
    host = services().surroundings.host(req.environ)
    if not is_well_formed(host):
        raise Refused(400, "the Host header is missing or malformed")
    if not services().surroundings.knows_host(host):
        raise Refused(421, "this host name is not ours; add it to ECHOPILOT_HOSTS if it should be")
    if len(req.full_path) > PATH_MOST:
        raise Refused(414, f"the address has {len(req.full_path)} characters; wanted: at most {PATH_MOST}")
    _body(req)


def _body(req: Request) -> None:
    """Read the body now, so that an endless one ends here; whoever parses it later gets this copy."""
    # A body of unknown length is cut at the limit without a word, so the limit is one more than what is taken.
    req.max_content_length = BODY_MOST + 1
    try:
        size = len(req.get_data(cache=True))
    except HTTPException:
        raise
    except Exception:  # whatever class the server in front of us has for it: only the sender can mangle a body
        raise Refused(400, "the body broke off before its end, or its chunks are malformed") from None
    if size > BODY_MOST:
        raise Refused(413, f"the body has more than {BODY_MOST} bytes; wanted: at most that")
    if size < (req.content_length or 0):  # the server in front of us takes a lost connection for the end of the body
        raise Refused(400, f"the body broke off after {size} of {req.content_length} bytes")


def _by_key(req: Request) -> Caller | None:
    given = req.headers.get(KEY_HEADER)
    if given is None:
        return None
    if not services().surroundings.may_sign_in(req.environ):
        raise _plain_http()
    if not try_key(given.encode("utf-8", "surrogateescape")):
        raise Refused(401, f"the key in {KEY_HEADER} is not the dashboard key")
    return Caller(name=f"api key from {client_of(req)}", session=_session(req))


def _by_session(req: Request) -> Caller | None:
    session = _session(req)
    return Caller(name=f"session {session.name} from {client_of(req)}", session=session) if session else None


def _session(req: Request) -> Session | None:
    ticket = req.cookies.get(cookie_name(), "")
    return services().door.session(ticket, services().clock.now()) if ticket else None


def _same_site(req: Request) -> None:
    """Refuse what a page of another origin sent, by what the browser itself says about it (S8)."""
    site, origin = req.headers.get("Sec-Fetch-Site"), req.headers.get("Origin")
    if site is None and origin is None:
        raise Refused(403, "neither Origin nor Sec-Fetch-Site came with the session; use a browser or the header key")
    if site is not None and site != "same-origin":
        raise Refused(403, "this request was made by a page of another origin")
    if origin is not None and not _is_own(origin, req):
        raise Refused(403, "this request comes from another origin; behind a proxy, declare ECHOPILOT_TRUSTED_PROXIES")


def _is_own(origin: str, req: Request) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or (_is_https() and parts.scheme != "https"):
        return False
    default = ":443" if parts.scheme == "https" else ":80"
    host = services().surroundings.host(req.environ)
    return parts.netloc.lower().removesuffix(default) == host.removesuffix(default)


def _form_token(req: Request, session: Session) -> None:
    given = req.headers.get(FORM_TOKEN_HEADER) or req.form.get("form_token", "")
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), session.form_token.encode()):
        raise Refused(403, "the form is out of date; load the page again and repeat")


def _is_stray_page(endpoint: str) -> bool:
    """Whether no route matched outside of the API: saying 'not found' gives nothing away."""
    return not endpoint and "/api/" not in request.path


def _turn_away() -> AnyResponse:
    if wants_json() or request.method not in SAFE_METHODS or "HX-Request" in request.headers:
        # A page that refreshes itself after its session ended loads anew, and shows the sign-in form.
        raise Refused(401, f"sign in, or send the dashboard key in the header {KEY_HEADER}", {"HX-Refresh": "true"})
    seen_run = (request.view_args or {}).get("run_id", "")
    wanted = f"run-{seen_run}" if str(seen_run).isdecimal() else None
    return redirect(url_for(f"{NAME}.login", next=wanted), 303)


def _plain_http() -> Refused:
    return Refused(
        403,
        "this address speaks plain HTTP, so a key sent here can be read on its way; use HTTPS, a tunnel such as "
        "`ssh -L 5000:localhost:5000 HOST`, or set ECHOPILOT_PLAIN_HTTP=allow on a network you trust",
    )


def refuse_plain_http() -> None:
    """Refuse to take a key over an unencrypted way (S30)."""
    if not services().surroundings.may_sign_in(request.environ):
        raise _plain_http()


def too_many(wait: timedelta) -> Refused:
    """The refusal of a client that failed too often: 429 with the seconds to wait."""
    seconds = max(1, -(-int(wait.total_seconds() * 1000) // 1000))
    return Refused(429, f"too many wrong keys from here; try again in {seconds} s", {"Retry-After": str(seconds)})


def _is_https() -> bool:
    return services().surroundings.is_https(request.environ)


def _policy() -> str:
    framers = "https://replit.com https://*.replit.com" if services().surroundings.is_framed else "'none'"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        f"form-action 'self'; base-uri 'none'; frame-ancestors {framers}"
    )


def _referrer(response: Response) -> str:
    # With `no-referrer` browsers send `Origin: null` with our own forms, and nothing could tell them from foreign ones.
    return "same-origin" if response.mimetype == "text/html" else "no-referrer"
