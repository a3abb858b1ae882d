"""What `check` expects to measure: values with their spread over repeats, in a file of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from unlearn_bench.core.errors import ConfigError
from unlearn_bench.core.files import atomic_write
from unlearn_bench.core.yaml_files import read_yaml

SECTION = "expectations"
Mark = Literal["same", "within", "worse", "better", "changed", "lost", "unexpected"]
FALSE_ALARMS = 1e-2  # how often a check of unchanged code may fail in its first pass, all its comparisons together
ONE_SIDED = 1.645  # standard deviations that a normal value exceeds in 5 % of cases
FAILING = ("worse", "better", "changed", "lost")
FILE = Path("results", "expectations.yaml")  # beside benchmarks.yaml
HEADER = (
    "# Written by `unlearn-bench check --update`, read by `unlearn-bench check`. For each method and metric: the mean\n"
    "# over the forget sets in the first repeat; then the mean and the standard deviation of such means over all\n"
    "# repeats. Repeats differ in the disturbance of the start weights, or, without disturbances, in the seed.\n"
)


class Expected(NamedTuple):
    """What is expected of a method in a metric, in the metric's unit.

    Attributes:
        value: mean over the forget sets at the first seed.
        mean: of such means over all repeats, see :attr:`Expectation.repeats`.
        spread: their sample standard deviation; 0 for a single repeat.
    """

    value: FiniteFloat
    mean: FiniteFloat
    spread: Annotated[FiniteFloat, Field(ge=0)]


class Expectation(BaseModel):
    """A table whose values are held."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    table: str
    profile: str
    forget: list[str] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1, description="measured; a check measures the first again")
    disturbances: int = Field(default=0, ge=0, le=1000, description="times that the first seed was measured disturbed")
    tolerance: dict[str, Annotated[FiniteFloat, Field(ge=0)]] = Field(
        description="by metric, in its unit: a smaller difference is never a regression"
    )
    measured: str = Field(description="by what, on what, when")
    values: dict[str, dict[str, Expected]] = Field(description="by method and metric")

    @property
    def repeats(self) -> list[int]:
        """What the spread is over: disturbances of the first seed, of which 0 is none, or the seeds."""
        return list(range(self.disturbances + 1)) if self.disturbances else self.seeds

    def margins(self, fresh: int = 1) -> dict[tuple[str, str], float]:
        """Returns by method and metric the largest difference that counts as none for a mean of ``fresh`` repeats."""
        factor = margin_factor(len(self.repeats), fresh, sum(map(len, self.values.values())))
        return {
            (method, metric): max(self.tolerance.get(metric, 0.0), factor * expected.spread)
            for method, values in self.values.items()
            for metric, expected in values.items()
        }

    def power(self) -> dict[tuple[str, str], float]:
        """Returns by method and metric the smallest change that a check finds in 95 of 100 cases, first pass."""
        margins = self.margins()
        return {(m, n): margin + ONE_SIDED * self.values[m][n].spread for (m, n), margin in margins.items()}


@dataclass(frozen=True)
class Comparison:
    """A method's value in a metric, before and after, in the metric's unit.

    Attributes:
        before: recorded at the same repeat, else the mean over the recorded ones; None where nothing was recorded.
        after: measured now; None where a run is not done.
        margin: the largest difference that counts as none.
        mark: ``same`` to the recorded digits; ``within`` the margin; beyond it ``worse`` where the method lies farther
            from the retrained model than before, ``better`` where nearer, ``changed`` of a reference; ``lost`` where
            it is no longer measured; ``unexpected`` where nothing was recorded.
    """

    method: str
    metric: str
    before: float | None
    after: float | None
    margin: float
    mark: Mark

    @property
    def fails(self) -> bool:
        """Whether it is a regression: of a benchmark a recorded number must hold, in both directions."""
        return self.mark in FAILING


@lru_cache
def margin_factor(repeats: int, fresh: int, comparisons: int) -> float:
    """Returns how many standard deviations a mean of ``fresh`` repeats may lie from the mean of ``repeats`` others.

    The half width of Student's prediction interval at a level at which all comparisons together fail once in
    1 / ``FALSE_ALARMS`` checks of unchanged code, by Bonferroni; 0 for fewer than two repeats, which show no spread.
    """
    from scipy.special import stdtrit

    if repeats < 2 or not comparisons:
        return 0.0
    level = 1 - FALSE_ALARMS / comparisons / 2
    return float(stdtrit(repeats - 1, level)) * (1 / fresh + 1 / repeats) ** 0.5


def read_expectations(file: Path) -> dict[str, Expectation]:
    """Returns the expectations of a file of their own, by name.

    Raises:
        ConfigError: no such file, or not one of expectations.
    """
    if not file.is_file():
        raise ConfigError(f"There is no file {file}. Make it with: unlearn-bench check --expectations {file} --update")
    data = read_yaml(file)
    section = data.get(SECTION) if isinstance(data, dict) else None
    if not isinstance(section, dict):
        raise ConfigError(f"{file.name} has no key '{SECTION}', expected a file that `unlearn-bench check` wrote.")
    found = {}
    for name, content in section.items():
        try:
            found[str(name)] = Expectation.model_validate(content)
        except ValidationError as problem:
            first = problem.errors()[0]
            place = ".".join(str(part) for part in (SECTION, name, *first["loc"]))
            raise ConfigError(
                f"{file.name}: {place}: {first['msg']}. Expected what `unlearn-bench check --update` writes."
            ) from None
    return found


def recorded_expectations(home: Path, file: Path, older: Mapping[str, Expectation]) -> dict[str, Expectation]:
    """Returns the expectations of ``results/expectations.yaml``, by name.

    Args:
        home: the folder of results; its file comes first.
        file: benchmarks.yaml, beside which expectations are shipped.
        older: the section of an older benchmarks.yaml.

    Raises:
        ConfigError: the file cannot be read.
    """
    path = next((folder / FILE for folder in (home, file.parent) if (folder / FILE).is_file()), None)
    return {**older, **(read_expectations(path) if path else {})}


def write_expectations(file: Path, expectations: Mapping[str, Expectation]) -> None:
    """Writes a file of expectations, whole or not at all.

    Raises:
        FileError: the file cannot be written.
    """
    content = {SECTION: {name: _plain(entry) for name, entry in expectations.items()}}
    text = yaml.safe_dump(content, default_flow_style=None, sort_keys=False, allow_unicode=True, width=10**6)
    with atomic_write(file) as part:
        part.write_text(HEADER + text, encoding="utf-8")


def _plain(entry: Expectation) -> dict[str, Any]:
    return entry.model_dump(mode="json")
