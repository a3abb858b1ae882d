"""``unlearn-bench audit``: audit a model from its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app


@app.command()
def audit(
    model: Annotated[
        Path, typer.Option("--model", help="Weights after unlearning: safetensors, or a file of torch.save.")
    ],
    original: Annotated[Path, typer.Option("--original", help="Weights before unlearning.")],
    architecture: Annotated[
        str,
        typer.Option("--architecture", help="torchvision:NAME, timm:NAME, FILE.py:FUNCTION, or see `list models`."),
    ],
    dataset: Annotated[
        str, typer.Option("--dataset", help="folder:PATH, parquet:PATH, FILE.py:FUNCTION, or see `list datasets`.")
    ],
    forget: Annotated[str, typer.Option("--forget", help="The forget set, such as a class by name or number.")],
    retrained: Annotated[
        list[Path] | None,
        typer.Option("--retrained", help="Weights trained without the forget set; give two or more."),
    ] = None,
    arguments: arg.Arguments = None,
    scenario: Annotated[
        str, typer.Option("--scenario", help="The kind of forget set; see `list scenarios`.")
    ] = "class",
    features: Annotated[
        str | None,
        typer.Option(
            "--features",
            help="The module whose outputs are the features; default: the input of the layer that makes the logits.",
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--size", help="Side of the images that the network gets, in pixels; the centre square is kept."),
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
    key: Annotated[
        str | None,
        typer.Option("--key", help="The entry of the files with the weights, such as state_dict_ema; default: found."),
    ] = None,
    grey: Annotated[
        bool, typer.Option("--grey", help="Convert colour images to grey, for a network that takes one channel.")
    ] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write the whole audit to this file.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write an HTML page to this file.")] = None,
    plugin: arg.Plugin = None,
    data: arg.Data = None,
    device: arg.Device = "auto",
) -> None:
    """Audit a model's unlearning from its weights: evidence and a verdict, but no proof of deletion."""
    from unlearn_bench.auditing import audit as run_audit
    from unlearn_bench.auditing.report import to_html, to_json, to_text
    from unlearn_bench.cli.terminal import Watch
    from unlearn_bench.core.options import parse_pairs
    from unlearn_bench.report.render import write_file

    with Watch() as watch:
        result = run_audit(
            model=model,
            original=original,
            retrained=retrained or [],
            architecture=architecture,
            dataset=dataset,
            forget=forget,
            scenario=scenario,
            options=parse_pairs(arguments or [], "--argument", "width=8"),
            features=features,
            size=size,
            layout=layout,
            strict=strict,
            normalise=normalise,
            key=key,
            grey=grey,
            data=data,
            device=device,
            progress=watch,
        )
    if json is not None:
        write_file(to_json(result), json)
    if html is not None:
        write_file(to_html(result), html)
    typer.echo(to_text(result))
