"""What definitions say about the world is looked at before they are accepted, in real child processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from echopilot_jobs import processes
from echopilot_jobs.definitions import Checked, check
from echopilot_jobs.definitions.importing import Item, import_all
from echopilot_jobs.settings import Settings

EVERY = 'every = "60s"'


@pytest.fixture
def checked(settings: Settings, tmp_path: Path) -> Callable[..., Checked]:
    """Write a jobs file and modules beside it, and judge them."""

    def judge(text: str, **modules: str) -> Checked:
        for name, source in modules.items():
            path = tmp_path.joinpath(*name.split("__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        (tmp_path / "jobs.toml").write_text(text)
        return check(settings)

    return judge


def job(name: str, does: str) -> str:
    return f"[jobs.{name}]\n{EVERY}\n{does}\n"


def only(found: Checked) -> str:
    (problem,) = found.problems
    return str(problem)


def test_a_function_that_can_be_called_is_accepted_whatever_it_prints_at_import(
    checked: Callable[..., Checked],
) -> None:
    source = """
import sys
print("hello" * 100_000)
print("ouch", file=sys.stderr)
def none(): ...
def one(context): ...
def more(context, times=3): ...
async def later(context): ...
"""
    names = ["none", "one", "more", "later"]

    found = checked("".join(job(f"j{n}", f'run = "mine:{name}"') for n, name in enumerate(names)), mine=source)

    assert found.problems == ()
    assert found.registry is not None
    assert {"j0", "j1", "j2", "j3"} <= set(found.registry)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("mime:f", "no module 'mime'; did you mean 'mine'?"),
        ("zzzqqq.x:f", "no module 'zzzqqq'; it is looked for in the project's folder and among the installed packages"),
        ("pack.exprts:f", "no module 'pack.exprts'; did you mean 'pack.exports'?"),
        ("mine:functoin", "no function 'functoin' in 'mine'; did you mean 'function'?"),
        ("mine:NUMBER", "'NUMBER' is of type int; wanted: a function"),
        ("mine:two", "'two' takes (a, b); wanted: nothing, or one argument for the context"),
        ("mine:keyed", "'keyed' takes (context, key); wanted: nothing, or one argument for the context"),
        (
            "mine:written_in_c",
            "'written_in_c' does not say what arguments it takes; wrap it in a function that takes none",
        ),
        ("mine:yields", "'yields' is a generator, whose body would never run; wanted: a function without `yield`"),
        ("mine:ayields", "'ayields' is a generator, whose body would never run; wanted: a function without `yield`"),
        ("broken:f", "importing 'broken' fails at helper.py:2: ZeroDivisionError: division by zero"),
        ("torn:f", "importing 'torn' fails at torn.py:2: SyntaxError: '(' was never closed"),
        ("needs:f", "importing 'needs' fails at needs.py:1: ModuleNotFoundError: No module named 'pandaz'"),
        ("leaves:f", "importing 'leaves' leaves with sys.exit(3); keep that under `if __name__`"),
        ("quits:f", "importing 'quits' ends the process (exit status 7); keep that under `if __name__`"),
        ("crashes:f", "importing 'crashes' ends the process (signal 11); keep that under `if __name__`"),
        ("signals:f", "importing 'signals' ends the process (signal 15); keep that under `if __name__`"),
        (
            "harms:f",
            "importing 'harms' ends the process that watches it (signal 9); leave other processes alone there",
        ),
        ("mute:f", "importing 'mute' fails at mute.py:3: Mute: it cannot say why"),
    ],
)
def test_a_target_that_cannot_be_called_is_refused_with_its_cause_I28(
    checked: Callable[..., Checked], target: str, said: str
) -> None:
    mine = """
NUMBER = 3
written_in_c = type
def function(): ...
def two(a, b): ...
def keyed(context, *, key): ...
def yields(): yield
async def ayields(): yield
"""
    mute = "class Mute(Exception):\n    def __str__(self): raise ValueError\nraise Mute\n"

    found = checked(
        job("fine", 'run = "mine:function"') + job("bad", f'run = "{target}"'),
        mine=mine,
        pack____init__="",
        pack__exports="",
        broken="import helper",
        helper="x = 1\nx / 0",
        torn="\nf(",
        needs="import pandaz",
        leaves="import sys; sys.exit(3)",
        quits="import os; os._exit(7)",
        crashes="import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        signals="import os, signal; os.kill(0, signal.SIGTERM)",
        harms="import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
        mute=mute,
    )

    assert only(found) == f"jobs.toml:6:1: job 'bad': run: came '{target}'; {said}"
    assert found.registry is None


def test_one_import_that_hangs_is_named_and_the_others_are_still_judged(tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text("import time\ntime.sleep(3600)\n")
    (tmp_path / "good.py").write_text("def f(): ...\n")

    answers = import_all(tmp_path, [Item(target="hangs:f"), Item(target="good:f"), Item(target="good:g")], 0.5)

    assert answers.by_item[0].problem == (
        "importing 'hangs' did not end within 0.5 s; move that work into the function"
    )
    assert answers.by_item[1].problem is None
    assert answers.by_item[2].problem is not None


@pytest.mark.parametrize("signal", ["SIGKILL", "SIGTERM", "SIGSTOP"])
def test_an_import_that_harms_its_parent_is_named_and_harms_nobody_who_asks_I28(tmp_path: Path, signal: str) -> None:
    """Also where another import follows at once: only the one that did it is told of."""
    (tmp_path / "harms.py").write_text(f"import os, signal\nos.kill(os.getppid(), signal.{signal})\ndef f(): ...\n")
    (tmp_path / "good.py").write_text("def f(): ...\n")

    answers = import_all(tmp_path, [Item(module="harms"), Item(target="good:f")], 1.0 if signal == "SIGSTOP" else 10.0)

    does = {"SIGKILL": "ends", "SIGTERM": "ends", "SIGSTOP": "stops"}[signal]
    how = {"SIGKILL": "signal 9", "SIGTERM": "signal 15", "SIGSTOP": "SIGSTOP"}[signal]
    assert answers.by_item[0].problem == (
        f"importing 'harms' {does} the process that watches it ({how}); leave other processes alone there"
    )
    assert answers.by_item[1].problem is None
    assert processes.marked(processes.MARK, f"{processes.this_process()}/check") == []


def test_every_import_that_breaks_the_child_is_counted_and_the_rest_says_that_it_was_not_looked_at(
    tmp_path: Path,
) -> None:
    (tmp_path / "quits.py").write_text("import os; os._exit(1)\n")

    answers = import_all(tmp_path, [Item(target=f"quits:f{n}") for n in range(5)])

    problems = [answers.by_item[n].problem for n in range(5)]
    assert all(problem and problem.startswith("importing 'quits' ends the process") for problem in problems[:3])
    assert problems[3:] == ["not looked at, because the imports before it broke off"] * 2


def test_nothing_an_import_started_outlives_the_check_F49(tmp_path: Path) -> None:
    (tmp_path / "starts.py").write_text(
        "import subprocess\n"
        "subprocess.Popen(['sleep', '4711'])\n"
        "subprocess.Popen(['sleep', '4711'], start_new_session=True)\n"
        "subprocess.Popen('(setsid sleep 4711 &) &', shell=True).wait()\n"
        "def f(): ...\n"
    )

    answers = import_all(tmp_path, [Item(target="starts:f")])

    assert answers.by_item[0].problem is None
    assert processes.marked(processes.MARK, f"{processes.this_process()}/check") == []


def test_an_import_sees_its_jobs_variables_and_no_secret_of_ours_S25(
    checked: Callable[..., Checked], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHBOARD_KEY", "correct-horse-battery-staple-9")
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2-hunter2")
    source = """
import os
assert "DASHBOARD_KEY" not in os.environ and "DATABASE_PASSWORD" not in os.environ
if os.environ["PASSWORD"] != "right": raise ValueError(f"wrong password {os.environ['PASSWORD']}")
"""

    found = checked(job("j", 'run = "mine:f"\nenv = { PASSWORD = "${DATABASE_PASSWORD}" }'), mine=source)

    assert "wrong password [DATABASE_PASSWORD]" in only(found)
    assert found.names == ("DATABASE_PASSWORD",)


def test_a_module_named_like_one_of_pythons_own_is_warned_of(checked: Callable[..., Checked]) -> None:
    found = checked(job("j", 'run = "this:f"'), this="def f(): ...")

    (warning,) = found.warnings
    assert found.problems == ()
    assert "module 'this' is named like one of Python's own" in str(warning)


def test_what_a_disabled_job_lacks_is_only_a_warning(checked: Callable[..., Checked]) -> None:
    found = checked(
        job("a", 'run = "missing:f"\nenabled = false') + job("b", 'command = ["missing-program"]\nenabled = false')
    )

    assert found.problems == ()
    assert [warning.job for warning in found.warnings] == ["a", "b"]


def test_programs_and_folders_are_found_as_the_run_will_find_them(
    checked: Callable[..., Checked], tmp_path: Path
) -> None:
    script = tmp_path / "bin" / "export"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)

    found = checked(
        job("on_path", 'command = ["sh", "-c", "true"]')
        + job("in_home", 'command = ["bin/export", "--full"]')
        + job("in_cwd", 'command = ["./export"]\ncwd = "bin"')
        + job("absolute", 'command = ["/bin/sh"]')
        + job("own_path", 'command = ["export"]\nenv = { PATH = "' + str(script.parent) + '" }')
        + job("line", 'command = "no-such-thing | sort"\nshell = true')
    )

    assert [str(problem) for problem in found.problems] == []


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (
            'command = ["bin/exprt"]',
            "command: came 'bin/exprt'; '{home}/bin/exprt' does not exist; did you mean 'export'?",
        ),
        ('command = ["export"]\ncwd = "bin"', "command: came 'export'; not found on PATH; did you mean './export'?"),
        ('command = ["bin"]\ncwd = "."', "command: came 'bin'; not found on PATH"),
        ('command = ["./bin"]', "command: came './bin'; '{home}/bin' is no file; wanted: a program"),
        (
            'command = ["bin/plain"]',
            "'{home}/bin/plain' may not be executed; `chmod +x` it, or name its interpreter first",
        ),
        (
            'command = ["bin/crlf"]',
            "the first line of '{home}/bin/crlf' asks for '/bin/shU+000D', which does not exist",
        ),
        ('command = ["sh"]\ncwd = "bim"', "cwd: came 'bim'; '{home}/bim' does not exist"),
        ('command = ["sh"]\ncwd = "bin/plain"', "cwd: came 'bin/plain'; '{home}/bin/plain' is no folder"),
    ],
)
def test_a_program_that_cannot_be_started_is_refused_with_its_cause_I28(
    checked: Callable[..., Checked], tmp_path: Path, does: str, said: str
) -> None:
    for name, text, mode in (("export", "#!/bin/sh\n", 0o755), ("plain", "", 0o644), ("crlf", "#!/bin/sh\r\n", 0o755)):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_bytes(text.encode())
        (tmp_path / "bin" / name).chmod(mode)

    found = checked(job("j", does))

    assert said.replace("{home}", str(tmp_path)) in only(found)


LONG = "a" * 5000


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ('command = ["true"]\nenv = { PATH = "a\\u0000b" }', "env.PATH: its value is not shown here; wanted: at most"),
        ('run = "mine:f"\nenv = { A = "a\\u0000b" }', "env.A: its value is not shown here; wanted: at most"),
        ('run = "mine:f"\nenv = { "a\\u0000b" = "" }', "env.aU+0000b: came 'aU+0000b'; wanted: a name of letters"),
        ('command = ["bin/a\\u0000b/c"]', "command: came a list; wanted: arguments without NUL"),
        (f'command = ["{LONG}"]', "command: came '{short}; not found on PATH"),
        (f'command = ["./{"a" * 300}"]', "it cannot be looked at as uid {uid}: File name too long"),
        (f'command = ["true"]\ncwd = "{"a" * 300}"', "it cannot be looked at as uid {uid}: File name too long"),
        (f'command = ["true"]\ncwd = "{LONG}"', "cwd: came '{short}; wanted: a folder"),
        (f'command = ["true"]\nenv = {{ PATH = "{LONG}" }}', "not found on PATH (aaa"),
        (f'run = "{LONG}:f"', "(+4,922)'; wanted: 'package.module:function'"),
        (f'command = ["true"]\ntimezone = "{"a/" * 2500}a"', "timezone: came 'a/a/a/"),
        ('command = ["./loop"]', "it cannot be looked at as uid {uid}: Too many levels of symbolic links"),
        ('command = ["./odd"]', "the first line of '{home}/odd' asks for '/aU+0000b', which does not exist"),
    ],
)
def test_what_no_file_and_no_variable_can_be_called_is_one_line_at_its_place_I28(
    checked: Callable[..., Checked], tmp_path: Path, does: str, said: str
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "odd").write_bytes(b"#!/a\0b\n")
    (tmp_path / "odd").chmod(0o755)
    when = 'at = "08:00"\nevery = "1d"' if "timezone" in does else EVERY

    found = checked(f"[jobs.j]\n{when}\n{does}\n", mine="def f(): ...")

    short = f"{'a' * 80}… (+4,920)'"
    assert said.format(short=short, uid=os.getuid(), home=tmp_path) in only(found)
    assert len(only(found)) < 1200
    (problem,) = found.problems
    assert (problem.file, problem.job, problem.line is not None) == ("jobs.toml", "j", True)


def test_half_a_character_in_a_declared_job_is_refused_with_its_module_I28(checked: Callable[..., Checked]) -> None:
    source = "from echopilot_jobs import every, job\n@job(every(5).minutes, env={'A': '\\ud800'})\ndef f(): ..."

    found = checked('modules = ["mine"]\n', mine=source)

    assert "modules: came 'mine'; the jobs 'mine' declares hold what JSON cannot keep" in only(found)
    assert found.problems[0].line == 1


def test_every_mistake_of_file_functions_and_programs_comes_at_once_in_the_order_of_the_file_I28(
    checked: Callable[..., Checked],
) -> None:
    found = checked(
        job("a", 'run = "nowhere:f"')
        + "[jobs.b]\nevery = 'soon'\nrun = 'x:f'\n"
        + job("c", 'command = ["no-such-thing"]')
    )

    assert [(problem.job, problem.field, problem.line) for problem in found.problems] == [
        ("a", "run", 3),
        ("b", "every", 5),
        ("b", "run", 6),
        ("c", "command", 9),
    ]


def test_files_that_were_imported_are_named_so_that_a_change_of_them_is_seen(
    checked: Callable[..., Checked], tmp_path: Path
) -> None:
    found = checked(
        job("a", 'run = "mine:f"') + job("b", 'run = "pack.gone:f"'), mine="import other\ndef f(): ...", other=""
    )

    assert {tmp_path / "mine.py", tmp_path / "other.py", tmp_path / "pack" / "gone.py"} <= found.files
    assert not any("echopilot_jobs" in str(path) for path in found.files - {tmp_path})
    assert os.fspath(tmp_path) not in {str(path) for path in found.files}


CODE = """
from echopilot_jobs import every, job

@job(every(6).hours, retries=2)
def tidy(context):
    "Puts things in order."

@job(every="1h", name="other", enabled=False)
def another(): ...
"""


def test_jobs_declared_in_code_are_defined_beside_those_of_the_file_and_may_be_overridden_there(
    checked: Callable[..., Checked],
) -> None:
    found = checked('modules = ["mine"]\n[jobs.tidy]\nretries = 5\n' + job("plain", 'command = ["sh"]'), mine=CODE)

    assert [str(problem) for problem in found.problems] == []
    assert found.registry is not None
    tidy = found.registry["tidy"]
    assert (str(tidy.trigger), tidy.retries, tidy.description) == ("every 6 h", 5, "Puts things in order.")
    assert str(tidy.action) == "python mine:tidy"
    assert not found.registry["other"].enabled
    assert "plain" in found.registry


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = (", "jobs.toml:1:12: modules: came 'mine'; importing 'mine' fails at mine.py:1: SyntaxError"),
        (
            CODE.replace("context)", "a, b)"),
            "mine:4:1: job 'tidy': run: came 'mine:tidy'; 'tidy' takes (a, b); wanted:",
        ),
        (
            CODE.replace("every(6).hours", "every(6)"),
            "jobs.toml:1:12: modules: came 'mine'; importing 'mine' fails at mine.py:4",
        ),
        (CODE.replace("retries=2", "retries=-2"), "mine:4:1: job 'tidy': retries: came -2; wanted: a whole number"),
    ],
)
def test_mistakes_in_code_are_refused_like_those_of_the_file_I28(
    checked: Callable[..., Checked], source: str, said: str
) -> None:
    assert only(checked('modules = ["mine"]\n', mine=source)).startswith(said)


def test_a_listed_module_that_declares_nothing_is_warned_of(checked: Callable[..., Checked]) -> None:
    found = checked('modules = ["mine"]\n', mine="x = 1")

    assert [str(warning) for warning in found.warnings] == [
        "jobs.toml:1:12: modules: 'mine' declares no job; wanted: a function with `@job`"
    ]
