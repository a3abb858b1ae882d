"""A run to make, and which training images its method is given."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from unlearn_bench.data import ForgetSplit, Images
from unlearn_bench.data.settings import settings
from unlearn_bench.errors import DataError
from unlearn_bench.methods import Method, methods
from unlearn_bench.metrics import Metric, metrics, metrics_of
from unlearn_bench.pinned import Pinned, PinnedModel
from unlearn_bench.spec import Experiment, RunSpec, digest_of

# what tuning reads of a trial: all that needs neither many images nor a retrained model
TRIAL_METRICS = ("acc_retain", "acc_forget", "da", "nmi")
# what is measured along the steps of a traced run: all that takes a second or less on a small data set
TRACED_METRICS = ("da", "lp_forget", "lp_retain", "acc_forget", "acc_retain")


@dataclass(frozen=True)
class Task:
    """A run to make: its spec, the profile that asked for it, and the original model that it starts from.

    ``start`` is the run whose weights the method starts from, or None where it trains from scratch: the original
    model's, or, in a sequence of requests, the same method's after the request before. ``pinned`` are the references
    that are not trained here.
    """

    spec: RunSpec
    profile: str
    start: Task | None
    pinned: Pinned | None = None

    @property
    def method(self) -> Method:
        """The registered method."""
        return methods.get(self.spec.method)

    @property
    def model_key(self) -> str:
        """Identity of the weights that the run makes, or takes from the pinned references."""
        pinned = self.pinned_model
        return self._model_key(self.spec) if pinned is None else self._pinned_key(pinned)

    @property
    def pinned_model(self) -> PinnedModel | None:
        """The pinned reference that stands for training, or None where the run makes its weights."""
        if self.pinned is None or not self.method.from_scratch:
            return None
        undisturbed = replace(self.spec, experiment=replace(self.spec.experiment, disturbance=0))
        return self.pinned.models.get(self._model_key(undisturbed))

    def _pinned_key(self, pinned: PinnedModel) -> str:
        return digest_of(["pinned", pinned.file_digest, self.spec.experiment.disturbance])

    def _model_key(self, spec: RunSpec) -> str:
        method, setting = self.method, settings.get(spec.experiment.setting)
        return spec.model_key(
            uses_forget_set=method.uses_forget_set or setting.changes_images, from_scratch=method.from_scratch
        )

    @property
    def start_key(self) -> str | None:
        """Identity of the weights that the run starts from."""
        return self.start.model_key if self.start else None

    @property
    def title(self) -> str:
        """The run in a few words."""
        return f"{self.spec.method}, {self.spec.experiment.dataset}, forget {self.spec.forget}, seed {self.spec.seed}"


@dataclass(frozen=True)
class Given:
    """The training images of a configuration, as its method is given them and, of a trial, what is held out.

    Attributes:
        retain, forget: what the method is given: D'_r or what else it declares, and D_f; empty where it declares none.
        seen_retain, held_retain, held_forget: D'_r without what is held out, and what is, whatever the method declares.
            Without a share to hold out, the latter two are empty.
    """

    retain: Images
    forget: Images
    seen_retain: Images
    held_retain: Images
    held_forget: Images


def measured(experiment: Experiment) -> list[Metric]:
    """Returns the metrics that a run of an experiment is to have: those that its setting has a meaning for."""
    if experiment.held_out:
        return [metrics.get(name) for name in TRIAL_METRICS]
    return metrics_of(experiment.setting)


def version_of(method: Method, experiment: Experiment) -> str:
    """Returns the version of a method's runs: its own and, of traced runs, that of what is measured on the way.

    So a metric that is defined anew has its curves traced anew.
    """
    if method.from_scratch or not experiment.trace_every:
        return method.revision
    traced = ", ".join(f"{name} {metrics.get(name).revision}" for name in TRACED_METRICS)
    return f"{method.revision}, traced by {traced}"


def give(task: Task, split: ForgetSplit) -> Given:
    """Returns the images that the task's method declares to need, and nothing else of the data set."""
    spec, train, train_set = task.spec, split.train, task.method.train_set
    if task.method.origin:
        train = train[torch.arange(len(train))]  # a copy: what a plug-in does in place must not reach other runs
    is_forget, asked = split.is_forget, train[split.request]
    nothing = train[torch.zeros(0, dtype=torch.int64)]
    seed = spec.derive_seed("retain subset", uses_method=False)
    share, held_seed = spec.experiment.held_out, spec.derive_seed("held out", uses_method=False)
    seen_retain, held_retain = hold_out(retain_subset(train, is_forget, len(asked), seed), share, held_seed)
    seen_forget, held_forget = hold_out(asked, share, held_seed)
    retain = {"D": train, "D_r": train[~is_forget], "D_f": nothing, "none": nothing}.get(train_set, seen_retain)
    return Given(retain, seen_forget if "D_f" in train_set else nothing, seen_retain, held_retain, held_forget)


def retain_subset(train: Images, is_forget: torch.Tensor, size: int, seed: int) -> Images:
    """Returns D'_r: a random subset of D_r (all of D_r where that is smaller).

    Args:
        train: D.
        is_forget: (N,) bool, membership of what is forgotten.
        size: of the subset: as many as D_f has.
        seed: the same for every method of a configuration.
    """
    candidates = torch.nonzero(~is_forget)[:, 0]
    order = torch.randperm(len(candidates), generator=torch.Generator().manual_seed(seed))
    return train[candidates[order[:size]].sort().values]


def hold_out(images: Images, share: float, seed: int) -> tuple[Images, Images]:
    """Returns the images in two parts, each in its order, the second a ``share`` of them drawn at random.

    A share above 0 holds out one image at least and leaves one at least.

    Raises:
        DataError: fewer than two images and a share above 0.
    """
    if share and len(images) < 2:
        raise DataError("A share of the forget set is to be held out, and it has fewer than two images.")
    held = min(len(images) - 1, max(1, round(share * len(images)))) if share else 0
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return images[order[held:].sort().values], images[order[:held].sort().values]
