"""``unlearn-bench show``: print one recorded run."""

from __future__ import annotations

from typing import Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import open_bench


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="The number of a run, or the beginning of its key.")],
    json: arg.Json = False,
    config: arg.Config = None,
    db: arg.Db = None,
    artefacts: arg.Artefacts = None,
) -> None:
    """Print everything that is recorded about one run."""
    from unlearn_bench.report.listing import describe_run, run_as_json
    from unlearn_bench.report.notes import not_stored, own_inputs, twins

    store = open_bench(config, db, create=False, artefacts=artefacts).store
    record = store.run(run)
    if json:
        typer.echo(run_as_json(record))
        return
    remarks = [*own_inputs([record], store.methods()), *twins([record], store), *not_stored(record, store)]
    typer.echo(describe_run(record, store.metrics(), store.predicted([record.key]).get(record.key), remarks))
