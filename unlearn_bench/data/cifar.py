"""Sources of CIFAR-10 and CIFAR-100: public Parquet copies, or torchvision's layout and download."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unlearn_bench.core.errors import DataError
from unlearn_bench.data import Labels, Location, Pixels
from unlearn_bench.data.parquet import complete_shards, read_parquet

Part = tuple[Pixels, Labels]
IMAGE_COLUMNS = ("img", "image")


@dataclass(frozen=True)
class Source:
    """The files of CIFAR-10 or of CIFAR-100.

    Attributes:
        title: the usual spelling of the name.
        folder: folder of the Parquet copies in the data folder.
        labels: the names that the Parquet column of labels may have.
        layout: name of torchvision's class, which verifies checksums.
        base_folder: folder of torchvision's layout in the data folder.
        members: patterns of the file names in torchvision's layout.
    """

    title: str
    folder: str
    labels: tuple[str, ...]
    layout: str
    base_folder: str
    members: tuple[str, ...]

    def files(self, location: Location) -> list[Path]:
        """Returns the files that :meth:`read` would read.

        Raises:
            DataError: see :func:`unlearn_bench.data.parquet.complete_shards`.
        """
        train, test = self._parquet(location, "train"), self._parquet(location, "test")
        if train and test:
            return train + test
        root = location.folder / self.base_folder
        return sorted(path for name in self.members for path in root.glob(name) if path.is_file())

    def read(self, location: Location) -> tuple[Part, Part]:
        """Returns the training and the test split from one source: Parquet if it has both splits, else torchvision.

        Raises:
            DataError: neither source exists, it is damaged, or a Parquet shard is missing or exists twice.
        """
        train, test = self._parquet(location, "train"), self._parquet(location, "test")
        if train and test:
            return self._decoded(train, location, "training"), self._decoded(test, location, "test")
        return self._torchvision(location, is_train=True), self._torchvision(location, is_train=False)

    def _parquet(self, location: Location, split: str) -> list[Path]:
        return complete_shards((location.folder / self.folder).rglob(f"{split}-*.parquet"))

    def _decoded(self, files: list[Path], location: Location, split: str) -> Part:
        task = f"decode {self.title} {split}"
        pixels, [labels] = read_parquet(
            files, image=IMAGE_COLUMNS, labels=[self.labels], progress=location.progress, task=task
        )
        return pixels, labels

    def _torchvision(self, location: Location, *, is_train: bool) -> Part:
        # imported here because it takes a second, which the other source does not need
        from torchvision import datasets as torchvision_datasets

        try:
            split = getattr(torchvision_datasets, self.layout)(
                location.folder, train=is_train, download=location.download
            )
        except (RuntimeError, OSError) as problem:
            if location.download:
                raise DataError(f"{self.title} could not be downloaded to {location.folder}: {problem}.") from None
            raise DataError(
                f"No {self.title} in {location.folder}: expected {self.folder}/train-*.parquet and test-*.parquet, or "
                f"an intact {self.base_folder}/. Give its folder with --data, or download it with --download."
            ) from None
        pixels = split.data.transpose(0, 3, 1, 2)  # torchvision stores (N, H, W, C)
        return np.ascontiguousarray(pixels), np.asarray(split.targets, dtype=np.int64)
