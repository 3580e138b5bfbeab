"""`bin/test` and `bin/check`: the locked tools in their environment, phase by phase, with the time each took.

Nothing but Python's own library here, like bootstrap: it runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess  # nosec B404
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from echopilot_jobs.processes import die_with_parent
from echopilot_jobs.stack.bootstrap import ROOT, SetupError, environment, say

SCRIPTS = ("simulate", "soak", "stack", "supervisorctl", "echopilot", "test", "check", "lock")
PLAYED = "tests/simulator"
Phase = tuple[str, Callable[[], int]]


class Program(NamedTuple):
    """A program that tests drive, under any of its *names*."""

    package: str
    names: tuple[str, ...]
    without: str


PROGRAMS = (
    Program(
        "chromium",
        ("chromium", "chromium-browser", "google-chrome"),
        "the tests marked 'browser' are left out",
    ),
    Program("openssl", ("openssl",), "the tests of TLS certificates fail"),
)


def test(arguments: list[str]) -> int:
    """Everything under tests/, or what *arguments* say to pytest. The exit code."""
    return _run_phases(lambda tools: _test_phases(tools, arguments))


def check(arguments: list[str]) -> int:
    """The linters, then the tests. Every one speaks even when one before it found something."""
    scripts = [f"bin/{name}" for name in SCRIPTS]
    return _run_phases(
        lambda tools: [
            ("ruff", lambda: _tool(tools, "ruff", "check", ".")),
            ("format", lambda: _tool(tools, "ruff", "format", "--check", ".", *scripts)),
            ("mypy", lambda: _tool(tools, "mypy", "--strict")),
            ("deptry", lambda: _tool(tools, "deptry", ".")),
            ("bandit", lambda: _tool(tools, "bandit", "-q", "-c", "pyproject.toml", "-r", "echopilot_jobs")),
            *_test_phases(tools, arguments),
        ]
    )


def lock(_arguments: list[str]) -> int:
    """Make the lock files anew from pyproject.toml."""
    common = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--no-emit-index-url"]
    make = ["pip", "compile", "../pyproject.toml", *common, "--no-annotate", "--quiet"]
    dev = ["--group", "../pyproject.toml:dev"]
    folder = ROOT / "locks"
    return _run_phases(
        lambda tools: [
            ("base.lock", lambda: _tool(tools, "uv", *make, "-o", "base.lock", cwd=folder)),
            ("dev.lock", lambda: _tool(tools, "uv", *make, *dev, "-o", "dev.lock", cwd=folder)),
        ]
    )


def _test_phases(tools: Path, arguments: list[str]) -> list[Phase]:
    return [("programs", _system), ("tests", lambda: _pytest(tools, arguments))]


def _pytest(tools: Path, arguments: list[str]) -> int:
    """What *arguments* say or, without any, everything.

    The simulator's tests wait for nothing and nothing waits for them: their time is virtual. So they are played beside the
    others, on whatever the others leave of the processors, and told of at the end.
    """
    if arguments:
        return _tool(tools, "pytest", *arguments)
    with tempfile.TemporaryFile() as told, _beside(tools, PLAYED, told) as played:
        code = _tool(tools, "pytest", f"--ignore={PLAYED}")
        played_code = played.wait()
        told.seek(0)
        sys.stdout.flush()
        shutil.copyfileobj(told, sys.stdout.buffer)
        sys.stdout.flush()
    return code or played_code


@contextlib.contextmanager
def _beside(tools: Path, folder: str, told: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """The tests of *folder*, running while the block does and giving way to it; what they say goes to *told*."""
    ourselves = os.getpid()

    def give_way() -> None:
        os.nice(10)
        die_with_parent(signal.SIGTERM, ourselves)

    # A cache of its own, or the two would write over what the other found.
    command = [str(tools / "pytest"), "-o", f"cache_dir=.pytest_cache/{Path(folder).name}", folder]
    with subprocess.Popen(  # nosec B603
        command,
        cwd=ROOT,
        env=_surroundings(tools),
        stdin=subprocess.DEVNULL,
        stdout=told,
        stderr=told,
        preexec_fn=give_way,  # noqa: PLW1509 - one thread only here
    ) as process:
        try:
            yield process
        finally:
            process.terminate()  # no effect on one that has ended


def _run_phases(phases: Callable[[Path], list[Phase]]) -> int:
    """Make the environment and run all phases in it; the first failure decides the exit code."""
    began = time.monotonic()
    try:
        tools = environment("dev.lock").parent
    except SetupError as error:
        say(str(error))
        return 1
    worst, times = 0, [f"environment {time.monotonic() - began:.1f} s"]
    for name, work in phases(tools):
        began = time.monotonic()
        code = work()
        times.append(f"{name} {time.monotonic() - began:.1f} s{' (failed)' if code else ''}")
        worst = worst or code
    say(", ".join(times))
    return worst


def _tool(tools: Path, name: str, *arguments: str, cwd: Path = ROOT) -> int:
    command = [str(tools / name), *arguments]
    return subprocess.run(command, cwd=cwd, env=_surroundings(tools), check=False).returncode  # nosec B603


def _surroundings(tools: Path) -> dict[str, str]:
    path = os.pathsep.join([str(tools), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}


def _system() -> int:
    """The programs that tests drive: there, or installed as root, or a word about what cannot be tried without them."""
    missing = [each for each in PROGRAMS if not _has(each)]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        say(f"installing {', '.join(each.package for each in missing)} for the tests")
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-y", "-qq", *(m.package for m in missing)],
        ):
            surroundings = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(command, env=surroundings, check=False, stdout=sys.stderr)  # nosec B603
        missing = [each for each in missing if not _has(each)]
    for each in missing:
        say(f"no {each.package}: {each.without}; `apt-get install {each.package}` brings it")
    return 1 if missing and os.environ.get("CI", "").lower() == "true" else 0


def _has(program: Program) -> bool:
    return any(shutil.which(name) for name in program.names)
