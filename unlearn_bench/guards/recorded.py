"""Whether a run's weights are a recorded model's: of the retrained model a method is given nothing."""

from __future__ import annotations

import torch

from unlearn_bench import checkpoints
from unlearn_bench.errors import ViolationError
from unlearn_bench.guards.weights import State, cosine
from unlearn_bench.spec import RunSpec
from unlearn_bench.store import Store

RETRAINED = "retrained"
NEAR = 0.9999  # cosine between the weights of two models; of two that were trained apart it is near 0


def check_recorded(store: Store, spec: RunSpec, digest: str, state: State, start: State) -> None:
    """Checks that weights are neither a recorded retrained model's, to the bit, nor all but those of this run's.

    Args:
        store: the record.
        spec: of the run.
        digest: of the weights.
        state: the weights.
        start: of the model that the run started from; one that is near the retrained model itself is no evidence.

    Raises:
        ViolationError: they are.
    """
    if spec.method == RETRAINED:
        return
    for twin in store.with_digest([digest]):
        if twin.method == RETRAINED:
            raise ViolationError(f"its weights are those of {twin.title}, which it is not given")
    for title, model in store.references(RETRAINED, spec.forget_digest, spec.seed):
        if model.file is None or model.file_digest is None:
            continue
        device = next(iter(state.values())).device
        other = checkpoints.read(store.models_folder / model.file, model.file_digest, device)
        if other is None or {n: v.shape for n, v in other.items()} != {n: v.shape for n, v in state.items()}:
            continue
        names = [name for name, value in state.items() if torch.is_floating_point(value)]
        near = cosine(state, other, names)
        if near > NEAR >= cosine(start, other, names):
            raise ViolationError(f"its weights have a cosine of {near:.6f} to those of {title}, which it is not given")
