"""NTK: the change from training with to training without the forget set, in the network made linear in its weights."""

from __future__ import annotations

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unlearn_bench.core.errors import OptionError
from unlearn_bench.core.options import Search
from unlearn_bench.data import Images
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.models import Classifier

MOST_NUMBERS = 1 << 29  # in the Jacobian: 2 GiB in float32


@method(
    label="NTK",
    source="Golatkar, Achille and Soatto 2020 (Forgetting Outside the Box); the code of Foster et al. 2024",
    train_set="D'_r ∪ D_f",
    is_random=False,
    note=(
        "The default of weight_decay is that of the code, which reads all of D: on all of CIFAR-10, the Jacobian has "
        "500,000 columns. The default of images keeps 600 columns for ten classes, so that the result says little "
        "about the method at the size of its paper. The noise that the paper adds to the weights is not in the code, "
        "and not here."
    ),
)
def ntk(
    problem: UnlearningProblem,
    *,
    weight_decay: Annotated[
        float, Field(gt=0, le=1000, description="weight decay of the linear problem"), Search(1e-3, 1, log=True)
    ] = 0.1,
    images: Annotated[
        int, Field(ge=1, le=100_000, description="most images of D_f, and of D'_r, that are read, evenly spaced")
    ] = 30,
) -> Classifier:
    """The original model with the weights θ + s·(w_r − w_c); no training.

    w_c and w_r solve the problem that is linear in the weights, of D_f ∪ D'_r and of D'_r: w = −G Θ⁻¹ (p − y) with
    Θ = GᵀG + N·wd·I. G is the Jacobian of the N·K logits, (number of weights, N·K), p the softmax output and y the
    labels, one-hot, in evaluation mode without augmentation. s = 1 + 2·|cos(w_r − w_c, w_r)|·‖w_r‖ / ‖w_r − w_c‖, to
    which the angle rule of the code reduces, because it compares the original with itself.

    Adapted: the published method reads all of D. Here it reads at most ``images`` images of D_f and of D'_r, because
    memory grows with the number of columns N·K of the Jacobian, and time with its square.

    Raises:
        OptionError: the Jacobian would have more than 2²⁹ numbers.
        DivergedError: the change of the weights is not finite.
    """
    network = problem.copy_of_original().eval()
    retain, forget = evenly(problem.retain, images), evenly(problem.forget, images)
    number = len(retain) + len(forget)
    _check_size(network, number)
    problem.monitor.plan(number)
    kept, columns = (n * network.head.out_features for n in (len(retain), number))
    rows = torch.empty(columns, sum(p.numel() for p in network.parameters()), device=retain.labels.device)
    parts = ((retain, rows[:kept]), (forget, rows[kept:]))
    errors = torch.cat([_linearise(problem, network, part, of_part) for part, of_part in parts])
    gram = (rows @ rows.T).double()  # (N·K, N·K); its first block is that of D'_r
    problem.monitor.record("kernel_trace", float(gram.trace()))
    complete = _solve(gram, errors, weight_decay * number)
    w_r = -(_solve(gram[:kept, :kept], errors[:kept], weight_decay * len(retain)) @ rows[:kept])
    change = w_r + complete @ rows
    size = change.norm()
    problem.monitor.record("change", float(size))
    scale = 1 + 2 * (F.cosine_similarity(change, w_r, dim=0).abs() * w_r.norm() / size)
    with torch.no_grad():
        parameters = list(network.parameters())
        for parameter, part in zip(parameters, change.split([p.numel() for p in parameters]), strict=True):
            parameter.add_(scale * part.view_as(parameter))
    return network


def evenly(images: Images, most: int) -> Images:
    """Returns at most so many images, evenly spaced."""
    number = min(len(images), most)
    return images[torch.arange(number) * len(images) // number]


def _check_size(network: Classifier, images: int) -> None:
    weights, classes = sum(p.numel() for p in network.parameters()), network.head.out_features
    if images * classes * weights > MOST_NUMBERS:
        possible = MOST_NUMBERS // (2 * classes * weights)
        way = f"Set images to at most {possible}." if possible else "Use a smaller network or another method."
        raise OptionError(
            f"The method 'ntk' would need the derivatives of {images * classes:,} logits ({images} images, {classes} "
            f"classes) with respect to {weights:,} weights, which are more than the {MOST_NUMBERS:,} numbers that it "
            f"keeps. {way}"
        )


def _linearise(problem: UnlearningProblem, network: Classifier, images: Images, rows: Tensor) -> Tensor:
    """Writes the derivatives of all logits to ``rows``, (N·K, weights), and returns p − y, (N·K,)."""
    parameters, errors = list(network.parameters()), []
    remaining = iter(rows)
    for pixels, labels in zip(images.pixels.split(1), images.labels.split(1), strict=True):
        logits = network(problem.normalise(pixels)).float()[0]
        for logit in logits:
            gradients = torch.autograd.grad(logit, parameters, retain_graph=True, materialize_grads=True)
            torch.cat([gradient.flatten() for gradient in gradients], out=next(remaining))
        errors.append(logits.detach().softmax(dim=0) - F.one_hot(labels[0], len(logits)))
        problem.monitor.add_samples(1)
        problem.monitor.step()
    return torch.cat(errors)


def _solve(gram: Tensor, errors: Tensor, damping: float) -> Tensor:
    identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    return torch.linalg.solve(gram + damping * identity, errors.to(gram)).to(errors)
