"""A plug-in of methods that are wrong in ways in which public benchmarks are: `check-method` must catch each.

Each docstring says what is wrong; CAUGHT_BY names the check that must say so.
"""

from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field

from unlearn_bench.core.options import Inert
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, LearningRate
from unlearn_bench.models import Classifier
from unlearn_bench.numerics import kernels
from unlearn_bench.numerics.kernels import kl_divergence
from unlearn_bench.training.loop import cross_entropy, make_optimizer

CAUGHT_BY = {
    "retrain_redraws_the_head_alone": "redraws_what_it_says",
    "eu_k_resets_the_head_alone": "redraws_what_it_says",
    "scrub_teacher_is_the_student": "records_living_losses",
    "scrub_optimizer_holds_the_teacher": "optimizes_one_network",
    "scrub_kl_of_raw_logits": "compares_distributions",
    "kl_div_of_probabilities": "compares_distributions",
    "fisher_alpha_never_reaches_the_noise": "every_option_matters",
    "fisher_square_of_the_batch_mean": "every_option_matters",
    "neggrad_descends": "forget_loss_responds",
    "trains_the_original": "leaves_the_original_alone",
    "cf_k_normalisation_moves": "moves_what_it_says",
    "cheat_moves_the_features": "moves_what_it_says",
    "kl_of_raw_logits_by_its_module": "compares_distributions",
}
SOURCE = "planted"


def sgd(problem: UnlearningProblem, network: Classifier, lr: float, parameters: object = None) -> Classifier:
    chosen = network.parameters() if parameters is None else parameters
    return problem.fit(network, problem.retain_batches(8), make_optimizer("sgd", chosen, lr=lr), epochs=2)


@method(label="Retrain", source=SOURCE, train_set="D'_r", redraws=("everything",))
def retrain_redraws_the_head_alone(problem: UnlearningProblem, *, lr: LearningRate = 0.1) -> Classifier:
    """A retrained model that keeps every feature of the original."""
    network = problem.copy_of_original()
    network.reinitialise(network.head, problem.seed)
    return sgd(problem, network, lr)


@method(label="EU-k", source=SOURCE, train_set="D'_r", trains=("last_stage", "head"), redraws=("last_stage", "head"))
def eu_k_resets_the_head_alone(problem: UnlearningProblem, *, lr: LearningRate = 0.1) -> Classifier:
    """EU-k that finetunes the last stage instead of drawing it anew."""
    network = problem.copy_of_original()
    network.reinitialise(network.head, problem.seed)
    network.requires_grad_(False)
    moving = [*network.last_stage.requires_grad_(True).parameters(), *network.head.requires_grad_(True).parameters()]
    return sgd(problem, network, lr, moving)


def scrub(problem: UnlearningProblem, teacher: Classifier, student: Classifier, parameters: object, raw: bool) -> None:
    """A max and a min pass, twice, with the faults of its callers."""
    optimizer = make_optimizer("sgd", parameters, lr=0.01, momentum=0.9)
    forget, retain = problem.forget_batches(8), problem.retain_batches(8)

    def distance(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            target = logits.detach() if teacher is student else teacher(x)
        if raw:
            return kl_divergence(target / 4, logits / 4)
        return 16 * kl_divergence((target / 4).log_softmax(1), (logits / 4).log_softmax(1))

    def min_loss(network: Classifier, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        logits = network(x)
        return F.cross_entropy(logits, y) + 0.1 * distance(logits, x)

    problem.monitor.plan(2 * (len(forget) + len(retain)))
    for _ in range(2):
        problem.train_epoch(student, forget, optimizer, loss=lambda n, x, _y: -distance(n(x), x), curve="max_loss")
        problem.train_epoch(student, retain, optimizer, loss=min_loss, curve="min_loss")


@method(label="SCRUB", source=SOURCE, train_set="D'_r ∪ D_f")
def scrub_teacher_is_the_student(problem: UnlearningProblem) -> Classifier:
    """The student follows itself."""
    student = problem.copy_of_original()
    scrub(problem, student, student, student.parameters(), raw=False)
    return student


@method(label="SCRUB", source=SOURCE, train_set="D'_r ∪ D_f")
def scrub_optimizer_holds_the_teacher(problem: UnlearningProblem) -> Classifier:
    """Weight decay or gradients move the teacher with the student."""
    teacher, student = problem.copy_of_original().eval(), problem.copy_of_original()
    scrub(problem, teacher, student, [*teacher.parameters(), *student.parameters()], raw=False)
    return student


@method(label="SCRUB", source=SOURCE, train_set="D'_r ∪ D_f")
def scrub_kl_of_raw_logits(problem: UnlearningProblem) -> Classifier:
    """The softmax is forgotten on both sides."""
    student = problem.copy_of_original()
    scrub(problem, problem.original, student, student.parameters(), raw=True)
    return student


@method(label="KL", source=SOURCE, train_set="D'_r")
def kl_div_of_probabilities(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """PyTorch's kl_div wants log-probabilities first; it is fed probabilities."""

    def loss(network: Classifier, x: torch.Tensor, _y: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            target = problem.original(x).softmax(1)
        return F.kl_div(network(x).softmax(1), target, reduction="batchmean")

    network = problem.copy_of_original()
    optimizer = make_optimizer("sgd", network.parameters(), lr=lr)
    return problem.fit(network, problem.retain_batches(8), optimizer, epochs=2, loss=loss)


@method(label="KL", source=SOURCE, train_set="D'_r")
def kl_of_raw_logits_by_its_module(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """As above with our own kernel, called through its module."""

    def loss(network: Classifier, x: torch.Tensor, _y: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            target = problem.original(x)
        return kernels.kl_divergence(target, network(x))

    network = problem.copy_of_original()
    optimizer = make_optimizer("sgd", network.parameters(), lr=lr)
    return problem.fit(network, problem.retain_batches(8), optimizer, epochs=2, loss=loss)


def noise(problem: UnlearningProblem, variance: dict[str, torch.Tensor]) -> Classifier:
    network = problem.copy_of_original().eval()
    generator = torch.Generator().manual_seed(problem.seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.add_(variance[name].sqrt() * torch.randn(parameter.shape, generator=generator))
    return network


def square_of_the_batch_mean(problem: UnlearningProblem, batch_size: int) -> dict[str, torch.Tensor]:
    network = problem.copy_of_original().eval()
    total = {name: torch.zeros_like(value) for name, value in network.named_parameters()}
    batches = problem.retain_batches(batch_size)
    problem.monitor.plan(len(batches))
    for x, y in batches:
        network.zero_grad()
        loss = cross_entropy(network, x, y)
        loss.backward()
        problem.monitor.step()
        problem.monitor.record("loss", float(loss.detach()))
        for name, value in network.named_parameters():
            total[name] += value.grad.square()
    return total


@method(label="Fisher", source=SOURCE, train_set="D'_r")
def fisher_alpha_never_reaches_the_noise(
    problem: UnlearningProblem, *, alpha: Annotated[float, Field(gt=0, le=1, description="of the noise")] = 1e-6
) -> Classifier:
    """The variance is computed without alpha."""
    information = square_of_the_batch_mean(problem, 1)
    return noise(problem, {name: 1e-6 / (value + 1e-2) for name, value in information.items()})


@method(label="Fisher", source=SOURCE, train_set="D'_r")
def fisher_square_of_the_batch_mean(
    problem: UnlearningProblem, *, batch_size: Annotated[BatchSize, Inert()] = 8
) -> Classifier:
    """The square of a batch's mean gradient instead of the mean of squares: the batch size changes the result."""
    information = square_of_the_batch_mean(problem, batch_size)
    return noise(problem, {name: 1e-6 / (value + 1e-2) for name, value in information.items()})


@method(label="NegGrad", source=SOURCE, train_set="D_f")
def neggrad_descends(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """The sign is lost: the forget set is learnt once more."""
    network = problem.copy_of_original()
    optimizer = make_optimizer("sgd", network.parameters(), lr=lr)
    return problem.fit(network, problem.forget_batches(8), optimizer, epochs=2, loss=cross_entropy)


@method(label="FT", source=SOURCE, train_set="D'_r")
def trains_the_original(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """The model that every other method starts from is trained in place, and returned."""
    return sgd(problem, problem.original.requires_grad_(True), lr)


@method(label="CF-k", source=SOURCE, train_set="D'_r", trains=("last_stage", "head"))
def cf_k_normalisation_moves(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """Frozen layers are left in training mode: their BatchNorm statistics follow D'_r."""
    network = problem.copy_of_original()
    moving = [*network.last_stage.parameters(), *network.head.parameters()]
    return sgd(problem, network, lr, moving)


@method(label="Cheat", source=SOURCE, train_set="D'_r", trains=("head",))
def cheat_moves_the_features(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """Says that it trains the head, and trains everything."""
    return sgd(problem, problem.copy_of_original(), lr)
