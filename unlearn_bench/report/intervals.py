"""How sure a share of a few hundred images is: Wilson's interval, by SciPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from unlearn_bench.store.records import Counts

CONFIDENCE = 0.95


def wilson(hits: int, images: int) -> tuple[float, float]:
    """Returns the 95 % Wilson score interval of a share, in percent.

    Source: Wilson 1927; ``scipy.stats.binomtest``.
    """
    from scipy.stats import binomtest  # a second to import, for reports that ask for it

    found = binomtest(hits, images).proportion_ci(CONFIDENCE, method="wilson")
    return 100 * float(found.low), 100 * float(found.high)


def backdoor_intervals(predicted: Mapping[str, Counts], target: int) -> dict[str, str]:
    """Returns, for each metric of a backdoor, its hits, its images and its interval in words; nothing without counts.

    Args:
        predicted: of a run; ``triggered`` are the test images with the trigger under their true labels.
        target: the label that the trigger stands for.
    """
    shown = predicted.get("triggered", [])
    others = [entry for entry in shown if entry[0] != target]
    clean = predicted.get("retain", [])
    counted = {
        "asr": (_number(others, lambda _true, named: named == target), others),
        "asr_all": (_number(shown, lambda _true, named: named == target), shown),
        "acc_triggered": (_number(others, lambda true, named: true == named), others),
        "acc_clean": (_number(clean, lambda true, named: true == named), clean),
    }
    described = {}
    for name, (hits, counts) in counted.items():
        images = _number(counts, lambda _true, _named: True)
        if shown and images:
            low, high = wilson(hits, images)
            described[name] = f"{hits} of {images} images, 95 % interval {low:.1f} to {high:.1f}"
    return described


def _number(counts: Counts, chosen: Callable[[int, int], bool]) -> int:
    return sum(number for true, named, number in counts if chosen(true, named))
