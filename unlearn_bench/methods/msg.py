"""MSG (masked small gradients): weights with small gradients are drawn anew, then the network is finetuned."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from unlearn_bench.core.errors import OptionError
from unlearn_bench.core.options import Search
from unlearn_bench.data.batches import Batches
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate, MomentumOfSgd, WeightDecay
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import cross_entropy, make_optimizer


@method(
    label="MSG",
    source="Cadet et al. 2024 (Deep Unlearn) and its code, after a solution of the NeurIPS 2023 unlearning competition",
    train_set="D'_r ∪ D_f",
    note=(
        "The defaults are those of the authors' code. That code computes the gradients in the mode in which the model "
        "was loaded, and gives new biases to convolutions that have a bias; here the gradients are computed in "
        "evaluation mode, and biases stay."
    ),
    unresponsive="D_f only determines which weights are drawn anew, and no step raises its loss",
)
def msg(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 5,
    batch_size: BatchSize = 64,
    lr: LearningRate = 1e-3,
    momentum: MomentumOfSgd = 0.9,
    weight_decay: WeightDecay = 5e-4,
    init_rate: Annotated[
        float, Field(ge=0, le=1, description="share of each convolution's weights that is drawn anew"), Search(0, 1)
    ] = 0.3,
    kept_gradient: Annotated[
        float, Field(ge=0, le=1, description="factor of the gradient of convolution weights that are kept")
    ] = 0.1,
) -> Classifier:
    """The original model with its convolution weights of small gradient drawn anew, after SGD on D'_r.

    g = Σ ∂CE/∂θ over batches of D'_r minus the same over batches of D_f, each CE the mean of its batch. In each
    convolution, the share ``init_rate`` of the weights with the smallest |g| is drawn from N(0, 2 / fan out). SGD then
    trains all weights; the gradient of the convolution weights that were kept has the factor ``kept_gradient``, but
    their weight decay does not. The learning rate rises over the first half of the epochs, then falls, see
    :func:`rate_factor`. The method as published reads all of D_r, and |D_f| random images of D_r for the gradient; here
    D'_r takes the place of both.

    Raises:
        OptionError: the network has no convolution.
    """
    network = problem.copy_of_original()
    retain = problem.retain_batches(batch_size)
    _accumulate_gradients(network.eval(), retain, problem.forget_batches(batch_size))
    factors = redraw_small_gradients(network, init_rate, kept_gradient, problem.seed)
    if not factors:
        raise OptionError(
            "The method 'msg' draws weights of convolutions anew, and this network has no convolution. Use another "
            "method, such as 'eu_k'."
        )
    optimizer = make_optimizer("sgd", network.parameters(), lr=lr, weight_decay=weight_decay, momentum=momentum)

    def scale(*_: Any) -> None:
        for parameter, factor in factors.items():
            if parameter.grad is not None:
                parameter.grad.mul_(factor)

    optimizer.register_step_pre_hook(scale)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: rate_factor(epoch, epochs))
    problem.monitor.plan(epochs * len(retain))
    for _ in range(epochs):
        problem.train_epoch(network, retain, optimizer)
        schedule.step()
    return network


def rate_factor(epoch: int, epochs: int) -> float:
    """Returns the factor of the learning rate in an epoch, counted from 0.

    Example:
        >>> [round(rate_factor(epoch, 5), 2) for epoch in range(5)]
        [0.33, 0.67, 1.0, 0.67, 0.33]
    """
    number, peak = epoch + 1, (epochs + 1) // 2
    return number / peak if number <= peak else (epochs + 1 - number) / (epochs + 1 - peak)


def redraw_small_gradients(
    network: nn.Module, init_rate: float, kept_gradient: float, seed: int
) -> dict[Tensor, Tensor]:
    """Draws the convolution weights with the smallest gradients anew, in place.

    Args:
        network: its parameters have gradients; a convolution without gradient is not part of the network's function and
            is left out.
        init_rate: share of the weights of each convolution that is drawn anew, rounded to a whole number of weights.
        kept_gradient: the factor for the other weights.
        seed: of the new weights, which are drawn on the CPU.

    Returns:
        For each convolution's weight, a tensor of its shape: 1 where it was drawn anew, else ``kept_gradient``.
    """
    generator = torch.Generator().manual_seed(seed)
    factors = {}
    for weight in [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]:
        if weight.grad is None:
            continue
        size = weight.grad.abs().flatten()
        smallest = size.topk(round(init_rate * len(size)), largest=False).indices
        is_small = torch.zeros_like(size, dtype=torch.bool).index_fill_(0, smallest, True).view(weight.shape)
        fresh = torch.empty(weight.shape)
        nn.init.kaiming_normal_(fresh, mode="fan_out", nonlinearity="relu", generator=generator)
        with torch.no_grad():
            weight.copy_(torch.where(is_small, fresh.to(weight), weight))
            factors[weight] = torch.where(is_small, 1.0, kept_gradient)
    return factors


def _accumulate_gradients(network: Classifier, retain: Batches, forget: Batches) -> None:
    network.zero_grad()
    for sign, batches in ((1, retain), (-1, forget)):
        for x, y in batches:
            (sign * cross_entropy(network, x, y)).backward()
