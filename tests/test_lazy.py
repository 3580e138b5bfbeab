"""Packages whose names are fetched when they are asked for."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import pytest

PACKAGES = ["", ".definitions", ".executor", ".jobsfile", ".ledger"]


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> ModuleType:
    return import_module(f"echopilot_jobs{request.param}")


def test_every_name_of_a_package_is_found_where_its_home_says(package: ModuleType) -> None:
    found = {name: getattr(package, name, None) for name in package.__all__}

    assert package.__all__
    assert [name for name, value in found.items() if value is None] == []


def test_another_name_is_missing_from_a_package_as_from_any_module(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match=rf"^module '{package.__name__}' has no attribute 'no_such_name'$"):
        package.no_such_name  # noqa: B018 - asking is what is tried
