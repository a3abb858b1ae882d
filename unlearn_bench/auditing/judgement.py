"""From measured values to a verdict in words, each with its evidence. Nothing here is a proof of deletion."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from unlearn_bench.report.audit import Judgement, Measured, Verdict
from unlearn_bench.report.fooled import CREDIT

TOLERANCE = {"%": 1.0, "": 0.01}  # by unit: a difference that a rounding of a table would hide
LITTLE_SKILL = 2.0  # times the accuracy of a guess: below it, a model has learned hardly anything
DAMAGE = 5.0  # points of retained accuracy whose loss is named

VERDICTS: dict[Verdict, str] = {
    "unchanged": "Nothing was forgotten: the model behaves as the original does.",
    "only the name": "Only the name was forgotten: the outputs changed, the features still tell the forget set apart.",
    "not as retrained": "Not forgotten as retraining forgets: most of what tells original from retrained is left.",
    "partly": "Partly forgotten: some of what tells original from retrained is gone, some is left.",
    "as retrained": "Consistent with forgetting: outputs and features lie nearer to retrained than to the original.",
    "moved": "Outputs and features changed. Whether as far as retraining would change them cannot be said without a "
    "retrained model; what is known of each metric stands below.",
    "not told": "These pieces cannot tell: original and retrained do not differ in what the features show.",
}


def judge(
    measured: Sequence[Measured],
    moved: Sequence[str],
    references: int,
    head: str,
    is_class: bool,
    classes: int | None = None,
) -> Judgement:
    """Returns the verdict.

    With a retrained model, a metric of the forget set speaks where original and retrained differ by more than its
    tolerance and the noise floor; the share of that difference that unlearning closed is read as in the audit of
    metrics. Without one, only whether a metric left the original's value can be read.

    Args:
        measured: the metrics.
        moved: tensors in which the unlearned model differs from the original.
        references: number of retrained models.
        head: name of the layer that makes the logits; empty where it is not known.
        is_class: whether the forget set is whole classes.
        classes: how many there are, which says how often a guess is right; None where that is not known.
    """
    about = [each for each in measured if each.about == "forget"]
    evidence = []
    if not moved:
        return Judgement("unchanged", VERDICTS["unchanged"], ("Both files hold the same weights, bit for bit.",))
    if head and all(name.startswith(f"{head}.") for name in moved):
        evidence.append(f"Only {head} was changed, so the features are the original's by construction.")
    if classes is not None:
        evidence += _of_little_skill(measured, classes)
    if references == 1:
        evidence.append("One retrained model gives no noise floor: how far two of them differ is not known here.")
    verdict, more = _against_retrained(about) if references else _against_original(about)
    bound = next((each for each in about if each.name == "acc_forget"), None)
    if not references and is_class and bound is not None and bound.unlearned > TOLERANCE["%"]:
        more.append(
            f"Acc(D_f) is {bound.unlearned:.1f} %; a model retrained without the class never names it and is at 0."
        )
    return Judgement(verdict, VERDICTS[verdict], (*evidence, *more, *_damage(measured, references)))


def _against_retrained(about: Sequence[Measured]) -> tuple[Verdict, list[str]]:
    passed: dict[str, list[bool]] = {"features": [], "logits": []}
    evidence = []
    for each in about:
        target, chance = statistics.fmean(each.retrained), each.floor or 0.0
        room, left = abs(each.original - target), abs(each.unlearned - target)
        if room <= max(TOLERANCE.get(each.unit, TOLERANCE[""]), chance):
            evidence.append(f"{each.label} says nothing: original and retrained do not differ in it.")
            continue
        closed, is_within = 1 - left / room, left <= chance
        passed[each.reads].append(closed >= CREDIT or is_within)
        evidence.append(
            f"{each.label}: original {_number(each.original, each)}, unlearned {_number(each.unlearned, each)}, "
            f"retrained {_number(target, each)}; {max(0.0, closed):.0%} of the way"
            f"{', and within what retrained models differ by' if is_within else ''}."
        )
    features, outputs = passed["features"], passed["logits"]
    if not features:
        return "not told", evidence
    if all(features) and all(outputs):
        return "as retrained", evidence
    if any(features):
        return "partly", evidence
    return ("only the name" if any(outputs) else "not as retrained"), evidence


def _against_original(about: Sequence[Measured]) -> tuple[Verdict, list[str]]:
    left: dict[str, list[bool]] = {"features": [], "logits": []}
    evidence = []
    for each in about:
        change = each.unlearned - each.original
        has_left = abs(change) > TOLERANCE.get(each.unit, TOLERANCE[""])
        left[each.reads].append(has_left)
        how = f"{change:+.3g} {each.unit}".strip() if has_left else "as before"
        evidence.append(
            f"{each.label}: original {_number(each.original, each)}, unlearned {_number(each.unlearned, each)} ({how})."
        )
    if not any(left["features"]):
        return ("only the name" if any(left["logits"]) else "unchanged"), evidence
    return "moved", evidence


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
