"""Boundary Expanding: forget samples are finetuned to an extra class, whose row of the head is then cut off."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate, MomentumOfSgd
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import make_optimizer


@method(
    label="Boundary Expanding",
    source="Chen et al. 2023 (Boundary Unlearning) and the authors' code for the defaults",
    train_set="D_f",
    note=(
        "The defaults are those of the authors' code. A later implementation leaves the extra row in the head, so that "
        "its model answers with a class that does not exist; here the row is cut off, as in the authors' code."
    ),
)
def boundary_expand(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 10,
    batch_size: BatchSize = 64,
    lr: LearningRate = 1e-5,
    momentum: MomentumOfSgd = 0.9,
) -> Classifier:
    """The original model after SGD on D_f that predicts a class K + 1, which the result does not have.

    The head has an extra row during training; D_f gets its label. The row starts from N(0, 2 / (d + K + 1)), where d is
    the number of features, and its bias from 0 (Glorot and Bengio 2010). It is a layer beside the head, which gives the
    same numbers as one head of K + 1 rows, and is discarded at the end. All weights are trained, in training mode, so
    that the statistics of a BatchNorm follow D_f.
    """
    network = problem.copy_of_original()
    extra = extra_row(network.head, problem.seed)

    def loss(network: Classifier, x: Tensor, y: Tensor) -> Tensor:
        features = network.features(x)
        logits = torch.cat([network.head(features), extra(features)], dim=1).float()  # (n, K + 1)
        return F.cross_entropy(logits, torch.full_like(y, logits.shape[1] - 1))

    return problem.fit(
        network,
        problem.forget_batches(batch_size),
        make_optimizer("sgd", [*network.parameters(), *extra.parameters()], lr=lr, momentum=momentum),
        epochs=epochs,
        loss=loss,
    )


def extra_row(head: nn.Linear, seed: int) -> nn.Linear:
    """Returns a layer (d → 1) with the initial weights of a new row of ``head``, which depend on ``seed`` only."""
    extra = nn.Linear(head.in_features, 1, bias=head.bias is not None)
    deviation = (2 / (head.in_features + head.out_features + 1)) ** 0.5
    with torch.no_grad():
        extra.weight.normal_(0, deviation, generator=torch.Generator().manual_seed(seed))
        if extra.bias is not None:
            extra.bias.zero_()
    return extra.to(head.weight)
