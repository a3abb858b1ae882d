"""NegGrad: gradient ascent on the forget set."""

from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate
from unlearn_bench.models import Classifier
from unlearn_bench.training import make_optimizer, negative_cross_entropy


@method(
    label="NegGrad",
    source="Thudi et al. 2022; Seo, Kim and Han, appendix B",
    train_set="D_f",
    note=(
        "The default learning rate is of the paper's grid {1e-4, 1e-5}; epochs and batch size are silent "
        "there. Where the original model fits its training data to the last digit, ascent starts with almost "
        "no gradient and, once it has one, runs away: on the demo profile tuning found settings that move next "
        "to nothing and settings that destroy the model, and the profile takes the best of the former "
        "(results/tuned/)."
    ),
)
def neggrad(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 5,
    batch_size: BatchSize = 32,
    lr: LearningRate = 1e-4,
) -> Classifier:
    """The original model after SGD that raises the cross-entropy of D_f; nothing holds it back."""
    network = problem.copy_of_original()

    return problem.fit(
        network,
        problem.forget_batches(batch_size),
        make_optimizer("sgd", network.parameters(), lr=lr),
        epochs=epochs,
        loss=negative_cross_entropy,
    )
