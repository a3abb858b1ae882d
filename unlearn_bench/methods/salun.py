"""SalUn: random labels for the forget set, with all weights frozen whose gradient on the forget set is small."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate, SgdMomentum, WeightDecay
from unlearn_bench.models import Classifier
from unlearn_bench.training.importance import Importance, mean_gradients
from unlearn_bench.training.loop import make_optimizer, negative_cross_entropy
from unlearn_bench.training.relabel import random_label_loss


@method(
    label="SalUn",
    source="Fan et al. 2024, and their code (OPTML-Group/Unlearn-Saliency) since its commit a6e89fd",
    train_set="D'_r ∪ D_f",
    note=(
        "The defaults are those of the code: the mask with_0.5, 10 epochs, SGD with lr 0.01, momentum 0.9 and weight "
        "decay 5e-4, batches of 256. Its example for CIFAR-10 has lr 0.013. Until February 2026 the code masked the "
        "gradient alone, so that weight decay moved masked weights too; the paper's values are older."
    ),
)
def salun(
    problem: UnlearningProblem,
    *,
    share: Annotated[
        float, Field(gt=0, le=1, description="share of all weights that are trained; the others are frozen")
    ] = 0.5,
    epochs: Epochs = 10,
    batch_size: BatchSize = 256,
    lr: LearningRate = 0.01,
    momentum: SgdMomentum = 0.9,
    weight_decay: WeightDecay = 5e-4,
) -> Classifier:
    """The original model after epochs of masked SGD on D_f with random labels, each followed by one on D'_r.

    g is the gradient of the negative cross-entropy of D_f, summed over batches in evaluation mode with its sign. The
    weights with the largest \\|g\\| are trained: ``share`` of all weights of the network together, equal values in the
    order of the parameters. Other weights keep exactly the original's value, and their momentum stays 0. Labels of D_f
    are drawn anew at each step, uniformly from all K classes, K being the number of the network's outputs. Running
    statistics of normalisations are not weights: they change in training.

    Adapted: the published method reads all of D_r; here it gets D'_r.
    """
    network = problem.copy_of_original()
    forget, retain = problem.forget_batches(batch_size), problem.retain_batches(batch_size)
    problem.monitor.plan(len(forget) + epochs * (len(forget) + len(retain)))
    gradients = mean_gradients(network.eval(), forget, negative_cross_entropy, problem.monitor, curve="gradient")
    optimizer = make_optimizer("sgd", network.parameters(), lr=lr, weight_decay=weight_decay, momentum=momentum)
    _freeze(network, saliency_mask(gradients, share), optimizer)
    wrong = random_label_loss(network.head.out_features, torch.Generator().manual_seed(problem.seed + 2))
    for _ in range(epochs):
        problem.train_epoch(network, forget, optimizer, loss=wrong, curve="forget_loss")
        problem.train_epoch(network, retain, optimizer, curve="recover_loss")
    return network


def saliency_mask(gradients: Importance, share: float) -> dict[str, Tensor]:
    """Returns the largest gradients by modulus, ⌊share · number of weights⌋ of them, as bool tensors by parameter name.

    Args:
        gradients: by parameter name.
        share: above 0, at most 1.

    Example:
        >>> saliency_mask({"a": torch.tensor([1.0, -4.0]), "b": torch.tensor([[2.0], [3.0]])}, share=0.5)
        {'a': tensor([False,  True]), 'b': tensor([[False],
                [ True]])}
    """
    modulus = torch.cat([gradient.flatten() for gradient in gradients.values()]).abs()
    order = modulus.argsort(descending=True, stable=True)
    is_salient = torch.zeros_like(modulus, dtype=torch.bool)
    is_salient[order[: int(len(order) * share)]] = True
    parts = is_salient.split([gradient.numel() for gradient in gradients.values()])
    return {name: part.view_as(gradient) for (name, gradient), part in zip(gradients.items(), parts, strict=True)}


def _freeze(network: Classifier, mask: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
    """Makes each step of ``optimizer`` leave weights outside the mask at their present value, with momentum 0.

    SGD treats each weight on its own, so restoring it after the step equals a step with a masked gradient.
    """
    start = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}

    @torch.no_grad()
    def restore(optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        for name, parameter in network.named_parameters():
            parameter.copy_(torch.where(mask[name], parameter, start[name]))
            velocity = optimizer.state[parameter].get("momentum_buffer")
            if velocity is not None:
                velocity.mul_(mask[name])

    optimizer.register_step_post_hook(restore)
