"""What is set and what runs: settings, key, port, supervisord, the scheduler's beat."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta

from echopilot_jobs.accounting.dying import dying
from echopilot_jobs.accounting.outsider import outsider
from echopilot_jobs.addresses import unopenable
from echopilot_jobs.disk import read_whole
from echopilot_jobs.doctor.findings import FAIL, OK, WARN, Finding, Place
from echopilot_jobs.errors import LedgerTooNew, LedgerUnavailable, SupervisorUnreachable
from echopilot_jobs.ledger import Beat, SqliteLedger, beat_of
from echopilot_jobs.ledger.missing import gone
from echopilot_jobs.plain import remedy_apart
from echopilot_jobs.processes import command_line, unsteered
from echopilot_jobs.runs import Stint
from echopilot_jobs.settings import key_path, strangers, weak_key
from echopilot_jobs.spans import span, stamp
from echopilot_jobs.supervision import LONGEST_SOCKET_PATH, Program, Supervisor


def settings(place: Place) -> Iterator[Finding]:
    for problem in place.problems:
        yield Finding(FAIL, problem, "correct it and start again; `echopilot check` shows every such line")
    for stranger in strangers(place.environment):
        yield Finding(WARN, stranger, "correct the name or unset it; as it is, it sets nothing")
    if not place.problems:
        yield Finding(OK, "every setting can be used")


def dashboard_key(place: Place) -> Iterator[Finding]:
    """Whether there is a key and how long it is, never what it is."""
    if any(problem.startswith("DASHBOARD_KEY") for problem in place.problems):
        return  # said among the settings
    if place.settings.dashboard_key is not None:
        yield Finding(OK, f"DASHBOARD_KEY is set ({len(place.settings.dashboard_key.get_secret_value())} characters)")
        return
    path = key_path(place.settings)
    if not path.exists():
        yield Finding(OK, "DASHBOARD_KEY is not set; the first start makes a key in `var/dashboard_key`")
        return
    kept = read_whole(path).decode().strip()
    if wrong := weak_key(kept):
        yield Finding(
            FAIL, f"the key in `var/dashboard_key` is refused; wanted: {wrong}", "delete the file to get a new one"
        )
    elif stat.S_IMODE(path.stat().st_mode) & 0o077:
        yield Finding(
            WARN,
            "`var/dashboard_key` can be read by other accounts",
            f"run `chmod 600 '{path}'`",
            mend=lambda: path.chmod(0o600),
        )
    else:
        yield Finding(
            OK, f"DASHBOARD_KEY is not set; the generated one in `var/dashboard_key` is used ({len(kept)} characters)"
        )


def port(place: Place) -> Iterator[Finding]:
    number = place.settings.port
    if refused := unopenable(number):
        what, _, fix = refused.partition("; ")
        yield Finding(WARN, what, fix)
    busy = _bind_error(number)
    if busy is None:
        unset = "" if "PORT" in place.environment else ", which is the default: PORT is not set in this shell"
        yield Finding(OK, f"port {number} is free{unset}")
    elif busy.errno == errno.EACCES:
        yield Finding(FAIL, f"port {number} is closed to uid {os.geteuid()}", "choose a PORT above 1023")
    elif _is_up(place, "web"):
        yield Finding(OK, f"port {number} is held by this stack's web process")
    else:
        fix = "end it, or choose another port with PORT"
        yield Finding(FAIL, f"port {number} is taken by {_port_holder(number)}", fix)


def _bind_error(number: int) -> OSError | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gunicorn does
        try:
            probe.bind(("0.0.0.0", number))  # nosec B104 - bound for a moment, never listened on
        except OSError as error:
            return error
    return None


def _port_holder(number: int) -> str:
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for each in psutil.net_connections("tcp"):
            if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr.port == number and each.pid:
                return f"pid {each.pid} ({command_line(each.pid)[:120]})"
    return "a process this account cannot see"


def _is_up(place: Place, name: str) -> bool:
    return any(each.name == name and each.state in ("RUNNING", "STARTING") for each in _programs(place))


def _programs(place: Place) -> list[Program]:
    with contextlib.suppress(SupervisorUnreachable):
        return Supervisor(place.settings.supervisor_socket).programs()
    return []


def supervisor(place: Place) -> Iterator[Finding]:
    path = place.settings.supervisor_socket
    length = len(os.fsencode(path))
    if length > LONGEST_SOCKET_PATH:
        yield Finding(
            WARN,
            f"the socket's path has {length} bytes, more than {LONGEST_SOCKET_PATH}: plain `supervisord` cannot bind it",
            "start with `bin/stack` and ask with `bin/supervisorctl`, or set ECHOPILOT_HOME to a shorter folder",
        )
    if not path.exists() and unsteered(path) is None:
        yield Finding(OK, "supervisord is not running here")
        return
    try:
        programs = Supervisor(path).programs()
    except SupervisorUnreachable as error:
        what, do = remedy_apart(str(error))
        log = "see `logs/supervisord.log`"
        yield Finding(FAIL, what, f"{do}; {log}" if do else log)
        return
    yield Finding(OK, f"supervisord answers; {', '.join(f'{each.name} {each.state}' for each in programs)}")
    for each in programs:
        if each.state in ("FATAL", "BACKOFF", "EXITED", "UNKNOWN"):
            yield Finding(
                FAIL, f"{each.name} is {each.state}: {each.description}", f"see `supervisorctl tail {each.name}`"
            )


def scheduler(place: Place) -> Iterator[Finding]:
    path = place.settings.ledger_path
    if not path.exists():
        if gone(path) is None:  # that it is gone is said by the ledger's check
            yield Finding(OK, "never started here")
        return
    try:
        with contextlib.closing(SqliteLedger(path, create=False)) as ledger:
            stint = ledger.stint()
            found, lost = dying(ledger, place.settings.logs_dir, place.now)
    except (LedgerUnavailable, LedgerTooNew):
        return  # said by the ledger's check
    if stint is None or stint.ended_at is not None:
        if _is_up(place, "scheduler"):
            what = "the scheduler runs and does not lead, so nothing is planned"
            yield Finding(FAIL, what, "see the ledger's check here, and `echopilot logs`")
            return
        yield Finding(WARN, "no scheduler is running, so nothing is planned", "start the stack with `bin/stack`")
        return
    for loss in lost:
        yield Finding(WARN, f"the scheduler lost its ledger at {stamp(loss.at)}: {loss.what}", loss.remedy)
    if found:
        yield Finding(WARN, found.words(stamp), found.remedy)
    if beside := outsider(stint, _programs(place)):
        yield Finding(WARN, beside.words, beside.remedy)
    yield _beat(stint, place.now)


def _beat(stint: Stint, now: datetime) -> Finding:
    age, fix = now - stint.beat_at, "see `supervisorctl status` and the end of `logs/scheduler.log`"
    match beat_of(stint, now):
        case Beat.SILENT:
            return Finding(
                FAIL,
                f"the scheduler's last beat was {span(age)} ago",
                f"{fix}; `supervisorctl restart scheduler`",
            )
        case Beat.AHEAD:
            return Finding(
                FAIL,
                f"the scheduler's last beat lies {span(-age)} in the future: the clock was set back",
                f"wait for the next beat, and look at the machine's clock; when none comes, {fix}",
            )
    return Finding(OK, f"the scheduler's last beat was {span(max(age, timedelta(0)))} ago")
