"""From benchmarks.yaml and a command line to the configurations that a command is about. No torch here.

A profile may measure another data set than the paper's (``instead``). What is shown is called by what was measured:
labels are filled in here, and rows that become equal are one, which remembers the rows of the paper that it stands for.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

from unlearn_bench.config import DATASET, Benchmarks, FigureEntry, Measured, Row, Scalar, Subset
from unlearn_bench.errors import OptionError, did_you_mean, unknown_name
from unlearn_bench.pinned import Pinned, find_pinned
from unlearn_bench.spec import Experiment, recorded_name


@dataclass(frozen=True)
class Selection:
    """Which configurations a command is about: one experiment, its forget sets and its seeds.

    ``source`` is the data set as the user named it (``folder:PATH``); ``experiment.dataset`` is its name in the record,
    ``dataset_label`` its name as people write it.
    ``remarks`` says of methods where their options come from, where that is not the profile. ``given`` are the words of
    the command line that lead here, for messages that tell the next command. ``pinned`` are references that are not
    trained here.
    """

    profile: str
    experiment: Experiment
    source: str
    forget: tuple[str, ...]
    seeds: tuple[int, ...]
    options: dict[str, dict[str, Scalar]]
    remarks: tuple[str, ...] = ()
    given: str = ""
    dataset_label: str = ""
    pinned: Pinned | None = None

    @property
    def configurations(self) -> list[tuple[str, int]]:
        """Every (forget set, seed)."""
        return [(forget, seed) for forget in self.forget for seed in self.seeds]

    def overrides(self, row: Row) -> dict[str, Scalar]:
        """Returns the options that a row states: the profile's for the method, the row's own over them."""
        return {**self.options.get(row.method, {}), **row.options}


def select(
    benchmarks: Benchmarks,
    *,
    profile: str | None = None,
    dataset: str | None = None,
    setting: str | None = None,
    forget: Sequence[str] = (),
    seeds: Sequence[int] = (),
    precision: str | None = None,
    table: Measured | None = None,
    row: Row | None = None,
    disturbance: int = 0,
) -> Selection:
    """Returns the configurations that a command line names; the rest comes from table or figure, row, profile.

    Without a profile it is the one that ``datasets`` names for the data set, or the default profile. A table's data
    set gives way to the one that the profile has instead.

    Raises:
        UnknownNameError: no such profile or data set.
        OptionError: no such precision, or no forget set is given where benchmarks.yaml has none.
    """
    words = [("--dataset", dataset), ("--setting", setting), *(("--forget", each) for each in forget)]
    words += [*(("--seed", str(each)) for each in seeds), ("--precision", precision)]
    given = " ".join(f"{name} {shlex.quote(word)}" for name, word in words if word is not None)
    kind = (dataset or "").split(":", 1)[0]
    if dataset is not None and kind not in benchmarks.datasets:
        raise unknown_name("dataset", dataset, benchmarks.datasets)
    name = profile or (benchmarks.datasets[kind].profile if dataset else benchmarks.default_profile)
    if name not in benchmarks.profiles:
        raise unknown_name("profile", name, benchmarks.profiles)
    if precision not in (None, "float32", "bfloat16"):
        raise OptionError(f"Precision is '{precision}', expected float32 or bfloat16.")
    chosen = benchmarks.profiles[name]
    wanted = (row.dataset if row else None) or (table.dataset if table else None)
    source = dataset or (chosen.instead.get(wanted, wanted) if wanted else chosen.dataset)
    entry = benchmarks.datasets[source.split(":", 1)[0]]
    subset = chosen.subset.get(source, Subset())
    by_table = (row.setting if row else None) or (table.setting if table else None)
    setting = setting or by_table or chosen.setting
    usual = [str(item) for item in (table.forget if table else None) or entry.forget.get(setting, [])]
    if not forget and not usual:
        raise OptionError(
            f"benchmarks.yaml has no forget sets of the setting '{setting}' for the data set '{source}'."
            f"{did_you_mean(setting, entry.forget)} Give --forget."
        )
    experiment = Experiment(
        dataset=recorded_name(source),
        train_per_class=subset.train_per_class,
        test_per_class=subset.test_per_class,
        augment=entry.augment,
        setting=setting,
        setting_options=dict(chosen.settings.get(setting, {})),
        model=dict(chosen.model),
        recipe=dict(chosen.recipe),
        precision=precision or chosen.precision,
        threads=chosen.threads,
        trace_every=table.trace_every if isinstance(table, FigureEntry) else 0,
        disturbance=disturbance,
    )
    pinned = find_pinned(chosen.pinned, benchmarks.home) if chosen.pinned else None
    if pinned is not None and pinned.serves(experiment):
        experiment = replace(experiment, pinned=pinned.digest)
    else:
        pinned = None
    return Selection(
        profile=name,
        experiment=experiment,
        source=source,
        forget=tuple(forget) or tuple(usual),
        seeds=tuple(seeds) or tuple(chosen.seeds),
        options=dict(chosen.options),
        given=given,
        dataset_label=benchmarks.label_of(recorded_name(source)),
        pinned=pinned,
    )


@dataclass(frozen=True)
class PaperRow:
    """A row of benchmarks.yaml, as the paper has it.

    Attributes:
        dataset, dataset_label: the paper's, its name and as people write it.
        is_measured: whether that is the data set that was measured; else another stands in for it.
        published: by metric, what the paper prints.
    """

    dataset: str
    dataset_label: str
    is_measured: bool
    published: dict[str, float]


class PlacedRow(Row):
    """A row as it is shown: its label names what was measured, ``published`` is the paper's on that very data set.

    ``papers`` are the rows of benchmarks.yaml that it stands for; none of a plug-in's.
    """

    papers: tuple[PaperRow, ...] = ()

    @property
    def elsewhere(self) -> tuple[PaperRow, ...]:
        """The paper's rows on data sets that this one stands in for; none where the paper has the measured one too."""
        return () if any(paper.is_measured for paper in self.papers) else self.papers


Placed = Sequence[tuple[PlacedRow, Selection]]


def place(
    benchmarks: Benchmarks, entry: Measured, asked: Sequence[tuple[Row, Selection]]
) -> list[tuple[PlacedRow, Selection]]:
    """Returns the rows of a table or figure as they are shown.

    Rows of several data sets of the paper that come to the same method, options and configurations stand once.

    Args:
        benchmarks: names the data sets.
        entry: the table or figure.
        asked: its rows as benchmarks.yaml has them, each with its configurations.
    """
    placed: list[tuple[PlacedRow, Selection]] = []
    for row, selection in asked:
        name = row.dataset or entry.dataset or selection.source
        paper = PaperRow(name, benchmarks.label_of(name), name == selection.source, row.published)
        label = row.label and row.label.replace(DATASET, selection.dataset_label)
        for k, (other, where) in enumerate(placed):
            is_same = (where, other.method) == (selection, row.method)
            is_same = is_same and where.overrides(other) == selection.overrides(row)
            if is_same and (other.label == label or name not in {known.dataset for known in other.papers}):
                papers = (*other.papers, paper)
                placed[k] = (other.model_copy(update={"papers": papers, "published": _published(papers)}), where)
                break
        else:
            shown = {**dict(row), "label": label, "papers": (paper,), "published": _published([paper])}
            placed.append((PlacedRow(**shown), selection))
    return placed


def title_of(entry: Measured, placed: Placed) -> str:
    """Returns the title of a table or figure with the data sets that were measured."""
    return entry.title_on(selection.dataset_label for _, selection in placed)


def _published(papers: Sequence[PaperRow]) -> dict[str, float]:
    return next((paper.published for paper in papers if paper.is_measured), {})
