"""Finds or makes the Python environment that has everything in a lock file. Nothing but Python's own library here.

Every call of `bin/echopilot` comes through here, so what only an installation needs is imported when one begins.

An environment that already has the locked versions is used as it is: the running one (an activated venv, a container's
Python), or the one Replit names in UV_PROJECT_ENVIRONMENT. Otherwise `.venv` in the project is made and filled.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)\s*(?:;\s*(?P<marker>[^\\]+?))?\s*\\?$")
CLAUSE = re.compile(r"^(?P<name>\w+)\s*(?P<operator>==|!=|<=|>=|<|>)\s*'(?P<value>[^']*)'$")
INSTALLING = "installing"  # in an environment that is being made or filled
INSTALL_MARK = "ECHOPILOT_INSTALL"  # in the environment of all that an installation starts: the project's folder
NETWORK_SIGNS = ("Retrying (", "NewConnectionError", "name resolution", "Network is unreachable", "ConnectTimeout")


class SetupError(Exception):
    """The environment cannot be made; the message is for a person."""


def environment(lock_name: str, root: Path = ROOT) -> Path:
    """The `python` that has everything of `locks/<lock_name>`, made if need be. Raises `SetupError`."""
    lock = root / "locks" / lock_name
    return _ready(lock, root) or _make_in_turn(lock, root)


def _ready(lock: Path, root: Path) -> Path | None:
    """The `python` of an environment that is there already. Raises `SetupError` where `.venv` is closed to this account."""
    try:
        return ready_python(read_pins(lock), root) or ready_venv(lock, root)
    except PermissionError as error:
        from echopilot_jobs.access import unreadable

        raise SetupError(unreadable(error)) from None


def ready_python(pins: dict[str, str], root: Path) -> Path | None:
    """An environment not made by us that has all *pins*: the running one, or the one Replit names."""
    own_venv = Path(sys.prefix).resolve() == (root / ".venv").resolve()
    if not own_venv and _is_the_python3_of_its_folder() and _has_all(pins, sys.path):
        return Path(sys.executable)
    named = os.environ.get("UV_PROJECT_ENVIRONMENT")
    if named and _has_all(pins, site_packages(root / named)):
        return root / named / "bin" / "python"
    return None


def _is_the_python3_of_its_folder() -> bool:
    """False for a python3.12 beside a python3 that is a 3.10: supervisord.conf starts the programs as `python3`."""
    with contextlib.suppress(OSError):
        return Path(sys.executable).with_name("python3").samefile(sys.executable)
    return False


def ready_venv(lock: Path, root: Path) -> Path | None:
    """The `python` of `.venv` if its last installation of this very lock file was finished."""
    venv = root / ".venv"
    python = venv / "bin" / "python"
    whole = not (venv / INSTALLING).exists() and _stamps(venv).get(lock.name) == _digest(lock)
    return python if whole and _intact(venv) else None


def _intact(venv: Path) -> bool:
    """Whether it is an environment still: `bin/python` is its own, and of the version the packages are for.

    Without `pyvenv.cfg` that link is the base Python by another name; after an upgrade of the system it leads to a newer one.
    """
    if not (venv / "pyvenv.cfg").is_file():
        return False
    target = Path(os.path.realpath(venv / "bin" / "python"))
    version = re.search(r"python3\.\d+$", target.name)
    return target.exists() and (version is None or (venv / "lib" / version[0]).is_dir())


def read_pins(lock: Path) -> dict[str, str]:
    """Name to version, of the lines of *lock* whose marker holds for the running Python."""
    try:
        lines = lock.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SetupError(f"cannot read '{lock}': {error.strerror}; the checkout is incomplete") from None
    found = (match for line in lines if (match := PIN.match(line)))
    return {_plain(pin["name"]): pin["version"] for pin in found if marker_holds(pin["marker"] or "")}


def marker_holds(marker: str) -> bool:
    """Whether an environment marker, as uv writes them, holds here. One it cannot read counts as holding."""
    return any(all(map(_clause_holds, option.split(" and "))) for option in marker.split(" or ")) if marker else True


def _clause_holds(clause: str) -> bool:
    match = CLAUSE.match(clause.strip(" ()"))
    if not match:
        return True
    here = {
        "python_version": "{}.{}".format(*sys.version_info),
        "python_full_version": sys.version.split()[0],
        "sys_platform": sys.platform,
        "platform_system": os.uname().sysname,
        "platform_machine": os.uname().machine,
        "platform_python_implementation": {"cpython": "CPython", "pypy": "PyPy"}.get(sys.implementation.name, ""),
        "implementation_name": sys.implementation.name,
        "os_name": os.name,
    }
    if match["name"] not in here:
        return True
    have, want = here[match["name"]], match["value"]
    if match["name"].startswith("python_"):
        return _compare(_numbers(have), match["operator"], _numbers(want))
    return _compare(have, match["operator"], want)


def _compare(have: object, operator: str, want: object) -> bool:
    """Numbers as lists, words as they are; `<` and its like say nothing about words and count as holding."""
    if operator in ("==", "!="):
        return (have == want) is (operator == "==")
    if not isinstance(have, list) or not isinstance(want, list):
        return True
    ordered = {"<": have < want, "<=": have <= want, ">": have > want, ">=": have >= want}
    return ordered[operator]


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def _has_all(pins: dict[str, str], path: list[str]) -> bool:
    """Whether everything of *pins* is on *path*. The names come first: that is quick, and mostly one is missing."""
    names: set[str] = set()
    for folder in path:
        with contextlib.suppress(OSError):
            found = os.listdir(folder or ".")  # noqa: PTH208 - on the way of every command, and ten times as fast
            names.update(_plain(each.partition("-")[0]) for each in found if each.endswith((".dist-info", ".egg-info")))
    return names.issuperset(pins) and not lacking(pins, path)


def lacking(pins: dict[str, str], path: list[str]) -> list[str]:
    """The names among *pins* whose locked version is not installed on *path*; the first folder on it wins."""
    import importlib.metadata

    have: dict[str, str] = {}
    for found in importlib.metadata.distributions(path=path):
        if found.name:  # a half-deleted package has none
            have.setdefault(_plain(found.name), found.version)
    return [name for name, version in pins.items() if have.get(name) != version]


def site_packages(environment: Path) -> list[str]:
    """Where the packages of an environment lie."""
    return [str(folder) for folder in environment.glob("lib/python3*/site-packages")]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _make_in_turn(lock: Path, root: Path) -> Path:
    """Make `.venv`, or wait for whoever is making it right now."""
    with _one_at_a_time(root):
        if done := ready_venv(lock, root):
            return done
        _end_orphans(root)
        try:
            return _make(lock, root)
        except OSError as error:
            where = error.filename or root / ".venv"
            raise SetupError(f"cannot write '{where}' as uid {os.getuid()}: {error.strerror}") from None


@contextlib.contextmanager
def _one_at_a_time(root: Path) -> Iterator[None]:
    path = root / "var" / "install.lock"
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise SetupError(f"cannot write '{path}' as uid {os.getuid()}: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another start is installing right now; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _end_orphans(root: Path) -> None:
    """End what a killed start left at work: its children die with it, the pip that `python -m venv` starts does not.

    The lock is ours, so whatever carries the mark has lost its start. It would write into what is made anew now.
    """
    from echopilot_jobs.processes import end_marked

    if end_marked(str(root), name=INSTALL_MARK):
        say("ended what a killed start had left at work on the Python environment")


def _make(lock: Path, root: Path) -> Path:
    venv = root / ".venv"
    marker = venv / INSTALLING
    python = venv / "bin" / "python"
    if marker.exists() or not _intact(venv) or not _has_pip_of_its_own(venv):
        say("making the Python environment .venv (first start only)")
        _make_venv(venv)
    marker.touch()  # from here on until the stamp is written, an interruption means: all over again
    stamps = _stamps(venv)
    (venv / "stamps.json").unlink(missing_ok=True)
    _install(python, lock, root)
    _connect(venv, root)
    kept = {name: stamp for name, stamp in stamps.items() if _still_there(root / "locks" / name, stamp, venv)}
    (venv / "stamps.json").write_text(json.dumps({**kept, lock.name: _digest(lock), **_covered(lock, venv)}))
    marker.unlink()
    return python


def _has_pip_of_its_own(venv: Path) -> bool:
    """Whether its Python takes *venv* for its home and has a pip: without both, pip would fill another Python's folders."""
    status, output = _run(
        [str(venv / "bin" / "python"), "-c", "import pip._internal.cli.main, sys; print(sys.prefix)"], venv.parent
    )
    home = output.strip().rpartition("\n")[2]
    return status == 0 and Path(home).resolve() == venv.resolve()


def _make_venv(venv: Path) -> None:
    import importlib.util

    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise SetupError(
            f"{sys.executable} cannot make environments, its venv module is missing; on Debian or Ubuntu: "
            "`apt-get install python3-venv`, then start again"
        )
    _make_part(venv, "venv", [sys.executable, "-m", "venv", "--clear", "--without-pip", str(venv)])
    (venv / INSTALLING).touch()  # a pip that was cut off half way cannot be told from a whole one
    _make_part(venv, "ensurepip", [str(venv / "bin" / "python"), "-Im", "ensurepip", "--upgrade", "--default-pip"])


def _make_part(venv: Path, name: str, command: list[str]) -> None:
    status, output = _run(command, venv.parent)
    if how := ended_by_signal(status, output):
        raise SetupError(f"cannot make the environment '{venv}': {name} {how}")
    if status != 0:
        hint = "; on Debian or Ubuntu: `apt-get install python3-venv`" if "ensurepip" in output else ""
        raise SetupError(f"cannot make the environment '{venv}'{hint}\n{_end_of(output)}")


def _install(python: Path, lock: Path, root: Path) -> None:
    total = len(read_pins(lock))
    say(f"installing {total} packages from locks/{lock.name}")
    arguments = [
        "--require-virtualenv",
        "install",
        "--require-hashes",
        "--no-deps",
        "--no-input",
        "--disable-pip-version-check",
    ]
    quick = ["--retries", "2", "--timeout", "15", "--progress-bar", "off", "--root-user-action", "ignore"]
    status, output = _run([str(python), "-m", "pip", *arguments, *quick, "-r", str(lock)], root, show_of=total)
    if status == 0:
        return
    if how := ended_by_signal(status, output):
        raise SetupError(f"cannot install locks/{lock.name}: pip {how}")
    if any(sign in output for sign in NETWORK_SIGNS):
        raise SetupError("the package index cannot be reached; check the network (or pip's settings) and start again")
    if "THESE PACKAGES DO NOT MATCH THE HASHES" in output:
        raise SetupError(
            f"a downloaded package is not the one in locks/{lock.name}; nothing was run\n{_end_of(output)}"
        )
    raise SetupError(f"pip could not install locks/{lock.name}\n{_end_of(output)}")


def ended_by_signal(status: int, output: str = "") -> str | None:
    """Which signal ended a process, or by its *output* the Python it waited for, and what to do; None when none did."""
    told = re.search(r"died with <Signals\.(\w+):", output)
    if status < 0:
        name = next((each.name for each in signal.Signals if each == -status), f"signal {-status}")
    elif status and told:
        name = told[1]
    else:
        return None
    return f"was ended by {name}; {'memory may have run out: free some, and ' if name == 'SIGKILL' else ''}try again"


def _connect(venv: Path, root: Path) -> None:
    """Make the package importable and give the environment its `echopilot` command."""
    for folder in site_packages(venv):
        (Path(folder) / "echopilot_jobs.pth").write_text(f"{root}\n", encoding="utf-8")
    command = venv / "bin" / "echopilot"
    # Through sh, because the kernel limits the length of a first line and the project may lie deep.
    command.write_text('#!/bin/sh\nexec "$(dirname "$(readlink -f "$0")")/python" -m echopilot_jobs "$@"\n')
    command.chmod(0o755)


def _covered(lock: Path, venv: Path) -> dict[str, str]:
    """The stamp of base.lock, when installing a larger lock has fulfilled it on the way."""
    base = lock.with_name("base.lock")
    return {base.name: _digest(base)} if base.exists() and _still_there(base, _digest(base), venv) else {}


def _still_there(lock: Path, stamp: str, venv: Path) -> bool:
    return lock.exists() and _digest(lock) == stamp and not lacking(read_pins(lock), site_packages(venv))


def _stamps(venv: Path) -> dict[str, str]:
    with contextlib.suppress(OSError, ValueError):
        stamps = json.loads((venv / "stamps.json").read_text(encoding="utf-8"))
        return stamps if isinstance(stamps, dict) else {}
    return {}


def _digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def _run(command: list[str], root: Path, show_of: int = 0) -> tuple[int, str]:
    """Exit status and output of *command*; with *show_of*, pip's progress out of that many on one line."""
    import subprocess  # nosec B404

    from echopilot_jobs.processes import die_with_parent, end_tree

    seen: list[str] = []
    ourselves = os.getpid()
    with subprocess.Popen(  # nosec B603
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**_clean_environment(), INSTALL_MARK: str(root)},
        # A pip that outlives a killed start would write into what the next start makes anew.
        preexec_fn=lambda: die_with_parent(signal.SIGKILL, ourselves),  # noqa: PLW1509 - one thread only here
    ) as process:
        try:
            for line in process.stdout or ():
                seen.append(line)
                if show_of and line.startswith("Collecting "):
                    _progress(sum(entry.startswith("Collecting ") for entry in seen), show_of)
            process.wait()
        finally:
            if process.poll() is None:  # a TERM to us must not leave pip behind, nor what pip has started
                end_tree(process.pid, 0)
    if show_of and sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    return process.returncode, "".join(seen)


def _clean_environment() -> dict[str, str]:
    """What would bend pip or the new Python towards another environment is left out."""
    bending = {"PYTHONHOME", "PYTHONPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV"}
    return {name: value for name, value in os.environ.items() if name not in bending}


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K  {done} of {total}")
        sys.stderr.flush()


def _end_of(output: str) -> str:
    return "\n".join(f"  {line}" for line in output.strip().splitlines()[-8:])


def say(sentence: str) -> None:
    """One line on standard error."""
    print(f"stack: {sentence}", file=sys.stderr, flush=True)  # noqa: T201 - the launcher's voice


def start(module: str, arguments: list[str], *, install: bool = True, root: Path = ROOT) -> None:
    """Become `python -m module arguments` in the right environment, same process. Exits 1 when there is none."""
    lock = root / "locks" / "base.lock"
    try:
        python = _ready(lock, root)
        if not python and not install:
            raise SetupError("the Python environment is not made yet; run `bin/stack` (or `bin/stack install`) first")
        python = python or environment(lock.name, root)
    except SetupError as error:
        say(str(error))
        sys.exit(1)
    # -P and PYTHONPATH: the project is importable from any folder, and that folder cannot shadow a module.
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(root), *([inherited] if inherited else [])])
    os.environ["PATH"] = os.pathsep.join([str(python.parent), os.environ.get("PATH", os.defpath)])
    if install:  # the launcher: a signal before the new program's first statement stays pending, not lost
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    os.execv(python, [str(python), "-P", "-m", module, *arguments])  # nosec B606
