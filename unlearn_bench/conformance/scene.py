"""Where methods are tried: a few real digits, small networks trained on them, and an observer of what a method does."""

from __future__ import annotations

import copy
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.overrides import TorchFunctionMode

from unlearn_bench import kernels
from unlearn_bench.data import Dataset, ForgetSplit, Images
from unlearn_bench.data.batches import Batches, Normalise
from unlearn_bench.data.loading import load
from unlearn_bench.data.settings import settings
from unlearn_bench.journal import Journal
from unlearn_bench.methods import Method, UnlearningProblem
from unlearn_bench.models import Classifier, build
from unlearn_bench.options import complete, describe
from unlearn_bench.training import cross_entropy, make_optimizer, train_epoch

PER_CLASS = 24  # training images of each class
SHORT = {"epochs": 2, "iterations": 6, "batch_size": 8}  # where a method has such options: seconds, not minutes
SEED = 3
EPOCHS = 20  # of the networks' training
IMPORTED = (".py", ".pyc", ".so", ".pyd", ".dll", ".dylib")


class SmallBatchNorm(Classifier):
    """Two convolutions with BatchNorm, whose statistics move in training mode even where nothing is trained."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.stage = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.head = nn.Linear(16, classes)

    @property
    def last_stage(self) -> nn.Module:
        """The second convolution."""
        return self.stage

    def features(self, x: Tensor) -> Tensor:
        """Returns (N, 16)."""
        return self.stage(self.stem(x)).mean(dim=(2, 3))


@dataclass(frozen=True)
class Scene:
    """Digits of scikit-learn, a few of each class, and networks trained on them.

    Attributes:
        device: of images and networks.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @cached_property
    def dataset(self) -> Dataset:
        """The images."""
        return load("digits", folder=Path(), train_per_class=PER_CLASS, test_per_class=8).to(self.device)

    @cached_property
    def group_norm(self) -> Classifier:
        """A trained ResNet-18 with GroupNorm."""
        network = build({"name": "resnet18", "width": 4, "groups": 2}, channels=1, classes=10, seed=7)
        return self._trained(network.to(self.device))

    @cached_property
    def batch_norm(self) -> Classifier:
        """A trained network with BatchNorm."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            network = SmallBatchNorm(1, 10)
        return self._trained(network.to(self.device))

    def problem(
        self,
        method: Method,
        *,
        network: Classifier | None = None,
        forget: str = "1",
        images: int = PER_CLASS // 2,
        skip: Mapping[str, int] | None = None,
        seed: int = SEED,
        normalise: Normalise | None = None,
    ) -> UnlearningProblem:
        """Returns a problem with the data that the method declares.

        Args:
            method: it is given the network, or, where it trains from scratch, an untrained one.
            network: trained; the one with GroupNorm by default.
            forget: the classes forgotten.
            images: of D_f, and of D'_r.
            skip: how many images of ``forget`` and of ``retain`` to pass over, for another choice of them.
            seed: of the method.
            normalise: in place of the data set's own.
        """
        split: ForgetSplit = settings.get("class").function(self.dataset, forget)
        is_forget = torch.zeros(len(self.dataset.train), dtype=torch.bool)
        is_forget[split.forget] = True
        train, (start_f, start_r) = self.dataset.train, ((skip or {}).get(part, 0) for part in ("forget", "retain"))
        chosen = split.forget[start_f : start_f + images]
        kept = torch.nonzero(~is_forget)[start_r : start_r + images, 0]
        nothing = train[torch.zeros(0, dtype=torch.int64)]
        start = network or self.group_norm
        if method.from_scratch:
            start = build({"name": "resnet18", "width": 4, "groups": 2}, channels=1, classes=10, seed=8)
        fresh = copy.deepcopy(start).to(self.device).eval().requires_grad_(False)
        return UnlearningProblem(
            original=fresh,
            retain=nothing if method.train_set in ("D_f", "none") else train[kept],
            forget=train[chosen] if "D_f" in method.train_set else nothing,
            forget_classes=split.classes,
            seed=seed,
            normalise=normalise or self.normalise,
        )

    @property
    def normalise(self) -> Normalise:
        """Of the data set."""
        return Normalise(self.dataset.mean, self.dataset.std)

    def loss(self, network: Classifier, images: Images) -> float:
        """Returns the mean cross-entropy of ``images`` in evaluation mode."""
        network.eval()
        with torch.no_grad():
            return float(cross_entropy(network, self.normalise(images.pixels), images.labels))

    def _trained(self, network: Classifier) -> Classifier:
        batches = Batches(
            self.dataset.train, batch_size=8, seed=1, normalise=self.normalise, augment="none", drawn=lambda _n: None
        )
        optimizer = make_optimizer("sgd", network.parameters(), lr=0.1)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.8)  # to end where D_f is fitted
        for _ in range(EPOCHS):
            autocast = torch.autocast(self.device.type, enabled=False)
            train_epoch(network, batches, optimizer, cross_entropy, Journal(), autocast, curve="loss")
            schedule.step()
        return network.eval()


@dataclass
class Observation:
    """What a method did while it ran.

    Attributes:
        network: what it returned, in evaluation mode.
        journal: counts and curves.
        most_passed: images passed forward through the classifier that met the most of them.
        files: read, other than to import code.
        wrong_divergences: a sentence for each divergence that was fed something else than distributions.
        too_many: shapes of parameters that an optimizer held more often than the network has them.
    """

    network: Classifier
    journal: Journal
    most_passed: int = 0
    files: list[str] = field(default_factory=list)
    wrong_divergences: list[str] = field(default_factory=list)
    too_many: list[tuple[int, ...]] = field(default_factory=list)


def short_options(method: Method, **changes: Any) -> dict[str, Any]:
    """Returns all options of a method, its long ones cut, with ``changes`` over them."""
    names = {option.name for option in describe(method.function)}
    short = {name: value for name, value in SHORT.items() if name in names}
    return complete(method.function, {**short, **changes}, f"method '{method.name}'")


def observe(method: Method, problem: UnlearningProblem, options: Mapping[str, Any] | None = None) -> Observation:
    """Returns what the method did with a problem, by default with its long options cut."""
    passed: Counter[int] = Counter()
    held: list[Counter[tuple[int, ...]]] = []

    def count(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        if not torch._C._functorch.is_functorch_wrapped_tensor(output):
            passed[id(module)] += len(output)

    def before_step(optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        held.append(Counter(tuple(p.shape) for group in optimizer.param_groups for p in group["params"]))

    has = Counter(tuple(p.shape) for p in problem.original.parameters())
    problem.original.last_stage.register_forward_hook(count)
    handle = register_optimizer_step_pre_hook(before_step)
    try:
        with _files_read() as files, _divergences(method) as wrong:
            network = method.unlearn(problem, options if options is not None else short_options(method))
    finally:
        handle.remove()
    too_many = {shape for counter in held for shape, number in counter.items() if number > has[shape]}
    return Observation(network.eval(), problem.journal, max(passed.values(), default=0), files, wrong, sorted(too_many))


def weights(network: nn.Module) -> Tensor:
    """Returns all weights and statistics of a network, one float64 vector."""
    return torch.cat([value.double().flatten().cpu() for value in network.state_dict().values()])


def keys_of(network: Classifier, part: str) -> set[str]:
    """Returns the names in the state that a part (``head``, ``head.bias``, ``last_stage``) comprises.

    Raises:
        AttributeError: the network has no such part.
    """
    found: Any = network
    for name in part.split("."):
        found = getattr(found, name)
    own = [found] if isinstance(found, Tensor) else list(found.state_dict(keep_vars=True).values())
    known = {id(value) for value in own}
    return {name for name, value in network.state_dict(keep_vars=True).items() if id(value) in known}


_listening: list[list[str]] = []  # of the observations under way


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _listening and event == "open" and isinstance(arguments[0], (str, bytes)):
        name = arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0]
        if (
            not name.endswith(IMPORTED)
            and not Path(name).is_dir()
            and not name.startswith(("/proc/", "/sys/", "/dev/"))
        ):
            _listening[-1].append(name)


_hooked: list[bool] = []


@contextmanager
def _files_read() -> Iterator[list[str]]:
    if not _hooked:  # an audit hook stays for good
        sys.addaudithook(_audit)
        _hooked.append(True)
    files: list[str] = []
    _listening.append(files)
    try:
        yield files
    finally:
        _listening.pop()


class _WatchDivergence(TorchFunctionMode):
    """Looks at the arguments of PyTorch's own divergence, however it was imported."""

    def __init__(self, wrong: list[str]) -> None:
        super().__init__()
        self.wrong = wrong

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.kl_div:
            given = dict(zip(("input", "target"), args, strict=False)) | kwargs
            _note(self.wrong, "input of F.kl_div", given["input"], is_log=True)
            _note(self.wrong, "target of F.kl_div", given["target"], is_log=bool(kwargs.get("log_target")))
        return func(*args, **kwargs)


@contextmanager
def _divergences(method: Method) -> Iterator[list[str]]:
    """Yields the list of wrong divergences, those of our own kernel included where the method's file uses it."""
    wrong: list[str] = []
    names = method.function.__globals__
    replaced = [name for name, value in names.items() if value is kernels.kl_divergence]

    def watched(log_target: Tensor, log_output: Tensor) -> Tensor:
        _note(wrong, "target of kl_divergence", log_target, is_log=True)
        _note(wrong, "output of kl_divergence", log_output, is_log=True)
        return kernels.kl_divergence(log_target, log_output)

    names.update(dict.fromkeys(replaced, watched))
    try:
        with _WatchDivergence(wrong):
            yield wrong
    finally:
        names.update(dict.fromkeys(replaced, kernels.kl_divergence))


def _note(wrong: list[str], what: str, given: Tensor, *, is_log: bool) -> None:
    with torch.no_grad():
        share = given.double()
        total = (share.exp() if is_log else share).sum(dim=-1)
        if not bool((total - 1).abs().max() < 1e-3):
            kind = "log-probabilities" if is_log else "probabilities"
            wrong.append(f"the {what} holds no {kind}: they sum to {total.flatten()[0].item():.3g}")
