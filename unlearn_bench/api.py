"""The Python interface: the steps of the command line as functions that return data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearn_bench.config.benchmarks import database_url, load
from unlearn_bench.core.errors import OptionError
from unlearn_bench.core.progress import Progress, silent
from unlearn_bench.core.sources import Reading

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
    scenario: str | None = None,
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
    size: int | None = None,
    layout: str = "auto",
    strict: bool = False,
    model: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    pretrained: Path | str | None = None,
    metrics: Sequence[str] = (),
    artefacts: str | None = None,
) -> pd.DataFrame:
    """Returns the runs of a method and of its references. Runs that are not in the database yet are made first.

    Args:
        method: name of the method; see ``unlearn-bench list methods``.
        forget: a forget set in the spelling of the scenario, or several.
        profile: name of the profile, which sets the scale; None for the default profile.
        dataset: name of the data set, such as ``folder:PATH``; None for the profile's.
        scenario: name of the scenario; None for the profile's.
        seeds: seeds of the configurations; empty for the profile's.
        options: hyper-parameters that override the profile's.
        preset: name of an option set of the method, such as ``paper``.
        db: database URL; None for UNLEARN_BENCH_DB, else ``results/runs.sqlite`` next to benchmarks.yaml.
        config: path of benchmarks.yaml; None for the nearest one in the working folder or above, else the package's.
        data: folder of data sets.
        download: whether missing data sets may be downloaded.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``.
        workers: number of simultaneous runs. More than one starts processes; a script then needs a ``__main__`` guard.
        progress: called after every step.
        size, layout, strict: how your own images are read, see :class:`unlearn_bench.core.sources.Reading`.
        model: name of the network, such as ``torchvision:resnet18``; None for the profile's.
        arguments: of the network; without ``model``, they change those of the profile's network.
        pretrained: a file of weights from which original and retrained models start.
        metrics: names of metrics on request that the runs get in addition, see ``unlearn-bench list metrics``.
        artefacts: folder or URL of weights and outputs, such as ``s3://bucket/prefix``; None for
            UNLEARN_BENCH_ARTEFACTS, else beside the database.

    Returns:
        A row for each run, see :func:`load_results`.

    Raises:
        UserError: a name, an option, a forget set or a data set does not exist; the database does not change.

    Example:
        >>> from unlearn_bench import run
        >>> run("muda", forget="3", profile="demo")[["method", "da", "acc_forget"]]  # doctest: +SKIP
    """
    from unlearn_bench.config.benchmarks import Row
    from unlearn_bench.config.model_choice import ModelChoice
    from unlearn_bench.config.selection import Choice, with_datasets
    from unlearn_bench.data import datasets
    from unlearn_bench.report.bench import Bench
    from unlearn_bench.running.making import ExecutionConfig, make_runs, with_method
    from unlearn_bench.running.network_choice import with_network
    from unlearn_bench.store import Store

    benchmarks = with_datasets(load(config), (reader.name for reader in datasets if reader.origin))
    choice = Choice(
        profile=profile,
        dataset=dataset,
        scenario=scenario,
        forget=[forget] if isinstance(forget, str) else list(forget),
        seeds=seeds,
        reading=Reading(size, layout, strict),
        model=ModelChoice(model, dict(arguments or {}), Path(pretrained) if pretrained else None),
    )
    choice = with_network(benchmarks, choice)
    bench = Bench.choose(benchmarks, Store(database_url(benchmarks, db), artefacts=artefacts), choice)
    bench, row = with_method(bench, method, preset, options)
    execution = ExecutionConfig(data, download, device, workers, progress, lambda _line: None)
    outcome = make_runs(bench, [Row(method="retrained"), row], execution, wanted=metrics)
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
    """Returns the runs of a database that match all arguments, the newest first.

    Args:
        db: database URL; None for UNLEARN_BENCH_DB, else ``results/runs.sqlite`` next to benchmarks.yaml.
        method, dataset, forget, seed, profile, status: the value of this column; None for any.
        config: path of benchmarks.yaml, see :func:`run`.

    Returns:
        A row for each run, with the columns ``run``, ``key``, ``method``, ``version`` (of the method, and of the model
        and scenario of a plug-in), ``dataset``, ``scenario``, ``forget``, ``seed``, ``profile``, ``status``,
        ``error``, ``options`` (dict), ``trial`` (whether ``tune`` made it, measured on held-out images), ``traced``
        (whether it was made for a figure of curves), ``finished_at`` (UTC), ``seconds`` and ``images`` (cost of the
        method), ``code_version``, ``machine``, and a column for each metric, in its own unit, NaN if not measured.

    Raises:
        StoreError: the database does not exist.

    Example:
        >>> from unlearn_bench import load_results
        >>> load_results(method="muda", status="done").groupby("forget")["da"].mean()  # doctest: +SKIP
    """
    from unlearn_bench.store import Store

    store = Store(database_url(load(config), db), create=False)
    runs = store.runs(method=method, status=status, dataset=dataset, forget=forget, seed=seed, profile=profile)
    return _frame(runs)


def evaluate(
    model: nn.Module,
    *,
    dataset: str,
    forget: str,
    scenario: str = "class",
    features: str | None = None,
    size: int | None = None,
    normalise: str = "auto",
    data: Path | None = None,
    device: str = "auto",
    metrics: Sequence[str] = (),
) -> dict[str, float]:
    """Returns the metrics of a network in memory that have a value for it, by name, each in its own unit.

    Args:
        model: any classifier that ends in a linear layer; not changed.
        dataset: name of the data set that the model was trained on.
        forget: the forget set in the spelling of the scenario.
        scenario: name of the scenario.
        features: name of the module whose outputs are the features; None for the input of the layer that returns the
            logits.
        size: side in pixels: the shorter side of each image is resized, the centre square is kept; None for no
            resizing.
        normalise: normalisation of pixels: ``dataset``, ``imagenet``, ``none``, or ``auto`` for ``none`` if the network
            normalises its inputs itself and ``dataset`` otherwise.
        data: folder of data sets.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``.
        metrics: names of metrics on request to return in addition.

    Raises:
        OptionError, UnknownNameError, DataError: the module, a metric, the data set or the forget set does not exist.
        DivergedError: an output or a metric is not finite.

    Example:
        >>> from torch import nn
        >>> from unlearn_bench import evaluate
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> sorted(evaluate(network, dataset="digits", forget="3"))[:3]
        ['acc_forget', 'acc_retain', 'da']
    """
    from torch.nn import Module

    from unlearn_bench.auditing import evaluate_network, load_for_network
    from unlearn_bench.auditing.architectures import network_of
    from unlearn_bench.data.scenarios import split_dataset
    from unlearn_bench.metrics import metrics as known
    from unlearn_bench.metrics import metrics_of, requested
    from unlearn_bench.training.devices import choose_device

    if not isinstance(model, Module):
        raise OptionError(
            f"evaluate takes a torch network in memory, and model is {type(model).__name__} {model!r:.60}. For a file "
            "of weights use unlearn_bench.audit."
        )
    images, input_size = load_for_network(dataset, Reading(size), data)
    images = images.to(choose_device(device))
    split = split_dataset(images, scenario, str(forget), {})
    network = network_of(model, images, features, input_size, normalise)
    wanted = [*metrics_of(scenario), *(known.get(name) for name in requested(metrics, scenario))]
    values, _ = evaluate_network(network, images, split, wanted)
    return values


def load_model(
    run: str, *, db: str | None = None, config: Path | None = None, artefacts: str | None = None
) -> nn.Module:
    """Returns the network of a recorded run with its weights, on the CPU, in evaluation mode.

    Its inputs are images (N, C, H, W), normalised by the mean and deviation of the data set, or of the architecture for
    networks of torchvision and timm.

    Args:
        run: the number of the run, or the beginning of its key.
        db: database URL, see :func:`load_results`.
        config, artefacts: see :func:`run`.

    Raises:
        StoreError: the database or the run does not exist.
        CheckpointError: the run has no weights, or their file is missing or damaged.

    Example:
        >>> from unlearn_bench import load_model
        >>> load_model("12").head  # doctest: +SKIP
    """
    from unlearn_bench.running.recorded_models import network_of
    from unlearn_bench.store import Store

    store = Store(database_url(load(config), db), create=False, artefacts=artefacts)
    return network_of(store.run(str(run)), store)


def _frame(runs: Sequence[RunRecord]) -> pd.DataFrame:
    import pandas as pd

    names = sorted({name for run in runs for name in run.values})
    records = [
        {
            "run": run.id,
            "key": run.key,
            "method": run.method,
            "version": run.versions,
            "dataset": run.dataset,
            "scenario": run.scenario,
            "forget": run.forget,
            "seed": run.seed,
            "profile": run.profile,
            "status": run.status,
            "error": run.error,
            "options": run.options,
            "trial": run.is_trial,
            "traced": run.spec["experiment"]["trace_every"] > 0,
            "finished_at": run.finished_at,
            "seconds": run.model.method_seconds if run.model else float("nan"),
            "images": run.model.forward_images + run.model.backward_images if run.model else 0,
            "code_version": run.environment.code_version,
            "machine": run.environment.machine,
            **{name: run.values.get(name, float("nan")) for name in names},
        }
        for run in runs
    ]
    return pd.DataFrame.from_records(records)
