"""`@job` notes what a table of `jobs.toml` would say, and leaves the function as it is."""

from __future__ import annotations

import functools
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest

from echopilot_jobs import Param, builtin, declaring, every, job
from echopilot_jobs.errors import ConfigError
from echopilot_jobs.jobs import Job
from echopilot_jobs.jobsfile import Document, compose
from echopilot_jobs.jobsfile.keys import keys_of
from echopilot_jobs.jobsfile.tables import JobTable
from echopilot_jobs.settings import Settings
from echopilot_jobs.triggers import Cron, DailyAt, Every, Until, Weekly


@pytest.fixture(autouse=True)
def nothing_declared() -> Iterator[None]:
    kept = dict(declaring._declared)
    declaring.clear()
    yield
    declaring.clear()
    declaring._declared.update(kept)


def work(_ctx: Any) -> None:
    """Does the work. And says more about it
    than anybody reads.

    Not to mention this.
    """


def other() -> None:
    pass


def loud(function: Any) -> Any:
    """A decorator of the user's own."""

    @functools.wraps(function)
    def around(*args: Any) -> Any:
        return function(*args)

    return around


@loud
def wrapped() -> None:
    pass


def composed(settings: Settings) -> dict[str, Job]:
    """The jobs that come of what is declared now, as the scheduler composes them."""
    tables = {
        each["name"]: {key: value for key, value in each.items() if key not in ("name", "module", "line")}
        for each in declaring.declared()
    }
    found = compose(builtin.document(settings), code=[Document("mine", {"jobs": tables}, {})], environ={})
    return {name: made for name, made in found.registry.items() if name in tables}


def test_a_declaration_gives_the_function_back_and_says_where_it_is() -> None:
    given = job(every="6h")(work)

    (table,) = declaring.declared()
    assert given is work
    assert table["run"] == f"{__name__}:work"
    assert table["line"] == inspect.getsourcelines(work)[1]
    assert (table["name"], table["description"], table["every"]) == ("work", "Does the work.", "6h")


@pytest.mark.parametrize(
    ("said", "rule"),
    [
        (job(every(6).hours), Every(timedelta(hours=6))),
        (job(every().day.at("08:00")), DailyAt(time(8))),
        (job(every().day.at("08:00", "Europe/Riga")), DailyAt(time(8), "Europe/Riga")),
        (job(every().monday), Weekly([0], time(0))),
        (job(DailyAt(time(7, 30))), DailyAt(time(7, 30))),
        (job(cron="15 2 * * 1-5", timezone="Europe/Riga"), Cron("15 2 * * 1-5", "Europe/Riga")),
        (job(every="day", at=time(9, 30)), DailyAt(time(9, 30))),
        (job(every=["monday", "friday"], at="09:30"), Weekly([0, 4], time(9, 30))),
        (
            job(every="1h", until=datetime(2030, 1, 1, tzinfo=UTC)),
            Until(Every(timedelta(hours=1)), datetime(2030, 1, 1, tzinfo=UTC)),
        ),
    ],
    ids=str,
)
def test_a_schedule_may_be_said_in_any_of_its_ways(settings: Settings, said: Any, rule: Any) -> None:
    said(work)

    assert composed(settings)["work"].trigger == rule


def test_every_other_key_means_what_it_means_in_the_file(settings: Settings) -> None:
    declare = job(
        every(10).minutes.tag("b", "a"),
        name="sync",
        description="Mine.",
        timeout=timedelta(minutes=20),
        retries=3,
        retry_on=["http 5xx"],
        catch_up="all",
        catch_up_window="12h",
        overlap="allow(3)",
        group="db",
        priority=5,
        env={"A": "1"},
        cwd="work",
        idempotent=True,
        jitter=timedelta(seconds=30),
        params={"day": Param("date"), "kind": {"type": "text", "choices": ["x", "y"], "default": "x"}},
        on_failure=["ops"],
        on_recovery=("ops",),
        enabled=False,
        on_startup=True,
    )
    declare(work)

    made = composed(settings)["sync"]
    assert (made.timeout, made.retries, made.retry_on) == (timedelta(minutes=20), 3, ("http 5xx",))
    assert (made.catch_up, made.window, made.overlap, made.max_instances) == ("all", timedelta(hours=12), "allow", 3)
    assert (made.tags, made.group, made.priority, made.env, made.cwd) == (("a", "b"), "db", 5, {"A": "1"}, "work")
    assert (made.idempotent, made.jitter, made.enabled, made.on_startup) == (True, timedelta(seconds=30), False, True)
    assert (made.on_failure, made.on_recovery, made.description) == (("ops",), ("ops",), "Mine.")
    assert made.params == {"day": Param("date"), "kind": Param("text", "x", choices=("x", "y"))}


def test_the_decorator_takes_every_key_of_the_file_and_no_other() -> None:
    keywords = {name for name, each in inspect.signature(job).parameters.items() if each.kind is each.KEYWORD_ONLY}

    assert keywords - {"name"} == set(keys_of(JobTable)) - {"run", "command", "shell", "http"}


class Holder:
    def method(self) -> None:
        pass


def test_what_no_child_could_find_by_name_is_refused_in_one_line() -> None:
    def nested() -> None:
        pass

    for thing in (nested, lambda: None, Holder.method, Holder(), print):
        with pytest.raises(ConfigError, match=r"@job on '.*wanted: a function") as refused:
            job(every="6h")(thing)
        assert "\n" not in str(refused.value)


def test_a_decorator_without_its_brackets_says_so() -> None:
    with pytest.raises(ConfigError, match=r"@job before 'work' says no schedule; wanted: @job\(every='6h'\)"):
        job(work)  # type: ignore[arg-type]


def test_two_jobs_of_one_name_are_refused_with_both_places_I28() -> None:
    line = inspect.getsourcelines(work)[1]
    job(every="6h")(work)

    for function in (other, work):
        with pytest.raises(
            ConfigError, match=rf"two jobs are named 'work': .*:work on line {line} and .*use name=…"
        ) as no:
            job(every="7h", name="work")(function)
        assert "\n" not in str(no.value)
    job(every="7h", name="work_again")(work)
    assert [(table["name"], table["every"]) for table in declaring.declared()] == [("work", "6h"), ("work_again", "7h")]


def test_a_module_that_is_run_again_declares_its_jobs_anew_and_one_that_says_a_name_twice_is_refused_I28() -> None:
    text = "from echopilot_jobs import job\n@job(every='6h')\ndef nightly(): pass\n"
    once, twice = compile(text, "again.py", "exec"), compile(f"{text}{text}", "again.py", "exec")

    for _ in range(2):
        exec(once, {"__name__": "again"})
    assert [table["line"] for table in declaring.declared()] == [2]
    with pytest.raises(ConfigError, match="'nightly': again:nightly on line 2 and again:nightly on line 5"):
        exec(twice, {"__name__": "again"})


def test_the_line_is_the_functions_own_though_it_is_wrapped() -> None:
    job(every="6h")(wrapped)

    (table,) = declaring.declared()
    assert table["run"] == f"{__name__}:wrapped"
    assert table["line"] == inspect.getsourcelines(wrapped)[1]


def test_defaults_that_are_false_or_zero_or_empty_stay_defaults(settings: Settings) -> None:
    params = {
        "dry": Param("boolean", False),
        "most": Param("integer", 0),
        "note": Param("text", ""),
        "day": Param("date"),
    }
    job(every="6h", params=params)(work)

    assert composed(settings)["work"].params == params


def test_tags_of_the_words_and_tags_beside_them_are_both_kept(settings: Settings) -> None:
    job(every(6).hours.tag("night", "db"), tags=["export", "db"])(work)

    assert composed(settings)["work"].tags == ("db", "night", "export")


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"timout": "20m"}, "@job with 'timout'; did you mean 'timeout'? known: name, every, at"),
        ({"colour": "red"}, "@job with 'colour'; known: name, every, at"),
        ({"command": ["bin/x"]}, "@job with 'command'; what runs is the function below it; a command or request is"),
        ({"cron": "0 8 * * *"}, "a schedule in words and 'cron' beside it; wanted: one of them"),
        ({"timezone": "Europe/Riga"}, "'timezone' beside it; wanted: one of them; a zone stands in the words: .at("),
    ],
)
def test_a_keyword_that_means_nothing_here_is_refused_with_what_is_wanted_I28(keywords: Any, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        job(every().day.at("08:00"), **keywords)(work)

    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert declaring.declared() == []


def test_words_that_make_no_rule_are_refused_where_they_stand() -> None:
    with pytest.raises(ValueError, match="of nothing"):
        job(every(5))(work)


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "flask pydantic schedule click rich requests loguru sqlite3 asyncio"
    code = f"import sys, echopilot_jobs; print([m for m in '{heavy}'.split() if m in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": "."}
    )

    assert done.stdout.strip() == "[]"
