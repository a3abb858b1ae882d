"""Files of runs that are not true to their keys are refused whole."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.exchange import contents

from unlearn_bench.core.errors import StoreError
from unlearn_bench.store import Store
from unlearn_bench.store.exchange import FORMAT, export_runs, import_runs


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
    "another spec": (
        changed(lambda _row, record: record["spec"].update(seed=7)),
        "does not match the content of the run",
    ),
    "another data set": (
        changed(lambda _row, record: record["dataset"].update(digest="0" * 64)),
        "does not match its key",
    ),
    "a path": (
        changed(lambda _row, record: record["model"].update(file="../../x.safetensors")),
        "file name is '../../x",
    ),
    "not finite": (changed(lambda row, _record: row.update(da=float("inf"))), "not finite"),
    "a status": (changed(lambda row, _record: row.update(status="perfect")), "the status is 'perfect'"),
    "values of a failure": (
        changed(lambda row, _record: row.update(status="failed")),
        "the run has values and is not done",
    ),
    "endless": (
        lambda file: rewritten(file, lambda text: text.replace('"evaluation_seconds": ', '"x": 1e999, "y": ')),
        "the number 1e999",
    ),
    "huge": (changed(lambda _row, record: record.update(forget_images=10**30)), "the number 1000"),
    "of another type": (changed(lambda _row, record: record.update(changed_options="zz")), "changed_options"),
    "a list for a model": (changed(lambda _row, record: record.update(model=[])), "ModelRecord"),
    "predictions of no class": (
        changed(lambda _row, record: record.update(predicted={"retain": [[0, 99, 1]]})),
        "predictions name classes",
    ),
    "words that a terminal obeys": (
        changed(lambda _row, record: record["method"].update(label="x\x1b[2J")),
        "the text 'x",
    ),
    "a path as a key": (
        changed(lambda _row, record: record["model"].update(key="/tmp/x", file="/tmp/x.safetensors")),
        "'/tmp/x' is not a key",
    ),
    "a time to come": (
        changed(lambda _row, record: record.update(requested_at="9999-12-31T23:59:59.999999+00:00")),
        "the time '9999-12-31T23:59:59.999999+00:00'",
    ),
    "lacking": (changed(lambda _row, record: record.pop("method")), "KeyError: 'method'"),
    "text": (lambda file: file.write_text("not Parquet"), "cannot be read as a Parquet file"),
    "cut": (lambda file: file.write_bytes(file.read_bytes()[:-200]), "cannot be read as a Parquet file"),
    "foreign": (lambda file: pd.DataFrame({"a": [1]}).to_parquet(file), f"does not have the format '{FORMAT}'"),
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
