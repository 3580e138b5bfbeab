"""Takes the README's pictures again: `python tests/browser/take_pictures.py`, or with a folder for all scenes."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from browser import scenes  # noqa: E402
from browser.serving import KEY, Scene, serving  # noqa: E402


def take(
    browser: Browser, scene: Scene, path: Path, *, width: int = 1200, scheme: str = "light", at: str = "/"
) -> None:
    """One picture of the page *at* of *scene*."""
    with tempfile.TemporaryDirectory() as home, serving(Path(home) / "home", scene) as site:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(site.address + "/")
        page.fill("#key", KEY)
        page.click("button.strong")
        page.wait_for_selector("#live")
        page.goto(site.address + at)
        page.screenshot(path=path, full_page=True)
        context.close()


def main(folder: str | None = None) -> None:
    """Without *folder* the picture of the README, else every scene in every dress."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        if folder is None:
            target = ROOT / "docs" / "pictures"
            target.mkdir(parents=True, exist_ok=True)
            take(browser, scenes.quiet_day, target / "dashboard.png")
        else:
            for name in ("quiet_day", "bad_night"):
                for scheme, width in (("light", 1200), ("dark", 1200), ("light", 360)):
                    take(
                        browser,
                        getattr(scenes, name),
                        Path(folder) / f"{name}-{scheme}-{width}.png",
                        width=width,
                        scheme=scheme,
                    )
            take(browser, scenes.bad_night, Path(folder) / "run.png", at="/runs/19")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:2])
