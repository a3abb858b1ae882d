"""LFSSD: loss-free selective synaptic dampening, whose importance needs no labels."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unlearn_bench.data import Images
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import Against, Alpha, BatchSize, Dampening
from unlearn_bench.models import Classifier
from unlearn_bench.training.importance import Importance, by_class, dampen, mean_gradients


@method(
    label="LFSSD",
    source="Foster, Schoepf and Brintrup 2024, Loss-Free Machine Unlearning, and the README of their code",
    train_set="D'_r ∪ D_f",
    is_random=False,
    presets={"paper": {"against": "D", "alpha": 10.0}},
    note=(
        "The defaults are those of SSD. The benchmark SUPREME reads other values of alpha in the paper: 10 for classes "
        "of CIFAR-100 and subclasses, 5 for classes of CIFAR-20, 3.5 for random forget sets of CIFAR-10."
    ),
)
def lfssd(
    problem: UnlearningProblem,
    *,
    alpha: Alpha = 10.0,
    dampening: Dampening = 1.0,
    against: Against = "D_r",
    batch_size: BatchSize = 64,
) -> Classifier:
    """The original model with weights dampened that are much more important for D_f than for D'_r; no training.

    As SSD, with another importance F of a weight: the mean over batches of the modulus of the gradient of mean ‖z‖²,
    z being the logits; the gradient is not squared, and no label is read. Labels decide only the order of images.

    Adapted: the published F is that of all of D. Here it is that of D'_r, or, with ``against`` D, s·F_f + (1 − s)·F_r
    with F_r from D'_r, where s is the share of D_f in D.

    Raises:
        OptionError: with ``against`` D, α·s is at least 1, so that no weight can be selected.
    """
    network = problem.copy_of_original().eval()

    def importance(images: Images, curve: str) -> Importance:
        batches = by_class(images, batch_size, problem.normalise, problem.monitor)
        return mean_gradients(network, batches, squared_norm, problem.monitor, curve=curve, transform=torch.abs)

    problem.monitor.plan(math.ceil(len(problem.forget) / batch_size) + math.ceil(len(problem.retain) / batch_size))
    dampen(
        network,
        importance(problem.forget, "forget_importance"),
        importance(problem.retain, "retain_importance"),
        alpha=alpha,
        dampening=dampening,
        share_of_forgotten=problem.forget_share if against == "D" else 0.0,
    )
    return network


def squared_norm(network: Classifier, x: Tensor, _y: Tensor) -> Tensor:
    """Returns the mean over a batch of ‖z‖², the squared Euclidean norm of the logits."""
    return network(x).float().square().sum(dim=1).mean()
