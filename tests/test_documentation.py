"""The README and the pages of docs/: their commands run, their links lead somewhere, their facts are the code's."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torchvision.models import resnet18

from unlearn_bench.core.layers import LAYERS

REPOSITORY = Path(__file__).parent.parent
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", DOCS / "tutorial.md", *sorted(DOCS.glob("*/*.md")), DOCS / "changelog.md"]
LONGEST_README = 130  # lines
CIFAR = ("cifar10", "cifar100", "cifar20", "tiny_imagenet")
# what a machine may lack: real images, the network, a GPU, a database server
NOT_HERE = re.compile(r"cifar|^--download$|^cuda$|^postgresql")
SHELL = {"pip", "make", "python3", "."}  # commands that are not ours: a fresh clone's, which .ci/run runs
ONE_EPOCH = ("ft", "ft_classifier", "neggrad", "neggrad_ft", "cf_k", "eu_k", "scrub", "random_label")
FEW = ["original", "retrained", "ft_classifier", "muda"]  # of tables that repeat what table 3 has of every method

# one process that imports everything once; each command runs in a fork of it, as if it had been started alone
DRIVER = """
import json, os, sys, time, unlearn_bench.cli as cli
import unlearn_bench.api, unlearn_bench.auditing, unlearn_bench.checks.doctor, unlearn_bench.checks.regression
import unlearn_bench.running.making, unlearn_bench.running.tuning, unlearn_bench.report.pages
import unlearn_bench.checks.conformance, unlearn_bench.store.exchange
import torch, torch._dynamo, sklearn.linear_model, pandas
from pathlib import Path
sys.modules["umap"] = None  # its compiler takes longer than all else; tests/report/test_figures.py lays out by it
steps, results = json.loads(Path("steps.json").read_text()), []
for number, words in enumerate(steps):
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        for stream, name in ((1, "out"), (2, "err")):
            file = os.open(f"step-{number}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, stream)
        torch.set_num_threads(1)
        if hasattr(os, "sched_setaffinity") and "--workers" not in words:
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])  # one core: no command starts workers
        if words[0] == "python":
            from torchvision.models import resnet18
            exec(words[1], {"network": resnet18(num_classes=3).eval()})
            sys.stdout.flush()
            os._exit(0)
        sys.argv = words
        try:
            cli.main()
        except SystemExit as stop:
            sys.stdout.flush(); sys.stderr.flush()
            os._exit(stop.code or 0)
    results.append((os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), time.monotonic() - began))
Path("results.json").write_text(json.dumps(results))
"""


def blocks(page: Path) -> list[tuple[str, str]]:
    """Returns the language and the content of each code block of a page."""
    return re.findall(r"^```(\S*)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def commands_of(language: str, content: str) -> list[list[str]]:
    """Returns the command lines of a block."""
    starts = {"console": r"^\$ (.*)$", "yaml": r"- run: (.*)$"}
    if language not in starts:
        return []
    lines = re.findall(starts[language], content.replace("\\\n", " "), flags=re.MULTILINE)
    return [shlex.split(re.sub(r"\s+# .*$", "", line)) for line in lines]


def commands() -> list[list[str]]:
    """Returns every command line of every page."""
    return [words for page in PAGES for block in blocks(page) for words in commands_of(*block)]


def steps_of(home: Path) -> list[list[str]]:
    """Returns what to run, in the order of the pages, the same command once: our commands, and blocks of Python.

    A block that begins with the name of a file is that file, which the home gets.
    """
    steps: list[list[str]] = []
    for page in PAGES:
        for language, content in blocks(page):
            name = re.match(r"# (\w+\.py)\n", content)
            if language == "python" and name:
                (home / name[1]).write_text(content, encoding="utf-8")
            elif language == "python":
                steps.append(["python", content])
            steps += [words for words in commands_of(language, content) if words[0] == "unlearn-bench"]
    stand_ins = {"$GITHUB_STEP_SUMMARY": "summary.md", "URI": f"file://{home / 'mlruns'}"}
    found = [[stand_ins.get(word, word) for word in words] for words in steps]
    found = [words for words in found if words[0] == "python" or not any(map(NOT_HERE.search, words))]
    return [list(words) for words in dict.fromkeys(map(tuple, found))]


def command_group() -> Any:
    from typer.main import get_command

    from unlearn_bench.cli.app import app

    return get_command(app)


def generated() -> ModuleType:
    """Returns docs/generated.py."""
    sys.path.insert(0, str(DOCS))
    try:
        spec = importlib.util.spec_from_file_location("generated", DOCS / "generated.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(DOCS))
    return module


def small_benchmark() -> str:
    """Returns benchmarks.yaml with its names and tables, of digits and small networks that train for a moment."""
    written = yaml.safe_load((REPOSITORY / "benchmarks.yaml").read_text(encoding="utf-8"))
    for profile in written["profiles"].values():
        profile.update(
            dataset="digits",
            instead={**dict.fromkeys(CIFAR, "digits"), "cifar20": "digit_pairs"},
            subset={
                "digits": {"train_per_class": 12, "test_per_class": 4},
                "digit_pairs": {"train_per_class": 24, "test_per_class": 8},
            },
            model={"name": "resnet18", "width": 4, "groups": 2},
            recipe={**profile["recipe"], "epochs": 2, "batch_size": 16},
            precision="float32",
            options={**{name: {"epochs": 1} for name in ONE_EPOCH}, "muda": {"iterations": 10}},
        )
    written["datasets"]["digits"]["forget"] = {"class": [1, 3], "backdoor": [1], "random": ["10%#1"]}
    written["datasets"]["digit_pairs"]["forget"] = {"subclass": [1]}
    for figure in written["figures"].values():
        figure["options"] = {
            name: {"muda": {"iterations": 20}, "neggrad": {"epochs": 2}} for name in written["profiles"]
        }
    for name in ("A", "B", "C", "field"):
        written["tables"][name]["rows"] = FEW + (["random_label", "ssd"] if name == "field" else [])
    written["grids"] = {"paper": {"*": [{"lr": [0.01, 0.1]}]}}
    written["expectations"] = {}
    return yaml.safe_dump(written)


def make_home(home: Path) -> None:
    """Makes what the commands name: a benchmark, weights, a folder of images, tuned options."""
    (home / "benchmarks.yaml").write_text(small_benchmark(), encoding="utf-8")
    digits = load_digits()
    for label, name in enumerate(("cat", "dog", "fox")):
        folder, other = home / "photos" / name, home / "holiday" / name
        for made in (folder, other):
            made.mkdir(parents=True)
        for k, image in enumerate(digits.images[digits.target == label][:30]):
            pixels = Image.fromarray((image * 15.9).astype("uint8")).resize((16, 16))
            pixels.convert("RGB").save(folder / f"{k}.png")
            pixels.convert("RGB").resize((20, 17 + k)).save(other / f"{k}.png")
    shutil.make_archive(str(home / "photos"), "zip", home / "photos")
    for label, name in enumerate(("cat", "dog", "fox")):
        for k, image in enumerate(digits.images[digits.target == label][:60]):
            folder = home / ("others" if k >= 30 else f"album/{'train' if k < 20 else 'test'}") / name
            folder.mkdir(parents=True, exist_ok=True)
            pixels = Image.fromarray((image * 15.9).astype("uint8")).resize((16, 16))
            pixels.convert("RGB").save(folder / f"{k}.png")
    (home / "wrong.txt").write_text("# wrong labels\ntrain/cat/3.png\ntrain/dog/12.png\n", encoding="utf-8")
    (home / "pets").mkdir()
    files = sorted((home / "photos").glob("*/*.png"))
    for k, split in enumerate(("train", "test")):
        rows = [{"image": {"bytes": file.read_bytes()}, "label": file.parent.name} for file in files[k::2]]
        pandas.DataFrame(rows).to_parquet(home / "pets" / f"{split}-00000-of-00001.parquet")
    for seed, name in enumerate(("original", "unlearned", "retrained-1", "retrained-2")):
        torch.manual_seed(seed)
        save_file(resnet18(num_classes=3).state_dict(), home / f"{name}.safetensors")
    save_file(resnet18().state_dict(), home / "imagenet.safetensors")


def test_the_readme_is_short() -> None:
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) <= LONGEST_README


@pytest.mark.parametrize("page", [*PAGES, DOCS / "index.md"], ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        assert not link.startswith(("http:", "https:", "/")), link
        file, _, heading = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.is_file(), link
        if heading and target.suffix == ".md":
            assert heading in anchors(target), link


def anchors(page: Path) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_file_and_name_of_the_code_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for file in re.findall(r"`((?:unlearn_bench|tests|benchmarks|docs)/[\w/.]*)`", text):
        assert (REPOSITORY / file).exists() or Path(file).stem.isupper(), file  # NAME.py stands for any


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = re.findall(r"^((?:\.\./)?[\w/-]+)$", (DOCS / "index.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    named = {(DOCS / f"{name}.md").resolve() for name in listed}
    assert set(PAGES) <= named


def test_what_is_made_from_the_code_has_its_place() -> None:
    made = generated()
    marked = [name for page in PAGES for name in made.PART.findall(page.read_text(encoding="utf-8"))]
    assert set(marked) == set(made.PARTS)
    rows = re.findall(r"^\| `(\w+)` ", made.layers(), flags=re.MULTILINE)
    assert rows == [layer.name for layer in LAYERS]
    assert "layers" in made.PART.findall((DOCS / "explanation" / "architecture.md").read_text(encoding="utf-8"))
    for name, part in made.PARTS.items():
        assert part().strip(), name
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert made.fill_in(text) == text, f"{page.name} is out of date. Run: python docs/generated.py"


def test_every_command_and_option_exists() -> None:
    """Parsed, not run: a misspelt option would be found in every clone."""
    group = command_group()
    everywhere = {name for command in group.commands.values() for each in command.params for name in each.opts}
    for words in commands():
        assert words[0] == "unlearn-bench" or words[0] in SHELL, words
        if words[0] != "unlearn-bench" or words[1].startswith("--"):
            continue
        command = group.get_command(None, words[1])
        assert command is not None, words
        known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        assert {word for word in words[2:] if word.startswith("--")} <= known, words
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        spans = " ".join(re.findall(r"`([^`]+)`", text))
        used = set(re.findall(r"(?<!\S)--[a-z][a-z-]+", spans))
        assert used <= everywhere | {"--debug", "--version", "--help", "--setting"}, page.name
        for name in re.findall(r"`unlearn-bench ([a-z][\w-]*)", text):
            assert group.get_command(None, name) is not None, name


def test_every_command_of_ours_is_run() -> None:
    assert set(command_group().commands) <= {words[1] for words in commands() if words[0] == "unlearn-bench"}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_every_command_runs(tmp_path: Path) -> None:
    make_home(tmp_path)
    steps = [["unlearn-bench", "demo"], ["unlearn-bench", "check", "demo", "--update"]]
    steps += [["unlearn-bench", "check", "references", "--update", "--table", "references", "--seed", "1"]]
    steps += [words for words in steps_of(tmp_path) if words not in steps]
    (tmp_path / "steps.json").write_text(json.dumps(steps))
    environment = {
        **os.environ,
        "UNLEARN_BENCH_LOGS": str(tmp_path / "logs"),
        "BROWSER": "true",
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }
    driven = subprocess.run(
        [sys.executable, "-c", DRIVER],
        check=False,
        cwd=tmp_path,
        env={name: value for name, value in environment.items() if name != "UNLEARN_BENCH_DB"},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert driven.returncode == 0, driven.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    for words, (_, seconds) in sorted(zip(steps, results, strict=True), key=lambda step: -step[1][1])[:20]:
        sys.stdout.write(f"{seconds:.1f} s: {' '.join(words)[:100]}\n")  # what to make smaller first
    errors = {number: tmp_path / f"step-{number}.err" for number, (code, _) in enumerate(results) if code != 0}
    assert {" ".join(steps[number]): file.read_text()[-600:] for number, file in errors.items()} == {}
