"""What the accepted definitions came to is believed by those who only look, as long as it is the truth."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from typing import Any

import pytest

from echopilot_jobs import builtin, definitions, jobsfile
from echopilot_jobs.definitions import composed
from echopilot_jobs.jobs import Registry
from echopilot_jobs.jobs.facts import facts_of_jobs, jobs_of
from echopilot_jobs.jobsfile import Document, compose, read
from echopilot_jobs.processes import this_process
from echopilot_jobs.settings import Settings
from echopilot_jobs.testing import FakeClock

EVERYTHING = """
    [groups]
    heavy = 2

    [jobs.tool]
    cron = "*/15 9-17 * * 1-5"
    timezone = "Europe/Riga"
    until = "2031-01-01 00:00"
    command = ["sh", "-c", "echo ${NAME} ü"]
    cwd = "work"
    env = { TOKEN = "${TOKEN}", PLAIN = "a" }
    description = "everything ü"
    timeout = "90s"
    retries = 3
    retry_on = ["failed", "exit 75"]
    catch_up = "all"
    catch_up_window = "3h"
    overlap = "allow(4)"
    jitter = "20s"
    group = "heavy"
    priority = 7
    idempotent = true
    on_startup = true
    tags = ["a", "b"]
    on_failure = ["mail"]
    on_recovery = ["mail"]
    ping = "https://example.org/ping/abc"

    [jobs.tool.params]
    day = { type = "date", default = "2026-03-02" }
    many = { type = "integer", required = true, choices = [1, 2, 3], description = "how many" }

    [jobs.line]
    every = "90 minutes"
    command = "echo a | cat"
    shell = true
    enabled = false

    [jobs.ask]
    every = "3 days"
    at = "02:30"
    timezone = "America/New_York"

    [jobs.ask.http]
    url = "https://example.org/a?b=1"
    method = "PUT"
    headers = { "X-Key" = "${TOKEN}" }
    json = { a = [1, 2.5, "x", true] }
    expect = [200, 204]
    contains = "ok"
    redirects = 2

    [jobs.weekly]
    every = "monday, friday"
    at = "23:59:59"
    run = "os:getpid"

    [jobs.between]
    every = "5m to 10m"
    run = "os:getpid"

    [jobs.asked]
    manual = true
    run = "os:getpid"
"""

GOOD = '[jobs.mine]\nevery = "60s"\ncommand = ["true"]\n'


def whole(settings: Settings, text: str = EVERYTHING) -> Registry:
    return compose(builtin.document(settings), read(text.encode(), "jobs.toml"), environ={}).registry


@pytest.fixture
def home(settings: Settings, clock: FakeClock) -> Callable[..., definitions.InForce]:
    """Judges a file as a scheduler does, and says what is in force then."""
    settings.var_dir.mkdir(mode=0o700)
    (settings.home / "work").mkdir()

    def judged(text: str | None = None) -> definitions.InForce:
        if text is not None:
            (settings.home / "jobs.toml").write_text(text, encoding="utf-8")
        definitions.keep(settings, definitions.check(settings), clock.now())
        return definitions.in_force(settings)

    return judged


@pytest.fixture
def composing(monkeypatch: pytest.MonkeyPatch) -> list[Document]:
    """The documents that were composed since."""
    seen: list[Document] = []
    real = jobsfile.compose

    def counted(built_in: Document, *rest: Any, **more: Any) -> Any:
        seen.append(built_in)
        return real(built_in, *rest, **more)

    monkeypatch.setattr("echopilot_jobs.jobsfile.composing.compose", counted)
    return seen


def test_every_part_of_a_job_comes_back_as_it_was(settings: Settings) -> None:
    jobs = whole(settings)

    found = jobs_of(json.loads(json.dumps(facts_of_jobs(jobs))))

    assert [*found.values()] == [*jobs.values()]
    assert [job.declared_in for job in found.values()] == [job.declared_in for job in jobs.values()]
    assert [job.version for job in found.values()] == [job.version for job in jobs.values()]
    assert found.group_limits == jobs.group_limits == {"heavy": 2}


def test_the_example_has_every_part_of_a_job(settings: Settings) -> None:
    """Else a part that plain JSON cannot hold could be forgotten without anybody seeing it."""
    jobs = [*whole(settings).values()]

    plain = [each.name for each in fields(jobs[0]) if all(getattr(job, each.name) == _usual(each) for job in jobs)]

    assert plain == []


def _usual(part: Field[Any]) -> Any:
    return part.default if part.default_factory is MISSING else part.default_factory()


def test_who_looks_composes_nothing(home: Callable[..., definitions.InForce], settings: Settings, composing) -> None:
    judged = home(EVERYTHING)
    composing.clear()

    found = definitions.in_force(settings)

    assert composing == []
    assert [*found.registry.values()] == [*judged.registry.values()]
    assert "tool" in found.registry
    assert composed.path_of(settings).stat().st_mode & 0o777 == 0o600


def test_no_file_at_all_is_known_too_once_a_scheduler_began(settings: Settings, clock: FakeClock, composing) -> None:
    settings.var_dir.mkdir(mode=0o700)
    definitions.begin(settings, clock.now())
    composing.clear()

    assert sorted(definitions.in_force(settings).registry) == ["ceo_brief", "daily_report", "heartbeat", "self_heal"]
    assert composing == []


def test_built_in_jobs_at_other_times_are_composed_anew(
    home: Callable[..., definitions.InForce], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from echopilot_jobs.settings import load

    before = home(GOOD).registry["ceo_brief"].trigger
    monkeypatch.setenv("SCHED_BRIEF_UTC", "07:15")

    after = definitions.in_force(load()).registry["ceo_brief"].trigger

    assert (str(before), str(after)) == ("daily at 08:00 UTC", "daily at 07:15 UTC")


def test_what_a_living_scheduler_runs_is_told_whatever_the_settings_of_this_shell(
    home: Callable[..., definitions.InForce], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from echopilot_jobs.settings import load

    home(GOOD)
    monkeypatch.setenv("SCHED_BRIEF_UTC", "07:15")
    stopped = definitions.in_force(load()).registry["ceo_brief"].trigger
    (settings.var_dir / "scheduler.lock").write_text(str(this_process()))

    running = definitions.in_force(load()).registry["ceo_brief"].trigger

    assert (str(stopped), str(running)) == ("daily at 07:15 UTC", "daily at 08:00 UTC")


def test_a_set_that_nobody_knows_any_more_while_a_scheduler_runs_it_is_told_of(
    home: Callable[..., definitions.InForce], settings: Settings
) -> None:
    home(GOOD)
    (settings.var_dir / "scheduler.lock").write_text(str(this_process()))
    (settings.var_dir / "jobs.accepted.json").unlink()

    (problem,) = definitions.in_force(settings).problems

    assert "`var/jobs.accepted.json` is missing, damaged or older than this file" in str(problem)


def spoil(path: Path, change: Callable[[dict[str, Any]], object], *, unseen: bool = False) -> None:
    """With *unseen*, as nobody but ourselves could: its sum says that it is whole."""
    kept = json.loads(path.read_bytes())
    change(kept)
    if unseen:
        kept["sha256"] = composed._sum(kept["set"])
    path.write_text(json.dumps(kept))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: path.write_bytes(b"[]"),
        lambda path: path.write_bytes(b"\xff\xfe"),
        lambda path: path.write_bytes(b"[" * 100_000),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: spoil(path, lambda kept: kept.update(made_from="another")),
        lambda path: spoil(path, lambda kept: kept.pop("set")),
        lambda path: spoil(path, lambda kept: kept["set"]["jobs"][0].update(timeout=1.0)),
        lambda path: spoil(path, lambda kept: kept["set"]["jobs"].pop()),
        lambda path: (path.unlink(), os.mkfifo(path)),
        lambda path: spoil(path, lambda kept: kept["set"]["jobs"].append(kept["set"]["jobs"][0]), unseen=True),
        lambda path: spoil(path, lambda kept: kept["set"]["jobs"][0].update(of_another_release=1), unseen=True),
        lambda path: spoil(path, lambda kept: kept["set"]["jobs"][0].pop("name"), unseen=True),
        lambda path: spoil(path, lambda kept: kept["set"]["jobs"][0].update(name="NOT A NAME"), unseen=True),
        lambda path: spoil(path, lambda kept: kept["set"]["jobs"][0].update(timeout="long"), unseen=True),
        lambda path: spoil(path, lambda kept: kept["set"]["jobs"][0].update(timeout=1e300), unseen=True),
        lambda path: spoil(
            path, lambda kept: kept["set"]["jobs"][0].update(trigger={"kind": "never heard of"}), unseen=True
        ),
        lambda path: spoil(path, lambda kept: kept["set"]["jobs"][0].update(action={"kind": "inline"}), unseen=True),
        lambda path: spoil(path, lambda kept: kept["set"]["jobs"][0].update(action=None), unseen=True),
        lambda path: spoil(path, lambda kept: kept["set"].update(group_limits={"a": "b"}), unseen=True),
        lambda path: spoil(path, lambda kept: kept["set"].update(group_limits=[1]), unseen=True),
    ],
)
def test_what_is_damaged_or_of_another_release_is_not_believed(
    home: Callable[..., definitions.InForce], settings: Settings, damage: Callable[[Path], object]
) -> None:
    wanted = home(GOOD)
    damage(composed.path_of(settings))

    found = definitions.in_force(settings)

    assert [*found.registry.values()] == [*wanted.registry.values()]


def test_a_scheduler_runs_what_it_composed_itself_and_puts_that_right(
    home: Callable[..., definitions.InForce], settings: Settings, clock: FakeClock
) -> None:
    home(GOOD)
    path = composed.path_of(settings)
    right = path.read_bytes()
    spoil(path, lambda kept: kept["set"]["jobs"].pop(), unseen=True)
    assert "mine" not in definitions.in_force(settings).registry  # believed: it is this account's own file

    began, _ = definitions.begin(settings, clock.now())

    assert "mine" in began.registry
    assert path.read_bytes() == right


@pytest.mark.parametrize("env", [{"A": ("a", "tuple")}, {"A": {"a set"}}, {1: "a"}, {"A": float("nan")}])
def test_what_would_not_come_back_as_it_is_is_not_kept(settings: Settings, env: dict[Any, Any]) -> None:
    settings.var_dir.mkdir(mode=0o700)
    job = whole(settings)["tool"]
    composed.write_composed(settings, None, Registry([job]))
    assert composed.path_of(settings).exists()

    composed.write_composed(settings, None, Registry([replace(job, env=env)]))

    assert not composed.path_of(settings).exists()


def test_a_folder_in_its_place_hinders_nobody(home: Callable[..., definitions.InForce], settings: Settings) -> None:
    composed.path_of(settings).mkdir()

    assert "mine" in home(GOOD).registry


def test_the_built_in_jobs_stay_known_while_the_project_is_closed_I26(settings, monkeypatch):
    """The web answers from what it has: a folder closed under it is no reason for an internal error."""
    before = builtin.text(settings)

    def refuse(*_what: object, **_more: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)

    assert builtin.text(settings) == before


def test_while_its_folder_is_closed_the_desk_tells_the_last_set_and_why_I26(settings, monkeypatch):
    desk = definitions.Desk(settings)
    before = desk.now()
    monkeypatch.setattr("echopilot_jobs.definitions.inforce.hidden", lambda _path: "cannot enter")

    found = desk.now()

    assert found.registry is before.registry
    assert [problem.message for problem in found.problems] == ["cannot enter"]
