"""From measured values to a verdict in words, each with its evidence. Nothing here is a proof of deletion."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from unlearn_bench.auditing.comparison import LEVEL, PRIOR_SPREAD, TOLERANCE, Comparison, compare, joint_p, way_of
from unlearn_bench.report.audit import Judgement, Measured, Verdict

LITTLE_SKILL = 2.0  # times the accuracy of a guess: below it, a model has learned hardly anything
DAMAGE = 5.0  # points of retained accuracy whose loss is named

VERDICTS: dict[Verdict, str] = {
    "unchanged": "Unchanged: the model behaves as the original does.",
    "only the outputs": "Only the outputs changed: the features tell the forget set apart as the original's do.",
    "distinguishable": "Distinguishable from retrained",
    "indistinguishable": "Indistinguishable from retrained at this sample",
    "cannot tell": "These pieces cannot tell whether the model is like a retrained one.",
}
ERROR_RATE = (
    "An honestly retrained model is called distinguishable in at most 5 % of audits, as far as the seeds of retrained "
    "models differ here about as much as their own spread and this benchmark's say."
)


def judge(
    measured: Sequence[Measured],
    moved: Sequence[str],
    references: int,
    head: str,
    is_class: bool,
    classes: int | None = None,
    prior: Mapping[str, float] = PRIOR_SPREAD,
) -> Judgement:
    """Returns the verdict.

    With two retrained models or more, the model is compared with their distribution in all metrics together, see
    :mod:`unlearn_bench.auditing.comparison`. ``indistinguishable`` needs more than no significant difference: a metric
    of the features must be able to tell the original from retrained, and the features must lie nearer to retrained.
    One retrained model shows no spread, so nothing is called indistinguishable from it. Without one, only whether a
    metric left the original's value can be read.

    Args:
        measured: the metrics.
        moved: tensors in which the unlearned model differs from the original.
        references: number of retrained models.
        head: name of the layer that makes the logits; empty where it is not known.
        is_class: whether the forget set is whole classes.
        classes: how many there are, which says how often a guess is right; None where that is not known.
        prior: spread over seeds of retrained models, by metric, that is blended with the references' own.
    """
    about = [each for each in measured if each.about == "forget"]
    evidence: list[str] = []
    if not moved:
        return Judgement("unchanged", VERDICTS["unchanged"], ("Both files hold the same weights, bit for bit.",))
    if head and all(name.startswith(f"{head}.") for name in moved):
        evidence.append(f"Only {head} was changed, so the features are the original's by construction.")
    if classes is not None:
        evidence += _of_little_skill(measured, classes)
    left = {
        reads: [each for each in about if each.reads == reads and _has_left(each)] for reads in ("features", "logits")
    }
    words: str | None = None
    p: float | None = None
    if not left["features"]:
        verdict: Verdict = "only the outputs" if left["logits"] else "unchanged"
        evidence += [_against_original(each) for each in about]
    elif references:
        compared = compare(measured, prior)
        p = joint_p(compared)
        verdict, words = _against_retrained(compared, p, references)
        evidence += [_line(each) for each in compared]
        evidence.append(ERROR_RATE if references > 1 else "One retrained model shows no spread: give two or more.")
    else:
        verdict = "cannot tell"
        evidence += [_against_original(each) for each in about]
        evidence.append("Without a retrained model only the change from the original is known: give two or more.")
    bound = next((each for each in about if each.name == "acc_forget"), None)
    if not references and is_class and bound is not None and bound.unlearned > TOLERANCE["%"]:
        evidence.append(
            f"Acc(D_f) is {bound.unlearned:.1f} %; a model retrained without the class never names it and is at 0."
        )
    return Judgement(verdict, words or VERDICTS[verdict], (*evidence, *_damage(measured, references)), p)


def _against_retrained(compared: Sequence[Comparison], p: float, references: int) -> tuple[Verdict, str | None]:
    """Returns the verdict, and the sentence where it has figures."""
    features = [each for each in compared if each.metric.reads == "features" and each.metric.about == "forget"]
    if not any(each.tells for each in features):
        return "cannot tell", (
            "These pieces cannot tell: no metric of the features would tell the original itself from the retrained "
            "models. Give more retrained models or more images."
        )
    way = way_of(features)
    far = f"the features are {max(0.0, way):.0%} of the way from original to retrained"
    if references > 1 and p < LEVEL:
        different = ", ".join(each.metric.label for each in compared if len(compared) * each.p < LEVEL)
        return "distinguishable", f"{VERDICTS['distinguishable']} in {different} (p = {p:.2g} of all metrics); {far}."
    if references > 1 and way > 0.5:
        return "indistinguishable", (
            f"{VERDICTS['indistinguishable']}: no metric differs significantly (p = {p:.2g} of all metrics). Smaller "
            "differences than those named below would not have shown."
        )
    return "cannot tell", f"These pieces cannot tell whether the model is like a retrained one; {far}."


def _line(each: Comparison) -> str:
    metric = each.metric
    mean = statistics.fmean(metric.retrained)
    way = "original and retrained agree" if each.way is None else f"{max(0.0, each.way):.0%} of the way"
    return (
        f"{metric.label}: original {_number(metric.original, metric)}, unlearned {_number(metric.unlearned, metric)}, "
        f"retrained {_number(mean, metric)}; {way}; p = {each.p:.2g}; a difference from "
        f"{_number(each.visible, metric)} on would have shown."
    )


def _has_left(each: Measured) -> bool:
    return abs(each.unlearned - each.original) > TOLERANCE.get(each.unit, TOLERANCE[""])


def _against_original(each: Measured) -> str:
    change = each.unlearned - each.original
    how = f"{change:+.3g} {each.unit}".strip() if _has_left(each) else "as before"
    return f"{each.label}: original {_number(each.original, each)}, unlearned {_number(each.unlearned, each)} ({how})."


def _of_little_skill(measured: Sequence[Measured], classes: int) -> list[str]:
    """Returns a warning of each role whose models are hardly better than a guess: then little can be read at all."""
    accuracy = next((each for each in measured if each.name == "acc_retain"), None)
    if accuracy is None:
        return []
    roles = {"original": (accuracy.original,), "retrained": accuracy.retrained}
    guess = 100 / classes
    return [
        f"The {role} model names {value:.1f} % of the retained test images rightly, where a guess names {guess:.1f} %: "
        "it has learned hardly anything, and what is compared with it says little."
        for role, found in roles.items()
        for value in found
        if value < LITTLE_SKILL * guess
    ]


def _damage(measured: Sequence[Measured], references: int) -> list[str]:
    found = []
    for each in (each for each in measured if each.about == "retain"):
        against = statistics.fmean(each.retrained) if references else each.original
        if against - each.unlearned > DAMAGE:
            whom = "the retrained model" if references else "the original"
            found.append(f"The price: {each.label} is {against - each.unlearned:.1f} points below {whom}.")
    return found


def _number(value: float, measured: Measured) -> str:
    return f"{value:.1f} %" if measured.unit == "%" else f"{value:.3f}"
