"""Plain-text descriptions of records and methods, for ``runs``, ``show``, ``status`` and ``explain``."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tabulate import tabulate

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.config.selection import Selection
from unlearn_bench.core.errors import unknown_name
from unlearn_bench.report.intervals import backdoor_intervals
from unlearn_bench.report.render import one_line
from unlearn_bench.report.tables import comparable_runs, runs_of_row
from unlearn_bench.store import Store
from unlearn_bench.store.records import Counts, MetricRecord, RunRecord


def plain_table(header: Sequence[str], body: Sequence[Sequence[Any]]) -> str:
    """Returns a table for a terminal. It does not round numbers, and it replaces control characters."""
    plain = [[one_line(str(cell)) for cell in row] for row in body]
    return tabulate(plain, [one_line(name) for name in header], tablefmt="simple", disable_numparse=True)


Listing = tuple[list[str], list[list[Any]]]  # header and body


def show_listing(listing: Listing, as_json: bool, notes: Sequence[str] = ()) -> str:
    """Returns a listing as text with notes below it, or as JSON: a list with one object per row."""
    header, body = listing
    if as_json:
        return json.dumps([dict(zip(header, row, strict=True)) for row in body], indent=2, ensure_ascii=False)
    return "\n".join([plain_table(header, [["–" if cell is None else cell for cell in row] for row in body]), *notes])


SORTS: dict[str, Callable[[RunRecord], Any]] = {
    "run": lambda run: run.id,
    "method": lambda run: run.method,
    "dataset": lambda run: run.dataset,
    "forget": lambda run: run.forget,
    "seed": lambda run: run.seed,
    "profile": lambda run: run.profile,
    "status": lambda run: run.status,
}


def sorted_runs(runs: Sequence[RunRecord], by: str) -> list[RunRecord]:
    """Returns the runs sorted by a column or by a metric. Runs without the metric come last.

    Args:
        runs: the runs, newest first.
        by: name of a column or of a metric; ``finished`` keeps the order.

    Raises:
        UnknownNameError: ``by`` is neither a column nor a metric of any run.
    """
    if by == "finished":
        return list(runs)
    if by in SORTS:
        return sorted(runs, key=SORTS[by])
    metrics = {name for run in runs for name in run.values}
    if by not in metrics:
        raise unknown_name("column or metric", by, [*SORTS, "finished", *metrics])
    return sorted(runs, key=lambda run: (by not in run.values, run.values.get(by, 0.0)))


def list_runs(runs: Sequence[RunRecord], metric: str | None = None) -> Listing:
    """Returns a row for each run, with a column for ``metric`` unless it is None.

    The column ``version`` has the version of the method, and those of a plug-in's model and scenario.
    """
    header = ["run", "key", "method", "version", "dataset", "forget", "seed", "profile", "status", "finished (UTC)"]
    body: list[list[Any]] = [
        [
            r.id,
            r.key[:12],
            r.method,
            r.versions,
            r.dataset,
            r.forget,
            r.seed,
            f"{r.profile}, trial" if r.is_trial else r.profile,
            r.status,
            f"{r.finished_at:%Y-%m-%d %H:%M}",
        ]
        for r in runs
    ]
    if metric is not None:
        header.append(metric)
        body = [[*row, run.values.get(metric)] for row, run in zip(body, runs, strict=True)]
    return header, body


def list_values(runs: Sequence[RunRecord], metrics: Mapping[str, MetricRecord]) -> str:
    """Returns a table with a row for each run and a column for each metric."""
    names = sorted({name for run in runs for name in run.values})
    header = [
        "run",
        "method",
        "forget",
        "seed",
        "status",
        *(f"{n} {metrics[n].unit}".strip() for n in names),
        "samples",
        "forward",
        "backward",
        "seconds",
    ]
    body = [
        [
            run.id,
            run.method,
            run.forget,
            run.seed,
            run.status,
            *(f"{run.values[name]:.4g}" if name in run.values else "–" for name in names),
            *_cost(run),
        ]
        for run in runs
    ]
    return plain_table(header, body)


def run_as_json(run: RunRecord) -> str:
    """Returns the complete record of a run as JSON: an object with the fields of the record, times in UTC."""
    return json.dumps(asdict(run), indent=2, ensure_ascii=False, default=lambda value: value.isoformat())


def describe_run(
    run: RunRecord,
    metrics: Mapping[str, MetricRecord],
    predicted: Mapping[str, Counts] | None = None,
    remarks: Sequence[str] = (),
) -> str:
    """Returns the complete record of a run as text.

    Args:
        run: the run.
        metrics: the records of metrics, by name.
        predicted: counts of predictions; for a backdoor, the text then includes confidence intervals.
        remarks: remarks on the run, shown before its values.
    """
    intervals = backdoor_intervals(predicted, int(run.forget)) if predicted and "triggered" in predicted else {}
    lines: list[tuple[str, Any]] = [
        ("run", f"{run.id}, {run.status}" + (f": {run.error}" if run.error else "")),
        ("key", run.key),
        ("method", f"{run.method}, version {run.spec['version']}"),
        ("options", _pairs(run.options)),
        ("changed from default", _pairs(run.changed_options) or "nothing"),
        ("dataset", f"{run.dataset}, content {run.dataset_digest}"),
        ("forget set", f"{run.scenario} {run.forget}, hash {run.spec['forget_digest']}{_version(run, 'scenario')}"),
        ("seed", run.seed),
        *([("D'_r", f"drawn from other images, content {retain}")] if (retain := _retain_of(run)) else []),
        ("model", _pairs(run.spec["experiment"]["model"]) + _version(run, "model")),
        ("recipe", _pairs(run.spec["experiment"]["recipe"])),
        ("precision", f"{run.precision}, CPU threads: {run.spec['experiment']['threads']}"),
        ("profile", run.profile),
        ("finished", f"{run.finished_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("code", run.environment.code_version),
        ("packages", _pairs(run.environment.packages)),
        ("machine", f"{run.environment.device} on {run.environment.machine}"),
        ("evaluation", f"{run.evaluation_seconds:.2f} s"),
    ]
    if held_out := run.spec["experiment"]["held_out"]:
        lines.append(("held out", f"{held_out:g} of D_f and of D'_r; metrics use these images only"))
    elif run.is_trial:
        lines.append(("trial", "the method receives all of D_f and D'_r; metrics use these images only"))
    if run.model:
        memory = f"{run.model.peak_memory_bytes / 2**20:.0f} MiB" if run.model.peak_memory_bytes else "not measured"
        lines += [
            ("method time", f"{run.model.method_seconds:.2f} s"),
            (
                "images",
                f"{run.model.samples_seen} drawn, {run.model.forward_images} passed forward, "
                f"{run.model.backward_images} backward",
            ),
            ("peak memory", memory),
            ("checkpoint", f"{run.model.file}, SHA-256 {run.model.file_digest}" if run.model.file else "none"),
            ("weights", f"{run.model.parameters} parameters, digest {run.model.weights_digest or '–'}"),
            *((f"curve {name}", text) for name, text in _curves(run.model.curves)),
        ]
    lines += [("remark", remark) for remark in remarks]
    for name, value in sorted(run.values.items()):
        more = f" ({intervals[name]})" if name in intervals else ""
        lines.append((name, f"{value!r} {metrics[name].unit}".strip() + more))
    plain = [(one_line(name), one_line(str(value))) for name, value in lines]
    return tabulate(plain, tablefmt="plain", disable_numparse=True)


@dataclass(frozen=True)
class Progress:
    """The progress of a table.

    Attributes:
        done, total, broken: number of runs that are done, of all runs, and of runs that diverged or failed.
        seconds: estimated time for the missing runs on one core or GPU: for each, the mean time of the recorded runs of
            its method in its experiment. None if no such run is recorded.
    """

    done: int
    total: int
    broken: int
    seconds: float | None


def progress_of(placed: Sequence[tuple[Row, Selection]], store: Store) -> Progress:
    """Returns the progress of a table."""
    recorded = {key: comparable_runs(key, store) for key in {selection.experiment.key for _, selection in placed}}
    done = total = broken = 0
    seconds: float | None = 0.0
    for row, selection in placed:
        runs = recorded[selection.experiment.key]
        own = runs_of_row(runs, row, selection).values()
        done += sum(run.status == "done" for run in own)
        broken += sum(run.status != "done" for run in own)
        total += len(selection.configurations)
        missing = len(selection.configurations) - len(own)
        took = [
            run.model.method_seconds + run.evaluation_seconds
            for run in runs
            if run.method == row.method and run.status == "done" and run.model is not None
        ]
        if missing:
            seconds = seconds + missing * statistics.fmean(took) if took and seconds is not None else None
    return Progress(done, total, broken, seconds)


def _cost(run: RunRecord) -> list[str]:
    if run.model is None:
        return ["–"] * 4
    counts = (run.model.samples_seen, run.model.forward_images, run.model.backward_images)
    return [*(f"{count:,}" for count in counts), f"{run.model.method_seconds:.1f}"]


def _version(run: RunRecord, kind: str) -> str:
    return f", {kind} version {run.revisions[kind]}" if kind in run.revisions else ""


def _retain_of(run: RunRecord) -> str:
    """Returns the digest of the images that D'_r is drawn from in place of D_r; empty for D_r."""
    return str(run.spec["experiment"].get("retain", ""))


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _curves(points: Sequence[tuple[int, str, float]]) -> list[tuple[str, str]]:
    names = dict.fromkeys(name for _, name, _ in points)
    descriptions = []
    for name in names:
        values = [(step, value) for step, other, value in points if other == name]
        (first, start), (last, end) = values[0], values[-1]
        descriptions.append((name, f"{start:.4g} at step {first} to {end:.4g} at step {last}, {len(values)} points"))
    return descriptions
