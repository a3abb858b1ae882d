"""The file of tuned options: what ``tune`` chose for each method, how, and at what cost. Does not import torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import yaml
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from unlearn_bench.config.benchmarks import Scalar
from unlearn_bench.core.errors import ConfigError
from unlearn_bench.core.files import atomic_write
from unlearn_bench.core.yaml_files import read_yaml

Objective = Literal["honest", "oracle"]
HEADER = "# Written by `unlearn-bench tune`; read by --options of run, reproduce and report.\n"


class Tuned(BaseModel):
    """The options that tuning chose for a method, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    options: dict[str, Scalar] = Field(description="all options that differ from the method's defaults")
    objective: Objective
    search: str = Field(description="name of the grid or of the sampler")
    profile: str
    dataset: str
    scenario: str = Field(validation_alias=AliasChoices("scenario", "setting"))
    forget: list[str]
    seeds: list[int]
    score: float = Field(description="value of the objective for the chosen options")
    trials: int = Field(validation_alias=AliasChoices("trials", "settings"), description="number of trials")
    runs: int = Field(description="number of runs: trials × configurations")
    method_seconds: float = Field(description="seconds of the method in all runs")
    evaluation_seconds: float
    forward_images: int
    backward_images: int
    model: str = Field(default="", description="the options that chose the network; empty for the profile's")
    versions: str = Field(default="", description="versions of a plug-in's method, model and scenario in the trials")

    @property
    def sentence(self) -> str:
        """How the options were chosen, as text; it names the oracle objective in capitals."""
        reads = (
            "the ORACLE objective, which reads test images and the retrained model"
            if self.objective == "oracle"
            else "the honest objective, which reads neither test images nor a retrained model"
        )
        seconds = self.method_seconds + self.evaluation_seconds
        where = f"{self.dataset}, {self.scenario} {', '.join(self.forget)}"
        where += f", with {self.model}," if self.model else ""
        where += f", with version {self.versions}," if self.versions else ""
        return f"tuned on {where} by {reads} ({self.search}, {self.trials} trials, {self.runs} runs, {seconds:.0f} s)"


def read_tuned(file: Path) -> dict[str, Tuned]:
    """Returns the tuned options of a file, by method.

    Raises:
        ConfigError: the file does not exist or is not a file of tuned options.
    """
    if not file.is_file():
        raise ConfigError(f"There is no file {file}. Give --options a file that `unlearn-bench tune` wrote.")
    data = read_yaml(file)
    if not isinstance(data, dict):
        raise ConfigError(f"{file.name} has no methods. Expected a file that `unlearn-bench tune` wrote.")
    entries = {}
    for name, content in data.items():
        try:
            entries[str(name)] = Tuned.model_validate(content)
        except ValidationError as problem:
            first = problem.errors()[0]
            key = ".".join(str(part) for part in (name, *first["loc"]))
            raise ConfigError(
                f"{file.name}: {key}: {first['msg']}. Expected a file that `unlearn-bench tune` wrote."
            ) from None
    return entries


def check_writable(file: Path) -> None:
    """Creates the folder of a file. Call it before work whose result you write to the file.

    Raises:
        ConfigError: the folder cannot be created, or you have no permission to write to it.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ConfigError(f"{file} cannot be written: {problem.strerror}. Choose another file with --output.") from None
    if not os.access(file.parent, os.W_OK):
        raise ConfigError(f"{file} cannot be written: its folder is read-only. Choose another file with --output.")


def write_tuned(file: Path, method: str, entry: Tuned) -> None:
    """Writes a method's entry to the file atomically, and keeps the entries of other methods.

    Raises:
        ConfigError: the file cannot be written.
    """
    entries = read_tuned(file) if file.exists() else {}
    entries[method] = entry
    check_writable(file)
    content = {name: entries[name].model_dump(exclude_defaults=True) for name in sorted(entries)}
    with atomic_write(file) as part:
        part.write_text(HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
