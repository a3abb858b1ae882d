"""The checks, in the order in which they are shown. One that fails raises BrokenError."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unlearn_bench.conformance import BrokenError, NotApplicableError, check
from unlearn_bench.conformance.observation import Observation, observe, short_options
from unlearn_bench.conformance.scene import PER_CLASS, SEED, Scene, weights
from unlearn_bench.conformance.variation import NOTICED, changes_of, difference, is_choice, others_of, run_of
from unlearn_bench.data import Images
from unlearn_bench.data.batches import Normalise
from unlearn_bench.errors import DivergedError
from unlearn_bench.guards.weights import keys_of, moved_outside, some
from unlearn_bench.methods import Method
from unlearn_bench.models import Classifier, weights_digest
from unlearn_bench.options import describe

PARTS = ("last_stage", "head")


@check
def is_documented(method: Method, _scene: Scene) -> None:
    """It says what it returns, where it comes from and what each option is."""
    if not method.summary.endswith("."):
        raise BrokenError("its docstring begins with no sentence")
    if not method.source:
        raise BrokenError("it names no source")
    silent = [option.name for option in describe(method.function) if not option.help]
    if silent:
        raise BrokenError(f"no description of {', '.join(silent)}; give Field(description=...)")


@check
def leaves_the_original_alone(method: Method, scene: Scene) -> None:
    """The original model and the images are untouched, and the result shares no storage with them."""
    problem = scene.problem(method)
    before, images = weights_digest(problem.original), _content(problem.retain, problem.forget)
    made = observe(method, problem).network
    if weights_digest(problem.original) != before:
        raise BrokenError("the original model's weights changed")
    if problem.original.training:
        raise BrokenError("the original model is in training mode afterwards")
    if any(p.requires_grad or p.grad is not None for p in problem.original.parameters()):
        raise BrokenError("the original model was made trainable")
    own = {value.data_ptr() for value in problem.original.state_dict().values()}
    if own & {value.data_ptr() for value in made.state_dict().values()}:
        raise BrokenError("the result shares weights with the original model; start from problem.copy_of_original()")
    if _content(problem.retain, problem.forget) != images:
        raise BrokenError("the images changed")


@check
def moves_what_it_says(method: Method, scene: Scene) -> None:
    """The weights that it declares to move do, and no others, statistics of frozen normalisations included."""
    for network in (scene.group_norm, scene.batch_norm):
        problem = scene.problem(method, network=network)
        before = {name: value.clone() for name, value in problem.original.state_dict().items()}
        after = observe(method, problem).network.state_dict()
        if before.keys() != after.keys():
            raise BrokenError("the result is another architecture than the original model")
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        if outside := moved_outside(method.moves, problem.original, before, after):
            raise BrokenError(outside)
        parts = {part: keys_of(problem.original, part) for part in method.moves or PARTS}
        still = [part for part, keys in parts.items() if not keys & moved]
        if still:
            raise BrokenError(f"no weight of {' and '.join(still)} moved; name what moves, @method(moves=...)")


@check
def redraws_what_it_says(method: Method, scene: Scene) -> None:
    """Of parts that it declares to draw anew nothing of the original is left; all others start from the original."""
    if method.from_scratch:
        raise NotApplicableError("it is given an untrained model")
    plain = weights(observe(method, scene.problem(method)).network)
    for part in PARTS:
        problem = scene.problem(method)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name in keys_of(problem.original, part):
                value = problem.original.state_dict()[name]
                value.add_((0.1 * torch.randn(value.shape, generator=generator)).to(value))
        same = torch.equal(plain, weights(observe(method, problem).network))
        declared = part in method.redraws or "everything" in method.redraws
        if declared and not same:
            raise BrokenError(f"it declares to draw {part} anew, and the result depends on the original's {part}")
        if same and not declared:
            raise BrokenError(f"the result does not depend on the original's {part}; declare it, @method(redraws=...)")


@check
def follows_from_the_seed(method: Method, scene: Scene) -> None:
    """The same seed gives the same weights whatever the global generators and whatever ran before."""
    one = weights(observe(method, scene.problem(method)).network)
    torch.rand(7), np.random.rand(7), random.random()  # other states of every global generator
    observe(method, scene.problem(method, forget="3", seed=SEED + 5))
    if not torch.equal(one, weights(observe(method, scene.problem(method)).network)):
        raise BrokenError("two runs with one seed differ")
    same = torch.equal(one, weights(observe(method, scene.problem(method, seed=SEED + 1)).network))
    if same and method.is_random:
        raise BrokenError("another seed changes nothing; use problem.seed, or declare is_random=False")
    if not same and not method.is_random:
        raise BrokenError("another seed changes the result, and it declares is_random=False")


@check
def records_living_losses(method: Method, scene: Scene) -> None:
    """Every loss is recorded, finite, and not zero from beginning to end."""
    seen = observe(method, scene.problem(method))
    curves = seen.journal.curves
    if method.train_set == "none":
        raise NotApplicableError("it reads no data")
    if not curves and not seen.is_trained:
        raise NotApplicableError("it has no loss: no optimizer made a step")
    if not curves:
        raise BrokenError("no curve was recorded; train with problem.fit or problem.train_epoch, or use journal.record")
    for name in dict.fromkeys(name for _, name, _ in curves):
        if max(abs(value) for _, other, value in curves if other == name) < 1e-8:
            raise BrokenError(f"the curve '{name}' is 0 throughout: what it measures is compared with itself")


@check
def compares_distributions(method: Method, scene: Scene) -> None:
    """Every divergence is taken between distributions, never of raw logits."""
    wrong = observe(method, scene.problem(method)).wrong_divergences
    if wrong:
        raise BrokenError(wrong[0])


@check
def optimizes_one_network(method: Method, scene: Scene) -> None:
    """No optimizer holds more than one network's parameters: a teacher is never trained."""
    too_many = observe(method, scene.problem(method)).too_many
    if too_many:
        shape = "×".join(str(side) for side in too_many[0])
        raise BrokenError(f"an optimizer holds more parameters of shape {shape} than a network has: a second network's")


@check
def uses_what_it_asks_for(method: Method, scene: Scene) -> None:
    """Other images in D_f or D'_r, where it asks for them, give another result."""
    if method.train_set == "none":
        raise NotApplicableError("it reads no data")
    one = observe(method, scene.problem(method))
    for part, name in (("forget", "D_f"), ("retain", "its retain images")):
        problem = scene.problem(method, skip={part: PER_CLASS // 2})
        if len(getattr(problem, part)) and difference(one, observe(method, problem), scene, method) < NOTICED:
            raise BrokenError(f"other images in {name} change nothing: it asks for them and does not use them")


@check
def forget_loss_responds(method: Method, scene: Scene) -> None:
    """Where it forgets some images, their cross-entropy ends higher than where it forgets others."""
    if "D_f" not in method.train_set:
        raise NotApplicableError("it does not see D_f")
    if method.unresponsive:
        raise NotApplicableError(method.unresponsive)
    options = {option.name: option.default for option in describe(method.function)}
    # few images make few steps: greater ones are tried as well
    rates = [{"lr": f * options["lr"]} for f in (1, 10, 100) if f * options["lr"] <= 1] if "lr" in options else [{}]
    seen = []
    for rate in rates:
        problem, others = scene.problem(method, images=PER_CLASS), scene.problem(method, forget="3", images=PER_CLASS)
        instead = replace(others, retain=problem.retain)
        with contextlib.suppress(DivergedError):
            made, control = (observe(method, each, options | rate).network for each in (problem, instead))
            forgot, kept = (scene.loss(network, problem.forget) for network in (made, control))
            if forgot > kept:
                return
            seen.append(f"{forgot:.6g}, not above {kept:.6g}" + "".join(f" (lr {rate[name]:g})" for name in rate))
    raise BrokenError(f"the cross-entropy of D_f ends at {'; '.join(seen) or 'no finite number'}")


@check
def every_option_matters(method: Method, scene: Scene) -> None:
    """Every option changes the result, and one declared inert does not; options of words are not tried."""
    options = describe(method.function)
    usual = short_options(method)
    # an option may matter beside another choice alone, as momentum does with SGD
    beside = [{}, *({o.name: other} for o in options if is_choice(o) for other in others_of(o, usual[o.name]))]
    runs: dict[int, Observation | None] = {}  # of each choice, once for all options
    for option in options:
        tried: list[Any] = []
        for number, base in enumerate(beside):
            if option.name in base:
                continue
            if number not in runs:
                runs[number] = run_of(method, scene, base)
            changes = changes_of(method, scene, option, base, runs[number])
            tried += [value for value, _ in changes]
            if option.inert and any(changed > 1e-3 for _, changed in changes):
                raise BrokenError(f"{option.name} is declared inert, and {changes[-1][0]} changes the result")
            if option.inert or any(changed > NOTICED for _, changed in changes):
                break
        else:
            if tried:
                shown = ", ".join(str(value) for value in dict.fromkeys(tried))
                raise BrokenError(f"{option.name} changes nothing (tried {shown})")


@check
def stays_within_its_budget(method: Method, scene: Scene) -> None:
    """Every image that passes a network was drawn and counted, no file is read, and the steps are as announced."""
    seen = observe(method, scene.problem(method))
    if seen.most_passed > seen.journal.samples_seen:
        raise BrokenError(
            f"{seen.most_passed} images passed one network, and {seen.journal.samples_seen} were drawn; pass each "
            "once, and draw it with problem.retain_batches, forget_batches or predict, or tell problem.journal.drew"
        )
    if seen.files:
        raise BrokenError(f"it read {some(set(seen.files))}: a method is given its data and reads no other")
    if seen.journal.planned_steps != seen.journal.steps:
        raise BrokenError(f"it announced {seen.journal.planned_steps} steps and made {seen.journal.steps}")


@check
def takes_one_image(method: Method, scene: Scene) -> None:
    """A forget set of one image works."""
    _finite(observe(method, scene.problem(method, images=1)).network, scene)


@check
def takes_the_last_class(method: Method, scene: Scene) -> None:
    """The last class can be forgotten."""
    _finite(observe(method, scene.problem(method, forget="9")).network, scene)


@check
def takes_two_classes(method: Method, scene: Scene) -> None:
    """Two classes can be forgotten at once."""
    _finite(observe(method, scene.problem(method, forget="3,5", images=2 * PER_CLASS)).network, scene)


@check
def reports_divergence(method: Method, scene: Scene) -> None:
    """A loss that is not finite is reported, not hidden."""
    if method.train_set == "none":
        raise NotApplicableError("it reads no data")
    problem = scene.problem(method, normalise=Normalise((0.5,), (0.0,)))  # every input is infinite
    try:
        made = observe(method, problem).network
    except DivergedError:
        return
    if bool(weights(made).isfinite().all()):
        raise BrokenError("on infinite inputs it returned finite weights as if nothing had happened")


def _finite(network: Classifier, scene: Scene) -> None:
    with torch.no_grad():
        logits: Tensor = network(scene.normalise(scene.dataset.test.pixels))
    if not bool(logits.isfinite().all()):
        raise BrokenError("its logits are not finite")


def _content(*parts: Images) -> list[list[str]]:
    return [images.digests for images in parts]
