"""Selects the configurations of a command, from benchmarks.yaml and the command line. Does not import torch.

A profile can measure another data set in place of the paper's (``instead``). Titles and labels then name the measured
data set. Rows of the paper that become equal are merged into one row, which keeps the paper's rows.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from unlearn_bench.config.benchmarks import (
    DATASET,
    Benchmarks,
    DatasetEntry,
    FigureEntry,
    Measured,
    Profile,
    Row,
    Scalar,
    Subset,
)
from unlearn_bench.config.model_choice import OF_PROFILE, ModelChoice, Pretrained, network_of
from unlearn_bench.config.pinned import Pinned, pinned_for
from unlearn_bench.core.errors import OptionError, UnknownNameError, did_you_mean, unknown_name
from unlearn_bench.core.sources import AS_IT_IS, Reading, recorded_name, split_source
from unlearn_bench.core.spec import Experiment


@dataclass(frozen=True)
class Selection:
    """The configurations of a command: one experiment, its forget sets and its seeds.

    Attributes:
        profile: name of the profile.
        experiment: the settings that the configurations share; ``experiment.dataset`` is the recorded name.
        source: the data set as the user wrote it (``folder:PATH``).
        forget, seeds: forget sets and seeds; every combination is a configuration.
        options: by method, the options of the profile.
        remarks: by method, how its options were chosen, if not by the profile.
        user_options: the options of the command line that lead to this selection, for commands in messages.
        dataset_label: name of the data set for display.
        pinned: references that are not trained on this machine.
        pretrained: the file of weights from which references start.
        reading: how the images of a user's own data set are read.
        model: what the user chose in place of the profile's network.
    """

    profile: str
    experiment: Experiment
    source: str
    forget: tuple[str, ...]
    seeds: tuple[int, ...]
    options: dict[str, dict[str, Scalar]]
    remarks: Mapping[str, str] = field(default_factory=dict)
    user_options: str = ""
    dataset_label: str = ""
    pinned: Pinned | None = None
    pretrained: Pretrained | None = None
    reading: Reading = AS_IT_IS
    model: ModelChoice = OF_PROFILE

    @property
    def configurations(self) -> list[tuple[str, int]]:
        """Every (forget set, seed)."""
        return [(forget, seed) for forget in self.forget for seed in self.seeds]

    def overrides(self, row: Row) -> dict[str, Scalar]:
        """Returns the options of a row: the profile's for the method, updated with the row's own."""
        return {**self.options.get(row.method, {}), **row.options}


@dataclass(frozen=True)
class Choice:
    """What a user chose on the command line or from Python. For None or empty, benchmarks.yaml decides.

    Attributes:
        profile, dataset, scenario, precision: their names.
        forget: forget sets.
        seeds: seeds of the configurations.
        disturbance: see :class:`unlearn_bench.core.spec.Experiment`.
        reading: how the images of a user's own data set are read.
        model: the network.
    """

    profile: str | None = None
    dataset: str | None = None
    scenario: str | None = None
    forget: Sequence[str] = ()
    seeds: Sequence[int] = ()
    precision: str | None = None
    disturbance: int = 0
    reading: Reading = AS_IT_IS
    model: ModelChoice = OF_PROFILE

    @property
    def words(self) -> str:
        """The command-line options that make this choice, without --profile."""
        pairs = [("--dataset", self.dataset), ("--scenario", self.scenario)]
        pairs += [*(("--forget", forget) for forget in self.forget), *(("--seed", str(seed)) for seed in self.seeds)]
        pairs += [("--precision", self.precision)]
        words = [word for pair in pairs if pair[1] is not None for word in pair if word is not None]
        return shlex.join([*words, *self.reading.words, *self.model.words])


NOTHING_CHOSEN = Choice()


def with_datasets(benchmarks: Benchmarks, names: Iterable[str]) -> Benchmarks:
    """Returns benchmarks.yaml with an entry for each data set that it does not name, such as one of a plug-in.

    The entry is that of ``folder``, because both are the user's own images. Without one, it has the default profile, no
    augmentation and no forget sets.
    """
    own = DatasetEntry(profile=benchmarks.default_profile, augment="none")
    own = benchmarks.datasets.get("folder", own).model_copy(update={"label": ""})
    missing = {name: own for name in names if name.split(":", 1)[0] not in benchmarks.datasets}
    return benchmarks.model_copy(update={"datasets": {**benchmarks.datasets, **missing}}) if missing else benchmarks


def select(
    benchmarks: Benchmarks, choice: Choice = NOTHING_CHOSEN, *, table: Measured | None = None, row: Row | None = None
) -> Selection:
    """Returns the configurations of a choice. Values that are not chosen come from the row, the table or the profile.

    The profile is the chosen one, else the one of the chosen data set, else the default profile. The profile can
    replace the data set of a table (``instead``).

    Args:
        benchmarks: the content of benchmarks.yaml.
        choice: what the user chose.
        table: a table or figure; None for a command without one.
        row: a row of the table.

    Raises:
        UnknownNameError: no such profile or data set.
        OptionError: no such precision, or neither the choice nor benchmarks.yaml gives a forget set.
        CheckpointError: see :func:`unlearn_bench.config.model_choice.network_of`.
    """
    name, profile = profile_of(benchmarks, choice)
    source = _source_of(profile, choice, table, row)
    entry = _entry_of(benchmarks, source)
    reading = choice.reading if ":" in source or source == choice.dataset else AS_IT_IS
    of_table = (row.scenario if row else None) or (table.scenario if table else None)
    scenario = choice.scenario or of_table or profile.scenario
    forget_sets = [str(item) for item in (table.forget if table else None) or entry.forget.get(scenario, [])]
    if not choice.forget and not forget_sets:
        raise OptionError(
            f"benchmarks.yaml has no forget sets of the scenario '{scenario}' for the data set '{source}'."
            f"{did_you_mean(scenario, entry.forget)} Give --forget."
        )
    subset = profile.subset.get(source, Subset())
    owner = f"{benchmarks.file.name}: profiles.{name}.model"
    model, pretrained = network_of(profile.model, choice.model, home=benchmarks.home, owner=owner)
    experiment = Experiment(
        dataset=recorded_name(source, reading.size),
        train_per_class=subset.train_per_class,
        test_per_class=subset.test_per_class,
        augment=entry.augment,
        scenario=scenario,
        scenario_options=dict(profile.scenarios.get(scenario, {})),
        model=model,
        recipe=dict(profile.recipe),
        precision=choice.precision or profile.precision,
        threads=profile.threads,
        trace_every=table.trace_every if isinstance(table, FigureEntry) else 0,
        disturbance=choice.disturbance,
    )
    pinned = pinned_for(experiment, profile.pinned, benchmarks.home)
    experiment = replace(experiment, pinned=pinned.digest if pinned else "")
    return Selection(
        profile=name,
        experiment=experiment,
        source=source,
        forget=tuple(choice.forget) or tuple(forget_sets),
        seeds=tuple(dict.fromkeys(choice.seeds or profile.seeds)),
        options=dict(profile.options),
        user_options=choice.words,
        dataset_label=benchmarks.label_of(experiment.dataset),
        pinned=pinned,
        pretrained=pretrained,
        reading=reading,
        model=OF_PROFILE if model == profile.model else choice.model,
    )


def profile_of(benchmarks: Benchmarks, choice: Choice) -> tuple[str, Profile]:
    """Returns the name and the content of the profile of a choice, see :func:`select`."""
    of_dataset = _entry_of(benchmarks, choice.dataset) if choice.dataset is not None else None
    name = choice.profile or (of_dataset.profile if of_dataset else benchmarks.default_profile)
    if name not in benchmarks.profiles:
        raise unknown_name("profile", name, benchmarks.profiles)
    if choice.precision not in (None, "float32", "bfloat16"):
        raise OptionError(f"Precision is '{choice.precision}', expected float32 or bfloat16.")
    if choice.reading.words and ":" not in (source := choice.dataset or benchmarks.profiles[name].dataset):
        raise OptionError(
            f"{' '.join(choice.reading.words)} is for folder:PATH, parquet:PATH or FILE.py:FUNCTION, and the data set "
            f"is {source}. Leave it out."
        )
    return name, benchmarks.profiles[name]


def _entry_of(benchmarks: Benchmarks, source: str) -> DatasetEntry:
    """Returns the settings of a data set; a user's own images without an entry have those of ``folder``.

    Raises:
        UnknownNameError: there is no such data set.
    """
    kind, path = split_source(source)
    entry = benchmarks.datasets.get(kind) or (benchmarks.datasets.get("folder") if path else None)
    if entry is None:
        error = unknown_name("dataset", source, benchmarks.datasets)
        is_path = Path(source).is_dir() or source.endswith(".zip")
        raise UnknownNameError(f"{error} For a folder of images, give folder:{source}.") if is_path else error
    return entry


def _source_of(profile: Profile, choice: Choice, table: Measured | None, row: Row | None) -> str:
    """Returns the data set: the user's, else the row's or table's or its replacement, else the profile's."""
    of_paper = (row.dataset if row else None) or (table.dataset if table else None)
    return choice.dataset or (profile.instead.get(of_paper, of_paper) if of_paper else profile.dataset)


@dataclass(frozen=True)
class PaperRow:
    """A row of the paper, from benchmarks.yaml.

    Attributes:
        dataset, dataset_label: name of the paper's data set, and its name for display.
        is_measured: whether this data set was measured; if not, another data set replaces it.
        published: by metric, the value that the paper prints.
    """

    dataset: str
    dataset_label: str
    is_measured: bool
    published: dict[str, float]


class PlacedRow(Row):
    """A row as reports show it.

    Its label names the measured data set, and ``published`` holds the paper's values on that same data set. ``papers``
    are the rows of the paper that it represents; empty for a plug-in method.
    """

    papers: tuple[PaperRow, ...] = ()

    @property
    def elsewhere(self) -> tuple[PaperRow, ...]:
        """The paper's rows on data sets that the measured one replaces; empty if the paper has the measured one too."""
        return () if any(paper.is_measured for paper in self.papers) else self.papers


Placed = Sequence[tuple[PlacedRow, Selection]]  # rows, each with the configurations on which it is measured


def place_rows(
    benchmarks: Benchmarks, entry: Measured, rows: Sequence[tuple[Row, Selection]]
) -> list[tuple[PlacedRow, Selection]]:
    """Returns the rows of a table or figure as reports show them.

    Rows of several data sets of the paper that have the same method, options and configurations become one row.

    Args:
        benchmarks: the content of benchmarks.yaml, for the labels of data sets.
        entry: the table or figure.
        rows: its rows in benchmarks.yaml, each with its configurations.
    """
    placed: list[tuple[PlacedRow, Selection]] = []
    for row, selection in rows:
        name = row.dataset or entry.dataset or selection.source
        paper = PaperRow(name, benchmarks.label_of(name), name == selection.source, row.published)
        label = row.label and row.label.replace(DATASET, selection.dataset_label)
        for k, (other, own) in enumerate(placed):
            is_same = (own, other.method) == (selection, row.method)
            is_same = is_same and own.overrides(other) == selection.overrides(row)
            if is_same and (other.label == label or name not in {merged.dataset for merged in other.papers}):
                papers = (*other.papers, paper)
                placed[k] = (other.model_copy(update={"papers": papers, "published": _published(papers)}), own)
                break
        else:
            shown = {**dict(row), "label": label, "papers": (paper,), "published": _published([paper])}
            placed.append((PlacedRow(**shown), selection))
    return placed


def title_of(entry: Measured, placed: Placed) -> str:
    """Returns the title of a table or figure, with the measured data sets."""
    return entry.title_on(selection.dataset_label for _, selection in placed)


def _published(papers: Sequence[PaperRow]) -> dict[str, float]:
    return next((paper.published for paper in papers if paper.is_measured), {})
