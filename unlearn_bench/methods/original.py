"""The original model θ_o: trained on all of D, before anyone asks to forget."""

from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Decay, Epochs, LearningRate, WeightDecay
from unlearn_bench.models import Classifier
from unlearn_bench.training import make_optimizer


@method(label="Original", source="Seo, Kim and Han, section 5.1", train_set="D")
def original(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 100,
    batch_size: BatchSize = 64,
    lr: LearningRate = 0.1,
    decay: Decay = 0.998,
    weight_decay: WeightDecay = 1e-3,
) -> Classifier:
    """The model trained from scratch on all of D: SGD without momentum, exponential decay of the learning rate."""
    network = problem.copy_of_original()
    return problem.fit(
        network,
        problem.retain_batches(batch_size),
        make_optimizer("sgd", network.parameters(), lr=lr, weight_decay=weight_decay),
        epochs=epochs,
        decay=decay,
    )
