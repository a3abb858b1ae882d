"""The notes below a table: what was measured, with which software and hardware, and what is missing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.config.model_choice import OF_PROFILE
from unlearn_bench.config.selection import Placed, Selection
from unlearn_bench.core.errors import StorageError
from unlearn_bench.core.forget_words import THEN
from unlearn_bench.core.spec import PRETRAINED
from unlearn_bench.store import Store
from unlearn_bench.store.records import MethodRecord, RunRecord, Twin

REFERENCES = ("original", "retrained")
Configuration = tuple[str, int]  # forget set, seed
ONE_SEED = "Only one seed: the marks apply to these models only; other reference models can give another order."


def remarks_on(selection: Selection, methods: Sequence[str]) -> list[str]:
    """Returns how the options of these methods were chosen, if not by the profile."""
    return [remark for method, remark in selection.remarks.items() if method in methods]


def user_options(selection: Selection) -> str:
    """Returns the options of the user's command line that lead to the selection, for a command in a message."""
    options = f" {selection.user_options}" if selection.user_options else ""
    return f"{options} --options FILE" if selection.remarks else options


def words_of(selection: Selection) -> str:
    """Returns the command-line options that select the experiment and the forget sets of a selection."""
    experiment = selection.experiment
    words = [("--profile", selection.profile), ("--dataset", selection.source), ("--scenario", experiment.scenario)]
    words += [*(("--forget", forget) for forget in selection.forget), ("--precision", experiment.precision)]
    options = "".join(f" {name} {shlex.quote(word)}" for name, word in words)
    return options + "".join(f" {shlex.quote(word)}" for word in [*selection.reading.words, *selection.model.words])


def missing_reference(selection: Selection, lacking: Sequence[Configuration]) -> str:
    """Returns a sentence on missing retrained runs, with the command that makes the first of them."""
    forget, seed = lacking[0]
    more = f", nor for {len(lacking) - 1} other configurations" if len(lacking) > 1 else ""
    experiment = selection.experiment
    command = f"unlearn-bench train{words_of(replace(selection, forget=(forget,)))} --seed {seed}"
    return (
        f"No retrained run on {experiment.dataset}, {experiment.scenario} {forget}, seed {seed}{more}."
        f" Make it with: {command}"
    )


def provenance(selection: Selection, runs: Sequence[RunRecord]) -> list[str]:
    """Returns notes on data, model, software, hardware and dates of a table."""
    experiment = selection.experiment
    images = {run.dataset_digest[:12] for run in runs}
    model = ", ".join(f"{name} {value}" for name, value in experiment.model.items() if name not in ("name", PRETRAINED))
    recipe = ", ".join(f"{name} {value}" for name, value in experiment.recipe.items())
    scenario = ", ".join(f"{name} {value}" for name, value in experiment.scenario_options.items())
    is_sequence = any(THEN in words for words in selection.forget)
    sequence = f" ({THEN}: each request starts from the model after the previous one)" if is_sequence else ""
    revisions = {kind: f", version {text}" for run in runs for kind, text in run.revisions.items()}
    per_class = f", {experiment.train_per_class} training images per class" if experiment.train_per_class else ""
    return [
        f"Images: {experiment.dataset} (content {', '.join(sorted(images))}){per_class}; scenario {experiment.scenario}"
        f"{f' ({scenario})' if scenario else ''}{revisions.get('scenario', '')}; "
        f"forget sets {', '.join(selection.forget)}"
        f"{sequence}; seeds {', '.join(str(seed) for seed in selection.seeds)}.",
        f"Model: {experiment.model['name']}{f' ({model})' if model else ''}{revisions.get('model', '')}, "
        f"{experiment.precision}; recipe: {recipe}.",
        *_starting(selection),
        *_pinned(selection, runs),
        measured_by(runs),
        *([ONE_SEED] if len(selection.seeds) == 1 and len(selection.forget) > 1 else []),
    ]


def _starting(selection: Selection) -> list[str]:
    """Returns notes on starting weights, and on options that were chosen for another network."""
    notes, pretrained = [], selection.pretrained
    if pretrained is not None:
        name = f"{pretrained.file.name} (SHA-256 {pretrained.digest[:12]}…)"
        notes.append(f"Original and retrained models start from the weights in {name}.")
    if selection.model != OF_PROFILE and selection.options:
        notes.append(
            f"The network is not that of profile {selection.profile}, for which its recipe and options were chosen."
        )
    return notes


def _pinned(selection: Selection, runs: Sequence[RunRecord]) -> list[str]:
    """Returns notes on the pinned references among the runs: their seeds, and where they were trained.

    Another version of the architecture does not use the pinned references.
    """
    used = {run.model.key for run in runs if run.model}
    pinned = selection.pinned.models.values() if selection.pinned else ()
    models = [model for model in pinned if model.model_key(selection.experiment.disturbance) in used]
    made_by = sorted({model.made_by for model in models})
    seeds = sorted({model.seed for model in models})
    return [
        f"Original and retrained models of seed {', '.join(map(str, seeds))} are pinned references, trained by {by}."
        for by in made_by
    ]


def measured_by(runs: Sequence[RunRecord]) -> str:
    """Returns a note on versions, packages, machines and dates of the runs."""
    dates = sorted({f"{pick(run.finished_at for run in runs):%Y-%m-%d}" for pick in (min, max)})
    machines = sorted({f"{run.environment.device} on {run.environment.machine}" for run in runs})
    versions = sorted({run.environment.code_version for run in runs})
    packages = sorted(
        {
            ", ".join(f"{name} {run.environment.packages[name]}" for name in ("torch", "scikit-learn", "python"))
            for run in runs
        }
    )
    return (
        f"Measured by unlearn-bench {', '.join(versions)} with {'; '.join(packages)}; {'; '.join(machines)}; "
        f"{' to '.join(dates)}."
    )


def stand_ins(placed: Placed) -> list[str]:
    """Returns notes on data sets that are measured in place of the paper's."""
    pairs = [
        (paper.dataset, selection.experiment.dataset)
        for row, selection in placed
        for paper in row.papers
        if not paper.is_measured
    ]
    return [f"{ours} is measured in place of the paper's {paper}." for paper, ours in dict.fromkeys(pairs)]


def origins(runs: Sequence[RunRecord], methods: Mapping[str, MethodRecord]) -> list[str]:
    """Returns notes on the plug-in methods among the runs."""
    versions = {(run.method, run.spec["version"]) for run in runs if methods[run.method].origin}
    return [
        f"Plug-in method: {methods[name].label} ({name}) from {methods[name].origin}, version {version}."
        for name, version in sorted(versions)
    ]


def own_inputs(runs: Sequence[RunRecord], methods: Mapping[str, MethodRecord]) -> list[str]:
    """Returns notes on the methods among the runs that generate their own inputs."""
    names = sorted({run.method for run in runs if methods[run.method].makes_inputs})
    return [
        f"{methods[name].label} generates its own inputs, so the images that it uses are not checked." for name in names
    ]


def twins_of(runs: Sequence[RunRecord], store: Store) -> list[tuple[RunRecord, Twin]]:
    """Returns the runs whose weights are bitwise equal to another model's, each with the first run of that model.

    The result does not include references. A run with the same method, options, forget set and seed does not count as
    another model, because it can be the same run with tracing, or of another version.
    """
    done = [run for run in runs if run.model and run.model.weights_digest and run.status == "done"]
    candidates = store.with_digest([run.model.weights_digest or "" for run in done if run.model])
    pairs = []
    for run in done:
        own = (run.method, run.options, run.spec["forget_digest"], run.seed)
        others = [
            twin
            for twin in candidates
            if run.model and twin.digest == run.model.weights_digest
            if twin.method != run.method or (twin.method, twin.options, twin.forget_digest, twin.seed) != own
        ]
        others.sort(key=lambda twin: (twin.forget_digest != own[2], twin.run))  # prefer the same forget set
        if others and run.method not in REFERENCES:
            pairs.append((run, others[0]))
    return pairs


def twins(runs: Sequence[RunRecord], store: Store) -> list[str]:
    """Returns a note for each run whose weights are bitwise equal to another model's."""
    return [
        f"{run.method}, forget {run.forget}, seed {run.seed}: the weights are equal to those of {twin.title}."
        for run, twin in twins_of(sorted(runs, key=lambda run: run.id), store)
    ]


def not_stored(run: RunRecord, store: Store) -> list[str]:
    """Returns a note if the checkpoint of a run is not stored, or cannot be looked up."""
    if run.model is None or run.model.file is None:
        return []
    try:
        if store.model_files.exists(run.model.file):
            return []
    except StorageError as problem:
        return [str(problem)]
    return [
        f"{store.model_files.locate(run.model.file)} does not exist: --keep left the checkpoint out, or it was "
        "deleted. A run that needs it makes it again."
    ]


def shortfalls(
    name: str, rows: Sequence[Row], by_row: Sequence[dict[Configuration, RunRecord]], selection: Selection
) -> list[str]:
    """Returns notes on runs that diverged or failed, and on the number of missing runs."""
    notes = []
    for row, runs in zip(rows, by_row, strict=True):
        for forget, seed in selection.configurations:
            run = runs.get((forget, seed))
            if run is not None and run.status != "done":
                notes.append(f"{row.label or row.method}, forget {forget}, seed {seed}: {run.status}, {run.error}.")
    missing = sum(len(selection.configurations) - len(runs) for runs in by_row)
    if missing:
        notes.append(
            f"{missing} runs are missing. Make them with: unlearn-bench reproduce --table {name} "
            f"--profile {selection.profile}{user_options(selection)}"
        )
    return notes
