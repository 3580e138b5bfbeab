"""Texts in a jobs file that look like keys: those belong into the environment, as `${NAME}` (I29)."""

from __future__ import annotations

import re

from echopilot_jobs.placeholders import names_in, shell_name_in

_NAMES = re.compile(
    r"authori[sz]ation|cookie|credential|passw(or)?d|passphrase|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|"
    r"(^|[-_])(auth|key|pat|pwd)$",
    re.IGNORECASE,
)
_VALUES = re.compile(
    r"(Bearer|Basic|Token) \S{8,}|(sk|pk|rk)[-_][A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|"
    r"glpat-[\w-]{16,}|xox[abeoprs]-[\w-]{10,}|A(KIA|SIA)[A-Z0-9]{16}|AIza[\w-]{30,}|npm_[A-Za-z0-9]{30,}|"
    r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|-----BEGIN [A-Z ]*PRIVATE KEY|[a-z+]+://[^/\s:@]+:[^/\s@]+@",
)
_ORDINARY = re.compile(r"[./~].*|true|false|yes|no|on|off|none|[0-9.]*|.{0,7}", re.IGNORECASE | re.DOTALL)


def looks_secret(name: str, value: str) -> bool:
    """Whether *value*, given the name it has, is most likely a key written out; never one with a `${NAME}` in it."""
    if names_in(value):
        return False
    return bool(_VALUES.search(value)) or bool(_NAMES.search(name) and not _ORDINARY.fullmatch(value))


def placeholder_for(name: str, value: str = "") -> str:
    """The `${NAME}` one would write for *value*, which has that name; the one it asks for where it is `$NAME`."""
    if meant := shell_name_in(value):
        return "${" + meant + "}"
    return "${" + (re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_") or "NAME") + "}"
