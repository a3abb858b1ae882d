"""What is measured of a run's weights: predictions once, then every metric; and, of a traced run, some on the way."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch

from unlearn_bench import checkpoints
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.batches import Normalise
from unlearn_bench.errors import DivergedError
from unlearn_bench.isolation import isolated
from unlearn_bench.journal import Journal
from unlearn_bench.metrics import Metric, metrics
from unlearn_bench.models import Classifier
from unlearn_bench.outputs import ModelOutputs, Predictions, arrange, counted, predict, predict_all
from unlearn_bench.spec import digest_of
from unlearn_bench.store import Store
from unlearn_bench.store.records import Counts, OutputsRecord
from unlearn_bench.tasks import TRACED_METRICS, Task, give


def measure(outputs: ModelOutputs, wanted: Sequence[Metric]) -> dict[str, float]:
    """Returns the value of each metric.

    A plug-in's metric reads a copy: what it does in place must not change what is measured after it.

    Raises:
        DivergedError: one of ours is not finite.
        ValueError: one of a plug-in is not, which may be the plug-in's fault.
    """
    values = {}
    for metric in wanted:
        with isolated():
            value = float(metric.function(copy.deepcopy(outputs) if metric.origin else outputs))
        if not math.isfinite(value):
            problem = ValueError if metric.origin else DivergedError
            raise problem(f"the metric {metric.name} is {value}")
        values[metric.name] = value
    return values


def counts_of(outputs: ModelOutputs) -> dict[str, Counts]:
    """Returns what the model calls the images, see :class:`unlearn_bench.store.records.NewRun`."""
    predicted = {"retain": outputs.test_retain, "forget": outputs.forget, "triggered": outputs.triggered}
    return {name: counted(part) for name, part in predicted.items() if part is not None}


def outputs_of_trial(network: Classifier, task: Task, split: ForgetSplit, normalise: Normalise) -> ModelOutputs:
    """Returns the outputs on what a tuning trial held out of D_f and D'_r, in place of test images."""
    given = give(task, split)
    retain, forget, kept = (
        predict(network, images, normalise) for images in (given.seen_retain, given.held_forget, given.held_retain)
    )
    return ModelOutputs(retain=retain, forget=forget, test_retain=kept, test_forget=forget)


def stored_outputs(
    network: Classifier, weights: str, dataset: Dataset, split: ForgetSplit, normalise: Normalise, store: Store
) -> tuple[ModelOutputs, OutputsRecord]:
    """Returns the outputs on every split, read where they lie intact, else made in one pass and written.

    They are kept in float32, so that a metric reads the same numbers from the file as from the pass.

    Args:
        network: with the weights of that digest.
        weights: digest of the weights.
        dataset: whose images are predicted, but for those that the split changed.
        split: the division.
        normalise: uint8 pixels to the network's input.
        store: knows the files.
    """
    images = split.digest if split.triggered is not None else ""
    key = digest_of(["outputs", weights, dataset.digest, images])
    known = store.outputs(key)
    if known is not None:
        found = checkpoints.read(store.outputs_folder / known.file, known.file_digest, dataset.test.labels.device)
        if found is not None:
            return arrange(Predictions.from_tensors(found), split), known
    predictions = predict_all(network, dataset.test, split, normalise)
    file, digest = checkpoints.write(predictions.to_tensors(), store.outputs_folder, key)
    return arrange(predictions, split), OutputsRecord(key, file, digest)


def trace(
    journal: Journal, every: int, twin: Classifier, test: Callable[[Classifier], ModelOutputs]
) -> Callable[[Classifier], None]:
    """Has the journal measure the network at every so many steps; returns what measures it at once, for both ends.

    The network itself is not touched: its weights are copied into ``twin``, which counts no passes and has no mode to
    restore. Nothing random is drawn from the generators that the method uses.
    """
    wanted = [metrics.get(name) for name in TRACED_METRICS]

    def look(network: Classifier) -> None:
        # the end may be another model than the last step's: one of several students, or a head that was changed by hand
        journal.curves[:] = [
            point for point in journal.curves if point[0] != journal.steps or point[1] not in TRACED_METRICS
        ]
        twin.load_state_dict(network.state_dict())
        device = next(twin.parameters()).device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            for name, value in measure(test(twin), wanted).items():
                journal.record(name, value)

    def watch(network: Classifier) -> None:
        if journal.steps % every == 0:
            look(network)

    journal.watch = watch
    return look
