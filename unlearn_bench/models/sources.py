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

from unlearn_bench.core.errors import OptionError, UserError, did_you_mean, reason_of
from unlearn_bench.core.functions import load_module
from unlearn_bench.core.options import plain_value
from unlearn_bench.models import IDENTITY, SEPARATOR, Classifier, models
from unlearn_bench.models.external import External, Observed
from unlearn_bench.models.parts import BENCHMARK, Advice
from unlearn_bench.models.preparation import Choices, channels_for, example_inputs, statistics_of

# of a description; every other key is an argument of the function that makes the network
OURS = ("name", "input_size", "normalise", "last_stage", "source_digest", *IDENTITY)
# arguments by which libraries choose trained weights, which come from a user's own file here
TRAINED = ("pretrained", "weights", "weights_backbone", "checkpoint_path")
DIGEST = 12  # characters of a file's SHA-256


def complete(description: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the description of an external network, with the digest of a user's own file.

    Args:
        description: ``name`` (``torchvision:NAME``, ``timm:NAME``, ``MODULE:FUNCTION`` or ``FILE.py:FUNCTION``); and
            where they differ from the defaults, ``input_size`` (the size), ``normalise`` and ``last_stage``, see
            :class:`unlearn_bench.models.preparation.Choices`. Every other key is an argument of the network's function.
            ``source_digest``, ``weights`` and ``pretrained_sha256`` are part of the run's identity only: the start of
            the SHA-256 of the user's source file, the digest of the weights of the original model, and that of the file
            of starting weights.

    Raises:
        OptionError, UnknownNameError: a value is out of range, the function does not exist, or ``source_digest`` is not
            that of the file.
    """
    digests = ("source_digest", *IDENTITY)  # which can look like numbers
    found = {key: value if key in digests else plain_value(value) for key, value in description.items()}
    _choices_of(found)
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
        return wrap(
            module,
            lambda: make_module(found, classes),
            name=name,
            channels=channels,
            side=side,
            classes=classes,
            choices=_choices_of(found),
        )


def _choices_of(description: Mapping[str, Any]) -> Choices:
    return Choices(
        size=description.get("input_size"),
        normalise=description.get("normalise", "auto"),
        last_stage=str(description.get("last_stage", "")),
    )


def wrap(
    module: nn.Module,
    make: Callable[[], nn.Module],
    *,
    name: str,
    channels: int,
    side: tuple[int, int],
    classes: int,
    choices: Choices,
    advice: Advice = BENCHMARK,
) -> External | Observed:
    """Returns any network as a :class:`Classifier`: split at its head, or read at the module that the user names.

    Args:
        module: the network, which loses its head unless features are named.
        make: returns the same network with new weights, see :class:`unlearn_bench.models.external.External`.
        name: of the architecture, such as ``timm:NAME``; empty for a network in memory.
        channels, side: of the images, the latter as (height, width) in pixels.
        classes: K.
        choices: features, last stage, size and normalisation.
        advice: what the user can do about a network that does not fit.

    Raises:
        OptionError: the network does not fit the images, or lacks a named module.
    """
    taken = channels_for(module, name, channels)
    device = next((value.device for value in module.state_dict().values()), torch.device("cpu"))
    common: dict[str, Any] = {
        "example": example_inputs((2, taken, *side), device),
        "classes": classes,
        "input_size": choices.size,
        "statistics": statistics_of(name, choices.normalise, module, taken),
        "advice": advice,
    }
    if choices.features is not None:
        return Observed(module, choices.features, **common)
    return External(module, make, last_stage=choices.last_stage, **common)


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
