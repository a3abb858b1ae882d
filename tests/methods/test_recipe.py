"""Recipes of training as data: each part against an independent reference, and old experiments keep their identity."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.benchmark import SMALL, make_problem
from torch import Tensor

from unlearn_bench.config.benchmarks import Row, load
from unlearn_bench.config.selection import Choice, select
from unlearn_bench.core.errors import ConfigError, OptionError
from unlearn_bench.core.options import complete, describe, identity
from unlearn_bench.core.spec import RunSpec
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.batches import Batches, CropFlip, Normalise
from unlearn_bench.methods import UnlearningProblem, methods
from unlearn_bench.methods.recipe import Recipe
from unlearn_bench.models import build
from unlearn_bench.models.airbench import whitening_filters
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.making import with_method
from unlearn_bench.running.plan import check, resolve
from unlearn_bench.training.loop import cross_entropy, learning_rates, make_optimizer, scheduled

SHIPPED = Path(__file__).parents[2] / "benchmarks.yaml"


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


@pytest.mark.parametrize(("profile", "key"), EXPERIMENTS.items())
def test_older_experiments_keep_their_keys(profile: str, key: str) -> None:
    assert select(load(SHIPPED), Choice(profile=profile)).experiment.key == key


def test_the_reference_methods_have_the_fields_of_a_recipe_as_options() -> None:
    written = {field.name: field.default for field in fields(Recipe)}
    for name in ("original", "retrained"):
        assert {option.name: option.default for option in describe(methods.get(name).function)} == written
        with pytest.raises(OptionError, match=f"The method '{name}' has no option 'epoch'. Did you mean 'epochs'?"):
            complete(methods.get(name).function, {"epoch": 1}, f"method '{name}'")


def spec_of(profile: str, name: str) -> RunSpec:
    selection, method = select(load(SHIPPED), Choice(profile=profile)), methods.get(name)
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
    selection = select(load(SHIPPED), Choice(profile="demo"))
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
    same, _ = with_method(bench, "original", options={"momentum": "0"})
    assert same.selection.experiment == bench.selection.experiment
    other, _ = with_method(bench, "original", options={"momentum": "0.9"})
    assert other.selection.experiment.recipe["momentum"] == 0.9
    back, _ = with_method(other, "retrained", options={"momentum": "0"})
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
    scenario = "subclass" if dataset == "cifar20" else "class"
    selection = select(load(SHIPPED), Choice(profile="fast", dataset=dataset, scenario=scenario))
    check(selection, [Row(method="original"), Row(method="retrained"), Row(method="ft")])
    assert selection.experiment.train_per_class is None


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


def test_nesterov_without_momentum_is_refused(problem: UnlearningProblem) -> None:
    with pytest.raises(OptionError, match="nesterov needs SGD with momentum"):
        methods.get("original").unlearn(problem, {"nesterov": True})


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
    losses = [value for _, name, value in problem.monitor.curves if name == "loss"]
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
        crop_flip=CropFlip(2, "reflect", "alternate"),
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
