"""Any network as a :class:`Classifier`: split into features and head, or read at a module that the user names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unlearn_bench.core.errors import OptionError, reason_of
from unlearn_bench.models import Classifier, Statistics
from unlearn_bench.models.parts import (
    BENCHMARK,
    Advice,
    find_last_stage,
    head_of,
    logits_of,
    named_stage,
    output_of,
    trace,
)
from unlearn_bench.models.preparation import example_inputs, for_channels, resized
from unlearn_bench.models.weight_files import SavedWeights, read_weights


class Prepared(Classifier):
    """A network of another origin with its channels, size and normalisation; see the subclasses for its features.

    Attributes:
        channels: of its inputs; three for grey images that are repeated.
        own_statistics: mean and standard deviation of the pixels for normalisation; None for the data set's.
    """

    def __init__(self, example: Tensor, input_size: int | None, statistics: Statistics | None) -> None:
        super().__init__()
        self._shape, self.own_statistics, self._input_size = example.shape, statistics, input_size
        self.channels = example.shape[1]

    def statistics(self, mean: Sequence[float], std: Sequence[float]) -> Statistics:
        """Returns mean and standard deviation of the pixels for normalisation: the network's, else the data set's."""
        return self.own_statistics or for_channels((mean, std), self.channels)

    @property
    def preparation(self) -> dict[str, Any]:
        """Size and normalisation of the inputs."""
        return {"input_size": self._input_size, "statistics": self.own_statistics}

    def resized(self, x: Tensor) -> Tensor:
        """Returns inputs at the size that the network needs."""
        return resized(x, self._input_size)


class External(Prepared):
    """A network of another library, or of a user, with the interface of :class:`Classifier`.

    Its linear head is taken out: ``backbone`` is the rest, whose output is the head's input, the features.

    Attributes:
        backbone: the network with :class:`torch.nn.Identity` in the place of the head.
        head: the linear layer that returns the logits.
        head_name: its name in the network.
    """

    def __init__(
        self,
        module: nn.Module,
        make: Callable[[], nn.Module],
        *,
        example: Tensor,
        classes: int,
        input_size: int | None = None,
        statistics: Statistics | None = None,
        last_stage: str = "",
        advice: Advice = BENCHMARK,
    ) -> None:
        """Wraps a network, which loses its head.

        Args:
            module: the network.
            make: returns the same network with new weights drawn from the global generator, for parts that a method
                draws anew.
            example: (N, C, H, W) float, some inputs as the data set has them, for one pass that finds the head.
            classes: K; the network may have more outputs.
            input_size: side in pixels to which inputs are resized, bilinear with antialiasing; None for no resizing.
            statistics: of the pixels, for normalisation; None for the data set's.
            last_stage: names of the modules of the last stage, separated by commas; empty to find them.
            advice: what the user can do about a network that does not fit.

        Raises:
            OptionError: the network does not accept the inputs, does not return logits, has no linear layer that
                returns them as its last step, or has no module of the given name.
        """
        super().__init__(example, input_size, statistics)
        self._make, self._advice = make, advice
        traced = trace(module.eval(), self.resized(example), classes, advice)
        self.head_name, self.head = head_of(traced, advice)
        self.backbone = module
        _put(module, self.head_name, nn.Identity())
        self._check_split(example, traced.last_names)
        self._stage = named_stage(module, last_stage) if last_stage else tuple(find_last_stage(module))

    def _check_split(self, example: Tensor, last_names: str) -> None:
        try:
            with torch.no_grad():
                features = self.features(example)
            found = (
                f"returns {tuple(features.shape)}"
                if isinstance(features, Tensor)
                else f"returns {type(features).__name__}"
            )
            fits = isinstance(features, Tensor) and features.shape == (len(example), self.head.in_features)
        except Exception as problem:  # code of others can raise anything
            found, fits = f"fails: {reason_of(problem)}", False
        if not fits:
            raise OptionError(
                f"The layer {self.head_name} does not come last in this network: without it, the network {found}, "
                f"expected (N, {self.head.in_features}) features. {self._advice.head}; the last modules that ran: "
                f"{last_names}."
            )

    @property
    def last_stage(self) -> nn.Module:
        """The last group of layers before the head, with every layer with parameters after it."""
        return nn.ModuleList([self.backbone.get_submodule(name) for name in self._stage])

    @property
    def counted(self) -> nn.Module:
        """The first module of the last stage, which runs once in each pass."""
        return self.backbone.get_submodule(self._stage[0])

    def features(self, x: Tensor) -> Tensor:
        """Returns (N, d): the head's input, for images (N, C, H, W), which are resized if the network needs it."""
        features: Tensor = logits_of(self.backbone(self.resized(x)))
        return features

    def reinitialise(self, part: nn.Module, seed: int) -> None:
        """Gives ``part`` the weights and statistics that a network newly made with ``seed`` has in the same place."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            fresh = self._make().state_dict()
            own = {id(value) for value in part.state_dict(keep_vars=True).values()}
            for name, value in self.state_dict(keep_vars=True).items():
                if id(value) in own:
                    value.copy_(fresh[self.given_name(name)])

    def given_name(self, name: str) -> str:
        """Returns the name that a tensor of :meth:`state_dict` has in the network that was wrapped."""
        if name.startswith("head."):
            return f"{self.head_name}.{name.removeprefix('head.')}"
        return name.removeprefix("backbone.")

    def own_state(self) -> dict[str, Tensor]:
        """Returns the weights under the names of the network that was wrapped."""
        return {self.given_name(name): value for name, value in self.state_dict().items()}

    def load_own(self, tensors: Mapping[str, Tensor]) -> None:
        """Loads weights under the names of the network that was wrapped; the batch counters of BatchNorm may lack."""
        own = {name: self.given_name(name) for name in self.state_dict()}
        self.load_state_dict({name: tensors[given] for name, given in own.items() if given in tensors}, strict=False)

    @contextmanager
    def whole(self) -> Iterator[nn.Module]:
        """Yields the network with its head in its place, under the names that it had when it was wrapped."""
        _put(self.backbone, self.head_name, self.head)
        try:
            yield self.backbone
        finally:
            _put(self.backbone, self.head_name, nn.Identity())

    @torch.no_grad()
    def check_function(self) -> None:
        """Checks that the split network is the same function as the whole, which depends on the weights.

        Raises:
            OptionError: something after the head changes the logits, such as a temperature.
        """
        x = example_inputs(self._shape, self.head.weight.device)
        with self.whole() as module:
            expected = logits_of(module(self.resized(x)))
        if not torch.allclose(self(x), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()), equal_nan=True):
            raise OptionError(
                f"With these weights, the layer {self.head_name} does not return the network's logits: something "
                f"changes them after it. {self._advice.head}."
            )


class Observed(Prepared):
    """A network whose features are the outputs of a module that the user names, which any classifier has.

    It has no ``head``, because its logits need not be a linear function of these features: it can be measured, and no
    method can change it.

    Attributes:
        module: the network, unchanged.
        module_name: name of the module of the features.
        width: d, the number of features.
        pooling: how its outputs become one vector for each image; empty if they are vectors.
    """

    def __init__(
        self,
        module: nn.Module,
        name: str,
        *,
        example: Tensor,
        classes: int,
        input_size: int | None = None,
        statistics: Statistics | None = None,
        advice: Advice = BENCHMARK,
    ) -> None:
        """Wraps a network; see :class:`External` for the arguments.

        Raises:
            OptionError: the network does not accept the inputs, does not return logits, or runs no module ``name``.
        """
        super().__init__(example, input_size, statistics)
        out = output_of(trace(module.eval(), self.resized(example), classes, advice), name)
        self.module, self.module_name, self.pooling = module, name, POOLING.get(out.ndim, "")
        self.width = pooled(out).shape[1]

    def outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Returns features (N, d) and logits (N, K) of images (N, C, H, W)."""
        seen: list[Tensor] = []
        hook = self.module.get_submodule(self.module_name).register_forward_hook(
            lambda _part, _args, out: seen.append(pooled(out))
        )
        try:
            logits = logits_of(self.module(self.resized(x)))
        finally:
            hook.remove()
        return seen[-1], logits

    def features(self, x: Tensor) -> Tensor:
        """Returns (N, d): the outputs of the named module, the mean over positions or tokens."""
        return self.outputs(x)[0]

    def forward(self, x: Tensor) -> Tensor:
        """Returns the logits, (N, K)."""
        return self.outputs(x)[1]

    @property
    def last_stage(self) -> nn.Module:
        """The named module."""
        return self.module.get_submodule(self.module_name)

    @contextmanager
    def whole(self) -> Iterator[nn.Module]:
        """Yields the network."""
        yield self.module

    def own_state(self) -> dict[str, Tensor]:
        """Returns the weights under the names of the network that was wrapped."""
        return self.module.state_dict()

    def load_own(self, tensors: Mapping[str, Tensor]) -> None:
        """Loads weights under the names of the network that was wrapped; the batch counters of BatchNorm may lack."""
        self.module.load_state_dict(tensors, strict=False)


POOLING = {4: "the mean over positions", 3: "the mean over tokens"}  # by the number of dimensions of the outputs


def pooled(out: Tensor) -> Tensor:
    """Returns a module's outputs as (N, d): the mean over the positions of an image or over tokens."""
    if out.ndim == 4:
        return out.mean(dim=(2, 3))
    return out.mean(dim=1) if out.ndim == 3 else out.flatten(1).clone()  # the next module may change it in place


def read_own(network: Classifier, file: Path, architecture: str, key: str | None = None) -> SavedWeights:
    """Returns the weights of a user's file, and loads them into a network, whose parts keep their function.

    Raises:
        CheckpointError: see :func:`unlearn_bench.models.weight_files.read_weights`.
        OptionError: with these weights, the head does not return the logits.
    """
    with network.whole() as module:
        saved = read_weights(module, file, architecture, key)
    network.eval()
    if isinstance(network, External):
        network.check_function()
    return saved


def _put(module: nn.Module, name: str, part: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(module.get_submodule(parent), last, part)
