"""``unlearn-bench tune``: search the options of a method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import Network, open_bench
from unlearn_bench.core.errors import OptionError, unknown_name
from unlearn_bench.core.sources import Reading

if TYPE_CHECKING:
    from unlearn_bench.report.bench import Bench
    from unlearn_bench.running.trials import Trial

TRIALS_SHOWN = 20  # the best trials; all are recorded


@app.command()
def tune(
    method: Annotated[str, typer.Option("--method", help="The method to tune; see `list methods`.")],
    grid: Annotated[str | None, typer.Option("--grid", help="A grid of benchmarks.yaml; default: paper.")] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="Try this many combinations from Optuna instead of a grid.")
    ] = None,
    disturbances: Annotated[
        int,
        typer.Option(
            "--disturbances", min=0, help="How often to repeat the chosen trial from disturbed start weights."
        ),
    ] = 0,
    objective: Annotated[
        str,
        typer.Option("--objective", help="honest (no test images or retrained model), or oracle."),
    ] = "honest",
    profile: arg.Profile = None,
    model: arg.Model = None,
    argument: arg.Arguments = None,
    pretrained: arg.Pretrained = None,
    dataset: arg.Dataset = None,
    size: arg.Size = None,
    layout: arg.Layout = "auto",
    strict: arg.Strict = False,
    scenario: arg.Scenario = None,
    forget: arg.Forget = None,
    seed: arg.Seed = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="File for the options; default: a file in results/tuned/.")
    ] = None,
    plugin: arg.Plugin = None,
    config: arg.Config = None,
    db: arg.Db = None,
    artefacts: arg.Artefacts = None,
    data: arg.Data = None,
    download: arg.Download = False,
    device: arg.Device = "auto",
    precision: arg.Precision = None,
    workers: arg.Workers = None,
) -> None:
    """Search a method's options without test images or retrained models, and write the best to a file."""
    from unlearn_bench.cli.terminal import Watch
    from unlearn_bench.config.tuned import check_writable, read_tuned, write_tuned
    from unlearn_bench.running.making import ExecutionConfig
    from unlearn_bench.running.tuning import tune as search

    if objective not in ("honest", "oracle"):
        raise unknown_name("objective", objective, ("honest", "oracle"))
    if grid is not None and trials is not None:
        raise OptionError("--grid and --trials exclude each other. Give only one of them.")
    reading, network = Reading(size, layout, strict), Network(model, argument, pretrained)
    bench = open_bench(
        config,
        db,
        profile,
        dataset,
        scenario,
        forget,
        seed,
        precision,
        reading=reading,
        network=network,
        artefacts=artefacts,
    )
    file = output or _default_file(bench)
    check_writable(file)
    if file.exists():
        read_tuned(file)  # a file that cannot take the result is an error now, not after the search
    with Watch() as watch:
        execution = ExecutionConfig(data, download, device, workers, watch, watch.say)
        chosen, ranked = search(
            bench,
            method,
            execution,
            objective="honest" if objective == "honest" else "oracle",
            grid=grid,
            trials=trials,
            disturbances=disturbances,
        )
    _show(ranked)
    write_tuned(file, method, chosen)
    options = ", ".join(f"{name} {value}" for name, value in chosen.options.items()) or "the method's defaults"
    typer.echo(f"{method}: {options}; {chosen.sentence}. Written to {file}; use it with --options {file}")


def _show(ranked: Sequence[Trial]) -> None:
    """Prints the best trials, and those that were not chosen."""
    from unlearn_bench.report.listing import plain_table
    from unlearn_bench.running.trials import lines_of, rejections

    header, *body = lines_of(ranked, TRIALS_SHOWN)
    typer.echo(plain_table(header, body))
    if len(ranked) > TRIALS_SHOWN:
        typer.echo(f"The best {TRIALS_SHOWN} of {len(ranked)} trials; all are recorded.")
    for sentence in rejections(ranked):
        typer.echo(sentence)
    if not any(trial.usable for trial in ranked):
        typer.echo(
            "Every trial reduced accuracy on the retained classes by more than five points. The best of them is chosen."
        )


def _default_file(bench: Bench) -> Path:
    """Returns the file of a profile's options; another network, data set or scenario has its own file."""
    experiment, name = bench.selection.experiment, bench.selection.profile
    network = PurePath(str(experiment.model["name"])).name.replace(":", "-") if bench.selection.model.words else ""
    if (bench.selection.source, experiment.scenario) != (bench.benchmarks.profiles[name].dataset, "class"):
        name = f"{name}-{experiment.dataset.replace(':', '-')}-{experiment.scenario}"
    name = f"{name}-{network}" if network else name
    return bench.benchmarks.home / "results" / "tuned" / f"{name}.yaml"
