"""Figures of the record: features that are stored, gaps, and what is drawn of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.decomposition import PCA
from support.benchmark import SMALL, new_run
from support.invocation import invoke
from support.page import fill
from support.pictures import figure_texts, panels_of, points_of, words_of
from typer.testing import CliRunner

from unlearn_bench.cli import app
from unlearn_bench.config.benchmarks import load as load_config
from unlearn_bench.config.selection import Choice
from unlearn_bench.core.errors import MissingRunError, OptionError, UnknownNameError
from unlearn_bench.data.loading import load
from unlearn_bench.data.scenarios import split_dataset
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.embedding import clouds_of, embed
from unlearn_bench.report.figures import figure_of, gaps_of
from unlearn_bench.running.making import ExecutionConfig


def test_clouds_are_the_stored_features_with_the_forget_set_marked(drawn: Bench, execution: ExecutionConfig) -> None:
    entry = drawn.benchmarks.figure("4")
    said = invoke("reproduce", "--figure", "4", "--workers", "1")
    assert "Draw it with: unlearn-bench figure 4 --profile tiny --output figure-4.png" in said
    clouds = clouds_of("4", drawn.placed(entry), drawn.store, "pca")
    dataset = load("digits", folder=Path("nowhere"), train_per_class=24, test_per_class=8)
    split = split_dataset(dataset, "backdoor", "2", drawn.benchmarks.profiles["tiny"].scenarios["backdoor"])
    first = clouds.panels[0]
    assert np.flatnonzero(first.is_forget).tolist() == split.forget.tolist()
    assert set(first.labels[first.is_forget].tolist()) == {2}
    assert first.title.startswith("Original, DA 0.")
    run = next(run for run in drawn.store.runs(method="original") if run.outputs)
    stored = load_file(drawn.store.outputs_folder / run.outputs.file)
    panel = panels_of(figure_of(drawn, "4", "pca"))[0]
    crosses = [(point["x"], point["y"]) for point in points_of(panel, "point", color="black")]
    assert np.allclose(crosses, embed(stored["train.features"], "pca")[split.forget.numpy()], rtol=1e-3)
    (drawn.store.outputs_folder / run.outputs.file).unlink()
    with pytest.raises(MissingRunError, match="Figure 4 has no intact outputs of original, forget 2"):
        clouds_of("4", drawn.placed(entry), drawn.store, "pca")
    invoke("reproduce", "--figure", "4", "--workers", "1")
    assert np.array_equal(clouds_of("4", drawn.placed(entry), drawn.store, "pca").panels[0].points, first.points)


def test_figure_1_shows_the_models_with_and_without_the_class(drawn: Bench) -> None:
    invoke("reproduce", "--figure", "1", "--workers", "1")
    for name in ("one", "two"):
        invoke("figure", "1", "--embedding", "pca", "--output", f"{name}.png")
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()
    invoke("figure", "1", "--embedding", "pca", "--output", "one.svg")
    words = words_of(Path("one.svg").read_bytes())
    assert words[-1] != words[0] == "retain set, a colour for each class"
    assert "Figure 1. Clouds: digits, profile tiny" in words
    assert any("Two principal components" in word for word in words)


def test_gaps_are_those_of_the_table_with_the_floor_of_the_record(bench: Bench) -> None:
    fill(bench)
    assert "No band" in figure_texts(gaps_of(bench, "3"))
    for forget, value in (("1", 0.93), ("3", 1.0)):
        again = new_run(bench, "retrained", forget, (value, 63.0))
        bench.store.record(replace(again, spec=replace(again.spec, seed=1)))
    spec, table = gaps_of(bench, "3"), bench.table("3")
    for k, panel in enumerate(panels_of(spec)):
        gaps = {row.label: row.cells[k].gap for row in table.rows if not row.is_reference}
        assert {point["Method"]: point["gap"] for point in points_of(panel, "point")} == gaps
    bands = [points_of(panel, "rect")[0]["high"] for panel in panels_of(spec)]
    assert bands == pytest.approx([2 / np.sqrt(np.pi) * 0.015 / np.sqrt(2), 2 / np.sqrt(np.pi) / np.sqrt(2)])
    assert "No band" not in figure_texts(spec)
    for suffix in ("png", "pdf", "svg"):
        assert invoke("figure", "gaps", "--output", f"gaps.{suffix}") == f"Written to gaps.{suffix}\n"
    assert Path("gaps.pdf").read_bytes().startswith(b"%PDF")
    assert "Table 3. Small: digits, profile tiny" in words_of(Path("gaps.svg").read_bytes())


def test_no_band_is_drawn_for_rows_of_several_data_sets(home: Path, bench: Bench) -> None:
    rows = "[ft, {method: ft, dataset: cifar10, label: elsewhere}]"
    (home / "benchmarks.yaml").write_text(
        SMALL.split("tables:")[0] + f'tables:\n  "3": {{title: Two, metrics: [da], rows: {rows}}}\n'
    )
    for dataset in ("digits", "cifar10"):
        fill(Bench.choose(load_config(), bench.store, Choice(dataset=dataset)))
    spec = gaps_of(Bench.choose(load_config(), bench.store), "3")
    assert "several retrained models" in figure_texts(spec)
    assert [point["Method"] for point in points_of(panels_of(spec)[0], "point")] == ["FT", "elsewhere"]


def test_principal_components_are_scikit_learns_up_to_sign() -> None:
    features = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32) * np.arange(1, 8, dtype=np.float32)
    ours, theirs = embed(features, "pca"), PCA(2).fit_transform(features.astype(np.float64))
    assert np.allclose(np.abs(ours), np.abs(theirs), atol=1e-5)


@pytest.mark.slow
def test_umap_gives_the_same_points_every_time() -> None:
    pytest.importorskip("umap", reason="umap-learn is not installed")
    features = np.concatenate([np.random.default_rng(0).normal(k * 5, 1, (40, 6)) for k in range(3)]).astype(np.float32)
    one, two = embed(features, "umap"), embed(features, "umap")
    assert np.array_equal(one, two)
    middles = one.reshape(3, 40, 2).mean(axis=1)
    assert np.linalg.norm(one.reshape(3, 40, 2) - middles[:, None], axis=-1).mean() < np.ptp(middles, axis=0).max() / 2


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (["figure", "33", "--output", "a.png"], UnknownNameError, "No figure named '33'"),
        (
            ["figure", "3", "--table", "3", "--output", "a.png"],
            OptionError,
            "--table 3 is of the figures gaps and ranks",
        ),
        (["figure", "1", "--embedding", "tsne", "--output", "a.png"], UnknownNameError, "No embedding named 'tsne'"),
        (["figure", "1", "--output", "a.jpg"], OptionError, "expected a name that ends in .png"),
        (["reproduce"], OptionError, "Give --table or --figure"),
        (["reproduce", "--table", "3", "--figure", "3"], OptionError, "Give --table or --figure"),
        (
            ["figure", "1", "--forget", "1", "--forget", "3", "--output", "a.png"],
            OptionError,
            "shows one configuration",
        ),
    ],
)
def test_wrong_figures_are_refused(drawn: Bench, words: list[str], error: type[Exception], says: str) -> None:
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, error)
    assert says in str(result.exception)
    assert not Path("a.png").exists()
