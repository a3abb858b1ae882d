"""The training loop of the original model, the retrained model and every method that finetunes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearn_bench.core.errors import OptionError
from unlearn_bench.models import Classifier
from unlearn_bench.training.monitor import RunMonitor

Loss = Callable[[Classifier, Tensor, Tensor], Tensor]
OptimizerName = Literal["sgd", "adam"]
ScheduleName = Literal["constant", "triangular"]


def cross_entropy(network: Classifier, x: Tensor, y: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Returns the mean cross-entropy of a batch, in nats.

    With label smoothing ε, the target is 1 − ε + ε / K at the label and ε / K at every other class.
    """
    return F.cross_entropy(network(x).float(), y, label_smoothing=label_smoothing)


def negative_cross_entropy(network: Classifier, x: Tensor, y: Tensor) -> Tensor:
    """Returns the negative cross-entropy of a batch; minimising it maximises the cross-entropy."""
    return -cross_entropy(network, x, y)


def make_optimizer(
    name: OptimizerName,
    parameters: Iterable[nn.Parameter],
    *,
    lr: float,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    nesterov: bool = False,
    decay_matrices_only: bool = False,
) -> torch.optim.Optimizer:
    """Returns SGD, or Adam with its default betas (0.9, 0.999), which ignores ``momentum``.

    With ``decay_matrices_only``, parameters of less than 2 dimensions (biases, scales, shifts) have no weight decay.

    Raises:
        OptionError: ``nesterov`` without SGD or without momentum.
    """
    if nesterov and (name == "adam" or not momentum):
        raise OptionError("Option nesterov needs SGD with momentum. Set optimizer to sgd and momentum above 0.")
    groups: Iterable[Any] = parameters
    if decay_matrices_only:
        listed = list(parameters)
        groups = [
            {"params": [p for p in listed if p.dim() >= 2]},
            {"params": [p for p in listed if p.dim() < 2], "weight_decay": 0.0},
        ]
    if name == "adam":
        return torch.optim.Adam(groups, lr=lr, weight_decay=weight_decay)
    return torch.optim.SGD(groups, lr=lr, weight_decay=weight_decay, momentum=momentum, nesterov=nesterov)


def learning_rates(
    lr: float, *, epochs: int, steps: int, decay: float = 1.0, warmup: float | None = None
) -> list[float]:
    """Returns the learning rate of every step, and the final rate after the last step.

    Step k of n, counted from 0, in epoch e has the rate lr · decay^e · h((k + 1) / (n + 1)). Without ``warmup``, h is
    1. With it, h rises linearly from h(0) = 0 to h(warmup) = 1 and falls linearly to h(1) = 0.

    Args:
        lr: above 0.
        epochs: at least 1.
        steps: number of steps in an epoch.
        decay: factor after each epoch.
        warmup: share of the steps before the peak, at least 0 and below 1; None for a constant h.

    Returns:
        epochs · steps + 1 numbers.

    Example:
        >>> learning_rates(1.0, epochs=2, steps=2, decay=0.5)
        [1.0, 1.0, 0.5, 0.5, 0.25]
        >>> learning_rates(1.0, epochs=1, steps=3, warmup=0.5)
        [0.5, 1.0, 0.5, 0.0]
    """
    rates: list[float] = []
    for epoch in range(epochs + 1):
        begin = epoch * steps
        times = [(k + 1) / (epochs * steps + 1) for k in range(begin, begin + (steps if epoch < epochs else 1))]
        rates += [lr * (1.0 if warmup is None else _triangle(t, warmup)) for t in times]
        lr *= decay
    return rates


def _triangle(time: float, peak: float) -> float:
    return time / peak if time < peak else (1 - time) / (1 - peak)


@contextmanager
def scheduled(optimizer: torch.optim.Optimizer, rates: Sequence[Sequence[float]]) -> Iterator[None]:
    """Sets the learning rate of ``optimizer`` before each step while the context is active.

    Args:
        optimizer: the optimizer.
        rates: for each parameter group, the rate of each step and the final rate, see :func:`learning_rates`.
    """
    remaining = [iter(group) for group in rates]

    def set_next(*_: Any) -> None:
        for group, group_rates in zip(optimizer.param_groups, remaining, strict=True):
            group["lr"] = next(group_rates)

    handle = optimizer.register_step_pre_hook(set_next)
    try:
        yield
        set_next()
    finally:
        handle.remove()


def freeze_all_but(network: nn.Module, *parts: nn.Module) -> list[nn.Parameter]:
    """Freezes ``network`` except ``parts``, whose parameters it returns."""
    network.requires_grad_(False)
    return [parameter for part in parts for parameter in part.requires_grad_(True).parameters()]


def training_mode(network: nn.Module) -> None:
    """Sets training mode, except for frozen batch normalisations, whose statistics must not change either."""
    network.train()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and not any(
            p.requires_grad for p in module.parameters()
        ):
            module.eval()


def train_epoch(
    network: Classifier,
    batches: Iterable[tuple[Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    monitor: RunMonitor,
    autocast: AbstractContextManager[object],
    *,
    curve: str,
    steps: int | None = None,
    earlier: Sequence[Tensor] = (),
    after_step: Callable[[Sequence[Tensor]], None] | None = None,
) -> None:
    """Trains ``network`` in place for one pass over ``batches``, or over the first ``steps`` of them.

    Args:
        network: only the optimizer's parameters and the statistics of normalisations that are not frozen change.
        batches: pairs of inputs and labels.
        optimizer: of the parameters to train.
        loss: function from (network, x, y) to a scalar.
        monitor: counts every step.
        autocast: context of each forward pass, which sets its precision.
        curve: name of the curve to which the mean loss is added.
        steps: number of batches; None for all.
        earlier: the losses of the steps of this epoch before an interruption, scalars.
        after_step: called after every step with the losses of the epoch so far.

    Raises:
        DivergedError: the mean loss is not finite.
    """
    training_mode(network)
    losses = list(earlier)
    for x, y in islice(batches, steps):
        with autocast:
            value = loss(network, x, y)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        losses.append(value.detach())
        monitor.step(network)
        if after_step is not None:
            after_step(losses)
    # read once an epoch: reading the value at every step would make a GPU wait
    monitor.record(curve, float(torch.stack(losses).mean()))
