"""One frozen `Settings`, read from the environment; every error is reported in one pass and no secret is ever echoed."""

# ruff: noqa: RUF009  # `setting` makes a `dataclasses.field`

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import time
from pathlib import Path
from typing import Any

from echopilot_jobs.disk import WAKE_NAME, read_whole
from echopilot_jobs.errors import ConfigError
from echopilot_jobs.plain import plain

PROJECT_ROOT = Path(__file__).resolve().parent.parent
HOST_NAME = r"[a-z0-9_][a-z0-9._-]{0,252}|\[[0-9a-f:.]{2,45}\]"
KEY_MIN_BYTES = 16
COMMON_KEYS = frozenset(
    {"changeme", "password", "secret", "dashboard", "dashboardkey", "echopilot", "letmein", "test", "admin"}
)


def _clock_time(value: str) -> time:
    match = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])", value)
    if not match:
        raise ValueError("a UTC time HH:MM from 00:00 to 23:59, for example 08:00")
    return time(int(match[1]), int(match[2]))


def _whole_hours(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", value) or not 1 <= int(value) <= 168:
        raise ValueError("a whole number of hours from 1 to 168, for example 6")
    return int(value)


def _port(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 1 <= int(value) <= 65535:
        raise ValueError("a TCP port from 1 to 65535, for example 5000")
    return int(value)


def _globs(value: str) -> tuple[str, ...]:
    parts = value.replace(",", os.pathsep).split(os.pathsep)
    return tuple(part.strip() for part in parts if part.strip())


def _proxies(value: str) -> int:
    if not re.fullmatch(r"[0-5]", value):
        raise ValueError("how many proxies of yours stand before the web process, 0 to 5")
    return int(value)


def _host_names(value: str) -> frozenset[str]:
    names = [name.strip().lower() for name in value.split(",")]
    if bad := [name for name in names if name and not re.fullmatch(HOST_NAME, name)]:
        raise ValueError(f"host names without ports, separated by ','; not '{bad[0][:80]}'")
    return frozenset(name.strip("[]") for name in names if name)


def _refuse_or_allow(value: str) -> str:
    if value not in ("refuse", "allow"):
        raise ValueError("'refuse' or 'allow'")
    return value


@dataclass(frozen=True)
class Secret:
    """A text that shows itself only to whoever asks for it by name."""

    _value: str = field(repr=False)

    def get_secret_value(self) -> str:
        """The text."""
        return self._value


def strangers(environ: Mapping[str, str]) -> list[str]:
    """A line for every variable that looks like a setting of ours and is none: most likely a slip of the pen."""
    known = list(known_settings())
    ours = [name for name in environ if name.startswith(("SCHED_", "ECHOPILOT_")) and name not in known]
    lines = []
    for name in sorted(ours):
        from difflib import get_close_matches

        near = get_close_matches(name, known, n=1, cutoff=0.85)
        if near:
            lines.append(f"{name}: no such setting; did you mean {near[0]}?")
    return lines


def weak_key(key: str) -> str | None:
    """Why *key* is no fit dashboard key, or None. The answer never contains the key."""
    if len(key.encode("utf-8", "replace")) < KEY_MIN_BYTES:
        return f"at least {KEY_MIN_BYTES} bytes (it has {len(key.encode('utf-8', 'replace'))})"
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        return "printable ASCII without spaces or line ends, because it travels in an HTTP header"
    if len(set(key)) < 5 or re.sub(r"[^a-z]", "", key.lower()) in COMMON_KEYS:
        return "not a well-known word and not one character repeated"
    return None


def _key(value: str) -> Secret:
    if wrong := weak_key(value):
        raise ValueError(f"{wrong}; make one with `python3 -c 'import secrets; print(secrets.token_urlsafe(32))'`")
    return Secret(value)


def setting(name: str, read: Callable[[str], Any], default: Any, description: str) -> Any:
    """A field of `Settings`: the variable's *name*, how it is *read*, its *default* and its *description*."""
    return field(default=default, metadata={"name": name, "read": read, "description": description})


@dataclass(frozen=True)
class Settings:
    """Everything that can be set from outside. Each field's description is its paragraph in the README's table.

    A plain dataclass, because every command reads it first: a library for models takes longer to load than all the rest of
    `status`.
    """

    home: Path = setting(
        "ECHOPILOT_HOME",
        Path,
        PROJECT_ROOT,
        "The folder that holds `jobs.toml`, `var/` and `logs/`, and that relative paths of jobs and signals begin in.",
    )
    dashboard_key: Secret | None = setting(
        "DASHBOARD_KEY",
        _key,
        None,
        "The secret for the dashboard and the API (header `X-Dash-Key`), 16 bytes or more. "
        "Unset: one is made and kept in `var/dashboard_key`.",
    )
    port: int = setting("PORT", _port, 5000, "Where the web process listens.")
    brief_at: time = setting("SCHED_BRIEF_UTC", _clock_time, time(8, 0), "When `ceo_brief` runs, HH:MM UTC.")
    report_at: time = setting("SCHED_REPORT_UTC", _clock_time, time(9, 0), "When `daily_report` runs, HH:MM UTC.")
    self_heal_hours: int = setting(
        "SCHED_SELFHEAL_EVERY_HOURS", _whole_hours, 6, "Hours between two `self_heal` runs, 1 to 168."
    )
    signals: tuple[str, ...] = setting(
        "ECHOPILOT_SIGNALS",
        _globs,
        ("logs/*.ndjson",),
        "Files the brief reads: globs, relative to `ECHOPILOT_HOME`, separated by `:` or `,`.",
    )
    trusted_proxies: int | None = setting(
        "ECHOPILOT_TRUSTED_PROXIES",
        _proxies,
        None,
        "How many proxies of yours stand before the web process, 0 to 5; only then are their `X-Forwarded-*` headers "
        "believed.",
    )
    hosts: frozenset[str] = setting(
        "ECHOPILOT_HOSTS",
        _host_names,
        frozenset(),
        "Host names the web answers to, separated by `,`; unset: any.",
    )
    plain_http: str = setting(
        "ECHOPILOT_PLAIN_HTTP",
        _refuse_or_allow,
        "refuse",
        "Whether the key may be sent over unencrypted HTTP from another machine: `refuse` or `allow`.",
    )
    given: frozenset[str] = frozenset()
    """The names of the variables that were set."""

    @property
    def var_dir(self) -> Path:
        """State: ledger, sockets, locks, generated key. 0700."""
        return self.home / "var"

    @property
    def logs_dir(self) -> Path:
        """Logs and artefacts."""
        return self.home / "logs"

    @property
    def ledger_path(self) -> Path:
        """The ledger's file; only SQLite may open it."""
        return self.var_dir / "ledger.sqlite3"

    @property
    def supervisor_socket(self) -> Path:
        """Where supervisord listens (a UNIX socket, 0700)."""
        return self.var_dir / "supervisor.sock"

    @property
    def wake_path(self) -> Path:
        """The FIFO that wakes the scheduler when somebody queued a run."""
        return self.var_dir / WAKE_NAME


def missing_home(home: Path) -> str:
    """That ECHOPILOT_HOME names a folder that is not there, and what to do."""
    what = f"the folder '{plain(str(home))}', which ECHOPILOT_HOME names, does not exist"
    return f"{what}; set it to the one that holds `var/`, or unset it"


def known_settings() -> dict[str, Field[Any]]:
    """The fields of `Settings` by the names of their variables."""
    return {each.metadata["name"]: each for each in fields(Settings) if each.metadata}


def load() -> Settings:
    """Settings from the process's environment. Raises `ConfigError` with one line for every bad value."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    given = {name: each for name, each in known_settings().items() if name in os.environ}
    for name, each in given.items():
        try:
            values[each.name] = each.metadata["read"](os.environ[name])
        except ValueError as wanted:
            problems.append(_problem(name, os.environ[name], str(wanted)))
    if problems:
        raise ConfigError(problems)
    return Settings(**values, given=frozenset(given))


def _problem(name: str, came: str, wanted: str) -> str:
    if name == "DASHBOARD_KEY":
        return f"DASHBOARD_KEY: this value is refused; wanted: {wanted}"
    return f"{name}: came '{plain(came[:80])}'; wanted: {wanted}"


def dashboard_key(settings: Settings) -> str:
    """The key in force: the setting, else the one in `var/dashboard_key`, which is made (0600) when there is none."""
    if settings.dashboard_key is not None:
        return settings.dashboard_key.get_secret_value()
    path = key_path(settings)
    try:
        settings.var_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            import secrets

            _create_once(path, secrets.token_urlsafe(32))
        kept = read_whole(path).decode("utf-8", "replace").strip()
    except OSError as error:
        problem = f"var/{path.name}: uid {os.getuid()} cannot read or make it: {error.strerror}"
        raise ConfigError([f"{problem}; give it to this account, or set DASHBOARD_KEY"]) from None
    if wrong := weak_key(kept):
        problem = f"var/{path.name}: this is no key of ours; wanted: {wrong}"
        raise ConfigError([f"{problem}; delete the file to get a new one"])
    return kept


def key_path(settings: Settings) -> Path:
    """Where the key is kept that is made when none is set."""
    return settings.var_dir / "dashboard_key"


def _create_once(path: Path, text: str) -> None:
    """Write *text* to *path* unless somebody was first: whole or absent, because `link` decides the race."""
    import tempfile

    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600
    draft = Path(name)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text + "\n")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
