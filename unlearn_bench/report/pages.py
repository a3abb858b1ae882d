"""Builds the content of a page: tables with their analyses, figures, and claims."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from unlearn_bench import __version__
from unlearn_bench.config.benchmarks import FigureEntry, TableEntry
from unlearn_bench.config.selection import Placed, title_of
from unlearn_bench.core.errors import MissingRunError, OptionError
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.charts.clouds import cloud_chart
from unlearn_bench.report.charts.cost import pareto_chart
from unlearn_bench.report.charts.curves import curve_charts
from unlearn_bench.report.charts.gaps import gap_charts
from unlearn_bench.report.cheat_audit import audit_metrics
from unlearn_bench.report.classes import describe_classes
from unlearn_bench.report.curves import curves_of
from unlearn_bench.report.embedding import Embedding, clouds_of
from unlearn_bench.report.floor import describe_floor, floors_of
from unlearn_bench.report.leaderboard import describe, leaderboard
from unlearn_bench.report.listing import progress_of
from unlearn_bench.report.page.content import Figure, Page, TableSection, TextTable, row_views, table_command
from unlearn_bench.report.tables import Table
from unlearn_bench.report.verdicts import describe_claims

MARKS = "Solid fill: the smallest gap; pale fill: not significantly larger."
BAND = "The band shows the typical difference of two retrained models with different seeds."
NO_BAND = "There is no band, because a band needs retrained models of at least two seeds."

Report = tuple[list[str], list[list[str]], list[str]]


def build_page(
    bench: Bench, tables: Sequence[str], embedding: Embedding, progress: Callable[[str, int, int], None]
) -> Page:
    """Returns the content of a page.

    Args:
        bench: the configurations and the database.
        tables: names of the tables to show; empty for all tables with recorded runs.
        embedding: embedding for clouds of features.
        progress: called for every part of the page.

    Raises:
        MissingRunError: no table has recorded runs, or one of ``tables`` lacks runs.
    """
    names = tables or [name for name, entry in bench.benchmarks.tables.items() if _has_runs(bench, entry)]
    if not names:
        raise MissingRunError(
            f"The database {bench.store.shown_url} has no run of any table at profile {bench.selection.profile}. "
            "Make some with: unlearn-bench demo"
        )
    figures = {} if tables else bench.benchmarks.figures
    total, lacking, sections, drawn = len(names) + len(figures), [], [], []
    twins = {} if tables else _twins(bench, names)
    for done, name in enumerate(names):
        progress("page", done, total)
        if name in twins:
            lacking.append(f"Table {name}: at profile {bench.selection.profile}, it equals table {twins[name]}.")
            continue
        try:
            sections.append(_table_section(bench, name))
        except (MissingRunError, OptionError) as problem:
            if tables:
                raise
            lacking.append(f"Table {name}: {problem}")
    for done, (name, figure) in enumerate(figures.items(), start=len(names)):
        progress("page", done, total)
        try:
            drawn.append(_figure(bench, name, figure, embedding))
        except (MissingRunError, OptionError) as problem:
            lacking.append(f"Figure {name}: {problem}")
    if not sections:
        raise MissingRunError(lacking[0])
    progress("page", total, total)
    datasets = dict.fromkeys(
        selection.experiment.dataset
        for section in sections
        for _, selection in bench.placed(bench.benchmarks.table(section.table.name))
    )
    return Page(
        title=f"Machine unlearning on {', '.join(datasets)}, profile {bench.selection.profile}",
        provenance=f"Written by unlearn-bench {__version__} from {bench.store.count()} recorded runs.",
        tables=tuple(sections),
        figures=tuple(drawn),
        claims=TextTable("Claims", (), (), ())
        if tables
        else TextTable("The paper's claims, tested on recorded runs", *describe_claims(bench)),
        lacking=tuple(lacking),
    )


def _has_runs(bench: Bench, entry: TableEntry) -> bool:
    try:
        return progress_of(bench.placed(entry), bench.store).done > 0
    except OptionError:  # the chosen data set lacks the scenario of the table
        return False


def _twins(bench: Bench, names: Sequence[str]) -> dict[str, str]:
    """Returns, for each table that equals an earlier one, the earlier: a data set can replace several of the paper."""
    first: dict[str, str] = {}
    twins = {}
    for name in names:
        entry = bench.benchmarks.table(name)
        rows = [
            (row.method, row.label, row.options, selection.experiment.key, selection.configurations)
            for row, selection in bench.placed(entry)
        ]
        earlier = first.setdefault(repr((entry.metrics, rows)), name)
        if earlier != name:
            twins[name] = earlier
    return twins


def _table_section(bench: Bench, name: str) -> TableSection:
    entry = bench.benchmarks.table(name)
    placed = bench.placed(entry)
    table = bench.table(name)
    rows = row_views(table, placed, bench.store)
    is_one = all(selection == placed[0][1] for _, selection in placed)
    metrics = [column.name for column in table.columns]
    floors = floors_of(placed[0][1], metrics, bench.store) if is_one else {}
    gaps = gap_charts(table, floors)
    figures = [Figure("Gap to retrained", gaps, [MARKS, BAND if floors else NO_BAND])] if gaps else []
    pareto = pareto_chart(table, rows) if is_one else None
    if pareto is not None:
        note = "Filled and connected: no method is both cheaper and closer to retrained. Dashed: cost of retraining."
        figures.append(Figure("Cost against gap", [pareto], [note]))
    return TableSection(
        table=table,
        rows=rows,
        command=table_command(name, placed[0][1]),
        figures=tuple(figures),
        analyses=tuple(_analyses(bench, entry, table, placed)),
    )


def _analyses(bench: Bench, entry: TableEntry, table: Table, placed: Placed) -> list[TextTable]:
    """Returns the analyses of a table. For an analysis that lacks runs, it contains the reason."""
    where = f", table {table.name}"
    analyses = [_text_table(f"Noise floor{where}", lambda: describe_floor(entry, placed, bench.store))]
    if all(selection == placed[0][1] for _, selection in placed):
        board = [(table.name, entry, placed)]
        analyses.append(_text_table(f"Leaderboard{where}", lambda: describe(leaderboard(board, bench.store))))
        analyses.append(_text_table(f"View by class{where}", lambda: describe_classes(placed, bench.store)))
        cheats = sorted(method.name for method in bench.store.methods().values() if method.is_cheat)
        if any(row.method in cheats for row in table.rows):
            analyses.append(_text_table(f"Metrics that a cheat passes{where}", lambda: audit_metrics(table, cheats)))
    return analyses


def _text_table(title: str, make: Callable[[], Report]) -> TextTable:
    try:
        return TextTable(title, *make())
    except (MissingRunError, OptionError) as problem:
        return TextTable(title, (), (), (str(problem),))


def _figure(bench: Bench, name: str, entry: FigureEntry, embedding: Embedding) -> Figure:
    placed = bench.placed(entry)
    title = f"Figure {name}. {title_of(entry, placed)}"
    if entry.kind == "features":
        clouds = clouds_of(name, placed, bench.store, embedding)
        charts = [cloud_chart(cloud, clouds.classes, title) for cloud in clouds.panels]
        return Figure(title, charts, clouds.notes)
    curves = curves_of(name, entry, placed, bench.store)
    note = "Thin lines: configurations; thick lines: their means; dashed lines: references."
    return Figure(title, curve_charts(curves, bench.store.metrics()), (note, *curves.notes))
