"""Random label, fixed: each image of the forget set gets one wrong label for the whole training."""

from dataclasses import replace

import torch

from unlearn_bench.data import Images
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import make_optimizer
from unlearn_bench.training.relabel import forbidden_classes, permitted_labels


@method(
    label="Random label (fixed)",
    source="Graves, Nagisetty and Ganesh 2021; the code of Foster et al. 2024",
    train_set="D'_r ∪ D_f",
    note=(
        "The defaults are those of the code (if-loops/selective-synaptic-dampening, amnesiac): 3 epochs of Adam with "
        "lr 1e-4, batches of 128."
    ),
)
def random_label_fixed(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 3,
    batch_size: BatchSize = 128,
    lr: LearningRate = 1e-4,
) -> Classifier:
    """The original model after Adam on D_f with wrong labels and D'_r with true labels, shuffled together.

    Each image of D_f gets one label for all epochs, drawn uniformly from the classes that are not forgotten. If the
    forget set does not consist of classes, it is drawn from the classes other than the image's own label, which for a
    poisoned image is the label that the poison gives it. K is the number of the network's outputs.

    Adapted: the published method reads all of D_r; here it gets D'_r.
    """
    network = problem.copy_of_original()
    forget, retain = problem.forget, problem.retain
    forbidden = forbidden_classes(forget.labels, network.head.out_features, problem.forget_classes)
    wrong = permitted_labels(forbidden, torch.Generator().manual_seed(problem.seed + 2))
    mixed = Images(torch.cat([forget.pixels, retain.pixels]), torch.cat([wrong, retain.labels]))
    return problem.fit(
        network,
        replace(problem, retain=mixed).retain_batches(batch_size),
        make_optimizer("adam", network.parameters(), lr=lr),
        epochs=epochs,
    )
