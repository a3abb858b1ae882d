"""A small benchmark with figures."""

from pathlib import Path

import pytest
from support.benchmark import SMALL

from unlearn_bench.config.benchmarks import load as load_config
from unlearn_bench.report.bench import Bench

FIGURES = """
figures:
  "1": {title: Clouds, kind: features, scenario: incremental, forget: [9], rows: [retrained, original]}
  "3":
    title: Curves
    kind: curves
    metrics: [lp_retain, da]
    trace_every: 5
    rows: [original, retrained, muda, {method: neggrad, options: {lr: 10}}]
    options: {tiny: {muda: {iterations: 12}, neggrad: {epochs: 60}}}
  "4": {title: Backdoor, kind: features, scenario: backdoor, forget: [2], rows: [original, muda]}
claims:
  - {says: MUDA is flat, figure: "3", test: 'swing("muda", "lp_retain") <= 100 and diverged("muda") == 0'}
  - {says: NegGrad diverges, figure: "3", test: 'diverged("neggrad") == 2'}
"""


@pytest.fixture
def drawn(home: Path, bench: Bench) -> Bench:
    (home / "benchmarks.yaml").write_text(SMALL + FIGURES)
    return Bench.choose(load_config(), bench.store)
