"""`${NAME}` in a definition: filled from the environment when a run starts, and nowhere kept (S21, I29)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

PLACEHOLDER = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]{0,127})\}")
# As a shell would write it, by the custom for names in capitals: not prices, `$$`, `US$`, `$ref` or a field of a query.
SHELL_STYLE = re.compile(r"(?<![\w$\\])\$([A-Z][A-Z0-9_]{1,127})(?![\w(])")
SHORTEST_SECRET = 8  # a shorter value would blacken ordinary words


class Unfilled(LookupError):
    """A name that the environment does not have. Says which, and never a value."""

    def __init__(self, name: str) -> None:
        # The scheduler has the environment that supervisord was started with: starting it again brings nothing new.
        super().__init__(
            f"${{{name}}} is not set in the scheduler's environment; "
            f"set {name}, then `bin/stack stop` and start the stack again"
        )
        self.name = name


def names_in(text: str) -> list[str]:
    """The names *text* asks for, in order."""
    return PLACEHOLDER.findall(text)


def shell_name_in(text: str) -> str | None:
    """The first name that *text* writes as a shell would, `$NAME`. Nothing fills it in, which may not be what was meant."""
    found = SHELL_STYLE.search(text)
    return found[1] if found else None


def fill(text: str, environ: Mapping[str, str]) -> str:
    """*text* with every `${NAME}` replaced by its value. Raises `Unfilled` for the first name that has none."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise Unfilled(match[1])
        return environ[match[1]]

    return PLACEHOLDER.sub(value, text)


class Hider:
    """Replaces the values of *names* in a text by `[NAME]`: what a run was told must not come back by its output.

    Hidden is a value as it is and each line of one that has several, and what JSON, a URL, base64 and hex make of it.
    Whatever else a run does to it stays; so does what has fewer than `SHORTEST_SECRET` characters.
    """

    def __init__(self, names: Iterable[str], environ: Mapping[str, str]) -> None:
        self._known = {form: f"[{name}]" for name in names for form in _forms(environ.get(name, ""))}
        longest_first = sorted(self._known, key=len, reverse=True)  # one may hold another
        self._found = re.compile("|".join(map(re.escape, longest_first)))

    def __call__(self, text: str) -> str:
        """*text*, hidden."""
        return self._found.sub(lambda match: self._known[match[0]], text) if self._known else text

    def growing(self, text: str) -> str:
        """*text* hidden while more of it comes: an end that may be the first part of a value waits for the rest."""
        if not self._known:
            return text
        end = len(text.rstrip("\ufffd"))  # a letter of which only some bytes have come
        while begun := max(_begun(text, end, form) for form in self._known):
            end -= begun  # and what stands before it may be the first part of another one
        return self(text[:end])


def _begun(text: str, end: int, form: str) -> int:
    """How many letters of *form* stand at the end of *text* up to *end*."""
    return next((n for n in range(min(len(form), end), 0, -1) if text.endswith(form[:n], 0, end)), 0)


def _forms(value: str) -> set[str]:
    from urllib.parse import quote, quote_plus  # for runs alone; whoever only looks for names can do without

    texts = {value, value.strip(), *map(str.strip, value.splitlines())}
    data = {text.encode("utf-8", "surrogateescape") for text in texts if len(text) >= SHORTEST_SECRET}
    forms = {text for text in texts if len(text) >= SHORTEST_SECRET}
    for each in [*forms]:
        forms |= {json.dumps(each)[1:-1], json.dumps(each, ensure_ascii=False)[1:-1]}
        forms |= {
            quote(each, safe="", errors="replace"),
            quote(each, errors="replace"),
            quote_plus(each, errors="replace"),
        }
    for raw in data:
        forms |= {raw.hex(), raw.hex().upper(), *_in_base64(raw)}
    return forms


def _in_base64(data: bytes) -> Iterator[str]:
    """*data* in base64, at the beginning of a text and one or two bytes later, but for what its neighbours decide."""
    import base64

    for before, decided in ((0, 0), (1, 2), (2, 3)):
        text = base64.b64encode(b"\0" * before + data).decode("ascii")
        sure = text.rstrip("=")
        sure = sure[decided:-1] if sure != text else sure[decided:]
        if len(sure) >= SHORTEST_SECRET:
            yield sure
            yield sure.translate({ord("+"): "-", ord("/"): "_"})
