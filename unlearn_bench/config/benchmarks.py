"""benchmarks.yaml as validated data: it states what is measured, not how.

An unknown key is an error; the message gives its path in the file. Does not import torch, because reports use it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from unlearn_bench.config.expectations import Expectation
from unlearn_bench.core.errors import ConfigError, did_you_mean, unknown_name
from unlearn_bench.core.yaml_files import read_yaml

FILE_NAME = "benchmarks.yaml"
Precision = Literal["float32", "bfloat16"]
Scalar = bool | int | float | str
DATASET = "{dataset}"  # placeholder in titles, labels and claims for the label of the measured data set


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)


class DatasetEntry(_Strict):
    """The settings of a data set, wherever it is used."""

    label: str = Field(default="", description="name for display; if missing, the name of the data set")
    profile: str = Field(description="profile that is used if only `--dataset` is given")
    augment: Literal["none", "crop_flip"] = Field(
        description="augmentation of training images; the recipe can refine it for references"
    )
    forget: dict[str, list[int | str]] = Field(default={}, description="by scenario, the forget sets to average over")


class Subset(_Strict):
    """The number of images used of each class; null for all."""

    train_per_class: int | None = Field(default=None, ge=1)
    test_per_class: int | None = Field(default=None, ge=1)


class Profile(_Strict):
    """A scale at which tables are measured: data set, model, recipe and options."""

    title: str
    dataset: str
    instead: dict[str, str] = Field(default={}, description="data set of a table to the one measured instead")
    subset: dict[str, Subset] = Field(default={}, description="by data set")
    scenario: str = Field(default="class", validation_alias=AliasChoices("scenario", "setting"))
    scenarios: dict[str, dict[str, Scalar]] = Field(
        default={},
        validation_alias=AliasChoices("scenarios", "settings"),
        description="by scenario, all its options",
    )
    seeds: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field(min_length=1)
    model: dict[str, Scalar] = Field(description="name of the network, its arguments, `pretrained: FILE`")
    recipe: dict[str, Scalar]
    precision: Precision = "float32"
    threads: int = Field(default=1, ge=1, le=1024)
    options: dict[str, dict[str, Scalar]] = {}
    pinned: str | None = Field(default=None, description="folder of results/references/ whose models replace training")


class Row(_Strict):
    """A row of a table: a method, the options that differ from the profile's, and the values that the paper prints.

    Without ``dataset`` or ``scenario``, the row has those of the table. In ``label``, ``{dataset}`` stands for the data
    set that the profile measures, which can differ from the paper's.
    """

    method: str
    label: str | None = None
    options: dict[str, Scalar] = {}
    dataset: str | None = None
    scenario: str | None = Field(default=None, validation_alias=AliasChoices("scenario", "setting"))
    published: dict[str, float] = Field(default={}, description="by metric, in the unit of the metric")


class Measured(_Strict):
    """The common part of tables and figures: rows, and the configurations on which they are measured."""

    title: str = Field(description="{dataset} stands for the data set that is measured")
    dataset: str | None = Field(default=None, description="the paper's data set; a profile can replace it")
    scenario: str = Field(default="class", validation_alias=AliasChoices("scenario", "setting"))
    forget: list[int | str] = Field(default=[], description="forget sets that replace those of the data set")
    rows: list[str | Row] = Field(min_length=1)
    options: dict[str, dict[str, dict[str, Scalar]]] = Field(default={}, description="by profile and method")
    metrics: list[str] = []

    @property
    def full_rows(self) -> list[Row]:
        """The rows; a row in short form, a method's name, is expanded."""
        return [Row(method=row) if isinstance(row, str) else row for row in self.rows]

    def title_on(self, datasets: Iterable[str]) -> str:
        """Returns the title with ``{dataset}`` replaced by the labels of the data sets, without duplicates."""
        return self.title.replace(DATASET, " and ".join(dict.fromkeys(datasets)))

    def rows_at(self, profile: str) -> list[Row]:
        """Returns the rows with the options for a profile. A row's own options take precedence."""
        by_method = self.options.get(profile, {})
        return [
            row.model_copy(update={"options": {**by_method[row.method], **row.options}})
            if row.method in by_method
            else row
            for row in self.full_rows
        ]


class TableEntry(Measured):
    """A table of the paper: rows are methods, columns are metrics."""

    metrics: list[str] = Field(min_length=1)
    note: str = Field(default="", description="remark on the published numbers")
    plugins: bool = Field(default=False, description="whether plug-in methods get rows below the listed ones")


class FigureEntry(Measured):
    """A figure of the paper: features in two dimensions, a panel per row; or curves of metrics over steps."""

    kind: Literal["features", "curves"]
    trace_every: int = Field(default=0, ge=0, description="for curves: number of steps between two measurements")

    @model_validator(mode="after")
    def _is_whole(self) -> FigureEntry:
        if (self.kind == "curves") != bool(self.metrics and self.trace_every):
            raise ValueError("a figure of curves needs metrics and trace_every >= 1, a figure of features has neither")
        return self


class Claim(_Strict):
    """A statement of the paper that ``report.claims`` tests against a table or a figure of curves.

    ``{dataset}`` stands for a data set of ``about``: in ``says`` for the paper's, in ``test`` for the measured one.
    """

    says: str
    about: list[str] = Field(default=[], description="data sets of the paper, one claim each; empty for any")
    table: str = ""
    figure: str = ""
    test: str

    @model_validator(mode="after")
    def _names_its_data_set(self) -> Claim:
        if DATASET in self.says + self.test and not self.about:
            raise ValueError(f"a claim with {DATASET} needs the key `about`, a list of data sets")
        return self


Grid = dict[str, Annotated[list[Scalar], Field(min_length=1)]]  # values to try by option; all combinations are tried


class Benchmarks(_Strict):
    """The whole file. ``grids`` maps a name to grids by method; ``*`` is for methods without a grid of their own."""

    version: Literal[1]
    default_profile: str
    datasets: dict[str, DatasetEntry]
    profiles: dict[str, Profile]
    tables: dict[str, TableEntry]
    figures: dict[str, FigureEntry] = {}
    grids: dict[str, dict[str, Grid | list[Grid]]] = {}
    claims: list[Claim] = []
    expectations: dict[str, Expectation] = {}
    _home: Path = Path()
    _file: Path = Path()

    @property
    def file(self) -> Path:
        """The path of the file."""
        return self._file

    @property
    def home(self) -> Path:
        """The folder of the file, which also contains results and data."""
        return self._home

    def table(self, name: str) -> TableEntry:
        """Returns the table of that name. Raises UnknownNameError."""
        if name not in self.tables:
            raise unknown_name("table", name, self.tables)
        return self.tables[name]

    def figure(self, name: str) -> FigureEntry:
        """Returns the figure of that name. Raises UnknownNameError."""
        if name not in self.figures:
            raise unknown_name("figure", name, [*self.figures, "gaps"])
        return self.figures[name]

    def label_of(self, dataset: str) -> str:
        """Returns the label of a data set, or its name if it has no label or is ``folder:NAME``."""
        return (self.datasets[dataset].label if dataset in self.datasets else "") or dataset

    def papers_title(self, entry: Measured) -> str:
        """Returns the title of a table or figure, with the paper's data sets."""
        datasets = (row.dataset or entry.dataset for row in entry.full_rows)
        return entry.title_on(self.label_of(dataset) for dataset in datasets if dataset)

    def grid(self, name: str) -> dict[str, Grid | list[Grid]]:
        """Returns the grids of that name by method. Raises UnknownNameError."""
        if name not in self.grids:
            raise unknown_name("grid", name, self.grids)
        return self.grids[name]


def find_file(file: Path | None = None) -> tuple[Path, Path]:
    """Returns the path of benchmarks.yaml and its home, the folder of results and data.

    Without ``file``, it is benchmarks.yaml in the working folder or the nearest parent that has one, else the file that
    is shipped with the package.

    Raises:
        ConfigError: ``file`` does not exist.
    """
    if file is not None:
        if not file.is_file():
            raise ConfigError(f"There is no file {file}. Give --config the path of a benchmarks.yaml.")
        return file, file.resolve().parent
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME, folder
    package = Path(__file__).parent.parent
    checkout = package.parent / FILE_NAME
    if checkout.is_file():
        return checkout, checkout.parent
    return package / FILE_NAME, Path.cwd()  # a wheel contains the file; results go to the working folder


def load(file: Path | None = None) -> Benchmarks:
    """Returns the validated content of benchmarks.yaml, see :func:`find_file`.

    Raises:
        ConfigError: not YAML, an unknown key, or a value of the wrong kind; the message gives the path of the key.
    """
    path, home = find_file(file)
    data = read_yaml(path)
    try:
        benchmarks = Benchmarks.model_validate(data)
    except ValidationError as problem:
        raise ConfigError(f"{path.name}: {_sentence(problem, data)}") from None
    benchmarks._home, benchmarks._file = home, path
    for name, profile in benchmarks.profiles.items():
        for key, dataset in (
            ("dataset", profile.dataset),
            *((f"instead.{k}", v) for k, v in profile.instead.items()),
        ):
            if dataset.split(":", 1)[0] not in benchmarks.datasets:
                raise ConfigError(
                    f"{path.name}: profiles.{name}.{key}: there is no data set '{dataset}' under `datasets`."
                    f"{did_you_mean(dataset, benchmarks.datasets)}"
                )
    for name, entry in benchmarks.datasets.items():
        if entry.profile not in benchmarks.profiles:
            raise ConfigError(
                f"{path.name}: datasets.{name}.profile: there is no profile '{entry.profile}'."
                f"{did_you_mean(entry.profile, benchmarks.profiles)}"
            )
    return benchmarks


def database_url(benchmarks: Benchmarks, url: str | None = None) -> str:
    """Returns ``url`` if given, else UNLEARN_BENCH_DB, else the URL of results/runs.sqlite beside benchmarks.yaml."""
    return url or os.environ.get("UNLEARN_BENCH_DB") or f"sqlite:///{benchmarks.home / 'results' / 'runs.sqlite'}"


def _sentence(problem: ValidationError, data: Any) -> str:
    errors = problem.errors()
    # a misspelt key causes two errors, an unknown and a missing key; report the unknown key, which is in the file
    first = next((error for error in errors if error["type"] == "extra_forbidden"), errors[0])
    # pydantic adds branches of unions to the path; show only keys of the file
    keys = [str(part) for part in first["loc"] if not str(part).startswith(("function-", "Row", "str"))]
    if first["type"] == "extra_forbidden":
        return f"{'.'.join(keys[:-1]) or 'top level'}: unknown key '{keys[-1]}'.{_near_key(keys)}"
    if first["type"] == "missing":
        return f"{'.'.join(keys[:-1]) or 'top level'}: the key '{keys[-1]}' is missing."
    if not isinstance(data, dict):
        return f"expected keys and values at the top level, got {type(data).__name__}."
    return f"{'.'.join(keys)} is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}."


def _near_key(keys: list[str]) -> str:
    """Returns a suggestion for the last of ``keys``, the path of an unknown key."""
    fields: dict[int, type[BaseModel]] = {1: Benchmarks}
    sections: dict[str, type[BaseModel]] = {"datasets": DatasetEntry, "profiles": Profile, "tables": TableEntry}
    sections["figures"] = FigureEntry
    if len(keys) > 1 and keys[0] in sections:
        fields[3] = sections[keys[0]]
        fields[4] = Subset if "subset" in keys else Row
        fields[5] = Row
    model = fields.get(len(keys))
    return did_you_mean(keys[-1], model.model_fields) if model else ""
