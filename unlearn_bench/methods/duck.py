"""DUCK: features of the forget set move towards the centroid of the nearest other class."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unlearn_bench.core.options import Search
from unlearn_bench.data import Images
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, LearningRate
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import Loss, make_optimizer, scheduled
from unlearn_bench.training.nearest_class import class_means, nearest_other_class

HALVED_AFTER = (25, 40)  # epochs
TARGET_ACCURACY = 0.01  # on D_f
FINAL_EPOCHS, FINAL_BATCH, FINAL_LR, FINAL_SHARE = 2, 512, 1e-4, 0.1  # of the last phase, as in the authors' code
FINAL_PERIOD = 40  # steps for each batch of D_f over which the last phase's learning rate would fall to 0


@method(
    label="DUCK",
    source="Cotogni et al. 2023 (DUCK: Distance-based Unlearning via Centroid Kinematics), and the authors' code",
    train_set="D'_r ∪ D_f",
    presets={"random": {"epochs": 10, "batch_size": 1024, "lr": 1e-3}},
    note=(
        "The defaults are those of the authors' code, and the preset random those of its example for random forget "
        "sets of CIFAR-10. In the code, centroids are counted without the forgotten class but compared with labels, so "
        "that the class after the forgotten one is never the first choice. It also chooses anew at each step of the "
        "first epoch, and later reads the choices of other batches. Here every image keeps one target. The code has "
        "at most 41 steps for each batch of D_f on CIFAR-10 and 6 on CIFAR-100, which is more than D'_r has batches."
    ),
)
def duck(
    problem: UnlearningProblem,
    *,
    epochs: Annotated[int, Field(ge=1, le=10_000, description="most passes over D_f")] = 200,
    batch_size: BatchSize = 256,
    lr: LearningRate = 4e-4,
    lambda_forget: Annotated[
        float, Field(ge=0, le=1000, description="weight λ_1 of the distance to the target"), Search(0.1, 10, log=True)
    ] = 1.0,
    lambda_retain: Annotated[
        float, Field(ge=0, le=1000, description="weight λ_2 of the cross-entropy of D'_r"), Search(0.1, 10, log=True)
    ] = 1.4,
    temperature: Annotated[float, Field(gt=0, le=1000, description="temperature T of the retained logits")] = 2.0,
    label_smoothing: Annotated[
        float, Field(ge=0, lt=1, description="share of the retained label that is spread; 0.2 for Tiny-ImageNet")
    ] = 0.0,
    refine: Annotated[bool, Field(description="whether two epochs over D'_r follow")] = True,
) -> Classifier:
    """The original model after Adam on λ_1·mean (1 − cos(h(x), μ_c(x))) over D_f + λ_2·CE(z / T) over D'_r.

    h are the features, and μ_c is their mean over the images of class c in D'_r, by the original model. c(x) is the
    class whose mean is nearest to the original's h(x) by the cosine, other than the class of x; it is chosen once.
    For each batch of D_f there is a pass over D'_r, in training mode; each step reads the batch of D_f again. The
    learning rate is halved after 25 and after 40 epochs. If the forget set consists of classes, training ends after
    the first epoch with an accuracy on D_f (training images, evaluation mode) below 0.01. Two epochs over D'_r in
    batches of 512 follow, with λ_1 / 10, λ_2 = 1, one batch of D_f, and lr 1e-4, which falls as a cosine that would
    reach 0 after 40 steps for each batch of D_f.

    Adapted: the published method reads D_r, and takes the means from at most 50 batches; here it gets D'_r. For forget
    sets that do not consist of classes it stops at the original's accuracy on test images, which a method does not
    get; here it makes all ``epochs``.

    Raises:
        DataError: D'_r has no image of a class other than that of an image of D_f.
    """
    network = problem.copy_of_original()
    known = problem.predict(problem.original, problem.retain)
    means = class_means(known.features, known.labels, network.head.out_features)
    aimed = _aimed(problem, means)
    smoothed = partial(F.cross_entropy, label_smoothing=label_smoothing)

    def step_loss(x_f: Tensor, target: Tensor, weights: tuple[float, float]) -> Loss:
        def loss(network: Classifier, x: Tensor, y: Tensor) -> Tensor:
            near = 1 - F.cosine_similarity(network.features(x_f).float(), means[target], dim=1)
            return weights[0] * near.mean() + weights[1] * smoothed(network(x).float() / temperature, y)

        return loss

    forget, retain = aimed.forget_batches(batch_size), problem.retain_batches(batch_size)
    optimizer = make_optimizer("adam", network.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(HALVED_AFTER), gamma=0.5)
    for _ in range(epochs):
        problem.monitor.plan(len(retain) * len(forget))
        for x_f, target in forget:
            loss = step_loss(x_f, target, (lambda_forget, lambda_retain))
            problem.train_epoch(network, retain, optimizer, loss=loss)
            problem.monitor.add_samples((len(retain) - 1) * len(x_f))
        schedule.step()
        if problem.forget_classes and problem.predict(network, problem.forget).accuracy < TARGET_ACCURACY:
            break
    if refine:
        x_f, target = next(iter(forget))
        _refine(problem, network, len(forget), x_f, step_loss(x_f, target, (FINAL_SHARE * lambda_forget, 1.0)))
    return network


def _aimed(problem: UnlearningProblem, means: Tensor) -> UnlearningProblem:
    """Returns the problem with the target class of each image of D_f as its label."""
    outputs = problem.predict(problem.original, problem.forget)
    cosines = F.normalize(outputs.features, dim=1) @ F.normalize(means, dim=1).T  # (n, K)
    target = nearest_other_class(1 - cosines, outputs.labels)
    return replace(problem, forget=Images(problem.forget.pixels, target))


def _refine(problem: UnlearningProblem, network: Classifier, forget_batches: int, x_f: Tensor, loss: Loss) -> None:
    retain = problem.retain_batches(FINAL_BATCH)
    optimizer = make_optimizer("adam", network.parameters(), lr=FINAL_LR)
    period = FINAL_PERIOD * forget_batches
    rates = [FINAL_LR * (1 + math.cos(math.pi * step / period)) / 2 for step in range(FINAL_EPOCHS * len(retain) + 1)]
    problem.monitor.plan(FINAL_EPOCHS * len(retain))
    with scheduled(optimizer, [rates]):
        for _ in range(FINAL_EPOCHS):
            problem.train_epoch(network, retain, optimizer, loss=loss, curve="refine_loss")
    problem.monitor.add_samples((FINAL_EPOCHS * len(retain) - 1) * len(x_f))
