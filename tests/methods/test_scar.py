"""SCAR against plain loops: its distributions, its targets, its steps, and when it ends."""

from dataclasses import replace

import pytest
import torch
from support.naive_methods import tiny
from support.naive_steps import NaiveAdam, Samples, disagreement, few, naive_copy, samples_of
from torch import Tensor, nn

from unlearn_bench.core.errors import DataError
from unlearn_bench.data import Images
from unlearn_bench.methods import UnlearningProblem, methods
from unlearn_bench.methods.scar import scar, signed_power
from unlearn_bench.models import Classifier

OPTIONS = {"epochs": 2, "lr": 1e-3, "lambda_forget": 0.3, "lambda_retain": 2.0, "temperature": 2.0, "delta": 0.4}
GAMMAS = {"gamma_variance": 2.0, "gamma_covariance": 0.5}
IMAGES, FORGET = 10, 100  # FORGET is added to the target of an image of D_f: one loss serves both parts of a batch
Distribution = tuple[Tensor, Tensor]  # of a class: mean with norm 1, inverse correlation


def unit(v: Tensor) -> Tensor:
    return v / (v**2).sum().sqrt()


def shrunk(s: Tensor) -> Tensor:
    d = len(s)
    others = [float(s[i, j]) for i in range(d) for j in range(d) if i != j and float(s[i, j]) != 0]
    variance, mean = sum(float(s[i, i]) for i in range(d)) / d, sum(others) / len(others) if others else 0.0
    added = [[2.0 * variance if i == j else 0.5 * mean for j in range(d)] for i in range(d)]
    return s + torch.tensor(added).double()


def distribution(rows: list[Tensor], fault: str) -> Distribution:
    mean = sum(rows) / len(rows)
    d = len(mean)
    if len(rows) == 1:
        return unit(mean), torch.eye(d).double()
    s = torch.zeros(d, d).double()
    for row in rows:
        s += torch.outer(row - mean, row - mean) / (len(rows) - 1)
    s = shrunk(s) if fault == "the covariance is shrunk once" else shrunk(shrunk(s))
    correlation = torch.tensor([[s[i, j] / (s[i, i] * s[j, j]).sqrt() for j in range(d)] for i in range(d)])
    if fault == "the covariance is no correlation":
        correlation = s
    return (mean if fault == "the mean keeps its norm" else unit(mean)), torch.linalg.pinv(correlation)


def distance(h: Tensor, to: Distribution) -> Tensor:
    difference = unit(h**0.4) - to[0]
    return difference @ to[1] @ difference


def targets_of(problem: UnlearningProblem, classes: dict[int, Distribution], fault: str) -> list[int]:
    original, found = naive_copy(problem), []
    for x, own in samples_of(problem, problem.forget):
        order = sorted(classes, key=lambda c: float(distance(original.features(x)[0].detach(), classes[c])))
        if fault == "classes are counted without the forgotten one" and sorted(classes).index(order[0]) == own:
            order = order[1:]
        found.append(order[0])
    return found


def kept_targets(problem: UnlearningProblem, x_r: Samples, fault: str) -> tuple[Samples, list[Tensor]]:
    """The images of a batch that are not assigned to the forgotten class, and the logits to keep."""
    original = naive_copy(problem)
    logits = [(x, original(x)[0].detach()) for x, _ in x_r]
    if fault != "images of the forgotten class are kept":
        logits = [(x, z) for x, z in logits if int(z.argmax()) != problem.forget_classes[0]]
    least = min(float(z.min()) for _, z in logits)
    for _, z in logits:
        z[problem.forget_classes[0]] = z[problem.forget_classes[0]] if fault == "the logit stays" else least
    return [(x, number) for number, (x, _) in enumerate(logits)], [z / 2.0 for _, z in logits]


def draw(samples: Samples, generator: torch.Generator, size: int = 6) -> list[Samples]:
    order = torch.randperm(len(samples), generator=generator).tolist()
    return [[samples[k] for k in order[begin : begin + size]] for begin in range(0, len(order), size)]


def naive(problem: UnlearningProblem, fault: str = "") -> tuple[Classifier, list[int]]:
    """Two epochs of two batches of D_f, each with two of D'_r."""
    network, original = naive_copy(problem), naive_copy(problem)
    retain = samples_of(problem, problem.retain)
    powers = [(original.features(x)[0].detach() ** 0.4, y) for x, y in retain]
    classes = {c: distribution([h for h, y in powers if y == c], fault) for c in {y for _, y in retain}}
    targets = targets_of(problem, classes, fault)
    forget = [(x, FORGET + c) for (x, _), c in zip(samples_of(problem, problem.forget), targets, strict=True)]
    orders_f, orders_r = (torch.Generator().manual_seed(problem.seed + offset) for offset in (1, 0))
    adam = NaiveAdam(network, lr=1e-3)

    def step(x_f: Samples, x_r: Samples) -> None:
        kept, before = kept_targets(problem, x_r, fault)
        both = [*x_f, *kept]

        def loss(network: nn.Module, x: Tensor, label: int) -> Tensor:
            h = network.features(x)[0]
            if label >= FORGET:
                near = distance(h, classes[label - FORGET])
                return 0.3 * near * len(both) / len(x_f) + 0 * network.head(h).sum()  # the head has gradient 0
            log_p, log_q = (v - torch.log(torch.exp(v).sum()) for v in (before[label], network.head(h)))
            if fault == "the divergence is reversed":
                log_p, log_q = log_q, log_p
            return 2.0 * (torch.exp(log_p) * (log_p - log_q)).sum() * len(both) / len(kept)

        adam.step(both, loss)

    for _ in range(2):
        for x_f in draw(forget, orders_f):
            for x_r in draw(retain, orders_r):
                step(x_f, x_r)
    return network, targets


@pytest.fixture
def small(problem: UnlearningProblem) -> UnlearningProblem:
    """Three images of D'_r are images of D_f labelled 2, the class after the forgotten one: it is the nearest.

    The original assigns three images of D'_r to the forgotten class.
    """
    problem = tiny(few(problem, IMAGES))
    pixels = torch.cat([problem.forget.pixels[:3], problem.retain.pixels[3:]])
    with torch.no_grad():
        z = problem.original(problem.normalise(pixels))
        lead = (z.index_fill(1, torch.tensor(1), -torch.inf).amax(dim=1) - z[:, 1]).sort().values
        problem.original.head.bias[1] += (lead[2] + lead[3]) / 2
    return replace(problem, retain=Images(pixels, torch.tensor([2, 2, 2, 0, 0, 0, 4, 4, 5, 9])))


@pytest.fixture
def ours(small: UnlearningProblem) -> Classifier:
    return scar(small, **OPTIONS, **GAMMAS, batch_size=6)


def test_it_equals_its_loops(ours: Classifier, small: UnlearningProblem) -> None:
    theirs, targets = naive(small)
    assert 2 in targets
    assert disagreement(ours, theirs, small.original) < 1e-3


@pytest.mark.parametrize(
    "fault",
    [
        "classes are counted without the forgotten one",
        "the covariance is shrunk once",
        "the covariance is no correlation",
        "the mean keeps its norm",
        "images of the forgotten class are kept",
        "the logit stays",
        "the divergence is reversed",
    ],
)
def test_a_fault_differs_from_it(fault: str, ours: Classifier, small: UnlearningProblem) -> None:
    assert disagreement(ours, naive(small, fault)[0], small.original) > 1e-2


def test_the_power_keeps_the_sign_and_has_a_finite_derivative() -> None:
    h = torch.tensor([-4.0, 0.0, 9.0], requires_grad=True)
    assert signed_power(h, 0.5).tolist() == [-2.0, 0.0, 3.0]
    signed_power(h, 0.5).sum().backward()
    assert h.grad is not None and h.grad.tolist() == pytest.approx([0.25, 0.0, 1 / 6])


def test_it_ends_in_the_third_epoch_if_the_class_is_gone(small: UnlearningProblem) -> None:
    """The accuracy of training images of D_f: here none is right from the start."""
    with torch.no_grad():
        answers = small.original(small.normalise(small.forget.pixels)).argmax(dim=1)
    wrong = replace(small, forget=Images(small.forget.pixels, (answers + 1) % 10))
    methods.get("scar").unlearn(wrong, {"epochs": 5, "lr": 1e-6, "batch_size": 6})
    assert small.monitor.steps == small.monitor.planned_steps == 2 * 4 + 1


def test_each_batch_of_the_forget_set_has_at_most_six_steps(small: UnlearningProblem) -> None:
    methods.get("scar").unlearn(small, {"epochs": 1, "batch_size": 1})
    assert small.monitor.steps == small.monitor.planned_steps == IMAGES * 6
    # both sets for the targets, and in each step an image of D_f and one of D'_r
    assert small.monitor.samples_seen == 2 * IMAGES + 2 * IMAGES * 6


def test_it_needs_whole_classes(problem: UnlearningProblem) -> None:
    with pytest.raises(DataError, match="needs a forget set of whole classes"):
        scar(replace(problem, forget_classes=()))
