"""Makes the outputs that the metrics read: of the weights of a run, of a tuning trial, or of a run in progress."""

from __future__ import annotations

from unlearn_bench.core.spec import digest_of
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.batches import Normalise
from unlearn_bench.data.passed_images import unwatched
from unlearn_bench.models import Classifier, checkpoints
from unlearn_bench.models.outputs import ModelOutputs, Predictions, arrange, predict, predict_all
from unlearn_bench.running.recorded_models import network_of
from unlearn_bench.running.tasks import Task, method_data
from unlearn_bench.store import Store
from unlearn_bench.store.records import ModelRecord, OutputsRecord, RunRecord


def outputs_of_run(
    network: Classifier,
    model: ModelRecord,
    task: Task,
    dataset: Dataset,
    split: ForgetSplit,
    normalise: Normalise,
    store: Store,
) -> tuple[ModelOutputs, OutputsRecord | None]:
    """Returns the outputs of a finished run, and the record of their file, which a tuning trial does not have.

    Args:
        network: the network, with the weights of the run.
        model: the record of these weights.
        task: the run.
        dataset: the images to predict, except those that the split changed.
        split: the division into forget set and retain set.
        normalise: maps uint8 pixels to the network's input.
        store: records where the files are.
    """
    if task.spec.experiment.is_trial or model.weights_digest is None:
        return _of_trial(network, task, split, normalise), None
    revision = task.spec.revisions.get("model", "")
    return _stored(network, model.weights_digest, dataset, split, normalise, store, revision)


def outputs_on_the_way(network: Classifier, dataset: Dataset, split: ForgetSplit, normalise: Normalise) -> ModelOutputs:
    """Returns the outputs of a run in progress. They are not written, and their images are not those of the method."""
    with unwatched():
        return arrange(predict_all(network, dataset.test, split, normalise), split)


def recorded_outputs(run: RunRecord, dataset: Dataset, split: ForgetSplit, store: Store) -> ModelOutputs:
    """Returns the outputs of a recorded run: from their file if it is intact, else computed from its checkpoint.

    Computed outputs are not written.

    Args:
        run: a run that is done.
        dataset: the images of the run, on the device of the result.
        split: their division into forget set and retain set.
        store: records where the files are.

    Raises:
        CheckpointError: neither outputs nor weights of the run exist.
        OptionError, UnknownNameError: its architecture cannot be built here.
    """
    device = dataset.test.labels.device
    if run.outputs is not None:
        tensors = checkpoints.read(store.output_files, run.outputs.file, run.outputs.file_digest, device)
        if tensors is not None:
            return arrange(Predictions.from_tensors(tensors), split)
    network = network_of(run, store).to(device)
    normalise = Normalise(*network.statistics(dataset.mean, dataset.std))
    return arrange(predict_all(network, dataset.test, split, normalise), split)


def _of_trial(network: Classifier, task: Task, split: ForgetSplit, normalise: Normalise) -> ModelOutputs:
    """Returns the outputs of a tuning trial: on the images held out of D_f and D'_r, which replace the test images."""
    data = method_data(task, split)
    retain, forget, held_retain = (
        predict(network, images, normalise) for images in (data.seen_retain, data.held_forget, data.held_retain)
    )
    return ModelOutputs(retain=retain, forget=forget, test_retain=held_retain, test_forget=forget)


def _stored(
    network: Classifier,
    weights: str,
    dataset: Dataset,
    split: ForgetSplit,
    normalise: Normalise,
    store: Store,
    revision: str,
) -> tuple[ModelOutputs, OutputsRecord]:
    """Returns the outputs on every split: from their file if it is intact, else computed in one pass and written.

    The file holds float32, so that a metric reads the same numbers from the file as from the pass.

    Args:
        network: the network, with the weights of that digest.
        weights: digest of the weights.
        dataset: the images to predict, except those that the split changed.
        split: the division into forget set and retain set.
        normalise: maps uint8 pixels to the network's input.
        store: records where the files are.
        revision: revision of the architecture, because another one can give other outputs for equal weights; empty for
            a built-in architecture of version 1.
    """
    images = split.digest if split.triggered is not None else ""
    parts = [part for part in (network.preparation, revision) if part]
    key = digest_of(["outputs", weights, dataset.digest, images, *parts])
    record = store.outputs(key)
    if record is not None:
        tensors = checkpoints.read(store.output_files, record.file, record.file_digest, dataset.test.labels.device)
        if tensors is not None:
            return arrange(Predictions.from_tensors(tensors), split), record
    predictions = predict_all(network, dataset.test, split, normalise)
    file, digest = checkpoints.write(predictions.to_tensors(), store.output_files, key)
    return arrange(predictions, split), OutputsRecord(key, file, digest)
