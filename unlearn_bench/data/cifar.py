"""Where CIFAR-10 and CIFAR-100 come from: public Parquet copies, or torchvision's layout and download."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unlearn_bench.data import Labels, Location, Pixels
from unlearn_bench.data.parquet import complete_shards, read_parquet
from unlearn_bench.errors import DataError

Part = tuple[Pixels, Labels]


@dataclass(frozen=True)
class Source:
    """One of the two.

    Attributes:
        title: as people write it.
        folder: of the Parquet copies, within the data folder.
        label: the Parquet column of labels.
        layout: name of torchvision's class, which verifies checksums.
        base_folder: of torchvision's layout.
        members: names, as patterns, of the files of torchvision's layout.
    """

    title: str
    folder: str
    label: str
    layout: str
    base_folder: str
    members: tuple[str, ...]

    def files(self, location: Location) -> list[Path]:
        """Returns the files that would be read.

        Raises:
            DataError: see :func:`unlearn_bench.data.parquet.complete_shards`.
        """
        train, test = self._parquet(location, "train"), self._parquet(location, "test")
        if train and test:
            return train + test
        root = location.folder / self.base_folder
        return sorted(path for name in self.members for path in root.glob(name) if path.is_file())

    def read(self, location: Location) -> tuple[Part, Part]:
        """Returns the training and the test split, both of one source: Parquet where it has both.

        Raises:
            DataError: neither source is there, or it is damaged, or a Parquet shard is missing or there twice.
        """
        train, test = self._parquet(location, "train"), self._parquet(location, "test")
        if train and test:
            return self._decoded(train, location, "training"), self._decoded(test, location, "test")
        return self._torchvision(location, is_train=True), self._torchvision(location, is_train=False)

    def _parquet(self, location: Location, split: str) -> list[Path]:
        return complete_shards((location.folder / self.folder).rglob(f"{split}-*.parquet"))

    def _decoded(self, files: list[Path], location: Location, split: str) -> Part:
        task = f"decode {self.title} {split}"
        pixels, [labels] = read_parquet(files, image="img", labels=[self.label], progress=location.progress, task=task)
        return pixels, labels

    def _torchvision(self, location: Location, *, is_train: bool) -> Part:
        # imported where it is needed: it takes a second, which no other source should wait for
        from torchvision import datasets as offered

        try:
            found = getattr(offered, self.layout)(location.folder, train=is_train, download=location.download)
        except (RuntimeError, OSError) as problem:
            if location.download:
                raise DataError(f"{self.title} could not be downloaded to {location.folder}: {problem}.") from None
            raise DataError(
                f"No {self.title} in {location.folder}: expected {self.folder}/train-*.parquet and test-*.parquet, or "
                f"an intact {self.base_folder}/. Name its folder with --data, or fetch it with --download."
            ) from None
        pixels = found.data.transpose(0, 3, 1, 2)  # torchvision keeps (N, H, W, C)
        return np.ascontiguousarray(pixels), np.asarray(found.targets, dtype=np.int64)
