"""EU-k: exact unlearning of the last layers, which get new initial weights and are trained on the retain subset."""

from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate, WeightDecay
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import freeze_all_but, make_optimizer


@method(
    label="EU-k",
    source="Goel et al. 2022; Seo, Kim and Han, section 5.1",
    train_set="D'_r",
    trains=("last_stage", "head"),
    redraws=("last_stage", "head"),
)
def eu_k(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 20,
    batch_size: BatchSize = 32,
    lr: LearningRate = 0.1,
    weight_decay: WeightDecay = 0.0,
) -> Classifier:
    """The original model with new initial weights in its last stage (conv4) and its head, trained on D'_r by SGD.

    These parts, including their normalisation, keep no weight of the original model. The rest is frozen.
    """
    network = problem.copy_of_original()
    for offset, part in enumerate((network.last_stage, network.head)):
        network.reinitialise(part, problem.seed + offset)
    trainable = freeze_all_but(network, network.last_stage, network.head)
    return problem.fit(
        network,
        problem.retain_batches(batch_size),
        make_optimizer("sgd", trainable, lr=lr, weight_decay=weight_decay),
        epochs=epochs,
    )
