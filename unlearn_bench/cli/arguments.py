"""The options that commands share, one annotation each."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from unlearn_bench.registry import load_plugin


def _load_plugins(files: list[Path] | None) -> list[Path] | None:
    for file in files or ():
        load_plugin(file)
    return files


def _names(kind: str) -> Callable[[str], list[str]]:
    """Returns what completes a word by the names that benchmarks.yaml has of a kind: nothing slow is imported."""

    def complete(incomplete: str) -> list[str]:
        from unlearn_bench.config import load

        return [name for name in getattr(load(), kind) if name.startswith(incomplete)]

    return complete


Config = Annotated[Path | None, typer.Option("--config", help="benchmarks.yaml; default: the nearest upwards.")]
Db = Annotated[
    str | None,
    typer.Option("--db", help="Database URL; default: UNLEARN_BENCH_DB, else results/runs.sqlite by benchmarks.yaml."),
]
Profile = Annotated[
    str | None, typer.Option("--profile", help="Scale: demo, small, paper.", autocompletion=_names("profiles"))
]
Dataset = Annotated[str | None, typer.Option("--dataset", help="digits, cifar10 or folder:PATH.")]
Setting = Annotated[str | None, typer.Option("--setting", help="What a forget set is; see `list settings`.")]
Forget = Annotated[
    list[str] | None, typer.Option("--forget", help="Forget set: a class (3 or cat), classes (3,5). Repeatable.")
]
Then = Annotated[
    list[str] | None,
    typer.Option("--then", help="A later request: starts from the model after the one before. Repeatable."),
]
MOST = 2**63 - 1  # what a database's integers hold
Seed = Annotated[list[int] | None, typer.Option("--seed", min=0, max=MOST, help="Seed of a configuration. Repeatable.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of data sets; default: UNLEARN_BENCH_DATA, else data/ by benchmarks.yaml."),
]
Download = Annotated[bool, typer.Option("--download", help="Fetch a missing data set, checksum verified.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Precision = Annotated[str | None, typer.Option("--precision", help="float32 or bfloat16, for training.")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Runs at a time; default: cores on a CPU, else 1.")
]
Json = Annotated[bool, typer.Option("--json", help="As JSON, for other programs.")]
Tables = Annotated[
    list[str] | None,
    typer.Option(
        "--table",
        help="A table of benchmarks.yaml; see `list tables`. With --html: repeatable.",
        autocompletion=_names("tables"),
    ),
]
Table = Annotated[
    str | None,
    typer.Option("--table", help="A table of benchmarks.yaml; see `list tables`.", autocompletion=_names("tables")),
]
Format = Annotated[str, typer.Option("--format", help="text, markdown, latex, csv or json.")]
Output = Annotated[Path | None, typer.Option("--output", help="Write to this file instead of the screen.")]
Plugin = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin", help="A Python file with methods or metrics of yours. Repeatable.", callback=_load_plugins
    ),
]
Options = Annotated[
    Path | None, typer.Option("--options", help="A file of options that `tune` wrote, in place of the profile's.")
]
Set = Annotated[list[str] | None, typer.Option("--set", help="A hyper-parameter, NAME=VALUE. Repeatable.")]
