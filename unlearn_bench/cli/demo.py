"""``unlearn-bench demo``: measure two tables on small images."""

from __future__ import annotations

from unlearn_bench.cli import arguments as arg
from unlearn_bench.cli.app import app
from unlearn_bench.cli.session import make_and_show, open_bench


@app.command()
def demo(
    plugin: arg.Plugin = None,
    config: arg.Config = None,
    db: arg.Db = None,
    device: arg.Device = "auto",
    workers: arg.Workers = None,
) -> None:
    """Measure the paper's class unlearning (tables 3 and A) on handwritten digits; takes minutes on a laptop."""
    bench = open_bench(config, db, "demo")
    make_and_show(bench, [], None, False, device, workers, tables=["3", "A"])
