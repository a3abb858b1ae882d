"""The README word by word: every command in it runs, on a benchmark of the same names made small."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torchvision.models import resnet18

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
CIFAR = ("cifar10", "cifar100", "cifar20", "tiny_imagenet")

# one process that imports everything once; each command runs in a fork of it, as if it had been started alone
DRIVER = """
import json, os, sys, unlearn_bench.cli as cli, unlearn_bench.bench, unlearn_bench.runner, unlearn_bench.tuning
import torch, sklearn.linear_model, pandas, unlearn_bench.conformance
from pathlib import Path
steps, results = json.loads(Path("steps.json").read_text()), []
for number, words in enumerate(steps):
    child = os.fork()
    if child == 0:
        for stream, name in ((1, "out"), (2, "err")):
            file = os.open(f"step-{number}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, stream)
        torch.set_num_threads(1)
        if words[0] == "python":
            from torchvision.models import resnet18
            network = resnet18(num_classes=3).eval()
            exec(words[1], {"network": network})
            sys.stdout.flush()
            os._exit(0)
        sys.argv = words
        try:
            cli.main()
        except SystemExit as stop:
            sys.stdout.flush(); sys.stderr.flush()
            os._exit(stop.code or 0)
    results.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
Path("results.json").write_text(json.dumps(results))
"""


def commands() -> list[list[str]]:
    """Every command of the README in order: in blocks, in the table of commands, and in sentences."""
    found: list[str] = []
    for part in re.split(r"(```.*?```)", README.replace("\\\n", " "), flags=re.DOTALL):
        if part.startswith("```"):
            found += re.findall(r"(?:^\$ |- run: )(unlearn-bench .*?)(?:\s+#.*)?$", part, flags=re.MULTILINE)
            continue
        for line in part.splitlines():
            first = line.split("|")[1] if line.startswith("| `") else ""
            found += [f"unlearn-bench {span}" for span in re.findall(r"`([^`]+)`", first)]
            found += re.findall(r"`(unlearn-bench [^`]+)`", line.replace(first, "") if first else line)
    lines = [shlex.split(line) for line in found]
    names_alone = (["unlearn-bench", "audit"],)  # it is described further below, with what it needs
    lines = [words for words in lines if words not in names_alone]
    return [words for words in lines if len(words) > 1 and (words[1] in known_commands() or words[1].startswith("--"))]


def known_commands() -> set[str]:
    from typer.main import get_command

    from unlearn_bench.cli.app import app

    group = get_command(app)
    assert hasattr(group, "commands")
    return set(group.commands)


def small_benchmark() -> str:
    """benchmarks.yaml with its names and tables, of digits and small networks that train for a moment."""
    written = yaml.safe_load((REPOSITORY / "benchmarks.yaml").read_text(encoding="utf-8"))
    for profile in written["profiles"].values():
        profile.update(
            dataset="digits",
            instead={**dict.fromkeys(CIFAR, "digits"), "cifar20": "digit_pairs"},
            subset={
                "digits": {"train_per_class": 24, "test_per_class": 8},
                "digit_pairs": {"train_per_class": 48, "test_per_class": 16},
            },
            model={"name": "resnet18", "width": 4, "groups": 2},
            recipe={**profile["recipe"], "epochs": 2, "batch_size": 16},
            precision="float32",
            options={"muda": {"iterations": 10}, "scrub": {"epochs": 2}, "ft_classifier": {"epochs": 2}},
        )
    written["datasets"]["digits"]["forget"] = {"class": [1, 3], "backdoor": [1], "random": ["10%#1"]}
    written["datasets"]["digit_pairs"]["forget"] = {"subclass": [1]}
    for figure in written["figures"].values():
        figure["options"] = {
            name: {"muda": {"iterations": 20}, "neggrad": {"epochs": 2}} for name in written["profiles"]
        }
    written["grids"] = {"paper": {"*": [{"lr": [0.01, 0.1]}]}}
    written["expectations"] = {}
    return yaml.safe_dump(written)


def make_home(home: Path) -> None:
    """What the README's commands name: a plug-in, weights, a folder of images."""
    (home / "benchmarks.yaml").write_text(small_benchmark(), encoding="utf-8")
    (home / "head_ft.py").write_text(README.split("```python\n")[1].split("```")[0], encoding="utf-8")
    digits = load_digits()
    for label, name in enumerate(("cat", "dog", "fox")):
        folder = home / "photos" / name
        folder.mkdir(parents=True)
        for k, image in enumerate(digits.images[digits.target == label][:30]):
            pixels = Image.fromarray((image * 15.9).astype("uint8")).resize((16, 16))
            pixels.convert("RGB").save(folder / f"{k}.png")
    for seed, name in enumerate(("original", "unlearned", "retrained")):
        torch.manual_seed(seed)
        save_file(resnet18(num_classes=3).state_dict(), home / f"{name}.safetensors")


def test_every_command_and_option_of_the_readme_exists() -> None:
    """Parsed, not run: a misspelt option would be found in every clone."""
    from typer.main import get_command

    from unlearn_bench.cli.app import app

    found = commands()
    assert len(found) > 30
    for words in found:
        group = get_command(app)
        arguments = [word for word in words[1:] if word != "--debug"]
        if arguments[0].startswith("--") or arguments[0] == "COMMAND":
            continue
        command = group.commands[arguments[0]]  # type: ignore[attr-defined]  # a group
        known = {name for parameter in command.params for name in parameter.opts}
        used = {word for word in arguments[1:] if word.startswith("--")}
        assert used <= known, words
    group = get_command(app)
    everywhere = {
        name
        for command in group.commands.values()  # type: ignore[attr-defined]
        for parameter in command.params
        for name in parameter.opts
    }
    spans = " ".join(re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", README, flags=re.DOTALL)))
    assert set(re.findall(r"(?<!\S)--[a-z][a-z-]+", spans)) <= everywhere | {"--editable", "--debug", "--help"}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_every_command_of_the_readme_runs(tmp_path: Path) -> None:
    make_home(tmp_path)
    steps: list[list[str]] = [["unlearn-bench", "demo"], ["unlearn-bench", "check", "demo", "--update", "--seed", "0"]]
    steps += [["unlearn-bench", "check", "references", "--update", "--table", "references", "--seed", "1"]]
    steps += [["unlearn-bench", "reproduce", "--table", name] for name in ("cheats",)]
    steps += [["unlearn-bench", "train", "--seed", "0", "--seed", "1"]]
    python = [part.split("```")[0] for part in README.split("```python\n")[2:]]
    assert len(python) == 1
    for words in commands():
        if "cifar10" in words or "--debug" in words:  # images that a clone lacks; COMMAND stands for any
            continue
        places = {"$GITHUB_STEP_SUMMARY": "summary.md", "URI": f"file://{tmp_path / 'mlruns'}"}
        steps.append([places.get(word, word) for word in words])
    steps.append(["python", python[0]])
    (tmp_path / "steps.json").write_text(json.dumps(steps))
    environment = {
        **os.environ,
        "UNLEARN_BENCH_LOGS": str(tmp_path / "logs"),
        "BROWSER": "true",
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }
    driven = subprocess.run(
        [sys.executable, "-c", DRIVER],
        cwd=tmp_path,
        env={name: value for name, value in environment.items() if name != "UNLEARN_BENCH_DB"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert driven.returncode == 0, driven.stderr
    codes = json.loads((tmp_path / "results.json").read_text())
    failed = {
        " ".join(words): (code, (tmp_path / f"step-{number}.err").read_text()[-600:])
        for number, (words, code) in enumerate(zip(steps, codes, strict=True))
        if code != 0
    }
    assert failed == {}
