"""Architectures of libraries, of one's own code and built in: built, refused, and their features read."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.images import write_digits
from torch import Tensor, nn
from torchvision import transforms

from unlearn_bench.auditing.architectures import Network, make_network, network_of
from unlearn_bench.core.errors import OptionError, UserError
from unlearn_bench.data import Dataset
from unlearn_bench.data.loading import load

CLASSES = 4


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    write_digits(root, ["cat", "dog", "emu", "fox"], each=8)
    return root


@pytest.mark.parametrize(
    ("name", "more", "says"),
    [
        ("torchvision:resnet81", {}, "Did you mean 'resnet18'"),
        ("torchvision:fasterrcnn_resnet50_fpn", {}, "no classifier 'fasterrcnn_resnet50_fpn'"),  # it would download
        ("torchvision:resnet18", {"options": {"num_classes": 10**11}}, "cannot be built"),
        ("torchvision:resnet18", {"options": {"depth": 3}}, "cannot be built"),
        ("torchvision:resnet18", {"options": {"weights": "DEFAULT"}}, "weights come from the files that you give"),
        ("timm:resnet18", {"options": {"pretrained": "true"}}, "pretrained=True asks for the weights of the library"),
        ("nowhere.py:make", {}, r"cannot be found: there is no file nowhere\.py\. Expected"),
        ("timm:vit", {}, "timm has no model 'vit'"),
        ("nowhere:make", {}, "cannot be found: No module named 'nowhere'"),
        ("json:loads", {}, "cannot be built"),
        ("resnet81", {}, "No model named 'resnet81'"),
        ("torchvision:alexnet", {}, "does not accept images of 3×16×16"),
        ("torchvision:squeezenet1_0", {"size": 64}, "Give --features .* the last modules that ran: "),
        ("torchvision:resnet18", {"features": "layer9"}, "No module named 'layer9' runs"),
        ("torchvision:resnet18", {"normalise": "cifar"}, "No normalisation named 'cifar'"),
        ("torchvision:resnet18", {"size": 0}, "expected 1 to 4096"),
        ("torchvision:resnet18", {"options": {"num_classes": 2}}, r"expected logits \(N, 4\)"),
    ],
)
def test_architectures_that_do_not_work_are_refused(name: str, more: dict[str, Any], says: str, images: Path) -> None:
    data = load(f"folder:{images}", folder=Path())
    given = {"options": {}, "features": None, "size": None, "normalise": "auto", **more}
    with pytest.raises(UserError, match=says):
        make_network(name, given["options"], data, given["features"], given["size"], given["normalise"])


def test_features_that_are_named_and_sizes_that_are_changed(images: Path) -> None:
    data = load(f"folder:{images}", folder=Path())
    network = make_network("torchvision:squeezenet1_0", {}, data, "features", 64, "none")
    with torch.no_grad():
        features, logits = network(data.test.pixels[:3])
    assert (features.shape, logits.shape) == ((3, 512), (3, CLASSES))
    assert network.preprocessing.startswith("resized to 64×64 pixels, normalised by nothing")
    ours = make_network("resnet18", {"width": "8", "groups": "2"}, data, None, None, "auto")
    assert "the training images' numbers" in ours.preprocessing
    grey = load("digits", folder=Path(), train_per_class=3, test_per_class=1)
    with torch.no_grad():
        features, _ = make_network("torchvision:resnet18", {}, grey, None, None, "auto")(grey.train.pixels)
    assert features.shape == (30, 512)


def test_a_factory_of_the_users_own(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_nets.py").write_text(
        "from torch import nn\n"
        "def make(width=4):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(768, width), nn.ReLU(), nn.Linear(width, 4))\n"
        "def wrong():\n    return 3\n"
        "def leave():\n    raise SystemExit(0)\n"
        "def load():\n    raise ValueError('Weights only load failed: set weights_only=False')\n"
    )
    data = load(f"folder:{images}", folder=Path())
    network = make_network("own_nets:make", {"width": "6"}, data, None, None, "auto")
    assert network.features.startswith("input of 3 (6 numbers)")
    folder = tmp_path / "of: mine"
    folder.mkdir()
    (folder / "parts.py").write_text("SIDE = 768\n")
    (folder / "make_net.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from parts import SIDE\n"
        "from torch import Tensor, nn\n"
        "@dataclass\nclass Output:\n    loss: Tensor | None\n    logits: Tensor\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, form):\n        super().__init__()\n"
        "        self.form, self.fc = form, nn.Linear(SIDE, 4)\n"
        "    def forward(self, x):\n"
        "        logits = self.fc(x.flatten(1))\n"
        "        return {'logits': logits} if self.form == 'dict' else Output(None, logits)\n"
        "def make(form='dict'):\n    return Net(form)\n"
    )
    for form in ("dict", "object"):
        network = make_network(f"{folder / 'make_net.py'}:make", {"form": form}, data, None, None, "auto")
        features, logits = network(data.test.pixels[:3])
        assert (features.shape, logits.shape) == ((3, 768), (3, 4))
    assert make_network("of: mine/make_net.py:make", {}, data, None, None, "auto").head == "fc"
    with pytest.raises(OptionError, match=r"returned int, expected a torch\.nn\.Module"):
        make_network("own_nets:wrong", {}, data, None, None, "auto")
    with pytest.raises(OptionError, match=r"cannot be built: ValueError\. Change"):
        make_network("own_nets:load", {}, data, None, None, "auto")
    with pytest.raises(OptionError, match="cannot be built: 0"):
        make_network("own_nets:leave", {}, data, None, None, "auto")


class Small(nn.Module):
    """A network of some channels, which may normalise its inputs itself."""

    def __init__(self, channels: int, mean: float | None = None) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(channels, 4, 3), nn.Linear(4, 10)
        if mean is not None:
            self.register_buffer("mean", torch.full((channels, 1, 1), mean))
            self.register_buffer("std", torch.full((channels, 1, 1), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.conv(x).mean(dim=(2, 3)))
        return out


def seen(network: Network, data: Dataset) -> Tensor:
    """Returns the inputs that the convolution of a network gets for two training images."""
    inputs: list[Tensor] = []
    with network.classifier.whole() as module:
        module.get_submodule("conv").register_forward_pre_hook(lambda _part, args: inputs.append(args[0]))
    with torch.no_grad():
        network(data.train.pixels[:2])
    return inputs[-1]


def test_the_channels_of_the_network_decide(images: Path) -> None:
    grey = load("digits", folder=Path(), train_per_class=3, test_per_class=1)
    colour = load(f"folder:{images}", folder=Path())
    one, three = (network_of(Small(channels), grey, None, None, "auto") for channels in (1, 3))
    assert seen(one, grey).shape[1:] == (1, 8, 8)
    assert seen(three, grey).shape[1:] == (3, 8, 8)
    assert three.preprocessing.startswith("grey repeated to 3 channels")
    assert seen(network_of(Small(1), grey, None, None, "imagenet"), grey).shape[1] == 1
    with pytest.raises(
        OptionError, match=r"takes images of 1 channel, and these have 3 channels\. Give a network that"
    ):
        network_of(Small(1), colour, None, None, "auto")
    converted = colour.grey()
    assert converted.train.pixels.shape[1] == 1
    assert torch.equal(converted.train.pixels, colour.train.pixels[:, :1])  # these pictures are grey
    assert converted.mean == pytest.approx(colour.mean[:1])
    assert converted.std == pytest.approx(colour.std[:1])
    assert converted.grey() is converted
    network_of(Small(1), converted, None, None, "auto")


def test_a_network_that_normalises_its_inputs_gets_pixels(images: Path) -> None:
    colour = load(f"folder:{images}", folder=Path())
    inside = network_of(Small(3, 0.5), colour, None, None, "auto")
    assert inside.preprocessing.startswith("normalised by nothing outside")
    assert torch.equal(seen(inside, colour), colour.train.pixels[:2] / 255)
    chosen = network_of(Small(3, 0.5), colour, None, None, "dataset")
    assert not torch.equal(seen(chosen, colour), seen(inside, colour))
    layer = nn.Sequential(transforms.Normalize((0.5,), (0.5,)), Small(3))
    assert "nothing outside" in network_of(layer, colour, None, None, "auto").preprocessing
