"""The one training loop, for the original model, the retrained one and every method that finetunes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearn_bench.errors import OptionError
from unlearn_bench.journal import Journal
from unlearn_bench.models import Classifier

Loss = Callable[[Classifier, Tensor, Tensor], Tensor]
OptimizerName = Literal["sgd", "adam"]


def cross_entropy(network: Classifier, x: Tensor, y: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Returns the mean cross-entropy of a batch, in nats.

    With label smoothing ε, the target is 1 − ε at the label and ε / K besides at every class, the label included.
    """
    return F.cross_entropy(network(x).float(), y, label_smoothing=label_smoothing)


def negative_cross_entropy(network: Classifier, x: Tensor, y: Tensor) -> Tensor:
    """Returns the cross-entropy of a batch with its sign turned: descent on it is ascent on the loss."""
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
    """Returns SGD, or Adam with its usual moments (0.9, 0.999), which has no ``momentum`` to set.

    With ``decay_matrices_only`` biases, scales and shifts have no weight decay: parameters of less than 2 dimensions.

    Raises:
        OptionError: Nesterov's step without the momentum of SGD.
    """
    if nesterov and (name == "adam" or not momentum):
        raise OptionError("Option nesterov needs SGD with momentum. Set optimizer to sgd and momentum, such as 0.9.")
    groups: Iterable[Any] = parameters
    if decay_matrices_only:
        held = list(parameters)
        groups = [
            {"params": [p for p in held if p.dim() >= 2]},
            {"params": [p for p in held if p.dim() < 2], "weight_decay": 0.0},
        ]
    if name == "adam":
        return torch.optim.Adam(groups, lr=lr, weight_decay=weight_decay)
    return torch.optim.SGD(groups, lr=lr, weight_decay=weight_decay, momentum=momentum, nesterov=nesterov)


def learning_rates(
    lr: float, *, epochs: int, steps: int, decay: float = 1.0, warmup: float | None = None
) -> list[float]:
    """Returns the learning rate of every step, and last the one that is left after them.

    Step k of n, both counted from 0, of epoch e has the rate lr · decay^e · h((k + 1) / (n + 1)). Without ``warmup`` h
    is 1. With it h rises linearly from h(0) = 0 to h(warmup) = 1 and falls linearly to h(1) = 0.

    Args:
        lr: above 0.
        epochs: at least 1.
        steps: of an epoch.
        decay: factor after each epoch.
        warmup: share of the steps before the peak, at least 0 and below 1; None for no rise and fall.

    Returns:
        epochs · steps + 1 numbers.
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
    """Has ``optimizer`` make its steps at planned learning rates while the context lasts.

    Args:
        optimizer: whose steps they are.
        rates: for each of its parameter groups the rate of each step and, last, the one that is left afterwards.
    """
    left = [iter(group) for group in rates]

    def set_next(*_: Any) -> None:
        for group, planned in zip(optimizer.param_groups, left, strict=True):
            group["lr"] = next(planned)

    handle = optimizer.register_step_pre_hook(set_next)
    try:
        yield
        set_next()
    finally:
        handle.remove()


def freeze_all_but(network: nn.Module, *parts: nn.Module) -> list[nn.Parameter]:
    """Returns the parameters of ``parts``, which stay trainable; those of the rest of ``network`` are frozen."""
    network.requires_grad_(False)
    return [parameter for part in parts for parameter in part.requires_grad_(True).parameters()]


def training_mode(network: nn.Module) -> None:
    """Puts ``network`` in training mode, its frozen normalisations excepted: their statistics must not move either."""
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
    journal: Journal,
    autocast: AbstractContextManager[object],
    *,
    curve: str,
    steps: int | None = None,
) -> None:
    """Trains ``network`` in place for one pass over ``batches``, or over the first ``steps`` of them.

    Args:
        network: the optimizer's parameters are trained, the others stay, frozen normalisations with their statistics.
        batches: (inputs, labels).
        optimizer: of the parameters that may move.
        loss: (network, x, y) to a scalar.
        journal: told of every step.
        autocast: the precision of the forward pass, entered anew at every step.
        curve: the name under which the mean loss is recorded.
        steps: None for all.

    Raises:
        DivergedError: the mean loss is not finite.
    """
    training_mode(network)
    losses = []
    for x, y in islice(batches, steps):
        with autocast:
            value = loss(network, x, y)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        losses.append(value.detach())
        journal.step(network)
    # read once an epoch: asking for the value at every step would stall a GPU
    journal.record(curve, float(torch.stack(losses).mean()))
