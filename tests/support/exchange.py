"""Runs with every field, and what a database holds."""

from dataclasses import replace
from typing import Any

from unlearn_bench.store import Store
from unlearn_bench.store.records import ModelRecord, NewRun, OutputsRecord


def whole(run: NewRun, value: float = 0.25) -> NewRun:
    """A run with everything that a run can have."""
    key = run.spec.key
    curves = ((0, "loss", 2.5), (10, "loss", value))
    model = ModelRecord(key, f"{key}.safetensors", "f" * 64, "w" * 64, 10, 0.1 + 0.2, 5, 6, 7, 8, 0.5, curves)
    outputs = OutputsRecord("0" * 64, f"{'0' * 64}.safetensors", "d" * 64)
    return replace(run, model=model, outputs=outputs, predicted={"retain": [[0, 1, 3]]}, forget_members=b"\x80\x01")


def contents(store: Store) -> list[Any]:
    """Everything of every run but its number in the database."""
    runs = [store.run(run.key) for run in store.runs()]
    keys = [run.key for run in runs]
    predicted = store.predicted(keys)
    return sorted(
        (run.key, repr(replace(run, id=0)), repr(predicted.get(run.key)), store.forget_members(run.key)) for run in runs
    )
