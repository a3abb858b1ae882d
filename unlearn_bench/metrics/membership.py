"""Membership inference from the model's confidence."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from unlearn_bench.metrics import metric
from unlearn_bench.outputs import ModelOutputs, Outputs


@metric(label="MIA", bounds=(0, 1), better="near retrained", source="Seo, Kim and Han, appendix B")
def mia(outputs: ModelOutputs) -> float:
    """Share of D_f that an attack on the confidence q(x) = max softmax calls members of the training set.

    The attack is logistic regression of member (D_r) against non-member (D_test, both parts) on q, the two sides of
    equal size. They are made equal by weights rather than by drawing a subset, which would add noise of its own. q is
    standardised and the penalty is scikit-learn's default (C = 1), as for the linear probes: without standardising, the
    penalty would decide the attack wherever confidences differ only in their third digit.
    """
    non_members = np.concatenate([confidence(outputs.test_retain), confidence(outputs.test_forget)])
    members = confidence(outputs.retain)
    q = np.concatenate([members, non_members])[:, None]  # (N, 1)
    is_member = np.r_[np.ones(len(members)), np.zeros(len(non_members))]
    attack = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", tol=1e-8, max_iter=1000))
    attack.fit(q, is_member)
    return float(attack.predict(confidence(outputs.forget)[:, None]).mean())


def confidence(outputs: Outputs) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Returns the largest softmax probability of each sample, (N,) float64."""
    q: np.ndarray[tuple[int], np.dtype[np.float64]] = outputs.logits.double().softmax(dim=1).amax(dim=1).cpu().numpy()
    return q
