"""Detects images that a method passes through networks without having been given them, by comparing hashes of rows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from unlearn_bench.data import Images
from unlearn_bench.data.batches import Normalise

CHUNK = 512  # images hashed at once
FLUSH = 1 << 14  # rows collected before they are compared

Listener = Callable[[Tensor, bool], None]  # takes an input of a module, and whether the module is a classifier
F = TypeVar("F", bound=Callable[..., Any])

_listeners: list[Listener] = []  # the innermost watch is the last one
_handles: list[Any] = []  # of the hook on modules, while it is registered


def watched(features: F) -> F:
    """Returns the method ``features`` of a classifier, wrapped to report its input to the current watch."""

    @functools.wraps(features)
    def reporting(self: nn.Module, x: Tensor, *arguments: Any, **named: Any) -> Any:
        if not _handles:  # there is no watch, or another classifier's features are being computed
            return features(self, x, *arguments, **named)
        _listeners[-1](x, True)
        _unhook()  # the modules within a classifier are not watched, and PyTorch is faster without hooks
        try:
            return features(self, x, *arguments, **named)
        finally:
            _hook()

    reporting.is_watched = True  # type: ignore[attr-defined]
    return reporting  # type: ignore[return-value]  # the same signature


@contextmanager
def watch(listener: Listener) -> Iterator[None]:
    """Calls ``listener`` with the input of every classifier, and of every other module called outside of one."""
    _listeners.append(listener)
    is_outermost = not _handles
    if is_outermost:
        _hook()
    try:
        yield
    finally:
        _listeners.pop()
        if is_outermost:
            _unhook()


@contextmanager
def unwatched() -> Iterator[None]:
    """Suspends the watch, for passes that are not the method's, such as those that measure it while it runs."""
    _listeners.append(lambda _x, _is_classifier: None)
    try:
        yield
    finally:
        _listeners.pop()


def _hook() -> None:
    _handles.append(nn.modules.module.register_module_forward_pre_hook(_before))


def _unhook() -> None:
    _handles.pop().remove()


def _before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    is_classifier = getattr(getattr(type(module), "features", None), "is_watched", False)  # its features report
    if inputs and isinstance(inputs[0], Tensor) and not is_classifier:
        _listeners[-1](inputs[0], False)


class InputCheck:
    """Compares the rows that pass networks with the images that a method may use.

    A row is known if its hash is that of an allowed image after normalisation, or of an augmented image that
    :class:`Batches` made from an allowed one. Nothing waits for the device before :meth:`unknown_rows` is called,
    unless a method passes rows that were augmented long before.
    """

    def __init__(self, allowed: Sequence[Images], normalise: Normalise) -> None:
        """Takes ``allowed``, the images that the method may pass. All have one shape; some may be empty."""
        self.shape = tuple(normalise(allowed[0].pixels[:1]).shape[1:])  # grey images can become colour images
        self.rows = 0
        self._misshapen = 0  # rows that have another shape
        self._normalise = normalise
        device = allowed[0].pixels.device
        size = int(torch.tensor(self.shape).prod())
        generator = torch.Generator().manual_seed(0)
        self._factors = torch.randint(-(2**62), 2**62, (size,), generator=generator).to(device)
        parts = [pixels for images in allowed for pixels in images.pixels.split(CHUNK) if len(pixels)]
        nothing = torch.zeros(0, dtype=torch.int64, device=device)
        self._allowed = torch.cat([nothing, *(self._hash(normalise(pixels)) for pixels in parts)])
        self._unknown = torch.zeros((), dtype=torch.int64, device=device)
        self._passed: list[Tensor] = []
        self._augmented: list[Tensor] = []  # since rows were last compared
        self._augmented_before: list[Tensor] = []
        self._waiting = 0

    def augmented(self, pixels: Tensor, x: Tensor) -> None:
        """Records that ``x``, (B, C, H, W) float, was made from ``pixels``, (B, C, H, W) uint8, and checks them."""
        self._add(self._hash(self._normalise(pixels)))
        self._augmented.append(self._hash(x))

    def add_rows(self, x: Tensor, is_classifier: bool) -> None:
        """Records rows that enter a network; a module other than a classifier may take inputs other than images."""
        x = _without_transforms(x)
        if tuple(x.shape[-3:]) != self.shape:
            self._misshapen += len(x) if is_classifier else 0
            self.rows += len(x) if is_classifier else 0
        elif is_classifier or x.dim() > 3:
            rows = x.detach().reshape(-1, *self.shape)
            self.rows += len(rows)
            self._add(self._hash(rows))

    def unknown_rows(self) -> int:
        """Returns the number of passed rows that belong to no allowed image."""
        self._compare()
        return self._misshapen + int(self._unknown)

    def state(self) -> dict[str, int]:
        """Returns the numbers of rows that passed, and of those that belong to no allowed image."""
        return {"rows": self.rows, "unknown": self.unknown_rows()}

    def restore(self, state: Mapping[str, int]) -> None:
        """Sets these numbers, in place of those of the rows that passed so far."""
        self.rows, self._misshapen = int(state["rows"]), int(state["unknown"])
        self._unknown.zero_()
        self._passed, self._waiting = [], 0

    def _add(self, hashes: Tensor) -> None:
        self._passed.append(hashes)
        self._waiting += len(hashes)
        if self._waiting >= FLUSH:
            self._compare()

    def _compare(self) -> None:
        if not self._passed:
            return
        rows = torch.cat(self._passed)
        is_known = torch.isin(rows, torch.cat([self._allowed, *self._augmented]))
        if self._augmented_before and not bool(is_known.all()):
            is_known = is_known | torch.isin(rows, torch.cat(self._augmented_before))
        self._unknown = self._unknown + (~is_known).sum()
        self._augmented_before += self._augmented
        self._passed, self._augmented, self._waiting = [], [], 0

    def _hash(self, x: Tensor) -> Tensor:
        """Returns (N,) int64, a hash of each row: the sum of its float32 bits, each times a fixed 64-bit number."""
        floats = x.to(torch.float32).contiguous()
        return (floats.view(torch.int32).flatten(1).to(torch.int64) * self._factors).sum(dim=1)


def _without_transforms(x: Tensor) -> Tensor:
    """Returns the tensor of all samples that a ``torch.func`` transform passes to a network one at a time."""
    functorch = torch._C._functorch  # PyTorch has no public function for this
    while functorch.is_functorch_wrapped_tensor(x):
        dimension = functorch.maybe_get_bdim(x)
        x = functorch.get_unwrapped(x)
        x = x.movedim(dimension, 0) if dimension > 0 else x
    return x
