"""A small benchmark on real digits, problems of it, and runs written by hand."""

import torch

from unlearn_bench.core.spec import RunSpec
from unlearn_bench.data import Dataset, ForgetSplit
from unlearn_bench.data.batches import Normalise
from unlearn_bench.methods import Method, UnlearningProblem
from unlearn_bench.models import build
from unlearn_bench.report.bench import Bench
from unlearn_bench.store.records import DatasetRecord, Environment, MethodRecord, MetricRecord, NewRun, Status

SMALL = """
version: 1
default_profile: tiny
datasets:
  digits: {profile: tiny, augment: none, forget: {class: [1, 3], backdoor: [2], random: [10%]}}
  digit_pairs: {profile: tiny, augment: none, forget: {subclass: [1, 3]}}
  cifar10: {profile: tiny, augment: crop_flip, forget: {class: [1]}}
  folder: {profile: tiny, augment: none, forget: {class: [0]}}
profiles:
  tiny:
    title: a few digits
    dataset: digits
    subset: {digits: {train_per_class: 24, test_per_class: 8}}
    scenarios: {backdoor: {size: 2, place: top_left, shade: 255, rate: 0.1}, random: {stratified: true}}
    seeds: [0]
    model: {name: resnet18, width: 4, groups: 2}
    recipe: {epochs: 3, batch_size: 16, lr: 0.1, decay: 0.998, weight_decay: 0.001}
    options: {muda: {iterations: 12}, ft_classifier: {epochs: 2}, ft: {epochs: 2}}
tables:
  "3": {title: Small, rows: [original, retrained, ft, muda], metrics: [da, lp_forget]}
"""

METHODS = {
    "original": ("Original", "D", True),
    "retrained": ("Retrained", "D_r", True),
    "ft": ("FT", "D'_r", False),
    "muda": ("MUDA", "D'_r ∪ D_f", False),
}
METRICS = (MetricRecord("da", "DA", "", "higher", ""), MetricRecord("lp_forget", "LP(D_f)", "%", "near retrained", ""))


def make_problem(
    digits: Dataset, split: ForgetSplit, method: Method | None = None, images: int = 24
) -> UnlearningProblem:
    network = build({"name": "resnet18", "width": 4, "groups": 2}, channels=1, classes=10, seed=7).eval()
    forget, retain = digits.train[split.forget[:images]], digits.train[torch.nonzero(~split.is_forget)[:images, 0]]
    nothing = retain[torch.zeros(0, dtype=torch.int64)]
    train_set = method.train_set if method else "D'_r ∪ D_f"
    return UnlearningProblem(
        original=network.requires_grad_(False),
        retain=nothing if train_set in ("D_f", "none") else retain,
        forget=forget if "D_f" in train_set else nothing,
        forget_classes=split.classes,
        seed=3,
        normalise=Normalise(digits.mean, digits.std),
        forget_share=split.share,
    )


def new_run(
    bench: Bench,
    method: str,
    forget: str,
    values: tuple[float, float],
    status: Status = "done",
    options: dict[str, object] | None = None,
    images: str = "i",
) -> NewRun:
    """A run written by hand: nothing was trained for it."""
    label, train_set, is_reference = METHODS[method]
    return NewRun(
        spec=RunSpec(bench.selection.experiment, forget, method, "1", options or {}, 0, images * 64, forget * 64),
        profile="tiny",
        status=status,
        error=None if status == "done" else "loss is nan after 7 steps",
        changed_options=options or {},
        dataset=DatasetRecord(images * 64, "digits", 240, 80, "1×8×8", tuple("0123456789")),
        forget_images=24,
        method=MethodRecord(method, label, train_set, "", is_reference),
        metrics=METRICS,
        values=dict(zip(("da", "lp_forget"), values, strict=True)) if status == "done" else {},
        model=None,
        environment=Environment("0", {"torch": "1", "scikit-learn": "2", "python": "3"}, "a machine", "cpu"),
        evaluation_seconds=0.0,
    )
