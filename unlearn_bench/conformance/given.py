"""The checks of what the guards of real runs look at, in a short, a long and a large scene."""

from __future__ import annotations

from unlearn_bench.conformance import BrokenError, NotApplicableError, check
from unlearn_bench.conformance.observation import Observation, observe, short_options
from unlearn_bench.conformance.scene import Scene
from unlearn_bench.methods import Method
from unlearn_bench.options import describe

LONG = {"epochs": 12, "iterations": 40}  # against 2 and 6 in other checks
MANY = 320  # images of D_f, and of D'_r; against 24 in other checks


@check
def uses_what_it_is_given(method: Method, scene: Scene) -> None:
    """Only images that it was given pass a network; it looks at no other object and keeps no data for later runs."""
    seen = observe(method, scene.problem(method))
    _keeps_to_it(seen)
    if method.makes_inputs and not seen.own_inputs:
        raise BrokenError("it declares makes_inputs, and passes nothing through a network but images that it was given")


@check
def keeps_to_it_over_many_epochs(method: Method, scene: Scene) -> None:
    """The same holds over more epochs than any other check makes; only declared parts move there too."""
    names = {option.name for option in describe(method.function)}
    longer = {name: value for name, value in LONG.items() if name in names}
    if not longer:
        raise NotApplicableError(f"it has no option {' or '.join(LONG)}")
    _keeps_to_it(observe(method, scene.problem(method), short_options(method, **longer)))


@check
def keeps_to_it_on_many_images(method: Method, scene: Scene) -> None:
    """The same holds on 320 images of D_f and of D'_r, and on others after them."""
    if method.train_set == "none":
        raise NotApplicableError("it reads no data")
    options = short_options(method)
    larger = {"batch_size": 32} if "batch_size" in options else {}
    for forget in ("1,3,5", "0,2,4"):
        problem = scene.large.problem(method, network=scene.group_norm, forget=forget, images=MANY)
        _keeps_to_it(observe(method, problem, options | larger))


def _keeps_to_it(seen: Observation) -> None:
    for sentence in seen.violations:
        raise BrokenError(sentence)
