"""What Python code calls: the command line's own steps as functions that return data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearn_bench.config import database_url, load
from unlearn_bench.progress import Progress, silent

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from unlearn_bench.store.records import RunRecord


def run(
    method: str,
    *,
    forget: str | Sequence[str],
    profile: str | None = None,
    dataset: str | None = None,
    setting: str | None = None,
    seeds: Sequence[int] = (),
    options: Mapping[str, Any] | None = None,
    preset: str | None = None,
    db: str | None = None,
    config: Path | None = None,
    data: Path | None = None,
    download: bool = False,
    device: str = "auto",
    workers: int | None = 1,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Returns the runs of a method and of the references it is read against, made where they are not recorded yet.

    Args:
        method: its name; see ``unlearn-bench list methods``.
        forget: a forget set as the setting spells it, or several.
        profile: the scale; None for the default one.
        dataset: its name; None for the profile's.
        setting: what a forget set is; None for the profile's.
        seeds: of the configurations; none for the profile's.
        options: hyper-parameters over the profile's.
        preset: an option set of the method, such as ``paper``.
        db: database URL; None for UNLEARN_BENCH_DB, else ``results/runs.sqlite`` beside benchmarks.yaml.
        config: benchmarks.yaml; None for the nearest upwards, else the one that comes with the package.
        data: folder of data sets.
        download: whether a missing data set may be fetched.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``.
        workers: runs at a time. More than one start processes, which in a script needs a ``__main__`` guard.
        progress: told of every step.

    Returns:
        A row for each run, see :func:`load_results`.

    Raises:
        UserError: a name, option, forget set or data set that does not exist; nothing is recorded.

    >>> from unlearn_bench import run
    >>> run("muda", forget="3", profile="demo")[["method", "da", "acc_forget"]]  # doctest: +SKIP
    """
    from unlearn_bench.bench import Bench, Machinery
    from unlearn_bench.config import Row
    from unlearn_bench.store import Store

    benchmarks = load(config)
    bench = Bench.choose(
        benchmarks,
        Store(database_url(benchmarks, db)),
        profile=profile,
        dataset=dataset,
        setting=setting,
        forget=[forget] if isinstance(forget, str) else list(forget),
        seeds=seeds,
    )
    bench, row = bench.with_method(method, preset, options)
    machinery = Machinery(data, download, device, workers, progress, lambda _line: None)
    outcome = bench.carry_out([Row(method="retrained"), row], machinery)
    return _frame(bench.recorded(outcome.runs))


def load_results(
    db: str | None = None,
    *,
    method: str | None = None,
    dataset: str | None = None,
    forget: str | None = None,
    seed: int | None = None,
    profile: str | None = None,
    status: str | None = None,
    config: Path | None = None,
) -> pd.DataFrame:
    """Returns the recorded runs that match, the newest first.

    Returns:
        A row for each run: ``run``, ``key``, ``method``, ``dataset``, ``setting``, ``forget``, ``seed``, ``profile``,
        ``status``, ``error``, ``options`` (dict), ``trial`` (of ``tune``, measured on what it held out), ``traced``
        (for a figure of curves), ``finished_at`` (UTC), ``seconds`` and ``images`` (what the method
        cost), ``code_version``, ``machine``; then a column for each metric, in its own unit, NaN where not measured.

    Raises:
        StoreError: there is no such database.
    """
    from unlearn_bench.store import Store

    store = Store(database_url(load(config), db), create=False)
    found = store.runs(method=method, status=status, dataset=dataset, forget=forget, seed=seed, profile=profile)
    return _frame(found)


def evaluate(
    model: nn.Module,
    *,
    dataset: str,
    forget: str,
    setting: str = "class",
    features: str | None = None,
    size: int | None = None,
    normalise: str = "dataset",
    data: Path | None = None,
    device: str = "auto",
) -> dict[str, float]:
    """Returns every metric of a network in memory, by name, each in its own unit.

    Args:
        model: any classifier that ends in a linear layer; it is left as it was.
        dataset: what it was trained on.
        forget: what it is to have forgotten, as the setting spells it.
        setting: what a forget set is.
        features: a module whose outputs are the features; None for the input of the layer that makes the logits.
        size: side in pixels to which images are resized; None for their own.
        normalise: of pixels: ``dataset``, ``imagenet``, ``none``.
        data: folder of data sets.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``.

    Raises:
        OptionError, UnknownNameError, DataError: a layer, image or forget set that does not exist.
        DivergedError: an output or a metric is not finite.
    """
    from unlearn_bench.auditing import evaluate_network
    from unlearn_bench.auditing.architectures import network_of
    from unlearn_bench.data.loading import data_folder
    from unlearn_bench.data.loading import load as load_images
    from unlearn_bench.data.settings import divide
    from unlearn_bench.environment import choose_device
    from unlearn_bench.metrics import metrics_of

    images = load_images(dataset, folder=data_folder(Path(), data)).to(choose_device(device))
    split = divide(images, setting, forget, {})
    network = network_of(model, images, features, size, normalise)
    wanted = metrics_of(setting)
    return evaluate_network(network, images, split, wanted)


def _frame(runs: Sequence[RunRecord]) -> pd.DataFrame:
    import pandas as pd

    names = sorted({name for each in runs for name in each.values})
    records = [
        {
            "run": each.id,
            "key": each.key,
            "method": each.method,
            "dataset": each.dataset,
            "setting": each.spec["experiment"]["setting"],
            "forget": each.forget,
            "seed": each.seed,
            "profile": each.profile,
            "status": each.status,
            "error": each.error,
            "options": each.options,
            "trial": each.spec["experiment"]["held_out"] > 0,
            "traced": each.spec["experiment"]["trace_every"] > 0,
            "finished_at": each.finished_at,
            "seconds": each.model.method_seconds if each.model else float("nan"),
            "images": each.model.forward_images + each.model.backward_images if each.model else 0,
            "code_version": each.environment.code_version,
            "machine": each.environment.machine,
            **{name: each.values.get(name, float("nan")) for name in names},
        }
        for each in runs
    ]
    return pd.DataFrame.from_records(records)
