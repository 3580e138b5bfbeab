"""One call to supervisord, with Python's own XML-RPC as the other side."""

from __future__ import annotations

import contextlib
import socket
import threading
import xmlrpc.client
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echopilot_jobs import rpc

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"))
NUMBERS = st.integers(-(2**31), 2**31 - 1)
VALUES = st.recursive(
    st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)

NESTED = "<value><array><data>" * 3_000 + "</data></array></value>" * 3_000


def asked(answer: bytes, *arguments: str | bool) -> tuple[bytes, Any]:
    """What was sent, and what `call` made of *answer*."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        found = rpc.call(ours, 20, "supervisor.startProcess", *arguments)
        return theirs.recv(1 << 20), found


def http(body: str | bytes, status: str = "200 OK") -> bytes:
    content = body if isinstance(body, bytes) else body.encode()
    return f"HTTP/1.0 {status}\r\nServer: Medusa\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


def response(value: Any) -> bytes:
    return http(xmlrpc.client.dumps((value,), methodresponse=True))


@given(VALUES)
def test_every_value_is_read_as_pythons_own_wrote_it(value: Any) -> None:
    assert asked(response(value))[1] == value


@given(st.lists(st.booleans() | TEXTS))
def test_a_call_is_what_pythons_own_reads(arguments: list[str | bool]) -> None:
    sent, _ = asked(response(True), *arguments)
    head, _, body = sent.partition(b"\r\n\r\n")

    assert xmlrpc.client.loads(body) == (tuple(arguments), "supervisor.startProcess")
    assert head.startswith(b"POST /RPC2 HTTP/1.0\r\n")
    assert f"Content-Length: {len(body)}".encode() in head


def test_text_without_a_type_is_text() -> None:
    body = "<methodResponse><params><param><value>as it is</value></param></params></methodResponse>"

    assert asked(http(body))[1] == "as it is"


def test_a_refusal_tells_its_number_and_words() -> None:
    fault = xmlrpc.client.dumps(xmlrpc.client.Fault(70, "NOT_RUNNING: web"), methodresponse=True)

    with pytest.raises(rpc.Fault, match="NOT_RUNNING: web") as told:
        asked(http(fault))
    assert told.value.code == 70


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"", "it said nothing"),
        (b"220 hello\r\n", "it does not speak HTTP"),
        (b"\r\n", "it said nothing"),
        (http("busy", "500 Internal Server Error"), "HTTP 500"),
        (http("", "401 Unauthorized"), "HTTP 401"),
        (b"HTTP/1.0 200 OK\r\n\r\n<x/>", "it does not say how long it is"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: many\r\n\r\n<x/>", "it does not say how long it is"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 90\r\n\r\n<x/>", "it ended after 4 of 90 bytes"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "it ended after 0 of 99999999999 bytes"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n<x/>", "it does not say how long it is"),
        (b"HTTP/1.0 200 OK\r\n" + b"X: y\r\n" * 200, "it does not say how long it is"),
        (b"HTTP/1.0 2\x1b0 OK\r\n\r\n", "it does not speak HTTP"),
        (http("<?xml version='1.0' encoding='nonsense'?><x/>"), "its XML is broken"),
        (http("<?xml version='1.0' encoding='euc_jp'?><x/>"), "its XML is broken"),
        (http("<methodResponse>"), "its XML is broken"),
        (http("<methodResponse/>"), "it holds no value"),
        (http("<r><params><param><value><int>x</int></value></param></params></r>"), "a value cannot be read"),
        (http("<r><params><param><value><nil/></value></param></params></r>"), "of type 'nil'"),
        (http("<r><params><param><value><struct><member/></struct></value></param></params></r>"), "a member without"),
        (http(f"<r><params><param>{NESTED}</param></params></r>"), "a value cannot be read"),
        (http("<r><fault><value>gone</value></fault></r>"), "a value cannot be read"),
        (http("<r><fault><value><struct/></value></fault></r>"), "a value cannot be read"),
    ],
)
def test_what_is_no_answer_is_told_in_a_few_words(answer: bytes, told: str) -> None:
    with pytest.raises(rpc.BadAnswer, match=told):
        asked(answer)


def test_silence_and_dripping_end_when_the_whole_has_taken_too_long() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"HTTP/1.0 200 OK\r\n")  # and no more

        with pytest.raises(TimeoutError):
            rpc.call(ours, 0.01, "supervisor.getPID")


def test_an_endless_answer_is_cut_short() -> None:
    ours, theirs = socket.socketpair()

    def babble() -> None:
        with contextlib.suppress(OSError):
            while True:
                theirs.sendall(b"x" * 65_536)

    with ours, theirs:
        babbling = threading.Thread(target=babble)
        babbling.start()
        with pytest.raises(rpc.BadAnswer, match="more than 4,000,000 bytes"):
            rpc.call(ours, 60, "supervisor.getPID")
        ours.shutdown(socket.SHUT_RDWR)
        babbling.join(60)
