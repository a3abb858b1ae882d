"""Reference models that are shipped with the project, so that a table starts from the same weights on every machine.

Training magnifies rounding: on two processors, the same recipe and seed give models that differ as much as models of
two seeds. Methods that start from the *same* original model agree across processors to a few digits. A folder of pinned
references contains weights of original and retrained models and a manifest, ``models.json``. A run whose model is in
the manifest uses these weights instead of training. Does not import torch, because reports read the manifest.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from unlearn_bench.core.errors import ConfigError
from unlearn_bench.core.files import file_digest
from unlearn_bench.core.spec import Experiment, digest_of

FOLDER = "references"
MANIFEST = "models.json"


@dataclass(frozen=True)
class PinnedModel:
    """A reference model that was trained before.

    Attributes:
        method, forget, seed: its run: ``original`` or ``retrained``, forget set and seed; ``forget`` is empty for an
            original model.
        file, file_digest: name of the safetensors file in the folder, and its SHA-256.
        weights_digest: digest of the weights.
        cost: the fields of :class:`unlearn_bench.store.records.ModelRecord` that record the cost of training.
        made_by: code version, packages, machine and device of the training.
    """

    method: str
    forget: str
    seed: int
    file: str
    file_digest: str
    weights_digest: str
    cost: dict[str, Any]
    made_by: str

    def model_key(self, disturbance: int) -> str:
        """Returns the identity of the weights in runs that start from the model, see :class:`Experiment`."""
        return digest_of(["pinned", self.file_digest, disturbance])


@dataclass(frozen=True)
class Pinned:
    """A folder of pinned references.

    Attributes:
        folder: the folder of the files.
        experiment: the fields of the experiment for which the models were trained.
        models: the models, by the key that a model trained here would have.
    """

    folder: Path
    experiment: dict[str, Any]
    models: dict[str, PinnedModel] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the models' keys and file digests, 64 hexadecimal digits. It is part of the identity of runs."""
        return digest_of({key: model.file_digest for key, model in self.models.items()})

    def serves(self, experiment: Experiment) -> bool:
        """Returns whether the models were trained with the images, the model and the recipe of an experiment."""
        return training_of(experiment) == self.experiment


def training_of(experiment: Experiment) -> dict[str, Any]:
    """Returns the fields of an experiment that affect the weights of a trained reference."""
    names = ("dataset", "train_per_class", "test_per_class", "augment", "model", "recipe", "precision", "threads")
    fields = asdict(experiment)
    return {name: fields[name] for name in names}


def pinned_for(experiment: Experiment, name: str | None, home: Path) -> Pinned | None:
    """Returns the pinned references ``name`` of a profile if they serve an experiment.

    Raises:
        ConfigError: see :func:`find_pinned`.
    """
    pinned = find_pinned(name, home) if name else None
    return pinned if pinned is not None and pinned.serves(experiment) else None


def find_pinned(name: str, home: Path) -> Pinned:
    """Returns pinned references: those in ``results/references/NAME`` beside benchmarks.yaml, else those shipped.

    Raises:
        ConfigError: the folder does not exist, or its manifest cannot be read.
    """
    package = Path(__file__).parent.parent
    folders = [home / "results" / FOLDER / name, package / FOLDER / name, package.parent / "results" / FOLDER / name]
    folder = next((folder for folder in folders if (folder / MANIFEST).is_file()), None)
    if folder is None:
        raise ConfigError(
            f"There are no pinned references '{name}': {folders[0]} has no {MANIFEST}. To train references on this "
            "machine, remove the key `pinned` from the profile."
        )
    return _read(folder / MANIFEST, (folder / MANIFEST).stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _read(manifest: Path, _changed: int) -> Pinned:
    try:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        models = {key: PinnedModel(**fields) for key, fields in content["models"].items()}
        return Pinned(manifest.parent, content["experiment"], models)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ConfigError(
            f"{manifest} is not a manifest of pinned references ({type(problem).__name__}: {problem}). Restore it."
        ) from None


def intact_file(pinned: Pinned, model: PinnedModel) -> Path:
    """Returns the file of a pinned model.

    Raises:
        ConfigError: the file is missing, or its SHA-256 is not the recorded one.
    """
    file = pinned.folder / model.file
    if not file.is_file() or file_digest(file) != model.file_digest:
        raise ConfigError(
            f"The pinned reference {file} is missing or its SHA-256 is not {model.file_digest[:12]}…. Restore it, "
            "or remove the key `pinned` from the profile to train references on this machine."
        )
    return file
