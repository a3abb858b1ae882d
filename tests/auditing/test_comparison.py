"""Verdicts of an audit from given values: Student's intervals, error rates on recorded models, words."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t

from unlearn_bench import cli  # noqa: F401  # as the command line has it
from unlearn_bench.auditing.comparison import PRIOR_SPREAD, compare, joint_p
from unlearn_bench.auditing.judgement import judge
from unlearn_bench.auditing.results import Measured

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
import audit_calibration as calibration


def value(name: str, reads: str, original: float, unlearned: float, *retrained: float, unit: str = "") -> Measured:
    return Measured(name, name, unit, reads, "forget", "", "", "", original, unlearned, retrained)


NEAR_MIA, LIKE_MIA = value("mia", "logits", 1.0, 0.25, 0.2, 0.24), value("mia", "logits", 1.0, 0.995, 0.2, 0.24)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([value("da", "features", 0.4, 0.91, 0.9, 0.92), NEAR_MIA], "indistinguishable"),
        ([value("da", "features", 0.4, 0.7, 0.9, 0.92), NEAR_MIA], "distinguishable"),
        ([value("da", "features", 0.4, 0.91, 0.9, 0.92), LIKE_MIA], "distinguishable"),
        ([value("da", "features", 0.4, 1.6, 0.9, 0.92), NEAR_MIA], "distinguishable"),  # beyond
        ([value("da", "features", 0.4, 0.405, 0.9, 0.92), NEAR_MIA], "only the outputs"),
        ([value("da", "features", 0.4, 0.405, 0.9, 0.92), LIKE_MIA], "unchanged"),
        ([value("da", "features", 0.89, 0.91, 0.9, 0.92), NEAR_MIA], "cannot tell"),  # nothing to tell them by
        ([value("da", "features", 0.4, 0.8, 0.5, 0.9)], "cannot tell"),  # the references differ by more
        ([value("da", "features", 0.4, 0.9, 0.91)], "cannot tell"),  # one reference shows no spread
        ([value("da", "features", 0.4, 0.405), value("mia", "logits", 1.0, 0.2)], "only the outputs"),
        ([value("da", "features", 0.4, 0.405), value("mia", "logits", 1.0, 0.995)], "unchanged"),
        ([value("da", "features", 0.4, 0.6), value("mia", "logits", 1.0, 0.995)], "cannot tell"),
    ],
)
def test_verdicts(values: list[Measured], verdict: str) -> None:
    references = len(values[0].retrained)
    assert judge(values, ["a.weight"], references, "fc", True).verdict == verdict


def test_a_comparison_is_students_prediction_interval() -> None:
    """Where the references spread as the prior says, p is that of a t-test with the degrees of freedom of both."""
    retrained = (0.90, 0.92, 0.91, 0.93)
    spread = float(np.std(retrained, ddof=1))
    (found,) = compare([value("da", "features", 0.4, 0.95, *retrained)], {"da": spread})
    score = (0.95 - np.mean(retrained)) / (spread * np.sqrt(1 + 1 / 4))
    assert found.p == pytest.approx(2 * t.sf(score, 4 + 3))
    assert found.visible == pytest.approx(t.isf(0.025, 7) * spread * np.sqrt(1 + 1 / 4))
    assert joint_p([found]) == found.p
    assert found.way == pytest.approx((0.95 - 0.4) / (np.mean(retrained) - 0.4))
    (coarse,) = compare([replace(value("lp_forget", "features", 90, 60, 60, 60, unit="%"), resolution=25.0)])
    assert coarse.visible > 50, "one test image is the least that can be seen"


@pytest.mark.parametrize("references", [2, 3, 5, 10])
def test_the_verdict_is_right_on_recorded_models_as_often_as_it_says(references: int) -> None:
    """Recorded values, so no processor decides: honest models pass, originals and cheats of the head never do."""
    models = calibration.read_runs()
    kept = {key: found for key, found in models.items() if key[0] in ("retrained", "original", "ft_classifier", "eu_k")}
    shares = calibration.calibrate(kept, references, 300, 1.0)
    assert shares["retrained"].get("indistinguishable", 0) >= 0.95
    for method in ("original", "ft_classifier"):
        assert not {"indistinguishable", "cannot tell"} & shares[method].keys()
    assert shares["eu_k"].get("distinguishable", 0) >= 0.95
    assert calibration.prior_of(models, list("13579")) == pytest.approx(PRIOR_SPREAD, rel=0.01)


def test_models_that_have_learned_nothing_are_named() -> None:
    """Random weights differ from each other too: a verdict without this would be believed."""
    kept = Measured("acc_retain", "Acc(D_r)", "%", "logits", "retain", "", "", "", 15.2, 6.2, (70.0,))
    alignment = value("da", "features", 0.4, 0.8, 0.9)
    evidence = judge([alignment, kept], ["a"], 1, "", True, classes=10).evidence
    assert evidence[0].startswith("The original model classifies 15.2 % of the retained test images correctly")
    assert not any("The retrained model classifies" in each for each in evidence)
    assert any("One retrained model shows no spread" in each for each in evidence)
    for accuracy in (0.0, 11.2):  # of an original that guesses: forgetting cannot be judged from it
        nothing = judge([alignment, replace(kept, original=accuracy)], ["fc.bias"], 1, "fc", True, classes=10)
        assert nothing.verdict == "cannot tell"
        assert "order of the classes, the normalisation" in nothing.words


def test_the_damage_and_the_bound_are_named() -> None:
    kept = Measured("acc_retain", "Acc(D_r)", "%", "logits", "retain", "", "", "", 90.0, 70.0, ())
    left = value("acc_forget", "logits", 95.0, 12.0, unit="%")
    evidence = judge([left, kept], ["a"], 0, "", True).evidence
    assert any("for a model retrained without the class it is 0 %" in each for each in evidence)
    assert evidence[-1] == "Damage: Acc(D_r) is 20.0 points below the original."
