"""What a run says while it goes on: its log, its progress, the files it leaves; bounded, and believed with care."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echopilot_jobs.clock import iso
from echopilot_jobs.executor import Heard
from echopilot_jobs.executor import report as report_module
from echopilot_jobs.executor.capture import newest_part
from echopilot_jobs.executor.report import SAID_MOST_LINES, Report
from echopilot_jobs.jobs import Command, Python
from echopilot_jobs.runs import Output, State
from tests.executor.runkit import NOON, Project, a_run, job

pytestmark = pytest.mark.process


def test_a_line_of_the_run_s_log_is_readable_in_its_output_and_keeps_its_fields(project: Project) -> None:
    outcome = project.python(
        """
        from datetime import UTC, datetime
        def run(ctx):
            ctx.log.info("loaded", rows=3, name="a b", when=datetime(2026, 3, 1, tzinfo=UTC))
            ctx.log.warning("%d of %d\\nleft", 1, 2)
            ctx.log.debug("%d", "no number", odd=float("nan"), message="mine")
        """
    )

    assert outcome.output.text == (
        "info: loaded rows=3 name=a b when=2026-03-01T00:00:00Z\n"
        "warning: 1 of 2U+000Aleft\n"
        "debug: %d ('no number',) odd=nan message=mine\n"
    )
    assert project.said == [
        ("info", "loaded", {"rows": 3, "name": "a b", "when": "2026-03-01T00:00:00Z"}),
        ("warning", "1 of 2 left", {}),
        ("debug", "%d ('no number',)", {"odd": "nan", "message": "mine"}),
    ]


def test_an_exception_somebody_caught_is_told_with_its_traceback_in_the_output(project: Project) -> None:
    body = (
        "def run(ctx):\n    try:\n        1 / 0\n    except ZeroDivisionError:\n        ctx.log.exception('odd', at=1)"
    )

    outcome = project.python(body)

    assert outcome.state is State.SUCCEEDED
    assert project.said == [("error", "odd", {"at": 1, "exception": "ZeroDivisionError: division by zero"})]
    assert "line 3, in run" in outcome.output.text


def test_progress_is_heard_while_the_run_goes_on(project: Project) -> None:
    """The run waits until somebody has heard it."""
    heard_of = project.home / "heard"
    body = f"""
        import os
        os.mkfifo({str(heard_of)!r})
        def run(ctx):
            ctx.progress(3, 10, note="rows")
            open({str(heard_of)!r}).read()
            for n in range(100_000):
                ctx.progress(n)
            ctx.progress(0.5, None, "nearly")
    """

    def hear(heard: report_module.Heard) -> None:
        if not project.heard:
            heard_of.write_text("go on")
        project.heard.append(heard)

    outcome = project.python(body, hear=hear)

    told = [each.progress for each in project.heard if each.progress]
    assert outcome.state is State.SUCCEEDED
    assert (told[0].done, told[0].total, told[0].note) == (3, 10, "rows")
    assert (told[-1].done, told[-1].total, told[-1].note) == (0.5, None, "nearly")
    assert len(told) < 50


def test_progress_that_is_no_number_of_anything_is_passed_over(project: Project) -> None:
    outcome = project.python(
        """
        def run(ctx):
            ctx.progress(1, 10**400, "too many")
            ctx.progress(float("nan"), 2, "not one")
            ctx.progress(1, 2, "half")
            ctx.progress(10**400)
        """
    )

    told = [each.progress for each in project.heard if each.progress]
    assert (outcome.state, outcome.error) == (State.SUCCEEDED, None)
    assert {each.note for each in told} <= {"half"}


def test_what_a_run_prints_is_heard_while_it_goes_on_lines_of_its_log_among_it(project: Project) -> None:
    """The run waits until somebody has heard it."""
    heard_of = project.home / "heard"
    body = f"""
        import os
        os.mkfifo({str(heard_of)!r})
        def run(ctx):
            print("loading")
            ctx.log.info("loaded", rows=3)
            open({str(heard_of)!r}).read()
            print("done")
    """

    outcome = project.python(body, hear=telling(project, heard_of))

    (so_far,) = [each.output for each in project.heard if each.output]
    assert so_far.text == "loading\ninfo: loaded rows=3\n"
    assert outcome.output.text == "loading\ninfo: loaded rows=3\ndone\n"


def telling(project: Project, heard_of: Path) -> Callable[[Heard], None]:
    """A listener that lets the run go on once it has heard something printed."""

    def hear(heard: Heard) -> None:
        project.heard.append(heard)
        if heard.output and heard_of.is_fifo():
            heard_of.write_text("go on")

    return hear


def test_half_a_secret_is_not_shown_while_the_other_half_is_still_to_come_S25(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOY_TOKEN", "open-sesame-123")
    heard_of = project.home / "heard"
    line = f"mkfifo '{heard_of}'; printf 'with open-ses'; cat '{heard_of}' > /dev/null; printf 'ame-123 done'"
    wanted = job(Command((line,), shell=True), env={"TOKEN": "${DEPLOY_TOKEN}"})

    outcome = project.carry_out(wanted, hear=telling(project, heard_of))

    assert [each.output.text for each in project.heard if each.output] == ["with "]
    assert outcome.output.text == "with [DEPLOY_TOKEN] done"


def test_a_short_run_is_shown_once_by_its_end(project: Project) -> None:
    outcome = project.shell("echo quick")

    assert (outcome.output.text, project.heard) == ("quick\n", [])


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        (Output("ab\ncd\nef\n"), Output("ab\ncd\nef\n")),
        (Output("0123456789\nab\ncd\n"), Output("", "ab\ncd\n", 11)),
        (Output("0123456789" * 3), Output("", "0123456789", 20)),
        (Output("head\n", "tail\n", 7), Output("", "tail\n", 12)),
        (Output("é" * 9), Output("", "é" * 5, 8)),
    ],
)
def test_of_much_that_was_printed_the_newest_whole_lines_are_shown(output: Output, shown: Output) -> None:
    assert newest_part(output, 10) == shown


def test_a_flood_of_words_is_kept_in_bounds_counted_and_costs_no_answer_I14(project: Project) -> None:
    outcome = project.python(
        f"""
        def run(ctx):
            for n in range({SAID_MOST_LINES} + 500):
                ctx.log.info("line", n=n)
            ctx.log.info("x" * 10_000_000, y="z" * 10_000_000)
            return "done"
        """
    )

    assert (outcome.state, outcome.result) == (State.SUCCEEDED, "done")
    assert len(project.said) == SAID_MOST_LINES + 1
    assert project.said[-1] == ("warning", "501 lines more were not kept", {})
    assert project.heard[-1].said[-1].dropped == 501


def test_the_deadline_is_when_this_attempt_will_be_ended(project: Project) -> None:
    body = "import os\ndef run(ctx): return [ctx.deadline.isoformat(), os.environ['ECHOPILOT_DEADLINE']]"

    before = datetime.now(UTC)
    outcome = project.python(body, timeout=60)
    after = datetime.now(UTC)

    deadline = datetime.fromisoformat(outcome.result[0])
    assert before <= deadline - timedelta(seconds=60) <= after
    assert outcome.result[1] == iso(deadline)


def test_an_artefact_is_copied_whole_and_recorded_with_size_and_sum_I23(project: Project) -> None:
    body = """
        from pathlib import Path
        def run(ctx):
            Path("out.csv").write_bytes(b"a,b\\n" * 100_000)
            kept = ctx.artifact("out.csv")
            ctx.artifact(Path("out.csv"), name="again.csv")
            Path("out.csv").unlink()
            return kept.path
    """
    project.write(body)

    outcome = project.carry_out(job(Python("work:run")), a_run(id=7, attempt=1))

    content = b"a,b\n" * 100_000
    assert outcome.result == "logs/artefacts/j/7/out.csv"
    assert [(each.name, each.path) for each in outcome.artefacts] == [
        ("out.csv", "logs/artefacts/j/7/out.csv"),
        ("again.csv", "logs/artefacts/j/7/again.csv"),
    ]
    assert {each.sha256 for each in outcome.artefacts} == {hashlib.sha256(content).hexdigest()}
    assert {each.bytes for each in outcome.artefacts} == {len(content)}
    assert (project.home / outcome.result).read_bytes() == content
    assert sorted(each.name for each in (project.home / "logs/artefacts/j/7").iterdir()) == ["again.csv", "out.csv"]


def test_a_later_attempt_leaves_what_an_earlier_one_recorded_alone_I23(project: Project) -> None:
    project.write("def run(ctx):\n    open('n', 'w').write(str(ctx.attempt))\n    ctx.artifact('n')\n    1 / 0")

    first, second = (project.carry_out(job(Python("work:run")), a_run(id=7, attempt=n)) for n in (1, 2))

    assert [each.path for each in first.artefacts + second.artefacts] == [
        "logs/artefacts/j/7/n",
        "logs/artefacts/j/7/attempt-2/n",
    ]
    assert [(project.home / each.path).read_text() for each in first.artefacts + second.artefacts] == ["1", "2"]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("ctx.artifact('gone')", "FileNotFoundError"),
        ("ctx.artifact('.')", "ValueError: an artefact named"),
        ("ctx.artifact('folder')", "ValueError: 'folder' is no regular file"),
        ("ctx.artifact('link')", "ValueError: 'link' is a link; wanted: the file itself"),
        ("ctx.artifact('fifo')", "ValueError: 'fifo' is no regular file"),
        ("ctx.artifact('huge')", "ValueError: 'huge' has 104,857,601 bytes; allowed: 104,857,600"),
        ("ctx.artifact('file', name='../up')", "ValueError: an artefact named '../up'; wanted: letters"),
        ("ctx.artifact('file', name='.hidden')", "ValueError: an artefact named"),
        ("ctx.artifact('file', name='')", "ValueError: an artefact named"),
        ("ctx.artifact('file', name='a' * 121)", "ValueError: an artefact named"),
        ("[ctx.artifact('file', name=f'f{n}') for n in range(101)]", "ValueError: artefact 'f100' is one too many"),
    ],
)
def test_what_cannot_be_kept_says_why_and_leaves_nothing_half(project: Project, call: str, error: str) -> None:
    (project.home / "folder").mkdir()
    (project.home / "file").write_text("small")
    (project.home / "link").symlink_to("file")
    os.mkfifo(project.home / "fifo")
    with (project.home / "huge").open("wb") as file:
        file.truncate(100 * 1024 * 1024 + 1)

    outcome = project.python(f"def run(ctx): {call}")

    assert outcome.state is State.FAILED
    assert (outcome.error or "").startswith(error)
    assert not [*(project.home / "logs").rglob("*.draft")]


def test_a_file_that_is_not_where_the_run_says_is_not_recorded_I23(project: Project) -> None:
    told = json.dumps({"artefact": {"name": "x", "path": "../../etc/passwd", "bytes": 1, "sha256": ""}})
    body = f"import os\ndef run(ctx):\n    os.write(ctx.voice._descriptor, {told!r}.encode() + b'\\n')"

    outcome = project.python(body)

    assert (outcome.state, outcome.artefacts) == (State.SUCCEEDED, ())


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe garbage",
        b'{"said":5}',
        b'{"said":{"level":"info"}}',
        b'{"said":{"level":"info","message":"m","fields":[]}}',
        b'{"progress":{"done":"x","total":null,"note":""}}',
        b'{"progress":{"done":1e999,"total":null,"note":""}}',
        b'{"progress":7}',
        b'{"answer":null}',
        b'{"answer":{"ok":true,"result":NaN}}',
        b'{"artefact":{}}',
        b'{"what":1}',
        b"[" * 90_000,
        b"x" * 1_000_000,
    ],
)
def test_garbage_in_the_report_is_passed_over_and_counted(line: bytes) -> None:
    report = Report()

    report.add(line + b"\n" + b'{"answer":{"ok":true,"result":1}}\n', NOON)
    heard = report.heard(last=True)

    assert report.answer == {"ok": True, "result": 1}
    assert heard.progress is None
    assert [each.dropped for each in heard.said] == [1]


def test_half_a_character_in_a_field_is_spelled_out_as_in_a_message_I23() -> None:
    """Many a reader of JSON refuses the whole line otherwise."""
    report = Report()
    fields = b'{"k":"\\ud800","deep":[{"\\udfff":"\\u00e9 \\ud83d\\ude00"}],"n":1.5,"none":null}'

    report.add(b'{"said":{"level":"info","message":"\\ud800","fields":' + fields + b"}}\n", NOON)
    (said,) = report.heard().said

    assert said.message == "U+D800"
    assert said.fields == {"k": "U+D800", "deep": [{"U+DFFF": "é 😀"}], "n": 1.5, "none": None}


@given(st.lists(st.binary(max_size=200), max_size=20), st.integers(1, 50))
def test_no_bytes_upset_the_report_however_they_arrive(lines: list[bytes], at_once: int) -> None:
    report, whole = Report(), Report()
    data = b"\n".join([*lines, b'{"answer":{"ok":false,"error":"e"}}', b""])

    whole.add(data, NOON)
    for start in range(0, len(data), at_once):
        report.add(data[start : start + at_once], NOON)

    assert report.answer == whole.answer == {"ok": False, "error": "e", "result": None}
    assert report.heard(last=True) == whole.heard(last=True)


def test_a_run_outside_the_scheduler_speaks_to_standard_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from echopilot_jobs.context import RunContext

    context = RunContext(run_id=1, job_name="j", attempt=1, started_at=NOON, idempotency_key="k")

    context.log.info("by hand", n=1)
    context.progress(1, 2)
    kept = context.artifact(tmp_path / "x.txt")

    assert capsys.readouterr().err == "info: by hand n=1\n"
    assert kept.name == "x.txt"
