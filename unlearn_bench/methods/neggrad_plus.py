"""NegGrad+: every step descends on a batch of the retain subset and ascends on a batch of the forget set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field
from torch import Tensor

from unlearn_bench.core.options import Search
from unlearn_bench.data.batches import Batches
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate, MomentumOfSgd, WeightDecay
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import cross_entropy, make_optimizer


@method(
    label="NegGrad+",
    source="Kurmanji, Triantafillou, Hayes and Triantafillou 2023, and the authors' code for the defaults",
    train_set="D'_r ∪ D_f",
    note=(
        "NegGrad+FT is another method: epochs on D_f and on D'_r alternate. The defaults are those of the "
        "authors' small-scale experiments. Their code passes over all of D_r, so that each image of D_f is drawn many "
        "times in an epoch; D'_r is as large as D_f. Their code repeats the batches of the first pass over D_f; here "
        "each pass is shuffled and augmented anew. One of their two implementations adds a penalty of the distance to "
        "the original weights and trains in evaluation mode; the other does neither, as here."
    ),
)
def neggrad_plus(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 10,
    batch_size: BatchSize = 32,
    forget_batch_size: Annotated[int, Field(ge=1, le=65_536, description="images of D_f in a step")] = 64,
    lr: LearningRate = 0.01,
    momentum: MomentumOfSgd = 0.0,
    weight_decay: WeightDecay = 0.0,
    alpha: Annotated[
        float, Field(ge=0, le=1, description="weight of the retain batch's cross-entropy"), Search(0.5, 1)
    ] = 0.95,
) -> Classifier:
    """The original model after SGD that minimises α·CE(batch of D'_r) − (1 − α)·CE(batch of D_f) at each step.

    An epoch is a pass over D'_r. The batches of D_f repeat for as long as it takes, across epochs. The two batches
    pass through the network one after the other, so that a BatchNorm in training mode normalises each by its own
    statistics, and its running statistics follow both. The method as published reads all of D_r; here it reads D'_r.
    """
    network = problem.copy_of_original()
    retain = problem.retain_batches(batch_size)
    forget = _endless(problem.forget_batches(forget_batch_size))
    optimizer = make_optimizer("sgd", network.parameters(), lr=lr, weight_decay=weight_decay, momentum=momentum)

    def loss(network: Classifier, x: Tensor, y: Tensor) -> Tensor:
        return alpha * cross_entropy(network, x, y) - (1 - alpha) * cross_entropy(network, *next(forget))

    return problem.fit(network, retain, optimizer, epochs=epochs, loss=loss)


def _endless(batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from batches
