"""The HTML report in a real browser: complete, inert, sortable, legible in light, dark, on a phone and on paper."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.benchmark import new_run
from support.command import command
from support.page import HOSTILE, fill, in_a_browser

from unlearn_bench.core.errors import MissingRunError
from unlearn_bench.core.progress import silent
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.charts.cost import pareto_front
from unlearn_bench.report.page import to_html
from unlearn_bench.report.pages import build_page
from unlearn_bench.report.tables import mean_gap

SCREENS = [(1280, 900, "light"), (1280, 900, "dark"), (390, 844, "light"), (390, 844, "dark")]


@pytest.fixture
def html(bench: Bench) -> str:
    fill(bench)
    return to_html(build_page(bench, ["3"], "pca", silent))


class Opened:
    """A page in a browser with all that it said and asked for, its charts drawn."""

    def __init__(self, browser: Any, file: Path, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        self.page = self.context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda problem: self.said.append(str(problem)))
        self.page.on("dialog", lambda dialog: (self.said.append("dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri())
        for chart in self.page.query_selector_all(".chart"):
            chart.scroll_into_view_if_needed()
            self.page.wait_for_function("chart => chart.querySelector('svg')", arg=chart)


@pytest.fixture
def opened(browser: Any, html: str, tmp_path: Path) -> Iterator[Opened]:
    file = tmp_path / "report.html"
    file.write_text(html, encoding="utf-8")
    found = Opened(browser, file)
    yield found
    found.context.close()


@in_a_browser
@pytest.mark.parametrize(("width", "height", "scheme"), SCREENS)
def test_it_needs_nothing_says_nothing_and_can_be_read_by_all(
    browser: Any, html: str, tmp_path: Path, width: int, height: int, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    file = tmp_path / "report.html"
    file.write_text(html, encoding="utf-8")
    opened = Opened(browser, file, width, height, scheme)
    assert (opened.said, opened.asked) == ([], [file.as_uri()])
    assert axe.Axe().run(opened.page).response["violations"] == []
    assert not opened.page.evaluate("document.documentElement.scrollWidth > innerWidth")
    ground = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    assert file.stat().st_size < 3e6
    opened.context.close()


@in_a_browser
def test_a_cell_shows_its_configurations_by_mouse_and_by_keyboard(opened: Opened) -> None:
    page = opened.page
    cell, tip = page.locator("table.values td[data-metric=da]").nth(3), page.locator("#tip")
    assert tip.is_hidden()
    cell.hover()
    cell.hover(position={"x": 8, "y": 8})  # a page that scrolls to it hides the first
    text = tip.inner_text()
    assert "MUDA, da: 0.93±0.06 (0.02)" in text
    assert re.search(r"forget 1, seed 0\s+0.89\s+run \d+", text)
    assert re.search(r"forget 3, seed 0\s+0.97\s+run \d+", text)
    page.mouse.move(0, 0)
    assert tip.is_hidden()
    cell.focus()
    assert tip.is_visible()
    assert cell.get_attribute("aria-describedby") == "tip"
    page.keyboard.press("Escape")
    assert tip.is_hidden()


@in_a_browser
def test_a_heading_sorts_numbers_as_numbers(opened: Opened) -> None:
    page = opened.page
    heading = page.locator("table.values th").filter(has_text="LP(D_f)")
    methods = page.locator("table.values tbody th")
    heading.get_by_role("button").click()
    assert methods.all_inner_texts() == ["FT", "Retrained", "MUDA", "Original"]  # 49.5, 62, 63.5, 97.5
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert methods.all_inner_texts() == ["Original", "MUDA", "Retrained", "FT"]
    page.locator("table.values th").first.get_by_role("button").click()
    assert methods.all_inner_texts() == ["FT", "MUDA", "Original", "Retrained"]
    assert heading.get_attribute("aria-sort") is None


@in_a_browser
def test_charts_draw_what_the_table_says(opened: Opened) -> None:
    page = opened.page
    drawn = page.locator(".charts").first.locator(".chart svg").all()
    assert len(drawn) == 2  # a chart a metric
    marks = page.locator(".charts").first.locator("svg [aria-roledescription=point]")
    described = [mark.get_attribute("aria-label") or "" for mark in marks.all()]
    assert len(described) == 4
    assert any("Method: MUDA; smallest: smallest; Gap: 0.02; Configurations: 2 of 2" in text for text in described)
    marks.first.hover(force=True)
    assert "Configurations" in page.locator("#tip").inner_text()
    alts = [chart.get_attribute("aria-label") or "" for chart in page.locator(".chart").all()]
    assert "the smallest is MUDA, the largest 0.35 of FT." in alts[0]
    assert "No method is both cheaper and nearer than these: FT, MUDA." in alts[-1]


@in_a_browser
def test_the_noise_floor_is_a_band_behind_the_points(bench: Bench, browser: Any, tmp_path: Path) -> None:
    fill(bench)
    for forget, value in (("1", 0.93), ("3", 1.0)):
        again = new_run(bench, "retrained", forget, (value, 63.0))
        bench.store.record(replace(again, spec=replace(again.spec, seed=1)))
    file = tmp_path / "report.html"
    file.write_text(to_html(build_page(bench, ["3"], "pca", silent)), encoding="utf-8")
    opened = Opened(browser, file, scheme="dark")
    band = opened.page.locator(".charts").first.locator("svg [aria-roledescription=bar], svg .mark-rect path").first
    assert band.get_attribute("fill") == "#2b323a"  # the page's own --band in the dark
    alt = opened.page.locator(".chart").first.get_attribute("aria-label") or ""
    assert "Two retrained models typically differ by 0.012." in alt  # √2 × 0.015 / √π
    opened.context.close()


@in_a_browser
def test_printed_it_is_light_and_complete(browser: Any, html: str, tmp_path: Path) -> None:
    pypdf = pytest.importorskip("pypdf", reason="pypdf is not installed")
    file = tmp_path / "report.html"
    file.write_text(html, encoding="utf-8")
    opened = Opened(browser, file, scheme="dark")
    opened.page.pdf(path=tmp_path / "report.pdf", format="A4")
    text = "\n".join(page.extract_text() for page in pypdf.PdfReader(tmp_path / "report.pdf").pages)
    assert "0.93±0.06 (0.02)" in text
    assert "Skip to the tables" not in text
    opened.page.emulate_media(media="print")
    assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    opened.context.close()


@in_a_browser
def test_hostile_words_are_words(bench: Bench, browser: Any, tmp_path: Path) -> None:
    fill(bench, label=HOSTILE)
    file = tmp_path / "report.html"
    plain = to_html(build_page(bench, ["3"], "pca", silent))
    file.write_text(plain, encoding="utf-8")
    opened = Opened(browser, file)
    assert opened.page.evaluate("window.hacked") is None
    assert (opened.said, opened.asked) == ([], [file.as_uri()])
    assert HOSTILE in opened.page.locator("table.values tbody th").all_inner_texts()
    opened.page.locator("table.values td[data-metric=da]").nth(3).hover()
    assert HOSTILE in opened.page.locator("#tip").inner_text()
    assert opened.page.locator("img").count() == 0
    opened.context.close()


@pytest.mark.slow
def test_every_row_comes_with_a_command_that_makes_it(bench: Bench) -> None:
    fill(bench)
    (section,) = build_page(bench, ["3"], "pca", silent).tables
    assert section.command == "unlearn-bench reproduce --table 3 --profile tiny"
    by_method = {view.row.method: view.command for view in section.rows}
    assert by_method["original"].startswith("unlearn-bench train --profile tiny --dataset digits --scenario class")
    made = command(*by_method["muda"].split()[1:])  # as printed
    assert made.returncode == 0, made.stderr


def test_what_cannot_be_shown_is_said(bench: Bench) -> None:
    with pytest.raises(MissingRunError, match="no run of any table"):
        build_page(bench, [], "pca", silent)
    fill(bench)
    page = build_page(bench, [], "pca", silent)
    (section,) = page.tables
    reasons = {words.title: words.notes[0] for words in section.analyses if not words.header}
    assert "at least two seeds" in reasons["Noise floor, table 3"]
    assert page.figures == ()
    bench.store.record(new_run(bench, "ft", "1", (0.0, 0.0), status="failed", options={"epochs": 3}))
    assert "diverged" not in to_html(page)


def test_mean_gap_takes_percent_as_shares(bench: Bench) -> None:
    fill(bench)
    table = bench.table("3")
    by_method = {row.method: mean_gap(table, row) for row in table.rows}
    assert by_method["muda"] == pytest.approx((abs(0.93 - 0.95) + abs(63.5 - 62) / 100) / 2)
    assert by_method["retrained"] == 0
    lacking = replace(table.rows[3], expected=3)
    assert mean_gap(table, lacking) is None


def test_the_front_holds_what_nothing_beats() -> None:
    draw = np.random.default_rng(0)
    for _ in range(200):
        points = [{"images": float(x), "gap": float(y)} for x, y in draw.integers(0, 6, (7, 2))]
        unbeaten = {
            (one["images"], one["gap"])
            for one in points
            if not any(
                other["images"] <= one["images"] and other["gap"] <= one["gap"] and other != one for other in points
            )
        }
        assert {(point["images"], point["gap"]) for point in pareto_front(points)} == unbeaten
        front = pareto_front(points)
        assert all(one["images"] < other["images"] for one, other in itertools.pairwise(front))


def test_the_page_as_typed(bench: Bench, home: Path) -> None:
    fill(bench)
    made = command("report", "--html", "out/page.html")
    assert (made.returncode, made.stdout) == (0, "Written to out/page.html\n"), made.stderr
    assert "<h2>Table 3." in (home / "out" / "page.html").read_text(encoding="utf-8")
    for words, says in (
        (("--html", "x.html", "--format", "csv"), "Leave out --format"),
        (("--html", "x.html", "--table", "9"), "No table named '9'"),
        ((), "one table, got 0"),
        (("--table", "3", "--table", "3"), "one table, got 2"),
    ):
        refused = command("report", *words)
        assert (refused.returncode, refused.stdout) == (2, ""), refused.stderr
        assert says in refused.stderr
    assert not (home / "x.html").exists()
