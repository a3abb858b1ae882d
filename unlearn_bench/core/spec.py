"""What a run is, as data. The hash of its canonical JSON is its identity, so the same run is never made twice."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any

PRETRAINED = "pretrained_sha256"  # in a model's description: the digest of the file of its starting weights


def canonical_json(value: Any) -> str:
    """Returns the canonical JSON of ``value``: sorted keys, no white space. Raises ValueError on NaN or infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> str:
    """Returns the SHA-256 of the canonical JSON of ``value``, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


# keys are hashed from these names, because older records use them
HASHED_NAMES = {"scenario": "setting", "scenario_options": "setting_options"}


@dataclass(frozen=True)
class Experiment:
    """The settings that all runs of one table share. benchmarks.yaml and the command line determine them.

    Attributes:
        dataset: name of the data set (``digits``, ``cifar10``, ``folder:NAME``).
        train_per_class, test_per_class: number of images used of each class; None for all.
        augment: augmentation of training images (``none``, ``crop_flip``); the recipe can refine it for references.
        scenario, scenario_options: what a forget set is (``class``), and all options of the scenario.
        model: architecture and all its parameters.
        recipe: all options of ``original`` and ``retrained``. Options that were added later are included only if they
            differ from their defaults, so that old keys stay valid.
        precision: ``float32`` or ``bfloat16`` (autocast). Metrics always use float32.
        threads: CPU threads of one run. Part of the identity, because it changes the order of floating-point sums.
        held_out: share of D_f and of D'_r, 0 to 1, that methods do not receive and on which metrics are computed.
            Only tuning trials use it; they read neither test images nor the rest of D_r. Tables use 0.
        rehearsal: whether this is the second trial of a search's choice: the method receives all of D_f and D'_r, as
            in a table, and metrics are computed on the same images.
        trace_every: number of steps between two measurements while a method runs, for figures of curves. 0 for none.
        pinned: digest of the set of pinned references that runs start from, see :mod:`unlearn_bench.config.pinned`;
            empty if references are trained here.
        disturbance: index of a small random disturbance of the start weights: each weight is multiplied by
            1 + 1e-6 · N(0, 1). It imitates the rounding of another processor, and ``check`` uses it to measure the
            effect of rounding. 0 for none, as in every table.
        retain: digest of the images that D'_r is drawn from in place of D_r; empty for D_r.
    """

    dataset: str
    train_per_class: int | None
    test_per_class: int | None
    augment: str
    scenario: str
    scenario_options: dict[str, Any]
    model: dict[str, Any]
    recipe: dict[str, Any]
    precision: str
    threads: int
    held_out: float = 0.0
    trace_every: int = 0
    pinned: str = ""
    disturbance: int = 0
    rehearsal: bool = False
    retain: str = ""

    @property
    def is_trial(self) -> bool:
        """Whether runs belong to a tuning search, and so read no test image."""
        return self.held_out > 0 or self.rehearsal

    @property
    def canonical(self) -> dict[str, Any]:
        """The fields of the identity. Fields that were added later count only if set, so that old keys stay valid."""
        fields = asdict(self)
        return {
            HASHED_NAMES.get(name, name): value
            for name, value in fields.items()
            if value or name not in ("pinned", "disturbance", "rehearsal", "retain")
        }

    @property
    def key(self) -> str:
        """SHA-256 of the canonical JSON. It is equal for all runs of one table."""
        return digest_of(self.canonical)


@dataclass(frozen=True)
class RunSpec:
    """One run: a method with all its options on one configuration.

    Attributes:
        experiment: the settings that the run shares with the other runs of a table.
        forget: the forget set in the scenario's canonical spelling (``"1"``).
        method, version, options: the method, its version, and **all** its hyper-parameters, including defaults.
            Options that were added later are included only if they differ from their defaults.
        seed: seed of the configuration; the seeds of all generators are derived from it.
        dataset_digest: hash of the images and labels that are used.
        forget_digest: hash of the sorted indices of the forget set.
        revisions: by kind (``model``, ``scenario``), the revision of the entry that the run uses, see
            :class:`unlearn_bench.core.registry.Entry`. Built-in entries of version 1 are left out, so that old keys
            stay valid. A data set needs no revision, because ``dataset_digest`` is the hash of its content.
    """

    experiment: Experiment
    forget: str
    method: str
    version: str
    options: dict[str, Any]
    seed: int
    dataset_digest: str
    forget_digest: str
    revisions: dict[str, str] = field(default_factory=dict)

    @property
    def canonical(self) -> dict[str, Any]:
        """The fields of the identity, as plain data. ``revisions`` counts only if set, so that old keys stay valid."""
        fields = {**asdict(self), "experiment": self.experiment.canonical}
        return {name: value for name, value in fields.items() if value or name != "revisions"}

    @property
    def key(self) -> str:
        """SHA-256 of the canonical JSON, the identity of the run."""
        return digest_of(self.canonical)

    def model_key(self, *, uses_forget_set: bool, from_scratch: bool, changes_images: bool = False) -> str:
        """Returns the identity of the weights.

        The weights of the original model do not depend on the forget set, so all configurations and scenarios share one
        training. A backdoor is an exception, because its forget set changes the images. The weights of a retrained
        model depend on which images are forgotten, but not on the name of the forget set or the order of requests.
        References do not depend on held-out images, on tracing, on other images for D'_r, or on which other models are
        pinned. For all other methods, the identity of the weights is the key of the run; a rehearsal makes the weights
        of the table's run.

        Args:
            uses_forget_set: whether the weights depend on the forget set.
            from_scratch: whether the method trains from initial weights, as references do.
            changes_images: whether the scenario changes training images, so that its revision matters.
        """
        performed = replace(self, experiment=replace(self.experiment, rehearsal=False))
        if not from_scratch:
            return performed.key
        revisions = {kind: text for kind, text in self.revisions.items() if kind != "scenario" or changes_images}
        experiment = replace(performed.experiment, held_out=0.0, trace_every=0, pinned="", retain="")
        whole = replace(self, experiment=experiment, revisions=revisions).canonical
        dropped = {"forget"} if uses_forget_set else {"forget", "forget_digest"}
        shared = {name: value for name, value in whole.items() if name not in dropped}
        shared["experiment"] = {
            name: v for name, v in whole["experiment"].items() if name not in ("setting", "setting_options")
        }
        return digest_of(shared)

    def derive_seed(self, purpose: str, *, uses_forget_set: bool = True, uses_method: bool = True) -> int:
        """Returns a 63-bit seed: a hash of everything that the random numbers of ``purpose`` depend on.

        The hash omits options, so that runs with different hyper-parameters use the same order of images.
        """
        parts: dict[str, Any] = {
            "purpose": purpose,
            "seed": self.seed,
            "dataset": self.dataset_digest,
            "model": self.experiment.model,
        }
        if uses_forget_set:
            parts["forget"] = self.forget_digest
        if uses_method:
            parts["method"] = self.method
        return int(digest_of(parts)[:16], 16) >> 1
