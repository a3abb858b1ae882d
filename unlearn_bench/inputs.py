"""Which images a method passes through networks: every row is compared, by its hash, with the images it was given."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from unlearn_bench.data import Images
from unlearn_bench.data.batches import Normalise

CHUNK = 512  # images hashed at once
FLUSH = 1 << 14  # rows that wait before they are compared

Told = Callable[[Tensor, bool], None]  # an input of a module, and whether the module is a classifier
F = TypeVar("F", bound=Callable[..., Any])

_told: list[Told] = []  # the innermost watch is the last one
_handles: list[Any] = []  # of the hook on modules, while it is there


def watched(features: F) -> F:
    """Returns the method ``features`` of a classifier, which tells of its input while inputs are watched."""

    @functools.wraps(features)
    def tells(self: nn.Module, x: Tensor, *more: Any, **named: Any) -> Any:
        if not _handles:  # nobody watches, or another classifier's features are under way
            return features(self, x, *more, **named)
        _told[-1](x, True)
        _unhook()  # within a classifier nothing is looked at, and PyTorch's own way is faster without hooks
        try:
            return features(self, x, *more, **named)
        finally:
            _hook()

    tells.is_watched = True  # type: ignore[attr-defined]
    return tells  # type: ignore[return-value]  # the same signature


@contextmanager
def watch(told: Told) -> Iterator[None]:
    """Tells of the input of every classifier, and of every other module that is called outside of one."""
    _told.append(told)
    is_outermost = not _handles
    if is_outermost:
        _hook()
    try:
        yield
    finally:
        _told.pop()
        if is_outermost:
            _unhook()


@contextmanager
def unwatched() -> Iterator[None]:
    """Passes that are not the method's, such as those that measure it while it runs, are not looked at."""
    _told.append(lambda _x, _is_classifier: None)
    try:
        yield
    finally:
        _told.pop()


def _hook() -> None:
    _handles.append(nn.modules.module.register_module_forward_pre_hook(_before))


def _unhook() -> None:
    _handles.pop().remove()


def _before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    is_classifier = getattr(getattr(type(module), "features", None), "is_watched", False)  # whose features tell
    if inputs and isinstance(inputs[0], Tensor) and not is_classifier:
        _told[-1](inputs[0], False)


class InputCheck:
    """Compares the rows that pass networks with the images that a method was given.

    A row belongs where its hash is that of a given image after normalisation, or of an augmented image that our
    mini-batches made of a given one. Nothing waits for the device before :meth:`strangers` is asked, except where rows
    are passed that were augmented long before.
    """

    def __init__(self, given: Sequence[Images], normalise: Normalise) -> None:
        """``given``: what the method may pass, the shape of one image in common; some may be empty."""
        self.shape = tuple(given[0].pixels.shape[1:])
        self.rows = 0
        self._foreign = 0  # rows that have another shape
        self._normalise = normalise
        device = given[0].pixels.device
        size = int(torch.tensor(self.shape).prod())
        generator = torch.Generator().manual_seed(0)
        self._factors = torch.randint(-(2**62), 2**62, (size,), generator=generator).to(device)
        parts = [pixels for images in given for pixels in images.pixels.split(CHUNK) if len(pixels)]
        nothing = torch.zeros(0, dtype=torch.int64, device=device)
        self._given = torch.cat([nothing, *(self._hash(normalise(pixels)) for pixels in parts)])
        self._strangers = torch.zeros((), dtype=torch.int64, device=device)
        self._passed: list[Tensor] = []
        self._augmented: list[Tensor] = []  # since rows were last compared
        self._augmented_before: list[Tensor] = []
        self._waiting = 0

    def augmented(self, pixels: Tensor, x: Tensor) -> None:
        """Notes that ``x``, (B, C, H, W) float, was made of ``pixels``, (B, C, H, W) uint8, which must be given."""
        self._add(self._hash(self._normalise(pixels)))
        self._augmented.append(self._hash(x))

    def passed(self, x: Tensor, is_classifier: bool) -> None:
        """Notes rows that enter a network; another module than a classifier may take other things than images."""
        x = _without_transforms(x)
        if tuple(x.shape[-3:]) != self.shape:
            self._foreign += len(x) if is_classifier else 0
            self.rows += len(x) if is_classifier else 0
        elif is_classifier or x.dim() > 3:
            rows = x.detach().reshape(-1, *self.shape)
            self.rows += len(rows)
            self._add(self._hash(rows))

    def strangers(self) -> int:
        """Returns how many rows that passed belong to no image that was given."""
        self._compare()
        return self._foreign + int(self._strangers)

    def _add(self, hashes: Tensor) -> None:
        self._passed.append(hashes)
        self._waiting += len(hashes)
        if self._waiting >= FLUSH:
            self._compare()

    def _compare(self) -> None:
        if not self._passed:
            return
        rows = torch.cat(self._passed)
        is_known = torch.isin(rows, torch.cat([self._given, *self._augmented]))
        if self._augmented_before and not bool(is_known.all()):
            is_known = is_known | torch.isin(rows, torch.cat(self._augmented_before))
        self._strangers = self._strangers + (~is_known).sum()
        self._augmented_before += self._augmented
        self._passed, self._augmented, self._waiting = [], [], 0

    def _hash(self, x: Tensor) -> Tensor:
        """Returns (N,) int64: the sum over a row of the bits of each float32 times a fixed 64-bit number."""
        floats = x.to(torch.float32).contiguous()
        return (floats.view(torch.int32).flatten(1).to(torch.int64) * self._factors).sum(dim=1)


def _without_transforms(x: Tensor) -> Tensor:
    """Returns the tensor of all samples that a ``torch.func`` transform shows to a network one at a time."""
    functorch = torch._C._functorch  # no public way to ask
    while functorch.is_functorch_wrapped_tensor(x):
        place = functorch.maybe_get_bdim(x)
        x = functorch.get_unwrapped(x)
        x = x.movedim(place, 0) if place > 0 else x
    return x
