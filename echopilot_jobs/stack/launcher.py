"""`bin/stack` inside the right environment: checks, then supervisord in this very process, so one pid is the stack.

Exit codes (sysexits.h where it has one): 0 stopped as asked, 70 supervisord gave up by itself or a child of
the start was killed, 73 `var/` or `logs/`
cannot be written, 75 already running or port taken, 78 wrong configuration.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from echopilot_jobs.records import record

HANDLED = (signal.SIGTERM, signal.SIGINT)
STOPPED_EARLY = "stopped before the programs were started"


_children: list[int] = []  # of `apart`: one, or none


def _leave(number: int, _frame: object) -> NoReturn:
    """Say so in one line and end, at whatever statement this is: the stack as asked (0), any other verb cut short.

    Not by SystemExit: in the midst of an import, or of somebody's bare `except`, that is printed or swallowed.
    """
    for each in HANDLED:
        signal.signal(each, signal.SIG_IGN)
    for child in _children:
        processes.end_tree(child, 0.0)
    runs = len(sys.argv) == 1
    os.write(2, f"stack: {STOPPED_EARLY if runs else 'interrupted'}\n".encode())
    os._exit(0 if runs else 128 + number)


if __name__ == "__main__":
    # Before anything slow is imported: bin/stack holds the signals back, from here on they end this process cleanly.
    for _number in HANDLED:
        signal.signal(_number, _leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)

from echopilot_jobs import processes  # noqa: E402
from echopilot_jobs.clock import SystemClock, iso  # noqa: E402
from echopilot_jobs.errors import ConfigError, EchoPilotError, LedgerTooNew  # noqa: E402
from echopilot_jobs.stack import preflight  # noqa: E402
from echopilot_jobs.stack.bootstrap import ended_by_signal, say  # noqa: E402

if TYPE_CHECKING:
    from echopilot_jobs.settings import Settings

USAGE = "usage: bin/stack [install | check | stop]"


@record(frozen=True)
class Facts:
    """What the checks need of the settings."""

    home: Path
    port: int
    socket: Path


def main(arguments: list[str]) -> int:
    """Run one sub-command; `stop` is `stopping`'s, and never comes here. The process's exit code."""
    verbs = {(): run, ("install",): installed, ("check",): check}
    verb = verbs.get(tuple(arguments))
    if verb is None:
        helped = arguments in (["-h"], ["--help"])
        print(USAGE, file=sys.stdout if helped else sys.stderr)
        return 0 if helped else 2
    try:
        return verb()
    except EchoPilotError as error:
        for line in str(error).splitlines():
            say(line)
        return error.exit_code


def installed() -> int:
    """The environment was made on the way here."""
    say(f"environment ready: {sys.executable}")
    return 0


def check() -> int:
    """Settings, supervisord.conf and jobs, without starting anything."""
    facts = _facts()
    path = preflight.configuration(facts.home)
    preflight.folders(facts.home)
    preflight.no_pipes(facts.home)
    preflight.log_files(facts.home)
    preflight.no_mistakes(path)
    preflight.open_files(path)
    for line in apart(_check_jobs):
        say(line)
    say("settings, supervisord.conf and jobs are fine")
    return 0


def run() -> int:
    """Check everything, then be supervisord until asked to stop."""
    os.umask(0o077)
    os.environ["TZ"] = "UTC"
    time.tzset()
    facts = _facts()
    path = preflight.configuration(facts.home)
    preflight.folders(facts.home)
    preflight.no_pipes(facts.home)
    preflight.log_files(facts.home)
    preflight.no_mistakes(path)
    preflight.open_files(path)
    lock = preflight.StackLock(facts.home)
    lock.take()
    preflight.no_other_supervisord(facts.socket)
    if ended := preflight.end_leftovers(facts.socket):
        say(f"ended what a killed stack had left running: pid {', '.join(map(str, ended))}")
    preflight.supervisor_socket(facts.socket)
    preflight.port(facts.port)
    for line in apart(_jobs_to_begin_with):
        say(line)
    for line in apart(_banner):
        with contextlib.suppress(BrokenPipeError):
            print(line, flush=True)  # noqa: T201
    return supervise(path, lock.descriptor)


def apart(work: Callable[[], Any]) -> Any:
    """What *work* returns (as JSON carries it), called in a forked child that is gone afterwards.

    This process becomes supervisord and stays for months; what the settings, the ledger and the web need to be imported
    would triple its memory. A problem is printed by the child and ends this process with the same code; for a child that
    was killed this process speaks.
    """
    read, write = os.pipe()
    with _held_back():
        child = os.fork()
        if child == 0:
            os._exit(_answer(work, write))
        _children.append(child)
    os.close(write)
    with open(read, encoding="utf-8") as pipe:  # noqa: PTH123 - a descriptor, not a path
        text = pipe.read()
    with _held_back():
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        _children.remove(child)
    if how := ended_by_signal(code):  # it could not say so itself, and no exit code of ours is below zero
        say(f"a child of this start, pid {child}, {how}")
        sys.exit(preflight.EX_SOFTWARE)
    if code:
        sys.exit(code)
    return json.loads(text)


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """A TERM or Ctrl-C inside the block counts at its end: whoever ends this process must know whether it has a child."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _answer(work: Callable[[], Any], write: int) -> int:
    """In the child: a Ctrl-C is for both of us, and the parent, who is told what to say, ends this process with its own.

    Not ignored by the kernel's means and not held back, because what is started here would inherit either.
    """
    for number in HANDLED:
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    try:
        text = json.dumps(work())
        with open(write, "w", encoding="utf-8") as pipe:
            pipe.write(text)
    except EchoPilotError as error:
        for line in str(error).splitlines():
            say(line)
        return error.exit_code
    except BaseException:  # a bug: it must end here, in the child
        traceback.print_exc()
        return preflight.EX_SOFTWARE
    return 0


def _facts() -> Facts:
    home, port, socket = apart(_read_settings)
    return Facts(Path(home), port, Path(socket))


def _read_settings() -> tuple[str, int, str]:
    from echopilot_jobs.stack.stopping import settings_in_force

    configuration = settings_in_force()
    return str(configuration.home), configuration.port, str(configuration.supervisor_socket)


def _check_jobs() -> list[str]:
    """Judge the jobs file with all it names; its warnings."""
    from echopilot_jobs import definitions, settings

    configuration = settings.load()
    found = definitions.check(configuration)
    if found.problems:
        raise preflight.Refusal("\n".join(map(str, found.problems)), preflight.EX_CONFIG)
    return [f"warning: {warning}" for warning in (*_not_read(configuration), *found.warnings)]


def _not_read(configuration: Settings) -> list[str]:
    from echopilot_jobs import definitions

    return [line] if (line := definitions.not_read(configuration)) else []


def _jobs_to_begin_with() -> list[str]:
    """See that there is a set of jobs to begin with; what is wrong with a newer one that is not in force."""
    from echopilot_jobs import definitions, settings

    configuration = settings.load()
    found, _ = definitions.begin(configuration, SystemClock().now())
    problems = [str(problem) for problem in found.problems]
    if problems and found.accepted_at is None:
        advice = "mend the jobs file, or move it away to start with the built-in jobs alone"
        raise preflight.Refusal("\n".join([*problems, advice]), preflight.EX_CONFIG)
    if problems and found.accepted_at is not None:
        meanwhile = f"{found.meanwhile} (accepted {iso(found.accepted_at)})"
        problems.append(f"THE JOBS FILE IS NOT IN FORCE: until it is mended, {meanwhile}")
    return [*_not_read(configuration), *problems]


def _banner() -> list[str]:
    """Where to look and what comes next."""
    from echopilot_jobs import definitions, settings
    from echopilot_jobs.web.auth import new_login_link

    configuration = settings.load()
    settings.dashboard_key(configuration)  # made now if there is none: the stack never starts open
    now = SystemClock().now()
    address = _address(configuration.port)
    lines = ["EchoPilot Jobs", f"  dashboard  {address}/", *_warnings(address, configuration.port)]
    try:
        lines.append(f"  log in     {address}{new_login_link(configuration, now)}  (works once, within 15 minutes)")
        upcoming = definitions.in_force(configuration).registry.upcoming(now)[:3]
        lines += [f"  next run   {iso(slot.due_at)}  {slot.job_name}" for slot in upcoming]
    except (ConfigError, LedgerTooNew):
        raise
    except EchoPilotError as error:  # the programs wait for a ledger that is busy; so can its part of the banner
        lines.append(f"  not yet    {error}")
    return [*lines, f"  logs       {configuration.logs_dir}{os.sep}", "  stop       Ctrl-C, or bin/stack stop"]


def _warnings(address: str, port: int) -> list[str]:
    """That nobody can open what is printed, where that is so; behind Replit's domain the port is not seen."""
    from echopilot_jobs.addresses import unopenable

    refused = unopenable(port) if address.endswith(f":{port}") else None
    return [f"  warning    {refused}"] if refused else []


def _address(port: int) -> str:
    domains = os.environ.get("REPLIT_DOMAINS") or os.environ.get("REPLIT_DEV_DOMAIN") or ""
    domain = domains.split(",")[0].strip()
    return f"https://{domain}" if domain else f"http://127.0.0.1:{port}"


def supervise(path: Path, lock_descriptor: int) -> int:
    """supervisord's own main in this process, its ends translated into exit codes."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)  # until supervisord can answer: it cannot be left half made
    from supervisor import supervisord

    _keep_open(lock_descriptor)
    _listen_when_ready()
    try:
        supervisord.main(["-c", str(path), *_as_root()])
    except SystemExit as end:
        # 0 is ours, for a stop before the programs; supervisord says 2 after it printed what it cannot live with.
        return preflight.EX_CONFIG if end.code == 2 else int(end.code or 0)
    except Exception:  # supervisord's main loop broke: say where, and let the platform start us again
        traceback.print_exc()
        say("supervisord gave up; the programs end with it")
        return preflight.EX_SOFTWARE
    return 0


def _as_root() -> list[str]:
    """As root, supervisord warns at every start unless told that this is meant. It needs a passwd entry for that."""
    import pwd

    with contextlib.suppress(KeyError):
        if os.getuid() == 0 and pwd.getpwuid(0):
            return ["-u", "0"]
    return []


def _listen_when_ready() -> None:
    """Have supervisord hear signals as soon as it handles them; if it was asked to stop before that, start nothing."""
    from supervisor.options import ServerOptions

    set_signals = ServerOptions.setsignals

    def setsignals(options: Any) -> None:
        set_signals(options)
        if signal.sigpending() & set(HANDLED):
            say(STOPPED_EARLY)
            sys.exit(0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)

    ServerOptions.setsignals = setsignals


def _keep_open(descriptor: int) -> None:
    """A HUP makes supervisord close all descriptors by number; the lock's must survive it."""
    from supervisor.options import ServerOptions

    def cleanup_fds(options: Any) -> None:
        os.closerange(5, descriptor)
        os.closerange(max(5, descriptor + 1), options.minfds)

    ServerOptions.cleanup_fds = cleanup_fds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
