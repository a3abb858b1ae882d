"""The command line as a user has it: a process, its two streams, its exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.benchmark import SMALL
from support.command import command

from unlearn_bench.methods.muda import muda

EXPENSIVE = ("torch", "sqlalchemy", "pandas", "sklearn")


def test_the_path_of_a_newcomer(home: Path) -> None:
    """Train, run, report, look: each step in its own process, as typed."""
    trained = command("train", "--forget", "1", "--workers", "1")
    assert trained.returncode == 0, trained.stderr
    assert "[2/2]" in trained.stderr
    assert "original" in trained.stdout
    assert "retrained" in trained.stdout
    made = command("run", "--method", "muda", "--forget", "1", "--set", "lr=5e-3")
    assert made.returncode == 0, made.stderr
    assert "1 of 2 runs made" in made.stderr
    table = command("reproduce", "--table", "3", "--forget", "1")
    assert table.returncode == 0, table.stderr
    assert "MUDA" in table.stdout
    again = command("reproduce", "--table", "3", "--forget", "1")
    assert "0 of 4 runs made" in again.stderr
    assert again.stdout == table.stdout == "\n" + command("report", "--table", "3", "--forget", "1").stdout
    long = json.loads(command("report", "--table", "3", "--forget", "1", "--format", "json").stdout)
    assert {row["method"] for row in long} == {"original", "retrained", "ft", "muda"}
    written = command("report", "--table", "3", "--forget", "1", "--format", "markdown", "--output", "out/table.md")
    assert (written.stdout, (home / "out" / "table.md").read_text()[:3]) == ("", "###")
    listed = command("runs", "--method", "muda").stdout
    assert listed.count("muda") == 2
    shown = command("show", "1").stdout
    assert "SHA-256" in shown
    assert "curve loss" in shown
    assert [line.split()[-4:-1] for line in command("status").stdout.splitlines() if line.startswith("3")] == [
        ["4", "8", "0"]
    ]
    assert (home / "results" / "runs.sqlite").exists()


BAD = {
    "method": (("run", "--method", "mudda"), "No method named 'mudda'. Did you mean 'muda'?"),
    "class": (("run", "--method", "muda", "--forget", "12"), "Class '12' is not in digits: expected 0 to 9"),
    "option": (("run", "--method", "muda", "--set", "alhpa=1"), "has no option 'alhpa'. Did you mean 'alpha'?"),
    "value": (
        ("run", "--method", "muda", "--set", "lr=fast"),
        "Option 'lr' of the method 'muda' is 'fast', expected float",
    ),
    "set": (("run", "--method", "muda", "--set", "lr"), "--set lr is not of the form NAME=VALUE"),
    "preset": (
        ("run", "--method", "muda", "--preset", "papr"),
        "No preset of muda named 'papr'. Did you mean 'paper'?",
    ),
    "dataset": (("train", "--dataset", "cifar10"), "No CIFAR-10 in"),
    "unknown dataset": (("train", "--dataset", "mnist"), "No dataset named 'mnist'."),
    "folder": (("train", "--dataset", "folder:nowhere"), "There is no folder 'nowhere'."),
    "profile": (("train", "--profile", "papper"), "No profile named 'papper'."),
    "scenario": (
        ("train", "--scenario", "klass"),
        "for the data set 'digits'. Did you mean 'class'? Give --forget.",
    ),
    "device": (("train", "--device", "cuda:99"), "Device 'cuda:99' is not available on this machine."),
    "precision": (("train", "--precision", "int4"), "Precision is 'int4', expected float32 or bfloat16."),
    "table": (("reproduce", "--table", "33"), "No table named '33'."),
    "no database": (("report", "--table", "3"), "There is no database at"),
    "database": (("report", "--table", "3", "--db", "nonsense"), "'nonsense' is not a database URL."),
    "config": (("train", "--config", "none.yaml"), "There is no file none.yaml."),
    "format": (("report", "--table", "3", "--format", "word"), "No format named 'word'."),
    "artefacts": (("show", "1", "--artefacts", "memory://x"), "is memory of this command, which loses the weights"),
    "kind": (("list", "method"), "No kind named 'method'. Did you mean 'methods'?"),
    "usage": (("run",), "Missing option '--method'"),
}


@pytest.mark.parametrize("case", BAD, ids=list(BAD))
def test_bad_input_is_one_sentence_and_exit_code_2(home: Path, case: str) -> None:
    arguments, sentence = BAD[case]
    ended = command(*arguments)
    assert ended.returncode == 2
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    if case != "usage":  # there the usage line comes first
        assert len(ended.stderr.strip().splitlines()) == 1


def test_report_before_any_retrained_run(home: Path) -> None:
    assert command("run", "--method", "ft", "--forget", "1").returncode == 0
    ended = command("report", "--table", "3")
    assert ended.returncode == 2
    assert ended.stderr == (
        "No retrained run on digits, class 1, seed 0, nor for 1 other configurations. Make it with: "
        "unlearn-bench train --profile tiny --dataset digits --scenario class --forget 1 --precision float32 --seed 0\n"
    )


def test_an_unknown_key_in_the_file(home: Path) -> None:
    (home / "benchmarks.yaml").write_text(SMALL.replace("seeds: [0]", "seed: [0]"))
    ended = command("train")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "benchmarks.yaml: profiles.tiny: unknown key 'seed'. Did you mean 'seeds'?\n"


def test_failed_runs_end_with_exit_code_1(home: Path) -> None:
    ended = command("run", "--method", "neggrad", "--forget", "1", "--set", "lr=10", "--set", "epochs=500")
    assert ended.returncode == 1
    assert "diverged" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        (("--help",), EXPENSIVE),
        (("report", "--help"), EXPENSIVE),
        (("report", "--table", "3"), ("torch", "sklearn", "pandas")),
    ],
)
def test_what_starts_fast_imports_nothing_heavy(
    home: Path, arguments: tuple[str, ...], refused: tuple[str, ...]
) -> None:
    script = (
        "import sys\nfrom unlearn_bench.cli import main\nsys.argv[1:] = sys.argv[1:]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {refused!r} if name in sys.modules], file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    assert ended.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("kind", ["methods", "metrics", "datasets", "models", "scenarios", "tables", "profiles"])
def test_everything_can_be_listed(home: Path, kind: str) -> None:
    ended = command("list", kind)
    assert ended.returncode == 0
    assert len(ended.stdout.splitlines()) > 2


def test_explain_gives_the_exact_recipe() -> None:
    ended = command("explain", "muda", "--config", str(Path(__file__).parents[2] / "benchmarks.yaml"))
    for part in ("Preset paper", "optimizer sgd, lr 0.001", "alpha 0.1, beta 0.01", "results/tuned/", "Source:"):
        assert part in ended.stdout
    cells = {line.split()[0]: line.split()[1:] for line in ended.stdout.splitlines() if line.strip()}
    for name, default in muda.__kwdefaults__.items():
        assert str(default) in cells[name], f"the default of {name}"
    assert cells["alpha"][2:5] == ["≥", "0,", "≤"]
    assert ":func:" not in ended.stdout


def test_a_method_is_a_command_whose_help_is_its_recipe(home: Path) -> None:
    shown = command("muda", "--help")
    assert shown.returncode == 0, shown.stderr
    for part in ("muda: MUDA", "iterations", "Preset paper", "In profile tiny: iterations 12.", "--forget"):
        assert part in shown.stdout
    assert "--method" not in shown.stdout
    made = command("ft_classifier", "--forget", "1", "--set", "epochs=1")
    assert made.returncode == 0, made.stderr
    assert "ft_classifier" in made.stdout
    odd = command("mudda", "--help")
    assert odd.returncode == 2
    helper = command("hyperparameters")  # a file beside the methods, and none
    assert (helper.returncode, helper.stdout) == (2, "")
