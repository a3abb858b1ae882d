"""Runs between databases, and from Python: nothing lost, nothing twice, nothing untrue let in."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.benchmark import METRICS, new_run
from support.command import command
from support.exchange import contents, whole

from unlearn_bench.core.errors import StoreError
from unlearn_bench.report.bench import Bench
from unlearn_bench.store import Store, foreign
from unlearn_bench.store.exchange import export_runs, import_runs


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
        assert (ours.count(), merged.added, merged.unchanged, merged.conflicts) == (4, 2 - known, known, [])
    assert {run.key for run in theirs.runs()} < {run.key for run in ours.runs()}


def test_a_planted_conflict_is_reported_and_decided_as_asked(
    bench: Bench, stores: tuple[Store, Store], tmp_path: Path
) -> None:
    ours, theirs = stores
    theirs.record(whole(new_run(bench, "ft", "1", (0.75, 80.0))))
    theirs.record(new_run(bench, "muda", "1", (0.4, 80.0)))
    export_runs(theirs, tmp_path / "theirs.parquet")
    before = contents(ours)
    with pytest.raises(
        StoreError, match=r"2 runs of theirs\.parquet differ from the recorded runs\. The first is ft, digits"
    ):
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
    assert import_runs(ours, tmp_path / "theirs.parquet").unchanged == 3


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
    with pytest.raises(StoreError, match="more than 104,857,600 bytes decompressed"):
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
    assert "1 replaced by those of the file" in again.stdout
    assert command("import", "theirs.parquet").returncode == 0
    odd = command("import", "theirs.parquet", "--on-conflict", "merge")
    assert (odd.returncode, odd.stdout) == (2, "")
    frame = pd.read_parquet(tmp_path / "theirs.parquet")
    assert set(frame["method"]) == {"retrained", "ft"}
    assert frame.loc[frame["method"] == "ft", "da"].tolist() == [0.75]
