"""Measuring changes nothing and depends on nothing else: neither on what was measured before nor on batches."""

import random
from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from unlearn_bench.data import Dataset
from unlearn_bench.data.batches import Normalise
from unlearn_bench.data.scenarios import split_dataset
from unlearn_bench.metrics import Metric, metrics
from unlearn_bench.models import Classifier, build, weights_digest
from unlearn_bench.models import outputs as outputs_module
from unlearn_bench.models.outputs import ModelOutputs, Outputs, arrange, predict_all
from unlearn_bench.running.evaluation import measure

SCENARIOS = {"class": ("1", {}), "backdoor": ("1", {"size": 2, "place": "top_left", "shade": 255, "rate": 0.1})}


def network() -> Classifier:
    return build({"name": "resnet18", "width": 4, "groups": 2}, channels=1, classes=10, seed=7)


def outputs_of(digits: Dataset, scenario: str) -> ModelOutputs:
    forget, options = SCENARIOS[scenario]
    split = split_dataset(digits, scenario, forget, options)
    return arrange(predict_all(network(), digits.test, split, Normalise(digits.mean, digits.std)), split)


def cases() -> list[tuple[str, str]]:
    return [(s, m.name) for s in SCENARIOS for m in metrics if not m.scenarios or s in m.scenarios]


def tensors(outputs: ModelOutputs) -> Iterator[torch.Tensor]:
    for part in (getattr(outputs, field.name) for field in fields(outputs)):
        if isinstance(part, Outputs):
            yield from (part.features, part.logits, part.labels)


def generators() -> tuple[object, ...]:
    numpy = np.random.get_state()[1].tobytes()  # type: ignore[union-attr]
    return random.getstate(), numpy, torch.get_rng_state().numpy().tobytes()


@pytest.mark.parametrize(("scenario", "name"), cases())
def test_a_metric_changes_neither_outputs_nor_generators_and_repeats_itself(
    digits: Dataset, scenario: str, name: str
) -> None:
    outputs = outputs_of(digits, scenario)
    before, drawn = [part.clone() for part in tensors(outputs)], generators()
    value = metrics.get(name).function(outputs)
    assert all(torch.equal(old, new) for old, new in zip(before, tensors(outputs), strict=True))
    assert generators() == drawn
    torch.manual_seed(99)
    assert metrics.get(name).function(replace(outputs)) == value, "a new object: nothing is shared with the first"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_no_order_of_metrics_changes_a_value(digits: Dataset, scenario: str) -> None:
    wanted: list[Metric] = [metrics.get(name) for own, name in cases() if own == scenario]
    outputs = outputs_of(digits, scenario)
    expected = measure(outputs, wanted)
    for seed in range(3):
        shuffled = random.Random(seed).sample(wanted, len(wanted))
        assert measure(replace(outputs), shuffled) == expected


def test_evaluation_leaves_the_model_as_it_was(digits: Dataset) -> None:
    split = split_dataset(digits, "class", "1", {})
    model = network().train()
    before = weights_digest(model)
    predict_all(model, digits.test, split, Normalise(digits.mean, digits.std))
    assert weights_digest(model) == before
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("batch", [1, 7, 10_000])
def test_the_size_of_batches_moves_outputs_by_rounding_alone(
    digits: Dataset, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = outputs_of(digits, "class")
    monkeypatch.setattr(outputs_module, "BATCH", batch)
    for old, new in zip(tensors(expected), tensors(outputs_of(digits, "class")), strict=True):
        torch.testing.assert_close(new, old, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("scenario", "name"), [case for case in cases() if metrics.get(case[1]).reads])
def test_a_metric_reads_what_it_says_and_nothing_else(digits: Dataset, scenario: str, name: str) -> None:
    """An audit judges outputs and features apart, by what each metric declares."""
    outputs, metric = outputs_of(digits, scenario), metrics.get(name)

    def shuffled(part: Outputs, what: str) -> Outputs:
        order = torch.randperm(len(part), generator=torch.Generator().manual_seed(0))
        tensor: torch.Tensor = getattr(part, what)
        return replace(part, **{what: tensor[order].flip(1) * 3 - 1})

    parts = [field.name for field in fields(outputs) if isinstance(getattr(outputs, field.name), Outputs)]
    other = "logits" if metric.reads == "features" else "features"
    same = replace(outputs, **{part: shuffled(getattr(outputs, part), other) for part in parts})
    assert metric.function(same) == metric.function(outputs)
