"""Rows that pass networks: those of given images are known, whatever way they take, and all others are counted."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from support.benchmark import make_problem

from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data import passed_images as inputs
from unlearn_bench.data.batches import Batches, Normalise
from unlearn_bench.data.passed_images import InputCheck
from unlearn_bench.methods import UnlearningProblem, methods
from unlearn_bench.running.guards import Guard


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_rows_of_batches_and_of_predict_are_known(augment: str, digits: Dataset, split: ForgetSplit) -> None:
    method = methods.get("ft")
    problem = replace(make_problem(digits, split), augment=augment)
    guard = Guard(method, problem)
    with guard.watching():
        network = methods.get("muda").function(guard.problem, iterations=6, batch_size=8)
        x, _ = next(iter(guard.problem.retain_batches(8)))
        network(torch.cat([x, x.flip(0)])[3:].double().float())
    assert guard.inputs.rows == 72 + 13
    assert guard.inputs.unknown_rows() == 0


def other_images(problem: UnlearningProblem, digits: Dataset) -> None:
    problem.predict(problem.original, digits.test)


def augmented_others(problem: UnlearningProblem, digits: Dataset) -> None:
    for x, _ in replace(problem, retain=digits.test).retain_batches(16):
        problem.original(x)


def a_noisy_row(problem: UnlearningProblem, _digits: Dataset) -> None:
    problem.original.features(problem.normalise(problem.retain.pixels[:1]) + 1e-3)


def layer_by_layer(problem: UnlearningProblem, digits: Dataset) -> None:
    problem.original.conv1(problem.normalise(digits.test.pixels[:1]))


def a_network_of_its_own(problem: UnlearningProblem, digits: Dataset) -> None:
    torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))(problem.normalise(digits.test.pixels[:1]))


def one_sample_at_a_time(problem: UnlearningProblem, digits: Dataset) -> None:
    state = dict(problem.original.named_parameters())
    call = torch.func.functional_call
    rows = problem.normalise(digits.test.pixels[:1])[:, None]
    torch.func.vmap(lambda row: call(problem.original, state, (row,)), in_dims=0)(rows)


def another_size(problem: UnlearningProblem, digits: Dataset) -> None:
    problem.original(problem.normalise(digits.test.pixels[:1, :, :4, :4]))


STRANGERS = {
    other_images: 80,
    augmented_others: 80,  # the images that were augmented; what was made of them is theirs
    a_noisy_row: 1,
    layer_by_layer: 1,
    a_network_of_its_own: 2,  # as often as a module meets them: the network and its first layer
    one_sample_at_a_time: 1,
    another_size: 1,
}


@pytest.mark.parametrize(("passes", "number"), STRANGERS.items(), ids=lambda each: getattr(each, "__name__", ""))
def test_rows_that_were_not_given_are_counted(
    passes: Callable[[UnlearningProblem, Dataset], None], number: int, digits: Dataset, split: ForgetSplit
) -> None:
    augment = "crop_flip" if passes is augmented_others else "none"
    guard = Guard(methods.get("ft"), replace(make_problem(digits, split), augment=augment))
    with guard.watching(), torch.no_grad():
        passes(guard.problem, digits)
    assert guard.inputs.unknown_rows() == number
    assert guard.data_violations()[0].startswith(f"{number} of ")


def test_grey_images_are_known_where_a_network_takes_them_as_colour_images(
    problem: UnlearningProblem, digits: Dataset
) -> None:
    for images, number in ((problem.retain, 0), (digits.test, 80)):
        check = InputCheck([problem.retain, problem.forget], Normalise((0.5,) * 3, (0.2, 0.3, 0.4)))
        check.add_rows(Normalise((0.5,) * 3, (0.2, 0.3, 0.4))(images.pixels), True)
        assert (check.rows, check.unknown_rows()) == (len(images), number)


def test_rows_are_compared_alike_whenever_they_are(digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Augmented rows are known long after they were drawn, others never are."""
    monkeypatch.setattr(inputs, "FLUSH", 10)
    normalise = Normalise(digits.mean, digits.std)
    check = InputCheck([digits.train], normalise)
    made = Batches(
        digits.train,
        batch_size=16,
        seed=1,
        normalise=normalise,
        augment="crop_flip",
        drawn=lambda _n: None,
        augmented=check.augmented,
    )
    for x in [x for x, _ in made]:
        check.add_rows(x, True)
    assert check.unknown_rows() == 0
    check.add_rows(normalise(digits.test.pixels), True)
    assert check.unknown_rows() == len(digits.test)
