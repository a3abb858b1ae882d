"""What a user says about a network becomes its whole description."""

from pathlib import Path
from typing import Any

import pytest

from unlearn_bench.config.benchmarks import load
from unlearn_bench.config.model_choice import ModelChoice
from unlearn_bench.config.selection import Choice
from unlearn_bench.core.errors import OptionError, UserError
from unlearn_bench.core.sources import Reading
from unlearn_bench.running.network_choice import with_network

OWN = "from torch import nn\n\ndef make(width=4):\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"


def described(**choice: Any) -> Choice:
    return with_network(load(), Choice(**choice))


def test_a_registered_model_gets_its_defaults_and_a_function_the_digest_of_its_file(home: Path) -> None:
    own = described(model=ModelChoice(None, {"width": "8"})).model.completed
    assert own == {"name": "resnet18", "width": 8, "groups": 2}, "of the profile, with one argument changed"
    named = described(model=ModelChoice("resnet18", {"width": 8})).model.completed
    assert named is not None and named["groups"] != 2, "the default of the architecture, not of the profile"
    (home / "nets.py").write_text(OWN)
    first = described(model=ModelChoice("nets.py:make", {"width": 8})).model.completed
    assert first is not None and (first["name"], first["width"]) == ("nets.py:make", 8)
    (home / "nets.py").write_text(OWN + "\n# edited\n")
    second = described(model=ModelChoice("nets.py:make", {"width": 8})).model.completed
    assert second is not None and second["source_digest"] != first["source_digest"]


def test_nothing_chosen_stays_nothing(home: Path) -> None:
    assert described(profile="tiny") == Choice(profile="tiny")
    library = Choice(model=ModelChoice("torchvision:resnet18"))
    assert with_network(load(), library) == library, "a library's network needs no code to be described"


def test_size_is_the_network_s_where_images_have_one_size(home: Path) -> None:
    resnet = ModelChoice("torchvision:resnet18")
    inside = described(model=resnet, reading=Reading(32))
    assert (inside.model.arguments, inside.reading.size) == ({"input_size": 32}, None)
    assert inside.words == "--model torchvision:resnet18 --argument input_size=32"
    read = described(model=resnet, dataset="folder:photos", reading=Reading(32))
    assert (read.model.arguments, read.reading.size) == ({}, 32), "photos are resized as they are read"
    with pytest.raises(OptionError, match="--size 32 and --argument input_size are the same here"):
        described(model=ModelChoice("timm:a", {"input_size": 64}), reading=Reading(32))


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("resnet81", {}, r"^No model named 'resnet81'\. Did you mean 'resnet18'\? .* torchvision:NAME or timm:NAME\.$"),
        ("resnet18", {"widht": 8}, r"has no option 'widht'\. Did you mean 'width'\?"),
        ("weights.pt", {}, r"^--model weights\.pt is a file, .* with --pretrained, and a function"),
        ("nowhere.py:make", {}, r"^The architecture nowhere\.py:make cannot be found: there is no file nowhere\.py\."),
        ("nets.py:mke", {}, r"^The architecture nets\.py:mke cannot be found"),
    ],
)
def test_what_is_no_network_is_refused(home: Path, name: str, arguments: dict[str, Any], sentence: str) -> None:
    (home / "weights.pt").write_bytes(b"weights")
    (home / "nets.py").write_text(OWN)
    with pytest.raises(UserError, match=sentence):
        described(model=ModelChoice(name, arguments))
