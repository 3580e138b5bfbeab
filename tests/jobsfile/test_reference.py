"""What is written about the jobs file is true: the reference, its examples, and the sample in the project's folder."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from jobsfilekit import composed

from echopilot_jobs import builtin
from echopilot_jobs.jobs import Command, Http, Python
from echopilot_jobs.jobsfile import compose, read
from echopilot_jobs.jobsfile.reference import SECTIONS, keys_by_name, reference
from echopilot_jobs.jobsfile.tables import FileTable, HttpTable, JobTable, ParamTable
from echopilot_jobs.settings import Settings

ROOT = Path(__file__).parents[2]
SAMPLE = (ROOT / "jobs.toml").read_text(encoding="utf-8")
ALL = [(model, name) for model in (FileTable, JobTable, HttpTable, ParamTable) for name in keys_by_name(model)]
BESIDE = {
    "at": 'every = "day"',
    "shell": 'every = "6h"\ncommand = "ls"',
    "manual": 'run = "a:b"',
    "cron": 'run = "a:b"',
    "every": 'run = "a:b"',
    "run": 'every = "6h"',
    "command": 'every = "6h"',
    "http": 'every = "6h"',
}


def test_the_reference_in_docs_is_the_one_the_tables_give() -> None:
    kept = (ROOT / "docs" / "jobs.md").read_text(encoding="utf-8")

    assert kept == reference(), "make it anew: python -m echopilot_jobs.jobsfile.reference > docs/jobs.md"


def test_every_key_of_a_job_stands_in_one_section() -> None:
    listed = [name for names in SECTIONS.values() for name in names]

    assert sorted(listed) == sorted(keys_by_name(JobTable))


@pytest.mark.parametrize(("model", "name"), ALL, ids=lambda value: getattr(value, "__name__", value))
def test_the_example_of_every_key_is_a_good_one(model: type, name: str) -> None:
    example = keys_by_name(model)[name].metadata["example"]
    beside = BESIDE.get(name, 'every = "6h"\nrun = "a:b"')
    beside += '\nrun = "a:b"' if name == "at" else ""
    url = "" if name == "url" else 'url = "/x"'
    texts = {
        FileTable: example,
        JobTable: f"[jobs.j]\n{beside}\n{example}",
        HttpTable: f'[jobs.j]\nevery = "6h"\n[jobs.j.http]\n{url}\n{example}',
        ParamTable: f'[jobs.j]\nevery = "6h"\nrun = "a:b"\n[jobs.j.params.p]\n{example}',
    }

    assert name in example
    assert composed(texts[model]).registry is not None


def test_the_sample_is_empty_as_it_comes_and_good_with_every_example_taken(settings: Settings) -> None:
    taken = re.sub(r"^#(?=\S)", "", SAMPLE, flags=re.MULTILINE)
    environ = dict.fromkeys(["TIDY_TOKEN", "PING_SYNC_PRICES", "PRICES_TOKEN"], "x")

    found = compose(builtin.document(settings), read(taken.encode(), "jobs.toml"), environ=environ)

    assert tomllib.loads(SAMPLE) == {}
    assert len(found.registry) == len(builtin.jobs(settings)) + 6
    assert {type(job.action) for job in found.registry.values()} >= {Python, Command, Http}
    assert [warning.field for warning in found.warnings] == ["shell"]
    assert not found.registry["daily_report"].enabled
