"""Audits a model that was unlearned elsewhere: from its weights, the original weights, images and a forget set."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from unlearn_bench.auditing.architectures import Network, make_network
from unlearn_bench.auditing.comparison import TOLERANCE
from unlearn_bench.auditing.judgement import judge
from unlearn_bench.auditing.results import Audit, Input, Measured
from unlearn_bench.core import environment
from unlearn_bench.core.errors import CheckpointError, DataError, DivergedError, OptionError, UnmeasurableError
from unlearn_bench.core.files import file_digest
from unlearn_bench.core.progress import Progress, silent
from unlearn_bench.core.sources import Reading
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.loading import data_folder, load, reader_of
from unlearn_bench.data.scenarios import split_dataset
from unlearn_bench.metrics import Metric, metrics_of
from unlearn_bench.models.external import read_own
from unlearn_bench.models.outputs import Predictions, arrange, predict
from unlearn_bench.models.weight_files import SavedWeights
from unlearn_bench.models.weight_fit import Normalisation
from unlearn_bench.running.evaluation import measure
from unlearn_bench.training.devices import choose_device, describe_device, machine

BATCH = 128  # images of 64×64 pixels per pass; of larger ones fewer, which needs less memory and is faster on a CPU


def audit(
    *,
    model: Path,
    original: Path,
    retrained: Sequence[Path] = (),
    architecture: str,
    dataset: str,
    forget: str,
    scenario: str = "class",
    options: Mapping[str, Any] | None = None,
    features: str | None = None,
    size: int | None = None,
    normalise: str = "auto",
    key: str | None = None,
    grey: bool = False,
    data: Path | None = None,
    device: str = "auto",
    progress: Progress = silent,
    layout: str = "auto",
    strict: bool = False,
) -> Audit:
    """Returns the metrics of an unlearned model, its original and retrained models, with a verdict.

    Args:
        model: weights after unlearning: safetensors or a file of ``torch.save``, whatever its name is, or the index of
            their shards.
        original: weights before unlearning.
        retrained: weights of models trained without the forget set; a verdict needs two or more.
        architecture: ``torchvision:NAME``, ``timm:NAME``, ``module:function``, ``file.py:function``, or a model of this
            benchmark.
        dataset: such as ``folder:PATH`` or ``cifar10``; the original was trained on its training split.
        forget: the forget set in the spelling of the scenario, such as a class by name or number.
        scenario: the kind of forget set.
        options: arguments of the architecture.
        features: the module whose outputs are the features; None for the input of the layer that makes the logits.
        size: side in pixels to which images are resized (bilinear), see :func:`load_for_network`; None keeps their
            size.
        normalise: normalisation of the pixels: ``auto``, ``dataset``, ``imagenet``, ``none``.
        key: the entry of the files that contains the weights, such as ``state_dict_ema``; None to find it.
        grey: whether to convert colour images to one channel, for a network that takes such images.
        data: folder of data sets; None for the default.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``.
        progress: called for every model.
        layout, strict: of a folder, see :class:`unlearn_bench.core.sources.Reading`.

    Raises:
        CheckpointError: a file is missing, would execute code, or has weights of another architecture.
        OptionError, UnknownNameError, DataError: an architecture, layer, image or forget set does not exist.
    """
    torch_device = choose_device(device)
    loaded, input_size = load_for_network(dataset, Reading(size, layout, strict), data, progress)
    images = (loaded.grey() if grey else loaded).to(torch_device)
    split = split_dataset(images, scenario, str(forget), {})
    if not len(images.test) or not bool(split.test_forget.any()) or not bool(split.test_retain.any()):
        raise DataError(f"{dataset} lacks test images of '{forget}' or of the rest. Add some: the metrics need both.")
    network = make_network(architecture, dict(options or {}), images, features, input_size, normalise)
    metrics = metrics_of(scenario)
    values = dict[str, list[dict[str, float]]]()
    models = _files(original, model, retrained)
    inputs, states = _read(network, models, architecture, key, normalise)  # all before the first evaluation
    moved = _moved(states[0], states[1])
    for position, (role, path) in enumerate(models):
        progress("models", position, len(models))
        network.classifier.load_own(states.pop(0))
        try:
            found, left_out = evaluate_network(network, images, split, metrics)
            values.setdefault(role, []).append(found)
        except DivergedError as problem:
            raise CheckpointError(f"{path.name} cannot be evaluated: {problem}. Give other weights.") from None
    progress("models", len(models), len(models))
    measured = tuple(_measured(metric, values, split) for metric in metrics if metric.name in found)
    return Audit(
        inputs=tuple(inputs),
        architecture=f"{architecture}{_pairs(options or {})}, {network.parameters:,} parameters",
        features=network.features,
        preprocessing=f"converted to grey, {network.preprocessing}" if grey else network.preprocessing,
        images=f"{images.name}, content {images.digest[:12]}, {len(images.classes)} classes, "
        f"{len(images.train):,} training and {len(images.test):,} test images",
        forget=f"{scenario} {split.name}{_named(images, split)}: {len(split.forget):,} training images, "
        f"hash {split.digest[:12]}",
        made_with=f"unlearn-bench {environment.code_version()}, torch {environment.packages()['torch']}, "
        f"{describe_device(torch_device)} on {machine()}",
        command=_command(locals()),
        measured=measured,
        changed=_changed(moved, len(network.classifier.own_state()), network.head),
        judgement=judge(
            measured, moved, len(retrained), network.head, scenario == "class", len(images.classes), left_out=left_out
        ),
    )


def _files(original: object, model: object, retrained: object) -> list[tuple[str, Path]]:
    """Returns the role and the path of each file; Python code may give paths as text.

    Raises:
        OptionError: something else was given.
    """
    if not isinstance(retrained, Sequence) or isinstance(retrained, str):
        raise OptionError(f"retrained is {type(retrained).__name__}, expected a list of files of weights.")
    given = [("original", original), ("unlearned", model), *(("retrained", file) for file in retrained)]
    for role, file in given:
        if not isinstance(file, (str, Path)):
            name = "model" if role == "unlearned" else role
            raise OptionError(
                f"{name} is {type(file).__name__}, expected the path of a file of weights. For a network in memory use "
                "unlearn_bench.evaluate."
            )
    return [(role, Path(str(file))) for role, file in given]


def _read(
    network: Network, models: Sequence[tuple[str, Path]], architecture: str, key: str | None, normalise: str
) -> tuple[list[Input], list[dict[str, torch.Tensor]]]:
    """Returns the files and the weights of every model; ``auto`` normalises as the networks did inside, if they did.

    Raises:
        CheckpointError: see :func:`read_own`; or no file has the entry ``key``, or the files differ in how their
            networks normalised images.
    """
    inputs, states = list[Input](), list[dict[str, torch.Tensor]]()
    normalisations: list[tuple[str, Normalisation | None]] = []
    has_entries = False
    for role, path in models:
        saved = read_own(network.classifier, path, architecture, key)  # everything else in the file is not kept
        inputs += _inputs_of(role, saved)
        states.append(saved.state)
        normalisations.append((path.name, saved.normalisation))
        has_entries |= bool(saved.key or saved.prefix)
    if key and not has_entries:
        raise CheckpointError(f"No file has an entry '{key}': each contains nothing but the weights. Leave out --key.")
    numbers = {found for _, found in normalisations}
    if normalise == "auto" and numbers != {None}:
        if len(numbers) > 1:
            names = ", ".join(name for name, found in normalisations if found is not None)
            raise CheckpointError(
                f"The networks of {names} normalised images inside, and those of the other files did not do the same. "
                "Choose one normalisation for all with --normalise."
            )
        network.normalise_by("the numbers in the files", *(numbers.pop() or ((0.0,), (1.0,))))
    return inputs, states


def _inputs_of(role: str, weights: SavedWeights) -> list[Input]:
    """Returns the files of a model's weights."""
    first, *shards = weights.content.files
    whole = Input(role, first.name, file_digest(first), weights.key, weights.remarks)
    return [whole, *(Input(role, shard.name, file_digest(shard)) for shard in shards)]


def load_for_network(
    dataset: str, reading: Reading, data: Path | None, progress: Progress = silent
) -> tuple[Dataset, int | None]:
    """Returns the images, and the side to which the network's input is resized, or None.

    Either way, a size means that the shorter side is resized to it and the centre square is kept. A user's own images
    are resized when they are read, because they may have any size. The images of other data sets are square: they are
    resized before they enter the network, which takes less memory.
    """
    is_own = "size" in reader_of(dataset)[0].reads_by
    read = reading if is_own else replace(reading, size=None)
    images = load(dataset, folder=data_folder(Path(), data), progress=progress, reading=read)
    return images, None if is_own else reading.size


@torch.no_grad()
def evaluate_network(
    network: Network, dataset: Dataset, split: ForgetSplit, metrics: Sequence[Metric]
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Returns the value of each metric, by name, and why metrics are left out that have no value for these outputs.

    Raises:
        DivergedError: an output or a metric is not finite.
    """
    side = network.size or max(dataset.side)
    batch = max(8, min(BATCH, BATCH * 64**2 // side**2))
    sets = [images for images in (split.train, dataset.test, split.triggered) if images is not None]
    parts = [predict(network.classifier, images, network.normalise, batch) for images in sets]
    outputs = arrange(Predictions(*parts), split)
    values: dict[str, float] = {}
    left_out: dict[str, None] = {}
    for metric in metrics:
        try:
            values |= measure(outputs, [metric])
        except UnmeasurableError as problem:
            left_out[str(problem)] = None
    return values, tuple(left_out)


def _measured(metric: Metric, values: Mapping[str, Sequence[Mapping[str, float]]], split: ForgetSplit) -> Measured:
    test_mask = split.test_forget if metric.about == "forget" else split.test_retain
    return Measured(
        name=metric.name,
        label=metric.label,
        unit=metric.unit,
        reads=metric.reads,
        about=metric.about,
        shows=metric.shows,
        hides=metric.hides,
        without_reference=metric.without_reference,
        original=values["original"][0][metric.name],
        unlearned=values["unlearned"][0][metric.name],
        retrained=tuple(model[metric.name] for model in values.get("retrained", ())),
        resolution=100 / int(test_mask.sum()) if metric.unit == "%" else TOLERANCE[""],
    )


def _named(dataset: Dataset, split: ForgetSplit) -> str:
    names = ", ".join(dataset.classes[label] for label in split.classes)
    return f" ({names})" if names not in ("", split.name) else ""


def _moved(original: Mapping[str, torch.Tensor], unlearned: Mapping[str, torch.Tensor]) -> tuple[str, ...]:
    """Returns the names of the tensors that differ between the unlearned model and the original."""
    return tuple(name for name, value in unlearned.items() if not torch.equal(value, original[name]))


def _changed(moved: Sequence[str], tensors: int, head: str) -> str:
    if not moved:
        return "No tensor differs: both files contain the same weights."
    if head and all(name.startswith(f"{head}.") for name in moved):
        return f"Only the last layer differs ({', '.join(moved)}), so the features are the original's."
    return f"{len(moved)} of {tensors} tensors differ."


def _pairs(options: Mapping[str, Any]) -> str:
    return f" ({', '.join(f'{name} {value}' for name, value in options.items())})" if options else ""


def _command(arguments: Mapping[str, Any]) -> str:
    """Returns the command line of a call of :func:`audit` with these arguments."""
    words = ["unlearn-bench", "audit"]
    for name in ("model", "original", "retrained", "architecture", "dataset", "forget", "scenario"):
        values = arguments[name] if name == "retrained" else [arguments[name]]
        words += [word for value in values for word in (f"--{name}", str(value))]
    words += [
        word for name, value in (arguments["options"] or {}).items() for word in ("--argument", f"{name}={value}")
    ]
    for name in ("features", "size"):
        words += [f"--{name}", str(arguments[name])] if arguments[name] is not None else []
    words += [*Reading(None, arguments["layout"], arguments["strict"]).words, "--normalise", arguments["normalise"]]
    words += ["--key", arguments["key"]] if arguments["key"] else []
    words += ["--grey"] if arguments["grey"] else []
    words += ["--data", str(arguments["data"])] if arguments["data"] else []
    return shlex.join(words)
