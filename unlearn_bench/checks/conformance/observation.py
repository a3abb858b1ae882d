"""Observes a method while it runs: the images that pass through networks, optimizers, divergences, files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.overrides import TorchFunctionMode

from unlearn_bench.core.options import complete, describe
from unlearn_bench.methods import Method, UnlearningProblem
from unlearn_bench.models import Classifier
from unlearn_bench.numerics import kernels
from unlearn_bench.running.guards import Guard
from unlearn_bench.training.monitor import RunMonitor

SHORT = {"epochs": 2, "iterations": 6, "batch_size": 8}  # short values for these options, so that a check takes seconds


@dataclass
class Observation:
    """The behaviour of a method in one run.

    Attributes:
        network: the returned network, in evaluation mode.
        monitor: counts and curves.
        most_passed: number of images passed forward through the classifier that got the most.
        files: files read in this or an earlier observation of the method, except imported code.
        wrong_divergences: a sentence for each divergence whose arguments are not distributions.
        too_many: shapes of parameters of which an optimizer has more than the network.
        is_trained: whether an optimizer took a step.
        violations: a sentence for each violation that the guards of real runs found.
        own_inputs: number of rows that passed through networks and are not images of the problem.
    """

    network: Classifier
    monitor: RunMonitor
    most_passed: int = 0
    files: list[str] = field(default_factory=list)
    wrong_divergences: list[str] = field(default_factory=list)
    too_many: list[tuple[int, ...]] = field(default_factory=list)
    is_trained: bool = True
    violations: list[str] = field(default_factory=list)
    own_inputs: int = 0


def short_options(method: Method, **changes: Any) -> dict[str, Any]:
    """Returns all options of a method: ``changes``, else short values for epochs and the like, else the defaults."""
    names = {option.name for option in describe(method.function)}
    short = {name: value for name, value in SHORT.items() if name in names}
    return complete(method.function, {**short, **changes}, f"method '{method.name}'")


def observe(method: Method, problem: UnlearningProblem, options: Mapping[str, Any] | None = None) -> Observation:
    """Runs the method on a problem, by default with :func:`short_options`, and returns its behaviour."""
    passed: Counter[int] = Counter()
    optimized: list[Counter[tuple[int, ...]]] = []  # shapes of an optimizer's parameters, at each step

    def count(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        if not torch._C._functorch.is_functorch_wrapped_tensor(output):
            passed[id(module)] += len(output)

    def before_step(optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        optimized.append(Counter(tuple(p.shape) for group in optimizer.param_groups for p in group["params"]))

    own = Counter(tuple(p.shape) for p in problem.original.parameters())
    problem.original.counted.register_forward_hook(count)
    handle = register_optimizer_step_pre_hook(before_step)
    guard = Guard(method, problem, every_row=True)
    try:
        with guard.watching(), _divergences(method) as wrong:
            network = method.unlearn(guard.problem, options if options is not None else short_options(method))
    finally:
        handle.remove()
    # a shape that the network does not have belongs to another learned tensor, such as a noise image
    too_many = {shape for counter in optimized for shape, number in counter.items() if number > own[shape] > 0}
    _read_by[method.name] |= set(guard.events.opened)
    return Observation(
        network=network.eval(),
        monitor=problem.monitor,
        most_passed=max(passed.values(), default=0),
        files=sorted(_read_by[method.name]),
        wrong_divergences=wrong,
        too_many=sorted(too_many),
        is_trained=bool(optimized),
        violations=guard.violations(network),
        own_inputs=guard.inputs.unknown_rows(),
    )


_read_by: defaultdict[str, set[str]] = defaultdict(set)  # by method: with a cache, a file is read only once


class _WatchDivergence(TorchFunctionMode):
    """Checks the arguments of PyTorch's ``kl_div``, however it was imported."""

    def __init__(self, wrong: list[str]) -> None:
        super().__init__()
        self.wrong = wrong

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.kl_div:
            named = dict(zip(("input", "target"), args, strict=False)) | kwargs
            _check_sums(self.wrong, "input of F.kl_div", named["input"], is_log=True)
            _check_sums(self.wrong, "target of F.kl_div", named["target"], is_log=bool(kwargs.get("log_target")))
        return func(*args, **kwargs)


@contextmanager
def _divergences(method: Method) -> Iterator[list[str]]:
    """Yields the list of wrong divergences, by PyTorch's function or by the kernel of this package."""
    wrong: list[str] = []
    names, ours = method.function.__globals__, kernels.kl_divergence
    replaced = [name for name, value in names.items() if value is ours]

    def watched(log_target: Tensor, log_output: Tensor) -> Tensor:
        _check_sums(wrong, "target of kl_divergence", log_target, is_log=True)
        _check_sums(wrong, "output of kl_divergence", log_output, is_log=True)
        return ours(log_target, log_output)

    names.update(dict.fromkeys(replaced, watched))
    kernels.kl_divergence = watched  # for code that calls it through its module
    try:
        with _WatchDivergence(wrong):
            yield wrong
    finally:
        kernels.kl_divergence = ours
        names.update(dict.fromkeys(replaced, ours))


def _check_sums(wrong: list[str], argument: str, tensor: Tensor, *, is_log: bool) -> None:
    """Adds a sentence to ``wrong`` if the tensor's (log-)probabilities do not sum to 1."""
    with torch.no_grad():
        values = tensor.double()
        total = (values.exp() if is_log else values).sum(dim=-1)
        if not bool((total - 1).abs().max() < 1e-3):
            kind = "log-probabilities" if is_log else "probabilities"
            wrong.append(f"the {argument} is not {kind}: the sum is {total.flatten()[0].item():.3g}, expected 1")
