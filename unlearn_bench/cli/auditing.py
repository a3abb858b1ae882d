"""The command that audits anyone's model: ``audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app


@app.command()
def audit(
    model: Annotated[
        Path, typer.Option("--model", help="Weights after unlearning: .safetensors, or a state dict in .pt.")
    ],
    original: Annotated[Path, typer.Option("--original", help="Weights before unlearning.")],
    architecture: Annotated[
        str, typer.Option("--architecture", help="torchvision:NAME, timm:NAME, MODULE:FUNCTION, or see `list models`.")
    ],
    dataset: Annotated[str, typer.Option("--dataset", help="folder:PATH, or see `list datasets`.")],
    forget: Annotated[str, typer.Option("--forget", help="The forget set, such as a class by name or number.")],
    retrained: Annotated[
        list[Path] | None,
        typer.Option("--retrained", help="Weights trained without the forget set; two or more for a verdict."),
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="An argument of the architecture, NAME=VALUE. Repeatable.")
    ] = None,
    setting: Annotated[str, typer.Option("--setting", help="What a forget set is; see `list settings`.")] = "class",
    features: Annotated[
        str | None, typer.Option("--features", help="A module whose outputs are the features; default: found.")
    ] = None,
    size: Annotated[int | None, typer.Option("--size", help="Resize images to this side, in pixels.")] = None,
    normalise: Annotated[
        str, typer.Option("--normalise", help="Of pixels: auto (the architecture's), dataset, imagenet or none.")
    ] = "auto",
    json: Annotated[Path | None, typer.Option("--json", help="Write all of it to this file.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write a page to this file.")] = None,
    plugin: arg.Plugin = None,
    data: arg.Data = None,
    device: arg.Device = "auto",
) -> None:
    """Say what a model of anyone's still holds of a forget set: evidence and a verdict, no proof of deletion."""
    from unlearn_bench.auditing import audit as examine
    from unlearn_bench.options import parse_pairs
    from unlearn_bench.report.audit import to_json, to_text
    from unlearn_bench.report.page import audit_to_html
    from unlearn_bench.report.render import write_file
    from unlearn_bench.terminal import Watch

    with Watch() as watch:
        found = examine(
            model=model,
            original=original,
            retrained=retrained or [],
            architecture=architecture,
            dataset=dataset,
            forget=forget,
            setting=setting,
            options=parse_pairs(sets or []),
            features=features,
            size=size,
            normalise=normalise,
            data=data,
            device=device,
            progress=watch,
        )
    if json is not None:
        write_file(to_json(found), json)
    if html is not None:
        write_file(audit_to_html(found), html)
    typer.echo(to_text(found))
