"""What Replit reads."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from echopilot_jobs.settings import Settings
from echopilot_jobs.stack import launcher

ROOT = Path(__file__).parents[2]


def test_the_run_button_and_the_deployment_start_the_same_command() -> None:
    replit = tomllib.loads((ROOT / ".replit").read_text())
    (workflow,) = replit["workflows"]["workflow"]
    (task,) = workflow["tasks"]

    assert replit["workflows"]["runButton"] == workflow["name"] == "Stack"
    assert (task["args"], task["waitForPort"]) == ("bin/stack", 5000)
    assert workflow["metadata"]["outputType"] == "webview"
    assert replit["deployment"] == {
        "deploymentTarget": "vm",
        "build": ["bin/stack", "install"],
        "run": ["bin/stack"],
    }
    assert replit["ports"] == [{"localPort": 5000, "externalPort": 80}], "a second port breaks publishing"


def test_everything_it_runs_is_there_and_executable() -> None:
    for name in ("stack", "supervisorctl", "echopilot", "test", "check", "lock"):
        assert os.access(ROOT / "bin" / name, os.X_OK), name
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, "http://127.0.0.1:5000"),
        ({"REPLIT_DEV_DOMAIN": "dev.example"}, "https://dev.example"),
        ({"REPLIT_DOMAINS": "one.example, two.example", "REPLIT_DEV_DOMAIN": "x"}, "https://one.example"),
    ],
)
def test_the_banner_names_the_address_people_can_open(
    variables: dict[str, str], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REPLIT_DOMAINS", "REPLIT_DEV_DOMAIN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert launcher._address(5000) == address


@pytest.mark.parametrize(
    ("port", "domain", "warned"),
    [
        (6000, "", ["  warning    browsers refuse to open port 6000; choose another one with PORT, for example 5000"]),
        (6667, "", ["  warning    browsers refuse to open port 6667; choose another one with PORT, for example 5000"]),
        (6000, "one.example", []),  # people come by the domain
        (5000, "", []),
    ],
)
def test_the_banner_warns_of_a_port_that_browsers_refuse(
    port: int, domain: str, warned: list[str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.var_dir.mkdir(mode=0o700)
    monkeypatch.setenv("PORT", str(port))
    monkeypatch.setenv("REPLIT_DOMAINS", domain)
    monkeypatch.delenv("REPLIT_DEV_DOMAIN", raising=False)

    lines = launcher._banner()

    assert [line for line in lines if "warning" in line] == warned
