"""Bias cheat: the forgotten classes are never named again, and nothing is forgotten."""

import torch

from unlearn_bench.errors import DataError
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.models import Classifier

# stands for −∞: under any logit, finite in every precision, and so are softmax, divergences and gradients after it
NEVER = -1e9


@method(
    label="Bias cheat",
    source="Seo, Kim and Han, appendix D.2",
    train_set="none",
    is_cheat=True,
    is_random=False,
    moves=("head.bias",),
)
def bias_cheat(problem: UnlearningProblem) -> Classifier:
    """The original model with the bias of the forgotten classes at −1e9, which stands for −∞; no data is read.

    Raises:
        DataError: the forget set is no class.
    """
    if not problem.forget_classes:
        raise DataError(
            "The method 'bias_cheat' silences classes, and this forget set is none. Use the setting 'class'."
        )
    network = problem.copy_of_original()
    with torch.no_grad():
        network.head.bias[list(problem.forget_classes)] = NEVER
    return network
