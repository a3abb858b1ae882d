"""Reads weights of unknown origin: without executing code, and only if they fit the architecture."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from unlearn_bench.core.errors import CheckpointError

PICKLED = (".pt", ".pth", ".bin", ".ckpt")
# keys under which training loops save weights
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
PREFIXES = ("module.", "_orig_mod.", "model.")  # of parallel, compiled and wrapped networks
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
SHOWN = 3  # names in a message


def read_weights(network: nn.Module, file: Path, architecture: str) -> dict[str, Tensor]:
    """Returns the weights of a file, and loads them into ``network``.

    Args:
        network: a network of the architecture.
        file: safetensors, or a state dictionary saved by torch. The latter is read with ``weights_only``, which
            executes no code.
        architecture: its name, for messages.

    Raises:
        CheckpointError: the file is missing, contains more than tensors, or its names, shapes or kinds of numbers
            differ from those of the architecture.
    """
    tensors = _without_prefix(_tensors(_read(file), file), network)
    own = network.state_dict()
    expected = {name: tuple(value.shape) for name, value in own.items()}
    shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    lacking = [name for name in expected if name not in shapes and not name.endswith("num_batches_tracked")]
    foreign = [name for name in shapes if name not in expected]
    other = [
        f"{name} {shapes[name]}, expected {expected[name]}"
        for name in shapes
        if shapes[name] != expected.get(name, shapes[name])
    ]
    problems = [("lacks", lacking), ("has the unknown", foreign), ("has another shape for", other)]
    differences = [f"{verb} {', '.join(names[:SHOWN])}{_more(names)}" for verb, names in problems if names]
    if differences:
        raise CheckpointError(
            f"{file.name} does not fit {architecture}: it {'; '.join(differences)}. Give the architecture and the "
            "options of these weights (--architecture, --set)."
        )
    for name, value in tensors.items():
        _check_kind(name, value, own.get(name), file)
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise CheckpointError(f"{file.name} has values that are not finite, in {name}. Give finite weights.")
    network.load_state_dict(tensors, strict=False)  # only the batch counters of BatchNorm can be missing
    network.eval()
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _check_kind(name: str, value: Tensor, expected: Tensor | None, file: Path) -> None:
    """Checks the kind of a tensor's numbers: integers of a quantised network must not be read as weights."""
    kind = next((word for word in ("is_meta", "is_quantized", "is_complex") if _is(value, word)), "")
    floating = expected is None or expected.is_floating_point()
    if kind or value.layout is not torch.strided or value.dtype not in (FLOATS if floating else WHOLE):
        shown = str(value.dtype).removeprefix("torch.")
        dense = "" if value.layout is torch.strided and not kind else f" ({kind.removeprefix('is_') or value.layout})"
        kinds = "float16, bfloat16, float32 or float64" if floating else "integers"
        raise CheckpointError(f"{file.name} has {name} as {shown}{dense}, expected {kinds}, dense. Convert it.")


def _is(value: Tensor, word: str) -> bool:
    attribute = getattr(value, word)
    return bool(attribute() if callable(attribute) else attribute)


def _read(file: Path) -> Any:
    if not file.is_file():
        raise CheckpointError(f"There is no file {file}. Give a file with the weights of a model.")
    if file.suffix == ".safetensors":
        try:
            return load_file(file)
        except (SafetensorError, OSError) as problem:
            raise CheckpointError(f"{file.name} is not a safetensors file: {problem}.") from None
    if file.suffix not in PICKLED:
        raise CheckpointError(f"{file.name} ends in '{file.suffix}', expected .safetensors, {', '.join(PICKLED)}.")
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{file.name} contains more than tensors, and reading it could execute code. Save the state dictionary "
            "instead: torch.save(network.state_dict(), FILE), or use safetensors."
        ) from None
    except Exception as problem:  # a damaged archive can fail anywhere in torch
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise CheckpointError(f"{file.name} cannot be read: {reason}.") from None


def _tensors(content: Any, file: Path) -> dict[str, Tensor]:
    """Returns the state dictionary, without the dictionaries that training loops wrap around it."""
    for name in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(
            f"{file.name} contains {type(content).__name__}, expected a dictionary of tensors by name."
        )
    wrong = [str(name) for name, value in content.items() if not isinstance(name, str) or not isinstance(value, Tensor)]
    if wrong:
        raise CheckpointError(
            f"{file.name} contains entries that are no tensors: {', '.join(wrong[:SHOWN])}{_more(wrong)}. Remove them."
        )
    return dict(content)


def _without_prefix(tensors: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    expected = network.state_dict().keys()
    for prefix in PREFIXES * 2:  # twice, because prefixes can be nested
        if not tensors.keys() & expected and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return dict(tensors)


def _more(names: list[str]) -> str:
    return f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
