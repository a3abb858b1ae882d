"""CT (convolution transpose): every kernel is transposed, then the network is finetuned on the retain subset."""

from __future__ import annotations

import torch
from torch import nn

from unlearn_bench.core.errors import OptionError
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate, MomentumOfSgd, WeightDecay
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import make_optimizer


@method(
    label="CT",
    source="Cadet et al. 2024 (Deep Unlearn) and its code, after a solution of the NeurIPS 2023 unlearning competition",
    train_set="D'_r",
    note=(
        "The defaults are those of the authors' code. It replaces each kernel by a new parameter, which an optimizer "
        "made before does not train; here the kernels change in place. Kernels of 1×1 do not change. Kernels that are "
        "not square, for which the authors' code fails, keep their weights."
    ),
)
def ct(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 3,
    batch_size: BatchSize = 64,
    lr: LearningRate = 1e-3,
    momentum: MomentumOfSgd = 0.9,
    weight_decay: WeightDecay = 5e-4,
) -> Classifier:
    """The original model with the two spatial axes of every convolution swapped, after SGD on D'_r.

    W[o, i, h, w] becomes W[o, i, w, h] for each square kernel, also for grouped convolutions. The learning rate of
    epoch t of E, counted from 0, is lr·(1 + cos(πt / E)) / 2. The method as published reads all of D_r; here it reads
    D'_r.

    Raises:
        OptionError: no convolution has a square kernel larger than 1×1.
    """
    network = problem.copy_of_original()
    if not transpose_kernels(network):
        raise OptionError(
            "The method 'ct' transposes the kernels of convolutions, and this network has no square kernel larger than "
            "1×1. Use another method, such as 'ft'."
        )
    retain = problem.retain_batches(batch_size)
    optimizer = make_optimizer("sgd", network.parameters(), lr=lr, weight_decay=weight_decay, momentum=momentum)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    problem.monitor.plan(epochs * len(retain))
    for _ in range(epochs):
        problem.train_epoch(network, retain, optimizer)
        schedule.step()
    return network


def transpose_kernels(network: nn.Module) -> int:
    """Swaps the spatial axes of every square kernel larger than 1×1 in place, and returns the number of these kernels.

    Example:
        >>> convolution = nn.Conv2d(1, 1, 2)
        >>> _ = convolution.weight.data.copy_(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
        >>> transpose_kernels(convolution)
        1
        >>> convolution.weight.data.tolist()
        [[[[1.0, 3.0], [2.0, 4.0]]]]
    """
    number = 0
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size[0] == module.kernel_size[1] > 1:
            with torch.no_grad():
                module.weight.copy_(module.weight.transpose(2, 3).clone())
            number += 1
    return number
