"""Which environment is used, and when one has to be made."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from echopilot_jobs import processes
from echopilot_jobs.stack import bootstrap
from echopilot_jobs.stack.bootstrap import SetupError
from tests.modes import BOUND_BY_MODES
from tests.process.stacks import eventually

ROOT = Path(__file__).parents[2]


def install(folder: Path, **versions: str) -> None:
    """Make *folder* look as if these packages were installed in it."""
    for name, version in versions.items():
        info = folder / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def make_venv(root: Path, **versions: str) -> Path:
    """A `.venv` as far as files tell, with the running Python in it."""
    venv = root / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    (venv / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).parent}\n")
    packages = venv / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    packages.mkdir(parents=True)
    install(packages, **versions)
    return venv


def stamp(venv: Path, lock: Path) -> None:
    (venv / "stamps.json").write_text(json.dumps({lock.name: bootstrap._digest(lock)}))


@pytest.mark.parametrize(
    ("marker", "holds"),
    [
        ("", True),
        ("sys_platform == 'linux'", True),
        ("sys_platform == 'win32'", False),
        ("sys_platform != 'win32'", True),
        ("platform_python_implementation != 'PyPy'", True),
        ("python_full_version < '3.4'", False),
        ("python_full_version >= '3.9.10' and sys_platform == 'linux'", True),
        ("python_full_version >= '3.9' and sys_platform == 'win32'", False),
        ("sys_platform == 'win32' or python_version >= '3.9'", True),
        ("(python_version >= '3.11' and python_version < '4')", True),
        ("some_future_word == 'x'", True),
        ("nonsense", True),
    ],
)
def test_markers_decide_what_this_platform_needs(marker: str, holds: bool) -> None:
    assert bootstrap.marker_holds(marker) is holds


def test_pins_are_those_of_this_platform(project: Path) -> None:
    assert bootstrap.read_pins(project / "locks" / "base.lock") == {"alpha": "1.2.3", "gamma": "6"}


def test_our_own_locks_are_read_completely() -> None:
    for name, at_least in (("base.lock", 20), ("dev.lock", 40)):
        text = (ROOT / "locks" / name).read_text()
        elsewhere = sum(line.count("sys_platform == 'win32'") for line in text.splitlines())

        pins = bootstrap.read_pins(ROOT / "locks" / name)

        assert len(pins) >= at_least
        assert sum(line[:1].isalpha() for line in text.splitlines()) - len(pins) in (elsewhere, elsewhere + 1)


def test_what_is_missing_or_of_another_version_is_lacking(tmp_path: Path) -> None:
    install(tmp_path, alpha="1.2.3", Beta_Two="4.4")

    assert bootstrap.lacking({"alpha": "1.2.3", "beta-two": "4.5", "gone": "1"}, [str(tmp_path)]) == [
        "beta-two",
        "gone",
    ]


def test_an_environment_that_has_everything_is_used_as_it_is(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(project / "packages", alpha="1.2.3", gamma="6")
    monkeypatch.setattr(sys, "path", [str(project / "packages")])

    assert bootstrap.environment("base.lock", project) == Path(sys.executable)
    assert not (project / ".venv").exists()


def test_the_environment_replit_names_is_used_when_it_has_everything(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", ".pythonlibs")
    lock = project / "locks" / "base.lock"
    libs = project / ".pythonlibs" / "lib" / "python3.11" / "site-packages"

    install(libs, alpha="1.2.3")
    assert bootstrap.ready_python(bootstrap.read_pins(lock), project) is None

    install(libs, gamma="6")
    assert bootstrap.environment(lock.name, project) == project / ".pythonlibs" / "bin" / "python"


def test_a_finished_venv_is_used_without_a_look_inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    lock = project / "locks" / "base.lock"
    venv = make_venv(project)
    stamp(venv, lock)

    assert bootstrap.environment(lock.name, project) == venv / "bin" / "python"


def test_another_lock_file_needs_another_installation(project: Path) -> None:
    lock = project / "locks" / "base.lock"
    stamp(make_venv(project), lock)

    lock.write_text(lock.read_text().replace("1.2.3", "1.2.4"))

    assert bootstrap.ready_venv(lock, project) is None


def test_an_interrupted_installation_is_not_taken_for_a_finished_one(project: Path) -> None:
    lock = project / "locks" / "base.lock"
    venv = make_venv(project, alpha="1.2.3", gamma="6")
    stamp(venv, lock)

    (venv / "installing").touch()

    assert bootstrap.ready_venv(lock, project) is None


def test_a_venv_of_a_python_that_was_upgraded_away_is_made_anew(project: Path) -> None:
    lock = project / "locks" / "base.lock"
    venv = make_venv(project)
    stamp(venv, lock)
    (venv / "bin" / "python").unlink()
    newer = project / "python3.99"
    newer.touch()

    (venv / "bin" / "python").symlink_to(newer)
    assert bootstrap.ready_venv(lock, project) is None

    newer.unlink()
    assert bootstrap.ready_venv(lock, project) is None


def test_a_venv_that_is_the_base_python_by_another_name_is_not_used(project: Path) -> None:
    """Without `pyvenv.cfg` pip would install into the machine's Python."""
    lock = project / "locks" / "base.lock"
    venv = make_venv(project)
    stamp(venv, lock)

    (venv / "pyvenv.cfg").unlink()

    assert bootstrap.ready_venv(lock, project) is None


def test_a_larger_lock_counts_for_the_base_lock_it_contains(project: Path) -> None:
    base, dev = project / "locks" / "base.lock", project / "locks" / "dev.lock"
    dev.write_text(base.read_text() + "tool==1 \\\n    --hash=sha256:00\n")
    venv = make_venv(project, alpha="1.2.3", gamma="6", tool="1")

    assert bootstrap._covered(dev, venv) == {"base.lock": bootstrap._digest(base)}


def test_the_project_and_its_command_are_reachable_from_the_venv(project: Path) -> None:
    venv = make_venv(project, alpha="1.2.3")

    bootstrap._connect(venv, project)

    (packages,) = bootstrap.site_packages(venv)
    assert (Path(packages) / "echopilot_jobs.pth").read_text() == f"{project}\n"
    assert os.access(venv / "bin" / "echopilot", os.X_OK)


def test_a_missing_lock_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="the checkout is incomplete"):
        bootstrap.environment("base.lock", tmp_path)


def test_a_folder_that_cannot_be_written_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    (project / "var").write_text("in the way")

    with pytest.raises(SetupError, match=f"cannot write '{project}/var.*uid {os.getuid()}"):
        bootstrap.environment("base.lock", project)


@pytest.mark.process
def test_a_python_without_venv_is_told_what_to_install(project: Path) -> None:
    code = (
        "import sys; sys.modules['ensurepip'] = None; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "import importlib.util as u; real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'ensurepip' else real(name, *a)\n"
        "from pathlib import Path; from echopilot_jobs.stack import bootstrap\n"
        f"bootstrap.environment('base.lock', Path({str(project)!r}))"
    )

    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert "apt-get install python3-venv" in ended.stderr


NOWHERE = {**os.environ, "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_CONFIG_FILE": os.devnull}


def a_start(project: Path) -> str:
    """The code of a start that has to make the environment of *project*."""
    return (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path; from echopilot_jobs.stack import bootstrap\n"
        "bootstrap.ready_python = lambda *a: None\n"
        f"try: bootstrap.environment('base.lock', Path({str(project)!r}))\n"
        "except bootstrap.SetupError as e: print(e)"
    )


def start(project: Path) -> subprocess.CompletedProcess[str]:
    """Such a start, without a network, to its end."""
    return subprocess.run(
        [sys.executable, "-c", a_start(project)], capture_output=True, text=True, env=NOWHERE, check=False
    )


@pytest.mark.process
@pytest.mark.parametrize("takes_itself_for", ["the base Python", "another environment"])
def test_a_venv_whose_python_is_not_its_own_is_made_anew_and_never_installed_into(
    project: Path, tmp_path: Path, takes_itself_for: str
) -> None:
    venv = make_venv(project)
    if takes_itself_for == "the base Python":
        (venv / "pyvenv.cfg").unlink()
    else:
        (venv / "bin" / "python").unlink()
        (venv / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        (venv / "bin" / "python").chmod(0o755)

    ended = start(project)

    assert "making the Python environment .venv" in ended.stderr
    assert "the package index cannot be reached" in ended.stdout, ended.stderr
    command = [str(venv / "bin" / "python"), "-c", "import sys; print(sys.prefix)"]
    assert subprocess.check_output(command, text=True).strip() == str(venv)


@pytest.mark.process
def test_what_a_killed_start_left_at_work_is_ended_before_the_next_one_begins(project: Path) -> None:
    """The pip that makes pip is a grandchild: nothing tells it that its start was killed."""
    first = subprocess.Popen([sys.executable, "-c", a_start(project)], env=NOWHERE)
    try:
        (orphan,) = eventually(lambda: pips_of(first.pid))
        os.kill(orphan.pid, signal.SIGSTOP)  # it stays at work for as long as nobody ends it
    finally:
        first.kill()
        first.wait()
    was_left = processes.is_alive(orphan)

    ended = start(project)

    is_left = processes.is_alive(orphan)
    processes.end_tree(orphan.pid, 0)
    assert (was_left, is_left) == (True, False)
    assert "ended what a killed start had left at work" in ended.stderr
    assert "the package index cannot be reached" in ended.stdout, ended.stderr


@pytest.mark.process
def test_a_start_that_is_interrupted_leaves_nothing_at_work(project: Path) -> None:
    first = subprocess.Popen([sys.executable, "-c", a_start(project)], env=NOWHERE, stderr=subprocess.DEVNULL)
    try:
        (pip,) = eventually(lambda: pips_of(first.pid))
        os.kill(pip.pid, signal.SIGSTOP)
        first.send_signal(signal.SIGINT)
        first.wait(30)
    finally:
        first.kill()
        first.wait()

    is_left = processes.is_alive(pip)

    processes.end_tree(pip.pid, 0)
    assert not is_left


def pips_of(start: int) -> list[processes.Owner]:
    """The pip at work for a *start* that makes an environment: ensurepip's child, whatever it is called."""
    found = [pid for pid in processes.descendants(start) if processes.ancestors(pid)[0] != start]
    return [processes.owner_of(pid) for pid in found if "pip" in processes.command_line(pid)]


@pytest.mark.process
def test_a_start_that_is_cut_off_while_it_makes_pip_leaves_no_environment_that_seems_whole(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(command: list[str], *_: object, **__: object) -> tuple[int, str]:
        if "ensurepip" in command:
            raise KeyboardInterrupt
        return run(command, project)

    run = bootstrap._run
    monkeypatch.setattr(bootstrap, "_run", cut_off)
    with pytest.raises(KeyboardInterrupt):
        bootstrap._make(project / "locks" / "base.lock", project)
    monkeypatch.undo()
    install(Path(bootstrap.site_packages(project / ".venv")[0]), pip="1")  # as far as it came

    assert "making the Python environment .venv" in start(project).stderr


KILL_ITSELF = "import os; os.kill(os.getpid(), 9)"


@pytest.mark.process
@pytest.mark.parametrize(
    "code",
    [KILL_ITSELF, f"import subprocess, sys; subprocess.run([sys.executable, '-c', {KILL_ITSELF!r}], check=True)"],
)
def test_a_part_of_the_installation_that_is_killed_is_told_with_its_signal(project: Path, code: str) -> None:
    """Itself, or the pip that ensurepip waits for; neither means that a package of the system is missing."""
    with pytest.raises(SetupError) as refused:
        bootstrap._make_part(project / ".venv", "ensurepip", [sys.executable, "-c", f"# ensurepip\n{code}"])

    advice = "memory may have run out: free some, and try again"
    assert str(refused.value) == (
        f"cannot make the environment '{project / '.venv'}': ensurepip was ended by SIGKILL; {advice}"
    )


@pytest.mark.parametrize(
    ("status", "output", "words"),
    [
        (0, "", None),
        (0, "died with <Signals.SIGKILL: 9>", None),
        (1, "no such package", None),
        (-11, "", "was ended by SIGSEGV; try again"),
        (-40, "", "was ended by signal 40; try again"),
    ],
)
def test_only_what_a_signal_ended_is_told_so(status: int, output: str, words: str | None) -> None:
    assert bootstrap.ended_by_signal(status, output) == words


@pytest.mark.process
def test_without_a_network_the_reason_is_said_and_nothing_half_made_is_used(project: Path) -> None:
    """Also what a second start makes of it: it tries again."""
    ended = start(project)

    assert "the package index cannot be reached" in ended.stdout, ended.stderr
    assert bootstrap.ready_venv(project / "locks" / "base.lock", project) is None


@pytest.mark.process
@pytest.mark.parametrize("module", ["bootstrap", "quality", "starting", "stopping"])
def test_what_runs_before_there_is_an_environment_needs_nothing_but_python_itself(module: str) -> None:
    code = f"import echopilot_jobs.stack.{module}"

    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({str(ROOT)!r}); {code}"]
    ended = subprocess.run(command, check=False)

    assert ended.returncode == 0


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the project with an environment that is ready."""
    for name in ("bin", "echopilot_jobs", "locks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    stamp(make_venv(tmp_path), tmp_path / "locks" / "base.lock")
    return tmp_path


def refused(copied: Path, script: str, closed: str) -> str:
    """What *script*, run by a Python without any package, says at its end while the folder *closed* is."""
    command = [*BOUND_BY_MODES, sys.executable, "-I", "-S", str(copied / "bin" / script), "stop"]
    (copied / closed).chmod(0)
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    finally:
        (copied / closed).chmod(0o755)
    assert (ended.returncode, ended.stdout) == (1, "")
    return ended.stderr


SCRIPTS = [path.name for path in sorted((ROOT / "bin").iterdir()) if not path.suffix and path.is_file()]


@pytest.mark.process
@pytest.mark.parametrize("closed", ["echopilot_jobs", "echopilot_jobs/stack"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_who_may_not_enter_the_code_is_told_so_by_every_script(copied: Path, script: str, closed: str) -> None:
    folder = copied / closed

    said = refused(copied, script, closed)

    words = f"cannot enter '{folder}' as uid {os.geteuid()} (mode 0000); run `chmod u+rwx '{folder}'`"
    assert said == f"{script}: {words}\n"


@pytest.mark.process
@pytest.mark.parametrize("closed", [".venv", ".venv/bin"])
@pytest.mark.parametrize("script", sorted({*SCRIPTS} - {"stack"}))  # `bin/stack stop` needs none
def test_who_may_not_enter_the_environment_is_told_so_by_every_script(copied: Path, script: str, closed: str) -> None:
    folder = copied / closed
    stamp(copied / ".venv", copied / "locks" / ("dev.lock" if script in {"check", "lock", "test"} else "base.lock"))

    said = refused(copied, script, closed)

    words = f"cannot enter '{folder}' as uid {os.geteuid()} (mode 0000); run `chmod u+rwx '{folder}'`"
    assert said == f"stack: {words}\n"


@pytest.mark.parametrize("script", ["stack", "entry.py"])
def test_what_bin_stack_begins_with_is_understood_by_any_python_3(script: str) -> None:
    """An old Python must reach the sentence that says what it is too old for."""
    tree = ast.parse((ROOT / "bin" / script).read_text(), feature_version=(3, 4))

    assert not [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr | ast.AnnAssign | ast.NamedExpr)]


def test_bin_stack_hears_a_term_from_its_first_statement_on() -> None:
    tree = ast.parse((ROOT / "bin" / "stack").read_text())

    installs = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "SIGTERM"]
    imports = [node.lineno for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert sum(line < min(installs) for line in imports) == 2, "the TERM handler comes right after signal and sys"
