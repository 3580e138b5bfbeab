"""Why an HTTP exchange failed, in a few words: never an address, a credential or what the other side wrote."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import requests
import urllib3.exceptions


class BrokenHead(http.client.HTTPException):
    """The connection was closed inside the head of the answer."""


class NoLength(http.client.HTTPException):
    """The answer says two lengths, or one that is no number."""


def cause_of(error: Exception) -> str | None:
    """What went wrong; None when it is nothing an exchange is known to fail by."""
    below = list(_below(error))
    for kind, words in _SAID_BY_KIND:
        if any(isinstance(each, kind) for each in below):
            return words
    for sign, words in _SAID_BY_TEXT:
        if any(sign in str(each) for each in below if isinstance(each, OSError)):
            return words
    named = next((words for kind, words in _SAID_AT_LAST if isinstance(error, kind)), None)
    return named or (type(error).__name__ if isinstance(error, requests.RequestException) else None)


def _below(error: BaseException) -> Iterator[BaseException]:
    """*error* and all it was made of: `requests` and urllib3 wrap one another's, each in its own way."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop(0)
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            inner = (*each.args, getattr(each, "reason", None), each.__cause__, each.__context__)
            waiting += [more for more in inner if isinstance(more, BaseException)]


# Looked for in this order, each table after the one before.
_SAID_BY_KIND: tuple[tuple[type[BaseException], str], ...] = (
    (BrokenHead, "the answer broke off inside its headers"),
    (NoLength, "the answer says two lengths, or one that is no number (Content-Length)"),
    (http.client.RemoteDisconnected, "the connection was closed before an answer"),
    (http.client.LineTooLong, "the answer's headers are longer than is read: 64 KiB a line"),
    (http.client.BadStatusLine, "what came is no answer in HTTP/1.1"),
    (urllib3.exceptions.InvalidChunkLength, "the answer's chunks are not as HTTP/1.1 has them"),
    (http.client.IncompleteRead, "the answer is shorter than it says"),
    (http.client.HTTPException, "the answer's headers are more than are read: 100"),  # its plain form says only that
    (urllib3.exceptions.NameResolutionError, "its name is not known (DNS)"),
    (ConnectionRefusedError, "connection refused"),
    (ConnectionResetError, "connection reset"),
    (BrokenPipeError, "connection reset"),
    (requests.exceptions.InvalidHeader, "a header holds what none may: a line break, or a space before its text"),
    (UnicodeError, "a header or the address holds a letter that may not be sent there; wanted: ASCII"),
    (requests.exceptions.InvalidURL, "the address is none that can be asked"),
    (requests.exceptions.MissingSchema, "the address is none that can be asked"),
    (requests.exceptions.InvalidSchema, "the address is none that can be asked"),
)
_SAID_BY_TEXT = (
    ("certificate has expired", "TLS failed: its certificate has expired"),
    ("self-signed certificate", "TLS failed: its certificate is signed by nobody this machine trusts"),
    ("unable to get local issuer", "TLS failed: its certificate is signed by nobody this machine trusts"),
    ("Hostname mismatch", "TLS failed: its certificate is another host's"),
    ("IP address mismatch", "TLS failed: its certificate is another host's"),
    ("WRONG_VERSION_NUMBER", "TLS failed: no TLS is spoken there"),
)
_SAID_AT_LAST: tuple[tuple[type[Exception], str], ...] = (
    (requests.exceptions.SSLError, "TLS failed"),
    (requests.exceptions.ConnectTimeout, "no connection in time"),
    (requests.exceptions.ReadTimeout, "no answer in time"),
    (requests.exceptions.ChunkedEncodingError, "the answer broke off"),
    (requests.exceptions.ContentDecodingError, "the answer is not compressed as it says"),
    (requests.exceptions.ConnectionError, "no connection"),
)
