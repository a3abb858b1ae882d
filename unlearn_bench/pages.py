"""What a page shows of a bench: its tables with all that follows from them, its figures, its claims."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from unlearn_bench import __version__
from unlearn_bench.bench import Bench
from unlearn_bench.config import FigureEntry, TableEntry
from unlearn_bench.errors import MissingRunError, OptionError
from unlearn_bench.report.classes import describe_classes
from unlearn_bench.report.curves import curves_of
from unlearn_bench.report.embedding import Embedding, clouds_of
from unlearn_bench.report.floor import describe_floor, floors_of
from unlearn_bench.report.fooled import audit_metrics
from unlearn_bench.report.listing import progress_of
from unlearn_bench.report.page.charts import gap_charts, pareto_chart
from unlearn_bench.report.page.content import Figure, Page, TableSection, Words, row_views, table_command
from unlearn_bench.report.page.figures import cloud_chart, curve_charts
from unlearn_bench.report.tables import Table
from unlearn_bench.selection import Placed, title_of
from unlearn_bench.verdicts import describe_claims

MARKS = "Filled: the smallest gap; half: not significantly larger."
BAND = "The band reaches to what two retrained models of different seeds typically differ by."
NO_BAND = "No band: it needs retrained models of two seeds or more."

Report = tuple[list[str], list[list[str]], list[str]]


def build_page(
    bench: Bench, tables: Sequence[str], embedding: Embedding, progress: Callable[[str, int, int], None]
) -> Page:
    """Returns what a page shows.

    Args:
        bench: the configurations and the database.
        tables: to show; none for all of which runs are recorded.
        embedding: of clouds of features.
        progress: told of every part.

    Raises:
        MissingRunError: nothing is recorded of any table, or of a named one.
    """
    names = tables or [name for name, entry in bench.benchmarks.tables.items() if _has_runs(bench, entry)]
    if not names:
        raise MissingRunError(
            f"The database {bench.store.shown_url} holds no run of any table at profile {bench.selection.profile}. "
            "Make some with: unlearn-bench demo"
        )
    figures = {} if tables else bench.benchmarks.figures
    total, lacking, sections, drawn = len(names) + len(figures), [], [], []
    twins = {} if tables else _twins(bench, names)
    for done, name in enumerate(names):
        progress("page", done, total)
        if name in twins:
            lacking.append(f"Table {name}: profile {bench.selection.profile} makes it the same as table {twins[name]}.")
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
        made=f"Written by unlearn-bench {__version__} from {bench.store.count()} recorded runs.",
        tables=tuple(sections),
        figures=tuple(drawn),
        claims=Words("Claims", (), (), ())
        if tables
        else Words("The paper's claims against the record", *describe_claims(bench)),
        lacking=tuple(lacking),
    )


def _has_runs(bench: Bench, entry: TableEntry) -> bool:
    try:
        return progress_of(bench.placed(entry), bench.store).done > 0
    except OptionError:  # the data set that was chosen has no such setting
        return False


def _twins(bench: Bench, names: Sequence[str]) -> dict[str, str]:
    """Returns, of each table that shows what an earlier one does, the earlier: a profile may stand in for data sets."""
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
        note = "Filled and joined: no method is both cheaper and nearer. Dashed: what retraining costs."
        figures.append(Figure("Cost against gap", [pareto], [note]))
    return TableSection(
        table=table,
        rows=rows,
        command=table_command(name, placed[0][1]),
        figures=tuple(figures),
        analyses=tuple(_analyses(bench, entry, table, placed)),
    )


def _analyses(bench: Bench, entry: TableEntry, table: Table, placed: Placed) -> list[Words]:
    """Returns the views that this table allows; one that needs runs says which."""
    where = f", table {table.name}"
    found = [_words(f"Noise floor{where}", lambda: describe_floor(entry, placed, bench.store))]
    if all(selection == placed[0][1] for _, selection in placed):
        found.append(
            _words(f"Damage by class, and where D_f goes{where}", lambda: describe_classes(placed, bench.store))
        )
        cheats = sorted(method.name for method in bench.store.methods().values() if method.is_cheat)
        if any(row.method in cheats for row in table.rows):
            found.append(_words(f"Which metrics a cheat passes{where}", lambda: audit_metrics(table, cheats)))
    return found


def _words(title: str, make: Callable[[], Report]) -> Words:
    try:
        return Words(title, *make())
    except (MissingRunError, OptionError) as problem:
        return Words(title, (), (), (str(problem),))


def _figure(bench: Bench, name: str, entry: FigureEntry, embedding: Embedding) -> Figure:
    placed = bench.placed(entry)
    title = f"Figure {name}. {title_of(entry, placed)}"
    if entry.kind == "features":
        clouds = clouds_of(name, placed, bench.store, embedding)
        charts = [cloud_chart(cloud, clouds.classes, title) for cloud in clouds.panels]
        return Figure(title, charts, clouds.notes)
    curves = curves_of(name, entry, placed, bench.store)
    note = "Thin: a configuration; thick: their mean; dashed: a reference."
    return Figure(title, curve_charts(curves, bench.store.metrics()), (note, *curves.notes))
