"""The command that tries a method: ``check-method``."""

from __future__ import annotations

from typing import Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app


@app.command("check-method")
def check_method(
    method: Annotated[str, typer.Argument(help="A method; see `list methods`.")],
    plugin: arg.Plugin = None,
    device: arg.Device = "auto",
) -> None:
    """Try whether a method is what it says, on small problems; exit code 1 where it is not.

    A plug-in runs inside this process and Python has no walls there: checks and guards find the usual ways of using
    what a method was not given, and no check replaces reading a plug-in before its numbers are trusted.
    """
    import torch

    from unlearn_bench.conformance import examine
    from unlearn_bench.conformance.scene import Scene
    from unlearn_bench.environment import choose_device
    from unlearn_bench.methods import methods

    torch.set_num_threads(1)  # small networks: more would only make rounding depend on the machine
    entry = methods.get(method)
    marks = {"holds": "ok", "broken": "BROKEN", "does not apply": "–"}
    broken = 0
    for finding in examine(entry, Scene(choose_device(device))):
        broken += finding.verdict == "broken"
        typer.echo(f"{marks[finding.verdict]:7} {finding.title}" + (f": {finding.detail}" if finding.detail else ""))
    typer.echo(f"{entry.name}: " + (f"{broken} checks broken." if broken else "every check holds."))
    if broken:
        raise typer.Exit(1)
