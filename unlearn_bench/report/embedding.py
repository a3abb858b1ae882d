"""Clouds of features in two dimensions, by UMAP if it is installed, else by principal components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.config.selection import Selection
from unlearn_bench.core.errors import MissingRunError, OptionError
from unlearn_bench.report.notes import remarks_on, user_options
from unlearn_bench.report.tables import comparable_runs, label_of, runs_of_row
from unlearn_bench.store import Store
from unlearn_bench.store.records import RunRecord

Embedding = Literal["umap", "pca"]
POINTS = 4000  # points per cloud; more overlap on paper and take longer than a minute to embed
SEED = 0


@dataclass(frozen=True)
class Cloud:
    """A model's features of training images, in two dimensions.

    Attributes:
        title: title of the panel.
        points: (n, 2) float.
        labels: (n,) int64.
        is_forget: (n,) bool.
    """

    title: str
    points: Any
    labels: Any
    is_forget: Any


@dataclass(frozen=True)
class Clouds:
    """The panels of a figure, the names of the classes, and the notes, one sentence each."""

    panels: tuple[Cloud, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def clouds_of(
    name: str, placed: Sequence[tuple[Row, Selection]], store: Store, embedding: Embedding | None = None
) -> Clouds:
    """Returns a cloud for each row of a figure. All clouds show the same images, and each has its own embedding.

    Args:
        name: name of the figure, for messages.
        placed: its rows, each with the single configuration to show.
        store: the database and the outputs beside it.
        embedding: None for UMAP if it is installed, else for principal components.

    Raises:
        OptionError: a row has more than one configuration, or UMAP is requested and not installed.
        MissingRunError: a run or its outputs are missing.
    """
    embedding = embedding or ("umap" if find_spec("umap") else "pca")
    methods, metrics = store.methods(), store.metrics()
    panels = []
    for row, selection in placed:
        if len(selection.configurations) > 1:
            raise OptionError(
                f"Figure {name} shows one configuration, but {len(selection.configurations)} are selected. Give "
                "--forget and --seed once each."
            )
        run, features, labels = _features(name, row, selection, store)
        members = np.unpackbits(np.frombuffer(store.forget_members(run.key), np.uint8), count=len(labels))
        chosen = np.sort(np.random.default_rng(SEED).permutation(len(labels))[:POINTS])
        da = f", {metrics['da'].label} {run.values['da']:.2f}" if "da" in run.values else ""
        panels.append(
            Cloud(
                title=f"{label_of(row, methods)}{da}",
                points=embed(features[chosen], embedding),
                labels=labels[chosen],
                is_forget=members[chosen].astype(bool),
            )
        )
    experiment = selection.experiment
    used = f"UMAP (umap-learn {version('umap-learn')})" if embedding == "umap" else "Two principal components"
    note = (
        f"{used} of the features of {len(panels[0].labels)} training images of {experiment.dataset}, "
        f"{experiment.scenario} {selection.forget[0]}, profile {selection.profile}; × marks D_f. Each panel has "
        "its own embedding."
    )
    remarks = dict.fromkeys(remark for row, selection in placed for remark in remarks_on(selection, [row.method]))
    return Clouds(tuple(panels), store.class_names(experiment.key)[0], (note, *remarks))


def embed(features: Any, embedding: Embedding) -> Any:
    """Returns an embedding (n, 2) float of features (n, d). It is deterministic.

    Raises:
        OptionError: UMAP is requested and not installed.
    """
    if embedding == "pca":
        centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
        _, _, directions = np.linalg.svd(centred, full_matrices=False)  # (min(n, d), d)
        return centred @ directions[:2].T
    if not find_spec("umap"):
        raise OptionError("UMAP is not installed. Install it with: pip install 'unlearn-bench[umap]', or use pca.")
    from umap import UMAP

    return UMAP(random_state=SEED, n_jobs=1).fit_transform(features)  # a fixed seed needs one job


def _features(name: str, row: Row, selection: Selection, store: Store) -> tuple[RunRecord, Any, Any]:
    """Returns the run of a row, and features (N, d) float32 and labels (N,) int64 of its training images."""
    runs = runs_of_row(comparable_runs(selection.experiment.key, store), row, selection)
    run = next((run for run in runs.values() if run.status == "done"), None)
    lacking = "run" if run is None else "intact outputs"
    if run is not None and run.outputs is not None:
        file = store.output_files.find(run.outputs.file, run.outputs.file_digest)
        if file is not None:
            try:
                tensors = load_file(file)
            except SafetensorError:
                tensors = {}
            if {"train.features", "train.labels"} <= tensors.keys():
                return run, tensors["train.features"], tensors["train.labels"]
    raise MissingRunError(
        f"Figure {name} has no {lacking} of {row.method}, forget {selection.forget[0]}. Make them with: unlearn-bench "
        f"reproduce --figure {name} --profile {selection.profile}{user_options(selection)}"
    )
