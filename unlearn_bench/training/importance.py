"""Gradients of a loss averaged over batches: what SalUn, SSD and LFSSD take as the importance of a weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from unlearn_bench.core.errors import OptionError
from unlearn_bench.data import Images
from unlearn_bench.data.batches import Normalise
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import Loss
from unlearn_bench.training.monitor import RunMonitor

Importance = dict[str, Tensor]


def mean_gradients(
    network: Classifier,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Loss,
    monitor: RunMonitor,
    *,
    curve: str,
    transform: Callable[[Tensor], Tensor] = lambda gradient: gradient,
) -> Importance:
    """Returns the mean over batches of the gradient of ``loss``, by parameter name, a tensor of each parameter's shape.

    Args:
        network: in evaluation mode, every parameter trainable; not changed.
        batches: pairs of inputs and labels, at least one; each counts the same, whatever its size.
        loss: function from (network, x, y) to a scalar, a mean over the batch.
        monitor: counts a step for each batch.
        curve: the curve to which the sum of the result's moduli is added.
        transform: applied to the gradient of each batch before the mean, such as :func:`torch.square`.

    Raises:
        DivergedError: a gradient is not finite.
    """
    parameters = dict(network.named_parameters())
    total = {name: torch.zeros_like(value) for name, value in parameters.items()}
    number = 0
    for x, y in batches:
        gradients = torch.autograd.grad(loss(network, x, y), list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                total[name] += transform(gradient)
        number += 1
        monitor.step()
    mean = {name: value / number for name, value in total.items()}
    monitor.record(curve, float(torch.stack([value.abs().sum() for value in mean.values()]).sum()))
    return mean


def by_class(
    images: Images, batch_size: int, normalise: Normalise, monitor: RunMonitor
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields (inputs, labels) of the images in order of their labels, without augmentation, and counts the images.

    The gradient of a batch's mean loss depends on which images share the batch, so the order is part of a definition
    that squares it.
    """
    ordered = images[images.labels.argsort(stable=True)]
    for pixels, labels in zip(ordered.pixels.split(batch_size), ordered.labels.split(batch_size), strict=True):
        monitor.add_samples(len(labels))
        yield normalise(pixels), labels


def dampen(
    network: Classifier,
    forgotten: Importance,
    retained: Importance,
    *,
    alpha: float,
    dampening: float,
    share_of_forgotten: float = 0.0,
) -> None:
    """Dampens weights in place that are much more important for D_f than for other data.

    A weight θ with F_f > α·F becomes θ · min(λ·F / F_f, 1), where F = s·F_f + (1 − s)·F_r.

    Args:
        network: the network.
        forgotten, retained: F_f and F_r, the importance for D_f and for D_r, by parameter name, at least 0.
        alpha: α, at least 0.
        dampening: λ, at least 0.
        share_of_forgotten: s, the share of D_f in the other data: 0 for D_r, |D_f| / |D| for D.

    Raises:
        OptionError: α·s is at least 1, so that F_f > α·F is impossible.

    Source: Foster, Schoepf and Brintrup 2024.
    """
    if alpha * share_of_forgotten >= 1:
        raise OptionError(
            f"Option 'alpha' is {alpha:g}, but D_f is {100 * share_of_forgotten:.3g} % of D, so no weight can be "
            f"that many times as important for D_f as for D. Set alpha below {1 / share_of_forgotten:.3g}, or against "
            "to D_r."
        )
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            others = share_of_forgotten * forgotten[name] + (1 - share_of_forgotten) * retained[name]
            # F_f is above 0 where a weight is selected; elsewhere the quotient may be 0 / 0 and is not used
            factor = (dampening * others / forgotten[name]).clamp(max=1.0)
            parameter.copy_(torch.where(forgotten[name] > alpha * others, parameter * factor, parameter))
