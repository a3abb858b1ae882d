"""What a table says of itself below its cells: what was measured, by what, on what, and what is missing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

from unlearn_bench.config import Row
from unlearn_bench.selection import Placed, Selection
from unlearn_bench.spec import THEN
from unlearn_bench.store import Store
from unlearn_bench.store.records import MethodRecord, RunRecord, Twin

REFERENCES = ("original", "retrained")
Configuration = tuple[str, int]  # forget set, seed
ONE_SEED = "One seed: bold and = speak of these models alone; with other reference models the order may differ."


def remarks_on(selection: Selection, methods: Sequence[str]) -> list[str]:
    """Returns where the options of these methods come from, where that is not the profile."""
    return [
        remark for remark in selection.remarks if remark.startswith(tuple(f"Options of {name}:" for name in methods))
    ]


def given_words(selection: Selection) -> str:
    """Returns the words of the user's command line that lead to the selection, for the next command."""
    given = f" {selection.given}" if selection.given else ""
    return f"{given} --options FILE" if selection.remarks else given


def words_of(selection: Selection) -> str:
    """Returns the words of a command line that choose the selection's experiment and forget sets."""
    experiment = selection.experiment
    words = [("--profile", selection.profile), ("--dataset", selection.source), ("--setting", experiment.setting)]
    words += [*(("--forget", each) for each in selection.forget), ("--precision", experiment.precision)]
    return "".join(f" {name} {shlex.quote(word)}" for name, word in words)


def missing_reference(selection: Selection, lacking: Sequence[Configuration]) -> str:
    """Returns that retrained runs are lacking, and the command that makes the first of them."""
    forget, seed = lacking[0]
    more = f", nor for {len(lacking) - 1} other configurations" if len(lacking) > 1 else ""
    experiment = selection.experiment
    command = f"unlearn-bench train{words_of(replace(selection, forget=(forget,)))} --seed {seed}"
    return (
        f"No retrained run on {experiment.dataset}, {experiment.setting} {forget}, seed {seed}{more}."
        f" Make it with: {command}"
    )


def provenance(selection: Selection, runs: Sequence[RunRecord]) -> list[str]:
    """Returns what was measured, on which model, by what and when."""
    experiment = selection.experiment
    images = {run.dataset_digest[:12] for run in runs}
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
        *_pinned(selection),
        measured_by(runs),
        *([ONE_SEED] if len(selection.seeds) == 1 and len(selection.forget) > 1 else []),
    ]


def _pinned(selection: Selection) -> list[str]:
    """Returns which models were not trained where the table was measured, and where they were."""
    models = selection.pinned.models.values() if selection.pinned else ()
    made_by = sorted({model.made_by for model in models if model.seed in selection.seeds})
    seeds = sorted({model.seed for model in models} & set(selection.seeds))
    return [
        f"Original and retrained models of seed {', '.join(map(str, seeds))} are pinned references, trained by {where}."
        for where in made_by
    ]


def measured_by(runs: Sequence[RunRecord]) -> str:
    """Returns by which versions, on which machines and when the runs were measured."""
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
    """Returns which data sets are measured in place of the paper's."""
    pairs = [
        (paper.dataset, selection.experiment.dataset)
        for row, selection in placed
        for paper in row.papers
        if not paper.is_measured
    ]
    return [f"In place of the paper's {paper}: {ours}." for paper, ours in dict.fromkeys(pairs)]


def origins(runs: Sequence[RunRecord], methods: Mapping[str, MethodRecord]) -> list[str]:
    """Returns which plug-ins the runs are of."""
    versions = {(run.method, run.spec["version"]) for run in runs if methods[run.method].origin}
    return [
        f"Plug-in: {methods[name].label} ({name}) of {methods[name].origin}, version {version}."
        for name, version in sorted(versions)
    ]


def own_inputs(runs: Sequence[RunRecord], methods: Mapping[str, MethodRecord]) -> list[str]:
    """Returns which methods of the runs make inputs of their own."""
    names = sorted({run.method for run in runs if methods[run.method].makes_inputs})
    return [
        f"{methods[name].label} makes inputs of its own: the images that it uses are not checked." for name in names
    ]


def twins_of(runs: Sequence[RunRecord], store: Store) -> list[tuple[RunRecord, Twin]]:
    """Returns the runs whose weights are another model's to the bit, each with the first run of that model.

    References name nobody. A run of the same method with the same options on the same forget set and seed is no other
    model: it may be the same run traced, or recorded by another version.
    """
    asked = [run for run in runs if run.model and run.model.weights_digest and run.status == "done"]
    known = store.with_digest([run.model.weights_digest or "" for run in asked if run.model])
    found = []
    for run in asked:
        own = (run.method, run.options, run.spec["forget_digest"], run.seed)
        others = [
            twin
            for twin in known
            if run.model and twin.digest == run.model.weights_digest
            if twin.method != run.method or (twin.method, twin.options, twin.forget_digest, twin.seed) != own
        ]
        others.sort(key=lambda twin: (twin.forget_digest != own[2], twin.run))  # rather of the same forget set
        if others and run.method not in REFERENCES:
            found.append((run, others[0]))
    return found


def twins(runs: Sequence[RunRecord], store: Store) -> list[str]:
    """Returns a sentence for each run whose weights are another model's to the bit."""
    found = twins_of(sorted(runs, key=lambda run: run.id), store)
    return [
        f"{run.method}, forget {run.forget}, seed {run.seed}: its weights are those of {twin.title}."
        for run, twin in found
    ]


def shortfalls(
    name: str, rows: Sequence[Row], by_row: Sequence[dict[Configuration, RunRecord]], selection: Selection
) -> list[str]:
    """Returns which runs diverged or failed, and how many have not been made."""
    notes = []
    for row, runs in zip(rows, by_row, strict=True):
        for forget, seed in selection.configurations:
            run = runs.get((forget, seed))
            if run is not None and run.status != "done":
                notes.append(f"{row.label or row.method}, forget {forget}, seed {seed}: {run.status}, {run.error}.")
    missing = sum(len(selection.configurations) - len(runs) for runs in by_row)
    if missing:
        notes.append(
            f"{missing} runs have not been made. Make them with: unlearn-bench reproduce --table {name} "
            f"--profile {selection.profile}{given_words(selection)}"
        )
    return notes
