"""JiT (just in time): the output becomes smooth around forget samples, without retain data and without labels."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from unlearn_bench.core.options import Search
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import BatchSize, Epochs, LearningRate
from unlearn_bench.models import Classifier
from unlearn_bench.training.loop import make_optimizer


@method(
    label="JiT",
    source="Foster et al. 2024 (zero-shot unlearning by Lipschitz regularisation), and the authors' code",
    train_set="D_f",
    makes_inputs=True,
    note=(
        "The defaults are those of the authors' code for class unlearning of a VGG; for a ViT it has lr 1.5 and sigma "
        "0.8. As in the code, the loss is a sum over the batch, where the paper has a mean, so that the effect of lr "
        "grows with batch_size."
    ),
    unresponsive="it reads no label, so that forgetting other images may raise the loss as much",
)
def jit(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 1,
    batch_size: BatchSize = 128,
    lr: LearningRate = 3e-4,
    sigma: Annotated[
        float, Field(gt=0, le=100, description="standard deviation of the noise, in normalised inputs"), Search(0.01, 1)
    ] = 0.5,
    copies: Annotated[int, Field(ge=1, le=1000, description="number N of noisy copies of each image")] = 25,
) -> Classifier:
    """The original model after SGD on D_f that minimises (1 / N) Σ_s Σ_i ‖f(x_i) − f(x_is)‖ / ‖x_i − x_is‖.

    x_is = x_i + ε_is with ε ~ N(0, σ²), clamped to the smallest and the largest value of the batch. Σ_i is the sum over
    a batch, ‖·‖ the Euclidean norm of the logits and of the normalised input. Gradients flow through f(x_i) only. Both
    pass the network in training mode, and each noisy copy counts as a drawn sample.
    """
    network = problem.copy_of_original()
    generator = torch.Generator().manual_seed(problem.seed)

    def loss(network: Classifier, x: Tensor, _y: Tensor) -> Tensor:
        logits = network(x).float()
        total = torch.zeros((), device=x.device)
        for _ in range(copies):
            noise = sigma * torch.randn(x.shape, generator=generator).to(x.device)
            noisy = (x + noise).clamp(x.min(), x.max())
            with torch.no_grad():
                noisy_logits = network(noisy).float()
            total = total + ((logits - noisy_logits).norm(dim=1) / (x - noisy).flatten(1).norm(dim=1)).sum()
        problem.monitor.add_samples(copies * len(x))
        return total / copies

    return problem.fit(
        network,
        problem.forget_batches(batch_size),
        make_optimizer("sgd", network.parameters(), lr=lr),
        epochs=epochs,
        loss=loss,
    )
