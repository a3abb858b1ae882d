"""The results of an audit, as frozen dataclasses."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["unchanged", "only the outputs", "distinguishable", "indistinguishable", "cannot tell"]


@dataclass(frozen=True)
class Input:
    """An audited file.

    Attributes:
        role: original, unlearned or retrained.
        file: its name.
        sha256: of the file.
        key: which entry of the file was read, such as ``state_dict``; empty if the file is the weights themselves.
        remarks: what else is to be said of it, such as entries that were ignored.
    """

    role: str
    file: str
    sha256: str
    key: str = ""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """The value of a metric for every model, and what the metric can and cannot show.

    Attributes:
        name, label, unit: of the metric.
        reads: ``features`` or ``logits``.
        about: the set that the metric is about, ``forget`` or ``retain``.
        shows, hides: what the metric can and cannot show.
        without_reference: what the metric shows without a retrained model.
        original, unlearned: the values of the original and of the unlearned model, in the unit.
        retrained: a value for each retrained model.
        resolution: the smallest difference that these images can show, such as that of one test image.
    """

    name: str
    label: str
    unit: str
    reads: str
    about: str
    shows: str
    hides: str
    without_reference: str
    original: float
    unlearned: float
    retrained: tuple[float, ...]
    resolution: float = 0.0

    @property
    def gap(self) -> float | None:
        """|unlearned − mean of retrained|; None without a retrained model."""
        return abs(self.unlearned - statistics.fmean(self.retrained)) if self.retrained else None

    @property
    def retrained_range(self) -> float | None:
        """Largest difference between two retrained models; None with fewer than two."""
        return max(self.retrained) - min(self.retrained) if len(self.retrained) > 1 else None


@dataclass(frozen=True)
class Judgement:
    """A verdict and its evidence.

    Attributes:
        verdict: one of five values.
        words: the verdict as a sentence.
        evidence: the sentences on which the verdict is based.
        p_value: probability that a retrained model differs by as much or more from the given ones, over all metrics
            together; None if the model was not compared with retrained models.
    """

    verdict: Verdict
    words: str
    evidence: tuple[str, ...]
    p_value: float | None = None


@dataclass(frozen=True)
class Audit:
    """The results of an audit, and everything that is needed to repeat it."""

    inputs: tuple[Input, ...]
    architecture: str
    features: str
    preprocessing: str
    images: str
    forget: str
    made_with: str
    command: str
    measured: tuple[Measured, ...]
    changed: str
    judgement: Judgement

    def _repr_html_(self) -> str:
        """Returns the verdict and the table as HTML, for notebooks."""
        from unlearn_bench.auditing.report import to_notebook

        return to_notebook(self)
