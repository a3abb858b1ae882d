"""The options that several commands share: one annotated type per option."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from unlearn_bench.core.registry import load_plugin

MAX_INTEGER = 2**63 - 1  # the largest integer that the database can store


def _load_plugins(files: list[Path] | None) -> list[Path] | None:
    for file in files or ():
        load_plugin(file)
    return files


def complete_names(kind: str) -> Callable[[str], list[str]]:
    """Returns a function that completes a word with the names of benchmarks.yaml, such as its ``tables``.

    It reads only that file, so that completion does not import torch.
    """

    def complete(incomplete: str) -> list[str]:
        from unlearn_bench.config.benchmarks import load

        return [name for name in getattr(load(), kind) if name.startswith(incomplete)]

    return complete


Config = Annotated[
    Path | None,
    typer.Option("--config", help="Path to benchmarks.yaml; default: the nearest one in this folder or a parent."),
]
Db = Annotated[
    str | None,
    typer.Option(
        "--db", help="Database URL; default: UNLEARN_BENCH_DB, else results/runs.sqlite next to benchmarks.yaml."
    ),
]
Artefacts = Annotated[
    str | None,
    typer.Option(
        "--artefacts",
        help="Folder or URL of weights and outputs, such as s3://bucket/prefix; default: UNLEARN_BENCH_ARTEFACTS, else "
        "beside the database.",
    ),
]
Keep = Annotated[
    str,
    typer.Option(
        "--keep",
        help="Checkpoints to keep at the end: all, references (original and retrained models), or none.",
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        help="Scale of the experiments; see `list profiles`.",
        autocompletion=complete_names("profiles"),
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="A data set: digits, cifar10, folder:PATH, parquet:PATH, FILE.py:FUNCTION, …; see `list datasets`.",
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        "--size", help="Side of your own images in pixels: the shorter side is resized, the centre square is kept."
    ),
]
Layout = Annotated[
    str, typer.Option("--layout", help="Folders in folder:PATH: auto, classes, or splits (train/ and test/).")
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop if a file in folder:PATH is not read.")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="The network, in place of the profile's: torchvision:NAME, timm:NAME, FILE.py:FUNCTION, MODULE:FUNCTION, "
        "or see `list models`.",
    ),
]
Arguments = Annotated[
    list[str] | None, typer.Option("--argument", help="An argument of the network, NAME=VALUE. Repeatable.")
]
Pretrained = Annotated[
    Path | None,
    typer.Option("--pretrained", help="A file of weights from which original and retrained models start."),
]
Scenario = Annotated[str | None, typer.Option("--scenario", help="The kind of forget set; see `list scenarios`.")]
Forget = Annotated[
    list[str] | None, typer.Option("--forget", help="Forget set: a class (3 or cat) or classes (3,5). Repeatable.")
]
Then = Annotated[
    list[str] | None,
    typer.Option(
        "--then", help="A later forget request; it starts from the model that the request before made. Repeatable."
    ),
]
Seed = Annotated[
    list[int] | None, typer.Option("--seed", min=0, max=MAX_INTEGER, help="Seed of a configuration. Repeatable.")
]
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Data set folder; default: UNLEARN_BENCH_DATA, else data/ next to benchmarks.yaml."),
]
Download = Annotated[bool, typer.Option("--download", help="Download a missing data set, and verify its checksum.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Precision = Annotated[str | None, typer.Option("--precision", help="Precision of training: float32 or bfloat16.")]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="Number of runs at the same time; default: the number of cores on a CPU, else 1."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")]
Tables = Annotated[
    list[str] | None,
    typer.Option(
        "--table",
        help="A table of benchmarks.yaml; see `list tables`. Repeatable with --html.",
        autocompletion=complete_names("tables"),
    ),
]
Table = Annotated[
    str | None,
    typer.Option(
        "--table", help="A table of benchmarks.yaml; see `list tables`.", autocompletion=complete_names("tables")
    ),
]
Format = Annotated[
    str | None,
    typer.Option("--format", help="text, markdown, latex, csv or json; default: by the ending of --output, else text."),
]
Output = Annotated[Path | None, typer.Option("--output", help="Write to this file instead of the screen.")]
Plugin = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        help="A Python file with your own methods, metrics, models, data sets or scenarios. Repeatable.",
        callback=_load_plugins,
    ),
]
Options = Annotated[
    Path | None,
    typer.Option("--options", help="A file of options that `tune` wrote; it replaces the options of the profile."),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        help="A metric that is computed on request, for new and for recorded runs; see `list metrics`. Repeatable.",
    ),
]
Set = Annotated[list[str] | None, typer.Option("--set", help="A hyper-parameter, NAME=VALUE. Repeatable.")]
