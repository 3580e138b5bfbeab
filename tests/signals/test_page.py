"""The page shows what the brief says, whatever the files tried to make of it (S12, S13, S14)."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from signalkit import NOW, brief_facts, level_log, minutes, sentinel_like, stamp, uptime_like, write

from echopilot_jobs.signals.brief import Brief, as_json
from echopilot_jobs.signals.charts import WIDTH, bar, line, strip
from echopilot_jobs.signals.findings import Finding, Severity
from echopilot_jobs.signals.page import page, render

TEMPLATES = Path(__file__).resolve().parents[2] / "echopilot_jobs" / "builtin" / "templates"
ZOO = [
    "<script>alert(1)</script>", "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "</title><script>alert(1)</script>", "</style><script>alert(1)</script>",
    "{{ 7*7 }}", "{% raw %}",
    "javascript:alert(1)", "<!--", "-->", "]]>", "&lt;script&gt;", "\u202egnp.exe", "\u2028", "\u2029", "\x85", "\x1b[31mred",
    "\x00nul", "\ud800", "<iframe src=//evil.example>", "<base href=//evil.example>", "<meta http-equiv=refresh content=0>",
    "=cmd()", "{0} %s {oops}", "a" * 5000, "\u0301" * 300, "<a href='javascript:alert(1)'>x</a>", "`${1}`", "\U000e0041tag",
]  # fmt: skip
ALLOWED = set(re.findall(r"\S+", """
    html head meta title style body header h1 h2 h3 p main dl div dt dd small ol ul li strong span article figure
    figcaption svg desc rect polyline line table thead tbody tr th td br footer code"""))  # fmt: skip


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "action", "xlink:href")]


def tags_of(html: str) -> Tags:
    tags = Tags()
    tags.feed(html)
    return tags


def page_of(brief: Brief) -> str:
    return page(brief, as_json(brief, ["b.html"]))


def hostile(folder: Path) -> Brief:
    """Every payload as field name, state, message, complaint and file name, in files that have all charts."""
    for n, bad in enumerate(ZOO):
        rows = [
            {
                "ts": stamp(moment),
                "status": "critical" if i % 5 == 0 else bad,
                "message": f"{bad} happened",
                bad: 100 + i if i % 5 == 0 else i % 50,
                "warnings": [bad],
                f"{bad}_status": "failed" if i % 7 == 0 else bad,
            }
            for i, moment in enumerate(minutes(NOW.replace(hour=2), 60))
        ]
        name = re.sub(r"[/\x00]", "_", bad.encode("utf-8", "replace").decode())[:60]
        write(folder / f"{n}{name}.ndjson", rows)
        (folder / f"{n}{name}.txt").write_text(bad, errors="replace")
    return brief_facts(folder)


def test_hostile_names_and_values_stay_text(tmp_path: Path) -> None:
    html = page_of(hostile(tmp_path))
    tags = tags_of(html)

    assert tags.names <= ALLOWED, tags.names - ALLOWED
    assert not [name for name in tags.attributes if name.startswith("on") or name in ("href", "src", "style", "action")]
    assert "&lt;script&gt;alert(1)" in html
    assert "{{ 7*7 }}" in html
    assert "49" not in re.findall(r"'(\d+)'", html)


def test_what_hides_or_turns_text_around_is_made_visible(tmp_path: Path) -> None:
    """S14: separators, bidi overrides, control characters, tags and lone surrogates."""
    brief = hostile(tmp_path)
    html, data = page_of(brief), json.dumps(as_json(brief, []), ensure_ascii=False)

    for text in (html, data):
        assert not re.search(
            "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029\U000e0020-\U000e007f\ud800-\udfff]", text
        )
        assert "U+202E" in text
        assert "U+2028" in text


def test_the_page_asks_for_nothing_and_runs_nothing(tmp_path: Path) -> None:
    """S12: safe to open from a disk: no script, no link, no request."""
    uptime_like(tmp_path / "a.ndjson")
    html = page_of(brief_facts(tmp_path))

    tags = tags_of(html)

    assert tags.links == []
    assert "script" not in tags.names
    assert "default-src 'none'" in html
    assert "url(" not in html
    assert "@import" not in html


def test_the_page_shows_headline_figures_risks_charts_sources_and_what_is_missing(tmp_path: Path) -> None:
    uptime_like(tmp_path / "web.ndjson")
    sentinel_like(tmp_path / "box.ndjson")
    level_log(tmp_path / "heal.ndjson")
    (tmp_path / "gone.ndjson").symlink_to("nowhere")

    html = page_of(brief_facts(tmp_path))

    assert '<p class="headline">web.ndjson has records for only 27.3 % of its time' in html
    assert html.count('<figure class="strip">') == 3
    assert html.count('<figure class="bar">') == 3
    assert html.count('<figure class="line">') == 1
    assert "limit about 90" in html
    assert "silent 10.0 h from 1 Mar 2026 18:30 UTC" in html
    assert "<strong>gone.ndjson</strong>: is gone" in html
    assert html.count("<svg") == html.count("</svg>")


def test_what_is_to_be_typed_is_code_and_moments_are_said_as_people_say_them(tmp_path: Path) -> None:
    brief = brief_facts(tmp_path)
    fix = "`echopilot runs` lists them, a lone ` stays"
    brief.findings.append(Finding("x", Severity.HIGH, "run ledger", "`ceo_brief` failed", ("since today",), fix))

    html = page_of(brief)

    assert '<p class="headline"><code>ceo_brief</code> failed</p>' in html
    assert "<strong>Do:</strong> <code>echopilot runs</code> lists them, a lone ` stays" in html
    assert "<h1>Brief, 2 Mar 2026 08:00 UTC</h1>" in html
    assert not re.search(r"\d{4}-\d\d-\d\dT", html)


def test_every_picture_has_a_name_and_a_description(tmp_path: Path) -> None:
    uptime_like(tmp_path / "web.ndjson")
    sentinel_like(tmp_path / "box.ndjson")

    html = page_of(brief_facts(tmp_path))
    pictures = re.findall(
        r'<svg[^>]*role="img" aria-labelledby="(\S+) (\S+)">\s*<title id="(\S+)">.+?</title><desc id="(\S+)">.+?</desc>',
        html,
    )

    assert len(pictures) == html.count("<figure")
    assert all((one, two) == (title, desc) for one, two, title, desc in pictures)
    assert len({title for *_, title, _ in pictures}) == len(pictures)


@pytest.mark.parametrize("template", sorted(path.name for path in TEMPLATES.glob("*.html")))
def test_no_template_switches_escaping_off(template: str) -> None:
    """S13."""
    source = (TEMPLATES / template).read_text()

    assert not re.search(r"\|\s*safe|autoescape\s+false|<script|javascript:|\son\w+=|Markup", source)


def test_text_in_a_template_of_others_is_made_plain_too() -> None:
    assert "A brief U+202E &lt;b&gt;" in render("_page.html") + render_title("A brief \u202e <b>")


def render_title(text: str) -> str:
    from echopilot_jobs.signals.charts import Bar

    facts = {"strips": [], "bars": [Bar(text, text, ())], "lines": [], "more": {"strips": 0, "bars": 0, "lines": 0}}
    return render("ceo_brief.html", brief=EMPTY | {"headline": text}, **facts)


EMPTY = {
    "ts": "2026-03-02T08:00:00Z", "summary": "", "kpis": dict.fromkeys(
        ["risks_critical", "risks_high", "records", "records_critical", "records_error"], 0
    ) | {"lowest_coverage_percent": None, "longest_outage_hours": None},
    "top_risks": [], "risks_not_shown": 0, "actions_next_24h": [], "actions_next_7d": [], "missing_signals": [],
    "own_signals": [], "sources": [], "confidence": 1.0, "confidence_notes": [],
}  # fmt: skip


def test_a_strip_keeps_every_block_inside_and_wide_enough_to_see() -> None:
    drawn = strip("t", "d", [(0, 1e-6, "dark", "w"), (99.9999, 100, "bad", "w"), (50, 500, "dark", "w")],
                  first=0, last=100, start="a", end="b")  # fmt: skip

    for block in drawn.blocks:
        assert block.x >= 0
        assert block.width >= 0.8
        assert block.x + block.width <= WIDTH + 0.01


def test_a_line_of_equal_or_huge_values_is_still_a_line() -> None:
    for values in ([5.0] * 10, [1e149, -1e149, 0.0], [1.0], [float(i % 97) for i in range(100_000)]):
        drawn = line("t", "d", values, low="a", high="b", limit=values[0], marked=list(range(len(values))))

        assert "nan" not in drawn.points
        assert "inf" not in drawn.points
        assert len(drawn.points.split()) <= 302
        assert len(drawn.dots) <= 300


def test_a_small_part_of_a_bar_is_visible_and_none_leaves_it() -> None:
    drawn = bar("t", "d", [("critical", 1), ("error", 0), ("fine", 99_999)])

    assert [block.kind for block in drawn.blocks] == ["fine", "critical"]
    assert all(block.width >= 2 and block.x + block.width <= WIDTH + 0.01 for block in drawn.blocks)


@pytest.mark.browser
def test_a_browser_runs_nothing_requests_nothing_and_scrolls_only_down(tmp_path: Path, chromium: Browser) -> None:
    """S12: the hostile page in Chromium, wide and at 360 px, in light, dark and print."""
    folder = tmp_path / "signals"
    folder.mkdir()
    made = tmp_path / "brief.html"
    made.write_text(page_of(hostile(folder)), encoding="utf-8")
    said: list[str] = []
    for width, scheme in ((1000, "light"), (360, "dark")):
        context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
        tab = context.new_page()
        tab.on("dialog", lambda dialog: said.append(dialog.message))
        tab.on("request", lambda request: said.append(request.url))
        tab.goto(made.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        tab.emulate_media(media="print")
        assert tab.evaluate("document.scripts.length") == 0
        context.close()

    assert said == [made.as_uri()] * 2
