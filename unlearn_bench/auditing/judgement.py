"""Derives a verdict from measured values, with its evidence. No verdict is a proof of deletion."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from unlearn_bench.auditing.comparison import LEVEL, PRIOR_SPREAD, TOLERANCE, Comparison, compare, joint_p, way_of
from unlearn_bench.auditing.results import Judgement, Measured, Verdict

NO_SKILL_FACTOR = 1.25  # a model up to this multiple of the accuracy of guessing knows nothing of the images
LITTLE_SKILL = 2.0  # a model below this multiple of the accuracy of guessing has learned almost nothing
DAMAGE = 5.0  # a loss of retained accuracy above this many percentage points is reported

VERDICTS: dict[Verdict, str] = {
    "unchanged": "Unchanged: the model behaves like the original.",
    "only the outputs": "Only the outputs changed: the features separate the forget set as the original's do.",
    "distinguishable": "Distinguishable from retrained",
    "indistinguishable": "Indistinguishable from retrained at this sample",
    "cannot tell": "Cannot tell from these files whether the model is like a retrained one.",
}
NO_SKILL = (
    "Cannot tell: the original does no better than guessing on these images, so nothing can be said about forgetting. "
    "Check the order of the classes, the normalisation (--normalise), the size (--size) and the architecture."
)
ERROR_RATE = (
    "At most 5 % of honestly retrained models are called distinguishable. This assumes that retrained models vary with "
    "the seed about as much as the given ones and those of this benchmark do."
)


def judge(
    measured: Sequence[Measured],
    moved: Sequence[str],
    references: int,
    head: str,
    is_class: bool,
    classes: int | None = None,
    prior: Mapping[str, float] = PRIOR_SPREAD,
    left_out: Sequence[str] = (),
) -> Judgement:
    """Returns the verdict with its evidence.

    With two or more retrained models, the model is compared with their distribution in all metrics together, see
    :mod:`unlearn_bench.auditing.comparison`. The verdict ``indistinguishable`` also requires that a metric of the
    features separates the original from the retrained models, and that the features lie nearer to the retrained ones.
    One retrained model shows no spread, so the verdict is never ``indistinguishable`` with it. Without a retrained
    model, the metrics only show whether a value differs from the original's.

    Args:
        measured: the metrics.
        moved: names of the tensors that differ between the unlearned model and the original.
        references: number of retrained models.
        head: name of the layer that makes the logits; empty if it is not known.
        is_class: whether the forget set consists of whole classes.
        classes: number of classes, which gives the accuracy of guessing; None if it is not known.
        left_out: why metrics are left out.
        prior: standard deviation over seeds of retrained models, by metric; combined with that of the given models.
    """
    about = [metric for metric in measured if metric.about == "forget"]
    evidence = list(left_out)
    if not moved:
        return Judgement("unchanged", VERDICTS["unchanged"], ("Both files contain the same weights, bit for bit.",))
    if head and all(name.startswith(f"{head}.") for name in moved):
        evidence.append(f"Only {head} changed, so the features are those of the original.")
    if classes is not None:
        evidence += _of_little_skill(measured, classes)
        if _knows_nothing(measured, classes):
            return Judgement("cannot tell", NO_SKILL, (*evidence, *(_against_original(metric) for metric in about)))
    changed = {
        reads: [metric for metric in about if metric.reads == reads and _has_changed(metric)]
        for reads in ("features", "logits")
    }
    words: str | None = None
    p: float | None = None
    if not changed["features"]:
        verdict: Verdict = "only the outputs" if changed["logits"] else "unchanged"
        evidence += [_against_original(metric) for metric in about]
    elif references:
        compared = compare(measured, prior)
        p = joint_p(compared)
        verdict, words = _against_retrained(compared, p, references)
        evidence += [_line(comparison) for comparison in compared]
        evidence.append(ERROR_RATE if references > 1 else "One retrained model shows no spread. Give two or more.")
    else:
        verdict = "cannot tell"
        evidence += [_against_original(metric) for metric in about]
        evidence.append("Without a retrained model, only the change from the original is known. Give two or more.")
    accuracy = next((metric for metric in about if metric.name == "acc_forget"), None)
    if not references and is_class and accuracy is not None and accuracy.unlearned > TOLERANCE["%"]:
        evidence.append(f"Acc(D_f) is {accuracy.unlearned:.1f} %; for a model retrained without the class it is 0 %.")
    return Judgement(verdict, words or VERDICTS[verdict], (*evidence, *_damage(measured, references)), p)


def _against_retrained(compared: Sequence[Comparison], p: float, references: int) -> tuple[Verdict, str | None]:
    """Returns the verdict, and its sentence if that contains numbers."""
    features = [c for c in compared if c.metric.reads == "features" and c.metric.about == "forget"]
    if not any(comparison.is_sensitive for comparison in features):
        return "cannot tell", (
            "Cannot tell: no metric of the features separates the original from the retrained models. Give more "
            "retrained models or more images."
        )
    way = way_of(features)
    distance = f"the features are {max(0.0, way):.0%} of the way from original to retrained"
    if references > 1 and p < LEVEL:
        different = ", ".join(c.metric.label for c in compared if len(compared) * c.p < LEVEL)
        where = f"{VERDICTS['distinguishable']} in {different}"
        return "distinguishable", f"{where} (p = {p:.2g} over all metrics); {distance}."
    if references > 1 and way > 0.5:
        return "indistinguishable", (
            f"{VERDICTS['indistinguishable']}: no metric differs significantly (p = {p:.2g} over all metrics). "
            "Differences below those listed could not be detected."
        )
    return "cannot tell", f"Cannot tell from these files whether the model is like a retrained one; {distance}."


def _line(comparison: Comparison) -> str:
    metric = comparison.metric
    mean = statistics.fmean(metric.retrained)
    way = "original and retrained are equal" if comparison.way is None else f"{max(0.0, comparison.way):.0%} of the way"
    return (
        f"{metric.label}: original {_number(metric.original, metric)}, unlearned {_number(metric.unlearned, metric)}, "
        f"retrained {_number(mean, metric)}; {way}; p = {comparison.p:.2g}; differences of "
        f"{_number(comparison.visible, metric)} or more are significant."
    )


def _has_changed(metric: Measured) -> bool:
    return abs(metric.unlearned - metric.original) > TOLERANCE.get(metric.unit, TOLERANCE[""])


def _against_original(metric: Measured) -> str:
    change = f"{metric.unlearned - metric.original:+.3g} {metric.unit}".strip() if _has_changed(metric) else "unchanged"
    before, after = _number(metric.original, metric), _number(metric.unlearned, metric)
    return f"{metric.label}: original {before}, unlearned {after} ({change})."


def _of_little_skill(measured: Sequence[Measured], classes: int) -> list[str]:
    """Returns a warning for each model that is hardly better than guessing: it is no basis for a comparison."""
    accuracy = next((metric for metric in measured if metric.name == "acc_retain"), None)
    if accuracy is None:
        return []
    roles = {"original": (accuracy.original,), "retrained": accuracy.retrained}
    guess = 100 / classes
    return [
        f"The {role} model classifies {value:.1f} % of the retained test images correctly, where guessing gives "
        f"{guess:.1f} %. It has learned almost nothing, so a comparison with it shows little."
        for role, values in roles.items()
        for value in values
        if value < LITTLE_SKILL * guess
    ]


def _knows_nothing(measured: Sequence[Measured], classes: int) -> bool:
    accuracy = next((metric for metric in measured if metric.name == "acc_retain"), None)
    return accuracy is not None and accuracy.original <= NO_SKILL_FACTOR * 100 / classes


def _damage(measured: Sequence[Measured], references: int) -> list[str]:
    sentences = []
    for metric in (metric for metric in measured if metric.about == "retain"):
        expected = statistics.fmean(metric.retrained) if references else metric.original
        if expected - metric.unlearned > DAMAGE:
            model = "the retrained model" if references else "the original"
            sentences.append(f"Damage: {metric.label} is {expected - metric.unlearned:.1f} points below {model}.")
    return sentences


def _number(value: float, measured: Measured) -> str:
    return f"{value:.1f} %" if measured.unit == "%" else f"{value:.3f}"
