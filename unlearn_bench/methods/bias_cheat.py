"""Bias cheat: the model never predicts the forgotten classes again, but its features are unchanged."""

import torch

from unlearn_bench.core.errors import DataError
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.models import Classifier

# replaces −∞: below any logit, and finite in every precision, so that softmax, divergences and gradients are finite
NEVER = -1e9


@method(
    label="Bias cheat",
    source="Seo, Kim and Han, appendix D.2",
    train_set="none",
    is_cheat=True,
    is_random=False,
    trains=("head.bias",),
)
def bias_cheat(problem: UnlearningProblem) -> Classifier:
    """The original model with the bias of the forgotten classes at −1e9, in place of −∞; uses no data.

    Raises:
        DataError: the forget set does not consist of whole classes.
    """
    if not problem.forget_classes:
        raise DataError("The method 'bias_cheat' needs a forget set of whole classes. Use the scenario 'class'.")
    network = problem.copy_of_original()
    with torch.no_grad():
        network.head.bias[list(problem.forget_classes)] = NEVER
    return network
