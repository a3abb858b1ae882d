"""A model against the distribution of retrained models: one prediction interval a metric, all metrics together.

A retrained model of another seed differs from the given ones too. With R of them of mean r and standard deviation s, a
further one lies within r ± t · s · √(1 + 1/R). Few references know s badly: two would have to allow for thirteen times
what they show. So s² is a weighted mean of the references' own variance, with R − 1 degrees of freedom, and of the
variance that this benchmark's retrained models have, with ``PRIOR_FREEDOM`` (the moderated t-test of Smyth 2004,
Statistical Applications in Genetics and Molecular Biology 3(1), the prior taken from recorded runs).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import stdtr, stdtrit

from unlearn_bench.report.audit import Measured

LEVEL = 0.05  # how often an honestly retrained model may be called distinguishable
PRIOR_FREEDOM = 4
# Standard deviation over seeds of retrained models, in the metric's unit: digits, five forget sets, thirty seeds
# (results/demo-runs-30-seeds.csv, printed by benchmarks/audit_calibration.py).
PRIOR_SPREAD = {
    "da": 0.0103,
    "lp_forget": 4.21,
    "lp_retain": 0.695,
    "f1": 0.0876,
    "nmi": 0.0605,
    "acc_retain": 0.689,
    "mia": 0.0657,
}
OTHER_SPREAD = {"%": 2.0, "": 0.05}  # by unit, of metrics that are not among these
TOLERANCE = {"%": 1.0, "": 0.01}  # by unit: a difference that a rounding of a table would hide


@dataclass(frozen=True)
class Comparison:
    """A model in one metric, against the retrained models and the original.

    Attributes:
        metric: its values.
        difference: the model's value less the mean of the retrained models.
        p: of a retrained model's difference being as large or larger, this metric alone.
        visible: the smallest difference that all metrics together would call significant.
        way: how far the value is from the original's (0) to the retrained models' (1); None where these agree.
    """

    metric: Measured
    difference: float
    p: float
    visible: float
    way: float | None

    @property
    def tells(self) -> bool:
        """Whether the metric would call the original model distinguishable from retrained."""
        return abs(self.metric.original - statistics.fmean(self.metric.retrained)) > self.visible


def compare(metrics: Sequence[Measured], prior: Mapping[str, float] = PRIOR_SPREAD) -> list[Comparison]:
    """Returns the comparison of every metric; each has the same retrained models, at least one."""
    compared = []
    for metric in metrics:
        references = metric.retrained
        own = len(references) - 1
        known = prior.get(metric.name, OTHER_SPREAD.get(metric.unit, OTHER_SPREAD[""]))
        variance = statistics.variance(references) if own else 0.0
        spread = math.sqrt((PRIOR_FREEDOM * known**2 + own * variance) / (PRIOR_FREEDOM + own))
        spread = max(spread, metric.resolution)
        error = spread * math.sqrt(1 + 1 / len(references))
        mean = statistics.fmean(references)
        difference, freedom = metric.unlearned - mean, PRIOR_FREEDOM + own
        room = metric.original - mean
        compared.append(
            Comparison(
                metric=metric,
                difference=difference,
                p=2 * float(stdtr(freedom, -abs(difference) / error)),
                visible=error * float(stdtrit(freedom, 1 - LEVEL / 2 / len(metrics))),
                way=(metric.original - metric.unlearned) / room if room else None,
            )
        )
    return compared


def joint_p(compared: Sequence[Comparison]) -> float:
    """Returns the p-value of all metrics together: the smallest, by Bonferroni."""
    return min(1.0, len(compared) * min(each.p for each in compared))


def way_of(compared: Sequence[Comparison]) -> float:
    """Returns how far these metrics are from the original (0) to retrained (1): the mean, weighted by what each sees.

    The weight is the square of the distance from original to retrained in units of the smallest visible difference.
    """
    weighed = [
        ((each.metric.original - statistics.fmean(each.metric.retrained)) / each.visible) ** 2 for each in compared
    ]
    total = sum(weighed)
    return sum(weight * each.way for weight, each in zip(weighed, compared, strict=True) if each.way) / total
