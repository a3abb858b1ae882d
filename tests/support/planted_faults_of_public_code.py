"""Methods of the field that are wrong in ways in which public code is.

Each docstring says what is wrong. CAUGHT_BY names the check of ``check-method`` that must say so; DIFFERS_FROM names
the reference of ``naive_methods`` from which the result must differ.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearn_bench.methods import UnlearningProblem, method, methods
from unlearn_bench.methods.boundary_expand import extra_row
from unlearn_bench.methods.boundary_shrink import fgsm
from unlearn_bench.methods.ct import transpose_kernels
from unlearn_bench.methods.l1_sparse import l1_norm, penalties
from unlearn_bench.methods.msg import rate_factor, redraw_small_gradients
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import cross_entropy, make_optimizer

CAUGHT_BY = {  # by a check
    "l1_without_gradient": "every_option_matters",
    "shrink_hides_its_inputs": "uses_what_it_is_given",
    "expand_leaves_the_extra_row": "moves_what_it_says",
}
DIFFERS_FROM = {  # the reference of the same options
    "l1_never_falls": "l1_sparse",
    "l1_of_matrices_alone": "l1_sparse",
    "neggrad_plus_in_two_steps": "neggrad_plus",
    "neggrad_plus_swaps_its_weights": "neggrad_plus",
    "neggrad_plus_descends": "neggrad_plus",
    "shrink_bound_in_normalised_space": "boundary_shrink",
    "shrink_teacher_is_the_student": "boundary_shrink",
    "shrink_trains_on_the_adversarial_image": "boundary_shrink",
    "expand_targets_the_last_class": "boundary_expand",
    "ct_trains_the_old_kernels": "ct",
    "ct_rotates": "ct",
    "msg_draws_large_gradients_anew": "msg",
    "msg_adds_the_gradient_of_the_forget_set": "msg",
    "msg_scales_weight_decay": "msg",
}
SOURCE = "planted"
FITTING = {"lr": 0.05, "momentum": 0.9}


def sgd(network: nn.Module, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    return make_optimizer("sgd", network.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)


def penalised(problem: UnlearningProblem, rates: list[float], norm: object, optimizer: dict[str, float]) -> Classifier:
    network = problem.copy_of_original()
    batches, moves = problem.retain_batches(24), sgd(network, **optimizer)
    problem.monitor.plan(len(rates) * len(batches))
    for rate in rates:

        def loss(network: Classifier, x: Tensor, y: Tensor, rate: float = rate) -> Tensor:
            return cross_entropy(network, x, y) + rate * norm(network)

        problem.train_epoch(network, batches, moves, loss=loss)
    return network


def l1_never_falls(
    problem: UnlearningProblem, *, epochs: int = 2, alpha: float = 1e-3, no_l1_epochs: int = 0, **optimizer: float
) -> Classifier:
    """The weight that the paper prints, without its schedule."""
    return penalised(problem, [alpha] * epochs, l1_norm, optimizer or FITTING)


def l1_of_matrices_alone(
    problem: UnlearningProblem, *, epochs: int = 2, alpha: float = 1e-3, no_l1_epochs: int = 0, **optimizer: float
) -> Classifier:
    """Biases and normalisations have no penalty."""

    def norm(network: Classifier) -> Tensor:
        return sum(parameter.abs().sum() for parameter in network.parameters() if parameter.dim() > 1)

    return penalised(problem, penalties(alpha, epochs, no_l1_epochs), norm, optimizer or FITTING)


@method(label="l1", source=SOURCE, train_set="D'_r")
def l1_without_gradient(problem: UnlearningProblem, *, epochs: int = 2, alpha: float = 1e-3) -> Classifier:
    """The norm is computed from ``.data``: the loss shows it and no weight feels it."""

    def norm(network: Classifier) -> Tensor:
        return l1_norm(network).detach()

    return penalised(problem, penalties(alpha, epochs, 0), norm, FITTING)


def neggrad_plus_in_two_steps(
    problem: UnlearningProblem, *, epochs: int = 2, alpha: float = 0.95, **optimizer: float
) -> Classifier:
    """A step on D_f and then one on D'_r, as in NegGrad+FT, instead of one step on both."""
    network = problem.copy_of_original()
    moves, retain, forget = sgd(network, **optimizer), problem.retain_batches(24), problem.forget_batches(24)
    for _ in range(epochs):
        problem.train_epoch(network, forget, moves, loss=lambda n, x, y: (alpha - 1) * cross_entropy(n, x, y))
        problem.train_epoch(network, retain, moves, loss=lambda n, x, y: alpha * cross_entropy(n, x, y))
    return network


def mixed(problem: UnlearningProblem, epochs: int, retain: float, forget: float, moves: dict[str, float]) -> Classifier:
    network, batches = problem.copy_of_original(), problem.forget_batches(24)

    def loss(network: Classifier, x: Tensor, y: Tensor) -> Tensor:
        return retain * cross_entropy(network, x, y) + forget * cross_entropy(network, *next(iter(batches)))

    return problem.fit(network, problem.retain_batches(24), sgd(network, **moves), epochs=epochs, loss=loss)


def neggrad_plus_swaps_its_weights(
    problem: UnlearningProblem, *, epochs: int = 2, alpha: float = 0.95, **optimizer: float
) -> Classifier:
    """α weighs D_f."""
    return mixed(problem, epochs, 1 - alpha, -alpha, optimizer)


def neggrad_plus_descends(
    problem: UnlearningProblem, *, epochs: int = 2, alpha: float = 0.95, **optimizer: float
) -> Classifier:
    """The sign is lost: D_f is learnt as well."""
    return mixed(problem, epochs, alpha, 1 - alpha, optimizer)


def shrunk(problem: UnlearningProblem, epochs: int, loss: object, optimizer: dict[str, float]) -> Classifier:
    network = problem.copy_of_original()
    return problem.fit(network, problem.forget_batches(24), sgd(network, **optimizer), epochs=epochs, loss=loss)


def nearest(teacher: Classifier, adversarial: Tensor) -> Tensor:
    with torch.no_grad():
        return teacher(adversarial).argmax(dim=1)


def shrink_bound_in_normalised_space(
    problem: UnlearningProblem, *, epochs: int = 2, bound: float = 0.1, **optimizer: float
) -> Classifier:
    """ε is added to normalised inputs, where it is smaller by the standard deviation, without the pixels' range."""

    def loss(network: Classifier, x: Tensor, y: Tensor) -> Tensor:
        x = x.requires_grad_(True)
        (gradient,) = torch.autograd.grad(cross_entropy(problem.original, x, y), x)
        return cross_entropy(network, x.detach(), nearest(problem.original, x.detach() + bound * gradient.sign()))

    return shrunk(problem, epochs, loss, optimizer)


def shrink_teacher_is_the_student(
    problem: UnlearningProblem, *, epochs: int = 2, bound: float = 0.1, **optimizer: float
) -> Classifier:
    """The attacked model moves with the student."""

    def loss(network: Classifier, x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(network, x, nearest(network, fgsm(network, x, y, bound, problem.normalise)))

    return shrunk(problem, epochs, loss, optimizer)


def shrink_trains_on_the_adversarial_image(
    problem: UnlearningProblem, *, epochs: int = 2, bound: float = 0.1, **optimizer: float
) -> Classifier:
    """The student learns x' instead of x."""

    def loss(network: Classifier, x: Tensor, y: Tensor) -> Tensor:
        adversarial = fgsm(problem.original, x, y, bound, problem.normalise)
        return cross_entropy(network, adversarial, nearest(problem.original, adversarial))

    return shrunk(problem, epochs, loss, optimizer)


@method(label="Shrink", source=SOURCE, train_set="D_f")
def shrink_hides_its_inputs(problem: UnlearningProblem, *, epochs: int = 2, bound: float = 0.1) -> Classifier:
    """Does not declare that it makes inputs of its own."""
    return shrink_trains_on_the_adversarial_image(problem, epochs=epochs, bound=bound, **FITTING)


@method(label="Expand", source=SOURCE, train_set="D_f")
def expand_leaves_the_extra_row(problem: UnlearningProblem, *, epochs: int = 2, lr: float = 0.01) -> Classifier:
    """The model still answers with the class that no data set has."""
    network = problem.copy_of_original()
    wide = nn.Linear(network.head.in_features, network.head.out_features + 1)
    extra = extra_row(network.head, problem.seed)
    wide.weight.data = torch.cat([network.head.weight.data, extra.weight.data])
    wide.bias.data = torch.cat([network.head.bias.data, extra.bias.data])
    network.head = wide

    def loss(network: Classifier, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(network(x), torch.full_like(y, wide.out_features - 1))

    return problem.fit(network, problem.forget_batches(24), sgd(network, lr), epochs=epochs, loss=loss)


def expand_targets_the_last_class(problem: UnlearningProblem, *, epochs: int = 2, **optimizer: float) -> Classifier:
    """Off by one: D_f gets the label of the last class that exists."""

    def loss(network: Classifier, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(network(x), torch.full_like(y, network.head.out_features - 1))

    return shrunk(problem, epochs, loss, optimizer)


def finetuned(problem: UnlearningProblem, network: Classifier, moves: torch.optim.Optimizer, epochs: int) -> Classifier:
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(moves, T_max=epochs)
    batches = problem.retain_batches(24)
    for _ in range(epochs):
        problem.train_epoch(network, batches, moves)
        schedule.step()
    return network


def ct_trains_the_old_kernels(problem: UnlearningProblem, *, epochs: int = 2, **optimizer: float) -> Classifier:
    """The optimizer holds the kernels from before the swap, which made new parameters."""
    network = problem.copy_of_original()
    moves = sgd(network, **optimizer)
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d):
            module.weight = nn.Parameter(module.weight.detach().transpose(2, 3).contiguous())
    return finetuned(problem, network, moves, epochs)


def ct_rotates(problem: UnlearningProblem, *, epochs: int = 2, **optimizer: float) -> Classifier:
    """A quarter turn, which is a swap of the axes and a mirror image."""
    network = problem.copy_of_original()
    transpose_kernels(network)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data.copy_(module.weight.data.flip(3).clone())
    return finetuned(problem, network, sgd(network, **optimizer), epochs)


def masked(
    problem: UnlearningProblem,
    sign: float,
    *,
    epochs: int,
    init_rate: float,
    kept_gradient: float,
    weight_decay: float,
    largest: bool = False,
    scales_decay: bool = False,
    **optimizer: float,
) -> Classifier:
    network = problem.copy_of_original()
    for weight, batches in ((1, problem.retain_batches(24)), (sign, problem.forget_batches(24))):
        for x, y in batches:
            (weight * cross_entropy(network, x, y)).backward()
    for parameter in network.parameters():
        parameter.grad = 1 / parameter.grad if largest else parameter.grad
    factors = redraw_small_gradients(network, init_rate, kept_gradient, problem.seed)
    moves = sgd(network, **optimizer, weight_decay=0.0 if scales_decay else weight_decay)

    def scale(*_: object) -> None:
        for parameter in network.parameters():
            if scales_decay:
                parameter.grad.add_(weight_decay * parameter.detach())
            parameter.grad.mul_(factors.get(parameter, 1.0))

    moves.register_step_pre_hook(scale)
    schedule = torch.optim.lr_scheduler.LambdaLR(moves, lambda epoch: rate_factor(epoch, epochs))
    retain = problem.retain_batches(24)
    for _ in range(epochs):
        problem.train_epoch(network, retain, moves)
        schedule.step()
    return network


def msg_draws_large_gradients_anew(problem: UnlearningProblem, **options: float) -> Classifier:
    """Draws anew what matters most for the difference, not least."""
    return masked(problem, -1, largest=True, **options)


def msg_adds_the_gradient_of_the_forget_set(problem: UnlearningProblem, **options: float) -> Classifier:
    """The sign of D_f is lost: the weights that matter for neither set are drawn anew."""
    return masked(problem, 1, **options)


def msg_scales_weight_decay(problem: UnlearningProblem, **options: float) -> Classifier:
    """The factor of the gradient applies to weight decay too."""
    return masked(problem, -1, scales_decay=True, **options)


FAULTS = {name: methods.get(name) for name in CAUGHT_BY}  # the registry may forget them
