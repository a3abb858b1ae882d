"""The input of metrics: features and logits of every split, from one pass of a model over all images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from unlearn_bench.core.errors import DivergedError
from unlearn_bench.data import ForgetSplit, Images
from unlearn_bench.data.batches import Normalise
from unlearn_bench.models import Classifier

BATCH = 512


@dataclass(frozen=True)
class Outputs:
    """A model's outputs on a set of images.

    Attributes:
        features: (N, d) float32, the input of the last linear layer.
        logits: (N, K) float32.
        labels: (N,) int64.
        fine: (N,) int64, finer labels; None if the images have none.
    """

    features: Tensor
    logits: Tensor
    labels: Tensor
    fine: Tensor | None = None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    @property
    def correct(self) -> Tensor:
        """Whether the largest logit of each image is that of its label, (N,) bool."""
        return self.logits.argmax(dim=1) == self.labels

    @property
    def accuracy(self) -> float:
        """Share of images whose largest logit is that of their label, 0 to 1."""
        return float(self.correct.double().mean())

    def where(self, mask: Tensor) -> Outputs:
        """Returns the outputs at which ``mask``, (N,) bool, is true."""
        mask = mask.to(self.labels.device)
        fine = None if self.fine is None else self.fine[mask]
        return Outputs(self.features[mask], self.logits[mask], self.labels[mask], fine)


@dataclass(frozen=True, eq=False)  # compared and hashed by identity, so that metrics can share results
class ModelOutputs:
    """A model's outputs on every split of a configuration, without augmentation.

    Attributes:
        retain, forget: training images D_r (all of it, not the subset) and D_f.
        test_retain, test_forget: the test images that correspond to D_r and D_f. In the scenario ``backdoor`` they are
            the clean test images, and the triggered test images of other classes with the target as label.
        triggered: in the scenario ``backdoor``, every test image with the trigger and its true label.
        target: in the scenario ``backdoor``, the label of poisoned images.
        has_counterpart: whether test images correspond to D_f. If not, ``test_forget`` are the training images of D_f.
    """

    retain: Outputs
    forget: Outputs
    test_retain: Outputs
    test_forget: Outputs
    triggered: Outputs | None = None
    target: int | None = None
    has_counterpart: bool = True

    @property
    def classes(self) -> int:
        """K, the number of classes of the model."""
        return int(self.retain.logits.shape[1])


@dataclass(frozen=True)
class Predictions:
    """A model's outputs on every image once, in the order of the data set, independent of the forget set.

    Attributes:
        train, test: outputs on the two splits.
        triggered: in the scenario ``backdoor``, outputs on the test images with the trigger.
    """

    train: Outputs
    test: Outputs
    triggered: Outputs | None = None

    def to_tensors(self) -> dict[str, Tensor]:
        """Returns the predictions by name, unrounded, for a file."""
        parts = {"train": self.train, "test": self.test, "triggered": self.triggered}
        named = {
            f"{part}.{field.name}": getattr(outputs, field.name)
            for part, outputs in parts.items()
            if outputs is not None
            for field in fields(outputs)
        }
        # copied: labels may be one tensor under two names, which safetensors does not accept
        return {name: tensor.clone() for name, tensor in named.items() if tensor is not None}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Predictions:
        """Returns the predictions from the result of :meth:`to_tensors`."""
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            part, field = name.split(".")
            parts.setdefault(part, {})[field] = tensor
        return cls(**{part: Outputs(**named) for part, named in parts.items()})


def counted(outputs: Outputs) -> list[list[int]]:
    """Returns [true label, predicted label, number of samples] for every pair of labels that occurs, sorted."""
    classes = outputs.logits.shape[1]
    pairs = outputs.labels * classes + outputs.logits.argmax(dim=1)
    occurring, numbers = pairs.unique(return_counts=True)
    return [[int(pair) // classes, int(pair) % classes, int(n)] for pair, n in zip(occurring, numbers, strict=True)]


@torch.no_grad()
def predict(network: Classifier, images: Images, normalise: Normalise, batch: int = BATCH) -> Outputs:
    """Returns features and logits of ``images``, in their order, in float32 and evaluation mode.

    Args:
        network: its training or evaluation mode is restored afterwards.
        images: on the device of the network.
        normalise: converts uint8 pixels to the network's input.
        batch: images in a pass.

    Raises:
        DivergedError: a feature or logit is not finite, which can happen with very large finite weights.
    """
    was_training = network.training
    network.eval()
    parts = [network.outputs(normalise(pixels)) for pixels in images.pixels.split(batch)]
    features, logits = (torch.cat([part[k] for part in parts]).float() for k in range(2))
    network.train(was_training)
    for name, values in (("feature", features), ("logit", logits)):
        if not bool(values.isfinite().all()):
            raise DivergedError(f"a {name} is not finite")
    return Outputs(features, logits, images.labels, images.fine)


def predict_all(network: Classifier, test: Images, split: ForgetSplit, normalise: Normalise) -> Predictions:
    """Returns the outputs on the training and the test images, and on the triggered ones if there are any."""
    outputs = predict(network, split.train, normalise), predict(network, test, normalise)
    return Predictions(*outputs, predict(network, split.triggered, normalise) if split.triggered else None)


def arrange(predictions: Predictions, split: ForgetSplit) -> ModelOutputs:
    """Returns a model's predictions divided by a forget set."""
    train, test, triggered = predictions.train, predictions.test, predictions.triggered
    retain, forget, test_retain = (
        train.where(~split.is_forget),
        train.where(split.is_forget),
        test.where(split.test_retain),
    )
    if not split.has_counterpart:
        return ModelOutputs(retain, forget, test_retain, forget, has_counterpart=False)
    if triggered is None or split.target is None:
        return ModelOutputs(retain, forget, test_retain, test.where(split.test_forget))
    others = triggered.where(triggered.labels != split.target)
    aimed = replace(others, labels=torch.full_like(others.labels, split.target))
    return ModelOutputs(retain, forget, test_retain, aimed, triggered, split.target)
