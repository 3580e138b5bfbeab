"""Vendored files are what they claim to be, and the pages load nothing else."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from flask.testing import FlaskClient

STATIC = Path(__file__).parent.parent.parent / "echopilot_jobs" / "web" / "static"
OWN = {"echopilot.css", "live.js", "mark.svg", "vendor.json"}


def test_every_vendored_file_is_the_one_in_the_manifest() -> None:
    """S36"""
    manifest = json.loads((STATIC / "vendor.json").read_text())

    for name, facts in manifest.items():
        content = (STATIC / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == facts["sha256"], name
        assert len(content) == facts["bytes"], name
        assert facts["version"] in name
        assert facts["license"]
    assert {path.name for path in STATIC.iterdir()} == OWN | set(manifest)


def test_the_vendored_version_is_the_one_it_calls_itself() -> None:
    for name, facts in json.loads((STATIC / "vendor.json").read_text()).items():
        assert f'"{facts["version"]}"' in (STATIC / name).read_text(), name


def test_no_page_and_no_sheet_names_another_host(client: FlaskClient) -> None:
    for path in [*STATIC.glob("*.css"), *STATIC.glob("live.js"), *STATIC.parent.glob("templates/*.html")]:
        foreign = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", path.read_text())
        assert [found for found in foreign if "localhost" not in found] == [], path.name


def test_static_files_are_served_with_their_types(client: FlaskClient) -> None:
    types = {name: client.get(f"/static/{name}").mimetype for name in ("echopilot.css", "live.js", "mark.svg")}

    assert types == {"echopilot.css": "text/css", "live.js": "text/javascript", "mark.svg": "image/svg+xml"}
