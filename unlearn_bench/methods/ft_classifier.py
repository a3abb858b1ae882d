"""FT (classifier only): a trivial cheat that silences the forget class's output and leaves the features alone."""

from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate, WeightDecay
from unlearn_bench.models import Classifier
from unlearn_bench.training import freeze_all_but, make_optimizer


@method(
    label="FT (classifier only)",
    source="Seo, Kim and Han, section 4.1",
    train_set="D'_r",
    is_cheat=True,
    moves=("head",),
    note=(
        "Where the original model fits its training data to the last digit, the cross-entropy of D'_r has no "
        "gradient left that would silence the forgotten class: weight decay does, since nothing in D'_r holds "
        "that class's weights up. Found by tuning (results/tuned/)."
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
    """The original model, its last linear layer alone finetuned on D'_r by SGD; no other weight moves."""
    network = problem.copy_of_original()
    return problem.fit(
        network,
        problem.retain_batches(batch_size),
        make_optimizer("sgd", freeze_all_but(network, network.head), lr=lr, weight_decay=weight_decay),
        epochs=epochs,
    )
