"""Python jobs: what may be a job's function, and that each run begins and ends as a program of its own would."""

from __future__ import annotations

import sys

import pytest

from echopilot_jobs.jobs import Param, Python
from echopilot_jobs.runs import State
from tests.executor.runkit import Project, a_run, job

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    "definition",
    [
        "def run(ctx): return ctx.job_name",
        "def run(anything): return anything.job_name",
        "def run(ctx=None): return ctx.job_name",
        "def run(ctx, *, dry=False): return ctx.job_name",
        "def run(): return 'j'",
        "def run(days=7): return 'j' if days == 7 else days",
        "def run(*args, **kwargs): return 'j' if not args else args",
        "async def run(ctx): return ctx.job_name",
        "async def run(): return 'j'",
        "import functools\nasync def work(name, ctx): return name\nrun = functools.partial(work, 'j')",
        "class Run:\n    def __call__(self, ctx): return ctx.job_name\nrun = Run()",
        "class Run:\n    def __init__(self): self.name = 'j'\ndef run(): return Run().name",
    ],
)
def test_a_function_of_no_argument_or_of_the_context_is_a_job_async_or_not(project: Project, definition: str) -> None:
    outcome = project.python(definition)

    assert (outcome.state, outcome.result, outcome.error) == (State.SUCCEEDED, "j", None)


@pytest.mark.parametrize(
    ("definition", "error"),
    [
        ("def run(a, b): pass", "'work:run' needs the arguments a, b; wanted: no argument, or one, the run's context"),
        ("def run(*, dry): pass", "'work:run' needs the arguments dry; wanted: no argument, or one"),
        ("def run(ctx): yield 1", "'work:run' is a generator, and nobody would run it"),
        ("async def run(ctx): yield 1", "'work:run' is a generator, and nobody would run it"),
        ("run = 5", "no function 'run' in module 'work'; wanted: 'package.module:function'"),
    ],
)
def test_what_cannot_be_a_job_says_what_is_wanted(project: Project, definition: str, error: str) -> None:
    outcome = project.python(definition)

    assert outcome.state is State.FAILED
    assert error in (outcome.error or "")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("import sys\ndef run(): sys.exit(3)", "ended without an answer: exit status 3"),
        ("import sys\ndef run(): sys.exit('no money')", "ended without an answer: exit status 1"),
        ("def run(): raise KeyboardInterrupt", "KeyboardInterrupt:"),
        ("import asyncio\nasync def run(): raise asyncio.CancelledError", "CancelledError:"),
        ("class Odd(Exception):\n    def __str__(self): return self.no\ndef run(): raise Odd", "Odd"),
        ("import atexit, os\ndef run(): atexit.register(os._exit, 4)", "returned, and then ended badly: exit status 4"),
        (
            "import os\nclass E(Exception): pass\nasync def run(): raise ExceptionGroup('two', [E('a')])",
            "ExceptionGroup: two",
        ),
    ],
)
def test_an_end_that_is_no_return_is_told_as_it_was_I11_F54(project: Project, body: str, error: str) -> None:
    outcome = project.python(body)

    assert outcome.state is State.FAILED
    assert (outcome.error or "").startswith(error)


def test_threads_are_joined_exit_functions_run_and_open_files_are_written(project: Project) -> None:
    outcome = project.python(
        """
        import atexit, threading
        file = open("left-open.txt", "w")

        def run():
            may_go = threading.Event()
            atexit.register(print, "goodbye")
            threading.Thread(target=lambda: (may_go.wait(), print("the thread"))).start()
            threading.Thread(target=threading.Event().wait, daemon=True).start()
            file.write("all of it")
            may_go.set()
            return "returned"
        """
    )

    assert (outcome.state, outcome.result) == (State.SUCCEEDED, "returned")
    assert outcome.output.text == "the thread\ngoodbye\n"
    assert (project.home / "left-open.txt").read_text() == "all of it"


def test_a_fork_of_the_job_that_comes_back_does_not_answer_for_it(project: Project) -> None:
    outcome = project.python(
        """
        import os
        def run():
            if pid := os.fork():
                os.waitpid(pid, 0)
                return "parent"
            return "fork"
        """
    )

    assert (outcome.state, outcome.result) == (State.SUCCEEDED, "parent")


def test_worker_processes_of_a_job_find_its_module(project: Project) -> None:
    outcome = project.python(
        """
        import multiprocessing
        def double(n): return 2 * n
        def run():
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                return pool.map(double, [1, 2])
        """
    )

    assert (outcome.state, outcome.result) == (State.SUCCEEDED, [2, 4])


def test_an_edit_counts_from_the_next_run_on(project: Project) -> None:
    answers = [project.python(body).result for body in ("def run(): return 1", "def run(): return 'two'")]

    assert answers == [1, "two"]


def test_the_user_s_module_is_imported_in_the_child_alone_and_found_before_others(project: Project) -> None:
    project.write("X = 'ours'", "antigravity.py")

    outcome = project.python("import antigravity, sys\ndef run(): return [antigravity.X, sys.path[0], sys.argv[0]]")

    assert outcome.result == ["ours", str(project.home), "work:run"]
    assert "work" not in sys.modules


def test_the_traceback_begins_with_the_job_s_own_code(project: Project) -> None:
    outcome = project.python("def run(ctx):\n    return inner()\ndef inner():\n    raise RuntimeError('here')")

    lines = outcome.output.text.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[1].endswith('work.py", line 2, in run')
    assert lines[-1] == "RuntimeError: here"


def test_one_job_s_mischief_does_not_reach_the_next_I15_F54(project: Project) -> None:
    mischief = """
        import gc, locale, os, signal, sys, threading
        def run():
            os.chdir("/"); os.umask(0o777); os.environ["HOME"] = "nowhere"; sys.path.clear(); sys.modules.clear()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            gc.disable()
            os._exit(7)
    """
    project.python(mischief)

    outcome = project.python(
        """
        import gc, os, signal
        def run():
            term = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
            return [os.getcwd(), os.umask(0), os.environ.get("HOME") != "nowhere", term, gc.isenabled()]
        """
    )

    assert outcome.result == [str(project.home), 0o077, True, True, True]


def test_a_run_starts_where_its_definition_says(project: Project) -> None:
    (project.home / "data").mkdir()

    inside = project.python("import os\ndef run(): return os.getcwd()", cwd="data")
    command = project.shell("pwd", cwd="data")
    nowhere = project.shell("pwd", cwd="gone")

    assert inside.result == str(project.home / "data")
    assert command.output.text == f"{project.home}/data\n"
    assert (nowhere.state, nowhere.error) == (State.FAILED, "cannot start in 'gone': No such file or directory")


def test_params_come_whole_with_defaults_and_what_does_not_fit_fails_the_run(project: Project) -> None:
    params = {"day": Param("date"), "rows": Param("integer", default=5), "dry": Param("boolean", default=True)}
    wanted = job(Python("work:run"), params=params)
    project.write("import os\ndef run(ctx): return [dict(ctx.params), os.environ['ECHOPILOT_PARAM_DRY']]")

    given = project.carry_out(wanted, a_run(params={"day": "2026-03-01"}))
    wrong = project.carry_out(wanted, a_run(params={"row": 1}))

    assert given.result == [{"day": "2026-03-01", "rows": 5, "dry": True}, "true"]
    assert wrong.state is State.FAILED
    assert "has no parameter 'row'; did you mean 'rows'?" in (wrong.error or "")


def test_a_secret_is_filled_in_at_the_start_and_hidden_wherever_the_run_repeats_it_S21_I29(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOY_TOKEN", "open-sesame-123")
    body = """
        import os
        def run(ctx):
            token = os.environ["TOKEN"]
            print("token", token)
            ctx.log.info(f"using {token}", token=token)
            ctx.progress(1, 2, note=token)
            return {"n": len(token), token: [token]}
    """

    outcome = project.python(body, env={"TOKEN": "Bearer ${DEPLOY_TOKEN}"})
    failed = project.python("import os\ndef run(): raise ValueError(os.environ['T'])", env={"T": "${DEPLOY_TOKEN}"})

    assert "open-sesame" not in repr(outcome) + repr(failed) + repr(project.heard)
    assert outcome.result == {"n": 22, "Bearer [DEPLOY_TOKEN]": ["Bearer [DEPLOY_TOKEN]"]}
    assert outcome.output.text.startswith("token Bearer [DEPLOY_TOKEN]\n")
    assert failed.error == "ValueError: [DEPLOY_TOKEN]"


def test_a_kept_file_is_not_called_by_a_secret_S25(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOY_TOKEN", "open-sesame-123")
    (project.home / "of-open-sesame-123.csv").write_text("1,2\n", encoding="ascii")
    body = "import os\ndef run(ctx): ctx.artifact(f'of-{os.environ[\"T\"]}.csv')"

    (kept,) = project.python(body, env={"T": "${DEPLOY_TOKEN}"}).artefacts

    assert kept.name == "of-[DEPLOY_TOKEN].csv"
    assert (project.home / kept.path).read_text(encoding="ascii") == "1,2\n"
    assert not list((project.home / "logs").rglob("*sesame*"))


def test_a_name_the_environment_lacks_fails_the_run_with_that_name_and_starts_nothing(project: Project) -> None:
    outcome = project.shell("touch started", env={"TOKEN": "${NO_SUCH_TOKEN}"})

    assert (outcome.state, outcome.exit_status) == (State.FAILED, None)
    assert (outcome.error or "").startswith("${NO_SUCH_TOKEN} is not set in the scheduler's environment")
    assert not (project.home / "started").exists()


def test_a_job_cannot_say_that_it_is_another_run(project: Project) -> None:
    outcome = project.shell("echo $ECHOPILOT_ATTEMPT $GREETING", env={"ECHOPILOT_ATTEMPT": "9", "GREETING": "hello"})

    assert outcome.output.text == "2 hello\n"
