"""Unlearns a model of the user: imports its weights as an original model, runs a method, and returns both runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unlearn_bench.config.benchmarks import Benchmarks, Row
from unlearn_bench.config.selection import Choice, Selection
from unlearn_bench.core.errors import CheckpointError, MissingRunError, OptionError
from unlearn_bench.core.options import complete, identity
from unlearn_bench.data import Dataset
from unlearn_bench.data.loading import data_folder, reader_of
from unlearn_bench.data.retain import check_retain, digest_of_retain, with_retain
from unlearn_bench.data.scenarios import split_dataset
from unlearn_bench.methods import methods
from unlearn_bench.models import WEIGHTS, Classifier, build, checkpoints, describe, weights_digest
from unlearn_bench.models.external import External, read_own
from unlearn_bench.models.user_weights import refuse_normalisation
from unlearn_bench.models.weight_files import SavedWeights
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.making import ExecutionConfig, images_of, make_runs
from unlearn_bench.running.memory import available_cores
from unlearn_bench.running.plan import ORIGINAL, make_plan, with_preset
from unlearn_bench.store import Store
from unlearn_bench.store.records import ModelRecord, RunRecord


@dataclass(frozen=True, kw_only=True)
class OwnModel:
    """A trained model of the user.

    Attributes:
        file: its weights.
        key: which of several weights in the file to take; None to find them.
        architecture: ``torchvision:NAME``, ``timm:NAME``, ``MODULE:FUNCTION``, ``FILE.py:FUNCTION`` or a registered
            model.
        arguments: of the architecture; for an external one also ``normalise`` and ``last_stage``, see
            :func:`unlearn_bench.models.sources.complete`.
        size: side in pixels to which images are resized: when they are read if they are the user's own, else on their
            way into an external network.
    """

    file: Path
    architecture: str
    arguments: Mapping[str, Any]
    key: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class Unlearned:
    """A model before and after unlearning.

    Attributes:
        original, unlearned: the recorded runs.
        network: the model after unlearning.
        saved: the file of the model before, in whose form :meth:`write` writes.
    """

    original: RunRecord
    unlearned: RunRecord
    network: Classifier
    saved: SavedWeights

    def write(self, file: Path) -> None:
        """Writes the weights after unlearning with the keys, types and nesting of the user's file.

        Raises:
            FileError: the file cannot be written.
        """
        self.saved.write(self.network.own_state(), file)


def unlearn(
    model: OwnModel,
    benchmarks: Benchmarks,
    store: Store,
    choice: Choice,
    execution: ExecutionConfig,
    *,
    method: str,
    preset: str | None = None,
    options: Mapping[str, Any] | None = None,
    retain: str | None = None,
) -> Unlearned:
    """Returns a user's model after a method, with the recorded runs of both; a run that is recorded is not made again.

    The method gets its own defaults and not the options of a profile, which are tuned on other networks. All training
    images of the data set count: the profile's subset does not apply.

    Args:
        model: the trained model.
        benchmarks, store: benchmarks.yaml and the database.
        choice: data set, scenario, one forget set and at most one seed.
        execution: where the runs are made.
        method: a method that starts from the original model.
        preset, options: as of the command ``run``.
        retain: images that D'_r is drawn from in place of the rest of the training images, such as ``folder:PATH``.

    Raises:
        UserError: a name, file, option or image does not exist or does not fit; nothing is recorded.
        MissingRunError: the method failed or diverged; the sentence says how.
    """
    entry = methods.get(method)
    if entry.from_scratch:
        raise OptionError(f"The method '{method}' trains from scratch and does not unlearn. See `list methods`.")
    if len(choice.forget) != 1 or len(choice.seeds) > 1:
        raise OptionError("Unlearning needs one forget set and one seed. Give --forget once, such as --forget cat.")
    model, choice = _sized(model, choice)
    given = with_preset(entry, preset, dict(options or {}))
    row = Row(method=method, options=complete(entry.function, given, f"method '{method}'"))
    bench = Bench.choose(benchmarks, store, choice)
    bench = replace(bench, selection=_selection(bench.selection, model))
    dataset = _images(bench, execution, retain)
    network, saved = _network_of(model, dataset)
    bench = _with_model(bench, {WEIGHTS: weights_digest(network)}, digest_of_retain(dataset))
    plan = make_plan(bench.selection, [Row(method=ORIGINAL), row], dataset, store)
    first, last = plan.tasks[0], plan.tasks[-1]
    _import_weights(network, first.model_key, store)
    outcome = make_runs(bench, [Row(method=ORIGINAL), row], execution, dataset=dataset)
    runs = {run.key: run for run in bench.recorded(outcome.runs)}
    unlearned = runs[last.spec.key]
    record = unlearned.model
    if unlearned.status != "done" or record is None or record.file is None or record.file_digest is None:
        raise MissingRunError(
            f"The method {method} ended with the status {unlearned.status}: {unlearned.error}. Nothing was written. "
            "Change its options, such as a smaller --set lr=…."
        )
    if not checkpoints.read_weights(network, store.model_files, record.file, record.file_digest):
        raise CheckpointError(f"The weights of run {unlearned.id} are damaged. Run the same command again.")
    return Unlearned(runs[first.spec.key], unlearned, network, saved)


def _sized(model: OwnModel, choice: Choice) -> tuple[OwnModel, Choice]:
    """Returns model and choice with the size at the place where images are resized."""
    if model.size is None or choice.dataset is None:
        return model, choice
    if "size" in reader_of(choice.dataset)[0].reads_by:
        return model, replace(choice, reading=replace(choice.reading, size=model.size))
    return replace(model, arguments={**model.arguments, "input_size": model.size}), choice


def _selection(selection: Selection, model: OwnModel) -> Selection:
    """Returns the selection with the user's model in place of the profile's, and without the profile's choices."""
    original = methods.get(ORIGINAL).function
    experiment = replace(
        selection.experiment,
        train_per_class=None,
        test_per_class=None,
        model=describe(model.architecture, model.arguments),
        recipe=identity(original, complete(original, {}, "recipe")),  # nothing is trained by it
        threads=available_cores(),
        pinned="",
    )
    return replace(selection, experiment=experiment, options={}, pinned=None, pretrained=None)


def _images(bench: Bench, execution: ExecutionConfig, retain: str | None) -> Dataset:
    """Returns the images of the data set, with those that D'_r is drawn from in place of D_r, if they are given."""
    dataset, selection = images_of(bench, execution), bench.selection
    if retain is None:
        return dataset
    dataset = with_retain(
        dataset,
        retain,
        folder=data_folder(bench.benchmarks.home, execution.data),
        reading=selection.reading,
        download=execution.download,
        progress=execution.progress,
    )
    experiment = selection.experiment
    check_retain(dataset, split_dataset(dataset, experiment.scenario, selection.forget[0], experiment.scenario_options))
    return dataset


def _with_model(bench: Bench, changes: Mapping[str, Any], retain: str) -> Bench:
    experiment = bench.selection.experiment
    experiment = replace(experiment, model={**experiment.model, **changes}, retain=retain)
    return replace(bench, selection=replace(bench.selection, experiment=experiment))


def _network_of(model: OwnModel, dataset: Dataset) -> tuple[Classifier, SavedWeights]:
    """Returns the user's network with its weights, and their file."""
    description = describe(model.architecture, model.arguments)
    classes = len(dataset.classes)
    network = build(description, channels=dataset.channels, classes=classes, seed=0, side=dataset.side)
    saved = read_own(network, model.file, model.architecture, model.key)
    if isinstance(network, External):
        refuse_normalisation(saved, model.file, model.architecture)
    return network, saved


def _import_weights(network: Classifier, key: str, store: Store) -> None:
    """Records the user's weights as those of the original model, unless they are there and intact."""
    if key in store.with_weights([key]):
        return
    file, digest = checkpoints.write(network.state_dict(), store.model_files, key)
    store.record_model(
        ModelRecord(
            key=key,
            file=file,
            file_digest=digest,
            weights_digest=weights_digest(network),
            parameters=sum(parameter.numel() for parameter in network.parameters()),
            method_seconds=0.0,  # trained elsewhere
            samples_seen=0,
            forward_images=0,
            backward_images=0,
            peak_memory_bytes=None,
        )
    )
