"""The checks, in the order in which they run. A check that fails raises BrokenError."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlearn_bench.checks.conformance import BrokenError, NotApplicableError, check
from unlearn_bench.checks.conformance.observation import Observation, observe, short_options
from unlearn_bench.checks.conformance.test_bed import PER_CLASS, SEED, TestBed, weights
from unlearn_bench.checks.conformance.variation import NOTICED, changes_of, difference, is_choice, others_of, run_of
from unlearn_bench.core.errors import DivergedError
from unlearn_bench.core.options import Option, describe
from unlearn_bench.data import Images
from unlearn_bench.data.batches import Normalise
from unlearn_bench.methods import Method
from unlearn_bench.models import Classifier, weights_digest
from unlearn_bench.running.guards.weights import keys_of, moved_outside, some

PARTS = ("last_stage", "head")
ENOUGH = {"iterations": 100, "epochs": 40}  # after which the loss of D_f has responded to a method


@check
def is_documented(method: Method, _test_bed: TestBed) -> None:
    """The method documents what it returns, its source, and the meaning of each option."""
    if not method.summary.endswith("."):
        raise BrokenError("the first line of its docstring is not a sentence")
    if not method.source:
        raise BrokenError("it has no source")
    undocumented = [option.name for option in describe(method.function) if not option.help]
    if undocumented:
        raise BrokenError(f"no description of {', '.join(undocumented)}; add Field(description=...)")


@check
def leaves_the_original_alone(method: Method, test_bed: TestBed) -> None:
    """The original model and the images do not change, and the result shares no memory with the original."""
    problem = test_bed.problem(method)
    before, images = weights_digest(problem.original), _content(problem.retain, problem.forget)
    result = observe(method, problem).network
    if weights_digest(problem.original) != before:
        raise BrokenError("the original model's weights changed")
    if problem.original.training:
        raise BrokenError("the original model is in training mode afterwards")
    if any(p.requires_grad or p.grad is not None for p in problem.original.parameters()):
        raise BrokenError("the original model became trainable")
    own = {value.data_ptr() for value in problem.original.state_dict().values()}
    if own & {value.data_ptr() for value in result.state_dict().values()}:
        raise BrokenError("the result shares weights with the original model; start from problem.copy_of_original()")
    if _content(problem.retain, problem.forget) != images:
        raise BrokenError("the images changed")


@check
def moves_what_it_says(method: Method, test_bed: TestBed) -> None:
    """Only the declared weights change, and all declared parts do; frozen normalisation statistics stay the same."""
    for network in (test_bed.group_norm, test_bed.batch_norm):
        problem = test_bed.problem(method, network=network)
        before = {name: value.clone() for name, value in problem.original.state_dict().items()}
        after = observe(method, problem).network.state_dict()
        if {name: value.shape for name, value in before.items()} != {name: v.shape for name, v in after.items()}:
            raise BrokenError("the result has another architecture than the original model")
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        if outside := moved_outside(method.trains, problem.original, before, after):
            raise BrokenError(outside)
        parts = {part: keys_of(problem.original, part) for part in method.trains or PARTS}
        unchanged = [part for part, keys in parts.items() if not keys & moved]
        if unchanged:
            raise BrokenError(f"no weight of {' and '.join(unchanged)} changed; declare what does, @method(trains=...)")


@check
def redraws_what_it_says(method: Method, test_bed: TestBed) -> None:
    """Parts declared as drawn anew do not depend on the original; all other parts start from the original."""
    if method.from_scratch:
        raise NotApplicableError("it starts from an untrained model")
    plain = weights(observe(method, test_bed.problem(method)).network)
    for part in PARTS:
        problem = test_bed.problem(method)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name in keys_of(problem.original, part):
                value = problem.original.state_dict()[name]
                value.add_((0.1 * torch.randn(value.shape, generator=generator)).to(value))
        same = torch.equal(plain, weights(observe(method, problem).network))
        declared = part in method.redraws or "everything" in method.redraws
        if declared and not same:
            raise BrokenError(f"it declares {part} as drawn anew, but the result depends on the original's {part}")
        if same and not declared:
            raise BrokenError(f"the result does not depend on the original's {part}; declare it, @method(redraws=...)")


@check
def follows_from_the_seed(method: Method, test_bed: TestBed) -> None:
    """The same seed gives the same weights, for any state of the global generators and after any earlier run."""
    first = weights(observe(method, test_bed.problem(method)).network)
    torch.rand(7), np.random.rand(7), random.random()  # changes the state of every global generator
    observe(method, test_bed.problem(method, forget="3", seed=SEED + 5))
    if not torch.equal(first, weights(observe(method, test_bed.problem(method)).network)):
        raise BrokenError("two runs with the same seed differ")
    same = torch.equal(first, weights(observe(method, test_bed.problem(method, seed=SEED + 1)).network))
    if same and method.is_random:
        raise BrokenError("another seed changes nothing; use problem.seed, or declare is_random=False")
    if not same and not method.is_random:
        raise BrokenError("another seed changes the result, but it declares is_random=False")


@check
def records_living_losses(method: Method, test_bed: TestBed) -> None:
    """Every loss is recorded, is finite, and is not zero throughout."""
    seen = observe(method, test_bed.problem(method))
    curves = seen.monitor.curves
    if method.train_set == "none":
        raise NotApplicableError("it reads no data")
    if not curves and not seen.is_trained:
        raise NotApplicableError("it has no loss: no optimizer took a step")
    if not curves:
        raise BrokenError("no curve was recorded; train with problem.fit or problem.train_epoch, or use monitor.record")
    for name in dict.fromkeys(name for _, name, _ in curves):
        if max(abs(value) for _, other, value in curves if other == name) < 1e-8:
            raise BrokenError(f"the curve '{name}' is 0 throughout; it probably compares a value with itself")


@check
def compares_distributions(method: Method, test_bed: TestBed) -> None:
    """Every divergence is computed between distributions, not between raw logits."""
    wrong = observe(method, test_bed.problem(method)).wrong_divergences
    if wrong:
        raise BrokenError(wrong[0])


@check
def optimizes_one_network(method: Method, test_bed: TestBed) -> None:
    """Every optimizer has the parameters of one network only: a teacher is not trained."""
    too_many = observe(method, test_bed.problem(method)).too_many
    if too_many:
        shape = "×".join(str(side) for side in too_many[0])
        raise BrokenError(f"an optimizer has more parameters of shape {shape} than one network: it trains a second one")


@check
def uses_what_it_asks_for(method: Method, test_bed: TestBed) -> None:
    """Other images in D_f or D'_r change the result, if the method requests them."""
    if method.train_set == "none":
        raise NotApplicableError("it reads no data")
    first = observe(method, test_bed.problem(method))
    for part, name in (("forget", "D_f"), ("retain", "its retain images")):
        problem = test_bed.problem(method, skip={part: PER_CLASS // 2})
        if len(getattr(problem, part)) and difference(first, observe(method, problem), test_bed, method) < NOTICED:
            raise BrokenError(f"other images in {name} do not change the result: it requests them but ignores them")


@check
def forget_loss_responds(method: Method, test_bed: TestBed) -> None:
    """Of two classes, the cross-entropy of the forgotten one rises above the other's, whichever is forgotten.

    A run that forgets one class is compared with a run that forgets the other: the difference between the two classes'
    cross-entropies must be larger in the first run. What damages both classes alike does not count.
    """
    if "D_f" not in method.train_set:
        raise NotApplicableError("it does not see D_f")
    if method.unresponsive:
        raise NotApplicableError(method.unresponsive)
    options = {option.name: option.default for option in describe(method.function)}
    options |= {name: min(options[name], most) for name, most in ENOUGH.items() if name in options}
    # few images make few steps, so that larger steps are tried too
    rates = [{"lr": f * options["lr"]} for f in (1, 10, 100) if f * options["lr"] <= 1] if "lr" in options else [{}]
    results = []
    for rate in rates:
        problem, others = (
            test_bed.problem(method, images=PER_CLASS),
            test_bed.problem(method, forget="3", images=PER_CLASS),
        )
        instead = replace(others, retain=problem.retain)
        with contextlib.suppress(DivergedError):
            networks = [observe(method, variant, options | rate).network for variant in (problem, instead)]
            forgot, kept = (
                test_bed.loss(network, problem.forget) - test_bed.loss(network, others.forget) for network in networks
            )
            if forgot > kept:
                return
            results.append(f"{forgot:.6g}, not above {kept:.6g}" + "".join(f" (lr {rate[name]:g})" for name in rate))
    raise BrokenError(
        "the cross-entropy of a class minus that of another ends, where it is forgotten and where the other is, at "
        f"{'; '.join(results) or 'no finite number'}"
    )


@check
def every_option_matters(method: Method, test_bed: TestBed) -> None:
    """Every option changes the result, except options declared inert; options with free text are not tried."""
    options = describe(method.function)
    usual = short_options(method)
    # an option may matter only with another choice, as momentum does with SGD
    contexts = [{}, *({o.name: other} for o in options if is_choice(o) for other in others_of(o, usual[o.name]))]
    runs: dict[int, Observation | None] = {}  # one run for each choice, shared by all options
    for option in options:
        tried: list[Any] = []
        for number, base in enumerate(contexts):
            if option.name in base:
                continue
            if number not in runs:
                runs[number] = run_of(method, test_bed, base)
            changes = changes_of(method, test_bed, option, base, runs[number])
            tried += [value for value, _ in changes]
            if option.inert and any(changed > 1e-3 for _, changed in changes):
                raise BrokenError(f"{option.name} is declared inert, but {changes[-1][0]} changes the result")
            if option.inert or any(changed > NOTICED for _, changed in changes):
                break
        else:
            if tried and not _matters_with_batch_norm(method, test_bed, option):
                shown = ", ".join(str(value) for value in dict.fromkeys(tried))
                raise BrokenError(f"{option.name} does not change the result (tried {shown})")


@check
def stays_within_its_budget(method: Method, test_bed: TestBed) -> None:
    """Every image that passes through a network is counted, no file is read, and the number of steps is as planned."""
    seen = observe(method, test_bed.problem(method))
    if seen.most_passed > seen.monitor.samples_seen:
        raise BrokenError(
            f"{seen.most_passed} images passed through one network, but only {seen.monitor.samples_seen} were drawn; "
            "pass each drawn image once, and draw images with problem.retain_batches, forget_batches or predict, or "
            "call problem.monitor.add_samples"
        )
    if seen.files:
        raise BrokenError(f"it read {some(set(seen.files))}; a method may use only the data of its problem")
    if seen.monitor.planned_steps != seen.monitor.steps:
        raise BrokenError(f"it planned {seen.monitor.planned_steps} steps but took {seen.monitor.steps}")


@check
def takes_one_image(method: Method, test_bed: TestBed) -> None:
    """It works with a forget set of one image."""
    _finite(observe(method, test_bed.problem(method, images=1)).network, test_bed)


@check
def takes_the_last_class(method: Method, test_bed: TestBed) -> None:
    """It can forget the last class."""
    _finite(observe(method, test_bed.problem(method, forget="9")).network, test_bed)


@check
def takes_two_classes(method: Method, test_bed: TestBed) -> None:
    """It can forget two classes at once."""
    _finite(observe(method, test_bed.problem(method, forget="3,5", images=2 * PER_CLASS)).network, test_bed)


@check
def reports_divergence(method: Method, test_bed: TestBed) -> None:
    """It reports a loss that is not finite."""
    if method.train_set == "none":
        raise NotApplicableError("it reads no data")
    problem = test_bed.problem(method, normalise=Normalise((0.5,), (0.0,)))  # every input is infinite
    try:
        network = observe(method, problem).network
    except DivergedError:
        return
    if bool(weights(network).isfinite().all()):
        raise BrokenError("inputs are infinite, but it returned finite weights; raise DivergedError")


def _matters_with_batch_norm(method: Method, test_bed: TestBed, option: Option) -> bool:
    """Returns whether the option changes the result of a network with running statistics."""
    network = test_bed.batch_norm
    usual = run_of(method, test_bed, {}, network)
    return any(changed > NOTICED for _, changed in changes_of(method, test_bed, option, {}, usual, network))


def _finite(network: Classifier, test_bed: TestBed) -> None:
    with torch.no_grad():
        logits: Tensor = network(test_bed.normalise(test_bed.dataset.test.pixels))
    if not bool(logits.isfinite().all()):
        raise BrokenError("its logits are not finite")


def _content(*parts: Images) -> list[list[str]]:
    return [images.digests for images in parts]
