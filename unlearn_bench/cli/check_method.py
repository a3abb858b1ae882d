"""``unlearn-bench check-method``: run the conformance checks on a method."""

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
    """Run conformance checks on a method, on small problems; exit code 1 if a check fails.

    A plug-in runs inside this Python process, and Python does not isolate it. The checks and guards find the usual
    ways to use data that a method was not given. No check replaces reading a plug-in before you trust its numbers.
    """
    import torch

    from unlearn_bench.checks.conformance import examine
    from unlearn_bench.checks.conformance.test_bed import TestBed
    from unlearn_bench.methods import methods
    from unlearn_bench.training.devices import choose_device

    torch.set_num_threads(1)  # the networks are small: with more threads, rounding would depend on the machine
    entry = methods.get(method)
    marks = {"holds": "ok", "broken": "BROKEN", "does not apply": "–"}
    broken = 0
    for finding in examine(entry, TestBed(choose_device(device))):
        broken += finding.verdict == "broken"
        typer.echo(f"{marks[finding.verdict]:7} {finding.title}" + (f": {finding.detail}" if finding.detail else ""))
    typer.echo(f"{entry.name}: " + (f"{broken} checks fail." if broken else "all checks pass."))
    if broken:
        raise typer.Exit(1)
