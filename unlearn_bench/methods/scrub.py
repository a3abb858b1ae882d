"""SCRUB: a student that departs from its teacher on the forget set and follows it on the retain subset."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unlearn_bench.core.options import Search
from unlearn_bench.data import Images
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate, WeightDecay
from unlearn_bench.models import Classifier
from unlearn_bench.numerics.kernels import kl_divergence
from unlearn_bench.training.loop import make_optimizer

VALIDATION_SHARE = 0.1  # of D_f, held out if the student is rewound


@method(
    label="SCRUB",
    source="Kurmanji, Triantafillou, Hayes and Triantafillou 2023, equation 3 and algorithm 1",
    train_set="D'_r ∪ D_f",
    note=(
        "The defaults are those of the paper's run: alpha 0.001, gamma 0.99, SGD with lr 5e-4, momentum 0.9 and weight "
        "decay 5e-4, three epochs of which two have a max pass, T 4, batches of 128 (retain) and 32 (forget). "
        "With rewind (SCRUB+R), a tenth of D_f is held out. The method then compares the student of every epoch and "
        "returns the one whose error on the other nine tenths is nearest to the last student's error on that tenth."
    ),
    unresponsive=(
        "its max pass raises the divergence from the teacher in either direction, so after few steps the loss "
        "may be lower"
    ),
)
def scrub(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 3,
    msteps: Annotated[
        int, Field(ge=0, le=10_000, description="number of first epochs that have a max pass"), Search(1, 10)
    ] = 2,
    lr: LearningRate = 5e-4,
    momentum: Annotated[float, Field(ge=0, lt=1, description="momentum of SGD")] = 0.9,
    weight_decay: WeightDecay = 5e-4,
    alpha: Annotated[
        float, Field(ge=0, le=1000, description="weight of the divergence from the teacher"), Search(1e-3, 1, log=True)
    ] = 0.001,
    gamma: Annotated[float, Field(ge=0, le=1000, description="weight of the cross-entropy")] = 0.99,
    temperature: Annotated[float, Field(gt=0, le=1000, description="temperature T of both softmax outputs")] = 4.0,
    batch_size: BatchSize = 128,
    forget_batch_size: Annotated[int, Field(ge=1, le=65_536, description="images in a batch of the max pass")] = 32,
    rewind: Annotated[bool, Field(description="SCRUB+R: return the student of the best epoch")] = False,
) -> Classifier:
    """The original model after epochs with a max pass over D_f and a min pass over D'_r.

    The max pass raises T²·KL(teacher ‖ student) on D_f. The min pass lowers γ·CE + α·T²·KL(teacher ‖ student) on D'_r.
    Both divergences compare softmax outputs at temperature T. The teacher is the original model, in evaluation mode and
    never trained. One optimizer makes both kinds of steps. The last pass is a min pass.
    """
    teacher, student = problem.original, problem.copy_of_original()
    seen, held_out = _carve(problem.forget, problem.seed) if rewind else (problem.forget, None)
    forget = replace(problem, forget=seen).forget_batches(forget_batch_size)
    retain = problem.retain_batches(batch_size)
    optimizer = make_optimizer("sgd", student.parameters(), lr=lr, weight_decay=weight_decay, momentum=momentum)

    def distance(logits: Tensor, x: Tensor) -> Tensor:
        with torch.no_grad():
            target = (teacher(x).float() / temperature).log_softmax(dim=1)
        return temperature**2 * kl_divergence(target, (logits / temperature).log_softmax(dim=1))

    def max_loss(network: Classifier, x: Tensor, _y: Tensor) -> Tensor:
        return -distance(network(x).float(), x)

    def min_loss(network: Classifier, x: Tensor, y: Tensor) -> Tensor:
        logits = network(x).float()
        return gamma * F.cross_entropy(logits, y) + alpha * distance(logits, x)

    problem.monitor.plan(min(msteps, epochs) * len(forget) + epochs * len(retain))
    students = []
    for epoch in range(epochs):
        if epoch < msteps:
            problem.train_epoch(student, forget, optimizer, loss=max_loss, curve="max_loss")
        problem.train_epoch(student, retain, optimizer, loss=min_loss, curve="min_loss")
        if held_out is not None:
            students.append(copy.deepcopy(student).eval())
    return _rewound(students, seen, held_out, problem) if held_out is not None else student


def _carve(images: Images, seed: int) -> tuple[Images, Images]:
    """Returns nine tenths of the images, drawn at random, and the other tenth; a single image is in both."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    held = max(1, round(VALIDATION_SHARE * len(images)))
    return images[order[held:] if len(images) > held else order], images[order[:held]]


def _rewound(students: list[Classifier], seen: Images, held_out: Images, problem: UnlearningProblem) -> Classifier:
    """Returns the first student whose error on ``seen`` is nearest to the last one's error on ``held_out``."""
    wanted = _error(students[-1], held_out, problem)
    return min(students, key=lambda student: abs(_error(student, seen, problem) - wanted))


def _error(network: Classifier, images: Images, problem: UnlearningProblem) -> float:
    """Returns the share of the images that the model classifies other than labelled."""
    outputs = problem.predict(network, images)
    return float((outputs.logits.argmax(dim=1) != outputs.labels).double().mean())
