"""CF-k: catastrophic forgetting of the last layers, finetuned on the retain subset."""

from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate, WeightDecay
from unlearn_bench.models import Classifier
from unlearn_bench.training import freeze_all_but, make_optimizer


@method(
    label="CF-k",
    source="Goel et al. 2022; Seo, Kim and Han, section 5.1",
    train_set="D'_r",
    moves=("last_stage", "head"),
)
def cf_k(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 10,
    batch_size: BatchSize = 32,
    lr: LearningRate = 0.01,
    weight_decay: WeightDecay = 0.0,
) -> Classifier:
    """The original model, its last stage (conv4) and its head finetuned on D'_r by SGD; all else is frozen.

    As EU-k, but from the weights of the original model.
    """
    network = problem.copy_of_original()
    moving = freeze_all_but(network, network.last_stage, network.head)
    return problem.fit(
        network,
        problem.retain_batches(batch_size),
        make_optimizer("sgd", moving, lr=lr, weight_decay=weight_decay),
        epochs=epochs,
    )
