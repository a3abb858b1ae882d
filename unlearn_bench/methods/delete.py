"""DELETE: the original model's output without the forgotten label is distilled on the forget set alone."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate, SgdMomentum
from unlearn_bench.models import Classifier
from unlearn_bench.numerics.kernels import kl_divergence, redistribute
from unlearn_bench.training.loop import make_optimizer
from unlearn_bench.training.relabel import forbidden_classes


@method(
    label="DELETE",
    source="Zhou et al. 2025, and their code (shaaaaron/DELETE, delete.py)",
    train_set="D_f",
    note=(
        "The defaults are those of the code for ResNet-18 on CIFAR-10: 20 epochs of SGD with lr 1e-4 and momentum 0.9, "
        "without weight decay, batches of 128. For CIFAR-100 it has lr 5e-5, for Tiny-ImageNet lr 5e-5, batches of 64 "
        "and freeze_statistics. The loss is MUDA's self-distillation loss with the teacher 'original', for one class."
    ),
    presets={"tiny_imagenet": {"lr": 5e-5, "batch_size": 64, "freeze_statistics": True}},
)
def delete(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 20,
    batch_size: BatchSize = 128,
    lr: LearningRate = 1e-4,
    momentum: SgdMomentum = 0.9,
    freeze_statistics: Annotated[
        bool, Field(description="whether batch normalisations keep the original's running statistics and use them")
    ] = False,
) -> Classifier:
    """The original model after SGD on D_f that lowers KL(f̃ ‖ f), the mean over samples.

    f is the softmax output. f̃ is that of the frozen original model in evaluation mode, with each sample's own label at
    0 and the rest renormalised. No image of D_r is read. Without ``freeze_statistics``, running statistics of batch
    normalisations move towards those of D_f, as in the code.
    """
    network = problem.copy_of_original()

    def loss(network: Classifier, x: Tensor, y: Tensor) -> Tensor:
        if freeze_statistics:
            _fix_statistics(network)
        log_output = network(x).float().log_softmax(dim=1)
        with torch.no_grad():
            target = redistribute(problem.original(x).float(), forbidden_classes(y, log_output.shape[1], ()))
        return kl_divergence(target, log_output)

    return problem.fit(
        network,
        problem.forget_batches(batch_size),
        make_optimizer("sgd", network.parameters(), lr=lr, momentum=momentum),
        epochs=epochs,
        loss=loss,
    )


def _fix_statistics(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
