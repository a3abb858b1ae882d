"""Methods and metrics of somebody else: an installed package, a file, and what happens when they are broken."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.command import command

from unlearn_bench.core.errors import PluginError
from unlearn_bench.core.registry import load_plugin, without_plugin_files
from unlearn_bench.methods import methods

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
METHOD, MODEL, DATASET = (
    (HOW_TO / page).read_text(encoding="utf-8").split(f"```python\n# {file}\n")[1].split("```")[0]
    for page, file in (
        ("own-method.md", "head_ft.py"),
        ("own-model.md", "tiny_cnn.py"),
        ("own-data.md", "dark_digits.py"),
    )
)
METRIC = """
from unlearn_bench.metrics import metric
from unlearn_bench.models.outputs import ModelOutputs

@metric(label="Norm", bounds=(0, 1e9), better="near retrained", source="here")
def mean_norm(outputs: ModelOutputs) -> float:
    \"\"\"Mean length of the forget set's features.\"\"\"
    return float(outputs.forget.features.norm(dim=1).mean())
"""


def package(folder: Path, name: str, content: str, group: str) -> Path:
    """Returns a folder into which a package with one plug-in was installed by pip."""
    source, target = folder / name, folder / "installed"
    source.mkdir()
    (source / f"{name}.py").write_text(content)
    (source / "pyproject.toml").write_text(
        textwrap.dedent(f"""
        [build-system]
        requires = ["hatchling"]
        build-backend = "hatchling.build"
        [project]
        name = "{name}"
        version = "1.0"
        [project.entry-points."unlearn_bench.{group}"]
        {name} = "{name}"
        [tool.hatch.build.targets.wheel]
        only-include = ["{name}.py"]
        """)
    )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, capture_output=True, timeout=120)
    return target


def test_an_installed_package_has_its_row(home: Path) -> None:
    (home / "benchmarks.yaml").write_text(
        (home / "benchmarks.yaml").read_text().replace("title: Small,", "title: Small, plugins: true,")
    )
    installed = package(home, "forgetting", METHOD, "methods")
    path = {"PYTHONPATH": str(installed)}
    assert "head_ft" not in command("list", "methods").stdout
    assert "Plug-in: head_ft, from forgetting." in command("list", "methods", **path).stdout
    assert "A plug-in from forgetting, version 1+" in command("explain", "head_ft", **path).stdout
    made = command("reproduce", "--table", "3", "--forget", "1", "--workers", "2", **path)
    assert made.returncode == 0, made.stderr
    assert [line for line in made.stdout.splitlines() if line.startswith("Head FT ")], made.stdout
    # the record alone is enough: the package may be gone
    later = command("report", "--table", "3", "--forget", "1", "--format", "csv")
    assert "head_ft" in later.stdout, later.stderr


def use_own(home: Path) -> None:
    """Makes the small benchmark use the documentation's model, and few images of its data set."""
    text = (home / "benchmarks.yaml").read_text()
    text = text.replace("{name: resnet18, width: 4, groups: 2}", "{name: tiny_cnn, width: 4}")
    text = text.replace("subset: {", "subset: {dark_digits: {train_per_class: 24, test_per_class: 8}, ")
    (home / "benchmarks.yaml").write_text(text)


RUN = ("run", "--method", "ft", "--dataset", "dark_digits", "--forget", "1")
REPORT = ("report", "--table", "3", "--dataset", "dark_digits", "--forget", "1")


def test_installed_models_and_data_sets_work_by_name(home: Path) -> None:
    use_own(home)
    path = {"PYTHONPATH": str(package(home, "tiny_cnn", MODEL, "models"))}
    package(home, "dark_digits", DATASET, "data")
    assert "Plug-in: dark_digits, from dark_digits." in command("list", "datasets", **path).stdout
    assert "A plug-in from tiny_cnn, version 1+" in command("explain", "tiny_cnn", **path).stdout
    made = command(*RUN, **path)
    assert made.returncode == 0, made.stderr
    assert "2 of 2 runs made" in made.stderr
    shown = command("show", "1").stdout  # the packages may be gone
    assert "model version 1+" in shown
    assert "dark_digits, content" in shown


def test_a_file_brings_a_model_and_a_data_set_which_no_benchmarks_yaml_names(home: Path) -> None:
    use_own(home)
    (home / "mine.py").write_text(MODEL + DATASET)
    assert "dark_digits" not in (home / "benchmarks.yaml").read_text().split("profiles:")[0]
    unknown = command(*REPORT)
    assert unknown.returncode == 2
    made = command(*RUN, "--plugin", "mine.py", "--workers", "2")
    assert made.returncode == 0, made.stderr
    assert "No retrained run on dark_digits" in command(*REPORT).stderr, "a recorded data set is known without plug-in"
    assert command("train", *RUN[3:], "--plugin", "mine.py").returncode == 0
    assert "Model: tiny_cnn (width 4), version 1+" in command(*REPORT).stdout


def test_a_data_set_that_exists_nowhere_says_how_to_bring_one(home: Path) -> None:
    unknown = command(*RUN)
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    assert "No dataset named 'dark_digits'." in unknown.stderr
    assert "To use a dataset of your own, pass --plugin FILE." in unknown.stderr
    use_own(home)
    model = command("run", "--method", "ft", "--forget", "1")
    assert "No model named 'tiny_cnn'." in model.stderr
    assert "To use a model of your own, pass --plugin FILE." in model.stderr


def test_a_broken_package_is_named_and_left_out(home: Path) -> None:
    installed = package(home, "broken_one", "from unlearn_bench.methods import method, nonsense\n", "methods")
    listed = command("list", "methods", PYTHONPATH=str(installed))
    assert listed.returncode == 0
    assert "muda" in listed.stdout
    (line,) = listed.stderr.splitlines()
    assert line.startswith("The plug-in 'broken_one' (broken_one) of the package broken_one is skipped: ImportError:")


def test_files_bring_methods_and_metrics(home: Path) -> None:
    (home / "mine.py").write_text(METHOD)
    (home / "norm.py").write_text(METRIC)
    plugins = ("--plugin", "mine.py", "--plugin", "norm.py")
    run = ("run", "--method", "head_ft", "--forget", "1", "--set", "epochs=1", *plugins)
    made = command(*run)
    assert made.returncode == 0, made.stderr
    assert "mean_norm" in made.stdout
    assert "0 of 2 runs made" in command(*run).stderr
    # who edits the method gets new numbers, not the old ones
    (home / "mine.py").write_text(METHOD.replace("Head FT", "Head FT 2"))
    assert "1 of 2 runs made" in command(*run).stderr


BAD = {
    "missing": ("gone.py", None, "There is no plug-in"),
    "not Python": ("a.txt", "x", "Give --plugin the path of a .py file"),
    "syntax": ("a.py", "def", "The plug-in a.py cannot be loaded: SyntaxError"),
    "nothing": (
        "b.py",
        "x = 1",
        "The plug-in b.py registers nothing. Decorate a function with @method, @metric, @model",
    ),
    "advice": ("d.py", "raise ValueError('Set weights_only=False.')", "d.py cannot be loaded: ValueError. Correct"),
    "name": ("c.py", METHOD.replace("head_ft", "muda"), "ValueError: two methods are named 'muda'. Correct the file."),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_sentence_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    file, content, sentence = BAD[name]
    if content is not None:
        (tmp_path / file).write_text(content)
    before = methods.names()
    with pytest.raises(PluginError) as caught:
        load_plugin(tmp_path / file)
    assert sentence in str(caught.value)
    assert methods.names() == before


def test_half_a_plugin_is_taken_back(tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text(METHOD + "\n1 / 0\n")
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        load_plugin(tmp_path / "half.py")
    assert "head_ft" not in methods.names()


def test_a_plugin_changed_and_changed_back_shows_its_own_numbers_again(home: Path) -> None:
    (home / "benchmarks.yaml").write_text(
        (home / "benchmarks.yaml").read_text().replace("title: Small,", "title: Small, plugins: true,")
    )
    command_line = ("reproduce", "--table", "3", "--forget", "1", "--plugin", "mine.py", "--workers", "1")
    tables = []
    for text in (METHOD, METHOD.replace("= 0.01", "= 1.0"), METHOD):
        (home / "mine.py").write_text(text)
        made = command(*command_line)
        assert made.returncode == 0, made.stderr
        tables.append(made.stdout)
    assert "0 of 5 runs made" in made.stderr
    assert tables[0] == tables[2] != tables[1]


def test_a_plugins_hash_is_that_of_the_code_that_runs(tmp_path: Path) -> None:
    (tmp_path / "hashed.py").write_text(METHOD.replace("head_ft", "hashed_ft"))
    with without_plugin_files():
        load_plugin(tmp_path / "hashed.py")
        before = methods.get("hashed_ft").revision
        with (tmp_path / "hashed.py").open("a") as file:
            file.write("\n# edited while the command runs\n")
        assert methods.get("hashed_ft").revision == before


def test_what_plugins_lack_is_one_sentence(home: Path) -> None:
    (home / "untyped.py").write_text(METHOD.replace("lr: LearningRate = 0.01", "lr=0.01"))
    (home / "leaves.py").write_text("raise SystemExit(0)\n")
    untyped = command("run", "--method", "head_ft", "--plugin", "untyped.py")
    assert (untyped.returncode, untyped.stderr.count("\n")) == (2, 1)
    assert "Option 'lr' of head_ft has no type." in untyped.stderr
    leaves = command("list", "methods", "--plugin", "leaves.py")
    assert (leaves.returncode, leaves.stderr.count("\n")) == (2, 1)
    assert "SystemExit" in leaves.stderr
