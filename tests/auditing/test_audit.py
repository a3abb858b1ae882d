"""audit: models that the tool did not make, read right, judged right, and never trusted."""

import json
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from support.command import command
from support.images import write_digits
from support.page import in_a_browser
from torch import Tensor, nn
from torchvision.models import resnet18

from unlearn_bench import cli  # noqa: F401  # as the command line has it
from unlearn_bench.auditing import audit
from unlearn_bench.auditing.architectures import make_network
from unlearn_bench.auditing.report import EVIDENCE, to_html, to_json, to_text
from unlearn_bench.core.errors import CheckpointError
from unlearn_bench.data.loading import load
from unlearn_bench.models.external import read_own

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

CLASSES = 4
FORGOTTEN = 1


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("images")
    write_digits(root, ["cat", "dog", "emu", "fox"])
    return root


def train(network: nn.Module, prepare: Callable[[Tensor], Tensor], root: Path, steps: int, without: int | None) -> None:
    """A few steps of Adam on the training images, without a class where one is named."""
    data = load(f"folder:{root}", folder=Path())
    keep = torch.nonzero(data.train.labels != (-1 if without is None else without))[:, 0]
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    network.train()
    for _ in range(steps):
        chosen = keep[torch.randperm(len(keep), generator=generator)[:32]]
        loss = nn.functional.cross_entropy(network(prepare(data.train.pixels[chosen])), data.train.labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()


def imagenet(pixels: Tensor) -> Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (pixels.float() / 255 - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)


@pytest.fixture(scope="module")
def resnets(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An original, two retrained models, and a cheat: the original with −∞ for the forgotten class's bias, nearly."""
    folder = tmp_path_factory.mktemp("resnets")
    torch.set_num_threads(1)  # a test process has one core
    for seed, (name, without) in enumerate(
        (("original", None), ("retrained", FORGOTTEN), ("again", FORGOTTEN), ("third", FORGOTTEN))
    ):
        torch.manual_seed(seed)
        network = resnet18(num_classes=CLASSES)
        train(network, imagenet, images, 40 if name == "original" else 12, without)  # only the original must be good
        save_file(network.state_dict(), folder / f"{name}.safetensors")
        if name == "original":
            with torch.no_grad():
                network.fc.bias[FORGOTTEN] = -1e4
            torch.save(
                {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}},
                folder / "cheat.pt",
            )
    return folder


def audited(folder: Path, images: Path, model: str, retrained: list[str], **more: Any) -> Any:
    return audit(
        model=folder / model,
        original=folder / "original.safetensors",
        retrained=[folder / f"{name}.safetensors" for name in retrained],
        architecture="torchvision:resnet18",
        dataset=f"folder:{images}",
        forget="dog",
        **more,
    )


def test_a_cheat_on_a_resnet_with_batch_norm_is_seen_with_and_without_a_retrained_model(
    resnets: Path, images: Path
) -> None:
    alone = audited(resnets, images, "cheat.pt", [])
    assert alone.judgement.verdict == "only the outputs"
    assert alone.changed == "Only the last layer differs (fc.bias), so the features are the original's."
    assert alone.features == "input of fc (512 numbers), the layer that makes the logits; found automatically"
    known = {each.name: each for each in alone.measured}
    assert known["acc_forget"].original > 80
    assert known["acc_forget"].unlearned == 0
    assert known["da"].unlearned == known["da"].original
    assert known["da"].gap is None
    against = audited(resnets, images, "cheat.pt", ["retrained", "again"])
    assert against.judgement.verdict == "only the outputs"
    assert all(each.retrained_range is not None for each in against.measured)
    text = to_text(alone)
    assert text.startswith(EVIDENCE)
    assert "Without a retrained model" in text
    assert "Without a retrained model" not in to_text(against)


def test_a_retrained_model_is_judged_as_one_and_the_original_as_unchanged(resnets: Path, images: Path) -> None:
    # few images and a few steps: how far such models lie apart is decided by rounding, so only what must hold is asked
    honest = audited(resnets, images, "again.safetensors", ["retrained", "third"])
    assert honest.judgement.verdict in ("indistinguishable", "distinguishable", "cannot tell")
    assert honest.judgement.p_value is None or 0 <= honest.judgement.p_value <= 1
    assert [each.label in " ".join(honest.judgement.evidence) for each in honest.measured] == [True] * len(
        honest.measured
    )
    same = audited(resnets, images, "original.safetensors", ["retrained"])
    assert same.judgement.verdict == "unchanged"
    assert same.changed == "No tensor differs: both files contain the same weights."


def test_features_and_values_are_those_of_an_independent_computation(resnets: Path, images: Path) -> None:
    data = load(f"folder:{images}", folder=Path())
    reference = resnet18(num_classes=CLASSES)
    network = make_network("torchvision:resnet18", {}, data, None, None, "auto")
    read_own(network.classifier, resnets / "original.safetensors", "")
    reference.load_state_dict(network.classifier.own_state())
    reference.eval()
    with torch.no_grad():
        features, logits = network(data.train.pixels)
        body = nn.Sequential(*list(reference.children())[:-1], nn.Flatten())
        # the audit stores weights channels-last, which rounds otherwise
        torch.testing.assert_close(features, body(imagenet(data.train.pixels)), rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(logits, reference(imagenet(data.train.pixels)), rtol=1e-3, atol=1e-3)
        tested = reference(imagenet(data.test.pixels)).argmax(dim=1)
    found = {each.name: each.original for each in audited(resnets, images, "cheat.pt", []).measured}
    own = data.test.labels == FORGOTTEN
    assert found["acc_forget"] == pytest.approx(100 * float((tested == data.test.labels)[own].float().mean()))
    assert found["acc_retain"] == pytest.approx(100 * float((tested == data.test.labels)[~own].float().mean()))
    f = features.double().numpy()
    retain, forget = f[(data.train.labels != FORGOTTEN).numpy()], f[(data.train.labels == FORGOTTEN).numpy()]
    values, vectors = np.linalg.eigh(retain.T @ retain)
    p = np.clip(values, 0, None) / np.clip(values, 0, None).sum()
    rank = max(1, round(float(np.exp(-(p[p > 0] * np.log(p[p > 0])).sum()))))
    u = vectors[:, -rank:]
    moment = forget.T @ forget
    da = np.linalg.norm(moment @ u @ u.T) / np.linalg.norm(moment)
    assert found["da"] == pytest.approx(da, rel=1e-4)


def test_a_vision_transformer_of_timm(images: Path, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    options = {"img_size": "16", "patch_size": "4", "depth": "2", "embed_dim": "48", "num_heads": "3"}
    numbers = {name: int(value) for name, value in options.items()}
    for seed, (name, without) in enumerate((("original", None), ("retrained", FORGOTTEN))):
        torch.manual_seed(seed)
        network = timm.create_model("vit_tiny_patch16_224", num_classes=CLASSES, **numbers)
        train(network, lambda pixels: pixels.float() / 127.5 - 1, images, 60, without)
        save_file(network.state_dict(), tmp_path / f"{name}.safetensors")
    common: dict[str, Any] = {
        "original": tmp_path / "original.safetensors",
        "architecture": "timm:vit_tiny_patch16_224",
        "options": options,
        "dataset": f"folder:{images}",
        "forget": "1",
    }
    found = audit(model=tmp_path / "retrained.safetensors", **common)
    assert found.judgement.verdict in ("cannot tell", "only the outputs")
    assert found.features.startswith("input of head (48 numbers)")
    assert "mean 0.5 0.5 0.5" in found.preprocessing
    against = audit(model=tmp_path / "original.safetensors", retrained=[tmp_path / "retrained.safetensors"], **common)
    assert against.judgement.verdict == "unchanged"
    named = audit(model=tmp_path / "retrained.safetensors", features="norm", **common)
    assert named.features == "outputs of norm (48 numbers, the mean over tokens); named by you"
    data = load(f"folder:{images}", folder=Path())
    network = make_network("timm:vit_tiny_patch16_224", options, data, None, None, "auto")
    with torch.no_grad():
        features, _ = network(data.test.pixels)
        with network.classifier.whole() as whole:
            module: Any = whole
            tokens = module.forward_features(data.test.pixels.float() / 127.5 - 1)
            expected = module.forward_head(tokens, pre_logits=True)
    torch.testing.assert_close(features, expected)


def test_the_report_says_what_was_read_of_each_file(resnets: Path, images: Path, tmp_path: Path) -> None:
    state = load_file(resnets / "original.safetensors")
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    buffers = {"normalize.mean": mean, "normalize.std": std}
    averaged = {name: value * 1.01 if name == "fc.bias" else value for name, value in state.items()}
    content = {"state_dict": buffers | state, "state_dict_ema": buffers | averaged}
    torch.save(content, tmp_path / "both.pth.tar")
    torch.save({"state_dict_ema": content["state_dict"]}, tmp_path / "original")
    common: dict[str, Any] = {"original": tmp_path / "original", "architecture": "torchvision:resnet18"}
    common |= {"model": tmp_path / "both.pth.tar", "dataset": f"folder:{images}", "forget": "dog"}
    raw = audit(**common)
    assert raw.judgement.verdict == "unchanged"
    assert [each.key for each in raw.inputs] == ["state_dict_ema", "state_dict"]
    assert "state_dict of both.pth.tar, SHA-256" in to_text(raw)
    assert "also in the file: state_dict_ema (--key state_dict_ema)" in to_html(raw)
    assert "normalised by the numbers in the files (mean 0.485 0.456 0.406" in raw.preprocessing
    chosen = audit(**common, key="state_dict_ema")
    assert chosen.changed.startswith("Only the last layer differs (fc.bias)")
    assert json.loads(to_json(chosen))["inputs"][1]["key"] == "state_dict_ema"
    assert "--key state_dict_ema" in chosen.command
    flat = {"model": resnets / "again.safetensors", "original": resnets / "original.safetensors"}
    with pytest.raises(CheckpointError, match="No file has an entry 'ema'"):
        audit(**(common | flat), key="ema")
    with pytest.raises(CheckpointError, match=r"of both.pth.tar normalised images inside.*--normalise"):
        audit(**(common | {"original": flat["original"]}))
    found = audit(**(common | {"original": flat["original"]}), normalise="imagenet")
    assert [each.original for each in found.measured] == [each.original for each in raw.measured]


def test_a_head_of_more_classes_than_images_leaves_out_the_clusters(tmp_path: Path) -> None:
    write_digits(tmp_path / "few", ["cat", "dog", "emu"], each=24)
    torch.manual_seed(0)
    network = resnet18(num_classes=1000)
    for name in ("original", "model"):
        network.fc.bias.data += 1
        torch.save(network.state_dict(), tmp_path / name)
    found = audit(
        model=tmp_path / "model",
        original=tmp_path / "original",
        architecture="torchvision:resnet18",
        options={"num_classes": 1000},
        dataset=f"folder:{tmp_path / 'few'}",
        forget="dog",
    )
    assert {"da", "acc_forget"} <= {each.name for each in found.measured}
    assert not {"f1", "nmi"} & {each.name for each in found.measured}
    assert found.judgement.evidence[0].startswith("F1 and NMI need 1,000 images or more")
    assert found.judgement.verdict == "cannot tell"  # it was never trained
    assert "Check the order of the classes, the normalisation" in found.judgement.words


@pytest.mark.slow
def test_the_audit_as_typed_repeats_itself(resnets: Path, images: Path, tmp_path: Path) -> None:
    words = ["--model", str(resnets / "cheat.pt"), "--original", str(resnets / "original.safetensors")]
    words += ["--architecture", "torchvision:resnet18", "--dataset", f"folder:{images}", "--forget", "dog"]

    made = command("audit", *words, "--json", "a.json", "--html", "a.html", folder=tmp_path)
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("This is evidence, not a proof of deletion")
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["judgement"]["verdict"] == "only the outputs"
    assert [len(each["sha256"]) for each in found["inputs"]] == [64, 64]
    again = command(*shlex.split(found["command"])[1:], "--json", "b.json", folder=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    refused = command("audit", *words[:-1], "cow", folder=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "cow" in refused.stderr


@in_a_browser
def test_the_page_of_an_audit_is_readable_and_hostile_names_are_words(
    resnets: Path,
    tmp_path: Path,
    browser: Any,
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
    hostile = '<img src=x onerror="window.hacked=1">'
    write_digits(tmp_path / "images", ["0 cat", hostile, "emu", "fox"])  # in the order of the names
    shutil.copytree(resnets, tmp_path / "models")
    found = audit(
        model=tmp_path / "models" / "cheat.pt",
        original=tmp_path / "models" / "original.safetensors",
        architecture="torchvision:resnet18",
        dataset=f"folder:{tmp_path / 'images'}",
        forget="1",
    )
    json.loads(to_json(found))
    file = tmp_path / "audit.html"
    file.write_text(to_html(found), encoding="utf-8")
    said: list[str] = []
    asked: list[str] = []
    page = browser.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    assert (said, asked) == ([], [file.as_uri()])
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    assert axe.Axe().run(page).response["violations"] == []
    assert "Only the outputs changed" in page.locator(".verdict").inner_text()
    page.set_viewport_size({"width": 390, "height": 844})
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
    page.close()
