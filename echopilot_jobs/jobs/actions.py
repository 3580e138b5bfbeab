"""What a job does when its moment has come: the four kinds of action, as facts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from echopilot_jobs.placeholders import names_in
from echopilot_jobs.records import record


@record(frozen=True)
class Inline:
    """Carried out by the scheduler itself, between two waits: for duties that take microseconds."""

    duty: str

    def __str__(self) -> str:
        return f"inside the scheduler: {self.duty}"


@record(frozen=True)
class Python:
    """A callable `package.module:function` that gets a `RunContext`, in a child process of its own."""

    target: str

    def __str__(self) -> str:
        return f"python {self.target}"


@record(frozen=True)
class Command:
    """A program and its arguments. With *shell* there is one argument, a line for `/bin/sh -c`."""

    argv: tuple[str, ...]
    shell: bool = False

    def __str__(self) -> str:
        return "command through a shell" if self.shell else f"command {self.argv[0]}"


@record(frozen=True)
class Http:
    """One HTTP request. A *url* that begins with `/` goes to our own web process, with the dashboard key.

    *headers* and *body* may hold `${NAME}`, filled from the scheduler's environment when the request is made; what is kept
    and shown is the placeholder. *expect*: the statuses that mean success, empty for any 2xx. *contains*: a text the answer's
    body must hold. *redirects*: how many are followed, to the same host only. *allow_private*: whether the peer may be a
    private or loopback address.
    """

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    json: Any = field(default=None, hash=False)
    body: str | None = None
    expect: tuple[int, ...] = ()
    contains: str | None = None
    redirects: int = 0
    allow_private: bool = False

    @property
    def is_own(self) -> bool:
        """Whether the request goes to our own web process."""
        return self.url.startswith("/")

    @property
    def secret_names(self) -> set[str]:
        """The names whose values the request carries."""
        texts = (*self.headers.values(), self.body or "", json.dumps(self.json))
        return {name for text in texts for name in names_in(text)}

    def __str__(self) -> str:
        return f"http {self.method} {_place(self.url)}"


Action = Inline | Python | Command | Http


def _place(url: str) -> str:
    """The address without what may be a secret: no credentials, no query."""
    if url.startswith("/"):
        return url.partition("?")[0]
    from urllib.parse import urlsplit  # takes longer to load than all the rest of this module

    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def facts_of(action: Action) -> dict[str, Any]:
    """The action as plain JSON: everything that makes it what it is, placeholders unfilled."""
    match action:
        case Inline():
            return {"kind": "inline", "duty": action.duty}
        case Python():
            return {"kind": "python", "target": action.target}
        case Command():
            return {"kind": "command", "argv": list(action.argv), "shell": action.shell}
        case Http():
            return {
                "kind": "http",
                "url": action.url,
                "method": action.method,
                "headers": dict(action.headers),
                "json": action.json,
                "body": action.body,
                "expect": list(action.expect),
                "contains": action.contains,
                "redirects": action.redirects,
                "allow_private": action.allow_private,
            }
