"""Independent references: loops in NumPy float64."""

import numpy as np


def naive_alignment(retain: np.ndarray, forget: np.ndarray) -> float:
    """DA by the singular values of F_r and an explicit projector, not by the eigenvectors of a moment."""
    _, singular, rows = np.linalg.svd(retain, full_matrices=False)
    p = singular**2 / (singular**2).sum()
    k = max(1, round(float(np.exp(-(p[p > 0] * np.log(p[p > 0])).sum()))))
    projector = rows[:k].T @ rows[:k]
    moment = sum(np.outer(f, f) for f in forget)
    return float(np.linalg.norm(moment @ projector) / np.linalg.norm(moment))
