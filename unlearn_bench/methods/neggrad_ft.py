"""NegGrad+FT: epochs of gradient ascent on the forget set alternate with epochs of finetuning on the retain subset."""

from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate, WeightDecay
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import make_optimizer, negative_cross_entropy


@method(label="NegGrad+FT", source="Seo, Kim and Han, section 5.1", train_set="D'_r ∪ D_f")
def neggrad_ft(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 5,
    batch_size: BatchSize = 32,
    lr: LearningRate = 1e-3,
    weight_decay: WeightDecay = 0.0,
) -> Classifier:
    """The original model after epochs of SGD that raise the cross-entropy of D_f, each followed by one on D'_r.

    ``epochs`` counts pairs of epochs. One optimizer makes both kinds of steps.
    """
    network = problem.copy_of_original()
    forget, retain = problem.forget_batches(batch_size), problem.retain_batches(batch_size)
    optimizer = make_optimizer("sgd", network.parameters(), lr=lr, weight_decay=weight_decay)
    problem.monitor.plan(epochs * (len(forget) + len(retain)))
    for _ in range(epochs):
        problem.train_epoch(network, forget, optimizer, loss=negative_cross_entropy, curve="forget_loss")
        problem.train_epoch(network, retain, optimizer, curve="recover_loss")
    return network
