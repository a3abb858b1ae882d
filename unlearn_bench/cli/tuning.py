"""The command that searches options: ``tune``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.opening import open_bench
from unlearn_bench.errors import OptionError, unknown_name

SHOWN = 20  # settings on the screen, the best ones; all are recorded


@app.command()
def tune(
    method: Annotated[str, typer.Option("--method", help="The method to tune; see `list methods`.")],
    grid: Annotated[str | None, typer.Option("--grid", help="A grid of benchmarks.yaml; default: paper.")] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="In place of a grid: so many settings proposed by Optuna.")
    ] = None,
    disturbances: Annotated[
        int,
        typer.Option("--disturbances", min=0, help="Times to try the chosen setting again from disturbed weights."),
    ] = 0,
    objective: Annotated[str, typer.Option("--objective", help="honest, or oracle: the gap to retrained.")] = "honest",
    profile: arg.Profile = None,
    dataset: arg.Dataset = None,
    setting: arg.Setting = None,
    forget: arg.Forget = None,
    seed: arg.Seed = None,
    output: Annotated[Path | None, typer.Option("--output", help="Options file; default: in results/tuned/.")] = None,
    plugin: arg.Plugin = None,
    config: arg.Config = None,
    db: arg.Db = None,
    data: arg.Data = None,
    download: arg.Download = False,
    device: arg.Device = "auto",
    precision: arg.Precision = None,
    workers: arg.Workers = None,
) -> None:
    """Search a method's options, without test images and retrained models, and write the best to a file."""
    from unlearn_bench.bench import Machinery
    from unlearn_bench.report.listing import plain_table
    from unlearn_bench.terminal import Watch
    from unlearn_bench.trials import lines_of
    from unlearn_bench.tuned import check_writable, read_tuned, write_tuned
    from unlearn_bench.tuning import tune as search

    if objective not in ("honest", "oracle"):
        raise unknown_name("objective", objective, ("honest", "oracle"))
    if grid is not None and trials is not None:
        raise OptionError("--grid and --trials are two ways to search. Give one of them.")
    bench = open_bench(config, db, profile, dataset, setting, forget, seed, precision)
    experiment, profile_name = bench.selection.experiment, bench.selection.profile
    usual = (bench.benchmarks.profiles[profile_name].dataset, "class") == (bench.selection.source, experiment.setting)
    name = profile_name if usual else f"{profile_name}-{experiment.dataset.replace(':', '-')}-{experiment.setting}"
    file = output or bench.benchmarks.home / "results" / "tuned" / f"{name}.yaml"
    check_writable(file)
    if file.exists():
        read_tuned(file)  # a file that cannot take the result is refused before the work, not after
    with Watch() as watch:
        machinery = Machinery(data, download, device, workers, watch, watch.say)
        chosen, ranked = search(
            bench,
            method,
            machinery,
            objective="honest" if objective == "honest" else "oracle",
            grid=grid,
            trials=trials,
            disturbances=disturbances,
        )
    header, *body = lines_of(ranked, SHOWN)
    typer.echo(plain_table(header, body))
    if len(ranked) > SHOWN:
        typer.echo(f"The best {SHOWN} of {len(ranked)}; all are recorded.")
    for trial in ranked:
        if not trial.steady:
            setting = ", ".join(f"{option} {value}" for option, value in trial.options.items())
            typer.echo(f"Passed over: {setting}. From disturbed start weights it damages what is retained.")
    if not any(trial.usable for trial in ranked):
        typer.echo("None of these settings is usable: each damages what is retained. The least bad is chosen.")
    write_tuned(file, method, chosen)
    options = ", ".join(f"{name} {value}" for name, value in chosen.options.items()) or "the method's defaults"
    typer.echo(f"{method}: {options}; {chosen.sentence}. Written to {file}; use it with --options {file}")
