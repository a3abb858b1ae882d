"""Networks that are not registered here: torchvision's, timm's, and those of a user's function, by their names."""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unlearn_bench.core.errors import OptionError, UserError, did_you_mean, reason_of, unknown_name
from unlearn_bench.core.functions import load_module
from unlearn_bench.core.options import plain_value
from unlearn_bench.core.sources import LARGEST_SIZE
from unlearn_bench.models import IDENTITY, SEPARATOR, Classifier, Statistics, models
from unlearn_bench.models.external import External
from unlearn_bench.models.weight_fit import normalisation_names

IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NORMALISATIONS = ("auto", "dataset", "imagenet", "none")
# of a description; every other key is an argument of the function that makes the network
OURS = ("name", "input_size", "normalise", "last_stage", "source_digest", *IDENTITY)
# arguments by which libraries choose trained weights, which come from a user's own file here
TRAINED = ("pretrained", "weights", "weights_backbone", "checkpoint_path")
DIGEST = 12  # characters of a file's SHA-256


def complete(description: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the description of an external network, with the digest of a user's own file.

    Args:
        description: ``name`` (``torchvision:NAME``, ``timm:NAME``, ``MODULE:FUNCTION`` or ``FILE.py:FUNCTION``); and
            where they differ from the defaults, ``input_size`` (side in pixels to which images are resized),
            ``normalise`` (one of :data:`NORMALISATIONS`; ``auto`` is the architecture's own numbers) and ``last_stage``
            (names of modules, separated by commas). Every other key is an argument of the network's function.
            ``source_digest``, ``weights`` and ``pretrained_sha256`` are part of the run's identity only: the start of
            the SHA-256 of the user's source file, the digest of the weights of the original model, and that of the file
            of starting weights.

    Raises:
        OptionError, UnknownNameError: a value is out of range, the function does not exist, or ``source_digest`` is not
            that of the file.
    """
    digests = ("source_digest", *IDENTITY)  # which can look like numbers
    found = {key: value if key in digests else plain_value(value) for key, value in description.items()}
    size = found.get("input_size")
    if size is not None and not (isinstance(size, int) and 1 <= size <= LARGEST_SIZE):
        raise OptionError(f"The model's input_size is {size}, expected 1 to {LARGEST_SIZE} pixels.")
    if (normalise := found.get("normalise", "auto")) not in NORMALISATIONS:
        raise unknown_name("normalisation", str(normalise), NORMALISATIONS)
    if digest := _source_digest(str(found["name"])):
        stated = str(found.setdefault("source_digest", digest))  # YAML reads twelve decimal digits as a number
        if stated != digest:
            raise OptionError(
                f"The file of the model {found['name']} has the SHA-256 {digest}…, expected {stated}…. Restore the "
                "file, or state the new source_digest, which makes new runs."
            )
    return found


def build(
    description: Mapping[str, Any], *, channels: int, classes: int, seed: int, side: tuple[int, int]
) -> Classifier:
    """Returns an external network as a :class:`Classifier`, with initial weights that depend only on ``seed``.

    Images with one channel are repeated to three for networks of torchvision and timm, unless their arguments state
    the number of channels.

    Raises:
        OptionError, UnknownNameError: see :func:`complete` and :class:`unlearn_bench.models.external.External`.
    """
    found = complete(description)
    name = str(found["name"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = make_module(found, classes)
        taken = _channels(module, name, channels)
        return External(
            module,
            lambda: make_module(found, classes),
            example=torch.zeros(2, taken, *side),
            classes=classes,
            input_size=found.get("input_size"),
            statistics=statistics_of(name, str(found.get("normalise", "auto")), module, taken),
            last_stage=str(found.get("last_stage", "")),
        )


def make_module(description: Mapping[str, Any], classes: int) -> nn.Module:
    """Returns a network with weights drawn from the global generator, and one logit for each class.

    Args:
        description: see :func:`complete`; its arguments can be words that JSON reads as numbers or booleans.
        classes: K, which the argument ``num_classes`` overrides; a user's function does not get it.

    Raises:
        OptionError: there is no such function, or it fails.
    """
    name = str(description["name"])
    source, _, function = name.rpartition(SEPARATOR)
    given = {key: plain_value(value) for key, value in description.items() if key not in OURS}
    if source in ("torchvision", "timm"):
        given = _untrained(given)
    try:
        if source == "torchvision":
            return _of_torchvision(function, {"num_classes": classes, **given})
        if source == "timm":
            timm = _timm()
            if not timm.is_model(function):
                raise OptionError(f"timm has no model '{function}'.{did_you_mean(function, timm.list_models())}")
            made = timm.create_model(function, pretrained=False, **{"num_classes": classes, **given})
        else:
            made = _factory(name)(**given)
    except UserError:
        raise
    except (Exception, SystemExit) as problem:  # code of others can raise anything
        raise OptionError(
            f"The architecture {name} cannot be built: {reason_of(problem)}. Change its arguments or its code."
        ) from None
    if not isinstance(made, nn.Module):
        raise OptionError(f"{name} returned {type(made).__name__}, expected a torch.nn.Module.")
    return made


def statistics_of(name: str, normalise: str, module: nn.Module, channels: int) -> Statistics | None:
    """Returns mean and standard deviation of pixels for a network; None for the data set's."""
    if normalise == "auto" and normalises_itself(module):
        return (0.0,) * channels, (1.0,) * channels
    if normalise == "auto" and name.startswith("timm:"):
        config = getattr(module, "pretrained_cfg", {})
        return tuple(config["mean"]), tuple(config["std"])
    if normalise == "imagenet" or (normalise == "auto" and name.startswith("torchvision:")):
        return IMAGENET
    return ((0.0,) * channels, (1.0,) * channels) if normalise == "none" else None


def normalises_itself(module: nn.Module) -> bool:
    """Returns whether a network contains the normalisation of its inputs, as a layer or as buffers."""
    layers = any(
        "normal" in type(part).__name__.lower() and hasattr(part, "mean") and hasattr(part, "std")
        for part in module.modules()
    )
    return layers or bool(normalisation_names(module.state_dict()))


def _of_torchvision(function: str, arguments: Mapping[str, Any]) -> nn.Module:
    from torchvision import models as classifiers
    from torchvision.models import get_model, list_models

    names = list_models(module=classifiers)  # no detectors: they download the weights of a part
    if function not in names:
        raise OptionError(f"torchvision has no classifier '{function}'.{did_you_mean(function, names)}")
    module: nn.Module = get_model(function, weights=None, **arguments)
    return module


def _timm() -> Any:
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError:
        raise OptionError(
            "This architecture needs timm, which is not installed. Install it with: pip install 'unlearn-bench[timm]'"
        ) from None


def _untrained(arguments: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a constructor without those that say where its weights come from.

    Raises:
        OptionError: one asks for trained weights of the library.
    """
    for name in TRAINED:
        if arguments.get(name) not in (False, None, "False", "None", "none", ""):
            raise OptionError(
                f"The argument {name}={arguments[name]} asks for the weights of the library, and weights come from the "
                "files that you give, with --pretrained FILE in the benchmark. Leave it out."
            )
    return {name: value for name, value in arguments.items() if name not in TRAINED}


def _factory(name: str) -> Callable[..., Any]:
    """Returns the function of the user; its module or file may be in the working folder."""
    source, _, function = name.rpartition(SEPARATOR)  # the path of a file can contain a colon too
    try:
        return getattr(load_module(source), function)
    except (ImportError, AttributeError, OSError) as problem:
        reason = f"there is no file {Path(source).expanduser()}" if isinstance(problem, FileNotFoundError) else problem
        raise OptionError(
            f"The architecture {name} cannot be found: {reason}. Expected torchvision:NAME, timm:NAME, "
            f"FILE.py:FUNCTION, MODULE:FUNCTION, or one of {', '.join(models.names())}."
        ) from None
    except UserError:
        raise
    except (Exception, SystemExit) as problem:  # the user's file can raise anything
        raise OptionError(
            f"The architecture {name} cannot be loaded: {reason_of(problem)} ({type(problem).__name__}). Correct its "
            "file."
        ) from None


def _source_digest(name: str) -> str:
    """Returns the start of the SHA-256 of the file that holds a user's function; empty for torchvision and timm."""
    if name.split(SEPARATOR, 1)[0] in ("torchvision", "timm"):
        return ""
    try:
        file = inspect.getsourcefile(inspect.unwrap(_factory(name)))
    except TypeError:
        file = None
    if file is None:
        raise OptionError(f"The architecture {name} is not a Python function with a source file. Give one.")
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:DIGEST]


def _channels(module: nn.Module, name: str, channels: int) -> int:
    """Returns the number of channels of the network's inputs: three where grey images are repeated."""
    first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    taken = first.in_channels if first is not None else channels
    if taken != channels and (channels, taken) != (1, 3):
        raise OptionError(
            f"The network {name} takes images with {taken} channel(s), and these images have {channels}. Give images "
            "or a network with the same number of channels."
        )
    return taken
