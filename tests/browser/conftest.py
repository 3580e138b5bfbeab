"""A served scene, and windows of a real Chromium to look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from . import scenes
from .serving import KEY, Scene, Site, serving


@pytest.fixture
def site_of(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Serve a scene."""
    with ExitStack() as stack:
        number = iter(range(100))

        def make(scene: Scene | None, table: scenes.Table | None = None) -> Site:
            return stack.enter_context(serving(tmp_path / f"home{next(number)}", scene, table))

        yield make


@pytest.fixture
def quiet(site_of: Callable[..., Site]) -> Site:
    """A day on which all went well."""
    return site_of(scenes.quiet_day)


@pytest.fixture
def bad(site_of: Callable[..., Site]) -> Site:
    """A bad night."""
    return site_of(scenes.bad_night)


class Window:
    """A page that remembers every complaint of the browser and every address it asked for."""

    def __init__(self, context: BrowserContext) -> None:
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
        # A request that the policy refused never left the browser; Chromium reports it all the same.
        self.page.on("requestfinished", lambda request: self.asked.append(request.url))
        self.page.on("requestfailed", lambda request: request.failure == "csp" or self.asked.append(request.url))

    def sign_in(self, site: Site) -> Page:
        """Sign in with the key; the dashboard is open."""
        self.page.goto(site.address + "/")
        # Who types before the field has its autofocus takes that from it, and Chromium complains.
        self.page.wait_for_selector("#key:focus")
        self.page.fill("#key", KEY)
        self.page.click("button.strong")
        self.page.wait_for_selector("main:not(:has(#key))")
        self.page.wait_for_load_state(
            "load"
        )  # whoever clicks before the deferred scripts ran leaves the page, as without any
        return self.page


@pytest.fixture
def window_of(chromium: Browser) -> Iterator[Callable[..., Window]]:
    """A new window; keyword arguments go to the browser context."""
    with ExitStack() as stack:

        def make(**facts: object) -> Window:
            context = chromium.new_context(**facts)  # type: ignore[arg-type]
            stack.callback(context.close)
            return Window(context)

        yield make


@pytest.fixture
def window(window_of: Callable[..., Window]) -> Window:
    """A desktop window."""
    return window_of(viewport={"width": 1200, "height": 900})
