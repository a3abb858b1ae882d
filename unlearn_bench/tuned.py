"""The file of tuned options: what ``tune`` chose for each method, how, and at what cost. No torch here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unlearn_bench.artefacts import durable
from unlearn_bench.config import Scalar
from unlearn_bench.errors import ConfigError
from unlearn_bench.yaml_files import read_yaml

Objective = Literal["honest", "oracle"]
HEADER = "# Written by `unlearn-bench tune`; read by --options of run, reproduce and report.\n"


class Tuned(BaseModel):
    """The options that tuning chose for a method, and where they come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    options: dict[str, Scalar] = Field(description="all that differ from the method's defaults")
    objective: Objective
    search: str = Field(description="the grid, or the sampler")
    profile: str
    dataset: str
    setting: str
    forget: list[str]
    seeds: list[int]
    score: float = Field(description="of the chosen options, by the objective")
    settings: int = Field(description="tried")
    runs: int = Field(description="made for it: settings × configurations")
    method_seconds: float = Field(description="of all these runs")
    evaluation_seconds: float
    forward_images: int
    backward_images: int

    @property
    def sentence(self) -> str:
        """Where the options come from, for people; the oracle is named as such."""
        reads = (
            "the ORACLE objective, which reads test images and the retrained model"
            if self.objective == "oracle"
            else "the honest objective, which reads neither test images nor a retrained model"
        )
        seconds = self.method_seconds + self.evaluation_seconds
        where = f"{self.dataset}, {self.setting} {', '.join(self.forget)}"
        return (
            f"tuned on {where} by {reads} ({self.search}, {self.settings} settings, {self.runs} runs, {seconds:.0f} s)"
        )


def read_tuned(file: Path) -> dict[str, Tuned]:
    """Returns what a file holds for each method.

    Raises:
        ConfigError: no such file, or not one of tuned options.
    """
    if not file.is_file():
        raise ConfigError(f"There is no file {file}. Give --options a file that `unlearn-bench tune` wrote.")
    data = read_yaml(file)
    if not isinstance(data, dict):
        raise ConfigError(f"{file.name} holds no methods, expected a file that `unlearn-bench tune` wrote.")
    entries = {}
    for name, content in data.items():
        try:
            entries[str(name)] = Tuned.model_validate(content)
        except ValidationError as problem:
            first = problem.errors()[0]
            place = ".".join(str(part) for part in (name, *first["loc"]))
            raise ConfigError(
                f"{file.name}: {place}: {first['msg']}. Expected a file that `unlearn-bench tune` wrote."
            ) from None
    return entries


def check_writable(file: Path) -> None:
    """Makes the folder of a file, before work whose result must land there.

    Raises:
        ConfigError: it cannot be made, or not be written to.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise ConfigError(f"{file} cannot be written: {problem.strerror}. Name another file with --output.") from None
    if not os.access(file.parent, os.W_OK):
        raise ConfigError(f"{file} cannot be written: its folder may not be changed. Name another file with --output.")


def write_tuned(file: Path, method: str, entry: Tuned) -> None:
    """Puts a method's entry in the file, beside those of other methods, whole or not at all.

    Raises:
        ConfigError: the file cannot be written.
    """
    entries = read_tuned(file) if file.exists() else {}
    entries[method] = entry
    check_writable(file)
    content = {name: entries[name].model_dump() for name in sorted(entries)}
    with durable(file) as part:
        part.write_text(HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
