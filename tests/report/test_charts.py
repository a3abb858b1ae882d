"""Figures for paper: what their specifications hold, and what is drawn of it as PNG, SVG and PDF."""

import itertools
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from support.page import HOSTILE
from support.pictures import panels_of, pixels_of, points_of, size_of, symbols_of, values_in, words_of

from unlearn_bench.core.errors import OptionError
from unlearn_bench.report.charts.clouds import cloud_panels
from unlearn_bench.report.charts.curves import curve_panels
from unlearn_bench.report.charts.gaps import gap_charts
from unlearn_bench.report.charts.paper import COLUMN, FONT, PAGE, on_paper
from unlearn_bench.report.charts.rendering import SUFFIXES, render, save
from unlearn_bench.report.curves import Curves, Line, Trace
from unlearn_bench.report.embedding import Cloud, Clouds
from unlearn_bench.report.figures import gap_figure
from unlearn_bench.report.floor import Floor
from unlearn_bench.report.tables import Cell, Table, TableRow
from unlearn_bench.store.records import MetricRecord

FLOOR = Floor((0.85, 0.88))
GREY = (0xDD, 0xDD, 0xDD)  # of the band and of the grid


def row(label: str, *gaps: float | None, best: int = -1, tied: int = -1) -> TableRow:
    cells = tuple(
        Cell(None if gap is None else 0.5, None, 2, gap, best=k == best, tied=k == tied) for k, gap in enumerate(gaps)
    )
    return TableRow(label.lower(), label, "D", False, cells, 2)


def table(*rows: TableRow, metrics: int = 2) -> Table:
    columns = tuple(MetricRecord(f"m{k}", f"Metric {k}", "%" if k else "", "higher", "") for k in range(metrics))
    reference = TableRow("original", "Original", "D", True, tuple(Cell(0.5, None, 2, 0.3) for _ in columns), 2)
    return Table("3", "Small: digits, profile tiny", columns, (reference, *rows), ())


SMALL_TABLE = table(row("FT", 0.5, 8.0), row("MUDA", 0.1, 3.0, best=0), row("SCRUB", 0.125, None, tied=0))


def curves(*methods: str, metrics: tuple[str, ...] = ("da", "lp")) -> Curves:
    """Two references and methods of two configurations, the second of which diverges after two points."""
    lines = []
    for metric in metrics:
        lines += [Line("original", "Original", metric, (), 0.9), Line("retrained", "Retrained", metric, (), 0.8)]
        for k, method in enumerate(methods):
            whole = Trace(tuple((step, 0.9 - k / 10 - step / 100) for step in range(0, 50, 10)), False)
            cut = Trace(tuple((step, value - 0.05) for step, value in whole.points[:2]), True)
            lines.append(Line(method.lower(), method, metric, (whole, cut)))
    return Curves(tuple(lines), ("A note.",))


def clouds(classes: int, panels: int = 2) -> Clouds:
    draw = np.random.default_rng(0)
    labels = np.arange(60) % classes
    return Clouds(
        tuple(
            Cloud(f"Model {k}", draw.normal(labels[:, None], 0.1, (60, 2)), labels, draw.random(60) < 0.2)
            for k in range(panels)
        ),
        tuple(f"class {k}" for k in range(classes)),
        ("× marks D_f.",),
    )


def figures() -> dict[str, dict[str, Any]]:
    drawn = curves("MUDA", "NegGrad")
    return {
        "gaps": gap_figure(SMALL_TABLE, {"m0": FLOOR}),
        "curves": on_paper("Curves: digits, profile tiny", curve_panels(drawn, {}), drawn.notes),
        "clouds": on_paper("Clouds: digits, profile tiny", cloud_panels(clouds(3), "Clouds"), ("× marks D_f.",)),
    }


@pytest.mark.parametrize("name", ["gaps", "curves", "clouds"])
def test_a_figure_is_the_same_bytes_every_time_and_fits_a_page(name: str, tmp_path: Path) -> None:
    spec = figures()[name]
    drawn = {suffix: render(spec, suffix) for suffix in SUFFIXES}
    assert {suffix: render(spec, suffix) for suffix in SUFFIXES} == drawn
    width, height = size_of(drawn[".svg"])
    assert 0.95 * PAGE < width <= PAGE
    pixels, dots = pixels_of(drawn[".png"])
    assert dots == pytest.approx(300, abs=0.1)
    assert pixels.shape[1] / dots * 72 == pytest.approx(width, abs=0.5)
    (box,) = re.findall(rb"/MediaBox \[0 0 (\S+) (\S+)\]", drawn[".pdf"])
    assert (float(box[0]), float(box[1])) == (width, height)
    fonts = set(re.findall(rb"/BaseFont /\w+\+([\w-]+)", drawn[".pdf"]))
    assert fonts == {b"LiberationSans"}, "vl-convert brings it; another would be the machine's"
    save(spec, tmp_path / "figure.pdf")
    assert (tmp_path / "figure.pdf").read_bytes() == drawn[".pdf"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "gaps",
            [
                "Table 3. Small: digits, profile tiny",
                "Metric 0",
                "Metric 1 %",
                "MUDA",
                "smallest gap",
                "not significantly larger",
            ],
        ),
        ("curves", ["Curves: digits, profile tiny", "da", "MUDA", "Retrained", "diverged", "iterations", "A note."]),
        ("clouds", ["Clouds: digits, profile tiny", "Model 0", "class 2", "forget set", "× marks D_f."]),
    ],
)
def test_letters_are_texts_of_a_legible_size_within_the_picture(name: str, words: list[str]) -> None:
    svg = render(figures()[name], ".svg")
    assert not set(words) - set(words_of(svg))
    texts = [element for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("}text")]
    assert all(float(text.get("font-size", "0").removesuffix("px")) >= 7 for text in texts)
    assert {text.get("font-family") for text in texts} == {FONT}


def test_the_pictures_are_not_blank() -> None:
    """The gaps' black dots, grey band and rows lie in the PNG where the SVG has them."""
    with_band, without = (
        pixels_of(render(gap_figure(SMALL_TABLE, floors), ".png"))[0] for floors in ({"m0": FLOOR}, {})
    )
    grey = [int((pixels == GREY).all(axis=-1).sum()) for pixels in (with_band, without)]
    assert grey[0] > 2 * grey[1] > 0
    for name, spec in figures().items():
        pixels, _ = pixels_of(render(spec, ".png"))
        black = (pixels < 40).all(axis=-1)
        height, width = black.shape
        assert 0.002 < black.mean() < 0.2, name
        for part in (black[: height // 2], black[height // 2 :], black[:, : width // 2], black[:, width // 2 :]):
            assert part.mean() > 0.001, name
    colours = np.unique(pixels.reshape(-1, 3)[::7], axis=0)
    assert (np.ptp(colours.astype(int), axis=1) > 60).any(), "the classes of the clouds have colours"


def test_gaps_are_the_tables_with_marks_rows_and_bands() -> None:
    spec = gap_figure(SMALL_TABLE, {"m0": FLOOR})
    first, second = panels_of(spec)
    found = [[(point["Method"], point["gap"]) for point in points_of(panel, "point")] for panel in (first, second)]
    assert found == [[("FT", 0.5), ("MUDA", 0.1), ("SCRUB", 0.125)], [("FT", 8.0), ("MUDA", 3.0)]]
    kinds = {point["Method"]: point["smallest"] for point in points_of(first, "point")}
    assert kinds == {"FT": "larger", "MUDA": "smallest", "SCRUB": "not significantly larger"}
    assert points_of(first, "rect") == [{"low": 0, "high": FLOOR.typical}]
    assert points_of(second, "rect") == []
    axes = [panel["layer"][-1]["encoding"]["y"] for panel in (first, second)]
    assert [axis["scale"]["domain"] for axis in axes] == [["FT", "MUDA", "SCRUB"]] * 2
    assert [axis["axis"]["labels"] for axis in axes] == [True, False]
    svg = render(spec, ".svg")
    fills = [path.get("fill") for path in symbols_of(svg, "concat_1_concat_0_layer_1")]
    assert fills == ["white", "black", "#999"]
    assert "A panel without black" in " ".join(words_of(svg))
    assert "No band" not in " ".join(words_of(svg))
    assert "No band" in " ".join(words_of(render(gap_figure(SMALL_TABLE, {}), ".svg")))
    assert b"<desc>Table 3. Small: digits, profile tiny. Gap to retrained in Metric 0: the smallest is MUDA" in svg
    with pytest.raises(OptionError, match="no method with a gap"):
        gap_figure(table(), {})


def test_rows_of_one_label_stay_apart_on_paper_and_on_the_page() -> None:
    twice = table(row("MUDA", 0.1, 1.0), row("MUDA", 0.2, 2.0))
    (first, _) = panels_of(gap_figure(twice, {}))
    assert [point["Method"] for point in points_of(first, "point")] == ["MUDA", "MUDA (2)"]
    assert "largest 0.2 of MUDA (2)." in gap_charts(twice, {})[0].alt


@pytest.mark.parametrize(("metrics", "width", "rows"), [(1, COLUMN, 1), (4, PAGE, 1), (5, PAGE, 2), (9, PAGE, 3)])
def test_any_number_of_panels_fits_a_column_or_a_page(metrics: int, width: float, rows: int) -> None:
    names = ("A method with quite a long label", "FT")
    spec = gap_figure(table(*(row(name, *[0.3] * metrics) for name in names), metrics=metrics), {"m0": FLOOR})
    svg = render(spec, ".svg")
    assert 0.9 * width < size_of(svg)[0] <= width
    assert words_of(svg).count(names[0]) == rows, "the first panel of each line names the methods"


def test_curves_are_the_records_with_what_tells_them_apart() -> None:
    drawn = curves("MUDA", "NegGrad")
    panels = panels_of(on_paper("Curves", curve_panels(drawn, {}), ()))
    assert [panel["title"] for panel in panels] == ["da", "lp"]
    for panel, metric in zip(panels, ("da", "lp"), strict=True):
        lines = {line.label: line for line in drawn.lines if line.metric == metric}
        for name in ("MUDA", "NegGrad"):
            means = [point for point in points_of(panel, "line", strokeWidth=1.6) if point["Method"] == name]
            assert [(point["step"], point["value"]) for point in means] == lines[name].mean
            thin = [point for point in points_of(panel, "line", strokeWidth=0.5) if point["Method"] == name]
            assert [(point["step"], point["value"]) for point in thin] == [
                point for trace in lines[name].traces for point in trace.points
            ]
            ends = [point for point in points_of(panel, "point", filled=False) if point["Method"] == name]
            assert [(point["step"], point["value"]) for point in ends] == [lines[name].traces[1].points[-1]]
        levels = {point["Reference"]: point["value"] for point in points_of(panel, "rule")}
        assert levels == {"Original": 0.9, "Retrained": 0.8}
        dashes = [tuple(layer["mark"]["strokeDash"]) for layer in panel["layer"] if layer["mark"]["type"] == "rule"]
        assert len(set(dashes)) == 2
    calm = Curves(tuple(replace(line, traces=line.traces[:1]) for line in drawn.lines), ())
    assert "diverged" not in words_of(render(on_paper("Curves", curve_panels(calm, {}), ()), ".svg"))


def test_sixty_methods_differ_without_colour() -> None:
    (panel,) = panels_of(on_paper("", curve_panels(curves(*map(str, range(60)), metrics=("da",)), {}), ()))
    looks = [
        (layer["mark"]["color"], *layer["mark"]["strokeDash"])
        for layer in panel["layer"]
        if layer["mark"].get("strokeWidth") == 1.6
    ]
    shapes = [layer["mark"]["shape"] for layer in panel["layer"] if layer["mark"].get("filled")]
    assert len(set(zip(looks, shapes, strict=True))) == 60
    greys = {color for color, *_ in looks} - {"black"}
    assert all(len(set(color[1:])) == 1 for color in greys), "a grey has three equal digits"


def test_clouds_are_the_features_with_the_forget_set_as_crosses() -> None:
    given = clouds(3)
    spec = on_paper("Clouds", cloud_panels(given, "Clouds"), ())
    svg, colours = render(spec, ".svg"), set()
    for k, (panel, cloud) in enumerate(zip(panels_of(spec), given.panels, strict=True)):
        dots, crosses, *names = (layer["data"]["values"] for layer in panel["layer"])
        for points, chosen in ((dots, ~cloud.is_forget), (crosses, cloud.is_forget)):
            assert np.allclose([(point["x"], point["y"]) for point in points], cloud.points[chosen], rtol=1e-3)
            assert [point["Class"] for point in points] == [f"class {label}" for label in cloud.labels[chosen]]
        for point, label in zip(names[0], range(3), strict=True):
            own = cloud.points[~cloud.is_forget & (cloud.labels == label)]
            assert (point["x"], point["y"]) == pytest.approx(tuple(np.median(own, axis=0)), rel=1e-3)
        drawn = {layer: symbols_of(svg, f"concat_1_concat_{k}_layer_{layer}_") for layer in (0, 1)}
        assert [len(drawn[layer]) for layer in (0, 1)] == [(~cloud.is_forget).sum(), cloud.is_forget.sum()]
        assert {path.get("stroke") for path in drawn[1]} == {"black"}
        colours |= {(point["Class"], path.get("fill")) for point, path in zip(dots, drawn[0], strict=True)}
    assert len(colours) == len({color for _, color in colours}) == 3, "a class has one colour in all panels"


def test_more_than_twenty_classes_are_grey_and_have_no_names() -> None:
    svg = render(on_paper("Clouds", cloud_panels(clouds(21), "Clouds"), ()), ".svg")
    assert {path.get("fill") for path in symbols_of(svg, "concat_1_concat_0_layer_0_")} == {"#999"}
    assert not any(word.startswith("class ") for word in words_of(svg))


def test_hostile_words_are_words() -> None:
    name = f"{HOSTILE}\x00\n\x1b[31m"
    svg = render(gap_figure(replace(table(row(name, 0.1, 1.0), row("FT", 0.2, 2.0)), title=name), {}), ".svg")
    elements = list(ElementTree.fromstring(svg).iter())
    assert not {element.tag.rpartition("}")[2] for element in elements} & {"script", "image", "foreignObject", "a"}
    assert not any(attribute.startswith("on") for element in elements for attribute in element.attrib)
    assert "<script>window.hacked=1</script>" in " ".join(words_of(svg))


def test_nothing_outside_is_asked_for(tmp_path: Path) -> None:
    """vl-convert would load data and pictures from the network; figures name none, and the door is closed."""
    for spec in figures().values():
        assert not [name for name, value in values_in(spec) if name in ("url", "href") or "://" in str(value)]
    elsewhere = {"data": {"url": "http://127.0.0.1:9/data.json"}, "mark": "point"}
    for suffix in SUFFIXES:
        with pytest.raises(ValueError, match="not allowed"):
            render(elsewhere, suffix)
    with pytest.raises(OptionError, match=r"expected a name that ends in \.png"):
        save(elsewhere, tmp_path / "figure.gif")
    assert not any(tmp_path.iterdir())


def test_the_key_lies_within_the_figure_and_its_entries_apart() -> None:
    many = curves(*(f"Method number {k}" for k in range(12)))
    svg = render(on_paper("Many", curve_panels(many, {}), ()), ".svg")
    assert size_of(svg)[0] <= PAGE
    key = [element for element in ElementTree.fromstring(svg).iter() if "concat_0_" in element.get("class", "")]
    texts = [text for group in key for text in group if text.tag.endswith("}text")]
    places = sorted(
        (*map(float, re.findall(r"-?[\d.]+", text.get("transform", ""))[::-1]), text.text or "") for text in texts
    )
    assert len(places) == 15  # the methods, two references and the cross
    for (y, x, word), (below, right, _) in itertools.pairwise(places):
        assert below > y or right > x + 7 * 0.45 * len(word) + 20
