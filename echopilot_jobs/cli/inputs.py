"""What may be typed: values refused with what came and what is wanted."""

from __future__ import annotations

import re
from collections.abc import Callable

import click

LARGEST = 2**63 - 1


def whole(wanted: str, most: int = LARGEST) -> Callable[[str | int], int]:
    """A reader of whole numbers from 1 to *most* in plain digits; *wanted* says so in words."""

    def number(value: str | int) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", str(value)) or not 1 <= int(value) <= most:
            raise click.BadParameter(f"came '{str(value)[:80]}'; wanted: {wanted}")
        return int(value)

    return number


def seconds(value: str | float) -> float:
    """A reader of lengths in seconds: above zero, in plain digits, a fraction allowed."""
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", str(value)) or float(value) <= 0:
        raise click.BadParameter(f"came '{str(value)[:80]}'; wanted: seconds, more than zero, for example 30")
    return float(value)
