"""Reference models that travel with the project, so that a table starts from the same weights on every machine.

Training magnifies rounding: two processors that train the same recipe from the same seed end with two different
models, as two seeds do. Methods started from the *same* original agree across processors to a few digits. A folder of
pinned references holds the weights of some original and retrained models and a manifest ``models.json``; a run whose
model is listed there takes these weights in place of training. No torch here: reports read the manifest.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from unlearn_bench.artefacts import file_digest
from unlearn_bench.errors import ConfigError
from unlearn_bench.spec import Experiment, digest_of

FOLDER = "references"
MANIFEST = "models.json"


@dataclass(frozen=True)
class PinnedModel:
    """A reference model that somebody trained.

    Attributes:
        method, forget, seed: what it is (``original``, ``retrained``); ``forget`` is empty for an original.
        file, file_digest: the safetensors file in the folder, and its SHA-256.
        weights_digest: digest of the weights.
        cost: the fields of :class:`unlearn_bench.store.records.ModelRecord` that say what training cost.
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


@dataclass(frozen=True)
class Pinned:
    """A folder of pinned references.

    Attributes:
        folder: where the files are.
        experiment: the fields of the experiment that the models were trained for.
        models: by the key that the model would have, were it trained here.
    """

    folder: Path
    experiment: dict[str, Any]
    models: dict[str, PinnedModel] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the weights' keys and digests, 64 hexadecimal digits: another set of weights, other runs."""
        return digest_of({key: model.file_digest for key, model in self.models.items()})

    def serves(self, experiment: Experiment) -> bool:
        """Returns whether the models were trained on the images, with the model and by the recipe of an experiment."""
        return training_of(experiment) == self.experiment


def training_of(experiment: Experiment) -> dict[str, Any]:
    """Returns the fields of an experiment that decide what training a reference ends with."""
    names = ("dataset", "train_per_class", "test_per_class", "augment", "model", "recipe", "precision", "threads")
    fields = asdict(experiment)
    return {name: fields[name] for name in names}


def find_pinned(name: str, home: Path) -> Pinned:
    """Returns the pinned references of a name: in ``results/references/`` beside benchmarks.yaml, else those shipped.

    Raises:
        ConfigError: there are none of that name, or the manifest cannot be read.
    """
    package = Path(__file__).parent
    places = [home / "results" / FOLDER / name, package / FOLDER / name, package.parent / "results" / FOLDER / name]
    folder = next((place for place in places if (place / MANIFEST).is_file()), None)
    if folder is None:
        raise ConfigError(
            f"There are no pinned references '{name}': {places[0]} holds no {MANIFEST}. Take the key `pinned` out of "
            "the profile to train references here."
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
            f"{manifest} is no manifest of pinned references ({type(problem).__name__}: {problem}). Restore the file."
        ) from None


def intact_file(pinned: Pinned, model: PinnedModel) -> Path:
    """Returns the file of a pinned model.

    Raises:
        ConfigError: it is missing, or its SHA-256 is not the recorded one.
    """
    file = pinned.folder / model.file
    if not file.is_file() or file_digest(file) != model.file_digest:
        raise ConfigError(
            f"The pinned reference {file} is missing or its SHA-256 is not {model.file_digest[:12]}…. Restore it, "
            "or take the key `pinned` out of the profile to train references here."
        )
    return file
