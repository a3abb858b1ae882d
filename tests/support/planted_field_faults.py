"""Methods of the field with the faults of public code, like :mod:`support.planted_faults`.

Faults that no check can see, because the result is a usual one, are told apart by the references of tests/methods.
"""

import copy
import secrets

import torch
import torch.nn.functional as F

from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import Alpha, LearningRate
from unlearn_bench.models import Classifier
from unlearn_bench.training.importance import Importance, by_class, dampen, mean_gradients
from unlearn_bench.training.loop import cross_entropy, make_optimizer

CAUGHT_BY = {
    "random_label_of_the_own_class": "forget_loss_responds",
    "bad_teacher_in_the_optimizer": "optimizes_one_network",
    "bad_teacher_of_logits": "compares_distributions",
    "bad_teacher_in_training_mode": "leaves_the_original_alone",
    "bad_teacher_of_an_unseeded_draw": "follows_from_the_seed",
    "salun_without_the_forget_set": "uses_what_it_asks_for",
    "ssd_selects_nothing": "moves_what_it_says",
    "ssd_of_infinite_gradients": "reports_divergence",
}
SOURCE = "planted"


@method(label="Random label", source=SOURCE, train_set="D_f")
def random_label_of_the_own_class(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """The labels are drawn from the forgotten classes: the class is learnt once more."""
    generator = torch.Generator().manual_seed(problem.seed)
    classes = torch.tensor(problem.forget_classes)

    def loss(network: Classifier, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return cross_entropy(network, x, classes[torch.randint(len(classes), y.shape, generator=generator)])

    network = problem.copy_of_original()
    optimizer = make_optimizer("sgd", network.parameters(), lr=lr)
    return problem.fit(network, problem.forget_batches(8), optimizer, epochs=2, loss=loss)


def follow(
    problem: UnlearningProblem, teacher: Classifier, parameters: object = None, is_of_logits: bool = False
) -> Classifier:
    student = problem.copy_of_original()

    def loss(network: Classifier, x: torch.Tensor, _y: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            target = teacher(x).softmax(1)
        return F.kl_div(network(x) if is_of_logits else network(x).log_softmax(1), target, reduction="batchmean")

    optimizer = make_optimizer("adam", parameters or student.parameters(), lr=1e-3)
    if parameters is not None:
        optimizer.add_param_group({"params": list(student.parameters())})
    return problem.fit(student, problem.forget_batches(8), optimizer, epochs=2, loss=loss)


def untrained(problem: UnlearningProblem) -> Classifier:
    teacher = copy.deepcopy(problem.original).requires_grad_(True)
    teacher.reinitialise(teacher, problem.seed)
    return teacher


@method(label="Bad teacher", source=SOURCE, train_set="D_f")
def bad_teacher_in_the_optimizer(problem: UnlearningProblem) -> Classifier:
    """The teacher's weights are in the student's optimizer."""
    teacher = untrained(problem)
    return follow(problem, teacher, teacher.parameters())


@method(label="Bad teacher", source=SOURCE, train_set="D_f")
def bad_teacher_of_logits(problem: UnlearningProblem) -> Classifier:
    """The student's logits take the place of its log-probabilities."""
    return follow(problem, untrained(problem), is_of_logits=True)


@method(label="Bad teacher", source=SOURCE, train_set="D_f")
def bad_teacher_in_training_mode(problem: UnlearningProblem) -> Classifier:
    """The competent teacher is in training mode: a batch normalisation of it would follow D_f."""
    return follow(problem, problem.original.train())


@method(label="Bad teacher", source=SOURCE, train_set="D_f")
def bad_teacher_of_an_unseeded_draw(problem: UnlearningProblem) -> Classifier:
    """The untrained network is another one in each run."""
    teacher = untrained(problem)
    teacher.reinitialise(teacher, secrets.randbits(32))
    return follow(problem, teacher)


@method(label="SalUn", source=SOURCE, train_set="D'_r ∪ D_f", unresponsive="it is said to")
def salun_without_the_forget_set(problem: UnlearningProblem, *, lr: LearningRate = 0.01) -> Classifier:
    """The mask is of D'_r, and D_f is never learnt with other labels."""
    network = problem.copy_of_original()
    optimizer = make_optimizer("sgd", network.parameters(), lr=lr)
    return problem.fit(network, problem.retain_batches(8), optimizer, epochs=2)


def importance(problem: UnlearningProblem, network: Classifier, part: str) -> Importance:
    batches = by_class(getattr(problem, part), 8, problem.normalise, problem.monitor)
    problem.monitor.plan(2)
    return mean_gradients(network, batches, cross_entropy, problem.monitor, curve=part, transform=torch.square)


@method(label="SSD", source=SOURCE, train_set="D'_r ∪ D_f", is_random=False)
def ssd_selects_nothing(problem: UnlearningProblem, *, alpha: Alpha = 10.0) -> Classifier:
    """Importance is compared with that of D'_r and D_f in equal parts: α = 10 is impossible, and nothing says so."""
    network = problem.copy_of_original().eval()
    forgotten, retained = (importance(problem, network, part) for part in ("forget", "retain"))
    everything = {name: (value + retained[name]) / 2 for name, value in forgotten.items()}
    dampen(network, forgotten, everything, alpha=alpha, dampening=1.0)
    return network


@method(label="SSD", source=SOURCE, train_set="D'_r ∪ D_f", is_random=False)
def ssd_of_infinite_gradients(problem: UnlearningProblem, *, alpha: Alpha = 10.0) -> Classifier:
    """A gradient that is not a number counts as unimportant: the original comes back as if it had been unlearned."""
    network = problem.copy_of_original().eval()
    for x, y in by_class(problem.forget, 8, problem.normalise, problem.monitor):
        cross_entropy(network, x, y).backward()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter[parameter.grad.square() > alpha] = 0.0
    return network
