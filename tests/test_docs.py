"""The words keep up with the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from echopilot_jobs import builtin
from echopilot_jobs.builtin import jobs
from echopilot_jobs.cli.door import VERBS
from echopilot_jobs.engines import PLACES
from echopilot_jobs.jobsfile import BadJobsFile, compose, read
from echopilot_jobs.settings import Settings, known_settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


@pytest.mark.parametrize("name", known_settings())
def test_every_setting_has_its_row_in_the_readme(name: str) -> None:
    row = next((line for line in README.splitlines() if line.startswith(f"| `{name}`")), "")
    description = known_settings()[name].metadata["description"]

    first_words = " ".join(description.replace("`", "").split()[:3])
    assert first_words in row.replace("`", ""), f"the README's row of {name} does not say: {description}"


def test_the_mistake_that_the_readme_shows_is_told_in_these_very_words(settings: Settings) -> None:
    shown = next(line for line in README.splitlines() if line.startswith("jobs.toml:"))
    example = README.partition("```toml\n")[2].partition("```")[0]

    user = read(example.replace("Europe/Riga", "Europe/Rigga").encode(), "jobs.toml")
    with pytest.raises(BadJobsFile) as refused:
        compose(builtin.document(settings), user, environ={})

    assert refused.value.problems == (shown,)


@pytest.mark.parametrize("document", ["README.md", "docs/guarantees.md", "docs/jobs.md", "docs/slots.md"])
def test_how_many_runs_go_on_at_a_time_is_said_where_people_look(document: str) -> None:
    number = {8: "eight"}[PLACES]

    text = (ROOT / document).read_text(encoding="utf-8").lower()

    assert re.search(rf"\b{number} (runs|places)\b", text)


def test_every_built_in_job_is_in_the_readme(settings: Settings) -> None:
    assert all(f"| `{name}` |" in README for name in jobs(settings))


def test_every_verb_the_readme_uses_exists() -> None:
    used = set(re.findall(r"^echopilot (\w+)", README, flags=re.MULTILINE))

    assert used
    assert used <= set(VERBS)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8"))

    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_every_runtime_dependency_is_explained() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    words = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")

    names = [re.split(r"[<>=]", wanted)[0] for wanted in project["dependencies"]]
    assert [name for name in names if name not in words] == []


@pytest.mark.parametrize("lock", ["base.lock", "dev.lock"])
def test_locks_pin_every_package_by_hash_and_name_no_host_S36(lock: str) -> None:
    text = (ROOT / "locks" / lock).read_text(encoding="utf-8")
    packages = re.split(r"\n(?=[a-z0-9])", text.strip())

    assert len(packages) > 20
    assert all("==" in package and "--hash=sha256:" in package for package in packages)
    assert "://" not in text
