"""An audit as a whole command: seconds, peak memory and the share of inference, on made-up photos.

    python benchmarks/audit_speed.py
    python benchmarks/audit_speed.py --code before=../before --code after=. --rounds 3

Each audit runs in a process of its own, with the package of a checkout. Several checkouts are measured in turn, and
their values are compared. The same network in a plain loop of PyTorch, in both memory layouts, gives the rate that a
user's own code would reach. Other work on the machine makes wall times longer and hardly changes processor seconds. Set
OMP_NUM_THREADS=1 beside other work: threads that wait for each other use processor seconds too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from layouts import LAYOUTS
from measuring import Line, median, report
from PIL import Image
from torchvision.models import resnet18

CLASSES = ("cat", "dog", "emu")
MEASURED = ("seconds", "processor seconds", "peak MiB", "processor seconds in the network")
PER_SECOND = "a processor second"
LOOPED = 96  # images of a plain loop
AUDIT = """
import json, sys, time
depth, inside = 0, 0.0
from torch.nn.modules import module
def before(*_):
    global depth, entered
    depth, entered = depth + 1, time.process_time() if depth == 0 else entered
def after(*_):
    global depth, inside
    depth -= 1
    inside += time.process_time() - entered if depth == 0 else 0
module.register_module_forward_pre_hook(before)
module.register_module_forward_hook(after)
from unlearn_bench.cli import app
try:
    app(sys.argv[2:])
except SystemExit as end:
    assert not end.code
with open(sys.argv[1], "w") as file:
    json.dump(inside, file)
"""


def write_photos(folder: Path, count: int, side: int) -> None:
    """Writes smooth random textures as JPEG files, the same number of each class."""
    generator = np.random.default_rng(0)
    for number in range(count):
        name = CLASSES[number % len(CLASSES)]
        (folder / name).mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(generator.integers(0, 256, (14, 14, 3), dtype=np.uint8))
        coarse.resize((side, side), Image.Resampling.BICUBIC).save(folder / name / f"{number}.jpg", quality=90)


def write_models(folder: Path, models: int) -> list[str]:
    """Writes weights of different seeds, and returns the words of the command line that name them."""
    words: list[str] = []
    for seed, role in enumerate(("original", "model", *["retrained"] * (models - 2))):
        torch.manual_seed(seed)
        file = folder / f"{seed}.pth"
        torch.save(resnet18(num_classes=len(CLASSES)).state_dict(), file)
        words += [f"--{role}", str(file)]
    return words


def run_audit(code: Path, words: list[str], folder: Path) -> dict[str, Any]:
    """Runs an audit with the package in ``code``; returns seconds, peak memory in MiB, and its values."""
    times, found = folder / "times.json", folder / "audit.json"
    environment = {**os.environ, "PYTHONPATH": str(code.resolve())}
    command = [sys.executable, "-c", AUDIT, str(times), "audit", *words, "--json", str(found)]
    started = time.perf_counter()
    child = subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"The audit of {code} failed with exit code {child.returncode}.")
    return {
        "seconds": seconds,
        "processor seconds": usage.ru_utime + usage.ru_stime,
        "peak MiB": usage.ru_maxrss / 1024,
        "processor seconds in the network": json.loads(times.read_text()),
        "values": {each["name"]: [each["original"], each["unlearned"]] for each in _measured(found)},
    }


def _measured(file: Path) -> list[dict[str, Any]]:
    measured: list[dict[str, Any]] = json.loads(file.read_text())["measured"]
    return measured


@torch.inference_mode()
def plain_loops(side: int, batch: int, rounds: int) -> dict[str, list[float]]:
    """Returns, by memory layout, the processor seconds of a user's own loop over images, in turn and once before."""
    pixels = torch.randint(0, 256, (LOOPED, 3, side, side), dtype=torch.uint8)
    networks = {name: resnet18(num_classes=len(CLASSES)).eval().to(memory_format=LAYOUTS[name]) for name in LAYOUTS}
    seconds: dict[str, list[float]] = {name: [] for name in LAYOUTS}
    for _ in range(rounds + 1):
        for name, network in networks.items():
            started = time.process_time()
            for part in pixels.split(batch):
                network((part.float() / 255 - 0.5).to(memory_format=LAYOUTS[name]))
            seconds[name].append(time.process_time() - started)
    return {name: taken[1:] for name, taken in seconds.items()}


def main() -> None:
    """Measures the audits of every checkout in turn, then the plain loops."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--code", action="append", help="NAME=FOLDER of a checkout; default: this one")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--side", type=int, default=224, help="of the images, in pixels")
    parser.add_argument("--models", type=int, default=2, help="original, unlearned, then retrained")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--note", default="", help="what else is to be known of the machine, for the record")
    given = parser.parse_args()
    codes = dict(word.split("=", 1) for word in given.code or [f"this={Path(__file__).parent.parent}"])
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in codes}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_photos(folder / "photos", given.images, given.side)
        words = write_models(folder, given.models)
        words += ["--architecture", "torchvision:resnet18", "--dataset", f"folder:{folder / 'photos'}"]
        words += ["--forget", CLASSES[0], "--device", "cpu"]
        for _ in range(given.rounds):
            for name, code in codes.items():
                runs[name].append(run_audit(Path(code), words, folder))
                print(name, {key: value for key, value in runs[name][-1].items() if key != "values"}, flush=True)
    lines = [
        Line(f"{name}: {key}", median([run[key] for run in made]), "")
        for name, made in runs.items()
        for key in MEASURED
    ]
    passed = given.images * given.models
    lines += [
        Line(f"{name}: images in the network", passed / median([run[MEASURED[3]] for run in made]), PER_SECOND)
        for name, made in runs.items()
    ]
    first, *others = runs
    for name in others:
        pairs = [
            (a, b)
            for metric, values in runs[first][0]["values"].items()
            for a, b in zip(values, runs[name][0]["values"][metric], strict=True)
        ]
        lines.append(Line(f"largest difference of a value, {name} from {first}", max(abs(a - b) for a, b in pairs), ""))
    loops = plain_loops(given.side, 16, given.rounds)
    lines += [Line(f"a plain loop, {layout}: images", LOOPED / median(it), PER_SECOND) for layout, it in loops.items()]
    details = {"runs": runs, "plain loops, processor seconds": loops, "images": given.images, "side": given.side}
    report("audit-speed", lines, {**details, "models": given.models, "note": given.note})


if __name__ == "__main__":
    main()
