"""The original model θ_o: trained on all of D, before any request to forget."""

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


@method(label="Original", source="Seo, Kim and Han, section 5.1", train_set="D")
def original(
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
    """The model trained from scratch on all of D, by default with SGD without momentum and a decaying learning rate.

    The defaults are the paper's recipe. The data set determines whether images are cropped and mirrored.
    ``crop_padding``, ``crop_fill`` and ``flip`` determine how, but only for original and retrained models: methods that
    start from a trained model always use four pixels of zeros and random flips.
    """
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
