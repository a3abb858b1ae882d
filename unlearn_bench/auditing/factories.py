"""Builds the untrained network of an architecture's name: of a library, of the user's own code, or built in."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from unlearn_bench.core.errors import OptionError, UserError, did_you_mean
from unlearn_bench.data import Dataset
from unlearn_bench.models import build, models

WEIGHTS = {"pretrained", "weights", "weights_backbone", "checkpoint_path"}  # arguments that choose trained weights


def build_architecture(name: str, options: Mapping[str, Any], dataset: Dataset) -> nn.Module:
    """Returns an untrained network with one logit per class of the data set.

    Args:
        name: see :func:`unlearn_bench.auditing.architectures.make_network`.
        options: arguments of the architecture; they override the number of classes.
        dataset: the images.

    Raises:
        OptionError, UnknownNameError: the architecture does not exist, or cannot be built with these arguments.
    """
    source, colon, function = name.rpartition(":")  # the path of a file can contain a colon too
    if not colon:
        return build({"name": name, **options}, channels=dataset.channels, classes=len(dataset.classes), seed=0)
    arguments = {"num_classes": len(dataset.classes), **{key: _value(value) for key, value in options.items()}}
    try:
        if source == "torchvision":
            from torchvision import models as classifiers
            from torchvision.models import get_model, list_models

            names = list_models(module=classifiers)  # no detectors: they download the weights of a part
            if function not in names:
                raise OptionError(f"torchvision has no classifier '{function}'.{did_you_mean(function, names)}")
            return get_model(function, **_untrained(arguments), weights=None)
        if source == "timm":
            timm = _timm()
            if not timm.is_model(function):
                raise OptionError(f"timm has no model '{function}'.{did_you_mean(function, timm.list_models())}")
            return timm.create_model(function, **_untrained(arguments), pretrained=False)
        return _from_factory(name, source, function, {key: arguments[key] for key in options})
    except UserError:
        raise
    except (Exception, SystemExit) as problem:  # code of others can raise anything
        raise OptionError(
            f"The architecture {name} cannot be built: {reason_of(problem)}. Change --set or fix its code."
        ) from None


def reason_of(problem: BaseException) -> str:
    """Returns the first line of an exception of other code, or its name where the line advises to load files unsafely.

    >>> reason_of(ValueError("no such layer"))
    'no such layer'
    >>> reason_of(ValueError("Weights only load failed. Set weights_only=False"))
    'ValueError'
    """
    text = str(problem)
    unsafe = re.search(r"weights.only|safe_globals|allow_pickle|trust_remote_code", text, re.IGNORECASE)
    return type(problem).__name__ if unsafe or not text.strip() else text.strip().splitlines()[0]


def _untrained(arguments: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a constructor without those that say where its weights come from.

    Raises:
        OptionError: one asks for the weights of the library.
    """
    for name in WEIGHTS & arguments.keys():
        if arguments[name] not in (False, None, "False", "None", "none", ""):
            raise OptionError(
                f"--set {name}={arguments[name]} asks for the weights of the library, and the weights come from the "
                f"files that you give (--model, --original). Leave out --set {name}."
            )
    return {name: value for name, value in arguments.items() if name not in WEIGHTS}


def _value(argument: Any) -> Any:
    """Returns the number or boolean that a word of the command line stands for; other words unchanged."""
    try:
        return json.loads(argument) if isinstance(argument, str) else argument
    except ValueError:
        return argument


def _timm() -> Any:
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError:
        raise OptionError(
            "This architecture needs timm, which is not installed. Install it with: pip install 'unlearn-bench[timm]'"
        ) from None


def _from_factory(name: str, source: str, function: str, options: Mapping[str, Any]) -> nn.Module:
    """Returns the module that a function of the user returns; its file may be in the working folder."""
    file = Path(source).expanduser() if source.endswith(".py") else None
    sys.path.insert(0, str(file.resolve().parent if file else Path.cwd()))
    try:
        factory = getattr(_module_of(file) if file else importlib.import_module(source), function)
    except (ImportError, AttributeError, FileNotFoundError) as problem:
        reason = f"there is no file {file}" if isinstance(problem, FileNotFoundError) else problem
        raise OptionError(
            f"The architecture {name} cannot be found: {reason}. Expected torchvision:NAME, timm:NAME, "
            f"FILE.py:FUNCTION, MODULE:FUNCTION, or one of {', '.join(models.names())}."
        ) from None
    finally:
        sys.path.pop(0)
    module = factory(**options)
    if not isinstance(module, nn.Module):
        raise OptionError(f"{name} returned {type(module).__name__}, expected a torch.nn.Module.")
    return module


def _module_of(file: Path) -> ModuleType:
    """Returns the module that a Python file defines."""
    spec = importlib.util.spec_from_file_location(f"architecture_{file.stem}", file)
    assert spec is not None  # guaranteed by the suffix
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and annotations are resolved there
    spec.loader.exec_module(module)
    return module
