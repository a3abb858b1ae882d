"""An audit of a model that somebody else made: its weights, the original's, images and a forget set to a verdict."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from unlearn_bench import environment
from unlearn_bench.artefacts import file_digest
from unlearn_bench.auditing.architectures import Network, make_network
from unlearn_bench.auditing.comparison import TOLERANCE
from unlearn_bench.auditing.judgement import judge
from unlearn_bench.auditing.weights import read_weights
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.loading import data_folder, load
from unlearn_bench.data.settings import divide
from unlearn_bench.errors import CheckpointError, DataError, DivergedError
from unlearn_bench.evaluation import measure
from unlearn_bench.metrics import Metric, metrics_of
from unlearn_bench.outputs import Outputs, Predictions, arrange, finite_outputs
from unlearn_bench.progress import Progress, silent
from unlearn_bench.report.audit import Audit, Input, Measured

BATCH = 128  # of networks and images of any size


def audit(
    *,
    model: Path,
    original: Path,
    retrained: Sequence[Path] = (),
    architecture: str,
    dataset: str,
    forget: str,
    setting: str = "class",
    options: Mapping[str, Any] | None = None,
    features: str | None = None,
    size: int | None = None,
    normalise: str = "auto",
    data: Path | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> Audit:
    """Returns what the given models show of forgetting, with a verdict in words.

    Args:
        model: weights after unlearning: ``.safetensors``, or a state dictionary in ``.pt``, ``.pth``, ``.bin``.
        original: weights before unlearning.
        retrained: weights of models trained without the forget set: two or more for a verdict.
        architecture: ``torchvision:NAME``, ``timm:NAME``, ``module:function``, or a model of this benchmark.
        dataset: such as ``folder:PATH`` or ``cifar10``; its training split is what the original was trained on.
        forget: the forget set as the setting spells it, such as a class by name or number.
        setting: what a forget set is.
        options: arguments of the architecture.
        features: a module whose outputs are the features; None for the input of the layer that makes the logits.
        size: side in pixels to which images are resized, bilinear; None for their own.
        normalise: of pixels: ``auto``, ``dataset``, ``imagenet``, ``none``.
        data: folder of data sets; None for the default.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``.
        progress: told of every model.

    Raises:
        CheckpointError: a file is missing, would run code, or holds weights of another architecture.
        OptionError, UnknownNameError, DataError: an architecture, layer, image or forget set that does not exist.
    """
    place = environment.choose_device(device)
    images = load(dataset, folder=data_folder(Path(), data), progress=progress).to(place)
    split = divide(images, setting, forget, {})
    if not len(images.test) or not bool(split.test_forget.any()) or not bool(split.test_retain.any()):
        raise DataError(f"{dataset} has no test images of '{forget}' or of the rest, and metrics need both. Add some.")
    network = make_network(architecture, dict(options or {}), images, features, size, normalise)
    wanted = metrics_of(setting)
    files = {"original": [original], "unlearned": [model], "retrained": list(retrained)}
    values: dict[str, list[dict[str, float]]] = {}
    inputs: list[Input] = []
    states: dict[str, dict[str, torch.Tensor]] = {}
    named = [(role, path) for role, paths in files.items() for path in paths]
    read = [read_weights(network.module, path, architecture) for _, path in named]  # what does not fit is told first
    for (role, path), state in zip(named, read, strict=True):
        progress("models", len(inputs), len(named))
        states[role] = state
        network.module.load_state_dict(state)
        inputs.append(Input(role, path.name, file_digest(path)))
        try:
            values.setdefault(role, []).append(evaluate_network(network, images, split, wanted))
        except DivergedError as problem:
            raise CheckpointError(f"{path.name} does not compute: {problem}. Give finite weights.") from None
    progress("models", len(named), len(named))
    measured = tuple(_measured(each, values, split) for each in wanted)
    moved = _moved(states)
    return Audit(
        inputs=tuple(inputs),
        architecture=f"{architecture}{_pairs(options or {})}, {network.parameters:,} parameters",
        features=network.described,
        preprocessing=network.preprocessing,
        images=f"{images.name}, content {images.digest[:12]}, {len(images.classes)} classes, "
        f"{len(images.train):,} training and {len(images.test):,} test images",
        forget=f"{setting} {split.name}{_named(images, split)}: {len(split.forget):,} training images, "
        f"hash {split.digest[:12]}",
        made_with=f"unlearn-bench {environment.code_version()}, torch {environment.packages()['torch']}, "
        f"{environment.describe_device(place)} on {environment.machine()}",
        command=_command(locals()),
        measured=measured,
        changed=_changed(moved, len(states["unlearned"]), network.head),
        judgement=judge(measured, moved, len(retrained), network.head, setting == "class", classes=len(images.classes)),
    )


@torch.no_grad()
def evaluate_network(
    network: Network, dataset: Dataset, split: ForgetSplit, wanted: Sequence[Metric]
) -> dict[str, float]:
    """Returns the value of each metric.

    Raises:
        DivergedError: an output or a metric is not finite.
    """
    parts = [_predict(network, images) for images in (split.train, dataset.test, split.triggered) if images is not None]
    return measure(arrange(Predictions(*parts), split), wanted)


def _predict(network: Network, images: Any) -> Outputs:
    """Returns features and logits of images in their order, in evaluation mode."""
    pairs = [network(pixels) for pixels in images.pixels.split(BATCH)]
    features, logits = (torch.cat([pair[k] for pair in pairs]).float() for k in range(2))
    return finite_outputs(features, logits, images)


def _measured(metric: Metric, values: Mapping[str, Sequence[Mapping[str, float]]], split: ForgetSplit) -> Measured:
    tested = split.test_forget if metric.about == "forget" else split.test_retain
    return Measured(
        name=metric.name,
        label=metric.label,
        unit=metric.unit,
        reads=metric.reads,
        about=metric.about,
        shows=metric.shows,
        hides=metric.hides,
        alone=metric.alone,
        original=values["original"][0][metric.name],
        unlearned=values["unlearned"][0][metric.name],
        retrained=tuple(each[metric.name] for each in values.get("retrained", ())),
        resolution=100 / int(tested.sum()) if metric.unit == "%" else TOLERANCE[""],
    )


def _named(dataset: Dataset, split: ForgetSplit) -> str:
    names = ", ".join(dataset.classes[label] for label in split.classes)
    return f" ({names})" if names not in ("", split.name) else ""


def _moved(states: Mapping[str, Mapping[str, torch.Tensor]]) -> tuple[str, ...]:
    """Returns the names of the tensors in which the unlearned model differs from the original."""
    return tuple(
        name for name, value in states["unlearned"].items() if not torch.equal(value, states["original"][name])
    )


def _changed(moved: Sequence[str], tensors: int, head: str) -> str:
    if not moved:
        return "No tensor differs: both files hold the same weights."
    if head and all(name.startswith(f"{head}.") for name in moved):
        return f"Only the last layer differs ({', '.join(moved)}): the features are the original's, by construction."
    return f"{len(moved)} of {tensors} tensors differ."


def _pairs(options: Mapping[str, Any]) -> str:
    return f" ({', '.join(f'{name} {value}' for name, value in options.items())})" if options else ""


def _command(given: Mapping[str, Any]) -> str:
    """Returns the command line of a call with these arguments."""
    words = ["unlearn-bench", "audit"]
    for name in ("model", "original", "retrained", "architecture", "dataset", "forget", "setting"):
        values = given[name] if name == "retrained" else [given[name]]
        words += [word for value in values for word in (f"--{name}", str(value))]
    words += [word for name, value in (given["options"] or {}).items() for word in ("--set", f"{name}={value}")]
    words += [
        word for name in ("features", "size") if given[name] is not None for word in (f"--{name}", str(given[name]))
    ]
    words += ["--normalise", given["normalise"]]
    words += ["--data", str(given["data"])] if given["data"] else []
    return shlex.join(words)
