"""Completes what a user says about a network. Imports torch only for a network whose code states its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from unlearn_bench.config.benchmarks import Benchmarks
from unlearn_bench.config.model_choice import LIBRARIES, OF_PROFILE
from unlearn_bench.config.selection import Choice, profile_of
from unlearn_bench.core.errors import OptionError, UnknownNameError
from unlearn_bench.core.sources import AS_IT_IS


def with_network(benchmarks: Benchmarks, choice: Choice) -> Choice:
    """Returns a choice with the whole description of the network that it names.

    A size is the side of the images as they are read or, for a data set with images of one size and a network that is
    not registered here, the side to which the network gets them resized.

    Args:
        benchmarks: the content of benchmarks.yaml.
        choice: what the user chose.

    Raises:
        UnknownNameError, OptionError: there is no such profile or registered model, a function cannot be loaded, or a
            parameter is unknown. Whether a library has the network shows when it is built.
    """
    if choice.model == OF_PROFILE:
        return choice
    _, profile = profile_of(benchmarks, replace(choice, reading=AS_IT_IS))
    name = str(choice.model.description(profile.model)["name"])
    size = choice.reading.size
    if size is not None and ":" in name and ":" not in (choice.dataset or profile.dataset):
        if "input_size" in choice.model.arguments:
            raise OptionError(f"--size {size} and --argument input_size are the same here. Give only one of them.")
        model = replace(choice.model, arguments={**choice.model.arguments, "input_size": size})
        choice = replace(choice, model=model, reading=replace(choice.reading, size=None))
    if name.startswith(LIBRARIES):
        return choice
    description = _complete(choice.model.description(profile.model))
    return replace(choice, model=replace(choice.model, completed=description))


def _complete(description: Mapping[str, Any]) -> dict[str, Any]:
    from unlearn_bench.models import complete_model

    try:
        return complete_model(description)
    except UnknownNameError as problem:
        name = str(description["name"])
        if Path(name).is_file():
            raise OptionError(
                f"--model {name} is a file, and a network has a name, such as torchvision:resnet18. Give a file of "
                "weights with --pretrained, and a function in a file as FILE.py:FUNCTION."
            ) from None
        raise UnknownNameError(f"{problem} A network of a library is torchvision:NAME or timm:NAME.") from None
