"""Records to a table of cells. Numbers stay at full precision here; rounding is the renderer's."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from unlearn_bench.config import Row, TableEntry
from unlearn_bench.errors import MissingRunError
from unlearn_bench.selection import Selection
from unlearn_bench.spec import THEN
from unlearn_bench.store import Store
from unlearn_bench.store.records import MethodRecord, MetricRecord, RunRecord

RETRAINED = "retrained"

Configuration = tuple[str, int]  # forget set, seed


@dataclass(frozen=True)
class Cell:
    """A method's result in one metric.

    Attributes:
        mean: over the configurations that are done; None where none is.
        std: their sample standard deviation; None for fewer than two.
        n: how many are done.
        gap: |mean − mean of the retrained model over the same configurations|; None for the retrained model itself.
        best: whether the gap is the smallest of the approximate methods with all configurations done.
        published: the paper's value, where it prints one.
    """

    mean: float | None
    std: float | None
    n: int
    gap: float | None
    best: bool = False
    published: float | None = None


@dataclass(frozen=True)
class TableRow:
    """A method's row; a reference (original, retrained) competes with nobody and shows no gap in the paper's style.

    ``expected`` is how many configurations each cell should have.
    """

    method: str
    label: str
    train_set: str
    is_reference: bool
    cells: tuple[Cell, ...]
    expected: int


@dataclass(frozen=True)
class Table:
    """A table with its provenance, ready for any renderer.

    Attributes:
        name, title: as in benchmarks.yaml.
        columns: the metrics.
        rows: in the order of benchmarks.yaml.
        notes: what was measured, on what, and what is missing, a sentence each.
        published_note: on the paper's values.
    """

    name: str
    title: str
    columns: tuple[MetricRecord, ...]
    rows: tuple[TableRow, ...]
    notes: tuple[str, ...]
    published_note: str = ""


def build_table(name: str, entry: TableEntry, placed: Sequence[tuple[Row, Selection]], store: Store) -> Table:
    """Returns the table of what the database holds.

    Args:
        name: of the table in benchmarks.yaml.
        entry: its title and metrics.
        placed: its rows, each with its configurations.
        store: the database.

    Raises:
        MissingRunError: a configuration has no retrained run with all metrics: without it no gap can be read.
    """
    method_records, metric_records = store.methods(), store.metrics()
    columns = tuple(
        metric_records.get(metric, MetricRecord(metric, metric, "", "near retrained", "")) for metric in entry.metrics
    )
    rows: list[TableRow] = []
    used: list[RunRecord] = []
    notes: dict[str, None] = {}  # in order, each once
    shortfalls: list[str] = []
    for selection, own in by_selection(placed):
        recorded = comparable_runs(selection.experiment.key, store)
        by_row = [runs_of_row(recorded, row, selection) for row in own]
        reference = runs_of_row(recorded, Row(method=RETRAINED), selection)
        lacking = [pair for pair in selection.configurations if not _measures(reference.get(pair), entry.metrics)]
        if lacking:
            raise MissingRunError(_missing_reference(selection, lacking))
        made = [
            _table_row(row, runs, reference, columns, method_records, len(selection.configurations))
            for row, runs in zip(own, by_row, strict=True)
        ]
        rows += _mark_best(made)
        here = [run for runs in (*by_row, reference) for run in runs.values()]
        notes.update(dict.fromkeys([*_provenance(selection, here), *selection.remarks]))
        shortfalls += _shortfalls(name, own, by_row, selection)
        used += here
    datasets = dict.fromkeys(selection.experiment.dataset for _, selection in placed)
    return Table(
        name=name,
        title=f"{entry.title}: {', '.join(datasets)}, profile {placed[0][1].profile}",
        columns=columns,
        rows=tuple(rows),
        notes=(*notes, *_stand_ins(entry, placed), *_origins(used, method_records), *shortfalls),
        published_note=entry.note,
    )


def by_selection(placed: Sequence[tuple[Row, Selection]]) -> list[tuple[Selection, list[Row]]]:
    """Returns runs of rows with the same configurations, in order."""
    groups: list[tuple[Selection, list[Row]]] = []
    for row, selection in placed:
        if not groups or groups[-1][0] != selection:
            groups.append((selection, []))
        groups[-1][1].append(row)
    return groups


def comparable_runs(experiment_key: str, store: Store) -> list[RunRecord]:
    """Returns the experiment's runs on the images last asked for, the last asked first; other images, another table."""
    recorded = sorted(store.runs(experiment_key=experiment_key), key=lambda run: (run.asked_at, run.id), reverse=True)
    return [run for run in recorded if run.dataset_digest == recorded[0].dataset_digest]


def runs_of_row(recorded: Sequence[RunRecord], row: Row, selection: Selection) -> dict[Configuration, RunRecord]:
    """Returns the run of each configuration that a row means.

    A run belongs to a row when it differs from its method's defaults in nothing but the options that the row states,
    and has these. Runs of several defaults or versions may: the last asked for decides, and only its like join it.
    """
    stated = selection.overrides(row)
    matching = [
        run
        for run in recorded
        if run.method == row.method
        and (run.forget, run.seed) in selection.configurations
        and set(run.changed_options) <= set(stated)
        and all(run.options.get(name) == value for name, value in stated.items())
    ]
    found: dict[Configuration, RunRecord] = {}
    for run in matching:  # last asked for first
        if (run.options, run.spec["version"]) == (matching[0].options, matching[0].spec["version"]):
            found.setdefault((run.forget, run.seed), run)
    return found


def label_of(row: Row, methods: Mapping[str, MethodRecord]) -> str:
    """Returns what a row is called: its own label, else its method's, else, of a method without a run, its name."""
    return row.label or (methods[row.method].label if row.method in methods else row.method)


def _table_row(
    row: Row,
    runs: dict[Configuration, RunRecord],
    reference: dict[Configuration, RunRecord],
    columns: Sequence[MetricRecord],
    methods: Mapping[str, MethodRecord],
    expected: int,
) -> TableRow:
    method = methods.get(row.method)
    cells = []
    for column in columns:
        done = {pair: run.values[column.name] for pair, run in runs.items() if column.name in run.values}
        target = [reference[pair].values[column.name] for pair in done]
        mean = statistics.fmean(done.values()) if done else None
        cells.append(
            Cell(
                mean=mean,
                std=statistics.stdev(done.values()) if len(done) > 1 else None,
                n=len(done),
                gap=abs(mean - statistics.fmean(target)) if mean is not None and row.method != RETRAINED else None,
                published=row.published.get(column.name),
            )
        )
    return TableRow(
        method=row.method,
        label=label_of(row, methods),
        train_set=method.train_set if method else "",
        is_reference=method.is_reference if method else False,
        cells=tuple(cells),
        expected=expected,
    )


def _mark_best(rows: Sequence[TableRow]) -> list[TableRow]:
    marked = [list(row.cells) for row in rows]
    for column in range(len(rows[0].cells)):
        gaps = {
            position: cell.gap
            for position, row in enumerate(rows)
            if not row.is_reference and (cell := row.cells[column]).gap is not None and cell.n == row.expected
        }
        for position, gap in gaps.items():
            if gap == min(gaps.values()):
                marked[position][column] = replace(marked[position][column], best=True)
    return [replace(row, cells=tuple(cells)) for row, cells in zip(rows, marked, strict=True)]


def _measures(run: RunRecord | None, metrics: Sequence[str]) -> bool:
    return run is not None and run.status == "done" and set(metrics) <= run.values.keys()


def _missing_reference(selection: Selection, lacking: Sequence[Configuration]) -> str:
    forget, seed = lacking[0]
    more = f", nor for {len(lacking) - 1} other configurations" if len(lacking) > 1 else ""
    experiment = selection.experiment
    words = {"--profile": selection.profile, "--dataset": selection.source, "--setting": experiment.setting}
    words |= {"--forget": forget, "--seed": str(seed), "--precision": experiment.precision}
    command = " ".join(f"{name} {shlex.quote(word)}" for name, word in words.items())
    return (
        f"No retrained run on {experiment.dataset}, {experiment.setting} {forget}, seed {seed}{more}."
        f" Make it with: unlearn-bench train {command}"
    )


def _provenance(selection: Selection, runs: Sequence[RunRecord]) -> list[str]:
    experiment = selection.experiment
    images = {run.dataset_digest[:12] for run in runs}
    dates = sorted({f"{pick(run.finished_at for run in runs):%Y-%m-%d}" for pick in (min, max)})
    machines = sorted({f"{run.environment.device} on {run.environment.machine}" for run in runs})
    versions = sorted({run.environment.code_version for run in runs})
    packages = sorted(
        {
            ", ".join(f"{name} {run.environment.packages[name]}" for name in ("torch", "scikit-learn", "python"))
            for run in runs
        }
    )
    described = ", ".join(f"{name} {value}" for name, value in experiment.model.items() if name != "name")
    recipe = ", ".join(f"{name} {value}" for name, value in experiment.recipe.items())
    setting = ", ".join(f"{name} {value}" for name, value in experiment.setting_options.items())
    is_sequence = any(THEN in words for words in selection.forget)
    sequence = f" ({THEN}: then, each request from the model after the one before)" if is_sequence else ""
    per_class = f", {experiment.train_per_class} training images a class" if experiment.train_per_class else ""
    return [
        f"Images: {experiment.dataset} (content {', '.join(sorted(images))}){per_class}; setting {experiment.setting}"
        f"{f' ({setting})' if setting else ''}; "
        f"forget sets {', '.join(selection.forget)}"
        f"{sequence}; seeds {', '.join(str(seed) for seed in selection.seeds)}.",
        f"Model: {experiment.model['name']} ({described}), {experiment.precision}; recipe: {recipe}.",
        f"Measured by unlearn-bench {', '.join(versions)} with {'; '.join(packages)}; {'; '.join(machines)}; "
        f"{' to '.join(dates)}.",
    ]


def _stand_ins(entry: TableEntry, placed: Sequence[tuple[Row, Selection]]) -> list[str]:
    """Returns which data sets are measured in place of the paper's."""
    pairs = [(row.dataset or entry.dataset, selection.experiment.dataset) for row, selection in placed]
    return [
        f"In place of the paper's {paper}: {ours}." for paper, ours in dict.fromkeys(pairs) if paper not in (None, ours)
    ]


def _origins(runs: Sequence[RunRecord], methods: Mapping[str, MethodRecord]) -> list[str]:
    versions = {(run.method, run.spec["version"]) for run in runs if methods[run.method].origin}
    return [
        f"Plug-in: {methods[name].label} ({name}) of {methods[name].origin}, version {version}."
        for name, version in sorted(versions)
    ]


def _shortfalls(
    name: str, rows: Sequence[Row], by_row: Sequence[dict[Configuration, RunRecord]], selection: Selection
) -> list[str]:
    notes = []
    for row, runs in zip(rows, by_row, strict=True):
        for forget, seed in selection.configurations:
            run = runs.get((forget, seed))
            if run is not None and run.status != "done":
                notes.append(f"{row.label or row.method}, forget {forget}, seed {seed}: {run.status}, {run.error}.")
    missing = sum(len(selection.configurations) - len(runs) for runs in by_row)
    if missing:
        options = " --options FILE" if selection.remarks else ""
        given = f" {selection.given}" if selection.given else ""
        notes.append(
            f"{missing} runs have not been made. Make them with: unlearn-bench reproduce --table {name} "
            f"--profile {selection.profile}{given}{options}"
        )
    return notes
