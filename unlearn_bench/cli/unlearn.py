"""``unlearn-bench unlearn``: make a model of your own forget, and write its new weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app


@app.command()
def unlearn(
    model: Annotated[Path, typer.Option("--model", help="Weights of the trained model: .safetensors, .pt, .pth, ….")],
    architecture: Annotated[
        str,
        typer.Option(
            "--architecture",
            help="torchvision:NAME, timm:NAME, MODULE:FUNCTION, FILE.py:FUNCTION, or see `list models`.",
        ),
    ],
    dataset: Annotated[str, typer.Option("--dataset", help="The images: folder:PATH, or see `list datasets`.")],
    method: Annotated[str, typer.Option("--method", help="The method to run; see `list methods`.")],
    output: Annotated[Path, typer.Option("--output", help="The new file, in the form of --model.")],
    forget: Annotated[
        str | None, typer.Option("--forget", help="The forget set, such as a class by name or number.")
    ] = None,
    forget_list: Annotated[
        str | None,
        typer.Option(
            "--forget-list", help="In place of --forget: a file with a training image (path or index) a line."
        ),
    ] = None,
    retain: Annotated[
        str | None,
        typer.Option("--retain", help="A folder of images that the method retains, in place of those of --dataset."),
    ] = None,
    sets: arg.Set = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="A named set of options of the method, such as paper.")
    ] = None,
    arguments: arg.Arguments = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Which of several weights in the file, such as state_dict_ema.")
    ] = None,
    scenario: arg.Scenario = None,
    size: Annotated[
        int | None, typer.Option("--size", help="Resize images to this side, in pixels, and keep the centre square.")
    ] = None,
    layout: arg.Layout = "auto",
    strict: arg.Strict = False,
    normalise: Annotated[
        str,
        typer.Option(
            "--normalise",
            help="Pixel normalisation: dataset, imagenet, none, or auto: the architecture's, else the data set's.",
        ),
    ] = "auto",
    last_stage: Annotated[
        str | None, typer.Option("--last-stage", help="Modules of the last stage, for EU-k and CF-k; default: found.")
    ] = None,
    seed: arg.Seed = None,
    plugin: arg.Plugin = None,
    config: arg.Config = None,
    db: arg.Db = None,
    artefacts: arg.Artefacts = None,
    data: arg.Data = None,
    download: arg.Download = False,
    device: arg.Device = "auto",
    precision: arg.Precision = None,
) -> None:
    """Make a trained model forget, print what changed, and write weights that your own code can load."""
    from unlearn_bench.cli.terminal import Watch
    from unlearn_bench.config.benchmarks import database_url, load
    from unlearn_bench.config.selection import Choice
    from unlearn_bench.config.tuned import check_writable
    from unlearn_bench.core.options import parse_pairs
    from unlearn_bench.core.sources import Reading
    from unlearn_bench.metrics import metrics
    from unlearn_bench.report.before_after import audit_command, describe_change
    from unlearn_bench.running.making import ExecutionConfig
    from unlearn_bench.running.unlearning import OwnModel
    from unlearn_bench.running.unlearning import unlearn as run_unlearn
    from unlearn_bench.store import Store

    forget, scenario = _forget_set(forget, forget_list, scenario)
    check_writable(output)
    benchmarks = load(config)
    described: dict[str, str] = parse_pairs(arguments or [], "--argument", "width=8")
    described |= _prepared(normalise, last_stage)
    choice = Choice(
        dataset=dataset,
        scenario=scenario,
        forget=(forget,),
        seeds=seed or (),
        precision=precision,
        reading=Reading(None, layout, strict),
    )
    with Watch() as watch:
        result = run_unlearn(
            OwnModel(file=model, key=key, architecture=architecture, arguments=described, size=size),
            benchmarks,
            Store(database_url(benchmarks, db), artefacts=artefacts),
            choice,
            ExecutionConfig(data, download, device, 1, watch, watch.say),
            method=method,
            preset=preset,
            options=parse_pairs(sets or []),
            retain=retain,
        )
        result.write(output)
    readings = {metric.name: (metric.label, metric.unit, metric.without_reference) for metric in metrics}
    undefined = {metric.label: why for metric in metrics if (why := metric.undefined.get(result.unlearned.scenario))}
    typer.echo(describe_change(result.original, result.unlearned, readings, undefined))
    typer.echo(f"\nWritten to {output}. Audit it with:")
    words = [*choice.reading.words, *(["--key", key] if key else []), *(["--data", str(data)] if data else [])]
    typer.echo(audit_command(result.unlearned, model, output, dataset, forget, size, words))


def _prepared(normalise: str, last_stage: str | None) -> dict[str, str]:
    """Returns what a network's description has besides its arguments, where it differs from the defaults."""
    found = {"normalise": normalise} if normalise != "auto" else {}
    return found | ({"last_stage": last_stage} if last_stage is not None else {})


def _forget_set(forget: str | None, forget_list: str | None, scenario: str | None) -> tuple[str, str | None]:
    """Returns the forget set and its scenario.

    Raises:
        OptionError: there is none, or there are two, or a list of another scenario.
    """
    from unlearn_bench.core.errors import OptionError

    if forget is not None and forget_list is None:
        return forget, scenario
    if forget_list is None or forget is not None:
        problem = "There is no forget set" if forget is None else "There are two forget sets"
        raise OptionError(f"{problem}. Give --forget with a class, or --forget-list with a file of images.")
    if scenario not in (None, "list"):
        raise OptionError(f"--forget-list is of the scenario list, and --scenario is {scenario}. Leave out --scenario.")
    return forget_list, "list"
