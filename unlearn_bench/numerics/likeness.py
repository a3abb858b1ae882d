"""How alike two models are: functions of their probabilities, and of their features of the same images."""

from __future__ import annotations

import torch
from torch import Tensor

NO_SPREAD = 1e-12  # of the norm before centring: rounding alone leaves about 1e-16


def js_divergence(p: Tensor, q: Tensor) -> Tensor:
    """Returns the Jensen-Shannon divergence of each pair of distributions, in nats: from 0 to ln 2.

    It is H(m) − (H(p) + H(q)) / 2 with m = (p + q) / 2 and the entropy H, which is finite where a probability is 0.

    Args:
        p, q: (n, K) float, rows that sum to 1.

    Returns:
        (n,), dtype of ``p``.

    Source: Lin, "Divergence measures based on the Shannon entropy", 1991, equation 4.1 with equal weights.

    Example:
        >>> js_divergence(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])).exp()
        tensor([2.])
    """
    entropy_of_mean = torch.special.entr((p + q) / 2).sum(dim=1)  # (n,)
    mean_entropy = (torch.special.entr(p) + torch.special.entr(q)).sum(dim=1) / 2
    return (entropy_of_mean - mean_entropy).clamp(min=0)  # rounding gives −1e-16 for equal rows


def total_variation(p: Tensor, q: Tensor) -> Tensor:
    """Returns the total variation distance of two distributions: 0 if they are equal, 1 if they are disjoint.

    Args:
        p, q: (K,) float, each of sum 1.

    Returns:
        Scalar, Σ|p − q| / 2.

    Example:
        >>> total_variation(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0]))
        tensor(0.5000)
    """
    return (p - q).abs().sum() / 2


def linear_cka(x: Tensor, y: Tensor) -> Tensor:
    """Returns the linear centred kernel alignment of two models' features: 1 if they are equal but for rotation, scale.

    It is ‖X̃ᵀỸ‖²_F / (‖X̃ᵀX̃‖_F ‖ỸᵀỸ‖_F), where the columns of X̃ and Ỹ are centred. The matrices are (d, d), so that
    time and memory grow linearly with the number of images; Gram matrices of all pairs of images give the same value.

    Args:
        x: (n, d) float, features of n images by one model.
        y: (n, e) float, features of the same images, in the same order, by another.

    Returns:
        Scalar in [0, 1]; NaN if the features of a model are the same for all images, as for one image.

    Source: Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019, section 3.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
        >>> linear_cka(x, 3 * x.flip(1) + 5)
        tensor(1.)
    """
    centred = [side - side.mean(dim=0) for side in (x, y)]
    if any(bool(c.norm() <= NO_SPREAD * side.norm()) for c, side in zip(centred, (x, y), strict=True)):
        return torch.full((), torch.nan, dtype=x.dtype, device=x.device)
    a, b = (c / c.norm() for c in centred)  # scaled before squaring, so that no square overflows or vanishes
    cross = (a.T @ b).square().sum()  # (d, n) @ (n, e)
    return (cross / ((a.T @ a).norm() * (b.T @ b).norm())).clamp(max=1)  # rounding gives 1 + 1e-16
