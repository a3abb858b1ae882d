"""The fast path against the reference: bfloat16 training moves metrics no farther than another seed does."""

from dataclasses import replace
from statistics import fmean

import pytest

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.making import ExecutionConfig, make_runs

SEEDS = (0, 1, 2)
COMPARED = {"da": 0.02, "lp_retain": 1.0, "lp_forget": 3.0, "acc_retain": 1.0}  # with the least reach of chance


@pytest.mark.slow
def test_bfloat16_moves_metrics_no_farther_than_another_seed(bench: Bench, execution: ExecutionConfig) -> None:
    """Both references on a thousand digits, one forget set. The reach of chance is the range of the float32 seeds."""
    experiment = replace(
        bench.selection.experiment,
        train_per_class=100,
        test_per_class=30,
        model={"name": "resnet18", "width": 8, "groups": 4},
        recipe={**bench.selection.experiment.recipe, "epochs": 12, "batch_size": 32},
    )
    rows = [Row(method="original"), Row(method="retrained")]
    chosen = replace(bench.selection, forget=("1",))
    for precision, seeds in (("float32", SEEDS), ("bfloat16", (0,))):
        here = replace(chosen, experiment=replace(experiment, precision=precision), seeds=seeds)
        assert make_runs(replace(bench, selection=here), rows, replace(execution, workers=2)).failures == 0
    found: dict[tuple[str, str, int, str], list[float]] = {}
    for run in bench.store.runs():
        for metric in COMPARED:
            found.setdefault((run.method, run.precision, run.seed, metric), []).append(run.values[metric])
    for method in ("original", "retrained"):
        for metric, step in COMPARED.items():
            slow = [fmean(found[method, "float32", seed, metric]) for seed in SEEDS]
            fast = fmean(found[method, "bfloat16", 0, metric])
            reach = 2 * max(max(slow) - min(slow), step)
            assert min(slow) - reach <= fast <= max(slow) + reach, (method, metric, slow, fast)
