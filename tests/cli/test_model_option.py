"""Another network in the benchmark, as typed: made, found again by every command that reads, and refused in words."""

from pathlib import Path

import pytest
import torch
from support.command import command
from torch import nn

NETS = """
from torch import nn


def make(width=6):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
"""
VIT = ("--model", "timm:vit_tiny_patch16_224", "--argument", "img_size=8", "--argument", "patch_size=4")
VIT = (*VIT, "--argument", "depth=1", "--argument", "embed_dim=24", "--argument", "num_heads=3")


def test_a_table_of_another_network_is_made_and_found_again(home: Path) -> None:
    made = command("reproduce", "--table", "3", "--forget", "1", *VIT)
    assert made.returncode == 0, made.stderr
    assert (
        "Model: timm:vit_tiny_patch16_224 (img_size 8, patch_size 4, depth 1, embed_dim 24, num_heads 3)" in made.stdout
    )
    assert "The network is not that of profile tiny, for which its recipe and options were chosen." in made.stdout
    report = command("report", "--table", "3", "--forget", "1", *VIT)
    assert (report.returncode, report.stdout) == (0, made.stdout.lstrip("\n")), report.stderr
    assert "0 of 4 runs made" in command("reproduce", "--table", "3", "--forget", "1", *VIT).stderr
    status = command("status", "--json", *VIT).stdout
    assert '"done": 4' in status and '"of": 8' in status
    assert '"done": 0' in command("status", "--json").stdout, "none is of the profile's own network"
    own = command("report", "--table", "3", "--forget", "1")
    assert (own.returncode, "No retrained run" in own.stderr, "--model" in own.stderr) == (2, True, False)
    other = command("report", "--table", "3", "--forget", "1", *VIT, "--argument", "mlp_ratio=2")
    assert other.returncode == 2 and "unlearn-bench train --profile tiny" in other.stderr
    assert "--model timm:vit_tiny_patch16_224 --argument img_size=8" in other.stderr
    assert other.stderr.rstrip().endswith("--argument mlp_ratio=2 --seed 0")
    for words in (("claims",), ("figure", "gaps", "--table", "3", "--output", "gaps.svg"), ("open",)):
        read = command(*words, "--forget", "1", *VIT, BROWSER="true")
        assert read.returncode == 0, read.stderr


def test_a_run_starts_from_a_file_and_an_edited_file_makes_new_runs(home: Path) -> None:
    (home / "nets.py").write_text(NETS)
    words = ("--method", "ft", "--forget", "1", "--model", "nets.py:make", "--argument", "width=8")
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 5))
    torch.save({"state_dict": network.state_dict()}, home / "public.pt")
    from_file = command("run", *words, "--pretrained", "public.pt")
    assert (from_file.returncode, "2 of 2 runs made" in from_file.stderr) == (0, True), from_file.stderr
    assert (
        "public.pt has a head of 5 outputs, and the images have 10 classes: the head of nets.py:make is drawn anew."
        in (from_file.stderr)
    )
    assert "0 of 2 runs made" in command("run", *words, "--pretrained", "public.pt").stderr
    assert "2 of 2 runs made" in command("run", *words).stderr, "without the file"
    network[1].weight.data += 1
    torch.save({"state_dict": network.state_dict()}, home / "public.pt")
    assert "2 of 2 runs made" in command("run", *words, "--pretrained", "public.pt").stderr
    command("train", *words[2:], "--pretrained", "public.pt")
    report = command("report", "--table", "3", *words[2:], "--pretrained", "public.pt")
    assert "Original and retrained models start from the weights in public.pt (SHA-256 " in report.stdout, report.stderr


def test_tuned_options_of_another_network_have_their_own_file(home: Path) -> None:
    (home / "nets.py").write_text(NETS)
    (home / "benchmarks.yaml").write_text(
        (home / "benchmarks.yaml").read_text() + "grids: {paper: {ft: {lr: [0.1]}}}\n"
    )
    tuned = command("tune", "--method", "ft", "--forget", "1", "--model", "nets.py:make")
    assert tuned.returncode == 0, tuned.stderr
    file = home / "results" / "tuned" / "tiny-nets.py-make.yaml"
    assert "model: --model nets.py:make" in file.read_text() and "with --model nets.py:make" in tuned.stdout


REFUSED = {
    "model": (("--model", "resnet81"), "No model named 'resnet81'. Did you mean 'resnet18'?"),
    "library": (
        ("--model", "torchvision:resnet81"),
        "torchvision has no classifier 'resnet81'. Did you mean 'resnet18'?",
    ),
    "argument": (("--model", "torchvision:resnet18", "--argument", "widht=8"), "unexpected keyword argument 'widht'"),
    "pair": (
        ("--argument", "width"),
        "--argument width is not of the form NAME=VALUE. Write it as in --argument width=8.",
    ),
    "parameter": (("--argument", "widht=8"), "The model 'resnet18' has no option 'widht'. Did you mean 'width'?"),
    "file": (("--pretrained", "nowhere.pt"), "--pretrained nowhere.pt does not exist."),
    "misfit": (("--pretrained", "other.pt"), "other.pt does not fit resnet18: it lacks "),
    "weights": (("--model", "other.pt"), "--model other.pt is a file, and a network has a name"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_network_is_one_sentence(home: Path, case: str) -> None:
    words, sentence = REFUSED[case]
    torch.save({"w": torch.zeros(3)}, home / "other.pt")
    refused = command("run", "--method", "ft", "--forget", "1", *words)
    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)
    assert sentence in refused.stderr
    assert "original" not in command("runs").stdout, "nothing is recorded"


def test_the_older_spelling_of_an_argument_is_read_by_audit(home: Path) -> None:
    words = ("audit", "--model", "a.pt", "--original", "a.pt", "--architecture", "resnet18", "--dataset", "digits")
    for option in ("--set", "--argument"):
        ended = command(*words, "--forget", "1", option, "widht=4")
        assert (ended.returncode, "has no option 'widht'" in ended.stderr) == (2, True), ended.stderr
        assert ("--set is now called --argument." in ended.stderr) is (option == "--set")
