"""``unlearn-bench claims``: compare the paper's statements with the recorded runs."""

from __future__ import annotations

import typer

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import Network, open_bench
from unlearn_bench.core.errors import OptionError
from unlearn_bench.core.sources import Reading


@app.command()
def claims(
    profile: arg.Profile = None,
    model: arg.Model = None,
    argument: arg.Arguments = None,
    pretrained: arg.Pretrained = None,
    dataset: arg.Dataset = None,
    size: arg.Size = None,
    forget: arg.Forget = None,
    then: arg.Then = None,
    seed: arg.Seed = None,
    format: arg.Format = None,
    output: arg.Output = None,
    json: arg.Json = False,
    plugin: arg.Plugin = None,
    config: arg.Config = None,
    db: arg.Db = None,
) -> None:
    """Show which of the paper's statements the recorded runs confirm, and which they do not."""
    from unlearn_bench.report.listing import show_listing
    from unlearn_bench.report.render import format_of, with_notes, write_file
    from unlearn_bench.report.verdicts import describe_claims

    if json and format not in (None, "json"):
        raise OptionError(f"--json and --format {format} exclude each other. Leave one of them out.")
    format = format_of("json" if json else format, output)
    reading, network = Reading(size), Network(model, argument, pretrained)
    bench = open_bench(
        config, db, profile, dataset, None, forget, seed, create=False, then=then, reading=reading, network=network
    )
    header, body, notes = describe_claims(bench)
    text = show_listing((header, body), True) if format == "json" else with_notes(header, body, notes, format)
    if output is not None:
        write_file(text, output)
    else:
        typer.echo(text)
