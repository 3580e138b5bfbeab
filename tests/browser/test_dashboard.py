"""The pages in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from echopilot_jobs.ledger import Limits
from echopilot_jobs.runs import Outcome, Output, State
from echopilot_jobs.web.auth import new_login_link

from . import scenes
from .serving import Site

pytestmark = pytest.mark.browser
REFRESH = "htmx.trigger(document.getElementById('live'), 'refresh')"
EMPTY = scenes.Table(None)
SCENES: dict[str, Any] = {
    "quiet": (scenes.quiet_day, None),
    "bad": (scenes.bad_night, None),
    "stubborn": (scenes.stubborn_job, None),
    "refused": (scenes.refused_file, None),
    "empty": (lambda _, path: scenes.SqliteLedger(path), EMPTY),
    "gone": (None, scenes.Table([scenes.program("scheduler", "FATAL"), scenes.program("web", pid=1)])),
}
PATHS = ["/", "/jobs/export/run", "/jobs/export", "/jobs/ceo_brief", "/jobs/ceo_breif", "/runs", "/runs?state=failed"]
PATHS += ["/runs/19", "/nope", "/login"]

# Every piece of text with the contrast it has on what lies behind it.
CONTRAST = """() => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
      if (!c.endsWith(', 0)')) return c; } return 'rgb(255, 255, 255)'; };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), poor = [];
  while (walk.nextNode()) { const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !e.checkVisibility()
      || e.closest('svg, noscript, script, .unseen, option')) continue;
    const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05); if (ratio < 4.5) poor.push([walk.currentNode.data.trim(), ratio]); }
  return poor; }"""


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1200, "light")])
def test_every_page_fits_reads_well_and_makes_the_browser_complain_about_nothing(
    site_of: Callable[..., Site], window_of: Callable[..., Any], scene: str, width: int, scheme: str
) -> None:
    site = site_of(*SCENES[scene])
    window = window_of(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = window.sign_in(site)

    for path in PATHS:
        page.goto(site.address + path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} scrolls sideways"
        assert page.evaluate(CONTRAST) == [], path

    unexpected = [said for said in window.complaints if "Failed to load resource: the server responded" not in said]
    assert unexpected == []
    assert [url for url in window.asked if not url.startswith(site.address)] == []


BOX = "e => { const r = e.getBoundingClientRect(); return [r.left, r.right]; }"


def test_what_a_run_of_several_attempts_took_stands_in_its_own_place(
    site_of: Callable[..., Site], window_of: Callable[..., Any]
) -> None:
    site = site_of(scenes.stubborn_job, None)
    wide, narrow = (window_of(viewport={"width": width, "height": 800}).sign_in(site) for width in (1280, 360))
    row = wide.locator(".jobs tr", has_text="in 2 attempts")
    _, words_end = row.locator("[data-label='Last run'] .under").last.evaluate(
        "e => { const all = document.createRange(); all.selectNodeContents(e);"
        " const r = all.getBoundingClientRect(); return [r.left, r.right]; }"
    )
    marks_begin, _ = row.locator(".marks").evaluate(BOX)
    narrow.goto(site.address + "/runs")
    ends = {tuple(narrow.locator(".runs .state").nth(n).evaluate(BOX))[1] for n in range(5)}

    assert row.count() == 1
    assert words_end < marks_begin
    assert len(ends) == 1  # all states at the right edge, whatever stands below them


def test_the_papers_are_laid_out_alike_however_long_ago_they_were_written(quiet: Site, window: Any) -> None:
    page = window.sign_in(quiet)
    places = "all => all.map(e => e.getBoundingClientRect().top - e.closest('li').getBoundingClientRect().top)"
    page.evaluate("document.querySelector('.papers .rel').textContent = 'a very long time before the others'")

    for part in (".papers time", ".papers__links", ".papers__head"):
        assert len(set(page.eval_on_selector_all(part, places))) == 1, part


def test_links_to_what_a_run_wrote_are_two_to_the_eye(quiet: Site, window: Any) -> None:
    page = window.sign_in(quiet)
    assert quiet.ledger is not None
    (report,) = quiet.ledger.runs(job_name="daily_report", limit=1)
    page.goto(f"{quiet.address}/runs/{report.id}")

    read, data = page.eval_on_selector_all(".problem__do a", f"all => all.map({BOX})")

    assert data[0] - read[1] >= 12


@pytest.mark.parametrize("number", ["Pid", "Late", "Took"])
def test_the_head_of_a_column_of_numbers_stands_above_their_ends(quiet: Site, window: Any, number: str) -> None:
    page = window.sign_in(quiet)

    head = page.locator(f"th:text-is('{number}')").first

    assert head.evaluate("e => getComputedStyle(e).textAlign") == "right"


def test_the_runs_of_one_job_are_announced_in_a_sentence_without_holes(quiet: Site, window: Any) -> None:
    page = window.sign_in(quiet)

    page.goto(quiet.address + "/runs?job=ceo_brief")

    assert page.inner_text(".filters + p") == "Only runs of ceo_brief."


def test_a_mistake_in_a_form_stays_inside_its_box(quiet: Site, window: Any) -> None:
    page = window.sign_in(quiet)
    page.goto(quiet.address + "/jobs/ceo_brief")

    page.fill("#pause-for", "soon")
    page.click("text=Pause")
    page.wait_for_selector("ul.note--bad")

    assert page.eval_on_selector("ul.note--bad", "e => parseFloat(getComputedStyle(e).paddingLeft)") >= 24


def test_on_a_phone_a_form_follows_the_banner_without_an_empty_band(quiet: Site, window_of: Callable[..., Any]) -> None:
    page = window_of(viewport={"width": 360, "height": 800}).sign_in(quiet)

    page.goto(quiet.address + "/jobs/daily_report/run")
    banner, card = (page.locator(name).bounding_box() for name in (".bar", ".entrance"))

    assert card["y"] - banner["y"] - banner["height"] <= 16


def test_the_countdown_moves_by_itself(quiet: Site, window: Any) -> None:
    page = window.sign_in(quiet)
    text = page.inner_text(".next .rel")

    page.wait_for_function("text => document.querySelector('.next .rel').textContent !== text", arg=text)

    assert text.startswith("in ")
    assert page.inner_text(".next .rel").startswith("in ")


def test_run_now_says_so_without_leaving_the_page(quiet: Site, window: Any) -> None:
    page = window.sign_in(quiet)
    page.evaluate("window.stays = true")

    page.click("#run-ceo_brief")
    page.wait_for_selector("#note:not([hidden])")

    assert "of ceo_brief is queued" in page.inner_text("#note")
    assert page.evaluate("window.stays") is True
    assert quiet.ledger is not None
    assert quiet.ledger.last_runs()["ceo_brief"].state is State.QUEUED
    page.click("#note a")
    page.wait_for_selector("#run")
    assert "queued" in page.inner_text("#run h1")


def test_run_now_works_without_scripts(quiet: Site, window_of: Callable[..., Any]) -> None:
    page = window_of(java_script_enabled=False).sign_in(quiet)

    page.click("#run-daily_report")

    assert "is queued" in page.inner_text("#note")
    assert quiet.ledger is not None
    assert quiet.ledger.last_runs()["daily_report"].state is State.QUEUED


def refreshed(page: Any) -> None:
    """Refresh the live part and wait until it is there."""
    page.wait_for_function("() => window.htmx")  # its script is deferred
    page.evaluate("document.querySelector('.verdict').dataset.old = '1'")
    page.evaluate(REFRESH)
    page.wait_for_selector(".verdict:not([data-old])")


def test_a_refresh_moves_nothing_and_keeps_the_focus_and_the_scroll(bad: Site, window: Any) -> None:
    page = window.sign_in(bad)
    page.focus("#run-self_heal")
    page.evaluate("scrollTo(0, 400)")
    boxes = """[...document.querySelectorAll('section, tr')].map(e => { const r = e.getBoundingClientRect();
        return [r.x, r.y, r.width, r.height]; })"""
    before = page.evaluate(boxes)

    refreshed(page)

    assert page.evaluate(boxes) == before
    assert page.evaluate("document.activeElement.id") == "run-self_heal"
    assert page.evaluate("scrollY") == 400


def test_a_job_s_page_brings_what_happened_and_keeps_what_is_being_typed(quiet: Site, window: Any) -> None:
    page = window.sign_in(quiet)
    page.goto(quiet.address + "/jobs/ceo_brief")
    page.fill("#pause-note", "moving house")
    assert quiet.ledger is not None
    quiet.ledger.request_run("ceo_brief", scenes.NOW)

    page.wait_for_function("() => window.htmx")
    page.evaluate("htmx.trigger(document.getElementById('job-now'), 'refresh')")
    page.wait_for_selector("#job-now .going")

    assert "queued" in page.inner_text("#job-past table.runs")
    assert page.input_value("#pause-note") == "moving house"
    assert page.evaluate("document.activeElement.id") == "pause-note"


def test_a_job_is_held_and_let_go_without_scripts(quiet: Site, window_of: Callable[..., Any]) -> None:
    page = window_of(java_script_enabled=False).sign_in(quiet)
    page.click("table.jobs >> text=ceo_brief")
    page.fill("#pause-for", "2h")

    page.click("text=Pause")
    held = page.inner_text("#job-now")
    page.click("#resume")

    assert "Paused by session" in held
    assert "Next run at" in page.inner_text("#job-now")


def test_what_a_run_prints_is_followed_to_its_end_unless_somebody_has_scrolled_up(quiet: Site, window: Any) -> None:
    assert quiet.ledger is not None
    past = scenes.Past(quiet.settings, quiet.ledger, scenes.NOW)
    run, _ = quiet.ledger.request_run("ceo_brief", scenes.NOW)
    with quiet.ledger.leading(past.lease, scenes.NOW) as leading:
        leading.start_ready(Limits(1))

    def print_lines(count: int) -> None:
        with quiet.ledger.leading(past.lease, scenes.NOW) as leading:
            leading.note_outputs({run.id: Output("".join(f"line {n}\n" for n in range(count)))})

    at_end = "() => (e => e.scrollTop + e.clientHeight >= e.scrollHeight - 2)(document.getElementById('said'))"
    print_lines(200)
    page = window.sign_in(quiet)
    page.goto(f"{quiet.address}/runs/{run.id}")
    page.wait_for_function(at_end)
    print_lines(300)
    page.wait_for_function("() => document.getElementById('said').textContent.includes('line 299')")
    page.wait_for_function(at_end)
    page.evaluate("document.getElementById('said').scrollTop = 40")
    print_lines(400)
    page.wait_for_function("() => document.getElementById('said').textContent.includes('line 399')")

    page.wait_for_function("() => document.getElementById('said').scrollTop === 40")


def test_a_refresh_brings_what_happened_meanwhile(quiet: Site, window: Any) -> None:
    page = window.sign_in(quiet)
    assert quiet.ledger is not None
    quiet.ledger.request_run("ceo_brief", scenes.NOW)

    refreshed(page)

    assert "queued" in page.inner_text("table.runs")


def test_when_the_stack_is_gone_the_page_says_that_it_is_old(quiet: Site, window: Any) -> None:
    page = window.sign_in(quiet)
    quiet.stop()

    page.evaluate(REFRESH)
    page.wait_for_selector("#stale:not([hidden])")

    assert "What you see below is old" in page.inner_text("#stale")


def test_a_ledger_that_goes_away_is_told_and_its_return_too(quiet: Site, window: Any) -> None:
    page = window.sign_in(quiet)
    path = quiet.settings.ledger_path

    path.rename(path.with_suffix(".aside"))
    refreshed(page)
    away = page.inner_text("#verdict")
    path.with_suffix(".aside").rename(path)
    quiet.clock.sleep(2)
    refreshed(page)

    assert "No ledger at 'ledger.sqlite3'" in away
    assert "All well" in page.inner_text("#verdict")


def test_a_session_that_ended_elsewhere_leads_to_the_sign_in_page(quiet: Site, window: Any) -> None:
    page = window.sign_in(quiet)
    (quiet.settings.var_dir / "web.sqlite3").unlink()

    page.wait_for_function("() => window.htmx")
    page.evaluate(REFRESH)

    assert page.wait_for_selector("#key").is_visible()


def test_a_change_for_the_worse_is_announced_once(quiet: Site, window: Any) -> None:
    page = window.sign_in(quiet)
    quiet.clock.sleep(60)

    refreshed(page)

    page.wait_for_function("() => document.getElementById('announce').textContent.includes('beat')")
    assert page.title().startswith("✕")


def test_a_one_time_link_signs_in_with_one_click_and_not_again(quiet: Site, window_of: Callable[..., Any]) -> None:
    link = quiet.address + new_login_link(quiet.settings, scenes.NOW)
    first, second = window_of().page, window_of().page

    first.goto(link)
    second.goto(link)  # as a preview would
    first.click("text=Sign in here")
    first.wait_for_selector("#live")
    second.click("text=Sign in here")

    second.wait_for_selector("[role=alert]")
    assert "used before" in second.inner_text("[role=alert]")


def test_the_keyboard_reaches_everything_and_its_place_is_seen(bad: Site, window: Any) -> None:
    page = window.sign_in(bad)
    wanted = page.evaluate("[...document.querySelectorAll('main a, main button')].length")
    seen = []
    for _ in range(wanted + 12):
        page.keyboard.press("Tab")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        seen.append(
            (page.evaluate("document.activeElement.tagName + document.activeElement.textContent.trim()"), outline)
        )

    assert seen[0] == ("ASkip to the content", "solid")
    assert {outline for name, outline in seen if name[:1] in "AB" and not name.startswith("BODY")} == {"solid"}
    assert any(name.startswith("BUTTONRun now") for name, _ in seen)


def test_nothing_moves_for_those_who_asked_for_calm(quiet: Site, window_of: Callable[..., Any]) -> None:
    page = window_of(reduced_motion="reduce").sign_in(quiet)

    moving = (
        "[...document.querySelectorAll('*')].filter(e => { const s = getComputedStyle(e);"
        " return s.animationName !== 'none' || parseFloat(s.transitionDuration) > 0; }).length"
    )

    assert page.evaluate(moving) == 0


PAYLOADS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "</title><script>alert(1)</script>",
    "</pre><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    '"><img src=//evil.example/x>',
    "'-alert(1)-'",
    "javascript:alert(1)",
    "<iframe src=javascript:alert(1)>",
    "<base href=//evil.example/>",
    "<link rel=stylesheet href=//evil.example>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<form action=//evil.example><button autofocus>",
    "<style>@import '//evil.example'</style>",
    "<math><mi xlink:href=javascript:alert(1)>",
    "<object data=//evil.example>",
    "<div hx-get=//evil.example hx-trigger=load>",
    "<div hx-on:load=alert(1)>",
    "<div data-hx-get='//evil.example' data-hx-trigger='load'>",
    "{{constructor.constructor('alert(1)')()}}",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)>",
    "<a href='data:text/html,<script>alert(1)</script>'>x",
    "<!--><script>alert(1)</script>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "\u2028<script>alert(1)</script>",
    "<scr\x00ipt>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<body onload=alert(1)>",
    "<template hx-swap-oob=true id=live>gone",
]


def test_text_of_jobs_never_acts(site_of: Callable[..., Site], window: Any) -> None:
    """S12, S13: 31 payloads through error, output, result, actor, parameters, headline and the brief itself."""
    site = site_of(scenes.quiet_day)
    assert site.ledger is not None
    past = scenes.Past(site.settings, site.ledger, scenes.NOW)
    brief = site.settings.logs_dir / "brief.html"
    brief.write_text("<!doctype html><title>brief</title>" + "".join(PAYLOADS))
    for text in PAYLOADS:
        result = {"headline": text, text: text, "html_path": str(brief)}
        run, _ = site.ledger.request_run("ceo_brief", scenes.NOW, actor=text, params={"note": text})
        with site.ledger.leading(past.lease, scenes.NOW) as transaction:
            transaction.start_ready(Limits(1))
            run = site.ledger.run(run.id)
            ended = Outcome(
                State.SUCCEEDED, error=text, result=result, output=Output(head=text, tail=text, dropped_bytes=1)
            )
            transaction.finish(run, ended)
    page = window.sign_in(site)

    for run in site.ledger.runs(job_name="ceo_brief", limit=len(PAYLOADS)):
        page.goto(f"{site.address}/runs/{run.id}")
        assert page.locator("#run h1").count() == 1
    page.goto(site.address + "/runs")
    page.goto(site.address + "/")
    refreshed(page)
    assert window.complaints == []
    page.goto(f"{site.address}/artefacts/{run.id}/html")

    assert [url for url in window.asked if not url.startswith(site.address)] == []
    assert page.inner_text("body")
    assert not [said for said in window.complaints if said.startswith("dialog")]
    assert page.url.startswith(site.address)
