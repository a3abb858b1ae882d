"""One network, two readers: the audit and the benchmark read the same features and logits from the same file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.images import write_digits
from torch import Tensor, nn

from unlearn_bench.auditing.architectures import make_network, network_of
from unlearn_bench.core.errors import OptionError
from unlearn_bench.data import Dataset
from unlearn_bench.data.batches import Normalise
from unlearn_bench.data.loading import load
from unlearn_bench.models import build, describe
from unlearn_bench.models.external import External, Observed, read_own
from unlearn_bench.models.outputs import predict
from unlearn_bench.models.parts import AUDIT, BENCHMARK, IN_MEMORY, Advice
from unlearn_bench.models.preparation import Choices
from unlearn_bench.models.sources import make_module, wrap

VIT = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 24, "num_heads": 3}
NETWORKS = {
    "resnet of torchvision": ("torchvision:resnet18", {}, None),
    "vit of timm, resized": ("timm:vit_tiny_patch16_224", VIT, 32),
    "resnet of timm, one channel": ("timm:test_resnet", {"in_chans": 1}, None),
    "resnet of torchvision, grey images repeated": ("torchvision:resnet18", {}, None),
}


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("images")
    write_digits(root, ["cat", "dog", "emu", "fox"], each=8)
    # these pictures are grey, but their files have three channels
    return load(f"folder:{root}", folder=Path())


@pytest.fixture(scope="module")
def grey() -> Dataset:
    return load("digits", folder=Path(), train_per_class=2, test_per_class=1)


@pytest.mark.parametrize("family", NETWORKS)
def test_audit_and_benchmark_read_the_same_outputs_from_a_file(
    family: str, colour: Dataset, grey: Dataset, tmp_path: Path
) -> None:
    name, options, size = NETWORKS[family]
    data = grey if "one channel" in family or "grey" in family else colour
    classes, file = len(data.classes), tmp_path / "weights.safetensors"
    torch.manual_seed(3)
    saved = make_module(describe(name, options), classes)
    for value in saved.state_dict().values():
        if value.is_floating_point():
            value.add_(0.01)  # statistics of BatchNorm that are not those of a new network
    save_file(saved.state_dict(), file)
    description = describe(name, {**options, "input_size": size} if size else options)
    ours = build(description, channels=data.channels, classes=classes, seed=0, side=data.side)
    read_own(ours, file, name)
    seen = predict(ours, data.test, Normalise(*ours.statistics(data.mean, data.std)), batch=4)
    audited = make_network(name, options, data, None, size, "auto")
    read_own(audited.classifier, file, name)
    with torch.no_grad():
        features, logits = audited(data.test.pixels[:4])
        # as the audit computes, in a layout for speed: the same up to rounding
        torch.testing.assert_close(features, seen.features[:4], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(logits, seen.logits[:4], rtol=1e-3, atol=1e-4)
        audited.classifier.to(memory_format=torch.contiguous_format)
        features, logits = audited(data.test.pixels[:4])
    assert torch.equal(features, seen.features[:4])
    assert torch.equal(logits, seen.logits[:4])


def test_the_input_of_the_head_is_what_a_named_module_before_it_returns(colour: Dataset) -> None:
    torch.manual_seed(0)
    module = make_module(describe("torchvision:resnet18", {}), 4)
    found = network_of(module, colour, None, None, "imagenet")
    named = network_of(module, colour, "avgpool", None, "imagenet")
    assert isinstance(found.classifier, External)
    assert isinstance(named.classifier, Observed)
    assert (found.head, named.head) == ("fc", "")
    assert named.features == "outputs of avgpool (512 numbers, the mean over positions); named by you"
    with torch.no_grad():
        for one, other in zip(found(colour.test.pixels), named(colour.test.pixels), strict=True):
            torch.testing.assert_close(one, other)
    state = named.classifier.own_state()
    assert list(state) == list(module.state_dict())
    assert state.keys() == found.classifier.own_state().keys()


class Body(nn.Module):
    """A network for 16×16 pixels of three channels whose last step is given."""

    def __init__(self, last: Callable[[Body, Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.act, self.fc = nn.Linear(768, 8), nn.ReLU(inplace=True), nn.Linear(8, 4)
        self.temperature = nn.Parameter(torch.ones(1))
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self, self.act(self.stem(x.flatten(1))))


def test_outputs_that_a_later_module_changes_in_place_are_read_as_they_were(colour: Dataset) -> None:
    network = network_of(Body(lambda body, x: body.fc(x)), colour, "stem", None, "none")
    with torch.no_grad():
        features, _ = network(colour.test.pixels)
    assert float(features.min()) < 0  # the next module is a rectifier


@pytest.mark.parametrize(
    ("last", "says"),
    [
        (lambda body, x: body.fc(x) if body.fc.weight is not None else x, "the network fails: .*has no attribute"),
        (lambda body, x: body.fc(x).reshape(-1, 4), r"returns \(4, 4\), expected \(N, 8\) features"),
    ],
)
@pytest.mark.parametrize(("advice", "remedy"), [(AUDIT, "Give --features"), (BENCHMARK, "Change the network so")])
def test_a_head_that_does_not_come_last_is_named_with_the_remedy_of_the_command(
    last: Any, says: str, advice: Advice, remedy: str
) -> None:
    module = Body(last)
    common: dict[str, Any] = {"name": "", "channels": 3, "side": (16, 16), "classes": 4, "advice": advice}
    with pytest.raises(OptionError, match=f"The layer fc does not come last in this network: .*{says}.* {remedy}"):
        wrap(module, lambda: module, choices=Choices(), **common)
    named = wrap(Body(last), lambda: module, choices=Choices(features="act"), **common)
    assert named(torch.zeros(3, 3, 16, 16)).shape == (3, 4)


def test_weights_with_which_the_head_does_not_return_the_logits_are_refused(tmp_path: Path) -> None:
    def last(body: Body, x: Tensor) -> Tensor:
        logits: Tensor = body.fc(x) * body.temperature
        return logits

    module = Body(last)
    save_file({**module.state_dict(), "temperature": torch.full((1,), 2.0)}, tmp_path / "calibrated.safetensors")
    network = External(module, lambda: module, example=torch.zeros(2, 3, 16, 16), classes=4, advice=IN_MEMORY)
    with pytest.raises(OptionError, match="With these weights, the layer fc does not return the network's logits"):
        read_own(network, tmp_path / "calibrated.safetensors", "own")


def test_a_network_that_needs_the_usual_layout_is_audited_in_it(colour: Dataset) -> None:
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3)), nn.Linear(4 * 14 * 14, 4)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.fc(self.conv(x).view(len(x), -1))  # fails if the channels are stored last
            return out

    module = Views()
    network = network_of(module, colour, None, None, "none")
    with torch.no_grad():
        _, logits = network(colour.test.pixels)
        torch.testing.assert_close(logits, module(colour.test.pixels / 255))


def test_refusals_name_the_options_of_the_command() -> None:
    def make(advice: Advice) -> External | Observed:
        module = make_module(describe("torchvision:alexnet", {}), 4)
        common: dict[str, Any] = {"channels": 3, "side": (16, 16), "classes": 4, "choices": Choices()}
        return wrap(module, lambda: module, name="torchvision:alexnet", advice=advice, **common)

    for advice, remedy in (
        (AUDIT, "--size 224"),
        (BENCHMARK, "input_size in benchmarks.yaml"),
        (IN_MEMORY, "size=224"),
    ):
        with pytest.raises(OptionError, match=f"does not accept images of 3×16×16: .*{remedy}"):
            make(advice)
