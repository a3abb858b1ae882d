"""Membership inference from the model's confidence."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from unlearn_bench.metrics import metric
from unlearn_bench.outputs import ModelOutputs, Outputs


@metric(label="MIA", bounds=(0, 1), better="near retrained", source="Seo, Kim and Han, appendix B", version=2)
def mia(outputs: ModelOutputs) -> float:
    """Share of D_f that an attack on the confidence q(x) = max softmax calls members of the training set.

    The attack is logistic regression of member (D_r) against non-member (D_test, both parts; of a backdoor the clean
    test images alone, since the triggered ones are copies of them) on q, the two sides of equal size. The larger side
    is weighted down to the size of the smaller instead of drawing a subset of it, which would add noise of its own;
    this is what the draws tend to. q is standardised, under these weights, and the penalty is scikit-learn's default
    (C = 1), as for the linear probes: without standardising, the penalty would decide the attack wherever confidences
    differ only in their third digit.
    """
    members = confidence(outputs.retain)
    parts = [outputs.test_retain] if outputs.triggered is not None else [outputs.test_retain, outputs.test_forget]
    non_members = np.concatenate([confidence(part) for part in parts])
    sides = (members, non_members)
    size = min(len(side) for side in sides)
    q = np.concatenate(sides)[:, None]  # (N, 1)
    is_member = np.repeat([1, 0], [len(side) for side in sides])
    weight = np.concatenate([np.full(len(side), size / len(side)) for side in sides])
    attack = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8, max_iter=1000))
    attack.fit(q, is_member, standardscaler__sample_weight=weight, logisticregression__sample_weight=weight)
    return float(attack.predict(confidence(outputs.forget)[:, None]).mean())


def confidence(outputs: Outputs) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Returns the largest softmax probability of each sample, (N,) float64."""
    q: np.ndarray[tuple[int], np.dtype[np.float64]] = outputs.logits.double().softmax(dim=1).amax(dim=1).cpu().numpy()
    return q
