"""Values as TOML writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from echopilot_jobs.plain import plain

Value = str | bool | Sequence[str] | Mapping[str, str]


def written(value: Value) -> str:
    """*value* in TOML, on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {_text(each)}" for name, each in value.items()) + " }"
    return "[" + ", ".join(_text(each) for each in value) + "]"


def comment(text: str) -> str:
    """*text* as a comment, whatever is in it."""
    return f"# {plain(text)}".rstrip()


def _text(value: str) -> str:
    """In single quotes where that spares escapes; what a terminal would not show is always escaped."""
    is_clear = plain(value) == value
    if is_clear and ('"' in value or "\\" in value) and "'" not in value:
        return f"'{value}'"
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    code = ord(character)
    return character if plain(character) == character else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _key(name: str) -> str:
    return name if name.isascii() and name.replace("_", "a").replace("-", "a").isalnum() else _text(name)
