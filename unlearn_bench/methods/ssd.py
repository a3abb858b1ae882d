"""SSD: selective synaptic dampening of the weights that matter for the forget set and for little else."""

from __future__ import annotations

import math

import torch

from unlearn_bench.data import Images
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import Against, Alpha, BatchSize, Dampening
from unlearn_bench.models import Classifier
from unlearn_bench.training.importance import Importance, by_class, dampen, mean_gradients
from unlearn_bench.training.loop import cross_entropy


@method(
    label="SSD",
    source="Foster, Schoepf and Brintrup 2024, and their code (if-loops/selective-synaptic-dampening)",
    train_set="D'_r ∪ D_f",
    is_random=False,
    presets={"paper": {"against": "D", "alpha": 10.0}},
    note=(
        "The defaults are those of the code for ResNet-18, except for against: alpha 10, dampening 1, batches of 64. D "
        "includes D_f, so with against D and ten classes of equal size, alpha 10 selects no weight, and a run stops "
        "with a message. The code was used for 20 and more classes, where D_f is at most 5 % of D. For a share s of "
        "D_f, alpha against D selects the same weights as alpha (1 - s) / (1 - alpha s) against D_r. For random forget "
        "sets, the code's batches are of 128 images of D_f and 64 of D."
    ),
)
def ssd(
    problem: UnlearningProblem,
    *,
    alpha: Alpha = 10.0,
    dampening: Dampening = 1.0,
    against: Against = "D_r",
    batch_size: BatchSize = 64,
) -> Classifier:
    """The original model with weights dampened that are much more important for D_f than for D'_r; no training.

    The importance F of a weight is the mean over batches of the square of the gradient of the batch's mean
    cross-entropy, in evaluation mode, without augmentation. A weight θ with F_f > α·F becomes θ · min(λ·F / F_f, 1);
    biases and normalisations are weights too. F is squared after the mean, so it depends on ``batch_size`` and on
    which images share a batch: they are taken in order of their labels, as in the code for whole classes.

    Adapted: the published F is that of all of D. Here it is that of D'_r, or, with ``against`` D, s·F_f + (1 − s)·F_r
    with F_r from D'_r, where s is the share of D_f in D.

    Raises:
        OptionError: with ``against`` D, α·s is at least 1, so that no weight can be selected.
    """
    network = problem.copy_of_original().eval()

    def importance(images: Images, curve: str) -> Importance:
        batches = by_class(images, batch_size, problem.normalise, problem.monitor)
        return mean_gradients(network, batches, cross_entropy, problem.monitor, curve=curve, transform=torch.square)

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
