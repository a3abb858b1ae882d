"""``unlearn-bench doctor``: check the installation and the database."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import load_config


@app.command()
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Apply the repairs that lose no data.")] = False,
    config: arg.Config = None,
    db: arg.Db = None,
    artefacts: arg.Artefacts = None,
    data: arg.Data = None,
) -> None:
    """Check the environment, the database, its files and the data sets; exit code 1 if something is wrong."""
    from unlearn_bench.checks.doctor import examine
    from unlearn_bench.cli.terminal import Watch
    from unlearn_bench.config.benchmarks import database_url
    from unlearn_bench.data.loading import data_folder

    benchmarks = load_config(config)
    problems = 0
    with Watch() as watch:
        folder = data_folder(benchmarks.home, data)
        for finding in examine(benchmarks, database_url(benchmarks, db), folder, watch, artefacts):
            fixed = False
            if fix and finding.fix is not None:
                with contextlib.suppress(OSError):  # a file of another user cannot be removed: it still counts
                    finding.fix()
                    fixed = True
            problems += finding.state == "wrong" and not fixed
            mark = "fixed" if fixed else finding.state
            sentence = f"{mark:7} {finding.area}: {finding.text.rstrip('.')}."
            typer.echo(" ".join(part for part in (sentence, finding.remedy) if part))
    typer.echo(f"{problems} problems." if problems else "No problems.")
    if problems:
        raise typer.Exit(1)
