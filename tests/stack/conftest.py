"""Small folders that look like a project to the parts of the launcher."""

from __future__ import annotations

from pathlib import Path

import pytest

LOCK = """\
alpha==1.2.3 \\
    --hash=sha256:00
beta-two==4.5 ; sys_platform == 'win32' \\
    --hash=sha256:00
gamma==6 ; python_full_version >= '3.8' and sys_platform != 'win32' \\
    --hash=sha256:00
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with a lock file of three packages, two of which are for this platform."""
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "base.lock").write_text(LOCK)
    return tmp_path
