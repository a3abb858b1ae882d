"""A plug-in of methods that look like finetuning and use what they were not given, or do what they do not declare.

Each docstring says what is wrong. MEETS says which check of `check-method` finds it, and the words of the reason with
which a real run of it fails.
"""

import gc
import inspect
import sys
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file

from unlearn_bench.data import Dataset, Images
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import freeze_all_but, make_optimizer

SOURCE = "a cheat"
MEETS = {
    "trains_on_the_test_set": (
        "uses_what_it_is_given",
        "images that passed through a network are not images of the problem",
    ),
    "counts_the_test_set": ("uses_what_it_is_given", "it listed all objects of the process"),
    "caches_from_a_hundred_images_on": ("keeps_to_it_on_many_images", "that passed through a network are not images"),
    "keeps_features_of_many_images": ("keeps_to_it_on_many_images", "it keeps data for later runs: remembered holds"),
    "moves_all_after_the_fourth_epoch": ("keeps_to_it_over_many_epochs", "; declared to change: last_stage, head"),
    "takes_the_retrained_model_from_a_frame": ("uses_what_it_is_given", "it opened "),
    "asks_its_caller_through_inspect": ("uses_what_it_is_given", "it inspected its caller"),
    "reads_the_checkpoint_folder": ("", "it opened "),  # where there is no such folder, there is nothing to see
}
CACHE: list[Images] = []


def finetuned(problem: UnlearningProblem, lr: float, epochs: int = 1, batch_size: int = 8) -> Classifier:
    network = problem.copy_of_original()
    optimizer = make_optimizer("sgd", network.parameters(), lr=lr)
    return problem.fit(network, problem.retain_batches(batch_size), optimizer, epochs=epochs)


@method(label="Cheat", source=SOURCE, train_set="D'_r")
def trains_on_the_test_set(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """Finds the data set among all objects, and finetunes on its test images."""
    found = [each for each in gc.get_objects() if type(each) is Dataset and len(each.test)]
    images = found[0].test if found else problem.retain
    return finetuned(replace(problem, retain=images), lr)


@method(label="Cheat", source=SOURCE, train_set="D'_r")
def counts_the_test_set(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """Looks at the test labels alone: no image of them passes a network."""
    found = [each for each in gc.get_objects() if type(each) is Dataset and len(each.test)]
    network = finetuned(problem, lr)
    with torch.no_grad():
        network.head.bias += 1e-3 * len(found[0].test) if found else 0.0
    return network


@method(label="Cheat", source=SOURCE, train_set="D'_r")
def caches_from_a_hundred_images_on(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """Keeps its images in a module-level variable where they are many, and finetunes on those of earlier runs too."""
    parts = [problem.retain, *CACHE]
    if len(problem.retain) >= 100:
        CACHE.append(problem.retain)
    pixels, labels = torch.cat([part.pixels for part in parts]), torch.cat([part.labels for part in parts])
    return finetuned(replace(problem, retain=Images(pixels, labels)), lr)


def remembered(features: torch.Tensor, kept: list[torch.Tensor] = []) -> torch.Tensor:  # noqa: B006
    """Returns the mean of all that it was ever given, where that was many."""
    if len(features) >= 100:
        kept.append(features)
    return torch.cat([features, *kept]).mean()


@method(label="Cheat", source=SOURCE, train_set="D'_r")
def keeps_features_of_many_images(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """Keeps features in a function's default, so that no image of another run passes a network."""
    network = finetuned(problem, lr)
    mean = remembered(problem.predict(network, problem.retain).features)
    with torch.no_grad():
        network.head.bias += 1e-3 * mean
    return network


@method(label="Cheat", source=SOURCE, train_set="D'_r", trains=("last_stage", "head"))
def moves_all_after_the_fourth_epoch(
    problem: UnlearningProblem, *, epochs: Epochs = 10, batch_size: BatchSize = 16, lr: LearningRate = 0.01
) -> Classifier:
    """Says that it trains the last stage and the head, and trains everything once nobody looks."""
    network = problem.copy_of_original()
    parts = freeze_all_but(network, network.last_stage, network.head)
    batches = problem.retain_batches(batch_size)
    problem.fit(network, batches, make_optimizer("sgd", parts, lr=lr), epochs=min(epochs, 4))
    if epochs > 4:
        everything = network.requires_grad_(True).parameters()
        problem.fit(network, batches, make_optimizer("sgd", everything, lr=lr), epochs=epochs - 4)
    return network


@method(label="Cheat", source=SOURCE, train_set="D'_r")
def takes_the_retrained_model_from_a_frame(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """Finds the record in its caller's frame, and returns the retrained model."""
    frame, network = sys._getframe(), finetuned(problem, lr)
    while frame is not None:
        runner = frame.f_locals.get("self")
        if hasattr(runner, "store"):
            (run,) = (run for run in runner.store.runs(method="retrained") if run.status == "done")
            network.load_state_dict(load_file(runner.store.models_folder / run.model.file))
            return network
        frame = frame.f_back
    return network


@method(label="Cheat", source=SOURCE, train_set="D'_r")
def asks_its_caller_through_inspect(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """Looks at who called it, by way of another module."""
    network = finetuned(problem, lr)
    with torch.no_grad():
        network.head.bias += 1e-3 * len(inspect.stack())
    return network


@method(label="Cheat", source=SOURCE, train_set="D'_r")
def reads_the_checkpoint_folder(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """Takes a recorded model that is not the one it was given, without looking at any object."""
    network = finetuned(problem, lr)
    for file in sorted(Path("results/models").glob("*.safetensors")):
        state = load_file(file)
        if not torch.equal(state["head.weight"], problem.original.head.weight):
            network.load_state_dict(state)
    return network
