"""What each method in particular promises; what all of them keep is in test_conformance."""

import copy

import pytest
import torch

from unlearn_bench.core.errors import DivergedError, OptionError
from unlearn_bench.core.options import complete
from unlearn_bench.methods import Method, UnlearningProblem, methods
from unlearn_bench.methods.ft_classifier import ft_classifier
from unlearn_bench.methods.muda import muda, phases
from unlearn_bench.methods.neggrad import neggrad
from unlearn_bench.models import weights_digest
from unlearn_bench.training.loop import cross_entropy


@pytest.mark.parametrize("method", list(methods), ids=lambda method: method.name)
def test_unknown_options_are_refused_and_presets_are_valid(method: Method) -> None:
    with pytest.raises(OptionError, match="has no option 'nonsense'"):
        complete(method.function, {"nonsense": 1}, f"method '{method.name}'")
    for values in method.presets.values():
        complete(method.function, values, method.name)


def mean_loss(network: torch.nn.Module, problem: UnlearningProblem, part: str) -> float:
    images = getattr(problem, part)
    with torch.no_grad():
        return float(cross_entropy(network, problem.normalise(images.pixels), images.labels))


def test_neggrad_raises_the_loss_of_the_forget_set(problem: UnlearningProblem) -> None:
    network = neggrad(problem, epochs=2, lr=0.01, batch_size=8)
    assert mean_loss(network, problem, "forget") > mean_loss(problem.original, problem, "forget")


def test_neggrad_takes_the_opposite_step_of_descent(problem: UnlearningProblem) -> None:
    network = neggrad(problem, epochs=1, lr=0.01, batch_size=24)
    manual = copy.deepcopy(problem.original).requires_grad_(True)
    cross_entropy(manual, problem.normalise(problem.forget.pixels), problem.forget.labels).backward()
    for ours, theirs in zip(network.parameters(), manual.parameters(), strict=True):
        assert torch.allclose(ours, theirs + 0.01 * theirs.grad, atol=1e-6)


def test_ft_classifier_moves_the_head_alone(problem: UnlearningProblem) -> None:
    network = ft_classifier(problem, epochs=2)
    before, after = problem.original.state_dict(), network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"head.weight", "head.bias"}


def test_muda_ablations_differ_and_need_one_loss(problem: UnlearningProblem) -> None:
    digests = {
        weights_digest(muda(problem, iterations=6, batch_size=8, use_da=use_da, use_sd=use_sd))
        for use_da, use_sd in ((True, True), (True, False), (False, True))
    }
    assert len(digests) == 3
    with pytest.raises(OptionError, match="both false"):
        muda(problem, use_da=False, use_sd=False)


def test_muda_first_step_equals_equation_3_by_autograd(problem: UnlearningProblem) -> None:
    """One forget step and one recover step of a single batch each, the losses written out as the paper has them."""
    alpha, beta, lr = 0.7, 0.3, 0.05
    network = muda(problem, iterations=2, batch_size=24, optimizer="sgd", lr=lr, alpha=alpha, beta=beta)
    manual = copy.deepcopy(problem.original).double().requires_grad_(True)
    forget, retain = (problem.normalise(part.pixels).double() for part in (problem.forget, problem.retain))
    f_r = manual.features(retain).detach()
    _, singular, rows = torch.linalg.svd(f_r, full_matrices=False)
    p = singular**2 / (singular**2).sum()
    u = rows[: max(1, round(float(torch.exp(-(p * p.log()).sum()))))].T
    f_f = manual.features(forget)
    moment = f_f.T @ f_f
    da = torch.linalg.matrix_norm(moment @ u @ u.T) / torch.linalg.matrix_norm(moment)
    q = manual.head(f_f).softmax(1)
    target = q.detach().clone()
    target[:, problem.forget_classes] = 0
    target = target / target.sum(1, keepdim=True)
    kept = [c for c in range(10) if c not in problem.forget_classes]
    sd = (target[:, kept] * (target[:, kept] / q[:, kept]).log()).sum(1).mean()
    for loss in (lambda: -alpha * da + beta * sd, lambda: cross_entropy(manual, retain, problem.retain.labels)):
        manual.zero_grad()
        loss().backward()
        with torch.no_grad():
            for parameter in manual.parameters():
                parameter.sub_(lr * parameter.grad)
    for ours, theirs in zip(network.parameters(), manual.parameters(), strict=True):
        assert torch.allclose(ours.double(), theirs, atol=2e-5)


@pytest.mark.parametrize(
    ("iterations", "forget", "retain"), [(200, 5, 5), (200, 157, 157), (2, 9, 9), (7, 3, 1), (9, 1, 1)]
)
def test_muda_uses_its_iterations_exactly_and_ends_with_recovery(iterations: int, forget: int, retain: int) -> None:
    planned = phases(iterations, forget, retain)
    assert sum(map(sum, planned)) == iterations
    assert all(0 <= f <= forget and 1 <= r <= retain for f, r in planned)


def test_mudas_frozen_teacher_is_the_original(problem: UnlearningProblem) -> None:
    """One forget step with the current teacher equals one with the frozen one: they start from the same output."""

    def moved(teacher: str, iterations: int) -> str:
        return weights_digest(muda(problem, iterations=iterations, batch_size=24, use_da=False, teacher=teacher))

    assert moved("current", 2) == moved("original", 2)
    assert moved("current", 6) != moved("original", 6)


def test_divergence_is_reported_with_its_step(problem: UnlearningProblem) -> None:
    with pytest.raises(DivergedError, match=r"loss is (nan|-?inf) after \d+ steps"):
        neggrad(problem, lr=10.0, epochs=500, batch_size=4)
