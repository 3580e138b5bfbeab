"""The parts of an HTTP request as they are written in a jobs file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from echopilot_jobs.jobs.params import LARGEST, shown
from echopilot_jobs.jobsfile.literals import looks_secret, placeholder_for
from echopilot_jobs.jobsfile.words import Wrong, came, unshown, wrong
from echopilot_jobs.placeholders import names_in

URL_MOST = 8 * 1024
SECRET_WANTED = "something in it looks like a key, so write '${NAME}' there and set that name in the environment"  # nosec B105
BODY_MOST = 64 * 1024
HEADER_MOST = 8 * 1024
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
WITHOUT_BODY = ("GET", "HEAD")
URL_WANTED = "'https://host/path', or a path of our own web such as '/api/self-heal'"
HOST_WANTED = "a host and a port from 1 to 65535, as in 'https://host:8443/path'"
EXPECT_WANTED = "a status, a range or a list of them: 204, '200-204', [200, 202] or '2xx', from 100 to 599"
_URL = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_OURS = {
    "host": "the address says it",
    "content-length": "it is counted",
    "transfer-encoding": "it is decided when the request is made",
    "connection": "it is decided when the request is made",
    "x-run-id": "every request carries it already",
    "x-slot-at": "every request carries it already",
    "idempotency-key": "every request carries it already",
    "x-dash-key": "requests to our own web carry it already",
}


def url(value: object) -> str:
    """An address that can be asked, without anything in it that may be a key."""
    said = _address(value)
    if said.startswith("/"):
        return _own_path(said)
    _check_parts(said)
    return said


def ping(value: object) -> str:
    """The address of a dead-man's switch, or the `${NAME}` that holds it. It is a secret by nature, so it is never shown."""
    if isinstance(value, str) and names_in(value) and len(value) <= URL_MOST and value.isprintable():
        return value
    try:
        found = url(value)
    except Wrong:
        found = "/"
    if found.startswith("/"):
        raise unshown("a whole address such as 'https://hc-ping.com/…', or '${NAME}' for one in the environment")
    return found


def _refusal(said: object, wanted: str) -> Wrong:
    """What is wrong with an address, shown without what may be a secret in it: its query, a user, a password."""
    if not isinstance(said, str):
        return wrong(said, wanted)
    place, query, _ = said.partition("?")
    return unshown(wanted) if "@" in place else wrong(f"{place}{'?…' if query else ''}", wanted)


def _address(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise wrong(value, URL_WANTED)
    if len(value) > URL_MOST:
        raise Wrong(f"came {len(value):,} characters; wanted: at most {URL_MOST:,}")
    if names_in(value):
        raise Wrong("came an address with ${…} in it; wanted: ${NAME} in headers or body only, where it stays unseen")
    if not value.isascii():
        raise _refusal(value, f"an address in ASCII{_in_ascii(value)}")
    if not _URL.fullmatch(value):
        strange = next(letter for letter in value if not _URL.fullmatch(letter))
        raise _refusal(value, f"an address without {came(strange)}; write it as '%{ord(strange):02X}'")
    if "#" in value:
        raise _refusal(value, "an address without '#': a fragment is never sent")
    return value


def _in_ascii(value: str) -> str:
    host = urlsplit(value).hostname or "" if "//" in value and value.count("[") == 0 else ""
    try:
        return (
            f": '{host.encode('idna').decode()}' for '{shown(host)}'"
            if not host.isascii()
            else ", the rest as '%C3%A4'"
        )
    except UnicodeError:
        return ""


def _own_path(path: str) -> str:
    if path.startswith("//") or "/../" in f"{path.partition('?')[0]}/":
        raise _refusal(path, "one '/' before a path of our own web, without '..'")
    _check_query(path)
    return path


def _check_parts(said: str) -> None:
    scheme, colon, _ = said.partition("://")
    if not colon or scheme.lower() not in ("http", "https"):
        hint = f"; did you mean 'https://{shown(said)}'?" if not colon and re.match(r"[\w-]+\.[\w.-]+", said) else ""
        raise _refusal(said, f"{URL_WANTED}{hint}")
    try:
        parts = urlsplit(said)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _refusal(said, HOST_WANTED) from None
    if "@" in parts.netloc:
        raise unshown("an address without user and password; send them in a header, as '${NAME}'")
    if not host or not re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]+(%25[\w.-]+)?", host) or port == 0:
        raise _refusal(said, HOST_WANTED)
    _check_query(said)


def _check_query(said: str) -> None:
    for name, value in parse_qsl(said.partition("?")[2]):
        if looks_secret(name, value):
            raise unshown(f"no key in the address ('{shown(name)}'): send it in a header, as '{placeholder_for(name)}'")


def is_private_place(said: str) -> bool:
    """Whether the address itself says that it is a private or loopback one."""
    from echopilot_jobs.addresses import is_private

    return not said.startswith("/") and is_private(urlsplit(said).hostname or "")


def method(value: object) -> str:
    """A method in capitals."""
    if value not in METHODS:
        hint = f"; did you mean '{value.upper()}'?" if isinstance(value, str) and value.upper() in METHODS else ""
        raise wrong(value, f"one of {', '.join(METHODS)}{hint}")
    return str(value)


def header_name(value: object) -> str:
    """The name of a header that is the job's to send."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise wrong(value, "a header's name: letters, digits and '-'")
    if why := _OURS.get(value.lower()):
        raise wrong(value, f"another header: {why}")
    return value


def header_value(name: str, value: object) -> str:
    """The value of a header."""
    if not isinstance(value, str):
        raise wrong(value, "text in quotes")
    if len(value) > HEADER_MOST or not re.fullmatch(r"[\x20-\x7e]*", value) or value != value.strip():
        raise unshown(f"printable ASCII on one line, without spaces around it, at most {HEADER_MOST:,} characters")
    if looks_secret(name, value):
        scheme = f"{value.split()[0]} " if re.match(r"(Bearer|Basic|Token) ", value) else ""
        raise unshown(
            f"it looks like a key, so write '{scheme}{placeholder_for(name, value)}' and set that name in the environment"
        )
    return value


def body(value: object) -> str:
    """The text to send."""
    if not isinstance(value, str):
        raise wrong(value, "text in quotes; for JSON use json = { … }")
    if len(value.encode()) > BODY_MOST:
        raise Wrong(f"came {len(value.encode()):,} bytes; wanted: at most {BODY_MOST:,}")
    if looks_secret("", value):
        raise unshown(SECRET_WANTED)
    return value


def json_body(value: object) -> Any:
    """The JSON to send."""
    if odd := _odd_number(value):
        raise Wrong(f"came the number {odd}; wanted: one that JSON has, up to 2^53; write larger ones in quotes")
    if (size := len(json.dumps(value))) > BODY_MOST:
        raise Wrong(f"came {size:,} bytes; wanted: at most {BODY_MOST:,}")
    if any(looks_secret("", text) for text in texts_in(value)):
        raise unshown(SECRET_WANTED)
    return value


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a piece of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts_in(each)


def _odd_number(value: object) -> str:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return next(filter(None, map(_odd_number, value)), "")
    if isinstance(value, int) and abs(value) > LARGEST:
        return shown(value)
    return str(value) if isinstance(value, float) and not math.isfinite(value) else ""


def expect(value: object) -> tuple[int, ...]:
    """The statuses that mean success, in order."""
    items = value if isinstance(value, list) else [value]
    if not items or len(items) > 100:
        raise wrong(value, EXPECT_WANTED)
    return tuple(sorted({status for item in items for status in _statuses(item)}))


def _statuses(value: object) -> range:
    if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599:
        return range(value, value + 1)
    said = value.strip().lower() if isinstance(value, str) else ""
    if re.fullmatch(r"[1-5]xx", said):
        return range(int(said[0]) * 100, int(said[0]) * 100 + 100)
    if found := re.fullmatch(r"([1-5][0-9]{2}) ?- ?([1-5][0-9]{2})", said):
        if int(found[1]) <= int(found[2]):
            return range(int(found[1]), int(found[2]) + 1)
    elif re.fullmatch(r"[1-5][0-9]{2}", said):
        return range(int(said), int(said) + 1)
    raise wrong(value, EXPECT_WANTED)
