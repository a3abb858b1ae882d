"""What a stranger hands over, damaged, hostile or random: refused with a sentence. Images: `tests/data`."""

import contextlib
import csv
import io
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.benchmark import SMALL, new_run
from support.command import command
from support.images import write_images

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.config.benchmarks import load as load_config
from unlearn_bench.core.errors import ConfigError, StoreError
from unlearn_bench.core.yaml_files import read_yaml
from unlearn_bench.data.loading import load
from unlearn_bench.metrics import metric
from unlearn_bench.models import checkpoints
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.listing import describe_run, list_runs, show_listing
from unlearn_bench.report.render import FORMATS
from unlearn_bench.running.making import ExecutionConfig, make_runs
from unlearn_bench.store import Store


def damage(content: bytes, kind: str, other: bytes) -> bytes:
    """The content with a byte flipped in its middle, cut off, or another file's."""
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]
    return {"flipped": flipped, "truncated": content[:-1], "empty": b"", "swapped": other}[kind]


@pytest.mark.parametrize("kind", ["flipped", "truncated", "empty", "swapped"])
@pytest.mark.parametrize("folder", ["models", "outputs"])
def test_damaged_files_are_never_used_and_made_again(
    trained: Bench, execution: ExecutionConfig, folder: str, kind: str
) -> None:
    bench = trained
    before = {run.key: run.values for run in bench.store.runs()}
    files = sorted((bench.store.models_folder.parent / folder).iterdir())
    contents = {file: file.read_bytes() for file in files}
    for file, other in zip(files, [*files[1:], files[0]], strict=True):
        file.write_bytes(damage(contents[file], kind, contents[other]))
    for run in bench.store.runs():
        artefact = run.model if folder == "models" else run.outputs
        assert artefact and artefact.file and artefact.file_digest
        kept = bench.store.model_files if folder == "models" else bench.store.output_files
        assert checkpoints.read(kept, artefact.file, artefact.file_digest, torch.device("cpu")) is None
    again = make_runs(bench, [Row(method="ft"), Row(method="ft_classifier")], execution, with_outputs=True)
    assert again.failures == 0
    assert before.items() <= {run.key: run.values for run in bench.store.runs()}.items()
    restored = {file.stem for file in files if file.read_bytes() == contents[file]}
    # of the weights only those that a method starts from are needed again
    needed = {run.model.key for run in bench.store.runs(method="original") if run.model}
    assert restored == (needed if folder == "models" else {file.stem for file in files})


@pytest.mark.parametrize("kind", ["flipped", "truncated", "empty", "swapped"])
def test_a_damaged_cache_of_images_is_read_anew(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARN_BENCH_CACHE", str(tmp_path / "own"))
    digests = []
    for name in ("one", "two"):
        write_images(tmp_path / name, seed=len(name) + len(digests))
        digests.append(load(f"folder:{tmp_path / name}", folder=tmp_path).digest)
    files = sorted((tmp_path / "own").rglob("*.safetensors"))
    contents = [file.read_bytes() for file in files]
    assert len(files) == 2
    for file, content, other in zip(files, contents, contents[::-1], strict=True):
        file.write_bytes(damage(content, kind, other))
    found = [load(f"folder:{tmp_path / name}", folder=tmp_path).digest for name in ("one", "two")]
    assert found == digests


@pytest.mark.parametrize("kind", ["flipped", "truncated", "empty"])
def test_a_damaged_database_is_a_sentence(trained: Bench, kind: str) -> None:
    bench = trained
    assert bench.store.path
    content = bench.store.path.read_bytes()
    copy = bench.store.path.with_name("copy.sqlite")
    copy.write_bytes(b"no database" + content[11:] if kind == "flipped" else damage(content, kind, b""))
    with contextlib.suppress(StoreError):
        Store(f"sqlite:///{copy}", create=False).runs()


class Malicious:
    """Unpickled, it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.file,)


def test_a_pickle_in_place_of_a_checkpoint_runs_nothing(
    trained: Bench, execution: ExecutionConfig, tmp_path: Path
) -> None:
    from unlearn_bench.core.files import file_digest

    bench, trap = trained, tmp_path / "sprung"
    run = bench.store.runs(method="original")[0]
    assert run.model and run.model.file
    file = bench.store.models_folder / run.model.file
    file.write_bytes(pickle.dumps(Malicious(trap)))
    forged = file_digest(file)  # its SHA-256 as well
    assert checkpoints.read(bench.store.model_files, run.model.file, forged, torch.device("cpu")) is None
    make_runs(bench, [Row(method="ft_classifier")], execution)
    assert not trap.exists()
    assert file.read_bytes()[:1] != b"\x80", "the checkpoint was made again"


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{after}: &{after} [{','.join([f'*{before}'] * 10)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LAUGHS, "too many aliases within aliases"),
        ("a: &a [*a]\n", "nested too deeply"),
        ("[" * 5000, "nested too deeply|is not YAML"),
        ("a: !!python/object/apply:os.system [exit]\n", "is not YAML"),
        ("a: 2001-99-99\n", "is not YAML"),
        ("a: !!bool maybe\n", "is not YAML"),
        ("a: !!timestamp foo\n", "is not YAML"),
        ("a: !!int ''\n", "is not YAML"),
        ("#" * (2**20 + 1), "expected 1,048,576 at most"),
    ],
)
def test_a_configuration_that_is_a_trap_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "benchmarks.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_yaml(file)


HOSTILE = [
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    r"\input{/etc/passwd}",
    "a\nb",
    '"quoted" & |piped|',
    "@SUM(1)",
]


@pytest.mark.parametrize("label", HOSTILE)
def test_hostile_words_are_inert_in_every_format(bench: Bench, label: str) -> None:
    for forget in ("1", "3"):
        for method in ("original", "retrained", "ft"):
            run = new_run(bench, method, forget, (0.5, 50.0))
            bench.store.record(replace(run, method=replace(run.method, label=label)))
    tables = {name: render(bench.table("3")) for name, render in FORMATS.items()}
    assert "<script" not in tables["markdown"].replace("\\<script", "")
    assert "\n" + label not in tables["text"] or "\n" not in label
    rows = list(csv.DictReader(io.StringIO(tables["csv"])))
    assert all(not row["label"].startswith(("=", "@", "+", "-")) for row in rows)
    assert {row["label"].lstrip("'") for row in rows} >= {label}
    assert r"\input{" not in tables["latex"]
    body = tables["latex"].split(r"\midrule")[1].split(r"\bottomrule")[0]
    assert all(line.count(" & ") == 3 for line in body.strip().splitlines())
    lines = tables["markdown"].splitlines()
    piped = [line.replace("\\|", "") for line in lines if line.startswith("|")]
    assert {line.count("|") for line in piped} == {5}


NINES = "9" * 5000


ODD_WORDS: dict[str, tuple[list[str], str]] = {
    "a seed beyond integers": (["run", "--method", "ft", "--seed", "9" * 20], "--seed"),
    "a seed below 0": (["run", "--method", "ft", "--seed", "-1"], "--seed"),
    "a class of 5,000 digits": (["run", "--method", "ft", "--forget", NINES], "is not in digits"),
    "a share of 400 digits": (
        ["run", "--method", "ft", "--scenario", "random", "--forget", f"{NINES[:400]}%"],
        "is not a random subset",
    ),
    "a home of nobody": (["run", "--method", "ft", "--dataset", "folder:~nosuch/x"], "is not a valid path"),
    "a name that no system has": (["run", "--method", "ft"], "is not a valid path"),
    "bytes that are no text": (["explain", "\udcff"], "'\\udcff'"),
    "a port that is no number": (["runs", "--db", "postgresql://h:abc/x"], "is not a database URL"),
    "an option that is no number": (
        ["run", "--method", "ft", "--db", "sqlite:///x.sqlite?timeout=abc"],
        "is not a database URL",
    ),
}


@pytest.mark.parametrize("kind", ODD_WORDS)
def test_odd_words_end_with_a_sentence(kind: str, home: Path) -> None:
    """In a process of its own, whose screen is as strict as a real one."""
    words, says = ODD_WORDS[kind]
    if kind == "a name that no system has":  # no shell can give it, a file can
        text = SMALL.replace("dataset: digits", 'dataset: "folder:a\\0b"', 1)
        folder = "datasets:\n  folder: {profile: tiny, augment: none, forget: {class: [0]}}"
        (home / "benchmarks.yaml").write_text(text.replace("datasets:", folder, 1))
    ended = command(*words)
    assert ended.returncode == 2, ended.stderr
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("lr: 0.1", "lr: .nan"), "recipe.lr"),
        (("threads: 1", "threads: 1000000000000"), "threads is 1000000000000"),
        (("seeds: [0]", "seeds: [99999999999999999999]"), "seeds.0 is"),
    ],
)
def test_numbers_that_no_machine_has_are_refused(change: tuple[str, str], says: str, home: Path) -> None:
    text = SMALL.replace(*change) if change[0] in SMALL else SMALL.replace("seeds: [0]", f"seeds: [0]\n    {change[1]}")
    (home / "benchmarks.yaml").write_text(text)
    with pytest.raises(ConfigError, match=re.escape(says)):
        load_config()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_screen_that_takes_no_more_is_a_sentence(home: Path) -> None:
    for words in (["--help"], ["list", "methods"]):
        with Path("/dev/full").open("w") as full:
            ended = subprocess.run(
                [sys.executable, "-m", "unlearn_bench", *words],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert (ended.returncode, ended.stderr) == (
            2,
            "The output cannot be written: No space left on device. Free some disk space.\n",
        )


def test_words_of_a_record_move_no_cursor(bench: Bench) -> None:
    """A database may be anyone's: here the words of one."""
    run = new_run(bench, "ft", "1", (0.5, 80.0))
    bench.store.record(replace(run, profile="x\x1b]0;owned\x07\n99 fake"))
    (found,) = bench.store.runs()
    for shown in (show_listing(list_runs([found]), False), describe_run(found, bench.store.metrics())):
        assert "x ]0;owned  99 fake" in shown
        assert "\x1b" not in shown


def test_a_metric_takes_no_name_of_a_column() -> None:
    with pytest.raises(ValueError, match="cannot be named 'seconds'"):

        @metric(label="S", bounds=(0, 1), better="higher", source="")
        def seconds(_outputs: object) -> float:
            return 0.0
