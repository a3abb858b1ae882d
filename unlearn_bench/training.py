"""The one training loop, for the original model, the retrained one and every method that finetunes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from itertools import islice
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearn_bench.journal import Journal
from unlearn_bench.models import Classifier

Loss = Callable[[Classifier, Tensor, Tensor], Tensor]
OptimizerName = Literal["sgd", "adam"]


def cross_entropy(network: Classifier, x: Tensor, y: Tensor) -> Tensor:
    """Returns the mean cross-entropy of a batch, in nats."""
    return F.cross_entropy(network(x).float(), y)


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
) -> torch.optim.Optimizer:
    """Returns SGD, or Adam with its usual moments (0.9, 0.999), which has no ``momentum`` to set."""
    if name == "adam":
        return torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay)
    return torch.optim.SGD(parameters, lr=lr, weight_decay=weight_decay, momentum=momentum)


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
