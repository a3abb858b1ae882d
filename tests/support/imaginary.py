"""Outputs of imaginary models for tests of metrics: drawn, not computed by a network."""

import numpy as np
import torch

from unlearn_bench.models.outputs import ModelOutputs, Outputs


def drawn(labels: np.ndarray, seed: int, gain: float = 0.0, classes: int = 4, d: int = 6) -> Outputs:
    """Gaussian classes in feature space, and noisy logits that are larger at the label by ``gain``."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(classes, d)) * 2
    x = centres[labels] + rng.normal(size=(len(labels), d))
    z = rng.normal(size=(len(labels), classes))
    z[np.arange(len(labels)), labels] += 1 + gain
    return Outputs(*(torch.tensor(values, dtype=torch.float32) for values in (x, z)), torch.tensor(labels))


def imaginary(seed: int = 0, gain: float = 0.0, forgotten_gain: float = 0.0, images: int = 300) -> ModelOutputs:
    """A model whose logits on D_r are larger at the label by ``gain``, on D_f by ``forgotten_gain``; class 3 is D_f."""
    rng = np.random.default_rng(seed + 100)
    retained, forgotten = rng.integers(0, 3, images), np.full(images // 3, 3)
    return ModelOutputs(
        retain=drawn(retained, seed + 1, gain),
        forget=drawn(forgotten, seed + 2, forgotten_gain),
        test_retain=drawn(retained[: images // 2], seed + 3),
        test_forget=drawn(forgotten[: images // 6], seed + 4),
    )


def with_logits(logits: list[list[float]], labels: list[int] | None = None) -> Outputs:
    """Outputs with these logits; the features are zeros."""
    z = torch.tensor(logits, dtype=torch.float32)
    y = torch.zeros(len(z), dtype=torch.int64) if labels is None else torch.tensor(labels)
    return Outputs(torch.zeros(len(z), 2), z, y)
