"""Networks of other libraries and of users: head and last stage are found, and every method runs on every family."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.benchmark import make_problem
from torch import Tensor, nn
from torch.nn.functional import interpolate

from unlearn_bench.checks.conformance.observation import short_options
from unlearn_bench.core.errors import OptionError, UserError
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.batches import Normalise
from unlearn_bench.methods import methods
from unlearn_bench.models import build, complete_model, describe, weights_digest
from unlearn_bench.models.external import External
from unlearn_bench.running.guards.weights import kept_of_redrawn, moved_outside
from unlearn_bench.training.curvature import squared_gradients

VIT = {"img_size": 8, "patch_size": 4, "depth": 3, "embed_dim": 24, "num_heads": 3}
FAMILIES = {  # a description, its head, and the modules of its last stage
    "resnet of torchvision": ({"name": "torchvision:resnet18"}, "fc", ["layer4"]),
    "mobilenet of torchvision": ({"name": "torchvision:mobilenet_v3_small"}, "classifier.3", ["classifier"]),
    "resnet": ({"name": "timm:test_resnet"}, "fc", ["layer4"]),
    "efficientnet": ({"name": "timm:test_efficientnet"}, "classifier", ["conv_head", "bn2"]),
    "convnext": ({"name": "timm:test_convnext", "input_size": 32}, "head.fc", ["stages.3", "head"]),
    "vit": ({"name": "timm:vit_tiny_patch16_224", **VIT}, "head", ["blocks.2", "norm"]),
}


def network_of(family: str, seed: int = 0) -> External:
    network = build(FAMILIES[family][0], channels=1, classes=10, seed=seed, side=(8, 8))
    assert isinstance(network, External)
    return network.eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_head_and_last_stage_are_found_and_the_function_is_the_library_s(family: str) -> None:
    description, head, stage = FAMILIES[family]
    network, again, other = network_of(family), network_of(family), network_of(family, seed=1)
    assert network.head_name == head
    names = {id(part): name for name, part in network.backbone.named_modules()}
    assert isinstance(network.last_stage, nn.ModuleList)
    assert [names[id(part)] for part in network.last_stage] == stage
    assert weights_digest(network) == weights_digest(again) != weights_digest(other)
    arguments = {key: value for key, value in description.items() if key not in ("name", "input_size")}
    plain = plain_network(str(description["name"]), arguments)
    plain.load_state_dict(network.own_state(), strict=True)  # the names of the library
    x = torch.randn(3, 3, 32, 32) if "input_size" in description else torch.randn(3, 3, 8, 8)
    with torch.no_grad():
        assert torch.allclose(network(x), plain(x), atol=1e-5)
        assert torch.equal(network.head(network.features(x)), network(x))


def plain_network(name: str, arguments: dict[str, Any]) -> nn.Module:
    library, _, function = name.partition(":")
    if library == "timm":
        import timm

        made: nn.Module = timm.create_model(function, num_classes=10, **arguments)
        return made.eval()
    from torchvision.models import get_model

    made = get_model(function, num_classes=10, weights=None, **arguments)
    return made.eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_part_drawn_anew_is_what_the_library_draws(family: str) -> None:
    network, start = network_of(family), network_of(family).state_dict()
    network.reinitialise(network.last_stage, seed=5)
    fresh = network_of(family, seed=5).state_dict()
    own = {id(value) for value in network.last_stage.state_dict(keep_vars=True).values()}
    inside = {name for name, value in network.state_dict(keep_vars=True).items() if id(value) in own}
    assert inside and inside < set(start)
    for name, value in network.state_dict().items():
        assert torch.equal(value, (fresh if name in inside else start)[name]), name


@pytest.mark.parametrize("name", methods.names())
@pytest.mark.parametrize("family", FAMILIES)
def test_every_method_runs_on_every_family(family: str, name: str, digits: Dataset, split: ForgetSplit) -> None:
    """It changes what it declares and nothing else; with weights that are finite and under the same names."""
    method = methods.get(name)
    start = network_of(family)
    images = 1 if name == "ntk" else 8  # it keeps a derivative of each logit to each of 11 million weights
    problem = replace(
        make_problem(digits, split, method, images=images),
        original=start.requires_grad_(False),
        normalise=Normalise(*start.statistics(digits.mean, digits.std)),
    )
    before = {key: value.clone() for key, value in start.state_dict().items()}
    after = method.unlearn(problem, short_options(method)).state_dict()
    assert after.keys() == before.keys()
    assert all(bool(value.isfinite().all()) for value in after.values())
    assert moved_outside(method.trains, start, before, after) == ""
    assert kept_of_redrawn(method.redraws, start, before, after) == ""
    assert any(not torch.equal(after[key], before[key]) for key in before) or name in ("fisher",)
    assert all(torch.equal(value, before[key]) for key, value in start.state_dict().items()), "the original is kept"
    assert problem.monitor.forward_images >= len(problem.forget) or method.train_set == "none"


@pytest.mark.parametrize("family", ["resnet", "convnext", "vit"])
def test_squared_gradients_are_those_of_single_samples(family: str) -> None:
    network = network_of(family)
    x = torch.randn(3, 3, *((32, 32) if family == "convnext" else (8, 8)), generator=torch.Generator().manual_seed(0))
    found = squared_gradients(network, x, torch.ones_like)
    expected = {key: torch.zeros_like(value) for key, value in network.named_parameters()}
    for sample in x.split(1):
        for y in range(10):
            network.zero_grad()
            network(sample).log_softmax(dim=1)[0, y].backward()
            for key, value in network.named_parameters():
                expected[key] += value.grad.square() if value.grad is not None else 0
    for key, value in found.items():
        assert torch.allclose(value, expected[key], rtol=1e-3, atol=1e-6), key


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.one, self.two = nn.Flatten(), nn.Linear(64, 10), nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        out: Tensor = (self.one(x) + self.two(x)) / 2
        return out


class InADictionary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(64, 12), nn.Linear(12, 10)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.head(self.stem(x.flatten(1)).relu())}


OWN = """
from torch import nn

def make(width=8):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, int(width)), nn.ReLU(), nn.Linear(int(width), 10))
"""


def wrap(module: nn.Module, **more: Any) -> External:
    return External(module, lambda: module, example=torch.zeros(2, 1, 8, 8), classes=10, **more)


def test_a_dictionary_of_logits_is_taken() -> None:
    network = wrap(InADictionary())
    assert network.head_name == "head"
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert network.features(torch.zeros(2, 1, 8, 8)).shape == (2, 12)


@pytest.mark.parametrize(
    ("module", "more", "says"),
    [
        (TwoHeads(), {}, "No linear layer within this network returns the logits"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.LogSoftmax(dim=1)), {}, "No linear layer within"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), {}, "expected logits (N, 10)"),
        (nn.Sequential(nn.Flatten(), nn.Linear(65, 10)), {}, "does not accept images of 1×8×8"),
        (InADictionary(), {"last_stage": "steem"}, "has no module 'steem'"),
    ],
)
def test_networks_that_cannot_be_used_are_named(module: nn.Module, more: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=re.escape(says)):
        wrap(module, **more)


def test_a_file_of_the_users_own_counts_in_the_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(OWN)
    description = {"name": "net.py:make", "width": "16"}
    complete = complete_model(description)
    assert complete["source_digest"] == hashlib.sha256(OWN.encode()).hexdigest()[:12]
    network = build(complete, channels=1, classes=10, seed=0, side=(8, 8))
    assert network.head.in_features == 16
    with pytest.raises(OptionError, match="expected 0123"):
        complete_model({**description, "source_digest": "0123"})
    with pytest.raises(OptionError, match="cannot be found"):
        complete_model({"name": "net.py:makes"})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "torchvision:resnet19"}, "torchvision has no classifier 'resnet19'"),
        ({"name": "torchvision:resnet18", "normalise": "imagnet"}, "No normalisation named 'imagnet'"),
        ({"name": "torchvision:resnet18", "input_size": 0}, "expected 1 to 4096"),
    ],
)
def test_descriptions_that_cannot_be_used_are_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        build(changes, channels=3, classes=10, seed=0)


def test_arguments_that_load_weights_are_refused() -> None:
    with pytest.raises(OptionError, match="weights=DEFAULT asks for trained weights"):
        describe("torchvision:resnet18", {"weights": "DEFAULT"})
    with pytest.raises(OptionError, match="pretrained=True asks for the weights of the library"):
        build({"name": "torchvision:resnet18", "pretrained": "true"}, channels=3, classes=10, seed=0)
    assert describe("airbench", {"width": "32"})["width"] == 32


def test_grey_images_become_three_channels_and_sizes_are_changed() -> None:
    network = network_of("convnext")
    pixels = torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8)
    normalised = Normalise(*network.statistics((0.5,), (0.25,)))(pixels)
    assert normalised.shape == (2, 3, 8, 8)
    scaled = interpolate(normalised, size=(32, 32), mode="bilinear", antialias=True)
    assert torch.allclose(network(normalised), network(scaled))
    assert network.preparation["input_size"] == 32
    plain = build({"name": "torchvision:resnet18", "normalise": "dataset"}, channels=1, classes=10, seed=0)
    assert plain.statistics((0.5,), (0.25,)) == ((0.5,) * 3, (0.25,) * 3)
