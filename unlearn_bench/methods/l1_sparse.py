"""l1-sparse: finetuning on the retain subset with an l1 penalty of all weights that falls to zero."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from unlearn_bench.core.errors import OptionError
from unlearn_bench.core.options import Search
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate, MomentumOfSgd, WeightDecay
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import cross_entropy, make_optimizer


@method(
    label="l1-sparse",
    source="Jia et al. 2023 (Model Sparsity Can Simplify Machine Unlearning), and the authors' code for the schedule",
    train_set="D'_r",
    note=(
        "The defaults are those of the authors' code, except alpha. Their commands leave it open, and the default 0.2 "
        "of their parser is shared with another method: it moves each weight by 0.002 in the first step, a tenth of a "
        "typical weight of a ResNet-18. 1e-4 is a value that other projects give for runs of this code. In the code, "
        "alpha stays constant if no_l1_epochs equals epochs; here these values are refused."
    ),
)
def l1_sparse(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 10,
    batch_size: BatchSize = 256,
    lr: LearningRate = 0.01,
    momentum: MomentumOfSgd = 0.9,
    weight_decay: WeightDecay = 5e-4,
    alpha: Annotated[
        float, Field(ge=0, le=10, description="weight of the l1 norm in the first epoch"), Search(1e-6, 1e-2, log=True)
    ] = 1e-4,
    no_l1_epochs: Annotated[int, Field(ge=0, le=10_000, description="number of last epochs without penalty")] = 0,
) -> Classifier:
    """The original model after SGD on D'_r that minimises CE + α_t·‖θ‖₁, where α_t falls linearly.

    In epoch t of E, counted from 0, α_t = α·(1 − t / (E − E₀)) if t < E − E₀, and 0 afterwards, where E₀ is
    ``no_l1_epochs``. ‖θ‖₁ is the sum over all parameters, with biases, scales and shifts of normalisations. The method
    as published reads all of D_r; here it reads D'_r.

    Raises:
        OptionError: every epoch is without penalty.
    """
    network = problem.copy_of_original()
    retain = problem.retain_batches(batch_size)
    optimizer = make_optimizer("sgd", network.parameters(), lr=lr, weight_decay=weight_decay, momentum=momentum)
    rates = penalties(alpha, epochs, no_l1_epochs)
    problem.monitor.plan(epochs * len(retain))
    for rate in rates:

        def loss(network: Classifier, x: Tensor, y: Tensor, rate: float = rate) -> Tensor:
            return cross_entropy(network, x, y) + rate * l1_norm(network)

        problem.train_epoch(network, retain, optimizer, loss=loss)
    return network


def penalties(alpha: float, epochs: int, no_l1_epochs: int) -> list[float]:
    """Returns the weight α_t of the l1 norm in each epoch.

    Raises:
        OptionError: ``no_l1_epochs`` is not below ``epochs``.

    Example:
        >>> penalties(1.0, epochs=5, no_l1_epochs=1)
        [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    if no_l1_epochs >= epochs:
        raise OptionError(
            f"Option 'no_l1_epochs' of the method 'l1_sparse' is {no_l1_epochs}, expected less than epochs, which is "
            f"{epochs}. Without any penalty, use the method 'ft'."
        )
    return [alpha * max(0.0, 1 - epoch / (epochs - no_l1_epochs)) for epoch in range(epochs)]


def l1_norm(network: Classifier) -> Tensor:
    """Returns ‖θ‖₁, the sum of the absolute values of all parameters, a scalar with gradient."""
    return sum(
        (parameter.abs().sum() for parameter in network.parameters()), start=next(network.parameters()).new_zeros(())
    )
