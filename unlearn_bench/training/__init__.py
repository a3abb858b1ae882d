"""The training loop and its monitoring. Plug-ins may import these names."""

from unlearn_bench.training.loop import (
    cross_entropy,
    freeze_all_but,
    learning_rates,
    make_optimizer,
    negative_cross_entropy,
    scheduled,
    train_epoch,
    training_mode,
)

__all__ = [
    "cross_entropy",
    "freeze_all_but",
    "learning_rates",
    "make_optimizer",
    "negative_cross_entropy",
    "scheduled",
    "train_epoch",
    "training_mode",
]
