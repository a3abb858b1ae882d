"""LoTUS: outputs of the forget set are smoothed, the more so the more of it the model still recognises."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from unlearn_bench.core.errors import OptionError
from unlearn_bench.core.options import Search
from unlearn_bench.data import Images
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate, WeightDecay
from unlearn_bench.models import Classifier

STOP = -0.01  # the difference of accuracies at which training ends


@method(
    label="LoTUS",
    source="Spartalis et al. 2025 (LoTUS: Large-Scale Machine Unlearning with a Taste of Uncertainty), and their code",
    train_set="D'_r ∪ D_f",
    note=(
        "The defaults are those of the code's scripts for class unlearning with a ResNet-18; for random forget sets, "
        "they have alpha 8 on CIFAR-10 and 2 elsewhere. With alpha 32 and an accuracy of 1, the temperature is 8e13, "
        "and the target of D_f is uniform. The accuracy is rounded to two digits first, as in the code."
    ),
)
def lotus(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 10,
    batch_size: BatchSize = 128,
    lr: LearningRate = 1e-4,
    weight_decay: WeightDecay = 5e-4,
    alpha: Annotated[
        float, Field(gt=0, le=100, description="α: how fast the temperature grows with the accuracy"), Search(1, 64)
    ] = 32.0,
    unseen_accuracy: Annotated[
        float, Field(ge=0, le=1, description="a: accuracy of the original on images like D_f that it never saw")
    ] = 0.0,
) -> Classifier:
    """The original model after AdamW on D_f and D'_r, shuffled together, that lowers −Σ t·log p.

    Before each epoch, the temperature is τ = exp(α·(A − a)), where A is the accuracy on D_f (training images,
    evaluation mode), rounded to two digits. With the original's logits z₀ and noise g of the standard Gumbel
    distribution, t is softmax((z₀ + g) / τ) for an image of D_f. For an image of D'_r it is 1 at the largest z₀ + g,
    which is a draw from the original's output and not its answer. The noise is drawn anew at each step. Training ends
    if A − a is at most −0.01, which cannot happen for the a of 0 of whole classes.

    Adapted: the published method reads a random 30 % of D_r; here it gets D'_r and reads all of it. For forget sets
    that do not consist of classes, a is the original's accuracy on validation images, which a method does not get; set
    it.

    Raises:
        OptionError: the forget set does not consist of whole classes, and ``unseen_accuracy`` is 0.
    """
    if not (problem.forget_classes or unseen_accuracy):
        raise OptionError(
            "Option 'unseen_accuracy' of the method 'lotus' is 0, and the forget set does not consist of whole "
            "classes. Set it to the original's accuracy on images that it was not trained on, such as 0.9."
        )
    network, original = problem.copy_of_original(), problem.original
    forget, retain = problem.forget, problem.retain
    is_forget = torch.cat([torch.ones_like(forget.labels), torch.zeros_like(retain.labels)])
    mixed = Images(torch.cat([forget.pixels, retain.pixels]), is_forget)  # the loss needs no labels
    batches = replace(problem, retain=mixed).retain_batches(batch_size)
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=weight_decay)
    generator = torch.Generator().manual_seed(problem.seed + 2)
    for _ in range(epochs):
        excess = _rounded_accuracy(problem, network) - unseen_accuracy
        if excess <= STOP:
            break
        temperature = math.exp(alpha * excess)

        def loss(network: Classifier, x: Tensor, is_forget: Tensor, temperature: float = temperature) -> Tensor:
            with torch.no_grad():
                target = noisy_targets(original(x).float(), is_forget == 1, temperature, generator)
            return -(target * network(x).float().log_softmax(dim=1)).sum(dim=1).mean()

        problem.monitor.plan(len(batches))
        problem.train_epoch(network, batches, optimizer, loss=loss)
    return network


def noisy_targets(logits: Tensor, is_forget: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """Returns the target of each sample, probabilities of the shape of ``logits``, (N, K).

    Args:
        logits: of the original model.
        is_forget: (N,) bool; the other samples get a single class, drawn from softmax(logits).
        temperature: above 0, of the softmax of forget samples.
        generator: on the CPU, of the Gumbel noise.
    """
    noisy = logits - torch.empty(logits.shape).exponential_(generator=generator).log().to(logits.device)
    drawn = torch.zeros_like(noisy).scatter_(1, noisy.argmax(dim=1, keepdim=True), 1.0)
    return torch.where(is_forget[:, None], (noisy / temperature).softmax(dim=1), drawn)


def _rounded_accuracy(problem: UnlearningProblem, network: Classifier) -> float:
    return round(problem.predict(network, problem.forget).accuracy, 2)
