"""The retrained model θ_r: the original's recipe on D_r only, the reference for every method."""

from unlearn_bench.data.batches import PADDING, CropFlip
from unlearn_bench.methods import UnlearningProblem, method
from unlearn_bench.methods.hyperparameters import (
    BatchSize,
    CropFill,
    CropPadding,
    Decay,
    DecayMatricesOnly,
    Epochs,
    FlipKind,
    LabelSmoothing,
    LearningRate,
    Momentum,
    Nesterov,
    Optimizer,
    Schedule,
    Warmup,
    WeightDecay,
)
from unlearn_bench.models import Classifier
from unlearn_bench.training.recipe import Recipe


@method(label="Retrained", source="Seo, Kim and Han, section 2.1", train_set="D_r")
def retrained(
    problem: UnlearningProblem,
    *,
    epochs: Epochs = 100,
    batch_size: BatchSize = 64,
    lr: LearningRate = 0.1,
    decay: Decay = 0.998,
    weight_decay: WeightDecay = 1e-3,
    optimizer: Optimizer = "sgd",
    momentum: Momentum = 0.0,
    nesterov: Nesterov = False,
    schedule: Schedule = "constant",
    warmup: Warmup = 0.2,
    label_smoothing: LabelSmoothing = 0.0,
    decay_matrices_only: DecayMatricesOnly = False,
    crop_padding: CropPadding = PADDING,
    crop_fill: CropFill = "zeros",
    flip: FlipKind = "random",
) -> Classifier:
    """The model trained from scratch on D_r by the original's recipe, from new initial weights."""
    return problem.train(
        Recipe(
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            decay=decay,
            weight_decay=weight_decay,
            optimizer=optimizer,
            momentum=momentum,
            nesterov=nesterov,
            schedule=schedule,
            warmup=warmup,
            label_smoothing=label_smoothing,
            decay_matrices_only=decay_matrices_only,
            crop_flip=CropFlip(crop_padding, crop_fill, flip),
        )
    )
