"""One call to supervisord over a connected socket: as much of XML-RPC, and of the HTTP below it, as its small server speaks.

Python's own `xmlrpc.client` does the same and loads mail, TLS and compression for it: a fifth of what `status` may take.
"""

from __future__ import annotations

import socket
from typing import Any
from xml.etree import ElementTree  # nosec B405
from xml.etree.ElementTree import Element, SubElement  # nosec B405

from echopilot_jobs.clock import SystemClock

ANSWER_MOST = 4_000_000
BLOCK = 65_536


class Fault(Exception):
    """supervisord understood the call and refused it."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


class BadAnswer(Exception):
    """What came back is no answer to a call; the text says in a few words what it was instead."""


def call(connection: socket.socket, seconds: float, method: str, *arguments: str | bool) -> Any:
    """What *method* returns: text, numbers, booleans, and lists and dictionaries of them. One connection takes one call.

    Raises `Fault`, `BadAnswer`, `TimeoutError` when the whole of it takes longer than *seconds*, and the `OSError` of a
    connection that breaks.
    """
    until = SystemClock().monotonic() + seconds
    connection.settimeout(seconds)
    connection.sendall(_request(method, arguments))
    body = _body(_answer(connection, until))
    try:
        root = ElementTree.fromstring(body)  # nosec B314 - the peer is our own supervisord
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the latter two: an encoding nobody knows
        raise BadAnswer(f"its XML is broken: {error}") from None
    return _result(root)


def _request(method: str, arguments: tuple[str | bool, ...]) -> bytes:
    root = Element("methodCall")
    SubElement(root, "methodName").text = method
    params = SubElement(root, "params")
    for argument in arguments:
        value = SubElement(SubElement(params, "param"), "value")
        kind, text = ("boolean", str(int(argument))) if isinstance(argument, bool) else ("string", argument)
        SubElement(value, kind).text = text
    body = ElementTree.tostring(root)
    head = "POST /RPC2 HTTP/1.0\r\nHost: localhost\r\nContent-Type: text/xml\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode("ascii") + body


def _answer(connection: socket.socket, until: float) -> bytes:
    """Everything that is sent, to the end of the answer or of the connection."""
    answer = b""
    while not _is_whole(answer):
        left = until - SystemClock().monotonic()
        if left <= 0:
            raise TimeoutError
        connection.settimeout(left)
        if not (more := connection.recv(BLOCK)):
            break
        answer += more
        if len(answer) > ANSWER_MOST:
            raise BadAnswer(f"an answer of more than {ANSWER_MOST:,} bytes")
    return answer


def _is_whole(answer: bytes) -> bool:
    head, gap, body = answer.partition(b"\r\n\r\n")
    length = _length(head) if gap else None
    return length is not None and len(body) >= length


def _length(head: bytes) -> int | None:
    """How many bytes the headers promise; None where they do not say."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length" and value.strip().isdigit() and len(value) < 20:
            return int(value)
    return None


def _body(answer: bytes) -> bytes:
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(None, 2)
    if len(status) < 2 or not status[0].startswith(b"HTTP/") or not status[1].isdigit():
        raise BadAnswer("it does not speak HTTP" if status else "it said nothing")
    if status[1] != b"200":
        raise BadAnswer(f"HTTP {status[1][:9].decode('ascii')}")
    length = _length(head)
    if length is None:
        raise BadAnswer("it does not say how long it is")
    if len(body) < length:
        raise BadAnswer(f"it ended after {len(body)} of {length} bytes")
    return body[:length]


def _result(root: Element) -> Any:
    fault, value = root.find("fault/value"), root.find("params/param/value")
    try:
        if fault is not None:
            told = _read(fault)
            raise Fault(int(told["faultCode"]), str(told["faultString"]))
        if value is not None:
            return _read(value)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadAnswer(f"a value cannot be read: {error}") from None
    raise BadAnswer("it holds no value")


def _read(value: Element) -> Any:
    """The value in a `<value>` element; text without a type is text."""
    if not len(value):
        return value.text or ""
    kind, text = value[0], value[0].text or ""
    match kind.tag:
        case "string":
            return text
        case "int" | "i4":
            return int(text)
        case "boolean":
            return text.strip() == "1"
        case "array":
            return [_read(each) for each in kind.iterfind("data/value")]
        case "struct":
            return {member.findtext("name", ""): _read(_inner(member)) for member in kind.iterfind("member")}
    raise ValueError(f"of type {kind.tag!r}")


def _inner(member: Element) -> Element:
    found = member.find("value")
    if found is None:
        raise ValueError("a member without one")
    return found
