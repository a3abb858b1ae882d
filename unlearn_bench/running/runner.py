"""Makes one run: problem → method (timed) → outputs → metrics → record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from unlearn_bench.config.pinned import Pinned, PinnedModel, intact_file
from unlearn_bench.core import environment
from unlearn_bench.core.artefacts import Folder
from unlearn_bench.core.errors import CheckpointError, DivergedError, UserError, ViolationError
from unlearn_bench.core.options import changed
from unlearn_bench.core.progress import Progress, silent
from unlearn_bench.core.renamed import new_name
from unlearn_bench.core.spec import RunSpec
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.batches import Normalise
from unlearn_bench.methods import UnlearningProblem, methods
from unlearn_bench.models import Classifier, build, checkpoints, disturb, weights_digest
from unlearn_bench.models.outputs import ModelOutputs
from unlearn_bench.running.evaluation import counts_of, measure, trace
from unlearn_bench.running.guards import Guard
from unlearn_bench.running.guards.paths import forbidden_paths
from unlearn_bench.running.guards.recorded import check_recorded
from unlearn_bench.running.outputs import outputs_of_run, outputs_on_the_way
from unlearn_bench.running.pretrained import begin
from unlearn_bench.running.saving import saved_training
from unlearn_bench.running.tasks import Task, measured, method_data, split_of
from unlearn_bench.store import Store, trainings
from unlearn_bench.store.records import (
    Counts,
    DatasetRecord,
    Environment,
    MethodRecord,
    MetricRecord,
    ModelRecord,
    NewRun,
    OutputsRecord,
    Status,
)
from unlearn_bench.training.devices import describe_device, machine, peak_memory_bytes, timed
from unlearn_bench.training.isolation import isolated, threads
from unlearn_bench.training.monitor import RunMonitor


class Runner:
    """Makes and records runs on one data set and one device."""

    def __init__(self, store: Store, dataset: Dataset, device: torch.device) -> None:
        """Moves ``dataset`` to ``device`` once, for all runs."""
        self.store = store
        self.dataset = dataset.to(device)
        self.device = device
        torch.optim.SGD([torch.zeros(1)])  # the first optimizer takes a second for imports, before any method is timed

    def run(
        self, task: Task, progress: Progress = silent, say: Callable[[str], None] = lambda _sentence: None
    ) -> tuple[Status, str | None]:
        """Makes and records one run: its weights, unless they are recorded already, then every metric.

        If a loss or a metric is not finite, the run is recorded as ``diverged``. If the method or a metric fails in
        another way, or if the method breaks what it declares (see :mod:`unlearn_bench.running.guards`), the run is
        recorded as ``failed``. Both are recorded with the reason and without values.

        Returns:
            The recorded status, and the reason if it is not ``done``.

        Raises:
            UserError: wrong use; nothing is recorded.
        """
        split = split_of(task, self.dataset)
        monitor = RunMonitor(task=task.title, progress=progress, say=say)
        model: ModelRecord | None = None
        outputs_record: OutputsRecord | None = None
        values: dict[str, float] = {}
        predicted: dict[str, Counts] = {}
        seconds = 0.0
        error: str | None = None
        status: Status = "done"
        with threads(task.spec.experiment.threads):
            try:
                network, model = self.weights(task, split, monitor)
                started = time.perf_counter()
                normalise = self.normalise_for(network)
                outputs, outputs_record = outputs_of_run(
                    network, model, task, self.dataset, split, normalise, self.store
                )
                values, predicted = measure(outputs, measured(task)), counts_of(outputs)
                seconds = time.perf_counter() - started
            except UserError:
                raise
            except DivergedError as problem:
                status, error = "diverged", str(problem)
            except ViolationError as problem:
                status, error = "failed", str(problem)
            except (Exception, SystemExit) as problem:  # a plug-in can raise anything: the other runs must go on
                status, error = "failed", f"{type(problem).__name__}: {problem} {new_name(problem)}".rstrip()
            model = model or self._attempt(task, monitor)
        new_run = self._new_run(task, split, model, values, status, error)
        self.store.record(replace(new_run, predicted=predicted, outputs=outputs_record, evaluation_seconds=seconds))
        if status != "failed":  # after a lack of memory, for example, the next attempt goes on
            trainings.remove(self.store.models_folder, task.model_key)
        return status, error

    def problem(self, task: Task, split: ForgetSplit, monitor: RunMonitor) -> UnlearningProblem:
        """Returns the problem that the method gets: the data that it declares, and nothing else."""
        spec, method, data = task.spec, task.method, method_data(task, split)
        start = self._start(task.start) if task.start else begin(self._untrained(spec), task, len(self.dataset.classes))
        if method.from_scratch and (disturbance := spec.experiment.disturbance):
            disturb(start, spec.derive_seed(f"disturbance {disturbance}"))
        return UnlearningProblem(
            original=start.eval().requires_grad_(False),
            retain=data.retain,
            forget=data.forget,
            forget_classes=split.classes,
            seed=spec.derive_seed("method", uses_forget_set=method.uses_forget_set),
            normalise=self.normalise_for(start),  # its own copy: the method may change it in place
            augment=spec.experiment.augment,
            precision=getattr(torch, spec.experiment.precision),
            held_out=0.0 if method.from_scratch else spec.experiment.held_out,
            forget_share=split.share,
            monitor=monitor,
        )

    def normalise_for(self, network: Classifier) -> Normalise:
        """Returns the conversion of pixels to the inputs of a network."""
        return Normalise(*network.statistics(self.dataset.mean, self.dataset.std))

    def weights(self, task: Task, split: ForgetSplit, monitor: RunMonitor) -> tuple[Classifier, ModelRecord]:
        """Returns the weights of a run: from their file if it exists and is intact, else made now and written."""
        network = self._untrained(task.spec)
        record = self.store.model(task.model_key)
        if record is not None and self._read(network, record):
            return network, record
        if task.pinned is not None and task.pinned_model is not None:
            return self._pinned(network, task, task.pinned, task.pinned_model)
        problem = self.problem(task, split, monitor)
        guard = Guard(task.method, problem, forbidden_paths(self.store, self.dataset, task.pinned))
        measure_now = self._trace(task, split, monitor)
        measure_now(problem.original)
        problem = replace(guard.problem, saved=saved_training(task, self.store, self.device, monitor, guard))
        with timed(monitor, self.device), isolated(), guard.watching():
            unlearned = task.method.unlearn(problem, task.spec.options)
        measure_now(unlearned)
        network.load_state_dict(unlearned.state_dict())  # the metrics read only what is stored, the weights
        network.eval()
        if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
            raise DivergedError(f"a weight is not finite after {monitor.steps} steps")
        guard.check(network)
        digest = weights_digest(network)
        check_recorded(self.store, task.spec, digest, network.state_dict(), guard.start)
        file, file_digest = checkpoints.write(network.state_dict(), self.store.model_files, task.model_key)
        attempt = self._attempt(task, monitor)
        return network, replace(attempt, file=file, file_digest=file_digest, weights_digest=digest)

    def _pinned(
        self, network: Classifier, task: Task, pinned: Pinned, model: PinnedModel
    ) -> tuple[Classifier, ModelRecord]:
        """Returns the weights of a pinned reference, with the cost of training them as recorded when they were made."""
        file = intact_file(pinned, model)
        if not checkpoints.read_weights(network, Folder(file.parent), file.name, model.file_digest):
            raise CheckpointError(f"The pinned reference {file} does not fit the profile's model. Restore the file.")
        if disturbance := task.spec.experiment.disturbance:
            disturb(network, task.spec.derive_seed(f"disturbance {disturbance}"))
        name, digest = checkpoints.write(network.state_dict(), self.store.model_files, task.model_key)
        weights = weights_digest(network)
        return network, ModelRecord(task.model_key, name, digest, weights, **model.cost)

    def _trace(self, task: Task, split: ForgetSplit, monitor: RunMonitor) -> Callable[[Classifier], None]:
        """Makes the monitor trace the run, if it is traced; returns a function that measures a network at once."""
        every = task.spec.experiment.trace_every
        if not every or task.method.from_scratch:
            return lambda _network: None

        def test(network: Classifier) -> ModelOutputs:
            return outputs_on_the_way(network, self.dataset, split, self.normalise_for(network))

        return trace(monitor, every, self._untrained(task.spec), test)

    def _attempt(self, task: Task, monitor: RunMonitor) -> ModelRecord:
        """Returns the cost of making a run's weights, without the weights: also that of a run that failed."""
        return ModelRecord(
            key=task.model_key,
            file=None,
            file_digest=None,
            weights_digest=None,
            parameters=sum(parameter.numel() for parameter in self._untrained(task.spec).parameters()),
            method_seconds=monitor.seconds,
            samples_seen=monitor.samples_seen,
            forward_images=monitor.forward_images,
            backward_images=monitor.backward_images,
            peak_memory_bytes=peak_memory_bytes(self.device),
            trace_seconds=monitor.watch_seconds,
            curves=tuple(monitor.curves),
        )

    def _start(self, origin: Task) -> Classifier:
        """Returns the model that a run starts from; if its file is missing or damaged, the model is made again.

        Raises:
            DivergedError: the run of that model diverged.
        """
        network = self._untrained(origin.spec)
        record = self.store.model(origin.model_key)
        if record is not None and self._read(network, record):
            return network
        status, _ = self.store.finished([origin.spec.key]).get(origin.spec.key, ("done", None))
        if status == "diverged":
            raise DivergedError(f"its start model diverged: {origin.spec.method}, forget {origin.spec.forget}")
        network, new_record = self.weights(origin, split_of(origin, self.dataset), RunMonitor())
        self.store.record_model(new_record)
        trainings.remove(self.store.models_folder, origin.model_key)
        return network

    def _untrained(self, spec: RunSpec) -> Classifier:
        method = methods.get(spec.method)
        return build(
            spec.experiment.model,
            channels=self.dataset.channels,
            classes=len(self.dataset.classes),
            seed=spec.derive_seed("initial weights", uses_forget_set=method.uses_forget_set),
            side=self.dataset.side,
        ).to(self.device)

    def _read(self, network: Classifier, record: ModelRecord) -> bool:
        if record.file is None or record.file_digest is None:
            return False
        return checkpoints.read_weights(network, self.store.model_files, record.file, record.file_digest)

    def _new_run(
        self,
        task: Task,
        split: ForgetSplit,
        model: ModelRecord | None,
        values: dict[str, float],
        status: Status,
        error: str | None,
    ) -> NewRun:
        method, data, spec = task.method, self.dataset, task.spec
        base = spec.experiment.recipe if method.from_scratch else {}
        return NewRun(
            spec=spec,
            profile=task.profile,
            status=status,
            error=error,
            changed_options=changed(method.function, spec.options, base),
            dataset=DatasetRecord(
                digest=data.digest,
                name=data.name,
                train_images=len(data.train),
                test_images=data.test_images,
                shape="×".join(str(side) for side in data.train.pixels.shape[1:]),
                classes=data.classes,
                fine_classes=data.fine_classes,
            ),
            forget_images=len(split.forget),
            method=MethodRecord(
                name=method.name,
                label=method.label,
                train_set=method.train_set,
                source=method.source,
                is_reference=method.from_scratch,
                origin=method.origin,
                is_cheat=method.is_cheat,
                makes_inputs=method.makes_inputs,
            ),
            metrics=tuple(
                MetricRecord(m.name, m.label, m.unit, m.better, m.source, m.revision) for m in measured(task)
            ),
            values=values,
            model=model,
            environment=Environment(
                code_version=environment.code_version(),
                packages=environment.packages(),
                machine=machine(),
                device=describe_device(self.device),
            ),
            evaluation_seconds=0.0,
            forget_members=np.packbits(split.is_forget.numpy()).tobytes(),
        )
