"""``unlearn-bench train``: train the reference models."""

from __future__ import annotations

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import Network, make_and_show, open_bench
from unlearn_bench.core.sources import Reading


@app.command()
def train(
    profile: arg.Profile = None,
    model: arg.Model = None,
    argument: arg.Arguments = None,
    pretrained: arg.Pretrained = None,
    dataset: arg.Dataset = None,
    size: arg.Size = None,
    layout: arg.Layout = "auto",
    strict: arg.Strict = False,
    scenario: arg.Scenario = None,
    forget: arg.Forget = None,
    then: arg.Then = None,
    seed: arg.Seed = None,
    plugin: arg.Plugin = None,
    config: arg.Config = None,
    db: arg.Db = None,
    artefacts: arg.Artefacts = None,
    data: arg.Data = None,
    download: arg.Download = False,
    device: arg.Device = "auto",
    precision: arg.Precision = None,
    workers: arg.Workers = None,
) -> None:
    """Train the original and the retrained models; with --dataset but no --forget, only the original."""
    from unlearn_bench.config.benchmarks import Row

    names = ["original"] if dataset is not None and forget is None else ["original", "retrained"]
    reading, network = Reading(size, layout, strict), Network(model, argument, pretrained)
    bench = open_bench(
        config,
        db,
        profile,
        dataset,
        scenario,
        forget,
        seed,
        precision,
        then=then,
        reading=reading,
        network=network,
        artefacts=artefacts,
    )
    make_and_show(bench, [Row(method=name) for name in names], data, download, device, workers, show=names)
