"""Likeness in the database: kept with the models that it compares, and gone with them."""

from dataclasses import replace

import pytest
from support.benchmark import new_run
from support.exchange import whole

from unlearn_bench.core.errors import StoreError
from unlearn_bench.report.bench import Bench
from unlearn_bench.store.health import faults
from unlearn_bench.store.likeness import comparison_records, likeness_of, record_likeness
from unlearn_bench.store.records import ComparisonRecord, ModelRecord, NewRun

SCORE = ComparisonRecord("tow", "ToW", "", 1.0, "a paper", "1")


def with_weights(run: NewRun, digest: str) -> NewRun:
    run = whole(run)
    assert isinstance(run.model, ModelRecord)
    return replace(run, model=replace(run.model, weights_digest=digest * 64, file_digest=digest * 64))


@pytest.fixture
def pair(bench: Bench) -> tuple[NewRun, NewRun]:
    runs = (
        with_weights(new_run(bench, "ft", "1", (0.5, 80.0)), "a"),
        with_weights(new_run(bench, "retrained", "1", (0.8, 60.0)), "b"),
    )
    for run in runs:
        bench.store.record(run)
    record_likeness(bench.store, keys(runs), [SCORE], {"tow": 0.1 + 0.2})
    return runs


def keys(runs: tuple[NewRun, NewRun]) -> tuple[str, str]:
    return runs[0].spec.key, runs[1].spec.key


def test_a_value_is_read_to_the_bit_and_replaced_by_a_newer_one(bench: Bench, pair: tuple[NewRun, NewRun]) -> None:
    store, both = bench.store, keys(pair)
    assert likeness_of(store, list(both)) == {both: {"tow": 0.1 + 0.2}}
    assert comparison_records(store) == {"tow": SCORE}
    record_likeness(store, both, [replace(SCORE, version="2")], {"tow": None})
    assert likeness_of(store, list(both)) == {both: {"tow": None}}
    assert likeness_of(store, [both[1]]) == {}, "it is a value of the first run"


def test_values_of_an_older_version_are_not_read(bench: Bench, pair: tuple[NewRun, NewRun]) -> None:
    store, both = bench.store, keys(pair)
    record_likeness(store, (both[1], both[0]), [replace(SCORE, version="2")], {"tow": 0.9})
    assert likeness_of(store, list(both)) == {(both[1], both[0]): {"tow": 0.9}}


@pytest.mark.parametrize("role", [0, 1])
def test_a_run_that_is_measured_again_keeps_its_values_and_one_with_other_weights_loses_them(
    bench: Bench, pair: tuple[NewRun, NewRun], role: int
) -> None:
    store, both = bench.store, keys(pair)
    before = store.run(both[role]).id
    store.record(pair[role])
    assert store.run(both[role]).id != before
    assert likeness_of(store, list(both)) == {both: {"tow": 0.1 + 0.2}}
    store.record(with_weights(pair[role], "c"))
    assert likeness_of(store, list(both)) == {}
    assert faults(store) == []


def test_a_run_that_is_not_recorded_has_no_likeness(bench: Bench, pair: tuple[NewRun, NewRun]) -> None:
    with pytest.raises(StoreError, match="A run was replaced while it was compared"):
        record_likeness(bench.store, (keys(pair)[0], "f" * 64), [SCORE], {"tow": 0.5})
