"""A file of weights starts a network: everything is the file's, except a head of another shape."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from unlearn_bench.core.errors import CheckpointError
from unlearn_bench.models import Classifier, build
from unlearn_bench.models.external import External
from unlearn_bench.models.user_weights import load_weights

VIT = {"img_size": 8, "patch_size": 4, "depth": 1, "embed_dim": 24, "num_heads": 3}
DESCRIPTIONS: dict[str, dict[str, Any]] = {
    "torchvision": {"name": "torchvision:shufflenet_v2_x0_5"},
    "convnext": {"name": "timm:test_convnext", "input_size": 32},  # its head is within a module with other layers
    "vit": {"name": "timm:vit_tiny_patch16_224", **VIT},
    "registered": {"name": "resnet18", "width": 4, "groups": 2},
    "prepared": {"name": "airbench", "width": 8, "deep_width": 8, "norm": "group", "group_size": 4},
}


def network_of(kind: str, classes: int, seed: int) -> Classifier:
    return build(DESCRIPTIONS[kind], channels=3, classes=classes, seed=seed, side=(8, 8))


def parts(network: Classifier) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Returns copies of the weights of the rest and of the head."""
    state = {name: value.clone() for name, value in network.state_dict().items()}
    head = {name: value for name, value in state.items() if name.startswith("head.")}
    return {name: value for name, value in state.items() if name not in head}, head


def equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("kind", DESCRIPTIONS)
def test_a_head_of_another_shape_is_drawn_anew_and_all_else_is_the_file_s(kind: str, tmp_path: Path) -> None:
    public, network = network_of(kind, 20, seed=7), network_of(kind, 10, seed=1)
    rest, head = parts(network)
    torch.save({"state_dict": public.own_state()}, tmp_path / "public.pt")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    _, sentence = load_weights(network, tmp_path / "public.pt", DESCRIPTIONS[kind], classes=10, keeps_head=True)
    assert torch.equal(torch.rand(1), expected), "the global generator is not used"
    assert sentence == (
        f"public.pt has a head of 20 outputs, and the images have 10 classes: the head of {DESCRIPTIONS[kind]['name']} "
        "is drawn anew."
    )
    assert equal(parts(network)[0], parts(public)[0]) and not equal(parts(network)[0], rest)
    assert equal(parts(network)[1], head)
    assert network.is_pretrained and not public.is_pretrained


@pytest.mark.parametrize("kind", DESCRIPTIONS)
def test_a_head_of_the_same_shape_is_the_file_s(kind: str, tmp_path: Path) -> None:
    public, network = network_of(kind, 10, seed=7), network_of(kind, 10, seed=1)
    save_file({name: value.contiguous() for name, value in public.own_state().items()}, tmp_path / "public.safetensors")
    for keeps_head in (True, False):
        network = network_of(kind, 10, seed=1)
        _, sentence = load_weights(
            network, tmp_path / "public.safetensors", DESCRIPTIONS[kind], classes=10, keeps_head=keeps_head
        )
        assert sentence == "" and equal(dict(network.state_dict()), dict(public.state_dict()))


@pytest.mark.parametrize("kind", ["torchvision", "vit", "registered"])
def test_a_file_without_a_head_fits_too(kind: str, tmp_path: Path) -> None:
    public, network = network_of(kind, 10, seed=7), network_of(kind, 10, seed=1)
    name = public.head_name if isinstance(public, External) else "head"
    torch.save({k: v for k, v in public.own_state().items() if not k.startswith(f"{name}.")}, tmp_path / "public.pt")
    _, sentence = load_weights(network, tmp_path / "public.pt", DESCRIPTIONS[kind], classes=10, keeps_head=True)
    assert sentence.startswith("public.pt has no head, and the images have 10 classes")
    assert equal(parts(network)[0], parts(public)[0]) and not equal(parts(network)[1], parts(public)[1])


def test_a_file_that_differs_elsewhere_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    network = network_of("registered", 10, seed=1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    wider = build({"name": "resnet18", "width": 8, "groups": 2}, channels=3, classes=20, seed=0)
    torch.save(wider.state_dict(), tmp_path / "wide.pt")
    with pytest.raises(
        CheckpointError, match=r"^wide\.pt does not fit resnet18: it has another shape for conv1\.weight"
    ):
        load_weights(network, tmp_path / "wide.pt", DESCRIPTIONS["registered"], classes=10, keeps_head=True)
    torch.save(network_of("registered", 20, seed=7).state_dict(), tmp_path / "more.pt")
    with pytest.raises(CheckpointError, match=r"^more\.pt does not fit .* another shape for head\.weight"):
        load_weights(network, tmp_path / "more.pt", DESCRIPTIONS["registered"], classes=10)
    broken = network_of("registered", 20, seed=7).state_dict()
    broken["conv1.weight"][0, 0, 0, 0] = float("nan")
    torch.save(broken, tmp_path / "nan.pt")
    with pytest.raises(CheckpointError, match=r"values that are not finite, in conv1\.weight"):
        load_weights(network, tmp_path / "nan.pt", DESCRIPTIONS["registered"], classes=10, keeps_head=True)
    assert equal(before, dict(network.state_dict())) and not network.is_pretrained


def test_a_normalisation_in_the_file_that_the_network_lacks_is_refused(tmp_path: Path) -> None:
    public = network_of("vit", 20, seed=7)
    state: dict[str, Any] = {f"1.{name}": value for name, value in public.own_state().items()}
    layer = nn.Module()
    layer.register_buffer("mean", torch.full((1, 3, 1, 1), 0.5))
    layer.register_buffer("std", torch.full((1, 3, 1, 1), 0.2))
    torch.save({**state, **{f"0.{name}": value for name, value in layer.state_dict().items()}}, tmp_path / "whole.pt")
    with pytest.raises(CheckpointError, match=r"whole\.pt has buffers of a normalisation"):
        load_weights(
            network_of("vit", 10, seed=1), tmp_path / "whole.pt", DESCRIPTIONS["vit"], classes=10, keeps_head=True
        )
