"""unlearn: a model of a user's plain script forgets, and the same script loads and evaluates the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torchvision.transforms.functional import pil_to_tensor

from unlearn_bench.config.benchmarks import load as load_config
from unlearn_bench.config.selection import Choice
from unlearn_bench.core.errors import MissingRunError, OptionError, UserError
from unlearn_bench.running.making import ExecutionConfig
from unlearn_bench.running.recorded_models import network_of
from unlearn_bench.running.unlearning import OwnModel, Unlearned, unlearn
from unlearn_bench.store import Store

EACH = {"train": 40, "test": 20}  # images of a class
BILINEAR = Image.Resampling.BILINEAR
NAMES = ("cat", "dog", "emu")
GROWING = {"lr": 10.0, "weight_decay": 1.0, "batch_size": 4, "epochs": 4}  # each step multiplies weights by −9
VIT: dict[str, Any] = {"img_size": 16, "patch_size": 4, "depth": 3, "embed_dim": 48, "num_heads": 3}
MEAN = torch.tensor([0.5, 0.5, 0.5]).view(1, 3, 1, 1)


def write_images(root: Path) -> None:
    digits = load_digits()
    for label, name in enumerate(NAMES):
        images = iter(digits.images[digits.target == label])
        for split, number in EACH.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for k in range(number):
                grey = Image.fromarray((next(images) * 15.9).astype(np.uint8)).resize((16, 16), BILINEAR)
                grey.convert("RGB").save(folder / f"{k:03}.png")


class Script:
    """What a person has who knows nothing of this package: PyTorch, a folder, a file of weights."""

    def __init__(self, make: Callable[[], nn.Module], root: Path, mean: Tensor, std: Tensor) -> None:
        self.make, self.mean, self.std = make, mean, std
        self.images = {
            (split, name): torch.stack([pil_to_tensor(Image.open(file)) for file in sorted(folder.iterdir())])
            for split in EACH
            for name in NAMES
            for folder in [root / split / name]
        }

    def train(self, file: Path) -> None:
        torch.manual_seed(0)
        network = self.make().train()
        x = torch.cat([self.images["train", name] for name in NAMES])
        y = torch.arange(len(NAMES)).repeat_interleave(EACH["train"])
        optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
        for _ in range(8):
            for rows in torch.randperm(len(x)).split(20):
                loss = nn.functional.cross_entropy(network(self.prepare(x[rows])), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        state = {f"module.{name}": value for name, value in network.state_dict().items()}
        torch.save({"epoch": 6, "state_dict": state, "best": 0.5}, file)

    def prepare(self, pixels: Tensor) -> Tensor:
        return (pixels.float() / 255 - self.mean) / self.std

    @torch.no_grad()
    def accuracy(self, file: Path, split: str, *names: str) -> float:
        """Loads the file as this person's own code does, and returns the share of right images in percent."""
        network = self.make().eval()
        state = torch.load(file, weights_only=True)["state_dict"]
        network.load_state_dict({key.removeprefix("module."): value for key, value in state.items()}, strict=True)
        right = [network(self.prepare(self.images[split, name])).argmax(dim=1) == NAMES.index(name) for name in names]
        return 100 * float(torch.cat(right).double().mean())


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "photos"
    write_images(folder)
    return folder


def scripts(root: Path) -> dict[str, tuple[Script, str, dict[str, Any]]]:
    import timm

    imagenet = (
        torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1),
        torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1),
    )
    resnet = lambda: timm.create_model("test_resnet", num_classes=3)  # noqa: E731
    vit = lambda: timm.create_model("vit_tiny_patch16_224", num_classes=3, **VIT)  # noqa: E731
    return {
        "resnet": (Script(resnet, root, *imagenet), "timm:test_resnet", {"normalise": "imagenet"}),
        "vit": (Script(vit, root, MEAN, MEAN), "timm:vit_tiny_patch16_224", VIT),
    }


def forget_dog(
    model: OwnModel, root: Path, execution: ExecutionConfig, method: str, options: dict[str, Any]
) -> tuple[Unlearned, Store]:
    store = Store(f"sqlite:///{root.parent / 'runs.sqlite'}")
    choice = Choice(dataset=f"folder:{root}", forget=("dog",))
    return unlearn(model, load_config(), store, choice, execution, method=method, options=options), store


@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_the_users_script_loads_and_measures_what_we_say(
    family: str, root: Path, tmp_path: Path, home: Path, execution: ExecutionConfig
) -> None:
    script, architecture, arguments = scripts(root)[family]
    mine, forgotten = tmp_path / "mine.pth", tmp_path / "forgotten.pth"
    script.train(mine)
    model = OwnModel(file=mine, architecture=architecture, arguments=arguments)
    options = {"epochs": 2, "lr": 0.02}
    result, store = forget_dog(model, root, execution, "neggrad", options)
    result.write(forgotten)
    before, after = (torch.load(file, weights_only=True) for file in (mine, forgotten))
    assert list(after) == list(before)
    assert list(after["state_dict"]) == list(before["state_dict"])
    assert (after["epoch"], after["best"]) == (6, 0.5)
    assert all(after["state_dict"][name].dtype == value.dtype for name, value in before["state_dict"].items())
    for file, run in ((mine, result.original), (forgotten, result.unlearned)):
        one = 100 / EACH["test"] * 1.01  # image that rounding may put on the other side
        assert run.values["acc_forget"] == pytest.approx(script.accuracy(file, "test", "dog"), abs=one)
        assert run.values["acc_retain"] == pytest.approx(script.accuracy(file, "test", "cat", "emu"), abs=one)
    assert script.accuracy(mine, "train", "dog") > 80  # of the training images, D_f
    assert script.accuracy(forgotten, "train", "dog") < 50
    network = network_of(result.unlearned, store)
    assert all(torch.equal(value, after["state_dict"][f"module.{name}"]) for name, value in network.own_state().items())
    again, _ = forget_dog(model, root, execution, "neggrad", options)
    assert (again.original.id, again.unlearned.id) == (result.original.id, result.unlearned.id)


def test_other_weights_are_another_original(root: Path, tmp_path: Path, home: Path, execution: ExecutionConfig) -> None:
    script, architecture, arguments = scripts(root)["vit"]
    for seed, name in enumerate(("one.pt", "two.pt")):
        torch.manual_seed(seed)
        torch.save(script.make().state_dict(), tmp_path / name)
    models = [OwnModel(file=tmp_path / n, architecture=architecture, arguments=arguments) for n in ("one.pt", "two.pt")]
    one, two = (forget_dog(model, root, execution, "ft_classifier", {"epochs": 1})[0] for model in models)
    assert one.original.key != two.original.key
    assert one.original.model is not None and two.original.model is not None
    assert one.original.model.weights_digest != two.original.model.weights_digest


@pytest.mark.parametrize(
    ("changes", "method", "options", "error", "says"),
    [
        ({}, "retrained", {}, OptionError, "trains from scratch and does not unlearn"),
        (
            {},
            "ft",
            {"lr": 10.0, "weight_decay": 1.0, "batch_size": 4, "epochs": 4},
            MissingRunError,
            "ended with the status diverged",
        ),
        ({"architecture": "timm:resnet10t"}, "ft", {}, UserError, "timm:resnet10t"),
        ({"file": Path("nothing.pt")}, "ft", {}, UserError, "nothing.pt"),
        ({}, "ft", {"epoch": 1}, OptionError, "epoch"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_records_no_unlearning(
    changes: dict[str, Any],
    method: str,
    options: dict[str, Any],
    error: type[Exception],
    says: str,
    root: Path,
    tmp_path: Path,
    home: Path,
    execution: ExecutionConfig,
) -> None:
    script, architecture, arguments = scripts(root)["resnet"]
    torch.save(script.make().state_dict(), tmp_path / "mine.pt")
    model = replace(OwnModel(file=tmp_path / "mine.pt", architecture=architecture, arguments=arguments), **changes)
    store = Store(f"sqlite:///{tmp_path / 'runs.sqlite'}")
    choice = Choice(dataset=f"folder:{root}", forget=("dog",))
    with pytest.raises(error, match=says):
        unlearn(model, load_config(), store, choice, execution, method=method, options=options)
    assert not [run for run in store.runs() if run.status == "done" and run.method != "original"]
