"""Files that no method may open in a real run: recorded and pinned models, outputs, the record, and the images."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from unlearn_bench.data import Dataset
from unlearn_bench.data.cache import folder as cache_folder
from unlearn_bench.pinned import Pinned
from unlearn_bench.store import Store


def forbidden(store: Store, dataset: Dataset, pinned: Pinned | None = None) -> tuple[Path, ...]:
    """Returns files, and folders with all in them."""
    found = [store.models_folder, store.outputs_folder, cache_folder(), *map(Path, dataset.places)]
    found += [pinned.folder] if pinned is not None else []
    if store.path is not None:
        found.append(store.path)
    sklearn = find_spec("sklearn")
    found += (
        [Path(place) / "datasets" / "data" for place in (sklearn.submodule_search_locations or ())] if sklearn else []
    )
    return tuple(place.resolve() for place in found)
