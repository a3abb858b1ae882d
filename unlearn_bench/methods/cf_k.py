"""CF-k: catastrophic forgetting of the last layers by finetuning them on the retain subset."""

from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate, WeightDecay
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import freeze_all_but, make_optimizer


@method(
    label="CF-k",
    source="Goel et al. 2022; Seo, Kim and Han, section 5.1",
    train_set="D'_r",
    trains=("last_stage", "head"),
)
def cf_k(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 10,
    batch_size: BatchSize = 32,
    lr: LearningRate = 0.01,
    weight_decay: WeightDecay = 0.0,
) -> Classifier:
    """The original model after SGD on D'_r that trains its last stage (conv4) and its head; the rest is frozen.

    It equals EU-k, except that training starts from the original model's weights.
    """
    network = problem.copy_of_original()
    trainable = freeze_all_but(network, network.last_stage, network.head)
    return problem.fit(
        network,
        problem.retain_batches(batch_size),
        make_optimizer("sgd", trainable, lr=lr, weight_decay=weight_decay),
        epochs=epochs,
    )
