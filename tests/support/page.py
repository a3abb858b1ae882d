"""Runs to fill a page with, hostile words, and the browser."""

import shutil
from dataclasses import replace

import pytest

from support.benchmark import new_run
from unlearn_bench.report.bench import Bench
from unlearn_bench.store.records import MethodRecord, ModelRecord

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
in_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
HOSTILE = (
    """<script>window.hacked=1</script><img src=x onerror="window.hacked=1"> =cmd() \\input{x} "'`{{7*7}}</script>"""
)
OPTIONS: dict[str, dict[str, object]] = {"ft": {"epochs": 2}, "muda": {"iterations": 12}}  # as the profile has them
VALUES = {
    "original": [(0.5, 98.0), (0.6, 97.0)],
    "retrained": [(0.9, 60.0), (1.0, 64.0)],
    "ft": [(0.55, 90.0), (0.65, 9.0)],
    "muda": [(0.89, 61.0), (0.97, 66.0)],
}


def model_of(key: str, images: int) -> ModelRecord:
    return ModelRecord(key, None, None, None, 10, images / 1000, images, images, images, None)


def fill(bench: Bench, label: str = "MUDA") -> None:
    """Records runs written by hand: forget sets 1 and 3."""
    for method, values in VALUES.items():
        for forget, pair in zip(("1", "3"), values, strict=True):
            run = new_run(bench, method, forget, pair, options=OPTIONS.get(method))
            if method == "muda":
                run = replace(run, method=MethodRecord("muda", label, "D'_r ∪ D_f", "", False))
            images = {"muda": 4000, "ft": 2000, "retrained": 90_000}.get(method, 80_000)
            bench.store.record(replace(run, model=model_of(f"{method}{forget}", images)))
