"""The checks by the guards of real runs: on small problems, over many epochs, and on many images."""

from __future__ import annotations

from unlearn_bench.checks.conformance import BrokenError, NotApplicableError, check
from unlearn_bench.checks.conformance.observation import Observation, observe, short_options
from unlearn_bench.checks.conformance.test_bed import TestBed
from unlearn_bench.core.options import describe
from unlearn_bench.methods import Method

LONG = {"epochs": 12, "iterations": 40}  # other checks use 2 and 6
MANY = 320  # images of D_f and of D'_r; other checks use at most 48


@check
def uses_what_it_is_given(method: Method, test_bed: TestBed) -> None:
    """It uses only the images of its problem, accesses no other objects, and keeps no data for later runs."""
    seen = observe(method, test_bed.problem(method))
    _check_guards(seen)
    if method.makes_inputs and not seen.own_inputs:
        raise BrokenError("it declares makes_inputs, but passes only images of its problem through networks")


@check
def keeps_to_it_over_many_epochs(method: Method, test_bed: TestBed) -> None:
    """The same is true over more epochs than in the other checks, and only the declared parts change."""
    names = {option.name for option in describe(method.function)}
    longer = {name: value for name, value in LONG.items() if name in names}
    if not longer:
        raise NotApplicableError(f"it has no option {' or '.join(LONG)}")
    _check_guards(observe(method, test_bed.problem(method), short_options(method, **longer)))


@check
def keeps_to_it_on_many_images(method: Method, test_bed: TestBed) -> None:
    """The same is true with 320 images in D_f and in D'_r, and with other images after them."""
    if method.train_set == "none":
        raise NotApplicableError("it reads no data")
    options = short_options(method)
    larger = {"batch_size": 80} if "batch_size" in options else {}
    for forget in ("1,3,5", "0,2,4"):
        problem = test_bed.large.problem(method, network=test_bed.group_norm, forget=forget, images=MANY)
        _check_guards(observe(method, problem, options | larger))


def _check_guards(seen: Observation) -> None:
    for sentence in seen.violations:
        raise BrokenError(sentence)
