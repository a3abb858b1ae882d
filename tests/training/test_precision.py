"""The fast path against the reference: bfloat16 training moves metrics no farther than another seed does."""

from dataclasses import replace
from math import sqrt

import pytest

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.making import ExecutionConfig, make_runs

SEEDS = (0, 1, 2)
TESTED = 30  # test images of a class


def sampling_error(images: int) -> float:
    """Returns three standard errors, in points, of a share of 90 % of that many test images."""
    return 300 * sqrt(0.9 * 0.1 / images)


COMPARED = {  # with the least reach of chance
    "da": 0.02,
    "lp_retain": sampling_error(9 * TESTED),
    "lp_forget": sampling_error(TESTED),
    "acc_retain": sampling_error(9 * TESTED),
}


@pytest.mark.slow
def test_bfloat16_moves_metrics_no_farther_than_another_seed(bench: Bench, execution: ExecutionConfig) -> None:
    """The original model on a thousand digits; chance reaches as far as seeds or test images allow."""
    experiment = replace(
        bench.selection.experiment,
        train_per_class=100,
        test_per_class=TESTED,
        model={"name": "resnet18", "width": 8, "groups": 4},
        recipe={**bench.selection.experiment.recipe, "epochs": 12, "batch_size": 32},
    )
    chosen = replace(bench.selection, forget=("1",))
    for precision, seeds in (("float32", SEEDS), ("bfloat16", (0,))):
        here = replace(chosen, experiment=replace(experiment, precision=precision), seeds=seeds)
        assert (
            make_runs(replace(bench, selection=here), [Row(method="original")], replace(execution, workers=2)).failures
            == 0
        )
    found = {(run.precision, run.seed): run.values for run in bench.store.runs()}
    for metric, step in COMPARED.items():
        slow = [found["float32", seed][metric] for seed in SEEDS]
        fast = found["bfloat16", 0][metric]
        reach = max(2 * (max(slow) - min(slow)), step)
        assert min(slow) - reach <= fast <= max(slow) + reach, (metric, slow, fast)
