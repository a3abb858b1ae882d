"""Recipes of training as data: each part against an independent reference, and old experiments keep their identity."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SMALL, make_problem
from torch import Tensor

from unlearn_bench.bench import Bench
from unlearn_bench.config import Row, load
from unlearn_bench.data import Dataset, ForgetSplit, Images
from unlearn_bench.data.batches import Batches, CropFlip, Normalise, crop_flip
from unlearn_bench.errors import ConfigError, OptionError
from unlearn_bench.methods import UnlearningProblem, methods
from unlearn_bench.models import build
from unlearn_bench.models.airbench import whitening_filters
from unlearn_bench.options import complete, identity
from unlearn_bench.plan import check, resolve
from unlearn_bench.selection import select
from unlearn_bench.spec import RunSpec
from unlearn_bench.training import cross_entropy, learning_rates, make_optimizer, scheduled

SHIPPED = Path(__file__).parent.parent / "benchmarks.yaml"
FAST = {
    "epochs": 4,
    "batch_size": 32,
    "lr": 0.2,
    "decay": 1.0,
    "weight_decay": 5e-4,
    "momentum": 0.9,
    "nesterov": True,
    "schedule": "triangular",
    "label_smoothing": 0.1,
    "decay_matrices_only": True,
    "crop_padding": 2,
    "crop_fill": "reflect",
    "flip": "alternate",
}
# as the code was before recipes had these options (commit 7f92571), on images and forget sets of these digests
IMAGES, FORGET = "i" * 64, "f" * 64
EXPERIMENTS = {
    "demo": "3ee7666bb377b4bff890b89d18b11c51edcf0f6caed7c9ef20db59dc7041f977",
    "small": "e37f7017c9790041e72d9fe343f9bb6f4e09f08b1fa313ca548fe52124913ed0",
    "paper": "cf4e28f78077c0417c1f1a9bc75da15671a1c2489ebea9d899410af97bb7036f",
}
RUNS = {
    ("demo", "original"): "868a292ab0c40b3821a25e6607ef3a26c3092279c6bb855dd5aaa7c37dba5e5e",
    ("demo", "retrained"): "949b9687810a0e494190891ad1e60ab422485c628ea47c21ec3c318ec96d7586",
    ("demo", "muda"): "cb27c95e1b2370eabe8916ac5f5b52dc136cc66dc9428be4bf1a062645be6eaf",
    ("paper", "original"): "eeae358cd4e091f821ae045cac2b94ced6016d48e9242e67f200f2edb48c7775",
    ("paper", "retrained"): "d6f2de018db7337284db5f98c6515ac717318d59f7ab2a941daa5623fc40a0d4",
}
MODELS = {
    ("demo", "original"): "932b558315e167c9ac56c349372f63256e0251564dd0975f4a36fea8d818f002",
    ("demo", "retrained"): "6ff1855b4dbd7b6705bdc566ac4bdad9d563bf33e51178834be452cb20f756d6",
}


# identity


@pytest.mark.parametrize(("profile", "key"), EXPERIMENTS.items())
def test_older_experiments_keep_their_keys(profile: str, key: str) -> None:
    assert select(load(SHIPPED), profile=profile).experiment.key == key


def spec_of(profile: str, name: str) -> RunSpec:
    selection, method = select(load(SHIPPED), profile=profile), methods.get(name)
    options = resolve(selection, Row(method=name))
    return RunSpec(selection.experiment, "1", name, method.revision, options, 0, IMAGES, FORGET)


@pytest.mark.parametrize(("run", "key"), RUNS.items(), ids=str)
def test_older_runs_keep_their_keys(run: tuple[str, str], key: str) -> None:
    assert spec_of(*run).key == key


@pytest.mark.parametrize(("run", "key"), MODELS.items(), ids=str)
def test_older_models_keep_their_keys(run: tuple[str, str], key: str) -> None:
    uses_forget_set = methods.get(run[1]).uses_forget_set
    assert spec_of(*run).model_key(uses_forget_set=uses_forget_set, from_scratch=True) == key


def test_the_demo_still_starts_from_its_pinned_references() -> None:
    selection = select(load(SHIPPED), profile="demo")
    assert selection.pinned is not None
    assert selection.pinned.serves(selection.experiment)


def test_added_options_are_part_of_the_identity_where_they_differ_from_the_default() -> None:
    function = methods.get("original").function
    usual = complete(function, {}, "")
    assert identity(function, usual).keys() == {"epochs", "batch_size", "lr", "decay", "weight_decay"}
    assert identity(function, {**usual, "momentum": 0.9})["momentum"] == 0.9
    assert identity(methods.get("muda").function, {"optimizer": "adam"}) == {"optimizer": "adam"}  # not added


def test_references_have_one_recipe() -> None:
    one, other = (complete(methods.get(name).function, {}, "") for name in ("original", "retrained"))
    assert one == other


def test_an_added_option_on_the_command_line(bench: Bench) -> None:
    same, _ = bench.with_method("original", options={"momentum": "0"})
    assert same.selection.experiment == bench.selection.experiment
    other, _ = bench.with_method("original", options={"momentum": "0.9"})
    assert other.selection.experiment.recipe["momentum"] == 0.9
    back, _ = other.with_method("retrained", options={"momentum": "0"})
    assert back.selection.experiment.key == bench.selection.experiment.key


def test_a_recipe_states_added_options_only_where_they_differ(home: Path) -> None:
    file = home / "benchmarks.yaml"
    file.write_text(SMALL.replace("weight_decay: 0.001}", "weight_decay: 0.001, momentum: 0.0}"))
    with pytest.raises(ConfigError, match=r"tiny\.recipe states the default of momentum\. .*Leave it out"):
        check(select(load()), [])
    file.write_text(SMALL.replace("weight_decay: 0.001}", "weight_decay: 0.001, momentum: 0.9}"))
    check(select(load()), [])


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100", "cifar20", "tiny_imagenet"])
def test_profile_fast_is_complete(dataset: str) -> None:
    setting = "subclass" if dataset == "cifar20" else "class"
    selection = select(load(SHIPPED), profile="fast", dataset=dataset, setting=setting)
    check(selection, [Row(method="original"), Row(method="retrained"), Row(method="ft")])
    assert selection.experiment.train_per_class is None


# learning rate


def test_the_constant_schedule_is_the_chain_of_torch() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    reference = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.998)
    expected = []
    for _ in range(100):
        expected += 3 * [optimizer.param_groups[0]["lr"]]
        optimizer.step()
        reference.step()
    rates = learning_rates(0.1, epochs=100, steps=3, decay=0.998)
    assert rates == [*expected, optimizer.param_groups[0]["lr"]]  # to the bit


@pytest.mark.parametrize("peak", [0.0, 0.2, 0.75])
@pytest.mark.parametrize("decay", [1.0, 0.9])
def test_the_triangular_schedule_equals_an_interpolation(peak: float, decay: float) -> None:
    epochs, steps, lr = 4, 25, 0.5
    n = epochs * steps
    times = (np.arange(n + 1) + 1) / (n + 1)
    shape = np.interp(times, [peak, 1], [1, 0]) if not peak else np.interp(times, [0, peak, 1], [0, 1, 0])
    expected = lr * shape * decay ** (np.arange(n + 1) // steps)
    rates = learning_rates(lr, epochs=epochs, steps=steps, decay=decay, warmup=peak)
    assert np.allclose(rates, expected, rtol=1e-12, atol=1e-15)
    assert rates[-1] == 0
    assert min(rates[:-1]) > 0


def test_every_step_has_its_planned_rate_in_every_group() -> None:
    weights = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    for weight in weights:
        weight.grad = torch.ones(1)
    optimizer = torch.optim.SGD([{"params": weights[:1], "lr": 1.0}, {"params": weights[1:], "lr": 2.0}], lr=3.0)
    with scheduled(optimizer, [[0.5, 0.25, 0.1], [4.0, 2.0, 0.2]]):
        optimizer.step()
        optimizer.step()
    assert [weight.item() for weight in weights] == [-0.75, -6.0]
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]
    optimizer.step()  # the plan is over
    assert [weight.item() for weight in weights] == pytest.approx([-0.85, -6.2])


# crops and flips


def test_reflected_crops_equal_a_loop() -> None:
    pixels = torch.randint(0, 256, (40, 3, 8, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mirrored = torch.arange(40) % 3 == 0
    ours = crop_flip(pixels, torch.Generator().manual_seed(5), CropFlip(2, "reflect", "alternate"), mirrored)
    generator = torch.Generator().manual_seed(5)
    top, left = (torch.randint(0, 5, (40, 1), generator=generator) for _ in range(2))
    for row in range(40):
        padded = np.pad(pixels[row].numpy(), ((0, 0), (2, 2), (2, 2)), mode="reflect")
        crop = padded[:, int(top[row]) : int(top[row]) + 8, int(left[row]) : int(left[row]) + 10]
        assert np.array_equal(ours[row].numpy(), crop[:, :, ::-1] if mirrored[row] else crop)
    assert {0, 4} <= set(top.flatten().tolist())  # both edges are reflected


def test_an_image_is_reflected_over_less_than_its_side() -> None:
    pixels = torch.zeros(1, 1, 8, 9, dtype=torch.uint8)
    crop_flip(pixels, torch.Generator(), CropFlip(7, "reflect"))
    with pytest.raises(OptionError, match="8×9 pixels cannot be reflected over 8"):
        crop_flip(pixels, torch.Generator(), CropFlip(8, "reflect"))


def test_flips_alternate_from_epoch_to_epoch() -> None:
    n = 50
    pixels = torch.zeros(n, 1, 8, 8, dtype=torch.uint8)
    pixels[:, 0, 0, 0] = torch.arange(n) + 1  # in the corner that says which image it is, and whether it is mirrored
    batches = Batches(
        Images(pixels, torch.arange(n)),
        batch_size=8,
        seed=3,
        normalise=Normalise((0.0,), (1 / 255,)),
        augment="crop_flip",
        drawn=lambda _n: None,
        how=CropFlip(0, "reflect", "alternate"),
    )
    first = torch.rand(n, generator=torch.Generator().manual_seed(3)) < 0.5
    assert 10 < int(first.sum()) < 40
    for epoch in range(4):
        seen = 0
        for x, labels in batches:
            for image, label in zip(x, labels.tolist(), strict=True):
                mirrored = bool(first[label]) != (epoch % 2 == 1)
                assert round(float(image[0, 0, 7 if mirrored else 0])) == label + 1
                seen += 1
        assert seen == n


class Spy(Normalise):
    """Keeps the pixels that it is given."""

    def __init__(self, normalise: Normalise) -> None:
        self.mean, self.std, self.seen = normalise.mean, normalise.std, []

    def __call__(self, pixels: Tensor) -> Tensor:
        self.seen.append(pixels.clone())
        return super().__call__(pixels)


def pixels_seen(problem: UnlearningProblem, method: str, **options: Any) -> Tensor:
    spy = Spy(problem.normalise)
    methods.get(method).unlearn(replace(problem, normalise=spy), {"epochs": 1, "batch_size": 24, **options})
    return spy.seen[-1]


def test_a_recipe_augments_references_where_the_data_set_does(digits: Dataset, split: ForgetSplit) -> None:
    problem = make_problem(digits, split)
    how = {"crop_padding": 2, "crop_fill": "reflect", "flip": "alternate"}
    assert torch.equal(pixels_seen(problem, "original", **how), pixels_seen(problem, "original"))
    augmented = replace(problem, augment="crop_flip")
    assert torch.equal(pixels_seen(augmented, "original"), pixels_seen(augmented, "ft"))
    assert not torch.equal(pixels_seen(augmented, "original", **how), pixels_seen(augmented, "ft"))


# loss and optimizer


def test_label_smoothing_equals_a_loop() -> None:
    generator = torch.Generator().manual_seed(1)
    logits, y = torch.randn(7, 5, generator=generator), torch.randint(0, 5, (7,), generator=generator)
    total = 0.0
    for row, label in zip(logits.double().numpy(), y.tolist(), strict=True):
        log_p = row - np.log(np.exp(row).sum())
        for k in range(5):
            total -= ((0.9 if k == label else 0.0) + 0.1 / 5) * log_p[k]
    ours = cross_entropy(torch.nn.Identity(), logits, y, label_smoothing=0.1)
    assert float(ours) == pytest.approx(total / 7, rel=1e-6)


def test_one_step_of_nesterov_with_decay_of_matrices_alone() -> None:
    matrix, vector = torch.tensor([[2.0, -1.0]], requires_grad=True), torch.tensor([4.0], requires_grad=True)
    optimizer = make_optimizer(
        "sgd", [vector, matrix], lr=0.1, weight_decay=0.5, momentum=0.9, nesterov=True, decay_matrices_only=True
    )
    matrix.grad, vector.grad = torch.tensor([[1.0, 3.0]]), torch.tensor([2.0])
    optimizer.step()
    # g = gradient + decay · weight; the first velocity is g; the step is lr · (g + 0.9 · g)
    assert torch.allclose(matrix, torch.tensor([[2.0 - 0.19 * (1 + 1.0), -1.0 - 0.19 * (3 - 0.5)]]))
    assert torch.allclose(vector, torch.tensor([4.0 - 0.19 * 2]))


def test_nesterov_without_momentum_is_refused(problem: UnlearningProblem) -> None:
    with pytest.raises(OptionError, match="nesterov needs SGD with momentum"):
        methods.get("original").unlearn(problem, {"nesterov": True})


# all of it


def of_airbench(problem: UnlearningProblem, **changes: Any) -> UnlearningProblem:
    description = {"name": "airbench", "width": 32, "deep_width": 64, "group_size": 16}
    network = build(description, channels=1, classes=10, seed=1).eval().requires_grad_(False)
    return replace(problem, original=network, **changes)


@pytest.mark.parametrize("method", ["original", "retrained"])
def test_the_whitening_comes_from_the_images_that_the_method_is_given(
    method: str, digits: Dataset, split: ForgetSplit
) -> None:
    problem = of_airbench(make_problem(digits, split, methods.get(method)))
    network = methods.get(method).unlearn(problem, FAST)
    assert torch.equal(network.whitening.weight, whitening_filters(problem.normalise(problem.retain.pixels)))
    assert not torch.equal(network.whitening.weight, problem.original.whitening.weight)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_the_fast_recipe_learns(precision: torch.dtype, digits: Dataset, split: ForgetSplit) -> None:
    problem = of_airbench(make_problem(digits, split), retain=digits.train, precision=precision)
    network = methods.get("original").unlearn(problem, {**FAST, "epochs": 12, "batch_size": 16, "lr": 0.1})
    losses = [value for _, name, value in problem.journal.curves if name == "loss"]
    assert losses[-1] < 0.6 * losses[0]
    with torch.no_grad():
        logits = network.eval()(problem.normalise(digits.test.pixels))
    assert float((logits.argmax(1) == digits.test.labels).double().mean()) > 0.6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_no_step_waits_for_the_gpu(digits: Dataset, split: ForgetSplit) -> None:
    problem = of_airbench(make_problem(digits, split), augment="crop_flip")
    network = problem.copy_of_original().cuda()
    images = digits.train.to("cuda")
    batches = Batches(
        images,
        batch_size=32,
        seed=0,
        normalise=problem.normalise,
        augment="crop_flip",
        drawn=lambda _n: None,
        how=CropFlip(2, "reflect", "alternate"),
    )
    optimizer = make_optimizer("sgd", network.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    rates = learning_rates(0.1, epochs=2, steps=len(batches), warmup=0.2)

    def epoch() -> None:
        for x, y in batches:
            with torch.autocast("cuda", dtype=torch.bfloat16):
                loss = cross_entropy(network, x, y, label_smoothing=0.1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    with scheduled(optimizer, [rates]):
        epoch()  # memory and kernels are set up
        torch.cuda.set_sync_debug_mode("error")
        try:
            epoch()
        finally:
            torch.cuda.set_sync_debug_mode("default")
