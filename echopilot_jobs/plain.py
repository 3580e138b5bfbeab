"""Text of unknown origin made safe to look at: nothing in it can move a cursor, turn a line around or hide.

The ledger and the logs keep what a job printed as it was. Whoever shows it to a person passes it through here first.
"""

from __future__ import annotations

import re
import unicodedata

# C0, DEL and C1; soft hyphen; bidi marks and overrides; line and paragraph separators; invisible format characters;
# Unicode tags; lone surrogates, which no terminal could be sent anyway. The joiners U+200C and U+200D stay: words and
# emoji need them, and they can do no harm.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0001\U000e0020-\U000e007f\ud800-\udfff]"
)
_JOINERS = "\u200c\u200d"


def plain(text: object) -> str:
    """*text* on one line, with every control, bidi and invisible character visible as `U+001B` (S15)."""
    return _HIDDEN.sub(_visible, str(text))


def plain_lines(text: str) -> list[str]:
    """*text* split at line feeds alone, each line made plain; a tab becomes spaces and CRLF ends a line too (S14)."""
    lines = text.removesuffix("\n").split("\n") if text else []
    return [plain(line.removesuffix("\r").expandtabs(4)) for line in lines]


def coded_parts(text: object) -> list[tuple[str, bool]]:
    """*text* made plain, in pieces: (piece, whether it stood between two backticks). A lone backtick stays what it is."""
    pieces = re.split(r"`([^`]+)`", plain(text))
    return [(piece, place % 2 == 1) for place, piece in enumerate(pieces) if piece]


def sentence(words: str) -> str:
    """A clause as the beginning of a sentence; what is no plain word there, such as a name or a file, keeps its spelling."""
    first = words.partition(" ")[0]
    return words[:1].upper() + words[1:] if first.isalpha() else words


def remedy_apart(message: str) -> tuple[str, str]:
    """A message as (what came, what to do), which it ends with; of one that says no remedy the second is empty."""
    what, _, do = message.rpartition("; ")
    return (what, do) if what else (message, "")


def shorten(text: str, limit: int) -> str:
    """At most *limit* characters of *text* and how many were left out: `the first wor… (+12)`.

    Never cuts between a letter and its marks, nor inside a joined emoji.
    """
    if len(text) <= limit:
        return text
    cut = limit
    while cut > 0 and (_clings(text[cut]) or text[cut - 1] in _JOINERS):
        cut -= 1
    # A flood of marks longer than the limit has no good place to cut.
    cut = cut or limit
    return f"{text[:cut]}… (+{len(text) - cut:,})"


def _visible(match: re.Match[str]) -> str:
    return f"U+{ord(match[0]):04X}"


def _clings(character: str) -> bool:
    """Whether *character* belongs to the one before it."""
    return character in _JOINERS or unicodedata.category(character) in ("Mn", "Me", "Mc", "Sk")
