"""Compares the weights of a run with those of recorded retrained models, which no method gets."""

from __future__ import annotations

import torch

from unlearn_bench.core.errors import ViolationError
from unlearn_bench.core.spec import RunSpec
from unlearn_bench.models import checkpoints
from unlearn_bench.running.guards.weights import State, cosine
from unlearn_bench.store import Store

RETRAINED = "retrained"
NEAR = 0.9999  # cosine between the weights of two models; it is near 0 for models trained independently


def check_recorded(store: Store, spec: RunSpec, digest: str, state: State, start: State) -> None:
    """Checks that weights do not equal those of any recorded retrained model, nor nearly those of this configuration.

    Args:
        store: the database.
        spec: what identifies the run.
        digest: digest of the weights.
        state: the weights.
        start: the weights that the run started from; if they are close to the retrained model's already, closeness
            shows nothing.

    Raises:
        ViolationError: the weights equal a retrained model's bit for bit, or have a cosine above ``NEAR`` to it.
    """
    if spec.method == RETRAINED:
        return
    for twin in store.with_digest([digest]):
        if twin.method == RETRAINED:
            raise ViolationError(f"its weights equal those of {twin.title}, which it is not given")
    for title, model in store.references(RETRAINED, spec.forget_digest, spec.seed):
        if model.file is None or model.file_digest is None:
            continue
        device = next(iter(state.values())).device
        other = checkpoints.read(store.model_files, model.file, model.file_digest, device)
        if other is None or {n: v.shape for n, v in other.items()} != {n: v.shape for n, v in state.items()}:
            continue
        names = [name for name, value in state.items() if torch.is_floating_point(value)]
        near = cosine(state, other, names)
        if near > NEAR >= cosine(start, other, names):
            raise ViolationError(f"its weights have a cosine of {near:.6f} to those of {title}, which it is not given")
