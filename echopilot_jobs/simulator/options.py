"""The command lines of the proofs, `bin/simulate` and `bin/soak`: what is refused is refused in one line, before anything
runs. A proof that ran nothing must not pass.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from echopilot_jobs.plain import plain, shorten

SHOWN_MOST = 80


class Parser(argparse.ArgumentParser):
    """A parser that takes only whole names of options, and ends with one line and exit code 2."""

    def __init__(self, program: str, description: str | None) -> None:
        super().__init__(program, description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Say *message* and where help is; without the usage, in whose many lines it would be lost."""
        sys.stderr.write(f"error: {message.removeprefix('argument ')}; see `{self.prog} --help`\n")
        sys.exit(2)


def whole(wanted: str, least: int) -> Callable[[str], int]:
    """A reader of whole numbers from *least* on; *wanted* says so in words."""

    def number(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,15}", text) or int(text) < least:
            raise _refused(text, wanted)
        return int(text)

    return number


def minutes(text: str) -> float:
    """A reader of minutes: more than none, and an end to them."""
    wanted = "minutes, more than 0, for example 10 or 0.5"
    try:
        found = float(text)
    except ValueError:
        raise _refused(text, wanted) from None
    if not math.isfinite(found) or found <= 0:
        raise _refused(text, wanted)
    return found


def workplace(text: str) -> Path:
    """A reader of folders that are there, for us to write in."""
    if not Path(text).is_dir():
        raise _refused(text, "a folder that is there; make it first")
    if not os.access(text, os.W_OK | os.X_OK):
        raise _refused(text, "a folder this account may write in")
    return Path(text)


def seeds_of(text: str) -> list[int]:
    """A reader of files of seeds: at least one, as `read_seeds` has it."""
    try:
        found = read_seeds(Path(text))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise _refused(text, "a file of seeds that can be read", f" ({why})") from None
    except ValueError as error:
        raise _refused(text, "a whole number a line, # comments", f" ({error})") from None
    if not found:
        raise _refused(text, "at least one seed, a whole number a line", " (no seed in it)")
    return found


def read_seeds(path: Path) -> list[int]:
    """The seeds of a file: one a line, what follows a '#' is for people. Raises `ValueError` with the line."""
    lines = (line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    return [_seed(line, number) for number, line in enumerate(lines, 1) if line]


def _seed(line: str, number: int) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", line):
        raise ValueError(f"line {number}: '{_shown(line)}'")
    return int(line)


def _refused(text: str, wanted: str, why: str = "") -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"came '{_shown(text)}'{why}; wanted: {wanted}")


def _shown(text: str) -> str:
    return shorten(plain(text), SHOWN_MOST)
