"""Methods of the field as plain loops over samples in float64, on a tiny network: references for the package's own."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from unlearn_bench.data import Images
from unlearn_bench.methods import UnlearningProblem
from unlearn_bench.models import Classifier

SGD = {"lr": 0.01, "momentum": 0.9}
OPTIONS = {
    "l1_sparse": {"epochs": 3, **SGD, "weight_decay": 0.01, "alpha": 0.01, "no_l1_epochs": 1},
    "neggrad_plus": {"epochs": 3, **SGD, "weight_decay": 0.01, "alpha": 0.8},
    "boundary_shrink": {"epochs": 3, **SGD, "bound": 0.1},
    "boundary_expand": {"epochs": 3, **SGD},
    "ct": {"epochs": 3, **SGD, "weight_decay": 0.01},
    "jit": {"epochs": 3, "lr": 1e-3, "sigma": 0.5, "copies": 3},
    "sfron": {
        **{"iterations": 4, "forget_every": 2, **SGD, "weight_decay": 0.01, "alpha": 10.0, "exponent": 2.0},
        **{"threshold": 1.0, "max_norm": 8.0, "beta": 0.7},
    },
    "msg": {"epochs": 3, **SGD, "weight_decay": 0.1, "init_rate": 0.3, "kept_gradient": 0.1},
}
WHOLE = 24  # images of D_f and of D'_r each: one batch is an epoch, and its order changes nothing


class Tiny(Classifier):
    """Two convolutions with biases, and a normalisation that treats each sample for itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm, self.conv2 = nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.Conv2d(4, 6, 3, 2)
        self.head = nn.Linear(6, 10)

    @property
    def last_stage(self) -> nn.Module:
        return self.conv2

    def features(self, x: Tensor) -> Tensor:
        return self.conv2(self.norm(self.conv1(x)).relu()).relu().mean(dim=(2, 3))


def tiny(problem: UnlearningProblem) -> UnlearningProblem:
    """Returns the problem with a tiny network of random weights, whose outputs differ clearly from image to image."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        network = Tiny()
        with torch.no_grad():
            network.norm.bias.normal_(0, 0.3)
            network.head.weight.mul_(20)
            features = network.features(problem.normalise(problem.forget.pixels))
            network.head.bias.copy_(-network.head.weight @ features.mean(dim=0))
    return replace(problem, original=network.eval().requires_grad_(False))


class NaiveSgd:
    """SGD with momentum and weight decay: v ← m·v + c·g + w·θ, θ ← θ − lr·v, where c is 1 if no factor is given."""

    def __init__(self, network: nn.Module, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        self.parameters, self.lr, self.momentum, self.weight_decay = (
            list(network.parameters()),
            lr,
            momentum,
            weight_decay,
        )
        self.velocity = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.factors = [torch.ones_like(parameter) for parameter in self.parameters]

    def step(self, loss: Tensor, max_norm: float = math.inf) -> None:
        gradients = torch.autograd.grad(loss, self.parameters)
        gradients = [c * g for c, g in zip(self.factors, gradients, strict=True)]
        norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
        with torch.no_grad():
            for parameter, v, g in zip(self.parameters, self.velocity, gradients, strict=True):
                v.mul_(self.momentum).add_(min(1.0, max_norm / norm) * g + self.weight_decay * parameter)
                parameter.sub_(self.lr * v)


def naive_copy(problem: UnlearningProblem) -> Classifier:
    return copy.deepcopy(problem.original).double().requires_grad_(True)


def nll(network: nn.Module, problem: UnlearningProblem, images: Images, labels: Sequence[int] | None = None) -> Tensor:
    """The mean over samples of log Σ exp z − z[label], one sample at a time."""
    total = torch.zeros((), dtype=torch.float64)
    for pixels, label in zip(images.pixels, labels or images.labels.tolist(), strict=True):
        z = network(problem.normalise(pixels[None]).double())[0]
        total = total + torch.log(torch.exp(z).sum()) - z[label]
    return total / len(images)


def l1_sparse(
    problem: UnlearningProblem,
    *,
    epochs: int,
    lr: float,
    momentum: float,
    weight_decay: float,
    alpha: float,
    no_l1_epochs: int,
) -> nn.Module:
    network = naive_copy(problem)
    sgd = NaiveSgd(network, lr, momentum, weight_decay)
    for epoch in range(epochs):
        rate = alpha * (1 - epoch / (epochs - no_l1_epochs)) if epoch < epochs - no_l1_epochs else 0.0
        norm = sum(abs(weight) for parameter in network.parameters() for weight in parameter.flatten())
        sgd.step(nll(network, problem, problem.retain) + rate * norm)
    return network


def neggrad_plus(
    problem: UnlearningProblem, *, epochs: int, lr: float, momentum: float, weight_decay: float, alpha: float
) -> nn.Module:
    network = naive_copy(problem)
    sgd = NaiveSgd(network, lr, momentum, weight_decay)
    for _ in range(epochs):
        retain, forget = (nll(network, problem, images) for images in (problem.retain, problem.forget))
        sgd.step(alpha * retain - (1 - alpha) * forget)
    return network


def adversarial_labels(problem: UnlearningProblem, bound: float) -> list[int]:
    """The classes to which a step of the sign of the gradient leads, written out in pixels between 0 and 1."""
    teacher, labels = naive_copy(problem), []
    mean, std = float(problem.normalise.mean), float(problem.normalise.std)
    for pixels, label in zip(problem.forget.pixels.double() / 255, problem.forget.labels.tolist(), strict=True):
        variable = pixels[None].clone().requires_grad_(True)
        z = teacher((variable - mean) / std)[0]
        (gradient,) = torch.autograd.grad(torch.log(torch.exp(z).sum()) - z[label], variable)
        stepped = variable.detach().clone()
        for index, slope in enumerate(gradient.flatten().tolist()):
            pixel = stepped.view(-1)[index].item() + bound * ((slope > 0) - (slope < 0))
            stepped.view(-1)[index] = round(255 * min(1.0, max(0.0, pixel))) / 255
        first, second = teacher((stepped - mean) / std)[0].detach().topk(2).values.tolist()
        assert first - second > 1e-4, "a class that rounding does not decide"
        labels.append(int(teacher((stepped - mean) / std)[0].argmax()))
    return labels


def boundary_shrink(problem: UnlearningProblem, *, epochs: int, lr: float, momentum: float, bound: float) -> nn.Module:
    network, labels = naive_copy(problem), adversarial_labels(problem, bound)
    sgd = NaiveSgd(network, lr, momentum)
    for _ in range(epochs):
        sgd.step(nll(network, problem, problem.forget, labels))
    return network


def boundary_expand(problem: UnlearningProblem, *, epochs: int, lr: float, momentum: float) -> nn.Module:
    """With a head of eleven rows, of which ten remain."""
    network = naive_copy(problem)
    narrow, d = network.head, network.head.in_features
    row = torch.randn(1, d, generator=torch.Generator().manual_seed(problem.seed)) * math.sqrt(2 / (d + 11))
    network.head = nn.Linear(d, 11).double()
    with torch.no_grad():
        network.head.weight.copy_(torch.cat([narrow.weight, row.double()]))
        network.head.bias.copy_(torch.cat([narrow.bias, torch.zeros(1)]))
    sgd = NaiveSgd(network, lr, momentum)
    for _ in range(epochs):
        sgd.step(nll(network, problem, problem.forget, [10] * len(problem.forget)))
    with torch.no_grad():
        narrow.weight.copy_(network.head.weight[:10])
        narrow.bias.copy_(network.head.bias[:10])
    network.head = narrow
    return network


def ct(problem: UnlearningProblem, *, epochs: int, lr: float, momentum: float, weight_decay: float) -> nn.Module:
    network = naive_copy(problem)
    for convolution in (network.conv1, network.conv2):
        before = convolution.weight.detach().clone()
        for o, i, h, w in torch.cartesian_prod(*(torch.arange(side) for side in before.shape)).tolist():
            convolution.weight.data[o, i, w, h] = before[o, i, h, w]
    sgd = NaiveSgd(network, lr, momentum, weight_decay)
    for epoch in range(epochs):
        sgd.lr = lr * (1 + math.cos(math.pi * epoch / epochs)) / 2
        sgd.step(nll(network, problem, problem.retain))
    return network


def msg(
    problem: UnlearningProblem,
    *,
    epochs: int,
    lr: float,
    momentum: float,
    weight_decay: float,
    init_rate: float,
    kept_gradient: float,
) -> nn.Module:
    network = naive_copy(problem)
    sgd = NaiveSgd(network, lr, momentum, weight_decay)
    difference = nll(network, problem, problem.retain) - nll(network, problem, problem.forget)
    gradients = torch.autograd.grad(difference, [network.conv1.weight, network.conv2.weight])
    generator = torch.Generator().manual_seed(problem.seed)
    numbers = {id(parameter): number for number, parameter in enumerate(sgd.parameters)}
    for convolution, gradient in zip((network.conv1, network.conv2), gradients, strict=True):
        weight = convolution.weight
        fresh = math.sqrt(2 / (len(weight) * 9)) * torch.randn(weight.shape, generator=generator).double()
        sizes = sorted((abs(value), place) for place, value in enumerate(gradient.flatten().tolist()))
        number = round(init_rate * len(sizes))
        assert sizes[number][0] > (1 + 1e-4) * sizes[number - 1][0], "weights that rounding does not decide"
        factors = torch.full_like(weight, kept_gradient)
        for _, place in sizes[:number]:
            weight.data.view(-1)[place] = fresh.flatten()[place]
            factors.view(-1)[place] = 1.0
        sgd.factors[numbers[id(weight)]] = factors
    peak = (epochs + 1) // 2
    for number in range(1, epochs + 1):
        sgd.lr = lr * (number / peak if number <= peak else (epochs + 1 - number) / (epochs + 1 - peak))
        sgd.step(nll(network, problem, problem.retain))
    return network


def jit(problem: UnlearningProblem, *, epochs: int, lr: float, sigma: float, copies: int) -> nn.Module:
    network = naive_copy(problem)
    sgd, images = NaiveSgd(network, lr), problem.forget
    orders, noises = (torch.Generator().manual_seed(problem.seed + offset) for offset in (1, 0))
    everything = problem.normalise(images.pixels).double()
    for _ in range(epochs):
        batch = everything[torch.randperm(len(images), generator=orders)]
        total = torch.zeros((), dtype=torch.float64)
        for _ in range(copies):
            noise = sigma * torch.randn(batch.shape, generator=noises).double()
            for x, shift in zip(batch, noise, strict=True):
                noisy = torch.minimum(torch.maximum(x + shift, everything.min()), everything.max())
                change = network(x[None])[0] - network(noisy[None])[0].detach()
                total = total + change.square().sum().sqrt() / (x - noisy).square().sum().sqrt()
        sgd.step(total / copies)
    return network


def sfron(
    problem: UnlearningProblem,
    *,
    iterations: int,
    forget_every: int,
    lr: float,
    momentum: float,
    weight_decay: float,
    alpha: float,
    exponent: float,
    threshold: float,
    max_norm: float,
    beta: float,
) -> nn.Module:
    network = naive_copy(problem)
    sgd, slow = NaiveSgd(network, lr, momentum, weight_decay), copy.deepcopy(network)
    of_forget, of_retain = (
        torch.autograd.grad(nll(network, problem, images), sgd.parameters)
        for images in (problem.forget, problem.retain)
    )
    ratios = [(f**2 + 1e-15) / (r**2 + 1e-15) / threshold for f, r in zip(of_forget, of_retain, strict=True)]
    for ratio, f in zip(ratios, of_forget, strict=True):
        assert bool(((ratio - 1).abs() > 1e-4)[f != 0].all()), "weights that rounding does not decide"
    for step in range(iterations):
        falling = (1 + math.cos(math.pi * step / iterations)) / 2
        sgd.lr = lr * falling
        if step % forget_every == 0:
            losses = [nll(network, problem, problem.forget[torch.tensor([k])]) for k in range(len(problem.forget))]
            weights = [loss.item() ** -exponent for loss in losses]
            mean = sum(c * loss for c, loss in zip(weights, losses, strict=True)) / sum(weights)
            sgd.factors = [(ratio >= 1).double() for ratio in ratios]
            sgd.step(-alpha * falling * mean, max_norm)
        sgd.factors = [torch.ones_like(parameter) for parameter in sgd.parameters]
        sgd.step(nll(network, problem, problem.retain))
        for parameter, old in zip(sgd.parameters, slow.parameters(), strict=True):
            parameter.data = beta * parameter.data + (1 - beta) * old.data
        slow = copy.deepcopy(network)
    return network


def check_reference(function: Callable[..., Classifier], problem: UnlearningProblem, **more: int) -> None:
    """Checks that a method gives the weights of the reference of its name, with batches of all images."""
    problem, options = tiny(problem), OPTIONS[function.__name__]
    ours, theirs = (
        function(problem, **options, **more, batch_size=WHOLE),
        globals()[function.__name__](problem, **options),
    )
    assert distance(ours, theirs) < CLOSE
    assert distance(problem.original, theirs) > 100 * CLOSE


def distance(ours: nn.Module, theirs: nn.Module) -> float:
    """The largest difference of two networks' weights."""
    return max(
        float((value.double() - theirs.state_dict()[name].double()).abs().max())
        for name, value in ours.state_dict().items()
    )


CLOSE = 1e-5  # float32 against float64, after a few steps
