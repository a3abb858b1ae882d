"""What metrics read: features and logits of every split, from one pass over the images of a model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unlearn_bench.data import Dataset, ForgetSplit, Images
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
    """

    features: Tensor
    logits: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Number of images."""
        return len(self.labels)

    def where(self, mask: Tensor) -> Outputs:
        """Returns the outputs where ``mask``, (N,) bool, is true."""
        mask = mask.to(self.labels.device)
        return Outputs(self.features[mask], self.logits[mask], self.labels[mask])


@dataclass(frozen=True, eq=False)  # compared and hashed by identity, so that metrics can share what they compute
class ModelOutputs:
    """A model's outputs on every split of a configuration, images as they are, without augmentation.

    Attributes:
        retain, forget: D_r (all of it, not the subset) and D_f, training split.
        test_retain, test_forget: the test images that belong with each.
    """

    retain: Outputs
    forget: Outputs
    test_retain: Outputs
    test_forget: Outputs

    @property
    def classes(self) -> int:
        """K, the number of classes that the model tells apart."""
        return int(self.retain.logits.shape[1])


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
    for name, values in (("feature", features), ("logit", logits)):
        if not bool(values.isfinite().all()):
            raise DivergedError(f"a {name} is not finite")
    return Outputs(features, logits, images.labels)


def predict_splits(network: Classifier, dataset: Dataset, split: ForgetSplit, normalise: Normalise) -> ModelOutputs:
    """Returns the outputs on D_r, D_f and their test images, from one pass over each image."""
    train = predict(network, dataset.train, normalise)
    test = predict(network, dataset.test, normalise)
    is_forget = torch.zeros(len(train), dtype=torch.bool)
    is_forget[split.forget] = True
    return ModelOutputs(
        retain=train.where(~is_forget),
        forget=train.where(is_forget),
        test_retain=test.where(~split.test_forget),
        test_forget=test.where(split.test_forget),
    )
