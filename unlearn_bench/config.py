"""benchmarks.yaml as checked data: what is measured, never how.

Every key is known or refused; a wrong one is named with its place in the file. No torch here: reports read this.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from unlearn_bench.errors import ConfigError, did_you_mean, unknown_name
from unlearn_bench.expectations import Expectation
from unlearn_bench.yaml_files import read_yaml

FILE_NAME = "benchmarks.yaml"
Precision = Literal["float32", "bfloat16"]
Scalar = bool | int | float | str
DATASET = "{dataset}"  # in titles, labels and claims: the data set that was measured, as people write it


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DatasetEntry(_Strict):
    """How a data set is treated wherever it is used."""

    label: str = Field(default="", description="as people write its name; the name itself where it is left out")
    profile: str = Field(description="the profile that `--dataset` alone chooses")
    augment: Literal["none", "crop_flip"] = Field(
        description="what training does to images; how references crop and flip them, the recipe may say"
    )
    forget: dict[str, list[int | str]] = Field(default={}, description="by setting, the forget sets that are averaged")


class Subset(_Strict):
    """How many images of each class are used; null for all."""

    train_per_class: int | None = Field(default=None, ge=1)
    test_per_class: int | None = Field(default=None, ge=1)


class Profile(_Strict):
    """A scale at which tables are measured."""

    title: str
    dataset: str
    instead: dict[str, str] = Field(default={}, description="data set of a table to the one measured at this scale")
    subset: dict[str, Subset] = Field(default={}, description="by data set")
    setting: str = "class"
    settings: dict[str, dict[str, Scalar]] = Field(default={}, description="by setting, its options, every one")
    seeds: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field(min_length=1)
    model: dict[str, Scalar]
    recipe: dict[str, Scalar]
    precision: Precision = "float32"
    threads: int = Field(default=1, ge=1, le=1024)
    options: dict[str, dict[str, Scalar]] = {}
    pinned: str | None = Field(
        default=None, description="a folder of results/references/ whose models stand for training"
    )


class Row(_Strict):
    """A table's row: a method, the options in which it differs from the profile's, and what the paper printed.

    ``dataset`` and ``setting`` are the table's where the row states none. In ``label``, ``{dataset}`` is the data set
    that a profile measures, which may be another than the paper's.
    """

    method: str
    label: str | None = None
    options: dict[str, Scalar] = {}
    dataset: str | None = None
    setting: str | None = None
    published: dict[str, float] = Field(default={}, description="by metric, in its unit")


class Measured(_Strict):
    """What a table and a figure share: rows, and the configurations that they are measured on."""

    title: str = Field(description="with {dataset} where it names the data set that is measured")
    dataset: str | None = Field(default=None, description="the paper's; a profile may have another instead")
    setting: str = "class"
    forget: list[int | str] = Field(default=[], description="forget sets in place of the data set's usual ones")
    rows: list[str | Row] = Field(min_length=1)
    options: dict[str, dict[str, dict[str, Scalar]]] = Field(default={}, description="of rows, by profile and method")
    metrics: list[str] = []

    @property
    def full_rows(self) -> list[Row]:
        """The rows, the short form (a method's name) spelled out."""
        return [Row(method=row) if isinstance(row, str) else row for row in self.rows]

    def title_on(self, datasets: Iterable[str]) -> str:
        """Returns the title with the data sets' labels, each once, in place of ``{dataset}``."""
        return self.title.replace(DATASET, " and ".join(dict.fromkeys(datasets)))

    def rows_at(self, profile: str) -> list[Row]:
        """Returns the rows with the options that they have in a profile, their own over these."""
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
    note: str = Field(default="", description="on the published numbers")
    plugins: bool = Field(default=False, description="whether every plug-in method has a row below the listed ones")


class FigureEntry(Measured):
    """A figure of the paper: clouds of features, a panel for each row, or curves of metrics along the steps."""

    kind: Literal["features", "curves"]
    trace_every: int = Field(default=0, ge=0, description="of curves: the steps between two measurements")

    @model_validator(mode="after")
    def _is_whole(self) -> FigureEntry:
        if (self.kind == "curves") != bool(self.metrics and self.trace_every):
            raise ValueError("curves need metrics and trace_every, at least 1, and features have neither")
        return self


class Claim(_Strict):
    """A statement of the paper that a table or a figure of curves can confirm or refute, read by ``report.claims``.

    ``{dataset}`` is a data set of ``about``: in ``says`` the paper's, in ``test`` the one that was measured for it.
    """

    says: str
    about: list[str] = Field(default=[], description="data sets of the paper, a claim each; none: any may hold it")
    table: str = ""
    figure: str = ""
    test: str

    @model_validator(mode="after")
    def _names_its_data_set(self) -> Claim:
        if DATASET in self.says + self.test and not self.about:
            raise ValueError(f"a claim with {DATASET} needs `about`, the data sets that it stands for")
        return self


Grid = dict[str, Annotated[list[Scalar], Field(min_length=1)]]  # option to the values to try, every combination of them


class Benchmarks(_Strict):
    """The whole file; ``grids`` maps a name to the grids of methods, ``*`` for all that have none of their own."""

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
        """Where it was read from."""
        return self._file

    @property
    def home(self) -> Path:
        """The folder of the file: results and data lie beside it."""
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
        """Returns a data set's name as people write it; of ``folder:NAME``, or one without a label, the name itself."""
        return (self.datasets[dataset].label if dataset in self.datasets else "") or dataset

    def papers_title(self, entry: Measured) -> str:
        """Returns the title of a table or figure with the data sets of the paper."""
        datasets = (row.dataset or entry.dataset for row in entry.full_rows)
        return entry.title_on(self.label_of(dataset) for dataset in datasets if dataset)

    def grid(self, name: str) -> dict[str, Grid | list[Grid]]:
        """Returns the grids of that name by method. Raises UnknownNameError."""
        if name not in self.grids:
            raise unknown_name("grid", name, self.grids)
        return self.grids[name]


def find_file(given: Path | None = None) -> tuple[Path, Path]:
    """Returns benchmarks.yaml and its home: the given file, else the nearest upwards, else the one shipped with us.

    Raises:
        ConfigError: the given file does not exist.
    """
    if given is not None:
        if not given.is_file():
            raise ConfigError(f"There is no file {given}. Give --config the path of a benchmarks.yaml.")
        return given, given.resolve().parent
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / FILE_NAME).is_file():
            return folder / FILE_NAME, folder
    package = Path(__file__).parent
    checkout = package.parent / FILE_NAME
    if checkout.is_file():
        return checkout, checkout.parent
    return package / FILE_NAME, Path.cwd()  # a wheel carries the file; its results belong to the user's folder


def load(given: Path | None = None) -> Benchmarks:
    """Returns the checked benchmarks.yaml.

    Raises:
        ConfigError: not YAML, an unknown key, or a value of the wrong kind; the message gives the place.
    """
    path, home = find_file(given)
    data = read_yaml(path)
    try:
        benchmarks = Benchmarks.model_validate(data)
    except ValidationError as problem:
        raise ConfigError(f"{path.name}: {_sentence(problem, data)}") from None
    benchmarks._home, benchmarks._file = home, path
    for name, profile in benchmarks.profiles.items():
        for place, dataset in (
            ("dataset", profile.dataset),
            *((f"instead.{k}", v) for k, v in profile.instead.items()),
        ):
            if dataset.split(":", 1)[0] not in benchmarks.datasets:
                raise ConfigError(
                    f"{path.name}: profiles.{name}.{place}: there is no data set '{dataset}' under `datasets`."
                    f"{did_you_mean(dataset, benchmarks.datasets)}"
                )
    for name, entry in benchmarks.datasets.items():
        if entry.profile not in benchmarks.profiles:
            raise ConfigError(
                f"{path.name}: datasets.{name}.profile: there is no profile '{entry.profile}'."
                f"{did_you_mean(entry.profile, benchmarks.profiles)}"
            )
    return benchmarks


def database_url(benchmarks: Benchmarks, given: str | None = None) -> str:
    """Returns the database: the given one, else UNLEARN_BENCH_DB, else results/runs.sqlite beside benchmarks.yaml."""
    return given or os.environ.get("UNLEARN_BENCH_DB") or f"sqlite:///{benchmarks.home / 'results' / 'runs.sqlite'}"


def _sentence(problem: ValidationError, data: Any) -> str:
    errors = problem.errors()
    # a misspelt key is also a missing one; the key that stands in the file is the one to name
    first = next((error for error in errors if error["type"] == "extra_forbidden"), errors[0])
    # pydantic adds the tried branch of a union to the path; only parts that the file itself has are shown
    place = [str(part) for part in first["loc"] if not str(part).startswith(("function-", "Row", "str"))]
    if first["type"] == "extra_forbidden":
        return f"{'.'.join(place[:-1]) or 'top level'}: unknown key '{place[-1]}'.{_near_key(place)}"
    if first["type"] == "missing":
        return f"{'.'.join(place[:-1]) or 'top level'}: the key '{place[-1]}' is missing."
    if not isinstance(data, dict):
        return f"expected keys and values at the top level, got {type(data).__name__}."
    return f"{'.'.join(place)} is {first['input']!r}: {first['msg'][0].lower()}{first['msg'][1:]}."


def _near_key(place: list[str]) -> str:
    fields: dict[int, type[BaseModel]] = {1: Benchmarks}
    sections: dict[str, type[BaseModel]] = {"datasets": DatasetEntry, "profiles": Profile, "tables": TableEntry}
    sections["figures"] = FigureEntry
    if len(place) > 1 and place[0] in sections:
        fields[3] = sections[place[0]]
        fields[4] = Subset if "subset" in place else Row
        fields[5] = Row
    model = fields.get(len(place))
    return did_you_mean(place[-1], model.model_fields) if model else ""
