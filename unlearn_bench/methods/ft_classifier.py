"""FT (classifier only): a trivial cheat that suppresses the forget class's output; the features are unchanged."""

from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate, WeightDecay
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import freeze_all_but, make_optimizer


@method(
    label="FT (classifier only)",
    source="Seo, Kim and Han, section 4.1",
    train_set="D'_r",
    is_cheat=True,
    trains=("head",),
    note=(
        "If the original model fits its training data perfectly, the cross-entropy of D'_r has no gradient that "
        "suppresses the forgotten class. Weight decay suppresses it, since no sample of D'_r keeps the weights of "
        "that class large. Tuning chose the defaults (results/tuned/)."
    ),
)
def ft_classifier(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 20,
    batch_size: BatchSize = 32,
    lr: LearningRate = 0.1,
    weight_decay: WeightDecay = 0.1,
) -> Classifier:
    """The original model after SGD on D'_r that trains only the last linear layer."""
    network = problem.copy_of_original()
    return problem.fit(
        network,
        problem.retain_batches(batch_size),
        make_optimizer("sgd", freeze_all_but(network, network.head), lr=lr, weight_decay=weight_decay),
        epochs=epochs,
    )
