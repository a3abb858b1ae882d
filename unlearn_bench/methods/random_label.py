"""Random label: the forget set is learnt with labels that are drawn anew at each step."""

import torch

from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate, SgdMomentum, WeightDecay
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import make_optimizer
from unlearn_bench.training.relabel import random_label_loss


@method(
    label="Random label",
    source="Golatkar, Achille and Soatto 2020; the code of Fan et al. 2024 for CIFAR-10",
    train_set="D'_r ∪ D_f",
    note=(
        "The defaults are those of the code (OPTML-Group/Unlearn-Saliency, RL.py): 10 epochs, SGD with lr 0.01, "
        "momentum 0.9 and weight decay 5e-4, batches of 256. Its example for CIFAR-10 has lr 0.013. Its form for "
        "CIFAR-100 and Tiny-ImageNet, where labels are drawn once in an epoch and the images of D_f and D_r are mixed, "
        "is not implemented."
    ),
)
def random_label(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 10,
    batch_size: BatchSize = 256,
    lr: LearningRate = 0.01,
    momentum: SgdMomentum = 0.9,
    weight_decay: WeightDecay = 5e-4,
) -> Classifier:
    """The original model after epochs of SGD on D_f with random labels, each followed by one on D'_r with true labels.

    The label of an image of D_f is drawn anew at each step, uniformly from all K classes, K being the number of the
    network's outputs. So 1 / K of the labels are the true ones. One optimizer makes both kinds of steps.

    Adapted: the published method reads all of D_r; here it gets D'_r.
    """
    network = problem.copy_of_original()
    forget, retain = problem.forget_batches(batch_size), problem.retain_batches(batch_size)
    optimizer = make_optimizer("sgd", network.parameters(), lr=lr, weight_decay=weight_decay, momentum=momentum)
    wrong = random_label_loss(network.head.out_features, torch.Generator().manual_seed(problem.seed + 2))
    problem.monitor.plan(epochs * (len(forget) + len(retain)))
    for _ in range(epochs):
        problem.train_epoch(network, forget, optimizer, loss=wrong, curve="forget_loss")
        problem.train_epoch(network, retain, optimizer, curve="recover_loss")
    return network
