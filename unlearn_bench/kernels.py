"""Pure, differentiable tensor functions that the metrics report and the methods train on. No models, no data sets."""

from __future__ import annotations

import torch
from torch import Tensor


def second_moment(features: Tensor) -> Tensor:
    """Returns the uncentred second moment F Fᵀ of features.

    The paper writes F as (d, n); here a row is a sample.

    Args:
        features: (n, d) float.

    Returns:
        (d, d), dtype of ``features``, symmetric positive semi-definite; a sum over samples, not a mean.
    """
    return features.T @ features  # (d, n) @ (n, d) → (d, d)


def effective_rank(eigenvalues: Tensor) -> int:
    """Returns the effective rank of a positive semi-definite matrix, at least 1.

    exp(H(p)) with p the eigenvalues normalised to sum 1 and H the Shannon entropy in nats, rounded to the nearest
    integer.

    Args:
        eigenvalues: (d,) float, any order; small negative values from rounding count as 0.

    Source: Roy and Vetterli, "The effective rank", EUSIPCO 2007, definition 1.

    >>> effective_rank(torch.tensor([1.0, 1.0, 1.0, 0.0]))
    3
    """
    positive = eigenvalues.clamp(min=0).double()
    total = positive.sum()
    if total == 0:
        return 1
    p = positive / total  # (d,)
    entropy = torch.special.entr(p).sum()
    return max(1, round(float(entropy.exp())))


def principal_subspace(features: Tensor) -> Tensor:
    """Returns U_k, the leading eigenvectors of the retain features' second moment, k being its effective rank.

    Args:
        features: (n, d) float, features F_r of the retain set. The decomposition runs in float64.

    Returns:
        (d, k), dtype of ``features``, orthonormal columns, detached (the paper's stop-gradient on F_r).

    Source: Seo, Kim and Han, "Revisiting Machine Unlearning with Dimensional Alignment", section 3.2.
    """
    moment = second_moment(features.detach().double())  # (d, d)
    eigenvalues, eigenvectors = torch.linalg.eigh(moment)  # ascending
    rank = effective_rank(eigenvalues)
    return eigenvectors[:, -rank:].to(features.dtype)  # (d, k)


def dimensional_alignment(forget_features: Tensor, subspace: Tensor) -> Tensor:
    """Returns DA(D_f | D_r) = ‖F_f F_fᵀ P‖_F / ‖F_f F_fᵀ‖_F with P = U_k U_kᵀ.

    Args:
        forget_features: (n, d) float, features F_f of the forget set; gradients flow through them.
        subspace: (d, k) orthonormal columns U_k, see :func:`principal_subspace`.

    Returns:
        Scalar in [0, 1]: 1 when the forget features lie in the subspace, 0 when they are orthogonal to it or all zero.

    Source: Seo, Kim and Han, equation 1.
    """
    moment = second_moment(forget_features)  # (d, d)
    # ‖M U Uᵀ‖_F = ‖M U‖_F, since the columns of U are orthonormal
    projected = moment @ subspace  # (d, k)
    tiny = torch.finfo(moment.dtype).tiny
    return projected.norm() / moment.norm().clamp(min=tiny)


def redistribute(logits: Tensor, forbidden: Tensor) -> Tensor:
    """Returns the log of f̃: the softmax output with the forbidden classes set to 0 and renormalised.

    Args:
        logits: (n, K) float.
        forbidden: (n, K) bool, at least one class of every row allowed.

    Returns:
        (n, K) log-probabilities, −inf at the forbidden classes.

    Source: Seo, Kim and Han, section 3.3.
    """
    return logits.masked_fill(forbidden, -torch.inf).log_softmax(dim=1)


def kl_divergence(log_target: Tensor, log_output: Tensor) -> Tensor:
    """Returns the mean over samples of KL(target ‖ output), in nats.

    Args:
        log_target: (n, K) log-probabilities; −inf stands for probability 0, which adds nothing.
        log_output: (n, K) finite log-probabilities.

    Source: Seo, Kim and Han, equation 2.
    """
    target = log_target.exp()  # (n, K)
    # the difference is taken only where the target is positive: 0 · (−inf) would be NaN, in the gradient too
    difference = torch.where(target > 0, log_target, log_output) - log_output
    return (target * difference).sum(dim=1).mean()
