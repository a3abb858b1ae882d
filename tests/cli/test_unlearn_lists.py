"""unlearn with a list of images, as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support.command import command
from support.photos import photo, photos
from torch import nn

NET = """
from torch import nn

def make():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 10, 3))
"""
MODEL = ("unlearn", "--model", "mine.pt", "--architecture", "net.py:make", "--dataset", "folder:photos")
LAST = ("--method", "neggrad_ft", "--set", "epochs=1", "--output", "new.pt")


@pytest.fixture
def own(home: Path) -> Path:
    """Photos with a test split, a network, its weights and a list, in the working folder."""
    photos(
        home / "photos", *(f"{split}/{name}" for split in ("train", "test") for name in ("cat", "dog", "emu")), count=5
    )
    for number, name in enumerate(("cat", "dog")):
        for k in range(4):
            photo(home / "others" / name / f"{k}.png", 7000 + 100 * number + k)
    (home / "net.py").write_text(NET)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 8 * 10, 3))
    torch.save({"state_dict": network.state_dict()}, home / "mine.pt")
    (home / "wrong.txt").write_text("train/cat/0.png\ntrain/dog/1.png\n")
    return home


def test_a_list_is_forgotten_shown_and_audited(own: Path) -> None:
    done = command(*MODEL, "--forget-list", "wrong.txt", "--retain", "others", *LAST)
    assert done.returncode == 0, done.stderr
    assert "- LP(D_f) is not reported: no test images correspond to a list" in done.stdout
    audit = done.stdout.strip().splitlines()[-1]
    assert "--forget wrong.txt --scenario list" in audit
    state = torch.load("new.pt", weights_only=True)["state_dict"]
    assert any(not torch.equal(value, old) for value, old in zip(state.values(), _old().values(), strict=True))
    runs = json.loads(command("runs", "--json").stdout)
    shown = command("show", str(max(run["run"] for run in runs)))
    assert "list 2-images-" in shown.stdout and "drawn from other images, content" in shown.stdout
    assert command("weights", str(max(run["run"] for run in runs)), "--output", "again.safetensors").returncode == 0
    judged = command(*audit.split()[1:])
    assert judged.returncode == 0, judged.stderr
    assert "list 2-images-" in judged.stdout
    assert "--forget-list FILE" not in judged.stdout
    explained = command("explain", "list")
    assert "a path or an index a line" in explained.stdout


def _old() -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load("mine.pt", weights_only=True)["state_dict"]
    return state


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "There is no forget set. Give --forget with a class, or --forget-list with a file of images."),
        (("--forget", "cat", "--forget-list", "wrong.txt"), "There are two forget sets."),
        (
            ("--forget-list", "wrong.txt", "--scenario", "class"),
            "--forget-list is of the scenario list, and --scenario",
        ),
        (("--forget-list", "lost.txt"), "The list lost.txt cannot be read: No such file or directory."),
        (("--forget-list", "bad.txt"), "1 of 2 lines of bad.txt are not in photos: train/cow/0.png."),
        (("--forget-list", "wrong.txt", "--retain", "nowhere"), "There is no folder 'nowhere'."),
        (("--forget", "cat", "--retain", "others"), "4 images of --retain are of the class to forget, cat."),
    ],
)
def test_what_cannot_be_forgotten_is_one_sentence(own: Path, words: tuple[str, ...], sentence: str) -> None:
    (own / "bad.txt").write_text("train/cow/0.png\ntrain/cat/0.png\n")
    done = command(*MODEL, *words, *LAST)
    assert (done.returncode, sentence in done.stderr) == (2, True), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (own / "new.pt").exists()
