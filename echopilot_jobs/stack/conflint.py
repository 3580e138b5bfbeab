"""Finds the mistakes in `supervisord.conf` that supervisord passes over in silence or words badly, each with its line."""

from __future__ import annotations

import configparser
import os
import re
import shlex
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path

from supervisor import datatypes
from supervisor.options import ServerOptions

from echopilot_jobs.records import record

type_of = Callable[[str], object]
MIN_OPEN_FILES = 1024  # supervisor's own, where the file says nothing
OUTPUT_KEYS = {
    "logfile": str,
    "logfile_maxbytes": datatypes.byte_size,
    "logfile_backups": datatypes.integer,
    "capture_maxbytes": datatypes.byte_size,
    "events_enabled": datatypes.boolean,
    "syslog": datatypes.boolean,
}
PROGRAM: dict[str, type_of] = {
    "command": str,
    "process_name": str,
    "numprocs": datatypes.integer,
    "numprocs_start": datatypes.integer,
    "priority": datatypes.integer,
    "autostart": datatypes.boolean,
    "autorestart": datatypes.auto_restart,
    "startsecs": datatypes.integer,
    "startretries": datatypes.integer,
    "exitcodes": datatypes.list_of_exitcodes,
    "stopsignal": datatypes.signal_number,
    "stopwaitsecs": datatypes.integer,
    "stopasgroup": datatypes.boolean,
    "killasgroup": datatypes.boolean,
    "user": str,
    "umask": datatypes.octal_type,
    "directory": str,
    "environment": datatypes.dict_of_key_value_pairs,
    "serverurl": str,
    "redirect_stderr": datatypes.boolean,
    **{f"{stream}_{key}": kind for stream in ("stdout", "stderr") for key, kind in OUTPUT_KEYS.items()},
}
SECTIONS: dict[str, dict[str, type_of]] = {
    "supervisord": {
        "logfile": str,
        "logfile_maxbytes": datatypes.byte_size,
        "logfile_backups": datatypes.integer,
        "loglevel": datatypes.logging_level,
        "pidfile": str,
        "umask": datatypes.octal_type,
        "nodaemon": datatypes.boolean,
        "silent": datatypes.boolean,
        "minfds": datatypes.integer,
        "minprocs": datatypes.integer,
        "nocleanup": datatypes.boolean,
        "childlogdir": str,
        "user": str,
        "directory": str,
        "strip_ansi": datatypes.boolean,
        "environment": datatypes.dict_of_key_value_pairs,
        "identifier": str,
    },
    "unix_http_server": {"file": str, "chmod": datatypes.octal_type, "chown": str, "username": str, "password": str},
    "inet_http_server": {"port": str, "username": str, "password": str},
    "supervisorctl": {"serverurl": str, "username": str, "password": str, "prompt": str, "history_file": str},
    "program": PROGRAM,
    "fcgi-program": {**PROGRAM, "socket": str, "socket_backlog": str, "socket_owner": str, "socket_mode": str},
    "eventlistener": {**PROGRAM, "events": str, "buffer_size": datatypes.integer, "result_handler": str},
    "group": {"programs": str, "priority": datatypes.integer},
    "include": {"files": str},
}
FREE_SECTIONS = frozenset({"rpcinterface", "ctlplugin"})  # a plugin takes whatever keys it likes


@record(frozen=True)
class Entry:
    """One `key=value` as it stands in the file; key '' is the section's own line."""

    line: int
    section: str
    key: str


def problems(path: Path) -> list[str]:
    """Every mistake in *path*, one sentence each; empty when supervisord will take it as it was meant."""
    try:
        text = path.read_text(encoding="utf-8")
        parser = _parser(text)
    except (OSError, UnicodeDecodeError) as error:
        return [f"{path}: cannot be read: {error}"]
    except configparser.Error as error:
        return [_unparsable(path, error)]
    entries = list(_entries(text))
    found = [*_repeated(entries), *_unknown(entries), *_misvalued(entries, parser, path)]
    found = sorted(set(found)) or [(0, problem) for problem in _refused_by_supervisor(path)]
    return [f"{path.name} line {line}: {problem}" if line else f"{path.name}: {problem}" for line, problem in found]


def program_mistakes(path: Path) -> list[str]:
    """What supervisord would notice only when it starts a program, and the programs everybody knows by name."""
    parser = _parser(path.read_text(encoding="utf-8"))
    wanted = ("program:scheduler", "program:web")
    found = [f"no [{name}]; the stack needs it by this name" for name in wanted if name not in parser]
    for name in parser.sections():
        try:
            shlex.split(parser.get(name, "command", fallback=""))
        except ValueError as error:
            found.append(f"[{name}] command cannot be split into words: {str(error).lower()}")
        if parser.get(name, "stopwaitsecs", fallback="1").startswith("-"):
            found.append(f"[{name}] stopwaitsecs is negative; wanted: seconds, more than the program's own grace")
    return [f"{path.name}: {problem}" for problem in found]


def min_open_files(path: Path) -> int:
    """How many open files supervisord insists on. The file must be without `problems`."""
    parser = _parser(path.read_text(encoding="utf-8"))
    return int(parser.get("supervisord", "minfds", fallback=str(MIN_OPEN_FILES)))


def _parser(text: str) -> configparser.RawConfigParser:
    """The file as supervisord reads it."""
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    parser.read_string(text)
    return parser


def _unparsable(path: Path, error: configparser.Error) -> str:
    if isinstance(error, configparser.MissingSectionHeaderError):
        return f"{path.name} line {error.lineno}: text before the first [section]: '{error.line.strip()}'"
    if isinstance(error, configparser.ParsingError):
        line, text = error.errors[0]
        return f"{path.name} line {line}: neither [section] nor key=value: {text}"
    return f"{path.name}: {error}"


def _entries(text: str) -> Iterator[Entry]:
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\[(.+)\]", line):
            section = header[1]
            yield Entry(number, section, "")
        elif option := re.match(r"([^\s;#\[=:][^=:]*?)\s*[=:]", line):
            yield Entry(number, section, option[1].lower())


def _repeated(entries: list[Entry]) -> Iterator[tuple[int, str]]:
    first: dict[tuple[str, str], int] = {}
    for entry in entries:
        known = first.setdefault((entry.section, entry.key), entry.line)
        if known != entry.line:
            what = f"'{entry.key}' of [{entry.section}]" if entry.key else f"[{entry.section}]"
            yield entry.line, f"{what} again, first on line {known}; supervisord would mix the two without a word"


def _unknown(entries: list[Entry]) -> Iterator[tuple[int, str]]:
    for entry in entries:
        kind = entry.section.partition(":")[0]
        if kind in FREE_SECTIONS:
            continue
        known: list[str] = [*SECTIONS, *FREE_SECTIONS] if kind not in SECTIONS else [*SECTIONS[kind]]
        word = kind if kind not in SECTIONS else entry.key
        if (kind not in SECTIONS and not entry.key) or (kind in SECTIONS and entry.key and entry.key not in known):
            what = f"key '{word}' in [{entry.section}]" if entry.key else f"section [{entry.section}]"
            near = get_close_matches(word, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(sorted(known))}"
            yield entry.line, f"unknown {what}; supervisord would ignore it; {hint}"


def _misvalued(entries: list[Entry], parser: configparser.RawConfigParser, path: Path) -> Iterator[tuple[int, str]]:
    for entry in entries:
        kind = entry.section.partition(":")[0]
        if not entry.key or kind in FREE_SECTIONS or entry.key not in SECTIONS.get(kind, {}):
            continue
        value = parser.get(entry.section, entry.key)
        unset = [name for name in re.findall(r"%\(ENV_(\w+)\)s", value) if name not in os.environ]
        if unset:
            yield (
                entry.line,
                f"'{entry.key}' needs the environment variable {unset[0]}, which is not set; no default exists",
            )
            continue
        try:
            expanded = value % _expansions(entry.section, path)
            SECTIONS[kind][entry.key](expanded)
        except KeyError as error:
            yield entry.line, f"'{entry.key}' uses the unknown name {error}; a literal % is written %%"
        except (ValueError, TypeError) as error:
            yield entry.line, f"'{entry.key}' came '{value}': {error}"


def _expansions(section: str, path: Path) -> dict[str, object]:
    name = section.partition(":")[2]
    numbers = {"process_num": 0, "numprocs": 1}
    words = {"here": str(path.parent), "program_name": name, "group_name": name, "host_node_name": os.uname().nodename}
    return {**{f"ENV_{key}": value for key, value in os.environ.items()}, **numbers, **words}


def _refused_by_supervisor(path: Path) -> list[str]:
    """What supervisord's own reading says; it needs the folders of the file to exist."""

    class Reader(ServerOptions):  # type: ignore[misc]  # supervisor ships no types
        def usage(self, msg: object) -> None:
            raise ValueError(str(msg))

    try:
        Reader().realize(["-c", str(path)], doc="")
    except ValueError as error:
        return [str(error)]
    return []
