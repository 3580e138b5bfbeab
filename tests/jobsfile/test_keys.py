"""Every key of a jobs file does what the reference says."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from itertools import islice
from typing import Any

import pytest
from jobsfilekit import BUILT_IN, NOTHING, composed, only, refused, warned

from echopilot_jobs import builtin
from echopilot_jobs.fluent import every as fluently
from echopilot_jobs.fluent import translate
from echopilot_jobs.jobs import Command, Http, Inline, Job, Param, Python
from echopilot_jobs.jobsfile import BadJobsFile, Document, compose, modules_of, read
from echopilot_jobs.settings import Settings, load
from echopilot_jobs.triggers import Cron, DailyAt, Every, EveryBetween, OnRequest, Trigger, Until, Weekly

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
RIGA = "Europe/Riga"

SCHEDULES: dict[str, Trigger] = {
    'every = "6h"': Every(6 * HOUR),
    'every = "90s"': Every(90 * SECOND),
    'every = "1h30m"': Every(90 * MINUTE),
    'every = "36 hours"': Every(36 * HOUR),
    'every = "15 min"': Every(15 * MINUTE),
    'every = "hour"': Every(HOUR),
    'every = "minute"': Every(MINUTE),
    'every = "5m to 10m"': EveryBetween(5 * MINUTE, 10 * MINUTE),
    'every = "5m to 5m"': Every(5 * MINUTE),
    'every = "day"': DailyAt(time(0)),
    'every = "day"\nat = "08:00"': DailyAt(time(8)),
    'every = "day"\nat = "08:00:30"': DailyAt(time(8, 0, 30)),
    'every = "day"\nat = 08:00:30': DailyAt(time(8, 0, 30)),
    'every = "Day"\nat = "23:59"\ntimezone = "Europe/Riga"': DailyAt(time(23, 59), RIGA),
    'every = "2 days"\nat = "08:00"': DailyAt(time(8), "UTC", 2),
    'every = "2d"\nat = "08:00"': DailyAt(time(8), "UTC", 2),
    'every = "monday"': Weekly([0], time(0)),
    'every = "mon, WED , fridays"\nat = "09:30"': Weekly([0, 2, 4], time(9, 30)),
    'every = ["monday", "friday"]\nat = "09:30"\ntimezone = "Europe/Riga"': Weekly([0, 4], time(9, 30), RIGA),
    'every = "weekday"\nat = "09:30"': Weekly(range(5), time(9, 30)),
    'every = "weekend"': Weekly([5, 6], time(0)),
    'every = ["weekend", "monday"]': Weekly([0, 5, 6], time(0)),
    'cron = "15 2 * * 1-5"': Cron("15 2 * * 1-5"),
    'cron = "0 0 L * *"': Cron("0 0 L * *"),
    'cron = "0 9 * * MON#1"\ntimezone = "Europe/Riga"': Cron("0 9 * * MON#1", RIGA),
    'cron = "0 0 29 2 *"': Cron("0 0 29 2 *"),
    'cron = "@daily"': Cron("@daily"),
    "manual = true": OnRequest(),
    'manual = false\nevery = "6h"': Every(6 * HOUR),
    'every = "6h"\nuntil = 2026-12-31': Until(Every(6 * HOUR), datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)),
    'every = "6h"\nuntil = "2026-12-31 18:00"': Until(Every(6 * HOUR), datetime(2026, 12, 31, 18, tzinfo=UTC)),
    'every = "6h"\nuntil = 2026-12-31T18:00:00+02:00': Until(Every(6 * HOUR), datetime(2026, 12, 31, 16, tzinfo=UTC)),
    'every = "6h"\nuntil = "2038-01-19T03:14:08Z"': Until(Every(6 * HOUR), datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC)),
    'every = "day"\nuntil = "2026-12-31"\ntimezone = "Europe/Riga"': Until(
        DailyAt(time(0), RIGA), datetime(2026, 12, 31, 21, 59, 59, tzinfo=UTC)
    ),
    'every = "day"\nuntil = "2028-02-29"': Until(DailyAt(time(0)), datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC)),
}

LIMITS: dict[str, dict[str, Any]] = {
    "": {"timeout": timedelta(seconds=600), "retries": 0, "enabled": True, "overlap": "skip", "catch_up": "latest"},
    'description = "a </script> {{7*7}} \U0001f680 {0}"': {"description": "a </script> {{7*7}} \U0001f680 {0}"},
    'tags = ["night", "data base"]': {"tags": ("night", "data base")},
    'tags = "night"': {"tags": ("night",)},
    "enabled = false": {"enabled": False},
    "on_startup = true": {"on_startup": True},
    'timeout = "20m"': {"timeout": 20 * MINUTE},
    'timeout = "30d"': {"timeout": 30 * DAY},
    "retries = 100": {"retries": 100},
    'retries = 3\nretry_on = ["timed_out", "HTTP 5xx", "exit 75"]': {"retry_on": ("timed_out", "http 5xx", "exit 75")},
    'catch_up = "all"': {"catch_up": "all"},
    'catch_up_window = "12h"': {"catch_up_window": 12 * HOUR, "window": 12 * HOUR},
    'overlap = "queue_one"': {"overlap": "queue_one", "max_instances": 1},
    'overlap = "allow(3)"': {"overlap": "allow", "max_instances": 3},
    'group = "database"': {"group": "database"},
    "priority = -100": {"priority": -100},
    'env = { A = "b", TOKEN = "${EXPORT_TOKEN}", KEY_FILE = "/run/key", TOKENS = "false" }': {
        "env": {"A": "b", "TOKEN": "${EXPORT_TOKEN}", "KEY_FILE": "/run/key", "TOKENS": "false"}
    },
    'cwd = "work/x"': {"cwd": "work/x"},
    "idempotent = true": {"idempotent": True},
    'jitter = "30s"': {"jitter": 30 * SECOND},
    'jitter = "0s"': {"jitter": timedelta(0)},
    'on_failure = ["team", "me"]\non_recovery = "team"': {"on_failure": ("team", "me"), "on_recovery": ("team",)},
    'ping = "https://hc.example/abc?rid=1"': {"ping": "https://hc.example/abc?rid=1"},
    'ping = "${HC_PING}"': {"ping": "${HC_PING}"},
    'params.day = { type = "date", default = 2026-03-01, description = "which" }': {
        "params": {"day": Param("date", "2026-03-01", description="which")}
    },
    'params = { n = { type = "integer", choices = [1, 2], default = 2 }, who = { required = true } }': {
        "params": {"n": Param("integer", 2, choices=(1, 2)), "who": Param(required=True)}
    },
}  # fmt: skip

ACTIONS: dict[str, object] = {
    'run = "myapp.exports:nightly"': Python("myapp.exports:nightly"),
    'command = ["bin/export", "--full", "$HOME; rm -rf /"]': Command(("bin/export", "--full", "$HOME; rm -rf /")),
    'command = "cat a | sort > b"\nshell = true': Command(("cat a | sort > b",), shell=True),
    'command = ["bin/export"]\nshell = false': Command(("bin/export",)),
    'http = { url = "/internal/export" }': Http("/internal/export"),
    'http = { url = "http://8.8.8.8:8080/x?y=1", method = "GET" }': Http("http://8.8.8.8:8080/x?y=1", "GET"),
    'http = { url = "http://127.0.0.1:9/x", allow_private = true }': Http("http://127.0.0.1:9/x", allow_private=True),
    'http = { url = "https://[2606:4700::1111]/" }': Http("https://[2606:4700::1111]/"),
    '[jobs.j.http]\nurl = "/x"\nheaders = { Authorization = "Bearer ${T}", X-A = "b" }': Http(
        "/x", headers={"Authorization": "Bearer ${T}", "X-A": "b"}
    ),
    'http = { url = "/x", json = { a = [1, 2.5, "b", true] } }': Http("/x", json={"a": [1, 2.5, "b", True]}),
    'http = { url = "/x", json = false, method = "PUT" }': Http("/x", "PUT", json=False),
    'http = { url = "/x", body = "a=1\\nb=2" }': Http("/x", body="a=1\nb=2"),
    'http = { url = "/x", expect = 204 }': Http("/x", expect=(204,)),
    'http = { url = "/x", expect = "200-202" }': Http("/x", expect=(200, 201, 202)),
    'http = { url = "/x", expect = [404, "200 - 201"], contains = "ok", redirects = 5 }': Http(
        "/x", expect=(200, 201, 404), contains="ok", redirects=5
    ),
    'http = { url = "/x", expect = "2xx" }': Http("/x", expect=tuple(range(200, 300))),
}


@pytest.mark.parametrize(("lines", "trigger"), SCHEDULES.items(), ids=lambda value: str(value).replace("\n", " "))
def test_the_words_of_a_schedule_come_to_its_rule(lines: str, trigger: Trigger) -> None:
    assert only(f'[jobs.j]\n{lines}\nrun = "a:b"\n').trigger == trigger


@pytest.mark.parametrize(("lines", "facts"), LIMITS.items(), ids=lambda value: str(value)[:40])
def test_each_key_reaches_its_job(lines: str, facts: dict[str, Any]) -> None:
    job = only(f'[jobs.j]\nevery = "6h"\nrun = "a:b"\n{lines}\n')

    assert {name: getattr(job, name) for name in facts} == facts


@pytest.mark.parametrize(("lines", "action"), ACTIONS.items(), ids=lambda value: str(value)[:60])
def test_each_kind_of_action_is_read(lines: str, action: object) -> None:
    assert only(f'[jobs.j]\nevery = "6h"\n{lines}\n').action == action


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ('every = "6h"', fluently(6).hours),
        ('every = "day"', fluently().day),
        ('every = "day"\nat = "08:00"\ntimezone = "Europe/Riga"', fluently().day.at("08:00", RIGA)),
        ('every = "3 days"\nat = "08:00"', fluently(3).days.at("08:00")),
        ('every = "monday"', fluently().monday),
        ('every = "sunday"\nat = "13:15"', fluently().sunday.at("13:15")),
        ('every = "5m to 10m"', fluently(5).to(10).minutes),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_words_mean_what_the_fluent_words_mean(words: str, said: Any) -> None:
    ours = only(f'[jobs.j]\n{words}\nrun = "a:b"\n').trigger.after(NOW)

    assert list(islice(ours, 50)) == list(islice(translate(said).trigger.after(NOW), 50))


def test_a_job_knows_where_it_is_declared() -> None:
    registry = composed('\n[jobs.j]\nevery = "6h"\nrun = "a:b"\n', over=BUILT_IN).registry

    assert {job.name: job.declared_in for job in registry.values()} == {"heartbeat": "built-in", "j": "jobs.toml:2"}


def test_groups_and_modules_are_read() -> None:
    text = 'modules = ["myapp.jobs", "more"]\n[groups]\ndatabase = 2\n[jobs.j]\nevery = "6h"\nrun = "a:b"\ngroup = "database"'

    assert composed(text).registry.group_limits == {"database": 2}
    assert modules_of(read(text.encode(), "jobs.toml")) == ("myapp.jobs", "more")
    assert modules_of(read(b'modules = ["a", 5, "b c", "a", "d"]', "jobs.toml")) == ("a", "d")
    assert modules_of(NOTHING) == ()


# What a user says about a job that is built in, or in code.


def over_brief(lines: str) -> Job:
    below = read(
        b'[jobs.brief]\nevery = "day"\nat = "08:00"\njitter = "1m"\nrun = "a:b"\nretries = 2\ntags = ["x"]\n',
        "built-in",
    )
    return composed(f"[jobs.brief]\n{lines}\n", over=below).registry["brief"]


def test_a_built_in_job_is_disabled_by_name() -> None:
    registry = composed("[jobs.heartbeat]\nenabled = false\n", over=BUILT_IN).registry

    assert not registry["heartbeat"].enabled
    assert registry["heartbeat"].action == Inline("tick")
    assert registry["heartbeat"].declared_in == "built-in, changed in jobs.toml:1"


@pytest.mark.parametrize(
    ("lines", "changes"),
    [
        ("retries = 5", {"retries": 5}),
        ('at = "07:30"', {"trigger": DailyAt(time(7, 30))}),
        ('timezone = "Europe/Riga"', {"trigger": DailyAt(time(8), RIGA)}),
        ('every = "6h"', {"trigger": Every(6 * HOUR), "jitter": timedelta(0)}),
        ('cron = "0 9 * * *"', {"trigger": Cron("0 9 * * *"), "jitter": timedelta(0)}),
        ("manual = true", {"trigger": OnRequest(), "jitter": timedelta(0)}),
        ('command = ["true"]', {"action": Command(("true",))}),
        ('http = { url = "/x" }', {"action": Http("/x")}),
        ("tags = []", {"tags": ()}),
        ("", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_laid_over_a_job_replaces_its_like_and_leaves_the_rest(lines: str, changes: dict[str, Any]) -> None:
    before = {
        "trigger": DailyAt(time(8)), "jitter": MINUTE, "action": Python("a:b"), "retries": 2, "tags": ("x",),
    }  # fmt: skip

    job = over_brief(lines)

    assert {name: getattr(job, name) for name in before} == before | changes


def test_what_is_wrong_in_an_overlaid_job_is_blamed_on_the_file_that_says_it() -> None:
    below = read(b'\n\n[jobs.a]\nevery = "day"\njitter = "11h"\nrun = "a:b"\n', "built-in")

    (theirs,) = refused("[jobs.a]\nretries = -1\n", over=below)
    (both,) = refused('[jobs.a]\nevery = "6h"\njitter = "4h"\n', over=below)

    assert str(theirs).startswith("jobs.toml:2:1: job 'a': retries: came -1")
    assert str(both).startswith("jobs.toml:3:1: job 'a': jitter: came '4 h'; wanted: at most half the distance")


def test_a_table_named_nearly_like_a_built_in_job_says_so() -> None:
    lines = [str(problem) for problem in refused("[jobs.hartbeat]\nenabled = false\n", over=BUILT_IN)]

    assert any("no job of this name is built in or in code; did you mean 'heartbeat'?" in line for line in lines)


def code(**jobs: dict[str, Any]) -> Document:
    return Document("myapp.jobs", {"jobs": jobs}, {("jobs", name): (7, 1) for name in jobs})


IN_CODE = {"rule": Every(6 * HOUR).as_dict(), "run": "myapp.jobs:nightly", "retries": 1}


def test_jobs_in_code_have_a_rule_and_may_be_overlaid_too() -> None:
    plain = compose(BUILT_IN, None, [code(nightly=IN_CODE)], environ={}).registry["nightly"]
    changed = composed('[jobs.nightly]\nuntil = "2026-12-31"\nretries = 3\n', code=[code(nightly=IN_CODE)]).registry[
        "nightly"
    ]

    assert (plain.trigger, plain.retries, plain.declared_in) == (Every(6 * HOUR), 1, "myapp.jobs:nightly")
    assert changed.trigger == Until(Every(6 * HOUR), datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert (changed.retries, changed.declared_in) == (3, "myapp.jobs:nightly, changed in jobs.toml:1")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('at = "08:00"', "at: came with a schedule in code; wanted: only with days"),
        ('timezone = "Europe/Riga"', "timezone: the schedule of this job is in code; wanted: the whole schedule here"),
        ('rule = { kind = "every" }', "rule: no such key in a job"),
    ],
)
def test_a_schedule_in_code_is_replaced_as_a_whole_or_not_at_all(lines: str, said: str) -> None:
    problems = refused(f"[jobs.nightly]\n{lines}\n", code=[code(nightly=IN_CODE)])

    assert any(said in str(problem) for problem in problems)


def test_code_may_not_take_the_name_of_another_job() -> None:
    with pytest.raises(BadJobsFile) as caught:
        compose(BUILT_IN, None, [code(heartbeat=IN_CODE), code(a=IN_CODE), code(a=IN_CODE)], environ={})

    said = {problem.job: str(problem) for problem in caught.value.found}
    assert "there is a built-in job of this name already; wanted: another name" in said["heartbeat"]
    assert "there is one of myapp.jobs of this name already" in said["a"]


def test_a_broken_rule_in_code_is_an_error_of_that_module() -> None:
    with pytest.raises(BadJobsFile, match=r"myapp\.jobs:7:1: job 'a': rule: a trigger of the kind 'x'"):
        compose(BUILT_IN, None, [code(a={"rule": {"kind": "x"}, "run": "a:b"})], environ={})


# What is worth knowing though nothing is wrong.


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('every = "6h"\nrun = "a:b"\ntimezone = "Europe/Riga"', "timezone: it changes nothing for a length in 'every'"),
        ('manual = true\nrun = "a:b"\nuntil = "2026-12-31"', "until: it changes nothing for a job without a schedule"),
        ('manual = true\nrun = "a:b"\njitter = "5s"', "jitter: it changes nothing for a job without a schedule"),
        ('every = "6h"\nrun = "a:b"\ncatch_up_window = "30s"', "'30 s' is shorter than a restart may take, '1 min'"),
        (
            'every = "6h"\nrun = "a:b"\ncatch_up = "none"\ncatch_up_window = "1h"',
            "it changes nothing with catch_up = 'none'",
        ),
        (
            'every = "1h"\nrun = "a:b"\ncatch_up = "all"\ncatch_up_window = "1d"',
            "'1 d' holds more than 10 slots, one each '1 h'; at most 10 are caught up",
        ),
        (
            'every = "5m"\nrun = "a:b"\noverlap = "queue_all"',
            "timeout: '10 min' is longer than the distance between slots, '5 min', and overlap = 'queue_all'",
        ),
        ('cron = "*/5 * * * *"\nrun = "a:b"\noverlap = "queue_one"', "longer than the distance between slots, '5 min'"),
        ('every = "1m"\nrun = "a:b"\nretries = 10', "'10' more attempts wait '25 min 42 s'"),
        ('every = "6h"\nrun = "a:b"\nretry_on = "failed"', "retry_on: it changes nothing without 'retries'"),
        ('every = "6h"\ncommand = "ls | wc"\nshell = true', "shell: a shell reads this command"),
        ('every = "6h"\ncommand = ["ls", "${HOME}"]', "command: '${HOME}' stays as it is in an argument"),
        (
            'every = "6h"\ncommand = ["ls", "$HOME/x", "$PWD"]',
            "command: '$HOME' stays as it is: no shell reads a list; write its value, or one text with shell = true",
        ),
        ('every = "6h"\nrun = "a:b"\nenv = { A = "$SET" }', "env.A: '$SET' stays as it is; did you mean '${SET}'?"),
        ('every = "6h"\nrun = "a:b"\nenv = { PATH = "$PATH:/opt" }', "env.PATH: '$PATH' stays as it is; did you mean"),
        (
            'every = "6h"\nhttp = { url = "/x", headers = { X-A = "for $SET" } }',
            "http.headers.X-A: '$SET' stays as it is",
        ),
        ('every = "6h"\nhttp = { url = "/x", body = "by=$SET&" }', "http.body: '$SET' stays as it is; did you mean"),
        ('every = "6h"\nhttp = { url = "/x", json = ["$SET"] }', "http.json: '$SET' stays as it is; did you mean"),
        ('every = "6h"\nhttp = { url = "/x?by=$SET" }', "http.url: '$SET' stays as it is in an address"),
        ('every = "6h"\nrun = "a:b"\ngroup = "db"', "group: 'db' has no limit; give it one under [groups]: db = 1"),
        ('every = "6h"\nrun = "a:b"\nenv = { A = "x${MISSING}" }', "env.A: '${MISSING}' is not set in the environment"),
        ('every = "6h"\nrun = "a:b"\nping = "${MISSING}"', "ping: '${MISSING}' is not set"),
        ('every = "6h"\nhttp = { url = "/x", body = "${MISSING}" }', "http.body: '${MISSING}' is not set"),
        ('every = "6h"\nhttp = { url = "/x", headers = { X-A = "${MISSING}" } }', "http.headers.X-A: '${MISSING}'"),
    ],
    ids=lambda value: value.replace("\n", " ")[:60],
)
def test_a_warning_says_what_is_worth_knowing(lines: str, said: str) -> None:
    (line,) = warned(f"[jobs.j]\n{lines}\n", {"SET": "1"})

    assert line.startswith("jobs.toml:")
    assert said in line


@pytest.mark.parametrize(
    "lines",
    [
        'run = "a:b"\nenv = { A = "$5 or US$AMOUNT", B = "$$HOME", C = "$ref", D = "$(DATE)", E = "\\\\$HOME" }',
        'http = { url = "/x?$filter=a", body = "costs $50" }',
        'http = { url = "/x", json = { "$group" = "$status" } }',
        'command = ["awk", "{ print $NF }", "a.txt"]',
        'command = ["sh", "-c", "$HOME/bin/x"]',
        'command = ["/bin/bash", "-c", "echo $HOME"]',
    ],
    ids=lambda value: value[:60],
)
def test_a_dollar_that_is_no_slip_is_not_warned_of(lines: str) -> None:
    assert warned(f'[jobs.j]\nevery = "6h"\n{lines}\n') == []


@pytest.mark.parametrize(
    ("lines", "meant"),
    [
        ('run = "a:b"\nenv = { API_TOKEN = "$MY_SECRET" }', "write '${MY_SECRET}'"),
        ('http = { url = "/x", headers = { Authorization = "Bearer $MY_SECRET" } }', "write 'Bearer ${MY_SECRET}'"),
    ],
)
def test_what_looks_like_a_key_and_names_one_is_told_to_name_it_in_braces(lines: str, meant: str) -> None:
    (problem,) = refused(f'[jobs.j]\nevery = "6h"\n{lines}\n')

    assert meant in problem.message


def test_what_is_in_order_has_no_warning() -> None:
    text = """\
[groups]
db = 1
[jobs.j]
cron = "15 2 * * 1-5"
timezone = "Europe/Riga"
run = "myapp.exports:nightly"
env = { A = "${SET}" }
timeout = "20m"
retries = 3
catch_up = "latest"
catch_up_window = "12h"
group = "db"
"""

    assert warned(text, {"SET": "secret value"}, NOW) == []


def test_times_that_a_jump_of_the_clocks_moves_are_warned_about_with_their_dates_F38() -> None:
    gap = '[jobs.j]\nevery = "day"\nat = "03:30"\ntimezone = "Europe/Riga"\nrun = "a:b"\n'

    (line,) = warned(gap, now=NOW)

    assert line.startswith(
        "jobs.toml:4:1: job 'j': timezone: 2026-03-29 03:30:00 Europe/Riga does not exist; runs at the first"
    )
    assert "2026-10-25 03:30:00 Europe/Riga comes twice; the first copy runs (2026-10-25T00:30:00Z)" in line
    assert warned(gap) == []  # nobody said when "coming" begins


def test_a_job_whose_end_has_passed_is_warned_about() -> None:
    (line,) = warned('[jobs.j]\nevery = "6h"\nuntil = "2026-02-01"\nrun = "a:b"\n', now=NOW)

    assert "until: its end has passed" in line


# The built-in jobs, in the same words.


def test_the_built_in_jobs_are_what_they_were_before_they_were_declared(settings: Settings) -> None:
    expected = [
        Job(
            name="heartbeat",
            description="Writes the tick line with the next run of every job.",
            trigger=Every(timedelta(seconds=60)),
            action=Inline("tick"),
            on_startup=True,
        ),
        Job(
            name="ceo_brief",
            description="Reads the signals and says what matters most.",
            trigger=DailyAt(settings.brief_at),
            action=Python("echopilot_jobs.builtin.ceo_brief:run"),
            retries=2,
            idempotent=True,
        ),
        Job(
            name="daily_report",
            description="Accounts for yesterday, job by job.",
            trigger=DailyAt(settings.report_at),
            action=Python("echopilot_jobs.builtin.daily_report:run"),
            retries=2,
            idempotent=True,
            params={"date": Param("date", description="The UTC day to report; the day before when left out.")},
        ),
        Job(
            name="self_heal",
            description="Abandons lapsed runs, retries what may be repeated, prunes old history.",
            trigger=Every(timedelta(hours=settings.self_heal_hours)),
            action=Http("/api/self-heal"),
            timeout=timedelta(seconds=120),
            retries=2,
            on_startup=True,
            idempotent=True,
        ),
    ]

    assert [job.definition() for job in builtin.jobs(settings).values()] == [job.definition() for job in expected]


def test_the_operators_times_are_in_the_built_in_definitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCHED_BRIEF_UTC", "07:15")
    monkeypatch.setenv("SCHED_REPORT_UTC", "23:59")
    monkeypatch.setenv("SCHED_SELFHEAL_EVERY_HOURS", "168")

    registry = builtin.jobs(load())

    assert registry["ceo_brief"].trigger == DailyAt(time(7, 15))
    assert registry["daily_report"].trigger == DailyAt(time(23, 59))
    assert registry["self_heal"].trigger == Every(7 * DAY)
