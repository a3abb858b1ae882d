"""Counts the images that a method passes forward and backward through the original model and its copies."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unlearn_bench.models import Classifier
from unlearn_bench.training.monitor import RunMonitor


def count_passes(network: Classifier, monitor: RunMonitor) -> None:
    """Makes ``network`` and every later deep copy of it count their passes in ``monitor``.

    A forward pass of an image is a pass through the last stage. A backward pass is one whose gradient reaches the
    output of the last stage, or, if that output needs no gradient, the output of the head. The passes of a student and
    of its teacher both count. Passes inside ``torch.func`` transforms hide their number of images and are not counted;
    a method that uses such transforms calls :meth:`RunMonitor.add_passes`.
    """

    def count_backward(gradient: Tensor) -> None:
        monitor.add_passes(backward=len(gradient))

    def after_last_stage(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        if torch._C._functorch.is_functorch_wrapped_tensor(output):  # no public function for this
            return
        monitor.add_passes(forward=len(output))
        if output.requires_grad:
            output.register_hook(count_backward)

    def after_head(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        wrapped = torch._C._functorch.is_functorch_wrapped_tensor(output)
        if not wrapped and output.requires_grad and not inputs[0].requires_grad:
            output.register_hook(count_backward)

    # a deep copy keeps hooks that are plain functions, so the copy counts its passes too
    network.counted.register_forward_hook(after_last_stage)
    network.head.register_forward_hook(after_head)
