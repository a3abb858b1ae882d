"""Weights as people save them: read by what a file contains, chosen by fit to the network, written in the same form."""

import argparse
import collections
import datetime
import pathlib
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from unlearn_bench.core.errors import CheckpointError, FileError
from unlearn_bench.models.weight_files import SavedWeights, read_weights


class Net(nn.Module):
    """A small network with the names of a ResNet."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3)
        self.bn1 = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, classes)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.bn1(self.conv1(x)).mean(dim=(2, 3)))
        return out


def weights(seed: int = 0, prefix: str = "") -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return OrderedDict((prefix + name, value) for name, value in Net().state_dict().items())


def read(folder: Path, content: Any, name: str = "saved", key: str | None = None, **options: Any) -> SavedWeights:
    torch.save(content, folder / name, **options)
    return read_weights(Net(), folder / name, "net", key)


def assert_is(found: SavedWeights, seed: int) -> None:
    expected = weights(seed)
    assert found.state.keys() == expected.keys()
    assert all(torch.equal(found.state[name], value) for name, value in expected.items())


@pytest.mark.parametrize("name", ["model", "RLcheckpoint.pth.tar", "weights.txt", "x.safetensors", "epoch=3.ckpt"])
def test_the_content_decides_and_not_the_name(tmp_path: Path, name: str) -> None:
    found = read(tmp_path, {"state_dict": weights(), "evaluation_result": None}, name)
    assert_is(found, 0)
    assert (found.key, found.prefix, found.beside, found.others) == ("state_dict", "", (), ())
    assert_is(read(tmp_path, weights(1), name, _use_new_zipfile_serialization=False), 1)  # torch before 1.6
    save_file(weights(2), tmp_path / name)
    assert_is(read_weights(Net(), tmp_path / name, "net"), 2)


@pytest.mark.parametrize("prefix", ["net.", "model.", "backbone.", "encoder.", "module.", "model._orig_mod.module."])
def test_a_prefix_is_found_by_fit_and_keys_besides_are_named(tmp_path: Path, prefix: str) -> None:
    """As Lightning saves: every key of the network below the attribute that holds it."""
    beside = {"criterion.weight": torch.ones(2), "val_acc.tp": torch.zeros(2, dtype=torch.int64)}
    content = {
        "epoch": 3,
        "pytorch-lightning_version": "2.1",
        "state_dict": weights(0, prefix) | beside,
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 1}}}},
        "callbacks": {"EarlyStopping": {"best_score": torch.tensor(0.5), "wait_count": 0}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(4)}}, "param_groups": [{"lr": 0.1}]}],
        "hyper_parameters": {"lr": 0.1, "betas": (0.9, 0.999)},
    }
    found = read(tmp_path, content)
    assert_is(found, 0)
    assert found.key == "state_dict"
    assert found.beside == tuple(beside)
    assert "ignored: criterion.weight, val_acc.tp" in found.remarks


def test_wrappers_within_the_network_and_around_it(tmp_path: Path) -> None:
    inner = {name.replace("conv1.", "conv1.module."): value for name, value in weights().items()}
    assert_is(read(tmp_path, inner), 0)  # as nn.DataParallel(network.features) of the ImageNet script
    network = nn.Sequential(OrderedDict(wrapped=Net()))
    torch.save(weights(1), tmp_path / "bare")
    found = read_weights(network, tmp_path / "bare", "net")
    assert torch.equal(found.state["wrapped.fc.weight"], weights(1)["fc.weight"])
    parallel = nn.DataParallel(Net())
    torch.save(weights(1, "module."), tmp_path / "parallel")
    assert read_weights(parallel, tmp_path / "parallel", "net").state.keys() == parallel.state_dict().keys()


PLAIN: dict[str, Any] = {
    "acc": np.float64(93.5),
    "best": np.bool_(True),
    "name": np.str_("über"),
    "history": np.arange(6, dtype=">f4").reshape(2, 3, order="F"),
    "dtype": np.dtype("float16"),
    "epoch": 7,
    "args": argparse.Namespace(lr=0.1, arch="resnet18", data=pathlib.PurePosixPath("a/b"), inner=[np.int64(3)]),
    "config": types.SimpleNamespace(seed=1),
    "folder": pathlib.Path("runs/1"),
    "other_system": pathlib.PureWindowsPath("runs/1"),
    "made": datetime.datetime(2024, 5, 6, 7, 8),
    "curves": collections.defaultdict(list, {"loss": [1.0, np.float32(0.5)]}),
    "counts": collections.Counter("aab"),
    "torch": torch.__version__,
    "kinds": frozenset({1, 2}),
    "blob": b"\x00\xff",
    "empty": b"",
    "shape": torch.Size([1, 2]),
}


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("new", [True, False])
def test_plain_objects_beside_the_weights_are_read_and_written_again(tmp_path: Path, name: str, new: bool) -> None:
    content = {"net": weights(), "rng_state": torch.get_rng_state(), name: PLAIN[name], "again": [PLAIN[name]]}
    found = read(tmp_path, content, _use_new_zipfile_serialization=new)
    assert (found.key, type(found.content.value[name])) == ("net", type(PLAIN[name]))
    found.write(weights(1), tmp_path / "new")
    again = torch.load(tmp_path / "new", weights_only=False)  # this test made the file
    assert list(again) == list(content)
    assert type(again[name]) is type(PLAIN[name])
    np.testing.assert_equal(again[name], PLAIN[name])
    assert again["again"][0] is again[name] or not isinstance(PLAIN[name], (dict, argparse.Namespace))


def test_averaged_weights_are_taken_only_if_they_are_chosen_or_alone(tmp_path: Path) -> None:
    both = {"state_dict": weights(0), "state_dict_ema": weights(1), "arch": "x"}
    found = read(tmp_path, both)
    assert_is(found, 0)
    assert found.others == ("state_dict_ema",)
    assert found.remarks == ("also in the file: state_dict_ema (--key state_dict_ema)",)
    found = read(tmp_path, both, key="state_dict_ema")
    assert_is(found, 1)
    assert (found.key, found.others) == ("state_dict_ema", ("state_dict",))
    assert read(tmp_path, {"state_dict_ema": weights(1)}).key == "state_dict_ema"
    flat = weights(0, "model.") | weights(1, "ema_model.") | {"step": torch.tensor(5)}
    assert_is(read(tmp_path, flat), 0)
    assert_is(read(tmp_path, flat, key="ema_model"), 1)
    with pytest.raises(CheckpointError, match=r"no weights under 'state_dict_em'. Did you mean 'state_dict_ema'"):
        read(tmp_path, both, key="state_dict_em")
    assert_is(read(tmp_path, weights(1), key="state_dict_ema"), 1)  # nothing to choose from
    swa = {"n_averaged": torch.tensor(9), **weights(0, "module.")}
    assert_is(read(tmp_path, swa), 0)


@pytest.mark.parametrize(
    "wrapper",
    [
        *("params", "state", "model_and_state", "model_state_dict", "weights", "anything", "params_ema"),
        *("checkpoint.model", "state.net", "0", "models.1"),
    ],
)
def test_weights_are_found_under_any_key(tmp_path: Path, wrapper: str) -> None:
    content: Any = weights()
    for part in reversed(wrapper.split(".")):
        content = [None] * int(part) + [content, {"lr": 1}] if part.isdigit() else {"step": 1, part: content}
    found = read(tmp_path, content)
    assert_is(found, 0)
    assert found.key == wrapper


def test_two_that_fit_equally_must_be_chosen_from(tmp_path: Path) -> None:
    content = {"student": weights(0), "teacher": weights(1)}
    with pytest.raises(
        CheckpointError, match=r"several weights that fit net: student, teacher\. Choose one with --key"
    ):
        read(tmp_path, content)
    assert_is(read(tmp_path, content, key="teacher"), 1)
    assert_is(read(tmp_path, {"a": weights(0), "b": weights(0)}), 0)  # the same numbers twice
    other = {"model": weights(0), "discriminator": {"fc.weight": torch.zeros(9, 9)}}
    assert read(tmp_path, other).key == "model"
    with pytest.raises(CheckpointError, match=r"^discriminator of saved does not fit net"):
        read(tmp_path, other, key="discriminator")


@pytest.mark.parametrize(
    "names", [("normalize.mean", "normalize.std"), ("mean", "std"), ("0.pixel_mean", "0.pixel_std")]
)
@pytest.mark.parametrize("scale", [1, 255])
def test_buffers_of_a_normalisation_are_its_numbers(tmp_path: Path, names: tuple[str, str], scale: int) -> None:
    prefix = "1." if names[0].startswith("0.") else ""
    mean, std = torch.tensor([0.5, 0.25, 0.75]), torch.tensor([0.2, 0.3, 0.25])
    buffers = {names[0]: scale * mean.view(1, 3, 1, 1), names[1]: scale * std.view(1, 3, 1, 1)}
    found = read(tmp_path, buffers | weights(0, prefix))
    assert_is(found, 0)
    assert found.normalisation is not None
    assert found.normalisation[0] == pytest.approx(mean.tolist())
    assert found.normalisation[1] == pytest.approx(std.tolist())
    assert found.beside == ()
    network = Net()
    network.register_buffer("mean", torch.zeros(3))
    network.register_buffer("std", torch.ones(3))
    torch.save({"mean": mean, "std": std, **weights()}, tmp_path / "own")
    assert read_weights(network, tmp_path / "own", "net").normalisation is None  # the network does it itself


def test_names_of_other_code_leftovers_and_masks(tmp_path: Path) -> None:
    kuangliu = {name.replace("fc.", "linear."): value for name, value in weights().items()}
    assert_is(read(tmp_path, kuangliu), 0)
    profiled = weights() | {"total_ops": torch.zeros(1).double(), "conv1.total_params": torch.zeros(1).double()}
    assert read(tmp_path, profiled).beside == ("total_ops", "conv1.total_params")
    assert_is(read(tmp_path, {name: value.double() for name, value in weights().items()}), 0)  # counters of batches too
    arrays = {name: value.numpy() for name, value in weights().items()}
    assert_is(read(tmp_path, {"params": arrays}), 0)
    pruned = weights()
    mask = torch.tensor([[1.0, 0, 1, 0], [0, 1, 1, 1]])
    pruned["fc.weight_orig"], pruned["fc.weight_mask"] = pruned.pop("fc.weight"), mask
    found = read(tmp_path, pruned)
    assert torch.equal(found.state["fc.weight"], weights()["fc.weight"] * mask)
    assert found.beside == ()
    state = found.state | {"fc.weight": torch.tensor([[0.0, 2, 3, 0], [0, 1, 1, 1]])}
    found.write(state, tmp_path / "new")
    assert torch.equal(read_weights(Net(), tmp_path / "new", "net").state["fc.weight"], state["fc.weight"])


def test_shards_and_folders(tmp_path: Path) -> None:
    state = weights()
    parts = {"model-00001-of-00002.safetensors": list(state)[:3], "model-00002-of-00002.safetensors": list(state)[3:]}
    for file, names in parts.items():
        save_file({name: state[name] for name in names}, tmp_path / file, metadata={"format": "pt"})
    index = tmp_path / "model.safetensors.index.json"
    places = {name: file for file, names in parts.items() for name in names}
    index.write_text(f'{{"metadata": {{}}, "weight_map": {str(places).replace(chr(39), chr(34))}}}')
    for given in (index, tmp_path):
        found = read_weights(Net(), given, "net")
        assert_is(found, 0)
        assert [file.name for file in found.content.files] == [index.name, *parts]
    found.write(weights(1), tmp_path / "one")
    assert load_file(tmp_path / "one").keys() == state.keys()
    with pytest.raises(CheckpointError, match="It is one of several shards: give their index"):
        read_weights(Net(), tmp_path / "model-00001-of-00002.safetensors", "net")
    for places, says in (
        ('{"a": "model.safetensors.index.json"}', "neither safetensors nor|text file"),
        ('{"a": "../outside"}', "not beside it"),
        ('{"a": "lost"}', "not beside it"),
        ('{"a": "model-00001-of-00002.safetensors"}', "lack 'a'"),
        ("3", "without a weight_map"),
    ):
        index.write_text(f'{{"weight_map": {places}}}')
        with pytest.raises(CheckpointError, match=says):
            read_weights(Net(), index, "net")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="is a folder without"):
        read_weights(Net(), tmp_path / "empty", "net")


def test_a_file_of_the_same_form_is_written(tmp_path: Path) -> None:
    """Plain user code reads it: the same keys, order, kinds of numbers, nesting and other entries."""
    state = OrderedDict(
        (name, value.half() if value.is_floating_point() else value) for name, value in weights().items()
    )
    state._metadata = Net().state_dict()._metadata  # type: ignore[attr-defined]
    state["conv1.weight"] = state["conv1.weight"].to(memory_format=torch.channels_last)
    state["fc.weight"] = nn.Parameter(state["fc.weight"])
    state["total_ops"] = torch.ones(1)
    content = {"epoch": 3, "state_dict": state, "optimizer": {"state": {0: torch.ones(2)}}, "history": [state, "x"]}
    found = read(tmp_path, content)
    new = {name: value.half().to(value.dtype) for name, value in weights(1).items()}
    found.write(new, tmp_path / "new.pth.tar")
    again = torch.load(tmp_path / "new.pth.tar", weights_only=True)
    assert list(again) == list(content)
    assert list(again["state_dict"]) == list(state)
    assert again["state_dict"]._metadata == state._metadata  # type: ignore[attr-defined]
    for name, value in state.items():
        assert (again["state_dict"][name].dtype, type(again["state_dict"][name])) == (value.dtype, type(value))
    assert again["state_dict"]["conv1.weight"].is_contiguous(memory_format=torch.channels_last)
    assert again["history"][0] is again["state_dict"]
    assert torch.equal(again["optimizer"]["state"][0], torch.ones(2))
    del again["state_dict"]["total_ops"]
    network = Net()
    network.load_state_dict(again["state_dict"], strict=True)
    assert all(torch.equal(value, new[name]) for name, value in network.state_dict().items())
    assert torch.equal(content["state_dict"]["fc.bias"], found.entries["fc.bias"])  # what was read did not change


def test_other_forms_are_kept_too(tmp_path: Path) -> None:
    save_file(weights(0, "model."), tmp_path / "flat", metadata={"format": "pt", "by": "me"})
    found = read_weights(Net(), tmp_path / "flat", "net")
    found.write(weights(1), tmp_path / "flat")  # onto itself
    again = read_weights(Net(), tmp_path / "flat", "net")
    assert_is(again, 1)
    assert again.content.metadata == {"format": "pt", "by": "me"}
    assert again.prefix == "model."
    tied = weights()
    copies = tied | {f"attacker.{name}": value for name, value in tied.items()}
    read(tmp_path, ({"model": copies}, 3), _use_new_zipfile_serialization=False).write(weights(1), tmp_path / "old")
    again = read_weights(Net(), tmp_path / "old", "net")
    assert (again.beside, again.others) == ((), ())
    assert (again.key, again.content.format, again.content.value[1]) == ("0.model", "legacy torch", 3)
    assert torch.equal(again.entries["attacker.fc.bias"], weights(1)["fc.bias"])
    assert again.entries["attacker.fc.bias"].data_ptr() == again.entries["fc.bias"].data_ptr()
    with pytest.raises(FileError):
        again.write(weights(1), tmp_path)
