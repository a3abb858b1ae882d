"""Starts original and retrained models from a file of public weights, if the profile or the user names one."""

from __future__ import annotations

from collections.abc import Callable

from unlearn_bench.config.model_choice import check_unchanged
from unlearn_bench.config.selection import Selection
from unlearn_bench.data import Dataset
from unlearn_bench.models import SEPARATOR, Classifier, build
from unlearn_bench.models.user_weights import load_weights
from unlearn_bench.running.tasks import Task


def begin(network: Classifier, task: Task, classes: int) -> Classifier:
    """Returns the untrained network of a task, with the weights of its file if it has one.

    Raises:
        CheckpointError: the file changed since the task was planned, or it does not fit the network.
    """
    if task.pretrained is not None:
        check_unchanged(task.pretrained)
        description = task.spec.experiment.model
        load_weights(network, task.pretrained.file, description, classes=classes, keeps_head=True)
    return network


def check_network(selection: Selection, dataset: Dataset, say: Callable[[str], None]) -> None:
    """Checks that the network can be built for the images, and that a file of starting weights fits it.

    Args:
        selection: the configurations, with the network.
        dataset: the images.
        say: called with a sentence if the head in the file is not used.

    Raises:
        UserError: it cannot, or the file does not fit.
    """
    description, classes = selection.experiment.model, len(dataset.classes)
    if SEPARATOR not in str(description["name"]) and selection.pretrained is None:
        return  # built-in networks take any image
    network = build(description, channels=dataset.channels, classes=classes, seed=0, side=dataset.side)
    if selection.pretrained is not None:
        _, sentence = load_weights(network, selection.pretrained.file, description, classes=classes, keeps_head=True)
        if sentence:
            say(sentence)
