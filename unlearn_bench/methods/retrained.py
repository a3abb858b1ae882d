"""The retrained model θ_r: the original's recipe on D_r alone, the reference that every method is read against."""

from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Decay, Epochs, LearningRate, WeightDecay
from unlearn_bench.models import Classifier
from unlearn_bench.training import make_optimizer


@method(label="Retrained", source="Seo, Kim and Han, section 2.1", train_set="D_r")
def retrained(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 100,
    batch_size: BatchSize = 64,
    lr: LearningRate = 0.1,
    decay: Decay = 0.998,
    weight_decay: WeightDecay = 1e-3,
) -> Classifier:
    """The model trained from scratch on D_r, all weights drawn anew, by the recipe of the original."""
    network = problem.copy_of_original()  # untrained: a method that trains from scratch is given no other
    return problem.fit(
        network,
        problem.retain_batches(batch_size),
        make_optimizer("sgd", network.parameters(), lr=lr, weight_decay=weight_decay),
        epochs=epochs,
        decay=decay,
    )
