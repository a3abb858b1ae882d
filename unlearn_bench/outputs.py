"""What metrics read: features and logits of every split, from one pass over the images of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from unlearn_bench.data import ForgetSplit, Images
from unlearn_bench.data.batches import Normalise
from unlearn_bench.errors import DivergedError
from unlearn_bench.models import Classifier

BATCH = 512


@dataclass(frozen=True)
class Outputs:
    """A model's outputs on some images.

    Attributes:
        features: (N, d) float32, the input of the last linear layer.
        logits: (N, K) float32.
        labels: (N,) int64.
        fine: (N,) int64, finer labels, where the images have them.
    """

    features: Tensor
    logits: Tensor
    labels: Tensor
    fine: Tensor | None = None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def where(self, mask: Tensor) -> Outputs:
        """Returns the outputs where ``mask``, (N,) bool, is true."""
        mask = mask.to(self.labels.device)
        fine = None if self.fine is None else self.fine[mask]
        return Outputs(self.features[mask], self.logits[mask], self.labels[mask], fine)


@dataclass(frozen=True, eq=False)  # compared and hashed by identity, so that metrics can share what they compute
class ModelOutputs:
    """A model's outputs on every split of a configuration, images as they are, without augmentation.

    Attributes:
        retain, forget: D_r (all of it, not the subset) and D_f, training split.
        test_retain, test_forget: the test images that belong with each; of a backdoor, clean ones with D_r, and with
            D_f those of other classes that show the trigger, labelled as its target.
        triggered: of a backdoor, every test image with the trigger, under its true label.
        target: of a backdoor, the label that the trigger stands for.
    """

    retain: Outputs
    forget: Outputs
    test_retain: Outputs
    test_forget: Outputs
    triggered: Outputs | None = None
    target: int | None = None

    @property
    def classes(self) -> int:
        """K, the number of classes that the model tells apart."""
        return int(self.retain.logits.shape[1])


@dataclass(frozen=True)
class Predictions:
    """A model's outputs on every image once, in the order of the data set, whatever is forgotten of it.

    Attributes:
        train, test: of the two splits.
        triggered: of a backdoor, of the test images with the trigger.
    """

    train: Outputs
    test: Outputs
    triggered: Outputs | None = None

    def to_tensors(self) -> dict[str, Tensor]:
        """Returns the predictions by name, as a file holds them: nothing is rounded."""
        parts = {"train": self.train, "test": self.test, "triggered": self.triggered}
        named = {
            f"{part}.{field.name}": getattr(outputs, field.name)
            for part, outputs in parts.items()
            if outputs is not None
            for field in fields(outputs)
        }
        # copied: labels may be one tensor under two names, which a file would have to guess at
        return {name: tensor.clone() for name, tensor in named.items() if tensor is not None}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Predictions:
        """Returns what :meth:`to_tensors` was made of."""
        parts: dict[str, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            part, field = name.split(".")
            parts.setdefault(part, {})[field] = tensor
        return cls(**{part: Outputs(**named) for part, named in parts.items()})


def counted(outputs: Outputs) -> list[list[int]]:
    """Returns [true label, predicted label, number of samples] of every pair that occurs, in order."""
    classes = outputs.logits.shape[1]
    pairs = outputs.labels * classes + outputs.logits.argmax(dim=1)
    found, numbers = pairs.unique(return_counts=True)
    return [[int(pair) // classes, int(pair) % classes, int(n)] for pair, n in zip(found, numbers, strict=True)]


@torch.no_grad()
def predict(network: Classifier, images: Images, normalise: Normalise) -> Outputs:
    """Returns features and logits of ``images``, in their order, in float32 and evaluation mode.

    Args:
        network: its mode is restored afterwards.
        images: on the device of the network.
        normalise: uint8 pixels to the network's input.

    Raises:
        DivergedError: a feature or logit is not finite, as happens to finite weights of great size.
    """
    was_training = network.training
    network.eval()
    parts = [network.features(normalise(pixels)) for pixels in images.pixels.split(BATCH)]
    features = torch.cat(parts)
    logits = torch.cat([network.head(part) for part in parts])
    network.train(was_training)
    return finite_outputs(features, logits, images)


def finite_outputs(features: Tensor, logits: Tensor, images: Images) -> Outputs:
    """Returns the features (N, d) and logits (N, K) of images with their labels.

    Raises:
        DivergedError: a feature or logit is not finite.
    """
    for name, values in (("feature", features), ("logit", logits)):
        if not bool(values.isfinite().all()):
            raise DivergedError(f"a {name} is not finite")
    return Outputs(features, logits, images.labels, images.fine)


def predict_all(network: Classifier, test: Images, split: ForgetSplit, normalise: Normalise) -> Predictions:
    """Returns the outputs on the training and the test images, and on triggered ones where there are some."""
    train, tested = predict(network, split.train, normalise), predict(network, test, normalise)
    return Predictions(train, tested, predict(network, split.triggered, normalise) if split.triggered else None)


def arrange(predictions: Predictions, split: ForgetSplit) -> ModelOutputs:
    """Returns a model's predictions divided as the data set is."""
    train, tested, triggered = predictions.train, predictions.test, predictions.triggered
    retain, forget, test_retain = (
        train.where(~split.is_forget),
        train.where(split.is_forget),
        tested.where(split.test_retain),
    )
    if triggered is None or split.target is None:
        return ModelOutputs(retain, forget, test_retain, tested.where(split.test_forget))
    others = triggered.where(triggered.labels != split.target)
    aimed = replace(others, labels=torch.full_like(others.labels, split.target))
    return ModelOutputs(retain, forget, test_retain, aimed, triggered, split.target)
