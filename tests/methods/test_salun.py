"""SalUn against plain loops: a mask by rank over all weights, and weights outside it that never move."""

from typing import Any

import pytest
import torch
from support.naive_steps import (
    NaiveSgd,
    Samples,
    disagreement,
    few,
    mean_gradient,
    naive_copy,
    negative_log_likelihood,
)
from torch import Tensor

from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.methods.salun import saliency_mask, salun
from unlearn_bench.models import Classifier

OPTIONS: dict[str, Any] = {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.01}
SHARE = 0.1


def in_order(gradients: list[Tensor]) -> list[Tensor]:
    """The mask of the tenth of all numbers with the largest modulus, by sorting them one by one."""
    numbers = torch.cat([gradient.flatten() for gradient in gradients]).abs().tolist()
    order = sorted(range(len(numbers)), key=lambda k: -numbers[k])
    mask = torch.zeros(len(numbers), dtype=torch.float64)
    mask[order[: int(SHARE * len(numbers))]] = 1
    return [part.view_as(g) for part, g in zip(mask.split([g.numel() for g in gradients]), gradients, strict=True)]


def naive_mask(batches: list[Samples], network: Classifier, fault: str) -> list[Tensor]:
    nll = negative_log_likelihood
    gradients = [mean_gradient(network, batch, lambda *sample: -nll(*sample)) for batch in batches]
    if fault == "modulus before the sum":
        return in_order([sum(part.abs() for part in parts) for parts in zip(*gradients, strict=True)])
    summed = [sum(parts) for parts in zip(*gradients, strict=True)]
    if fault == "a threshold for each layer":
        return [in_order([part])[0] for part in summed]
    mask = in_order(summed)
    return [1 - part for part in mask] if fault == "the others are trained" else mask


def naive(problem: UnlearningProblem, fault: str = "") -> Classifier:
    """One epoch of two batches of D_f for the mask; then two epochs of D_f and D'_r, two batches each."""
    network = naive_copy(problem)
    forget, retain = problem.forget_batches(3), problem.retain_batches(3)

    def samples(x: Tensor, labels: Tensor) -> Samples:
        return [(image[None].double(), int(label)) for image, label in zip(x, labels, strict=True)]

    mask = naive_mask([samples(x, y) for x, y in forget], network, fault)
    sgd = NaiveSgd(network, **OPTIONS, mask=mask)
    generator = torch.Generator().manual_seed(problem.seed + 2)
    for _ in range(2):
        for x, y in forget:
            sgd.step(samples(x, torch.randint(0, 10, y.shape, generator=generator)), negative_log_likelihood)
        for x, y in retain:
            sgd.step(samples(x, y), negative_log_likelihood)
    return network


@pytest.fixture
def ours(problem: UnlearningProblem) -> Classifier:
    return salun(few(problem), share=SHARE, epochs=2, batch_size=3, **OPTIONS)


def test_it_equals_a_plain_loop(problem: UnlearningProblem, ours: Classifier) -> None:
    assert disagreement(ours, naive(few(problem)), problem.original) < 0.05


@pytest.mark.parametrize("fault", ["modulus before the sum", "a threshold for each layer", "the others are trained"])
def test_the_loop_tells_faults_apart(problem: UnlearningProblem, ours: Classifier, fault: str) -> None:
    assert disagreement(ours, naive(few(problem), fault), problem.original) > 0.2


def test_weights_outside_the_mask_keep_every_bit(problem: UnlearningProblem) -> None:
    """Neither weight decay nor momentum moves them; of the others, decay moves nearly all."""
    network = salun(few(problem), share=0.3, epochs=2, batch_size=3, lr=0.1, momentum=0.9, weight_decay=0.1)
    pairs = list(zip(network.parameters(), problem.original.parameters(), strict=True))
    moved = sum(int((ours != theirs).sum()) for ours, theirs in pairs)
    trained = int(0.3 * sum(ours.numel() for ours, _ in pairs))
    assert 0.9 * trained < moved <= trained
    assert problem.monitor.planned_steps == problem.monitor.steps == 2 + 2 * 4


def test_the_mask_ranks_all_weights_together_and_breaks_ties_by_place() -> None:
    gradients = {"a": torch.tensor([0.0, -3.0, 0.0]), "b": torch.tensor([[2.0, 0.0]])}
    mask = saliency_mask(gradients, 0.6)
    assert mask["a"].tolist() == [True, True, False]
    assert mask["b"].tolist() == [[True, False]]
    assert saliency_mask(gradients, 0.5)["a"].tolist() == [False, True, False], "2.5 weights are two"
