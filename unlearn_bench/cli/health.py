"""The command that looks whether all is well: ``doctor``."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.opening import load_config


@app.command()
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Mend what can be mended without losing anything.")] = False,
    config: arg.Config = None,
    db: arg.Db = None,
    data: arg.Data = None,
) -> None:
    """Look at the environment, the database, its files and the data sets; exit code 1 where something is wrong."""
    from unlearn_bench.config import database_url
    from unlearn_bench.data.loading import data_folder
    from unlearn_bench.doctor import examine
    from unlearn_bench.terminal import Watch

    benchmarks = load_config(config)
    left = 0
    with Watch() as watch:
        for finding in examine(benchmarks, database_url(benchmarks, db), data_folder(benchmarks.home, data), watch):
            mended = False
            if fix and finding.fix is not None:
                with contextlib.suppress(OSError):  # another user's file: it stays, and is counted
                    finding.fix()
                    mended = True
            left += finding.state == "wrong" and not mended
            mark = "mended" if mended else finding.state
            sentence = f"{mark:7} {finding.area}: {finding.text.rstrip('.')}."
            typer.echo(" ".join(part for part in (sentence, finding.remedy) if part))
    typer.echo(f"{left} things to mend." if left else "Nothing to mend.")
    if left:
        raise typer.Exit(1)
