"""Methods against naive implementations: float64, a loop over samples, every formula written out."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from support.naive_steps import NaiveSgd, naive_copy, negative_log_likelihood, probabilities, samples_of
from torch import Tensor, nn

from unlearn_bench.core.errors import DataError
from unlearn_bench.data import Images
from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.methods.bias_cheat import bias_cheat
from unlearn_bench.methods.calibration import calibration
from unlearn_bench.methods.cf_k import cf_k
from unlearn_bench.methods.eu_k import eu_k
from unlearn_bench.methods.fisher import Variant, fisher, fisher_diagonal
from unlearn_bench.methods.neggrad_ft import neggrad_ft
from unlearn_bench.methods.scrub import scrub
from unlearn_bench.models import Classifier, build
from unlearn_bench.training.loop import make_optimizer, training_mode

WHOLE = 24  # images of D_f and of D'_r each: one batch is an epoch, and its order changes nothing


def assert_close(ours: nn.Module, theirs: nn.Module) -> None:
    for name, value in ours.state_dict().items():
        assert torch.allclose(value.double(), theirs.state_dict()[name].double(), atol=1e-5), name


def test_neggrad_ft_equals_alternating_steps(problem: UnlearningProblem) -> None:
    ours = neggrad_ft(problem, epochs=2, batch_size=WHOLE, lr=0.02, weight_decay=0.01)
    naive = naive_copy(problem)
    sgd = NaiveSgd(naive, lr=0.02, weight_decay=0.01)
    for _ in range(2):
        sgd.step(samples_of(problem, problem.forget), lambda *sample: -negative_log_likelihood(*sample))
        sgd.step(samples_of(problem, problem.retain), negative_log_likelihood)
    assert_close(ours, naive)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_scrub_equals_its_algorithm_by_loops(problem: UnlearningProblem, temperature: float) -> None:
    alpha, gamma = 0.3, 0.6
    options = {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.01}
    ours = scrub(
        problem,
        epochs=3,
        msteps=2,
        alpha=alpha,
        gamma=gamma,
        temperature=temperature,
        batch_size=WHOLE,
        forget_batch_size=WHOLE,
        **options,
    )
    teacher = copy.deepcopy(problem.original).double()
    student = naive_copy(problem)

    def divergence(network: nn.Module, x: Tensor) -> Tensor:
        t, s = probabilities(teacher(x)[0].detach(), temperature), probabilities(network(x)[0], temperature)
        return temperature**2 * sum(p * torch.log(p / q) for p, q in zip(t, s, strict=True))

    sgd = NaiveSgd(student, **options)
    for epoch in range(3):
        if epoch < 2:
            sgd.step(samples_of(problem, problem.forget), lambda network, x, _: -divergence(network, x))
        sgd.step(
            samples_of(problem, problem.retain),
            lambda network, x, y: gamma * negative_log_likelihood(network, x, y) + alpha * divergence(network, x),
        )
    assert_close(ours, student)


def test_scrub_rewinds_to_the_student_that_forgot_just_enough(problem: UnlearningProblem) -> None:
    both = [
        torch.cat([getattr(part, name) for part in (problem.retain, problem.forget)]) for name in ("pixels", "labels")
    ]
    knowing = replace(problem, retain=Images(*both))
    network = knowing.copy_of_original()
    knowing.fit(network, knowing.retain_batches(8), make_optimizer("sgd", network.parameters(), lr=0.1), epochs=30)
    problem = replace(problem, original=network.eval().requires_grad_(False))
    options = {"lr": 0.005, "batch_size": 8, "forget_batch_size": 8}
    rewound = scrub(problem, epochs=8, msteps=8, rewind=True, **options)
    # the same students without rewinding: each is the last one of a shorter run on what is not held out
    order = torch.randperm(24, generator=torch.Generator().manual_seed(problem.seed))
    seen, held_out = problem.forget[order[2:]], problem.forget[order[:2]]
    rest = replace(problem, forget=seen)
    students = [scrub(rest, epochs=n, msteps=n, **options).eval() for n in range(1, 9)]

    def error(network: Classifier, images: Images) -> float:
        with torch.no_grad():
            return float((network(problem.normalise(images.pixels)).argmax(1) != images.labels).double().mean())

    wanted = error(students[-1], held_out)
    distances = [abs(error(student, seen) - wanted) for student in students]
    best = distances.index(min(distances))
    assert 0 < best < 7, "a case in which rewinding matters"
    assert_close(rewound, students[best])


def naive_fisher(problem: UnlearningProblem, weights: Callable[[Tensor, int], list[float]]) -> dict[str, Tensor]:
    """The Fisher diagonal by a backward pass for each sample and class, in float64."""
    network = naive_copy(problem)
    total = {name: torch.zeros_like(parameter) for name, parameter in network.named_parameters()}
    for pixels, label in zip(problem.retain.pixels, problem.retain.labels.tolist(), strict=True):
        x = problem.normalise(pixels[None]).double()
        p = torch.softmax(network(x)[0].detach(), 0)
        for y, weight in enumerate(weights(p, label)):
            if weight:
                network.zero_grad()
                (-negative_log_likelihood(network, x, y)).backward()
                for name, parameter in network.named_parameters():
                    total[name] += weight * parameter.grad**2 / len(problem.retain)
    return total


def one_hot(p: Tensor, label: int) -> list[float]:
    return [float(y == label) for y in range(len(p))]


@pytest.mark.parametrize(("variant", "weights"), [("expected", lambda p, _: p.tolist()), ("empirical", one_hot)])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_fisher_diagonal_equals_a_loop_over_samples_and_classes(
    problem: UnlearningProblem, variant: Variant, weights: Callable[[Tensor, int], list[float]], batch_size: int
) -> None:
    network = problem.copy_of_original().eval()
    found = fisher_diagonal(network, problem, variant, batch_size, torch.Generator())
    for name, expected in naive_fisher(problem, weights).items():
        assert float((found[name] - expected).norm() / expected.norm()) < 1e-5, name


def test_monte_carlo_fisher_tends_to_the_expected_one(problem: UnlearningProblem) -> None:
    generator, network = torch.Generator().manual_seed(0), problem.copy_of_original().eval()
    draws = [fisher_diagonal(network, problem, "monte_carlo", 24, generator)["head.weight"] for _ in range(60)]
    expected = fisher_diagonal(network, problem, "expected", 24, generator)["head.weight"]
    error = [float((torch.stack(draws[:n]).mean(0) - expected).norm() / expected.norm()) for n in (1, 60)]
    assert error[1] < 0.1 < error[0]


def test_fisher_noise_has_the_variance_that_it_states(
    problem: UnlearningProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over 100 seeds, (θ − θ_o)² of each parameter against its variance written out anew."""
    alpha = 1e-5
    information = naive_fisher(problem, lambda p, _: p.tolist())
    original = dict(problem.original.named_parameters())
    squares = {name: torch.zeros_like(value) for name, value in original.items()}
    # the seed has no part in the information itself, which the test above compares with a loop
    diagonal = fisher_diagonal(problem.copy_of_original().eval(), problem, "expected", 24, torch.Generator())
    monkeypatch.setattr(sys.modules[fisher.__module__], "fisher_diagonal", lambda *_: diagonal)
    for seed in range(100):
        noisy = fisher(replace(problem, seed=seed), alpha=alpha, batch_size=24)
        for name, value in noisy.named_parameters():
            squares[name] += (value.detach() - original[name]) ** 2 / 100
    for name, value in squares.items():
        inverse = (1 / (information[name] + 1e-8)).clamp(max=1e2 if "head" in name else 1e3)
        if inverse.dim() > 1:
            inverse = inverse.mean(1, keepdim=True).expand_as(inverse)
        variance = alpha * inverse * (10 if "head" in name or inverse.dim() == 1 else 1)
        kept = [row for row in range(len(value)) if "head" not in name or row not in problem.forget_classes]
        assert float((value[kept] / variance[kept]).mean()) == pytest.approx(1, rel=0.35), name
    rows = torch.stack([fisher(replace(problem, seed=seed), alpha=0.5).head.weight[1].detach() for seed in range(20)])
    assert float(rows.mean()) == pytest.approx(0, abs=6e-3)
    assert float(rows.var()) == pytest.approx(1e-3, rel=0.3), "a forgotten class's row, whatever alpha is"


def moved(problem: UnlearningProblem, network: nn.Module) -> set[str]:
    before, after = problem.original.state_dict(), network.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("method", [cf_k, eu_k])
def test_only_the_last_stage_and_the_head_move(problem: UnlearningProblem, method: Callable[..., Classifier]) -> None:
    network = method(problem, epochs=2, batch_size=8, lr=0.05)
    last = {name for name in problem.original.state_dict() if name.startswith(("layer4.", "head."))}
    assert moved(problem, network) == last


def test_eu_k_keeps_nothing_of_the_layers_that_it_draws_anew(problem: UnlearningProblem) -> None:
    """The result does not depend on what the original's last stage and head held."""
    other = copy.deepcopy(problem.original)
    with torch.no_grad():
        for part in (other.layer4, other.head):
            for parameter in part.parameters():
                parameter.add_(1.0)
    one = eu_k(problem, epochs=1, batch_size=8)
    two = eu_k(replace(problem, original=other), epochs=1, batch_size=8)
    assert all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())
    from_original = cf_k(replace(problem, original=other), epochs=1, batch_size=8)
    assert not torch.equal(from_original.head.weight, cf_k(problem, epochs=1, batch_size=8).head.weight)


def test_layers_drawn_anew_are_distributed_as_an_untrained_models() -> None:
    network = build({"name": "resnet18", "width": 32, "groups": 2}, channels=3, classes=10, seed=0)
    untrained = build({"name": "resnet18", "width": 32, "groups": 2}, channels=3, classes=10, seed=1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(7.0)
    state = torch.random.get_rng_state()
    network.reinitialise(network.layer4, seed=5)
    network.reinitialise(network.head, seed=6)
    assert torch.equal(torch.random.get_rng_state(), state)
    for (name, ours), theirs in zip(network.named_parameters(), untrained.parameters(), strict=True):
        if not name.startswith(("layer4.", "head.")):
            assert (ours == 7).all()
        elif ours.dim() == 1 and name != "head.bias":
            assert torch.equal(ours, theirs), "a normalisation starts from 1 and 0"
        else:
            assert not torch.equal(ours, theirs)
            assert float(ours.detach().std()) == pytest.approx(
                float(theirs.detach().std()), rel=0.5 if name == "head.bias" else 0.05
            )


def test_statistics_of_a_frozen_normalisation_do_not_move() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3))
    network[0].requires_grad_(False)
    training_mode(network.eval())
    network(torch.randn(4, 3, 2, 2) + 5)
    assert torch.equal(network[0].running_mean, torch.zeros(3))
    assert not torch.equal(network[1].running_mean, torch.zeros(3))


def test_bias_cheat_silences_the_class_with_finite_numbers(problem: UnlearningProblem) -> None:
    network = bias_cheat(problem).eval()
    assert moved(problem, network) == {"head.bias"}
    z, before = (model(problem.normalise(problem.forget.pixels)) for model in (network, problem.original))
    assert not (z.argmax(1) == 1).any()
    assert torch.isfinite(z).all()
    assert torch.isfinite(z.log_softmax(1)).all()
    others = [label for label in range(10) if label not in problem.forget_classes]
    assert torch.equal(z[:, others], before[:, others])
    with pytest.raises(DataError, match="needs a forget set of whole classes"):
        bias_cheat(replace(problem, forget_classes=()))


def test_calibration_equals_gradient_descent_on_its_definition(problem: UnlearningProblem) -> None:
    network = calibration(problem).eval()
    assert moved(problem, network) == {"head.weight", "head.bias"}
    z = problem.original(problem.normalise(problem.retain.pixels)).detach().double()
    scale, bias = torch.ones((), dtype=torch.float64), torch.zeros(10, dtype=torch.float64)
    point = [part.requires_grad_(True) for part in (scale, bias)]
    for _ in range(4000):
        log_p = (scale * z + bias).log_softmax(1)
        loss = -log_p[torch.arange(WHOLE), problem.retain.labels].mean()
        loss = loss + ((scale - 1) ** 2 + bias.square().sum()) / (2 * WHOLE)
        for part, gradient in zip(point, torch.autograd.grad(loss, point), strict=True):
            part.data.sub_(0.3 * gradient)
    ours = network(problem.normalise(problem.forget.pixels)).detach().double()
    theirs = scale * problem.original(problem.normalise(problem.forget.pixels)).double() + bias
    assert torch.allclose(ours, theirs.detach(), atol=1e-3)
