"""Runs between databases, and from Python: nothing lost, nothing twice, nothing untrue let in."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import METRICS, new_run
from safetensors.torch import load_file
from test_cli import command

import unlearn_bench
from unlearn_bench.bench import Bench
from unlearn_bench.data.batches import Normalise
from unlearn_bench.data.loading import load
from unlearn_bench.data.settings import divide
from unlearn_bench.errors import OptionError, StoreError
from unlearn_bench.evaluation import measure
from unlearn_bench.metrics import metrics
from unlearn_bench.models import build
from unlearn_bench.outputs import arrange, predict_all
from unlearn_bench.progress import silent
from unlearn_bench.store import Store, foreign
from unlearn_bench.store.exchange import FORMAT, export_runs, import_runs
from unlearn_bench.store.records import ModelRecord, NewRun, OutputsRecord
from unlearn_bench.tracking import send_to_mlflow


def whole(run: NewRun, value: float = 0.25) -> NewRun:
    """A run with everything that a run can have."""
    key = run.spec.key
    curves = ((0, "loss", 2.5), (10, "loss", value))
    model = ModelRecord(key, f"{key}.safetensors", "f" * 64, "w" * 64, 10, 0.1 + 0.2, 5, 6, 7, 8, 0.5, curves)
    outputs = OutputsRecord("0" * 64, f"{'0' * 64}.safetensors", "d" * 64)
    return replace(run, model=model, outputs=outputs, predicted={"retain": [[0, 1, 3]]}, forget_members=b"\x80\x01")


@pytest.fixture
def stores(bench: Bench, tmp_path: Path) -> tuple[Store, Store]:
    """Two databases with one run in common: three runs here, two there."""
    ours, theirs = bench.store, Store(f"sqlite:///{tmp_path / 'theirs.sqlite'}")
    ours.record(whole(new_run(bench, "retrained", "1", (0.1 + 0.2, 60.0))))
    ours.record(new_run(bench, "ft", "1", (0.5, 80.0)))
    ours.record(new_run(bench, "muda", "1", (0.0, 0.0), status="diverged"))
    theirs.record(whole(new_run(bench, "retrained", "1", (0.1 + 0.2, 60.0))))
    theirs.record(whole(new_run(bench, "retrained", "3", (0.9, 61.0))))
    return ours, theirs


def contents(store: Store) -> list[Any]:
    """Everything of every run but its number in the database."""
    runs = [store.run(run.key) for run in store.runs()]
    keys = [run.key for run in runs]
    predicted = store.predicted(keys)
    return sorted(
        (run.key, repr(replace(run, id=0)), repr(predicted.get(run.key)), store.forget_members(run.key)) for run in runs
    )


def test_a_database_comes_back_whole(stores: tuple[Store, Store], tmp_path: Path) -> None:
    ours, _ = stores
    assert export_runs(ours, tmp_path / "ours.parquet") == 3
    copy = Store(f"sqlite:///{tmp_path / 'copy.sqlite'}")
    assert import_runs(copy, tmp_path / "ours.parquet").added == 3
    assert contents(copy) == contents(ours)
    export_runs(copy, tmp_path / "copy.parquet")
    one, other = (pq.read_table(tmp_path / f"{name}.parquet").to_pylist() for name in ("ours", "copy"))
    assert sorted(one, key=lambda row: row["key"]) == sorted(other, key=lambda row: row["key"])


def test_two_databases_become_one_without_duplicates(stores: tuple[Store, Store], tmp_path: Path) -> None:
    ours, theirs = stores
    export_runs(theirs, tmp_path / "theirs.parquet")
    for known in (1, 2):  # and a second time
        merged = import_runs(ours, tmp_path / "theirs.parquet")
        assert (ours.count(), merged.added, merged.known, merged.conflicts) == (4, 2 - known, known, [])
    assert {run.key for run in theirs.runs()} < {run.key for run in ours.runs()}


def test_a_planted_conflict_is_reported_and_decided_as_asked(
    bench: Bench, stores: tuple[Store, Store], tmp_path: Path
) -> None:
    ours, theirs = stores
    theirs.record(whole(new_run(bench, "ft", "1", (0.75, 80.0))))
    theirs.record(new_run(bench, "muda", "1", (0.4, 80.0)))
    export_runs(theirs, tmp_path / "theirs.parquet")
    before = contents(ours)
    with pytest.raises(StoreError, match=r"2 runs of theirs\.parquet differ from those here, first ft, digits"):
        import_runs(ours, tmp_path / "theirs.parquet", "refuse")
    assert contents(ours) == before
    kept = import_runs(ours, tmp_path / "theirs.parquet")
    assert [each.differs for each in kept.conflicts] == ["da 0.5 here, 0.75 there", "diverged here, done there"]
    assert {run.method: run.values.get("da") for run in ours.runs() if run.forget == "1"} == {
        "retrained": 0.1 + 0.2,
        "ft": 0.5,
        "muda": None,
    }
    assert (kept.added, ours.count()) == (1, 4)
    replaced = import_runs(ours, tmp_path / "theirs.parquet", "replace")
    assert len(replaced.conflicts) == 2
    assert {run.method: run.values.get("da") for run in ours.runs() if run.forget == "1"}["ft"] == 0.75
    assert ours.count() == 4


def test_a_run_with_more_metrics_takes_the_place_of_its_like(
    bench: Bench, stores: tuple[Store, Store], tmp_path: Path
) -> None:
    ours, theirs = stores
    run = new_run(bench, "ft", "3", (0.5, 80.0))
    ours.record(replace(run, values={"da": 0.5}))
    theirs.record(run)
    export_runs(theirs, tmp_path / "theirs.parquet")
    assert import_runs(ours, tmp_path / "theirs.parquet").extended == 1
    assert ours.run(run.spec.key).values == {"da": 0.5, "lp_forget": 80.0}


def test_metrics_that_only_we_have_stay(bench: Bench, stores: tuple[Store, Store], tmp_path: Path) -> None:
    ours, theirs = stores
    run = new_run(bench, "ft", "3", (0.5, 80.0))
    ours.record(run)
    extra = replace(METRICS[0], name="extra")
    theirs.record(replace(run, metrics=(METRICS[1], extra), values={"lp_forget": 80.0, "extra": 7.0}))
    export_runs(theirs, tmp_path / "theirs.parquet")
    assert import_runs(ours, tmp_path / "theirs.parquet").extended == 1
    assert ours.run(run.spec.key).values == {"da": 0.5, "lp_forget": 80.0, "extra": 7.0}
    assert import_runs(ours, tmp_path / "theirs.parquet").known == 3


def test_what_is_done_is_not_given_up_for_what_is_not(
    bench: Bench, stores: tuple[Store, Store], tmp_path: Path
) -> None:
    ours, theirs = stores
    theirs.record(new_run(bench, "ft", "1", (0.0, 0.0), status="diverged"))
    export_runs(theirs, tmp_path / "theirs.parquet")
    merged = import_runs(ours, tmp_path / "theirs.parquet", "replace")
    assert (len(merged.conflicts), merged.replaced) == (1, 0)
    assert {run.method: run.values for run in ours.runs() if run.forget == "1"}["ft"] == {"da": 0.5, "lp_forget": 80.0}


def test_a_file_that_stands_for_gigabytes_is_refused(
    stores: tuple[Store, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One long text, said once and meant a thousand times."""
    file = tmp_path / "theirs.parquet"
    export_runs(stores[1], file)
    table = pq.read_table(file)
    row = {**table.to_pylist()[0], "record": "x" * 2**20}
    pq.write_table(pa.Table.from_pylist([row] * 1000, table.schema), file)
    assert file.stat().st_size < 2**20
    monkeypatch.setattr(foreign, "LARGEST", 100 * 2**20)
    with pytest.raises(StoreError, match="over 104,857,600 bytes decompressed"):
        import_runs(stores[0], file)


def test_an_older_definition_of_a_metric_does_not_hide_ours(
    bench: Bench, stores: tuple[Store, Store], tmp_path: Path
) -> None:
    ours, theirs = stores
    newer = (replace(METRICS[0], version="2"), METRICS[1])
    ours.record(replace(new_run(bench, "ft", "3", (0.5, 80.0)), metrics=newer))
    export_runs(theirs, tmp_path / "theirs.parquet")  # of version 1
    import_runs(ours, tmp_path / "theirs.parquet")
    assert ours.metrics()["da"].version == "2"
    by_forget = {run.forget: run.values for run in ours.runs() if run.method in ("ft", "retrained")}
    assert by_forget["3"].get("da") in (0.5, None)
    assert {run.method: run.values for run in ours.runs() if run.forget == "3"}["ft"]["da"] == 0.5
    assert "da" not in {run.method: run.values for run in ours.runs() if run.forget == "3"}["retrained"]


def test_weights_that_are_known_keep_their_file(bench: Bench, stores: tuple[Store, Store], tmp_path: Path) -> None:
    """The same model trained on another machine has other bits: what lies here must stay what is named here."""
    ours, theirs = stores
    run = whole(new_run(bench, "ft", "3", (0.5, 80.0)))
    assert run.model is not None
    ours.record_model(run.model)
    theirs.record(replace(run, model=replace(run.model, file_digest="e" * 64)))
    export_runs(theirs, tmp_path / "theirs.parquet")
    import_runs(ours, tmp_path / "theirs.parquet")
    found = ours.model(run.spec.key)
    assert found is not None
    assert found.file_digest == "f" * 64


def changed(change: Callable[[dict[str, Any], dict[str, Any]], None]) -> Callable[[Path], None]:
    """Returns what changes the first run of a file, its row and its record."""

    def write(file: Path) -> None:
        table = pq.read_table(file)
        rows = table.to_pylist()
        record = json.loads(rows[0]["record"])
        change(rows[0], record)
        rows[0]["record"] = json.dumps(record)
        pq.write_table(pa.Table.from_pylist(rows, table.schema), file)

    return write


def rewritten(file: Path, change: Callable[[str], str]) -> None:
    table = pq.read_table(file)
    rows = table.to_pylist()
    rows[0]["record"] = change(rows[0]["record"])
    pq.write_table(pa.Table.from_pylist(rows, table.schema), file)


UNTRUE: dict[str, tuple[Callable[[Path], None], str]] = {
    "another spec": (changed(lambda _row, record: record["spec"].update(seed=7)), "is not that of what the run says"),
    "another data set": (
        changed(lambda _row, record: record["dataset"].update(digest="0" * 64)),
        "not the one of its key",
    ),
    "a path": (changed(lambda _row, record: record["model"].update(file="../../x.safetensors")), "file name '../../x"),
    "not finite": (changed(lambda row, _record: row.update(da=float("inf"))), "not finite"),
    "a status": (changed(lambda row, _record: row.update(status="perfect")), "the status is 'perfect'"),
    "values of a failure": (changed(lambda row, _record: row.update(status="failed")), "of a run that is not done"),
    "endless": (
        lambda file: rewritten(file, lambda text: text.replace('"evaluation_seconds": ', '"x": 1e999, "y": ')),
        "the number 1e999",
    ),
    "huge": (changed(lambda _row, record: record.update(forget_images=10**30)), "the number 1000"),
    "of another type": (changed(lambda _row, record: record.update(changed_options="zz")), "changed_options"),
    "a list for a model": (changed(lambda _row, record: record.update(model=[])), "ModelRecord"),
    "predictions of no class": (
        changed(lambda _row, record: record.update(predicted={"retain": [[0, 99, 1]]})),
        "predictions of classes",
    ),
    "words that a terminal obeys": (
        changed(lambda _row, record: record["method"].update(label="x\x1b[2J")),
        "the words 'x",
    ),
    "a path as a key": (
        changed(lambda _row, record: record["model"].update(key="/tmp/x", file="/tmp/x.safetensors")),
        "the key '/tmp/x'",
    ),
    "a time to come": (
        changed(lambda _row, record: record.update(asked_at="9999-12-31T23:59:59.999999+00:00")),
        "the time '9999-12-31T23:59:59.999999+00:00'",
    ),
    "lacking": (changed(lambda _row, record: record.pop("method")), "KeyError: 'method'"),
    "text": (lambda file: file.write_text("not Parquet"), "is not a Parquet file that can be read"),
    "cut": (lambda file: file.write_bytes(file.read_bytes()[:-200]), "is not a Parquet file that can be read"),
    "foreign": (lambda file: pd.DataFrame({"a": [1]}).to_parquet(file), f"is not of the format '{FORMAT}'"),
    "gone": (lambda file: file.unlink(), "There is no file"),
}


@pytest.mark.parametrize("how", UNTRUE)
def test_what_is_untrue_is_refused_and_nothing_of_the_file_is_taken(
    how: str, stores: tuple[Store, Store], tmp_path: Path
) -> None:
    ours, theirs = stores
    file = tmp_path / "theirs.parquet"
    export_runs(theirs, file)
    change, says = UNTRUE[how]
    change(file)
    before = contents(ours)
    with pytest.raises(StoreError) as refused:
        import_runs(ours, file)
    assert says in str(refused.value)
    assert contents(ours) == before


def test_export_and_import_as_typed(bench: Bench, stores: tuple[Store, Store], tmp_path: Path) -> None:
    _, theirs = stores
    theirs.record(new_run(bench, "ft", "1", (0.75, 80.0)))
    other = ("--db", theirs.url)
    written = command("export", "theirs.parquet", *other)
    assert (written.returncode, written.stdout) == (0, "3 runs written to theirs.parquet\n"), written.stderr
    merged = command("import", "theirs.parquet")
    assert merged.returncode == 1
    assert "3 runs before, 4 after: 1 new, 1 known with the same values, 0 with more metrics" in merged.stdout
    assert "da 0.5 here, 0.75 there" in merged.stdout
    refused = command("import", "theirs.parquet", "--on-conflict", "refuse")
    assert (refused.returncode, refused.stdout) == (2, "")
    again = command("import", "theirs.parquet", "--on-conflict", "replace")
    assert "theirs took the place of 1" in again.stdout
    assert command("import", "theirs.parquet").returncode == 0
    odd = command("import", "theirs.parquet", "--on-conflict", "merge")
    assert (odd.returncode, odd.stdout) == (2, "")
    frame = pd.read_parquet(tmp_path / "theirs.parquet")
    assert set(frame["method"]) == {"retrained", "ft"}
    assert frame.loc[frame["method"] == "ft", "da"].tolist() == [0.75]


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
    split = divide(digits, "class", "1", {})
    outputs = arrange(predict_all(network, digits.test, split, Normalise(digits.mean, digits.std)), split)
    expected = measure(outputs, [each for each in metrics if not each.settings])
    assert values == pytest.approx(expected, abs=1e-6)


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
    with pytest.raises(OptionError, match="MLflow at nonsense://x refuses"):
        send_to_mlflow(ours.runs(), "nonsense://x", "mine", silent)
