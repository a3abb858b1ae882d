"""NegGrad: gradient ascent on the forget set."""

from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import make_optimizer, negative_cross_entropy


@method(
    label="NegGrad",
    source="Thudi et al. 2022; Seo, Kim and Han, appendix B",
    train_set="D_f",
    note=(
        "The default learning rate is from the paper's grid {1e-4, 1e-5}; the paper does not state epochs and batch "
        "size. If the original model fits its training data perfectly, ascent starts with almost no gradient "
        "and then diverges. On the demo profile, every trial of tuning changed the model very little or destroyed "
        "it, and the profile uses the best trial of the first kind (results/tuned/)."
    ),
)
def neggrad(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 5,
    batch_size: BatchSize = 32,
    lr: LearningRate = 1e-4,
) -> Classifier:
    """The original model after SGD that raises the cross-entropy of D_f, without any constraint on D_r."""
    network = problem.copy_of_original()

    return problem.fit(
        network,
        problem.forget_batches(batch_size),
        make_optimizer("sgd", network.parameters(), lr=lr),
        epochs=epochs,
        loss=negative_cross_entropy,
    )
