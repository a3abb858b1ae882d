"""Extensions count in a run's identity: an edited plug-in of any kind makes new runs; undone, the old ones."""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.config.selection import Choice, with_datasets
from unlearn_bench.core.registry import load_plugin, without_plugin_files
from unlearn_bench.core.spec import RunSpec
from unlearn_bench.data import datasets
from unlearn_bench.data.scenarios import scenarios
from unlearn_bench.methods import methods
from unlearn_bench.metrics import metrics
from unlearn_bench.models import models
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.listing import describe_run, list_runs
from unlearn_bench.running.making import ExecutionConfig, make_runs
from unlearn_bench.store.exchange import export_runs, import_runs

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


def example(page: str, file: str) -> str:
    """Returns a block of the documentation, which is a plug-in file."""
    text = (HOW_TO / page).read_text(encoding="utf-8")
    return next(block.split("```")[0] for block in text.split("```python\n") if block.startswith(f"# {file}"))


SCENARIO = """
from dataclasses import replace
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.scenarios import scenario, split_dataset

@scenario(name="first", label="First images", source="here")
def first(dataset: Dataset, words: str) -> ForgetSplit:
    \"\"\"A class, of which the first images stay.\"\"\"
    whole = split_dataset(dataset, "class", words, {})
    return replace(whole, forget=whole.forget[3:], classes=())
"""
PLUGINS = {
    "method": example("own-method.md", "head_ft.py"),
    "metric": example("own-metric.md", "feature_norm.py"),
    "model": example("own-model.md", "tiny_cnn.py"),
    "dataset": example("own-data.md", "dark_digits.py"),
    "scenario": SCENARIO,
}
EDITS = {  # what changes in the file, and which of the runs of `original` and of the method are made again
    "method": ("LearningRate = 0.01", "LearningRate = 0.3", 1),
    "metric": ("return float(", "return 2 * float(", 2),
    "model": ("x)).mean(", "x)).amax(", 2),
    "dataset": ("255 - 15 *", "250 - 15 *", 2),
    # images and positions stay as they are: only what the metrics read changes
    "scenario": ("classes=())", "classes=(), test_retain=whole.test_forget)", 2),
}


@contextmanager
def loaded(text: str, folder: Path, packaged: bool = False) -> Iterator[None]:
    """Has a plug-in as a process has that starts with it: as a file, or as the module of a package."""
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(without_plugin_files())
        if not packaged:
            (folder / "mine.py").write_text(text)
            load_plugin(folder / "mine.py")
        else:
            for registry in (methods, metrics, models, datasets, scenarios):
                stack.enter_context(registry.temporarily())
            (folder / "my_package").mkdir()
            (folder / "my_package" / "__init__.py").write_text("")
            (folder / "my_package" / "mine.py").write_text(text)
            sys.path.insert(0, str(folder))
            stack.callback(sys.path.remove, str(folder))
            stack.callback(lambda: [sys.modules.pop(name) for name in ("my_package", "my_package.mine")])
            importlib.invalidate_caches()
            importlib.import_module("my_package.mine")
        yield


def chosen(kind: str, bench: Bench) -> tuple[Bench, Row]:
    """Returns the bench and the row of a run that uses the plug-in."""
    choice = {"dataset": Choice(dataset="dark_digits"), "scenario": Choice(scenario="first")}.get(kind, Choice())
    benchmarks = with_datasets(bench.benchmarks, ["dark_digits"])
    bench = Bench.choose(benchmarks, bench.store, replace(choice, forget=["1"]))
    experiment = replace(bench.selection.experiment, train_per_class=24, test_per_class=8)
    if kind == "model":
        experiment = replace(experiment, model={"name": "tiny_cnn", "width": 4})
    bench = replace(bench, selection=replace(bench.selection, experiment=experiment))
    return bench, Row(method="head_ft" if kind == "method" else "neggrad")


@pytest.mark.parametrize("packaged", [False, True], ids=["file", "package"])
@pytest.mark.parametrize("kind", PLUGINS)
def test_an_edited_plugin_makes_new_runs(
    kind: str, packaged: bool, bench: Bench, execution: ExecutionConfig, tmp_path: Path
) -> None:
    old, new, expected = EDITS[kind]
    assert old in PLUGINS[kind]
    made: list[int] = []
    values: list[dict[str, float]] = []
    edited = PLUGINS[kind].replace(old, new)
    for number, text in enumerate((PLUGINS[kind], PLUGINS[kind], edited, PLUGINS[kind])):
        with loaded(text, tmp_path / str(number), packaged):
            ours, row = chosen(kind, bench)
            outcome = make_runs(ours, [row], execution)
            assert outcome.failures == 0
            made.append(len(outcome.made))
            values.append(next(run.values for run in ours.recorded(outcome.runs) if run.method == row.method))
    # values of a metric have one version at a time
    assert made == [2, 0, expected, expected if kind == "metric" else 0]
    assert values[0] == values[1] == values[3]
    assert values[2] != values[0]


def test_what_is_shown_names_the_version(bench: Bench, execution: ExecutionConfig, tmp_path: Path) -> None:
    with loaded(PLUGINS["model"], tmp_path / "0"):
        ours, row = chosen("model", bench)
        make_runs(ours, [row, Row(method="retrained")], execution)
        revision = models.get("tiny_cnn").revision
    run = bench.store.runs(method="neggrad")[0]
    assert f"model version {revision}" in describe_run(run, bench.store.metrics())
    header, body = list_runs([run])
    assert dict(zip(header, body[0], strict=True))["version"] == f"1, model {revision}"
    table = replace(ours, benchmarks=tiny_tables(ours)).table("3")
    assert any(f"Model: tiny_cnn (width 4), version {revision}, float32" in note for note in table.notes)


def tiny_tables(bench: Bench) -> Any:
    """Returns benchmarks.yaml whose profile has the model of the plug-in, and a table of what was made."""
    profile = bench.benchmarks.profiles["tiny"].model_copy(update={"model": {"name": "tiny_cnn", "width": 4}})
    table = bench.benchmarks.tables["3"].model_copy(update={"rows": ["retrained", "neggrad"]})
    return bench.benchmarks.model_copy(update={"profiles": {"tiny": profile}, "tables": {"3": table}})


def test_a_table_shows_one_version_the_last_requested(bench: Bench, execution: ExecutionConfig, tmp_path: Path) -> None:
    old, new, _ = EDITS["model"]
    tables = []
    for number, text in enumerate((PLUGINS["model"], PLUGINS["model"].replace(old, new), PLUGINS["model"])):
        with loaded(text, tmp_path / str(number)):
            ours, row = chosen("model", bench)
            make_runs(ours, [row, Row(method="retrained")], execution)
        cells = replace(ours, benchmarks=tiny_tables(ours)).table("3").rows
        tables.append([[cell.mean for cell in row.cells] for row in cells])
    assert tables[0] == tables[2] != tables[1]
    assert len(bench.store.runs(method="neggrad")) == 2


def test_outputs_of_equal_weights_belong_to_their_version(
    bench: Bench, execution: ExecutionConfig, tmp_path: Path
) -> None:
    """An edit may change a network in evaluation alone: training gives the same weights, and other outputs."""
    text = PLUGINS["model"] + PLUGINS["metric"]
    runs = []
    for number, factor in enumerate(("", "(1 if self.training else 3) * ")):
        edited = text.replace("return self.stage", f"return {factor}self.stage")
        with loaded(edited, tmp_path / str(number)):
            ours, _ = chosen("model", bench)
            runs += ours.recorded(make_runs(ours, [Row(method="original")], execution).runs)
    assert len({run.model.weights_digest for run in runs if run.model}) == 1
    assert runs[1].values["feature_norm"] == pytest.approx(3 * runs[0].values["feature_norm"])


def test_a_scenario_that_changes_no_image_keeps_its_references(
    bench: Bench, execution: ExecutionConfig, tmp_path: Path
) -> None:
    old, new, _ = EDITS["scenario"]
    for number, text in enumerate((SCENARIO, SCENARIO.replace(old, new))):
        with loaded(text, tmp_path / str(number)):
            ours, _ = chosen("scenario", bench)
            make_runs(ours, [Row(method="retrained")], execution)
    runs = bench.store.runs(method="retrained")
    assert len(runs) == 2
    assert len({run.model.key for run in runs if run.model}) == 1, "trained once"


def test_cached_images_of_another_version_are_not_read(
    bench: Bench, execution: ExecutionConfig, tmp_path: Path
) -> None:
    """Also if only a file that the reader imports was edited: the images' files are as they were."""
    np.save(tmp_path / "images.npy", np.random.default_rng(0).integers(0, 200, (60, 1, 8, 8)).astype(np.uint8))
    reader = f"""
import numpy as np
from pathlib import Path
from unlearn_bench.data import Location, Splits, dataset
from unlearn_bench.data.loading import split_by_hash

FILE = Path({str(tmp_path / "images.npy")!r})

@dataset(label="Mine", source="here", files=lambda _location: [FILE])
def mine(location: Location) -> Splits:
    return split_by_hash(np.load(FILE) + ADDED, np.arange(60) % 3, ("a", "b", "c"))
"""
    made = []
    for number, added in enumerate((0, 0, 1, 0)):
        with loaded(reader.replace("ADDED", str(added)), tmp_path / str(number)):
            choice = Choice(dataset="mine", forget=["a"])
            ours = Bench.choose(with_datasets(bench.benchmarks, ["mine"]), bench.store, choice)
            made.append(len(make_runs(ours, [Row(method="original")], execution).made))
    assert made == [1, 0, 1, 0]


@pytest.mark.parametrize("kind", ["model", "scenario"])
def test_a_higher_version_of_a_built_in_entry_makes_new_runs(
    kind: str, bench: Bench, execution: ExecutionConfig, register: Callable[..., ExitStack]
) -> None:
    registry, name = {"model": (models, "resnet18"), "scenario": (scenarios, "class")}[kind]
    row = [Row(method="original")]
    make_runs(bench, row, execution)
    (spec,) = {tuple(run.spec) for run in bench.store.runs()}
    assert "revisions" not in spec, "older runs were recorded without"
    second: Any = replace(registry.get(name), version=2)  # type: ignore[attr-defined, type-var]
    register(registry, second)
    assert len(make_runs(bench, row, execution).made) == 2
    assert {kind: "2"} in [run.revisions for run in bench.store.runs()]


def test_runs_with_revisions_go_to_another_database(bench: Bench, execution: ExecutionConfig, tmp_path: Path) -> None:
    with loaded(PLUGINS["model"], tmp_path / "0"):
        ours, row = chosen("model", bench)
        make_runs(ours, [row], execution)
    export_runs(bench.store, tmp_path / "runs.parquet")
    other = type(bench.store)(f"sqlite:///{tmp_path / 'other.sqlite'}")
    assert import_runs(other, tmp_path / "runs.parquet").added == 2
    assert [run.revisions for run in other.runs()] == [run.revisions for run in bench.store.runs()]


def test_the_key_changes_with_the_revision_alone(bench: Bench) -> None:
    spec = RunSpec(bench.selection.experiment, "1", "ft", "1", {}, 0, "i" * 64, "f" * 64)
    other = replace(spec, revisions={"model": "2"})
    assert spec.key != other.key
    assert spec.derive_seed("method") == other.derive_seed("method"), "a new version is compared on the same seeds"
