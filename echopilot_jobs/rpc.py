"""One call to supervisord over a connected socket: as much of XML-RPC, and of the HTTP below it, as its small server speaks.

Python's own `xmlrpc.client` does the same and loads mail, TLS and compression for it: a fifth of what `status` may take.
"""

from __future__ import annotations

import socket
from typing import IO, Any
from xml.etree import ElementTree  # nosec B405
from xml.etree.ElementTree import Element, SubElement  # nosec B405

ANSWER_MOST = 4_000_000
HEADERS_MOST = 100
LINE_MOST = 65_536


class Fault(Exception):
    """supervisord understood the call and refused it."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.words = words


class BadAnswer(Exception):
    """What came back is no answer to a call; the text says in a few words what it was instead."""


def call(connection: socket.socket, method: str, *arguments: str | bool) -> Any:
    """What *method* returns: text, numbers, booleans, and lists and dictionaries of them. One connection takes one call.

    Raises `Fault`, `BadAnswer`, and the `OSError` of a connection that breaks or stays silent for its timeout.
    """
    connection.sendall(_request(method, arguments))
    with connection.makefile("rb") as answer:
        body = _body(answer)
    try:
        root = ElementTree.fromstring(body)  # nosec B314 - the peer is our own supervisord
    except ElementTree.ParseError as error:
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


def _body(answer: IO[bytes]) -> bytes:
    status = answer.readline(LINE_MOST).split(None, 2)
    if len(status) < 2 or not status[0].startswith(b"HTTP/"):
        raise BadAnswer("it does not speak HTTP" if status else "it said nothing")
    length = _length(answer)
    if status[1] != b"200":
        raise BadAnswer(f"HTTP {status[1].decode('ascii', 'replace')}")
    if length > ANSWER_MOST:
        raise BadAnswer(f"an answer of {length} bytes")
    body = answer.read(length)
    if len(body) < length:
        raise BadAnswer(f"it ended after {len(body)} of {length} bytes")
    return body


def _length(answer: IO[bytes]) -> int:
    """How many bytes follow the headers."""
    found = None
    for _ in range(HEADERS_MOST):
        name, colon, value = answer.readline(LINE_MOST).strip().partition(b":")
        if not colon:
            break
        if name.strip().lower() == b"content-length" and value.strip().isdigit():
            found = int(value)
    if found is None:
        raise BadAnswer("it does not say how long it is")
    return found


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
