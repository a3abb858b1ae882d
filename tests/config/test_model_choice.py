"""The network of a choice: its description, the words that choose it, and files of starting weights as an identity."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from unlearn_bench.config.benchmarks import Benchmarks, load
from unlearn_bench.config.model_choice import ModelChoice, check_unchanged
from unlearn_bench.config.selection import Choice, Selection, select
from unlearn_bench.core.errors import CheckpointError, OptionError
from unlearn_bench.core.files import file_digest
from unlearn_bench.core.spec import PRETRAINED

RESNET = {"name": "resnet18", "width": 4, "groups": 2}


def chosen(benchmarks: Benchmarks, model: ModelChoice) -> Selection:
    return select(benchmarks, Choice(model=model))


def in_profile(home: Path, model: str) -> Benchmarks:
    """Returns benchmarks.yaml with another model in its profile."""
    file = home / "benchmarks.yaml"
    file.write_text(file.read_text().replace("model: {name: resnet18, width: 4, groups: 2}", f"model: {model}"))
    return load()


@pytest.mark.parametrize(
    ("model", "description"),
    [
        (ModelChoice(), RESNET),
        (ModelChoice("torchvision:resnet18"), {"name": "torchvision:resnet18"}),
        (ModelChoice("timm:vit", {"depth": 2}), {"name": "timm:vit", "depth": 2}),
        (ModelChoice(None, {"width": 8}), {**RESNET, "width": 8}),
        (ModelChoice("a", {"b": 1}, completed={"name": "a", "b": 1, "c": 2}), {"name": "a", "b": 1, "c": 2}),
    ],
    ids=["profile", "name", "arguments", "of the profile's", "completed"],
)
def test_a_network_replaces_the_profile_s_with_all_its_arguments(
    home: Path, model: ModelChoice, description: dict[str, object]
) -> None:
    assert chosen(load(), model).experiment.model == description


def test_another_network_makes_other_runs_and_the_same_one_the_same(home: Path) -> None:
    benchmarks = load()
    keys = {
        chosen(benchmarks, model).experiment.key
        for model in (
            ModelChoice(),
            ModelChoice("torchvision:resnet18"),
            ModelChoice("torchvision:resnet34"),
            ModelChoice("torchvision:resnet18", {"input_size": 32}),
        )
    }
    assert len(keys) == 4
    same = ModelChoice("resnet18", {"width": 4, "groups": 2})
    assert chosen(benchmarks, same).experiment == chosen(benchmarks, ModelChoice()).experiment


def test_the_words_of_a_choice_lead_to_it(home: Path) -> None:
    model = ModelChoice("timm:a b", {"depth": 2, "flat": True, "act": "gelu"}, Path("w.pt"))
    expected = "--model 'timm:a b' --argument depth=2 --argument flat=true --argument act=gelu --pretrained w.pt"
    assert shlex.join(model.words) == expected
    (home / "w.pt").write_bytes(b"weights")
    assert chosen(load(), model).user_options == expected
    assert chosen(load(), ModelChoice()).user_options == ""


def test_pinned_references_belong_to_the_profile_s_own_network() -> None:
    benchmarks = load(Path(__file__).parents[2] / "benchmarks.yaml")
    own = select(benchmarks, Choice(profile="demo"))
    assert own.pinned is not None and own.experiment.pinned == own.pinned.digest
    stated = ModelChoice("resnet18", {"width": 16, "groups": 4})
    same = select(benchmarks, Choice(profile="demo", model=stated))
    assert (same.experiment, same.pinned, same.model) == (own.experiment, own.pinned, own.model)
    other = select(benchmarks, Choice(profile="demo", model=ModelChoice("torchvision:resnet18")))
    assert (other.pinned, other.experiment.pinned) == (None, "")
    assert other.options == own.options, "the options of the profile, which a note below the table mentions"


def test_the_content_of_a_file_of_weights_identifies_runs_and_not_its_name(home: Path) -> None:
    benchmarks, file = load(), home / "w.pt"
    file.write_bytes(b"first")
    first = chosen(benchmarks, ModelChoice(pretrained=Path("w.pt")))
    assert first.experiment.model == {**RESNET, PRETRAINED: file_digest(file)}
    assert first.pretrained is not None and first.pretrained.digest == file_digest(file)
    (home / "copy.pt").write_bytes(b"first")
    copied = chosen(benchmarks, ModelChoice(pretrained=home / "copy.pt"))
    assert copied.experiment.key == first.experiment.key
    check_unchanged(first.pretrained)
    file.write_bytes(b"edited")
    edited = chosen(benchmarks, ModelChoice(pretrained=Path("w.pt")))
    without = chosen(benchmarks, ModelChoice())
    assert len({run.experiment.key for run in (first, edited, without)}) == 3
    with pytest.raises(CheckpointError, match=r"w\.pt changed after this command read it"):
        check_unchanged(first.pretrained)


def test_a_profile_names_a_file_beside_benchmarks_yaml(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "weights").mkdir()
    (home / "weights" / "w.pt").write_bytes(b"weights")
    benchmarks = in_profile(home, "{name: 'timm:a', depth: 2, pretrained: weights/w.pt}")
    monkeypatch.chdir(home / "weights")
    digest = file_digest(home / "weights" / "w.pt")
    own = chosen(load(), ModelChoice())
    assert own.experiment.model == {"name": "timm:a", "depth": 2, PRETRAINED: digest}
    deeper = chosen(benchmarks, ModelChoice(None, {"depth": 3}))
    assert deeper.experiment.model == {"name": "timm:a", "depth": 3, PRETRAINED: digest}
    assert deeper.pretrained == own.pretrained
    other = chosen(benchmarks, ModelChoice("timm:b"))
    assert (other.experiment.model, other.pretrained) == ({"name": "timm:b"}, None), "the file is of the other network"


def test_a_profile_can_pass_a_pretrained_that_is_no_file(home: Path) -> None:
    benchmarks = in_profile(home, "{name: 'nets.py:make', pretrained: false}")
    selection = chosen(benchmarks, ModelChoice())
    assert (selection.experiment.model, selection.pretrained) == ({"name": "nets.py:make", "pretrained": False}, None)


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("nowhere.pt", r"^--pretrained nowhere\.pt does not exist\. Give the path of a file of weights"),
        ("folder", r"^--pretrained folder is a folder\. Give the file of weights in it"),
        ("a.safetensors.index.json", r"is an index of several files\. Give one file with all weights\.$"),
    ],
)
def test_what_is_no_single_file_is_refused(home: Path, file: str, sentence: str) -> None:
    (home / "folder").mkdir()
    (home / "a.safetensors.index.json").write_text("{}")
    with pytest.raises(CheckpointError, match=sentence):
        chosen(load(), ModelChoice(pretrained=Path(file)))


def test_a_missing_file_of_a_profile_is_named_by_its_place(home: Path) -> None:
    benchmarks = in_profile(home, "{name: 'timm:a', pretrained: gone.pt}")
    with pytest.raises(
        CheckpointError, match=r"^benchmarks\.yaml: profiles\.tiny\.model\.pretrained: gone\.pt does not"
    ):
        chosen(benchmarks, ModelChoice())
    assert chosen(benchmarks, ModelChoice("timm:b")).pretrained is None


@pytest.mark.parametrize("name", ["name", "weights", PRETRAINED])
def test_an_argument_that_is_none_of_the_network_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match=rf"^--argument {name}=x: .* comes? from .*Leave this argument out\.$"):
        ModelChoice("timm:a", {name: "x"})


def test_a_choice_is_data() -> None:
    assert replace(Choice(), model=ModelChoice()) == Choice()
