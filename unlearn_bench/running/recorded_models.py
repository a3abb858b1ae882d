"""Loads the network of a recorded run."""

from __future__ import annotations

from unlearn_bench.core.errors import CheckpointError
from unlearn_bench.models import Classifier, build, checkpoints
from unlearn_bench.store import Store
from unlearn_bench.store.records import RunRecord


def network_of(run: RunRecord, store: Store) -> Classifier:
    """Returns the network of a run with its weights, on the CPU, in evaluation mode.

    Raises:
        CheckpointError: the run has no weights, or their file is missing or damaged.
        OptionError, UnknownNameError: its architecture cannot be built here.
    """
    dataset = store.dataset_of(run)
    channels, height, width = (int(side) for side in dataset.shape.split("×"))
    network = build(
        run.spec["experiment"]["model"],
        channels=channels,
        classes=len(dataset.classes),
        seed=0,
        side=(height, width),
    )
    model = run.model
    if model is None or model.file is None or model.file_digest is None:
        raise CheckpointError(f"Run {run.id} ({run.method}) has the status {run.status} and no weights.")
    if not checkpoints.read_weights(network, store.model_files, model.file, model.file_digest):
        raise CheckpointError(
            f"The weights of run {run.id}, {model.file}, are missing, damaged or of another architecture. Make the run "
            "again: repeat the command that made it."
        )
    return network
