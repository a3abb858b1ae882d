"""What a method does while it runs: networks that images pass, optimizers, divergences, files."""

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

from unlearn_bench import kernels
from unlearn_bench.guards import Guard
from unlearn_bench.journal import Journal
from unlearn_bench.methods import Method, UnlearningProblem
from unlearn_bench.models import Classifier
from unlearn_bench.options import complete, describe

SHORT = {"epochs": 2, "iterations": 6, "batch_size": 8}  # where a method has such options: seconds, not minutes


@dataclass
class Observation:
    """What a method did while it ran.

    Attributes:
        network: what it returned, in evaluation mode.
        journal: counts and curves.
        most_passed: images passed forward through the classifier that met the most of them.
        files: read so far, in this or an earlier observation of the method, other than to import code.
        wrong_divergences: a sentence for each divergence that was fed something else than distributions.
        too_many: shapes of parameters that an optimizer held more often than the network has them.
        is_trained: whether an optimizer made a step.
        violations: a sentence for each thing that the guards of real runs found, but for the files.
        own_inputs: how many of the rows that passed networks are no images that it was given.
    """

    network: Classifier
    journal: Journal
    most_passed: int = 0
    files: list[str] = field(default_factory=list)
    wrong_divergences: list[str] = field(default_factory=list)
    too_many: list[tuple[int, ...]] = field(default_factory=list)
    is_trained: bool = True
    violations: list[str] = field(default_factory=list)
    own_inputs: int = 0


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
    guard = Guard(method, problem, every_row=True)
    try:
        with guard.watching(), _divergences(method) as wrong:
            network = method.unlearn(guard.problem, options if options is not None else short_options(method))
    finally:
        handle.remove()
    # a shape that the network does not have is something else that is learnt, such as a noise image
    too_many = {shape for counter in held for shape, number in counter.items() if number > has[shape] > 0}
    _read_by[method.name] |= set(guard.events.opened)
    return Observation(
        network=network.eval(),
        journal=problem.journal,
        most_passed=max(passed.values(), default=0),
        files=sorted(_read_by[method.name]),
        wrong_divergences=wrong,
        too_many=sorted(too_many),
        is_trained=bool(held),
        violations=guard.violations(network),
        own_inputs=guard.inputs.strangers(),
    )


_read_by: defaultdict[str, set[str]] = defaultdict(set)  # method to files: a cache may read but once


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
    names, ours = method.function.__globals__, kernels.kl_divergence
    replaced = [name for name, value in names.items() if value is ours]

    def watched(log_target: Tensor, log_output: Tensor) -> Tensor:
        _note(wrong, "target of kl_divergence", log_target, is_log=True)
        _note(wrong, "output of kl_divergence", log_output, is_log=True)
        return ours(log_target, log_output)

    names.update(dict.fromkeys(replaced, watched))
    kernels.kl_divergence = watched  # for those who call it through its module
    try:
        with _WatchDivergence(wrong):
            yield wrong
    finally:
        kernels.kl_divergence = ours
        names.update(dict.fromkeys(replaced, ours))


def _note(wrong: list[str], what: str, given: Tensor, *, is_log: bool) -> None:
    with torch.no_grad():
        share = given.double()
        total = (share.exp() if is_log else share).sum(dim=-1)
        if not bool((total - 1).abs().max() < 1e-3):
            kind = "log-probabilities" if is_log else "probabilities"
            wrong.append(f"the {what} holds no {kind}: they sum to {total.flatten()[0].item():.3g}")
