"""Confidence intervals of shares of images: Wilson score intervals, computed by SciPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from unlearn_bench.store.records import Counts

CONFIDENCE = 0.95


def wilson(hits: int, images: int) -> tuple[float, float]:
    """Returns the 95 % Wilson score interval of ``hits / images``, in percent.

    Source: Wilson 1927; ``scipy.stats.binomtest``.
    """
    from scipy.stats import binomtest  # takes a second to import; few reports need it

    interval = binomtest(hits, images).proportion_ci(CONFIDENCE, method="wilson")
    return 100 * float(interval.low), 100 * float(interval.high)


def backdoor_intervals(predicted: Mapping[str, Counts], target: int) -> dict[str, str]:
    """Returns hits, images and interval of each backdoor metric as text, by metric; empty without counts.

    Args:
        predicted: counts of a run; ``triggered`` are the test images with the trigger, under their true labels.
        target: the label that the trigger makes the model predict.
    """
    triggered = predicted.get("triggered", [])
    others = [entry for entry in triggered if entry[0] != target]
    clean = predicted.get("retain", [])
    counted = {
        "asr": (_number(others, lambda _true, label: label == target), others),
        "asr_all": (_number(triggered, lambda _true, label: label == target), triggered),
        "acc_triggered": (_number(others, lambda true, label: true == label), others),
        "acc_clean": (_number(clean, lambda true, label: true == label), clean),
    }
    intervals = {}
    for name, (hits, counts) in counted.items():
        images = _number(counts, lambda _true, _label: True)
        if triggered and images:
            low, high = wilson(hits, images)
            intervals[name] = f"{hits} of {images} images, 95 % interval {low:.1f} to {high:.1f}"
    return intervals


def _number(counts: Counts, condition: Callable[[int, int], bool]) -> int:
    """Returns the number of images whose true and predicted label meet a condition."""
    return sum(number for true, label, number in counts if condition(true, label))
