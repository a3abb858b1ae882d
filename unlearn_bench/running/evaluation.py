"""Evaluates the outputs of a run: computes every metric; traces some metrics during a run."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence

import torch

from unlearn_bench.core.errors import DivergedError
from unlearn_bench.metrics import Metric, metrics
from unlearn_bench.models import Classifier
from unlearn_bench.models.outputs import ModelOutputs, counted
from unlearn_bench.running.tasks import TRACED_METRICS
from unlearn_bench.store.records import Counts
from unlearn_bench.training.isolation import isolated
from unlearn_bench.training.monitor import RunMonitor


def measure(outputs: ModelOutputs, wanted: Sequence[Metric]) -> dict[str, float]:
    """Returns the value of each metric, by name.

    A metric of a plug-in gets a copy of the outputs, so that in-place changes do not affect the metrics after it.

    Raises:
        DivergedError: a built-in metric is not finite.
        ValueError: a metric of a plug-in is not finite, which may be a fault of the plug-in.
    """
    values = {}
    for metric in wanted:
        with isolated():
            value = float(metric.function(copy.deepcopy(outputs) if metric.origin else outputs))
        if not math.isfinite(value):
            error = ValueError if metric.origin else DivergedError
            raise error(f"the metric {metric.name} is {value}")
        values[metric.name] = value
    return values


def counts_of(outputs: ModelOutputs) -> dict[str, Counts]:
    """Returns how often the model predicts each class, see :class:`unlearn_bench.store.records.NewRun`."""
    predicted = {"retain": outputs.test_retain, "forget": outputs.forget, "triggered": outputs.triggered}
    return {name: counted(part) for name, part in predicted.items() if part is not None}


def trace(
    monitor: RunMonitor, every: int, twin: Classifier, test: Callable[[Classifier], ModelOutputs]
) -> Callable[[Classifier], None]:
    """Makes the monitor measure the network every ``every`` steps; returns a function that measures it at once.

    The returned function measures the first and the last model of the run. The network itself does not change: its
    weights are copied into ``twin``, whose passes are not counted and whose mode need not be restored. The random
    generators that the method uses keep their state.
    """
    traced_metrics = [metrics.get(name) for name in TRACED_METRICS]

    def measure_now(network: Classifier) -> None:
        # the final model may differ from that of the last step: one of several students, or a head set by hand
        monitor.curves[:] = [
            point for point in monitor.curves if point[0] != monitor.steps or point[1] not in TRACED_METRICS
        ]
        twin.load_state_dict(network.state_dict())
        device = next(twin.parameters()).device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            for name, value in measure(test(twin), traced_metrics).items():
                monitor.record(name, value)

    def watch(network: Classifier) -> None:
        if monitor.steps % every == 0:
            measure_now(network)

    monitor.watch = watch
    return measure_now
