"""What a method spends: images that pass forward and backward through the original model and its copies, counted."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unlearn_bench.journal import Journal
from unlearn_bench.models import Classifier


def count_passes(network: Classifier, journal: Journal) -> None:
    """Makes ``network``, and every deep copy made of it from now on, count into ``journal``.

    A forward pass of an image is one through the last stage; a backward pass is one whose gradient reaches the last
    stage's output, or, where that needs none, the head's. A student and its teacher count each. Passes inside
    ``torch.func`` transforms hide their number of images and are not counted here: who uses them tells the journal.
    """

    def count_backward(gradient: Tensor) -> None:
        journal.passed(backward=len(gradient))

    def after_last_stage(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        if torch._C._functorch.is_functorch_wrapped_tensor(output):  # no public way to ask
            return
        journal.passed(forward=len(output))
        if output.requires_grad:
            output.register_hook(count_backward)

    def after_head(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        wrapped = torch._C._functorch.is_functorch_wrapped_tensor(output)
        if not wrapped and output.requires_grad and not inputs[0].requires_grad:
            output.register_hook(count_backward)

    # hooks that are plain functions survive a deep copy as they are, and so count for the copy as well
    network.last_stage.register_forward_hook(after_last_stage)
    network.head.register_forward_hook(after_head)
