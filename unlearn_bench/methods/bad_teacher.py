"""Bad teacher: a student follows an untrained network on the forget set and the original on the retain subset."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from unlearn_bench.data import Images
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate
from unlearn_bench.models import Classifier
from unlearn_bench.numerics.kernels import kl_divergence
from unlearn_bench.training.loop import make_optimizer


@method(
    label="Bad teacher",
    source="Chundawat et al. 2023; the code of Foster et al. 2024 for the defaults",
    train_set="D'_r ∪ D_f",
    note=(
        "The defaults are those of the code (if-loops/selective-synaptic-dampening, blindspot): one epoch of Adam with "
        "lr 1e-4, batches of 256, temperature 1. The code divides the divergence by the number of classes too; for "
        "Adam, whose steps do not depend on the scale of the loss, this makes next to no difference."
    ),
)
def bad_teacher(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 1,
    batch_size: BatchSize = 256,
    lr: LearningRate = 1e-4,
    temperature: Annotated[float, Field(gt=0, le=1000, description="temperature of all softmax outputs")] = 1.0,
) -> Classifier:
    """The original model after Adam on D_f and D'_r, shuffled together, that lowers KL(teacher ‖ student).

    The divergence is a mean over samples. The teacher of an image of D'_r is the original model. The teacher of an
    image of D_f is a network of the same architecture with new initial weights, drawn with the problem's seed; what an
    architecture computes from images before training stays the original's. Both teachers are in evaluation mode, and
    no step changes them.

    Adapted: the published method reads a random 30 % of D_r; here it gets D'_r and reads all of it.
    """
    student = problem.copy_of_original()
    competent, incompetent = problem.original, copy.deepcopy(problem.original)
    incompetent.reinitialise(incompetent, problem.seed)
    incompetent.eval()
    forget, retain = problem.forget, problem.retain
    is_forget = torch.cat([torch.ones_like(forget.labels), torch.zeros_like(retain.labels)])
    mixed = Images(torch.cat([forget.pixels, retain.pixels]), is_forget)  # the loss needs no labels

    def loss(network: Classifier, x: Tensor, is_forget: Tensor) -> Tensor:
        with torch.no_grad():
            logits = torch.where(is_forget[:, None] == 1, incompetent(x).float(), competent(x).float())
            target = (logits / temperature).log_softmax(dim=1)
        return kl_divergence(target, (network(x).float() / temperature).log_softmax(dim=1))

    return problem.fit(
        student,
        replace(problem, retain=mixed).retain_batches(batch_size),
        make_optimizer("adam", student.parameters(), lr=lr),
        epochs=epochs,
        loss=loss,
    )
