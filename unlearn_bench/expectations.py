"""What a check expects to measure: values with their spread over seeds, in benchmarks.yaml or a file of their own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from unlearn_bench.artefacts import durable
from unlearn_bench.errors import ConfigError
from unlearn_bench.yaml_files import read_yaml

SECTION = "expectations"
Mark = Literal["same", "within", "worse", "better", "changed", "lost", "unexpected"]
FALSE_ALARMS = 1e-2  # how often a check of unchanged code may fail in its first pass, all its comparisons together
ONE_SIDED = 1.645  # standard deviations that a normal value exceeds in 5 % of cases
FAILING = ("worse", "better", "changed", "lost")
HEADER = (
    "# Written by `unlearn-bench check --update`, read by `unlearn-bench check`. Of each method and metric: the mean\n"
    "# over the forget sets at the first seed; of such means over all repeats, their mean and standard deviation.\n"
    "# Repeats are the disturbances of the start weights where there are any, else the seeds.\n"
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


def write_expectations(file: Path, expectations: dict[str, Expectation]) -> None:
    """Writes the section of a file and leaves every other character of it as it was.

    Raises:
        FileError: the file cannot be written.
        ConfigError: it is not YAML, or the section cannot be replaced in it, as in ``{...}`` in one line.
    """
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    before, after = _around(text) if text and read_yaml(file) is not None else (text, "")
    gap = "\n" if before and not before.endswith("\n\n") else ""
    rest = _rest(read_yaml(file)) if text else {}
    with durable(file) as part:
        part.write_text(before + gap + _written(expectations) + after, encoding="utf-8")
        try:
            holds = read_expectations(part) == expectations and _rest(read_yaml(part)) == rest
        except ConfigError:
            holds = False
        if not holds:
            raise ConfigError(
                f"The section '{SECTION}' of {file.name} cannot be replaced where it stands. Give it its own lines, or "
                "name another file with --expectations."
            )


def _rest(content: object) -> dict[object, object]:
    return {key: value for key, value in content.items() if key != SECTION} if isinstance(content, dict) else {}


def _around(text: str) -> tuple[str, str]:
    """Returns what stands before the section, its comment of ours included, and what stands after it."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value == SECTION:
            lines = text[: value.end_mark.index].splitlines(keepends=True)
            while not lines[-1].strip() or lines[-1].startswith("#"):  # it is of what follows
                lines.pop()
            return text[: key.start_mark.index].removesuffix(HEADER), text[len("".join(lines)) :]
    return text if text.endswith("\n") else f"{text}\n", ""


def _written(expectations: dict[str, Expectation]) -> str:
    lines = [f"{SECTION}:"]
    for name, entry in expectations.items():
        fields = entry.model_dump(exclude={"values"})
        lines.append(f"  {_flow(name)}:")
        lines += [f"    {key}: {_flow(value)}" for key, value in fields.items()]
        lines.append("    values:")
        for method, values in entry.values.items():
            pairs = [f"{metric}: {_flow(list(expected))}" for metric, expected in values.items()]
            lines += [f"      {_flow(method)}:", *(f"        {pair}" for pair in pairs)]
    return HEADER + "\n".join(lines) + "\n"


def _flow(value: object) -> str:
    """Returns a value as YAML in one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")
