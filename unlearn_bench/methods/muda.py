"""MUDA alternates a forget phase (dimensional alignment, self-distillation) with a recover phase (cross-entropy)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from unlearn_bench.core.errors import OptionError
from unlearn_bench.core.options import Search
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, LearningRate
from unlearn_bench.models import Classifier
from unlearn_bench.numerics.kernels import dimensional_alignment, kl_divergence, principal_subspace, redistribute
from unlearn_bench.training.loop import OptimizerName, make_optimizer
from unlearn_bench.training.relabel import forbidden_classes

Teacher = Literal["current", "original"]


@method(
    label="MUDA",
    source="Seo, Kim and Han, equations 1 to 3",
    train_set="D'_r ∪ D_f",
    presets={"paper": {"optimizer": "sgd", "lr": 1e-3, "alpha": 0.1, "beta": 0.01, "iterations": 200}},
    note=(
        "The paper prints lr 1e-3, 200 iterations, alpha 0.1 and beta 0.01, but not the optimizer and the batch size. "
        "With plain SGD these values change the model very little (preset paper). With Adam they are the defaults: "
        "tuning on the demo profile gave them the score 0.847, and its best trial the score 0.857 (results/tuned/)."
    ),
)
def muda(
    problem: UnlearningProblem,
    *,
    lr: LearningRate = 1e-3,
    iterations: Annotated[int, Field(ge=2, le=1_000_000, description="optimizer steps of both phases together")] = 200,
    alpha: Annotated[
        float, Field(ge=0, le=1000, description="weight of the alignment loss L_DA"), Search(1e-3, 10, log=True)
    ] = 0.1,
    beta: Annotated[
        float, Field(ge=0, le=1000, description="weight of the self-distillation loss L_SD"), Search(1e-3, 10, log=True)
    ] = 0.01,
    batch_size: BatchSize = 32,
    optimizer: Annotated[OptimizerName, Field(description="not stated in the paper")] = "adam",
    teacher: Annotated[Teacher, Field(description="model whose output gives the target of L_SD")] = "current",
    use_da: Annotated[bool, Field(description="whether L_DA is part of the forget phase")] = True,
    use_sd: Annotated[bool, Field(description="whether L_SD is part of the forget phase")] = True,
) -> Classifier:
    """The original model after alternate epochs of α·L_DA + β·L_SD on D_f and of cross-entropy on D'_r.

    L_DA = −DA(D_f | D'_r; θ): U_k is computed from all of D'_r at the start of each forget phase and is constant during
    it (the paper's stop-gradient). L_SD is the mean over D_f of KL(f̃ ‖ f). The target f̃ is computed at every step,
    without gradient: it is f with the forgotten classes at 0, or with the sample's own label at 0 if the forget set
    does not consist of classes. With the teacher ``original``, an option that is not in the paper, f̃ is computed from
    the frozen original model's output instead.

    The number of steps is exactly ``iterations``, and the last phase is a recover phase.

    Raises:
        OptionError: neither loss is used.
    """
    if not (use_da or use_sd):
        raise OptionError(
            "Options 'use_da' and 'use_sd' of the method 'muda' are both false. Set at least one of them to true."
        )
    network = problem.copy_of_original()
    forget = problem.forget_batches(batch_size)
    retain = problem.retain_batches(batch_size)
    network_optimizer = make_optimizer(optimizer, network.parameters(), lr=lr)
    problem.monitor.plan(iterations)
    for forget_steps, recover_steps in phases(iterations, len(forget), len(retain)):
        subspace = principal_subspace(problem.predict(network, problem.retain).features) if use_da else None

        def forget_loss(network: Classifier, x: Tensor, y: Tensor, subspace: Tensor | None = subspace) -> Tensor:
            features = network.features(x)
            loss = torch.zeros((), device=features.device)
            if subspace is not None:
                with torch.autocast(features.device.type, enabled=False):  # the quantity of the metric, in float32
                    loss = loss - alpha * dimensional_alignment(features.float(), subspace)
            if use_sd:
                logits = network.head(features).float()
                with torch.no_grad():
                    teacher_logits = logits if teacher == "current" else problem.original(x).float()
                    forbidden = forbidden_classes(y, logits.shape[1], problem.forget_classes)
                    target = redistribute(teacher_logits, forbidden)
                loss = loss + beta * kl_divergence(target, logits.log_softmax(dim=1))
            return loss

        if forget_steps:
            problem.train_epoch(
                network, forget, network_optimizer, loss=forget_loss, curve="forget_loss", steps=forget_steps
            )
        problem.train_epoch(network, retain, network_optimizer, curve="recover_loss", steps=recover_steps)
    return network


def phases(iterations: int, forget_epoch: int, retain_epoch: int) -> list[tuple[int, int]]:
    """Returns the steps of each (forget, recover) phase: whole epochs, then the remaining steps in the same proportion.

    The steps sum to ``iterations``, and the last phase is a recover phase of at least one step.

    Example:
        >>> phases(10, forget_epoch=2, retain_epoch=2)
        [(2, 2), (2, 2), (1, 1)]
    """
    whole, rest = divmod(iterations, forget_epoch + retain_epoch)
    last_forget = rest * forget_epoch // (forget_epoch + retain_epoch)
    return [(forget_epoch, retain_epoch)] * whole + ([(last_forget, rest - last_forget)] if rest else [])
