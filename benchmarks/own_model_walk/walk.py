"""Walks a user's way on CIFAR-10: train with a plain script, unlearn, audit, load the result with the same script.

Every step is kept in the folder; the walk continues where it stopped. Run it as

    python benchmarks/own_model_walk/walk.py PARQUET FOLDER
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from unlearn_bench.core import environment
from unlearn_bench.training.devices import machine

HERE = Path(__file__).parent
RESULT = HERE.parent.parent / "results" / "own-model-cifar10.md"
SCRIPTS = ("nets.py", "photos.py", "train.py", "evaluate.py")
FORGET = "automobile"
TRAINING = {"resnet": ["--epochs", "3", "--lr", "0.002"], "vit": ["--epochs", "8", "--lr", "0.002"]}
LABELS = {"resnet": "ResNet-18 (torchvision)", "vit": "small ViT (timm)"}
SHAPE = ("img_size=32", "patch_size=4", "embed_dim=96", "depth=4", "num_heads=3")
ARCHITECTURES: dict[str, list[str]] = {
    "resnet": ["--architecture", "nets.py:resnet_from_pixels", "--normalise", "none"],
    "vit": ["--architecture", "timm:vit_tiny_patch16_224"],
}
OPTIONS: dict[tuple[str, str], list[str]] = {
    ("resnet", "muda"): ["lr=0.0005", "iterations=100"],
    ("vit", "muda"): ["lr=0.001", "iterations=100"],
    ("resnet", "scrub"): ["lr=0.005", "epochs=4", "msteps=2", "batch_size=32"],
    ("vit", "scrub"): ["lr=0.001", "epochs=4", "msteps=2", "batch_size=32"],
    ("resnet", "ft"): ["lr=0.02", "epochs=6"],
    ("vit", "ft"): ["lr=0.02", "epochs=6"],
}
METHODS = ("muda", "scrub", "ft")
AUDITED = {"resnet": ("muda",), "vit": METHODS}  # an audit of the larger network takes minutes
INTRODUCTION = f"""\
A script that uses PyTorch, torchvision and timm, and nothing of this project, trains two networks on 5,000 training
images of CIFAR-10 at 32 pixels: torchvision's ResNet-18 (BatchNorm, first layer 3×3) for 3 epochs, and a Vision
Transformer of timm (4 blocks, width 96) for 8 epochs. It saves checkpoints as such scripts do: `epoch`, `state_dict`,
`optimizer`, `args`. `unlearn` makes them forget the class {FORGET}, and the same script loads and evaluates the files
that it writes. *Acc(D_f)* and *Acc(D_r)* are in percent, on 200 test images of the class and on 1,800 of the others;
*D_f itself* are its 500 training images. *Seconds* are those of training by the script, or of the method alone, on one
core that other work shares."""
READING = """\
The options of the methods were chosen by hand with a look at these values, one or two tries each, and not tuned: the
numbers show that the way works, and do not compare the methods."""
LIST = "wrong.txt"
LISTED = 100  # images
LIST_METHOD, LIST_OPTIONS = "neggrad_ft", ["lr=0.005", "epochs=4"]


@dataclass(frozen=True)
class Step:
    """A command that was run.

    Attributes:
        words: the command line, as a user types it.
        out: what it printed.
        seconds: its wall time.
    """

    words: tuple[str, ...]
    out: str
    seconds: float

    @property
    def shown(self) -> str:
        """The command line as text."""
        return shlex.join(self.words)


class Walk:
    """The steps of a walk in one folder."""

    def __init__(self, folder: Path) -> None:
        """Copies the user's scripts into the folder."""
        self.folder = folder
        (folder / "steps").mkdir(parents=True, exist_ok=True)
        for script in SCRIPTS:
            shutil.copy(HERE / script, folder / script)

    def do(self, name: str, *words: str) -> Step:
        """Runs a command in the folder, unless the folder has its result. Raises SystemExit if the command fails."""
        kept = self.folder / "steps" / f"{name}.json"
        if kept.exists() and (found := json.loads(kept.read_text(encoding="utf-8")))["words"] == list(words):
            return Step(tuple(words), found["out"], found["seconds"])
        programs = {"python": [sys.executable], "unlearn-bench": [sys.executable, "-m", "unlearn_bench"]}
        print(f"$ {shlex.join(words)}", flush=True)
        began = time.perf_counter()
        done = subprocess.run(
            [*programs[words[0]], *words[1:]], cwd=self.folder, capture_output=True, text=True, check=False
        )
        step = Step(tuple(words), done.stdout, time.perf_counter() - began)
        if done.returncode:
            raise SystemExit(f"{done.stdout}{done.stderr}\nThe command failed: {step.shown}")
        content = {"words": list(words), "out": step.out, "seconds": step.seconds}
        kept.write_text(json.dumps(content), encoding="utf-8")
        return step

    def train(self, network: str, name: str, *more: str) -> Step:
        """Trains a network with the user's script."""
        words = ["train.py", "photos", f"{name}.pt", "--network", network, *TRAINING[network], *more]
        return self.do(f"train-{name}", "python", *words)

    def accuracies(self, network: str, name: str, forget: str = FORGET) -> dict[str, float]:
        """Returns what the user's script prints for weights."""
        words = ["evaluate.py", "photos", f"{name}.pt", "--network", network, "--forget", forget]
        found: dict[str, float] = json.loads(self.do(f"evaluate-{name}-{forget}", "python", *words).out)
        return found

    def unlearn(self, network: str, method: str, options: Sequence[str], name: str, *forget: str) -> Step:
        """Runs a method on the user's weights."""
        words = ["unlearn-bench", "unlearn", "--model", f"{network}.pt", *ARCHITECTURES[network]]
        words += [word for pair in SHAPE for word in ("--argument", pair)] if network == "vit" else []
        words += ["--dataset", "folder:photos", *forget, "--method", method]
        words += [word for pair in options for word in ("--set", pair)]
        return self.do(f"unlearn-{name}", *words, "--output", f"{name}.pt")

    def runs(self, step: Step) -> tuple[dict[str, Any], dict[str, Any]]:
        """Returns the records of the model after and before a step of :meth:`unlearn`."""
        found = re.search(r"Recorded as run (\d+); the original is run (\d+)", step.out)
        assert found is not None, step.out
        after, before = (
            json.loads(self.do(f"show-{number}", "unlearn-bench", "show", number, "--json").out)
            for number in found.groups()
        )
        return after, before

    def audit(self, name: str, network: str, step: Step) -> Step:
        """Runs the audit that a step of :meth:`unlearn` prints, with two retrained models."""
        words = shlex.split(step.out.strip().splitlines()[-1])
        retrained = [word for k in (1, 2) for word in ("--retrained", f"{network}-without-{k}.pt")]
        return self.do(f"audit-{name}", *words, *retrained)


def rows_of(walk: Walk, network: str) -> tuple[list[list[str]], list[str], list[Step]]:
    """Returns the lines of the table for a network, the verdicts of its audits, and its steps."""
    steps = [walk.train(network, network)]
    steps += [walk.train(network, f"{network}-without-{k}", "--without", FORGET, "--seed", str(k)) for k in (1, 2)]
    rows: list[list[str]] = []
    verdicts = []
    for method in METHODS:
        name = f"{network}-{method}"
        step = walk.unlearn(network, method, OPTIONS[network, method], name, "--forget", FORGET)
        after, before = walk.runs(step)
        if not rows:
            rows.append(line(LABELS[network], "before", walk.accuracies(network, network), before["values"], steps[0]))
        rows.append(line("", method, walk.accuracies(network, name), after["values"], after["model"]["method_seconds"]))
        steps.append(step)
        if method in AUDITED[network]:
            steps.append(audit := walk.audit(name, network, step))
            (verdict,) = re.findall(r"^Verdict: (.*)$", audit.out, flags=re.MULTILINE)
            verdicts.append(f"- {LABELS[network]}, {method}: {verdict}")
    for k in (1, 2):
        found = walk.accuracies(network, f"{network}-without-{k}")
        rows.append(line("", f"retrained by the script, seed {k}", found, {}, steps[k]))
    return rows, verdicts, steps


def line(network: str, what: str, script: dict[str, float], ours: dict[str, float], cost: Step | float) -> list[str]:
    """Returns a line of the table."""
    pairs = (("test forget", "acc_forget"), ("test retain", "acc_retain"))
    cells = [text for theirs, own in pairs for text in (f"{script[theirs]:.2f}", number(ours.get(own)))]
    seconds = cost.seconds if isinstance(cost, Step) else cost
    return [network, what, *cells, f"{script['train forget']:.2f}", f"{seconds:.0f}"]


def number(value: float | None) -> str:
    """Returns a share in percent as text."""
    return "–" if value is None else f"{value:.2f}"


def listed(walk: Walk, network: str) -> tuple[list[str], Step]:
    """Returns a line of the table of lists, and the step."""
    folder = walk.folder / "photos" / "train"
    files = [file for name in ("cat", "dog") for file in sorted((folder / name).iterdir())[: LISTED // 2]]
    lines = [f"train/{file.relative_to(folder).as_posix()}\n" for file in files]
    (walk.folder / LIST).write_text("".join(lines), encoding="utf-8")
    name = f"{network}-list"
    step = walk.unlearn(network, LIST_METHOD, LIST_OPTIONS, name, "--forget-list", LIST)
    after, before = walk.runs(step)
    cells = []
    for weights, record in ((network, before), (name, after)):
        found = walk.accuracies(network, weights, LIST)
        cells += [f"{found['train forget']:.2f}", number(record["values"]["acc_forget"])]
        cells += [f"{found['test retain']:.2f}", number(record["values"]["acc_retain"])]
    return [LABELS[network], *cells], step


def main() -> None:
    """Makes every step and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parquet", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    walk = Walk(options.folder)
    if not (walk.folder / "photos").is_dir():
        walk.do("photos", "python", "photos.py", str(options.parquet.resolve()), "photos")
    rows: list[list[str]] = []
    lists: list[list[str]] = []
    verdicts: list[str] = []
    steps: list[Step] = []
    for network in TRAINING:
        new, said, made = rows_of(walk, network)
        row, step = listed(walk, network)
        rows, verdicts, steps, lists = rows + new, verdicts + said, [*steps, *made, step], [*lists, row]
    RESULT.write_text(page(rows, verdicts, steps, lists), encoding="utf-8")


def page(rows: list[list[str]], verdicts: list[str], steps: list[Step], lists: list[list[str]]) -> str:
    """Returns the result as Markdown."""
    commands = "\n".join(f"$ {step.shown}" for step in steps)
    table = tabulate(
        rows,
        [
            *("network", "weights", "Acc(D_f), script", "Acc(D_f), ours", "Acc(D_r), script", "Acc(D_r), ours"),
            *("D_f itself, script", "seconds"),
        ],
        tablefmt="github",
        disable_numparse=True,
    )
    of_lists = ("D_f before, script", "ours", "test before, script", "ours")
    header = ["network", *of_lists, *(words.replace("before", "after") for words in of_lists)]
    list_table = tabulate(lists, header, tablefmt="github", disable_numparse=True)
    return f"""# A model of your own, on CIFAR-10

{INTRODUCTION}

{table}

{READING}

Verdicts of `audit`, each with the two models that the script retrained:

{chr(10).join(verdicts)}

The list `{LIST}` names {LISTED} training images, half of them cats and half dogs; `{LIST_METHOD}` makes the networks
forget these. D_f are the listed images; the test images are all of them:

{list_table}

The commands, in this order. After each `unlearn` comes `python evaluate.py photos NEW.pt --network NETWORK --forget
{FORGET}`
(or `--forget {LIST}`):

```text
$ python photos.py PARQUET photos
{commands}
```

Made on {machine()} with unlearn-bench {environment.code_version()}, torch {environment.packages()["torch"]}.
"""


if __name__ == "__main__":
    main()
