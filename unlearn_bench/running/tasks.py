"""A run to make, and the training images that its method gets."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from unlearn_bench.config.model_choice import Pretrained
from unlearn_bench.config.pinned import Pinned, PinnedModel
from unlearn_bench.core.errors import DataError
from unlearn_bench.core.registry import Entry
from unlearn_bench.core.spec import Experiment, RunSpec
from unlearn_bench.data import Dataset, ForgetSplit, Images
from unlearn_bench.data.retain import retain_in_place
from unlearn_bench.data.scenarios import scenarios, split_dataset
from unlearn_bench.methods import Method, methods
from unlearn_bench.metrics import Metric, metrics, metrics_of
from unlearn_bench.models import SEPARATOR, models

# the metrics of a tuning trial: those that need neither many images nor a retrained model
TRIAL_METRICS = ("acc_retain", "acc_forget", "da", "nmi")
# the metrics that a traced run measures between its steps: those that take at most a second on a small data set
TRACED_METRICS = ("da", "lp_forget", "lp_retain", "acc_forget", "acc_retain")


@dataclass(frozen=True)
class Task:
    """A run to make.

    Attributes:
        spec: what identifies the run.
        profile: the profile that requested it.
        start: the run from whose weights the method starts: that of the original model or, in a sequence of requests,
            that of the same method after the previous request. None if the method trains from scratch.
        pinned: the reference models that come with the package and are not trained here.
        pretrained: the file of weights from which a reference starts; None for weights drawn from the seed.
        words: the forget set in the user's spelling, which names a file that its recorded spelling does not; empty for
            the recorded one.
        requested: names of the metrics on request that the run gets in addition; no part of its identity.
    """

    spec: RunSpec
    profile: str
    start: Task | None
    pinned: Pinned | None = None
    pretrained: Pretrained | None = None
    words: str = ""
    requested: tuple[str, ...] = ()

    @property
    def method(self) -> Method:
        """The method of the run."""
        return methods.get(self.spec.method)

    @property
    def model_key(self) -> str:
        """Identity of the weights that the run trains, or copies from the pinned references."""
        pinned = self.pinned_model
        return self._model_key(self.spec) if pinned is None else pinned.model_key(self.spec.experiment.disturbance)

    @property
    def pinned_model(self) -> PinnedModel | None:
        """The pinned reference used instead of training; None if the run trains its weights."""
        if self.pinned is None or not self.method.from_scratch:
            return None
        undisturbed = replace(self.spec, experiment=replace(self.spec.experiment, disturbance=0))
        return self.pinned.models.get(self._model_key(undisturbed))

    def _model_key(self, spec: RunSpec) -> str:
        method, scenario = self.method, scenarios.get(spec.experiment.scenario)
        return spec.model_key(
            uses_forget_set=method.uses_forget_set or scenario.changes_images,
            from_scratch=method.from_scratch,
            changes_images=scenario.changes_images,
        )

    @property
    def start_key(self) -> str | None:
        """Identity of the weights that the run starts from."""
        return self.start.model_key if self.start else None

    @property
    def title(self) -> str:
        """A short description of the run: method, data set, forget set and seed."""
        return f"{self.spec.method}, {self.spec.experiment.dataset}, forget {self.spec.forget}, seed {self.spec.seed}"


@dataclass(frozen=True)
class MethodData:
    """The training images that a method gets, and those that a tuning trial holds out.

    Attributes:
        retain, forget: the images that the method gets: D'_r or the other set that it declares, and D_f. A set that the
            method does not declare is empty.
        seen_retain, held_retain, held_forget: D'_r without the held-out images, and the held-out images of D'_r and
            D_f; they do not depend on what the method declares. If nothing is held out, the last two are empty; in a
            rehearsal, they are D'_r and D_f.
    """

    retain: Images
    forget: Images
    seen_retain: Images
    held_retain: Images
    held_forget: Images


def measured(task: Task) -> list[Metric]:
    """Returns the metrics of a run: those of every run in its scenario, or of a trial, and those on request."""
    experiment = task.spec.experiment
    usual = [metrics.get(name) for name in TRIAL_METRICS] if experiment.is_trial else metrics_of(experiment.scenario)
    return [*usual, *(metrics.get(name) for name in task.requested)]


def version_of(method: Method, experiment: Experiment) -> str:
    """Returns the version of a method's runs: the method's own and, for traced runs, those of the traced metrics.

    When the definition of a traced metric changes, its curves are traced again.
    """
    if method.from_scratch or not experiment.trace_every:
        return method.revision
    traced = ", ".join(f"{name} {metrics.get(name).revision}" for name in TRACED_METRICS)
    return f"{method.revision}, traced by {traced}"


def revisions_of(experiment: Experiment) -> dict[str, str]:
    """Returns the revisions of the model and the scenario, see :class:`unlearn_bench.core.spec.RunSpec`.

    A network that is not registered has none: its description has the digest of a user's own file.

    Raises:
        UnknownNameError: there is no such model or scenario.
    """
    entries: dict[str, Entry] = {"scenario": scenarios.get(experiment.scenario)}
    if SEPARATOR not in (name := str(experiment.model["name"])):
        entries["model"] = models.get(name)
    return {kind: entry.revision for kind, entry in entries.items() if entry.revision != "1"}


def split_of(task: Task, dataset: Dataset) -> ForgetSplit:
    """Returns the data set divided by the task's forget set.

    Raises:
        DataError: a file that names the forget set changed since the task was planned.
    """
    experiment, words = task.spec.experiment, task.words or task.spec.forget
    split = split_dataset(dataset, experiment.scenario, words, experiment.scenario_options)
    if task.words and split.digest != task.spec.forget_digest:
        raise DataError(f"The forget set {words} changed while runs were made. Run the same command again.")
    return split


def method_data(task: Task, split: ForgetSplit) -> MethodData:
    """Returns the images that the task's method declares to need, and no others of the data set."""
    split = split if task.method.from_scratch else retain_in_place(split)
    spec, train, train_set = task.spec, split.train, task.method.train_set
    if task.method.origin:
        train = train[torch.arange(len(train))]  # a copy: in-place changes by a plug-in must not reach other runs
    is_forget, requested = split.is_forget, train[split.request]
    nothing = train[torch.zeros(0, dtype=torch.int64)]
    seed = spec.derive_seed("retain subset", uses_method=False)
    share, held_seed = spec.experiment.held_out, spec.derive_seed("held out", uses_method=False)
    seen_retain, held_retain = hold_out(retain_subset(train, is_forget, len(requested), seed), share, held_seed)
    seen_forget, held_forget = hold_out(requested, share, held_seed)
    if spec.experiment.rehearsal:
        held_retain, held_forget = seen_retain, seen_forget
    retain = {"D": train, "D_r": train[~is_forget], "D_f": nothing, "none": nothing}.get(train_set, seen_retain)
    return MethodData(retain, seen_forget if "D_f" in train_set else nothing, seen_retain, held_retain, held_forget)


def retain_subset(train: Images, is_forget: torch.Tensor, size: int, seed: int) -> Images:
    """Returns D'_r: a random subset of D_r, in the order of D_r; all of D_r if it has at most ``size`` images.

    Args:
        train: D, the N training images.
        is_forget: (N,) bool, whether an image is in D_f.
        size: number of images in the subset: that of D_f.
        seed: the same for every method of a configuration.
    """
    candidates = torch.nonzero(~is_forget)[:, 0]
    order = torch.randperm(len(candidates), generator=torch.Generator().manual_seed(seed))
    return train[candidates[order[:size]].sort().values]


def hold_out(images: Images, share: float, seed: int) -> tuple[Images, Images]:
    """Returns the images that remain, and a random ``share`` of them that is held out, both in their order.

    A share above 0 holds out at least one image and leaves at least one.

    Raises:
        DataError: there are fewer than two images and the share is above 0.
    """
    if share and len(images) < 2:
        raise DataError(
            f"Tuning holds out a share of the images: expected at least 2, got {len(images)}. Enlarge the forget set."
        )
    held = min(len(images) - 1, max(1, round(share * len(images)))) if share else 0
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return images[order[held:].sort().values], images[order[:held].sort().values]
