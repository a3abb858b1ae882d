"""Writes the pinned references of a profile: the weights of original and retrained models that a database holds.

    unlearn-bench train --profile demo --seed 0        (without `pinned` in the profile: it trains them)
    python benchmarks/pin_references.py demo --profile demo --seed 0

The files and their manifest go to results/references/NAME; `pinned: NAME` in the profile then has every run start from
these weights, on any machine. See unlearn_bench/config/pinned.py.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict, replace

from unlearn_bench.config.benchmarks import Benchmarks, Row, database_url, load
from unlearn_bench.config.pinned import FOLDER, MANIFEST, PinnedModel, training_of
from unlearn_bench.config.selection import Choice, Selection, select
from unlearn_bench.core.files import atomic_write
from unlearn_bench.data.loading import data_folder
from unlearn_bench.data.loading import load as load_images
from unlearn_bench.running.plan import make_plan
from unlearn_bench.running.tasks import Task
from unlearn_bench.store import Store
from unlearn_bench.store.records import RunRecord

COST = ("parameters", "method_seconds", "samples_seen", "forward_images", "backward_images", "peak_memory_bytes")


def unpinned(benchmarks: Benchmarks, profile: str, seeds: list[int]) -> Selection:
    """Returns the profile's configurations with references that are trained."""
    chosen = select(benchmarks, Choice(profile=profile, seeds=seeds))
    return replace(chosen, pinned=None, experiment=replace(chosen.experiment, pinned=""))


def pinned_model(task: Task, run: RunRecord, name: str) -> PinnedModel:
    """Returns the entry of the manifest of a recorded reference."""
    model, made = run.model, run.environment
    assert model is not None and model.file_digest is not None and model.weights_digest is not None
    versions = ", ".join(f"{package} {made.packages[package]}" for package in ("torch", "python"))
    return PinnedModel(
        method=run.method,
        forget=run.forget if task.method.uses_forget_set else "",
        seed=run.seed,
        file=name,
        file_digest=model.file_digest,
        weights_digest=model.weights_digest,
        cost={field: getattr(model, field) for field in COST} | {"curves": model.curves},
        made_by=f"unlearn-bench {made.code_version}, {versions}; {made.device} on {made.machine}",
    )


def main() -> None:
    """Reads the command line and writes the folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", help="of the folder below results/references")
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--db", help="database; default as of the commands")
    given = parser.parse_args()

    benchmarks = load()
    selection = unpinned(benchmarks, given.profile, given.seed or [0])
    store = Store(database_url(benchmarks, given.db))
    dataset = load_images(selection.source, folder=data_folder(benchmarks.home))
    plan = make_plan(selection, [Row(method="original"), Row(method="retrained")], dataset, store)
    if plan.missing:
        raise SystemExit(f"{len(plan.missing)} references are not recorded. Make them first with: unlearn-bench train")
    runs = {run.key: run for run in store.runs(experiment_key=selection.experiment.key)}
    folder = benchmarks.home / "results" / FOLDER / given.name
    folder.mkdir(parents=True, exist_ok=True)
    models: dict[str, PinnedModel] = {}
    for task in plan.tasks:
        run = runs[task.spec.key]
        words = f"{run.forget}-" if task.method.uses_forget_set else ""
        name = f"{run.method}-{words}seed-{run.seed}.safetensors"
        entry = pinned_model(task, run, name)
        file = str(run.model.file if run.model else "")
        source = store.model_files.find(file, entry.file_digest)
        if source is None:
            raise SystemExit(f"{file} is missing or damaged. Make it again with: unlearn-bench train")
        if task.model_key not in models:
            with atomic_write(folder / name) as part:
                shutil.copyfile(source, part)
        models.setdefault(task.model_key, entry)
    content = {
        "experiment": training_of(selection.experiment),
        "models": {key: asdict(model) for key, model in models.items()},
    }
    with atomic_write(folder / MANIFEST) as part:
        part.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{len(models)} models, {size / 1e6:.1f} MB: {folder}")


if __name__ == "__main__":
    main()
