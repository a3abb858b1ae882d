"""FT: finetuning on the retain subset, which relies on the model forgetting what it no longer sees."""

from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate, WeightDecay
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import make_optimizer


@method(label="FT", source="Warnecke et al. 2023; Seo, Kim and Han, appendix B", train_set="D'_r")
def ft(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 10,
    batch_size: BatchSize = 32,
    lr: LearningRate = 0.01,
    weight_decay: WeightDecay = 0.0,
) -> Classifier:
    """The original model after SGD on D'_r that trains all layers."""
    network = problem.copy_of_original()
    return problem.fit(
        network,
        problem.retain_batches(batch_size),
        make_optimizer("sgd", network.parameters(), lr=lr, weight_decay=weight_decay),
        epochs=epochs,
    )
