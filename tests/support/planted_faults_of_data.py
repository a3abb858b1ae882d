"""Planted faults in what a method draws, counts, reads and assumes of its data; see planted_faults.py."""

import copy
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

from support.planted_faults import SOURCE, sgd
from unlearn_bench.core.errors import DivergedError
from unlearn_bench.data.loading import load
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import LearningRate
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import cross_entropy, make_optimizer

CAUGHT_BY = {
    "asks_for_the_forget_set_and_ignores_it": "uses_what_it_asks_for",
    "draws_from_numpy": "follows_from_the_seed",
    "reads_the_data_set_itself": "stays_within_its_budget",
    "reads_a_file_but_once": "stays_within_its_budget",
    "trains_on_uncounted_images": "stays_within_its_budget",
    "hides_divergence": "reports_divergence",
    "normalises_by_the_forget_sets_deviation": "takes_one_image",
    "forgets_the_last_class_off_by_one": "takes_the_last_class",
    "knows_one_class_only": "takes_two_classes",
}


@method(label="FT", source=SOURCE, train_set="D'_r ∪ D_f", unresponsive="it is said to forget by finetuning")
def asks_for_the_forget_set_and_ignores_it(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """Declares D_f and never draws from it."""
    return sgd(problem, problem.copy_of_original(), lr)


@method(label="Noise", source=SOURCE, train_set="D'_r")
def draws_from_numpy(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """Random numbers of a generator that nobody seeds."""
    network = sgd(problem, problem.copy_of_original(), lr)
    with torch.no_grad():
        network.head.bias += torch.from_numpy(np.random.randn(10)).float()
    return network


@method(label="FT", source=SOURCE, train_set="D'_r")
def reads_the_data_set_itself(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """Finetunes on all of D_r, which it was not given, read from disk."""
    train = load("digits", folder=Path()).train
    everything = train[torch.nonzero(~torch.isin(train.labels, torch.tensor(problem.forget_classes)))[:, 0]]
    return sgd(replace(problem, retain=everything), problem.copy_of_original(), lr)


@cache
def hidden_bias() -> float:
    """Read at the first call alone."""
    return len((Path(__file__).parents[2] / "README.md").read_text()) / 100_000


@method(label="FT", source=SOURCE, train_set="D'_r")
def reads_a_file_but_once(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """Something from disk, kept in memory, so that later runs open nothing."""
    network = sgd(problem, problem.copy_of_original(), lr)
    with torch.no_grad():
        network.head.bias += hidden_bias()
    return network


@method(label="FT", source=SOURCE, train_set="D'_r")
def trains_on_uncounted_images(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """Takes the images past the loader that counts them."""
    network = problem.copy_of_original()
    optimizer = make_optimizer("sgd", network.parameters(), lr=lr)
    order = torch.randperm(len(problem.retain), generator=torch.Generator().manual_seed(problem.seed))
    for index in order.split(4):
        images = problem.retain[index]
        loss = cross_entropy(network, problem.normalise(images.pixels), images.labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        problem.monitor.record("loss", float(loss.detach()))
    return network


@method(label="FT", source=SOURCE, train_set="D'_r")
def hides_divergence(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """Where training diverges, the original comes back as if it had been unlearned."""
    try:
        return sgd(problem, problem.copy_of_original(), lr)
    except DivergedError:
        return copy.deepcopy(problem.original)


@method(label="Standardised", source=SOURCE, train_set="D'_r ∪ D_f", unresponsive="it only moves the head's bias")
def normalises_by_the_forget_sets_deviation(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """Divides by a deviation over the forget set, which one image does not have."""
    network = sgd(problem, problem.copy_of_original(), lr)
    features = problem.predict(network, problem.forget).features
    with torch.no_grad():
        network.head.bias += (features / features.std(dim=0).mean()).mean()
    return network


@method(label="Off by one", source=SOURCE, train_set="D'_r")
def forgets_the_last_class_off_by_one(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """Silences the class after the one to forget."""
    network = sgd(problem, problem.copy_of_original(), lr)
    with torch.no_grad():
        for label in problem.forget_classes:
            network.head.bias[label + 1] = -10.0
    return network


@method(label="One class", source=SOURCE, train_set="D'_r")
def knows_one_class_only(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """Takes the forgotten classes for a single one."""
    (label,) = problem.forget_classes
    network = sgd(problem, problem.copy_of_original(), lr)
    with torch.no_grad():
        network.head.bias[label] = -10.0
    return network
