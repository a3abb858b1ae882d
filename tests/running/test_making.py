"""What making runs says before it begins."""

from dataclasses import replace

import pytest

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.report.bench import Bench
from unlearn_bench.running import making
from unlearn_bench.training.devices import bfloat16_slowdown


@pytest.mark.parametrize(
    ("precision", "slowdown", "said"), [("bfloat16", 40.0, 1), ("bfloat16", 0.5, 0), ("float32", 40.0, 0)]
)
def test_slow_bfloat16_is_named_before_training(
    bench: Bench,
    execution: making.ExecutionConfig,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    slowdown: float,
    said: int,
) -> None:
    monkeypatch.setattr(making, "bfloat16_slowdown", lambda: slowdown)
    lines: list[str] = []
    experiment = replace(
        bench.selection.experiment, precision=precision, recipe={**bench.selection.experiment.recipe, "epochs": 1}
    )
    chosen = replace(bench, selection=replace(bench.selection, experiment=experiment, forget=("1",)))
    config = replace(execution, say=lines.append)
    for _ in range(2):  # the second time there is nothing to train
        assert making.make_runs(chosen, [Row(method="original")], config).failures == 0
    assert [line for line in lines if "--precision float32" in line] == lines[:1] * said
    assert all("40 times as long as in float32" in line for line in lines[:1] * said)


def test_the_slowdown_is_measured_once_and_positive() -> None:
    assert 0 < bfloat16_slowdown() == bfloat16_slowdown()
