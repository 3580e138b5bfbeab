"""What the tests of this folder may ask for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.executor.runkit import Project


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """An empty project folder."""
    made = Project(tmp_path)
    yield made
    made.cancel.close()
