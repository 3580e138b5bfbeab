"""The connection of one exchange: who may be at its other end, and how another thread can cut it.

`requests` is asked for nothing of its surroundings: no netrc, no proxies, no stored cookies (S21).
"""

from __future__ import annotations

import contextlib
import http.client
import socket
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from echopilot_jobs.addresses import is_private
from echopilot_jobs.executor.causes import BrokenHead, NoLength


class PrivatePeer(Exception):
    """The name led to an address that is not of the public internet, and the definition does not allow that."""

    def __init__(self, host: str, peer: str) -> None:
        super().__init__(
            f"'{host}' is at {peer}, a private or loopback address; wanted: a public one, or allow_private = true"
        )


class _Head:
    """What an answer is read from while its head is read: remembers the line that was read last."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.last = b""

    def readline(self, limit: int = -1) -> bytes:
        self.last = self._stream.readline(limit)
        return self.last

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class WholeAnswer(http.client.HTTPResponse):
    """An answer whose head came to its end and says one length at most.

    The library takes a connection closed between two headers for the end of the headers, and a length that is no number for
    none at all, and the answer for a good one (I12; RFC 9112, 6.3).
    """

    def begin(self) -> None:
        """Read the head. Raises `BrokenHead` when the connection ended inside it, `NoLength` for a length that is none."""
        stream: Any = self.fp
        head: Any = _Head(stream)
        self.fp = head
        try:
            super().begin()
        finally:
            if self.fp is head:  # closed already where the head was no answer at all
                self.fp = stream
        if head.last not in (b"\r\n", b"\n"):
            self.close()
            raise BrokenHead
        lengths = {each.strip() for each in self.headers.get_all("Content-Length", [])}
        if len(lengths) > 1 or not all(each.isascii() and each.isdecimal() for each in lengths):
            self.close()
            raise NoLength


class _Session(requests.Session):
    """Looks at no redirect: even one that is not to be followed would be taken apart, and may be no address."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002  # the library's own signature
        return None


def bare_session() -> requests.Session:
    """A session that takes nothing from its surroundings."""
    session = _Session()
    session.trust_env = False
    return session


class Line:
    """The socket of an exchange, so that another thread can cut it.

    Closing the response would wait for the very read that has to be ended; shutting the socket down ends that read. Unless
    *allow_private*, the peer is looked at when it is connected, before a byte is sent and before TLS begins: a name may
    lead anywhere, and elsewhere the next time (S20).
    """

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._socket: socket.socket | None = None
        self._is_cut = False

    def session(self) -> requests.Session:
        """A bare session whose every connection is this line's."""
        session = bare_session()
        session.mount("http://", self._adapter())
        session.mount("https://", self._adapter())
        return session

    def _adapter(self) -> HTTPAdapter:
        line = self

        class Plain(HTTPConnection):
            response_class = WholeAnswer

            def _new_conn(self) -> socket.socket:
                return line.hold(super()._new_conn(), self.host)

        class Tls(HTTPSConnection):
            response_class = WholeAnswer

            def _new_conn(self) -> socket.socket:
                return line.hold(super()._new_conn(), self.host)

            def connect(self) -> None:
                super().connect()
                line.take(self.sock)

        adapter = HTTPAdapter()
        pools = {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}
        kinds = {"http": Plain, "https": Tls}
        adapter.poolmanager.pool_classes_by_scheme = {
            scheme: type("Pool", (pool,), {"ConnectionCls": kinds[scheme]}) for scheme, pool in pools.items()
        }
        return adapter

    def hold(self, connected: socket.socket, host: str) -> socket.socket:
        """Remember a socket that was just connected. Raises `PrivatePeer` for one that leads where it may not."""
        peer = ""
        with contextlib.suppress(OSError):  # gone already: nothing can be sent, and the exchange will say so
            peer = str(connected.getpeername()[0])
        if peer and not self._allow_private and is_private(peer):
            connected.close()
            raise PrivatePeer(host, peer)
        self.take(connected)
        return connected

    def take(self, connected: socket.socket | None) -> None:
        """Be about this socket from now on; cut it at once if that was asked for while it was connecting."""
        self._socket = connected
        if self._is_cut:
            self.cut()

    def cut(self) -> None:
        """End whatever the exchange is waiting for."""
        self._is_cut = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
