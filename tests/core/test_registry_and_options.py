"""Discovery, suggestions, and hyper-parameters read from signatures."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from unlearn_bench.core.errors import OptionError, UnknownNameError
from unlearn_bench.core.options import changed, complete, describe
from unlearn_bench.core.registry import Entry, Registry
from unlearn_bench.methods import methods


def example(
    subject: object,
    *,
    lr: Annotated[float, Field(gt=0, le=10, description="learning rate")] = 0.1,
    steps: Annotated[int, Field(ge=1)] = 5,
    kind: Literal["sgd", "adam"] = "sgd",
    flag: bool = True,
) -> None:
    """Nothing."""


def test_unknown_name_suggests_and_lists() -> None:
    with pytest.raises(UnknownNameError, match=r"No method named 'mudda'\. Did you mean 'muda'\? Known: bad_teacher, "):
        methods.get("mudda")


def test_a_name_is_taken_once() -> None:
    registry: Registry[Entry] = Registry("thing", "unlearn_bench.running.executors")
    registry.add(Entry("a", "A", "nowhere", example))
    with pytest.raises(ValueError, match="two things are named 'a'"):
        registry.add(Entry("a", "A", "nowhere", example))


def test_strings_are_converted_and_defaults_completed() -> None:
    assert complete(example, {"lr": "1e-2", "flag": "false"}, "x") == {
        "lr": 0.01,
        "steps": 5,
        "kind": "sgd",
        "flag": False,
    }


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"lrr": 1}, "The x has no option 'lrr'. Did you mean 'lr'? Its options: lr, steps, kind, flag."),
        ({"lr": -1}, "Option 'lr' of the x is -1, expected float > 0, ≤ 10; the default is 0.1."),
        ({"lr": "nan"}, "Option 'lr' of the x is 'nan', expected float > 0, ≤ 10; the default is 0.1."),
        ({"steps": "few"}, "Option 'steps' of the x is 'few', expected int ≥ 1; the default is 5."),
        ({"kind": "lion"}, "Option 'kind' of the x is 'lion', expected one of sgd or adam; the default is sgd."),
    ],
)
def test_wrong_options_are_one_sentence(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(OptionError) as caught:
        complete(example, given, "x")
    assert str(caught.value) == sentence


def test_describe_and_changed() -> None:
    assert [(option.name, option.range) for option in describe(example)][:2] == [("lr", "> 0, ≤ 10"), ("steps", "≥ 1")]
    options = complete(example, {"lr": 0.1, "steps": 6}, "x")
    assert changed(example, options, {}) == {"steps": 6}
    assert changed(example, options, {"steps": 6}) == {}
