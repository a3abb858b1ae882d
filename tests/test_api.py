"""What Python code calls: runs from pandas, run and evaluate; runs to MLflow."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from support.photos import photo, photos
from torch import nn

import unlearn_bench
from unlearn_bench.core.errors import CheckpointError, DataError, OptionError, StoreError
from unlearn_bench.core.progress import silent
from unlearn_bench.data.batches import Normalise
from unlearn_bench.data.loading import load
from unlearn_bench.data.scenarios import split_dataset
from unlearn_bench.metrics import metrics_of
from unlearn_bench.models import build
from unlearn_bench.models.outputs import arrange, predict_all
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.evaluation import measure
from unlearn_bench.store import Store
from unlearn_bench.store.mlflow import send_to_mlflow


def test_results_in_pandas(bench: Bench, stores: tuple[Store, Store]) -> None:
    ours, _ = stores
    frame = unlearn_bench.load_results(ours.url)
    assert len(frame) == 3
    assert frame.set_index("method").loc["retrained", "da"] == 0.1 + 0.2
    assert pd.isna(frame.set_index("method").loc["muda", "da"])
    assert frame.set_index("method").loc["muda", "status"] == "diverged"
    assert unlearn_bench.load_results(ours.url, method="ft")["lp_forget"].tolist() == [80.0]
    assert unlearn_bench.load_results(ours.url, forget="3").empty
    with pytest.raises(StoreError, match="There is no database"):
        unlearn_bench.load_results("sqlite:///nowhere.sqlite")
    with pytest.raises(AttributeError, match="no attribute 'forget_everything'"):
        unlearn_bench.forget_everything  # noqa: B018


def test_run_and_evaluate_from_python(home: Path) -> None:
    """What Python makes is recorded as the command line records it, and a network in memory measures the same."""
    frame = unlearn_bench.run("muda", forget="1", device="cpu")
    assert frame["method"].tolist() == ["original", "retrained", "muda"]
    again = unlearn_bench.run("muda", forget="1", device="cpu")
    pd.testing.assert_frame_equal(frame.drop(columns="run"), again.drop(columns="run"))
    store = Store(f"sqlite:///{home / 'results' / 'runs.sqlite'}")
    (record,) = store.runs(method="muda")
    assert record.model is not None
    assert record.model.file is not None
    network = build({"name": "resnet18", "width": 4, "groups": 2}, channels=1, classes=10, seed=0)
    network.load_state_dict(load_file(store.models_folder / record.model.file))
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    torch.manual_seed(0)
    with pytest.raises(OptionError):
        unlearn_bench.run("muda", forget="1", options={"steps": 3})
    values = unlearn_bench.evaluate(network, dataset="digits", forget="1")
    assert network.training
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    digits = load("digits", folder=home)
    split = split_dataset(digits, "class", "1", {})
    outputs = arrange(predict_all(network, digits.test, split, Normalise(digits.mean, digits.std)), split)
    expected = measure(outputs, metrics_of("class"))
    assert values.keys() == expected.keys()
    for name, value in expected.items():  # the two sum in another order, which can move an image to another cluster
        assert values[name] == pytest.approx(value, abs=0.05 if name in ("f1", "nmi") else 1e-6), name
    more = unlearn_bench.evaluate(network, dataset="digits", forget="1", metrics=["auc_forget"])
    assert more.keys() - values.keys() == {"auc_forget"}


def test_run_with_another_network_and_weights_of_a_file(home: Path) -> None:
    public = build({"name": "resnet18", "width": 6, "groups": 2}, channels=1, classes=10, seed=5)
    torch.save(public.state_dict(), home / "public.pt")
    words: dict[str, Any] = {"forget": "1", "device": "cpu", "arguments": {"width": 6}}
    first, second = (unlearn_bench.run("original", **words, **more) for more in ({}, {"pretrained": "public.pt"}))
    assert set(first["key"]).isdisjoint(second["key"])
    models = [run.spec["experiment"]["model"] for run in Store(f"sqlite:///{home / 'results' / 'runs.sqlite'}").runs()]
    assert {model["width"] for model in models} == {6} and sum("pretrained_sha256" in model for model in models) == 2


def test_wrong_kinds_of_arguments_are_sentences(home: Path) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    with pytest.raises(OptionError, match=r"takes a torch network in memory, and model is str 'x\.pt'"):
        unlearn_bench.evaluate("x.pt", dataset="digits", forget="1")  # type: ignore[arg-type]
    number: Any = 1
    assert unlearn_bench.evaluate(network, dataset="digits", forget=number).keys() >= {"da", "acc_forget"}
    given: dict[str, Any] = {"model": "x.pt", "original": "y.pt", "architecture": "resnet18", "dataset": "digits"}
    with pytest.raises(CheckpointError, match=r"There is no file y\.pt"):
        unlearn_bench.audit(**given, forget=1)
    with pytest.raises(OptionError, match="retrained is str, expected a list of files"):
        unlearn_bench.audit(**given, retrained="z.pt", forget="1")
    with pytest.raises(OptionError, match="model is Linear, expected the path of a file"):
        unlearn_bench.audit(**(given | {"model": torch.nn.Linear(2, 2)}), forget="1")


def test_runs_go_to_mlflow_once(
    bench: Bench, stores: tuple[Store, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = pytest.importorskip("mlflow.tracking", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a real store without a server
    ours, _ = stores
    uri = f"file://{tmp_path / 'mlruns'}"
    assert send_to_mlflow(ours.runs(), uri, "mine", silent) == 3
    assert send_to_mlflow(ours.runs(), uri, "mine", silent) == 0
    client = tracking.MlflowClient(tracking_uri=uri)
    sent = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    by_method = {run.data.params["method"]: run for run in sent}
    assert by_method["ft"].data.metrics == {"da": 0.5, "lp_forget": 80.0}
    assert by_method["retrained"].data.metrics["method_seconds"] == 0.1 + 0.2
    assert {name: run.info.status for name, run in by_method.items()} == {
        "retrained": "FINISHED",
        "ft": "FINISHED",
        "muda": "FAILED",
    }
    with pytest.raises(OptionError, match="MLflow does not know the URI nonsense://x"):
        send_to_mlflow(ours.runs(), "nonsense://x", "mine", silent)


def test_a_size_is_the_side_of_what_the_network_gets_for_photos_and_for_digits(tmp_path: Path) -> None:
    """Photos of any size are resized when they are read, digits before they enter the network."""
    root = photos(tmp_path / "own", *(f"{split}/{name}" for split in ("train", "test") for name in "abc"), count=6)
    photo(root / "train" / "a" / "tall.png", 7, 20, 61)
    with pytest.raises(DataError, match="Give --size"):
        unlearn_bench.evaluate(nn.Sequential(nn.Flatten(), nn.Linear(300, 3)), dataset=f"folder:{root}", forget="a")
    for channels, classes, dataset, forget in ((3, 3, f"folder:{root}", "a"), (1, 10, "digits", "3")):
        network = nn.Sequential(nn.Flatten(), nn.Linear(channels * 10 * 10, classes))
        assert "da" in unlearn_bench.evaluate(network, dataset=dataset, forget=forget, size=10)
