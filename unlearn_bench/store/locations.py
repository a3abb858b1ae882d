"""A database, and where the checkpoints and outputs of its runs are."""

from __future__ import annotations

import os
from pathlib import Path

from unlearn_bench.core.artefacts import Artefacts, Folder
from unlearn_bench.core.shared_storage import artefacts_at
from unlearn_bench.store.database import Database

VARIABLE = "UNLEARN_BENCH_ARTEFACTS"
BESIDE = ""  # beside the database, whatever the variable says


def location_of(artefacts: str | None) -> str:
    """Returns a URL or folder; for None, that of the variable UNLEARN_BENCH_ARTEFACTS, else ``BESIDE``."""
    return os.environ.get(VARIABLE, BESIDE) if artefacts is None else artefacts


class LocatedDatabase(Database):
    """An open database, and the folders or the shared storage of checkpoints and outputs.

    Attributes:
        artefacts: the URL or folder of checkpoints and outputs; empty if they are beside the database.
    """

    def __init__(self, url: str, *, create: bool = True, artefacts: str | None = None) -> None:
        """Opens the database.

        Args:
            url, create: see :class:`unlearn_bench.store.database.Database`.
            artefacts: URL, such as ``s3://bucket/prefix``, or folder of checkpoints and outputs; None for the variable
                UNLEARN_BENCH_ARTEFACTS, and without it for folders beside the database.

        Raises:
            OptionError: the URL contains credentials, or its kind of storage cannot be used here; no database is
                created.
            StoreError: see :class:`unlearn_bench.store.database.Database`.
        """
        self.artefacts = location_of(artefacts)
        kinds = ("models", "outputs")
        self._elsewhere = {kind: artefacts_at(self.artefacts, kind) for kind in kinds} if self.artefacts else {}
        super().__init__(url, create=create)

    @property
    def model_files(self) -> Artefacts:
        """The checkpoints."""
        return self._elsewhere.get("models") or Folder(self._beside("models"))

    @property
    def output_files(self) -> Artefacts:
        """Features and logits. You can delete them to free space."""
        return self._elsewhere.get("outputs") or Folder(self._beside("outputs"))

    @property
    def models_folder(self) -> Path:
        """Folder of checkpoints and of trainings in progress: ``models`` beside an SQLite file.

        For other databases it is ``results/models`` of the working folder. If the checkpoints are in shared storage, it
        holds the trainings in progress only.
        """
        return self._beside("models") if self.model_files.is_shared else self.model_files.path

    @property
    def outputs_folder(self) -> Path:
        """Folder of features and logits, ``outputs`` at the same location; not used if they are in shared storage."""
        return self._beside("outputs") if self.output_files.is_shared else self.output_files.path

    def _beside(self, name: str) -> Path:
        return (self.path.parent if self.path else Path("results")) / name
