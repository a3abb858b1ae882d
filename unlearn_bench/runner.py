"""One run: problem → method, timed → outputs → metrics → record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from unlearn_bench import checkpoints, environment
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.batches import Normalise
from unlearn_bench.data.settings import divide
from unlearn_bench.errors import CheckpointError, DivergedError, UserError, ViolationError
from unlearn_bench.evaluation import counts_of, measure, outputs_of_trial, stored_outputs, trace
from unlearn_bench.guards import Guard
from unlearn_bench.guards.places import forbidden
from unlearn_bench.guards.recorded import check_recorded
from unlearn_bench.inputs import unwatched
from unlearn_bench.isolation import isolated, threads
from unlearn_bench.journal import Journal
from unlearn_bench.methods import UnlearningProblem, methods
from unlearn_bench.models import Classifier, build, disturb, weights_digest
from unlearn_bench.options import changed
from unlearn_bench.outputs import ModelOutputs, arrange, predict_all
from unlearn_bench.pinned import Pinned, PinnedModel, intact_file
from unlearn_bench.progress import Progress, silent
from unlearn_bench.spec import RunSpec
from unlearn_bench.store import Store
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
from unlearn_bench.tasks import Task, give, measured


class Runner:
    """Makes runs on one data set and one device, and records them."""

    def __init__(self, store: Store, dataset: Dataset, device: torch.device) -> None:
        """``dataset`` is moved to ``device`` once, for all runs."""
        self.store = store
        self.dataset = dataset.to(device)
        self.device = device
        self.normalise = Normalise(dataset.mean, dataset.std)
        torch.optim.SGD([torch.zeros(1)])  # the first one imports torch's compiler, a second that is no method's

    def run(self, task: Task, progress: Progress = silent) -> tuple[Status, str | None]:
        """Makes and records one run: its weights, unless they are there already, then every metric.

        A loss or a metric that leaves the finite numbers records the run as ``diverged``, any other failure of the
        method or of a metric as ``failed``, and so a method that did not keep to what it declares, see
        :mod:`unlearn_bench.guards`; each with its reason. Neither holds values.

        Returns:
            The recorded status, and the reason where it is not ``done``.

        Raises:
            UserError: wrong use; nothing is recorded.
        """
        split = self._split(task)
        journal = Journal(task=task.title, progress=progress)
        model: ModelRecord | None = None
        kept: OutputsRecord | None = None
        values: dict[str, float] = {}
        predicted: dict[str, Counts] = {}
        seconds = 0.0
        error: str | None = None
        status: Status = "done"
        with threads(task.spec.experiment.threads):
            try:
                network, model = self.weights(task, split, journal)
                started = time.perf_counter()
                outputs, kept = self._outputs(network, model, task, split)
                values, predicted = measure(outputs, measured(task.spec.experiment)), counts_of(outputs)
                seconds = time.perf_counter() - started
            except UserError:
                raise
            except DivergedError as problem:
                status, error = "diverged", str(problem)
            except ViolationError as problem:
                status, error = "failed", str(problem)
            except (Exception, SystemExit) as problem:  # anyone's method or metric: one failure must not end the others
                status, error = "failed", f"{type(problem).__name__}: {problem}"
            model = model or self._attempt(task, journal)
        made = self._new_run(task, split, model, values, status, error)
        self.store.record(replace(made, predicted=predicted, outputs=kept, evaluation_seconds=seconds))
        return status, error

    def problem(self, task: Task, split: ForgetSplit, journal: Journal) -> UnlearningProblem:
        """Returns what the method may see: the data that it declares, and nothing else."""
        spec, method, given = task.spec, task.method, give(task, split)
        start = self._start(task.start) if task.start else self._untrained(spec)
        if method.from_scratch and (disturbance := spec.experiment.disturbance):
            disturb(start, spec.derive_seed(f"disturbance {disturbance}"))
        return UnlearningProblem(
            original=start.eval().requires_grad_(False),
            retain=given.retain,
            forget=given.forget,
            forget_classes=split.classes,
            seed=spec.derive_seed("method", uses_forget_set=method.uses_forget_set),
            normalise=Normalise(self.dataset.mean, self.dataset.std),  # its own: what it does in place stays there
            augment=spec.experiment.augment,
            precision=getattr(torch, spec.experiment.precision),
            held_out=0.0 if method.from_scratch else spec.experiment.held_out,
            journal=journal,
        )

    def weights(self, task: Task, split: ForgetSplit, journal: Journal) -> tuple[Classifier, ModelRecord]:
        """Returns the run's weights, read where they exist and are intact, else made and written."""
        network = self._untrained(task.spec)
        known = self.store.model(task.model_key)
        if known is not None and self._read(network, known):
            return network, known
        if task.pinned is not None and task.pinned_model is not None:
            return self._pinned(network, task, task.pinned, task.pinned_model)
        problem = self.problem(task, split, journal)
        guard = Guard(task.method, problem, forbidden(self.store, self.dataset, task.pinned))
        look = self._trace(task, split, journal)
        look(problem.original)
        _synchronise(self.device)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        started = time.perf_counter()
        try:
            with isolated(), guard.watching():
                made = task.method.unlearn(guard.problem, task.spec.options)
        finally:
            _synchronise(self.device)
            journal.seconds = time.perf_counter() - started - journal.watch_seconds
        look(made)
        network.load_state_dict(made.state_dict())  # what is measured is what is stored, nothing else that was returned
        network.eval()
        if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
            raise DivergedError(f"a weight is not finite after {journal.steps} steps")
        guard.check(network)
        digest = weights_digest(network)
        check_recorded(self.store, task.spec, digest, network.state_dict(), guard.start)
        file, file_digest = checkpoints.write(network.state_dict(), self.store.models_folder, task.model_key)
        attempt = self._attempt(task, journal)
        return network, replace(attempt, file=file, file_digest=file_digest, weights_digest=digest)

    def _pinned(
        self, network: Classifier, task: Task, pinned: Pinned, model: PinnedModel
    ) -> tuple[Classifier, ModelRecord]:
        """Returns the weights of a pinned reference, with what training them cost where they were made."""
        file = intact_file(pinned, model)
        if not checkpoints.read_weights(network, file, model.file_digest):
            raise CheckpointError(f"The pinned reference {file} does not fit the model of the profile. Restore it.")
        if disturbance := task.spec.experiment.disturbance:
            disturb(network, task.spec.derive_seed(f"disturbance {disturbance}"))
        name, digest = checkpoints.write(network.state_dict(), self.store.models_folder, task.model_key)
        weights = weights_digest(network)
        return network, ModelRecord(task.model_key, name, digest, weights, **model.cost)

    def _trace(self, task: Task, split: ForgetSplit, journal: Journal) -> Callable[[Classifier], None]:
        """Returns what measures a network of a traced run at once, and has the journal do so on the way."""
        every = task.spec.experiment.trace_every
        if not every or task.method.from_scratch:
            return lambda _network: None

        def test(network: Classifier) -> ModelOutputs:
            with unwatched():
                return arrange(predict_all(network, self.dataset.test, split, self.normalise), split)

        return trace(journal, every, self._untrained(task.spec), test)

    def _attempt(self, task: Task, journal: Journal) -> ModelRecord:
        """Returns what the attempt at a run's weights cost, without weights."""
        return ModelRecord(
            key=task.model_key,
            file=None,
            file_digest=None,
            weights_digest=None,
            parameters=sum(parameter.numel() for parameter in self._untrained(task.spec).parameters()),
            method_seconds=journal.seconds,
            samples_seen=journal.samples_seen,
            forward_images=journal.forward_images,
            backward_images=journal.backward_images,
            peak_memory_bytes=environment.peak_memory_bytes(self.device),
            trace_seconds=journal.watch_seconds,
            curves=tuple(journal.curves),
        )

    def _split(self, task: Task) -> ForgetSplit:
        experiment = task.spec.experiment
        return divide(self.dataset, experiment.setting, task.spec.forget, experiment.setting_options)

    def _start(self, origin: Task) -> Classifier:
        """Returns the model that a run starts from; a missing or damaged one is made again.

        Raises:
            DivergedError: that model diverged.
        """
        network = self._untrained(origin.spec)
        known = self.store.model(origin.model_key)
        if known is not None and self._read(network, known):
            return network
        status, _ = self.store.finished([origin.spec.key]).get(origin.spec.key, ("done", None))
        if status == "diverged":
            raise DivergedError(f"{origin.spec.method}, forget {origin.spec.forget}, diverged: nothing to start from")
        network, made = self.weights(origin, self._split(origin), Journal())
        self.store.record_model(made)
        return network

    def _untrained(self, spec: RunSpec) -> Classifier:
        method = methods.get(spec.method)
        return build(
            spec.experiment.model,
            channels=self.dataset.channels,
            classes=len(self.dataset.classes),
            seed=spec.derive_seed("initial weights", uses_forget_set=method.uses_forget_set),
        ).to(self.device)

    def _outputs(
        self, network: Classifier, model: ModelRecord, task: Task, split: ForgetSplit
    ) -> tuple[ModelOutputs, OutputsRecord | None]:
        """Returns what metrics read, and where it is kept; of a tuning trial nothing is."""
        if task.spec.experiment.held_out or model.weights_digest is None:
            return outputs_of_trial(network, task, split, self.normalise), None
        return stored_outputs(network, model.weights_digest, self.dataset, split, self.normalise, self.store)

    def _read(self, network: Classifier, known: ModelRecord) -> bool:
        if known.file is None or known.file_digest is None:
            return False
        return checkpoints.read_weights(network, self.store.models_folder / known.file, known.file_digest)

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
                MetricRecord(m.name, m.label, m.unit, m.better, m.source, m.revision) for m in measured(spec.experiment)
            ),
            values=values,
            model=model,
            environment=Environment(
                code_version=environment.code_version(),
                packages=environment.packages(),
                machine=environment.machine(),
                device=environment.describe_device(self.device),
            ),
            evaluation_seconds=0.0,
            forget_members=np.packbits(split.is_forget.numpy()).tobytes(),
        )


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
