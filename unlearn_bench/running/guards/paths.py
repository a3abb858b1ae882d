"""The files that no method may open in a real run: recorded and pinned models, outputs, the database, the images."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from unlearn_bench.config.pinned import Pinned
from unlearn_bench.core import artefact_cache
from unlearn_bench.data import Dataset
from unlearn_bench.data.cache import folder as cache_folder
from unlearn_bench.store import Store


def forbidden_paths(store: Store, dataset: Dataset, pinned: Pinned | None = None) -> tuple[Path, ...]:
    """Returns files, and folders whose files are all forbidden."""
    paths = [store.models_folder, store.outputs_folder, artefact_cache.folder(), cache_folder()]
    paths += map(Path, dataset.paths)
    paths += [pinned.folder] if pinned is not None else []
    if store.path is not None:
        paths.append(store.path)
    sklearn = find_spec("sklearn")
    if sklearn is not None:
        paths += [Path(folder) / "datasets" / "data" for folder in sklearn.submodule_search_locations or ()]
    return tuple(path.resolve() for path in paths)
