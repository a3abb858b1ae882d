"""``unlearn-bench weights``: write the weights of a recorded run to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import open_bench


@app.command()
def weights(
    run: Annotated[str, typer.Argument(help="The number of a run, or the beginning of its key.")],
    output: Annotated[Path, typer.Option("--output", help="The new file: .safetensors, or a state dict in .pt.")],
    plugin: arg.Plugin = None,
    config: arg.Config = None,
    db: arg.Db = None,
    artefacts: arg.Artefacts = None,
) -> None:
    """Write the weights of a recorded run, under the names of its own architecture."""
    from unlearn_bench.models.checkpoints import export
    from unlearn_bench.running.recorded_models import network_of

    store = open_bench(config, db, create=False, artefacts=artefacts).store
    record = store.run(run)
    export(network_of(record, store).own_state(), output)
    typer.echo(f"Written to {output}: {record.method}, forget {record.forget}, seed {record.seed}")
