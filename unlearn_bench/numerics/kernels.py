"""Differentiable tensor functions that metrics report and methods train on. They know no model and no data set."""

from __future__ import annotations

import torch
from torch import Tensor


def second_moment(features: Tensor) -> Tensor:
    """Returns the uncentred second moment F Fᵀ of features.

    The paper writes F as (d, n); here each row of ``features`` is a sample.

    Args:
        features: (n, d) float.

    Returns:
        (d, d), dtype of ``features``, symmetric positive semi-definite; a sum over samples, not a mean.

    Example:
        >>> second_moment(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([[10., 14.],
                [14., 20.]])
    """
    return features.T @ features  # (d, n) @ (n, d) → (d, d)


def effective_rank(eigenvalues: Tensor) -> int:
    """Returns the effective rank of a positive semi-definite matrix, at least 1.

    The effective rank is exp(H(p)), rounded to the nearest integer. p are the eigenvalues normalised to sum 1, and H is
    the Shannon entropy in nats.

    Args:
        eigenvalues: (d,) float, any order; small negative values from rounding count as 0.

    Source: Roy and Vetterli, "The effective rank", EUSIPCO 2007, definition 1.

    Example:
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
    """Returns U_k, the k leading eigenvectors of the second moment; k is its effective rank.

    Args:
        features: (n, d) float, features F_r of the retain set. The decomposition runs in float64.

    Returns:
        (d, k), dtype of ``features``, orthonormal columns, detached (the paper's stop-gradient on F_r).

    Source: Seo, Kim and Han, "Revisiting Machine Unlearning with Dimensional Alignment", section 3.2.

    Example:
        >>> features = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
        >>> principal_subspace(features).shape
        torch.Size([3, 2])
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

    Example:
        >>> subspace = torch.tensor([[1.0], [0.0]])
        >>> dimensional_alignment(torch.tensor([[1.0, 0.0]]), subspace)
        tensor(1.)
        >>> dimensional_alignment(torch.tensor([[0.0, 1.0]]), subspace)
        tensor(0.)
    """
    moment = second_moment(forget_features)  # (d, d)
    # ‖M U Uᵀ‖_F = ‖M U‖_F, since the columns of U are orthonormal
    projected = moment @ subspace  # (d, k)
    tiny = torch.finfo(moment.dtype).tiny
    return projected.norm() / moment.norm().clamp(min=tiny)


def redistribute(logits: Tensor, forbidden: Tensor) -> Tensor:
    """Returns log f̃: the log of the softmax output with the forbidden classes set to 0 and the rest renormalised.

    Args:
        logits: (n, K) float.
        forbidden: (n, K) bool; every row allows at least one class.

    Returns:
        (n, K) log-probabilities, −inf at the forbidden classes.

    Source: Seo, Kim and Han, section 3.3.

    Example:
        >>> logits = torch.tensor([[0.5, 0.25, 0.25]]).log()
        >>> redistribute(logits, torch.tensor([[True, False, False]])).exp()
        tensor([[0.0000, 0.5000, 0.5000]])
    """
    return logits.masked_fill(forbidden, -torch.inf).log_softmax(dim=1)


def kl_divergence(log_target: Tensor, log_output: Tensor) -> Tensor:
    """Returns the mean over samples of KL(target ‖ output), in nats.

    Args:
        log_target: (n, K) log-probabilities; −inf is probability 0, which contributes nothing.
        log_output: (n, K) finite log-probabilities.

    Source: Seo, Kim and Han, equation 2.

    Example:
        >>> target, output = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]])
        >>> kl_divergence(target.log(), output.log())
        tensor(0.6931)
    """
    target = log_target.exp()  # (n, K)
    # the difference is taken only where the target is positive: 0 · (−inf) would be NaN, in the gradient too
    difference = torch.where(target > 0, log_target, log_output) - log_output
    return (target * difference).sum(dim=1).mean()
