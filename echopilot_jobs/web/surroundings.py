"""Where the web process is reached: straight, behind a declared proxy, or on Replit. Needs no Flask."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from typing import Any, Literal

from echopilot_jobs.records import record
from echopilot_jobs.settings import Settings

Replit = Literal["workspace", "deployment"]
HOST_RULE = re.compile(r"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")


@record(frozen=True)
class Surroundings:
    """What may be believed about a request's outside.

    *proxies* is how many proxies of ours stand before us (0: every `X-Forwarded-*` is ignored), *hosts* the host names
    we answer to (empty: any well-formed one), *plain_http* whether signing in over unencrypted HTTP from elsewhere is
    accepted, *replit* which side of Replit this is.
    """

    proxies: int = 0
    hosts: frozenset[str] = frozenset()
    plain_http: bool = False
    replit: Replit | None = None

    @classmethod
    def of(cls, settings: Settings, environment: Mapping[str, str] = os.environ) -> Surroundings:
        """As the operator set it; on Replit, whose edge is a proxy, one proxy is trusted unless said otherwise."""
        replit = _replit(environment)
        usual = 1 if replit else 0
        return cls(
            proxies=usual if settings.trusted_proxies is None else settings.trusted_proxies,
            hosts=settings.hosts,
            plain_http=settings.plain_http == "allow",
            replit=replit,
        )

    @property
    def is_framed(self) -> bool:
        """Whether the page is shown inside another site's frame: the preview pane of a Replit workspace."""
        return self.replit == "workspace"

    def is_https(self, environ: Mapping[str, Any]) -> bool:
        """Whether the browser speaks TLS, as far as somebody trustworthy says so."""
        said = _hop(environ.get("HTTP_X_FORWARDED_PROTO", ""), self.proxies) if self.proxies else ""
        if said:
            return said.lower() == "https"
        if self.replit and not _is_loopback(environ.get("REMOTE_ADDR", "")):
            return True  # Replit's edge always speaks TLS
        return bool(environ.get("wsgi.url_scheme") == "https")

    def host(self, environ: Mapping[str, Any]) -> str:
        """The host the browser asked for, lower case, with its port if one was named; empty when there is none."""
        said = _hop(environ.get("HTTP_X_FORWARDED_HOST", ""), self.proxies) if self.proxies else ""
        return (said or str(environ.get("HTTP_HOST", ""))).lower()

    def knows_host(self, host: str) -> bool:
        """Whether *host* is one of ours."""
        return not self.hosts or _without_port(host) in self.hosts or is_local_name(host)

    def client(self, environ: Mapping[str, Any]) -> str:
        """Who asks, for counting failures: an address (IPv6 by its /64), as far as it can be believed."""
        peer = str(environ.get("REMOTE_ADDR") or "unknown")
        forwarded = str(environ.get("HTTP_X_FORWARDED_FOR", ""))
        if self.proxies:
            return _network(_hop(forwarded, self.proxies) or peer)
        # An undeclared proxy makes everybody look like itself: at least our own scheduler is told apart from them.
        return _network(peer) + (" behind an undeclared proxy" if forwarded else "")

    def may_sign_in(self, environ: Mapping[str, Any]) -> bool:
        """Whether a key sent here stays unread on its way: TLS, this machine, or plain HTTP allowed by the operator."""
        return (
            self.plain_http
            or self.is_https(environ)
            or _is_loopback(str(environ.get("REMOTE_ADDR", "")))
            or is_local_name(self.host(environ))
        )


def is_local_name(host: str) -> bool:
    """Whether *host* names the browser's own machine: `localhost` or a loopback address."""
    name = _without_port(host)
    return name == "localhost" or name.endswith(".localhost") or _is_loopback(name)


def is_well_formed(host: str) -> bool:
    """Whether *host* could stand in a `Host` header."""
    return bool(HOST_RULE.fullmatch(host))


def _without_port(host: str) -> str:
    return host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]


def _is_loopback(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


def is_loopback_client(client: str) -> bool:
    """Whether a `client()` answer is this machine, or a proxy on it that nobody declared."""
    return _is_loopback(client.partition(" ")[0].partition("/")[0])


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv4Address) or parsed.is_loopback:
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.IPv6Network((parsed, 64), strict=False))


def _hop(header: str, proxies: int) -> str:
    """What the outermost of our own proxies wrote: the *proxies*-th entry from the right."""
    entries = [entry.strip() for entry in header.split(",") if entry.strip()]
    return entries[-min(proxies, len(entries))] if entries else ""


def _replit(environment: Mapping[str, str]) -> Replit | None:
    if not environment.get("REPL_ID"):
        return None
    return "deployment" if environment.get("REPLIT_DEPLOYMENT") == "1" else "workspace"
