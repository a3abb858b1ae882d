"""Random input of every kind ends with a sentence: command lines, configurations, images, archives, databases."""

import contextlib
import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.benchmark import SMALL, new_run
from support.images import picture, tiny_zip, write_images

from unlearn_bench import cli
from unlearn_bench.config.benchmarks import load as load_config
from unlearn_bench.config.selection import Choice
from unlearn_bench.core.errors import DataError, StoreError, UserError
from unlearn_bench.data.loading import load
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.executors import local
from unlearn_bench.store import Store

CALM = settings(
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture
def nothing_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "execute", lambda _tasks, **_rest: None)


ODD = """1 3 cat -1 1,3 10% nan 1e400 ../.. muda ft A tiny digits folder: folder:/ sqlite:// lr= lr=nan = lr=1
x=y original json ';DROP"""


WORDS = st.one_of(
    st.sampled_from([*ODD.split(), "", " "]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
    st.integers().map(str),
)


OPTIONS = """table method profile dataset scenario forget then seed set preset format workers noise-floor against-paper
classes audit-metrics likeness outputs status limit kind nonsense config options precision device figure plugin json"""


NAMES = [f"--{name}" for name in OPTIONS.split()]


COMMANDS = [
    "train",
    "run",
    "reproduce",
    "compare",
    "report",
    "claims",
    "runs",
    "show",
    "status",
    "list",
    "explain",
    "figure",
    "tune",
]


LINES = st.tuples(
    st.sampled_from([*COMMANDS, "doctr", ""]), st.lists(st.one_of(st.sampled_from(NAMES), WORDS), max_size=6)
)


@pytest.mark.slow
@pytest.mark.usefixtures("nothing_trains")
def test_random_command_lines_end_with_a_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench.choose(load_config(), Store(f"sqlite:///{home / 'results' / 'runs.sqlite'}"))
    for method in ("original", "retrained", "muda"):
        bench.store.record(new_run(bench, method, "1", (0.5, 50.0)))
    codes = []

    @settings(CALM, max_examples=500)
    @given(LINES)
    def try_one(line: tuple[str, list[str]]) -> None:
        monkeypatch.setattr(sys, "argv", ["unlearn-bench", *([line[0]] if line[0] else []), *line[1]])
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code in (0, 1, 2), sys.argv
        assert "Unexpected error" not in err.getvalue(), (sys.argv, err.getvalue())
        assert "Traceback" not in out.getvalue() + err.getvalue(), sys.argv
        codes.append(stop.value.code)

    try_one()
    assert {0, 2} <= set(codes)


def edits(content: bytes) -> st.SearchStrategy[bytes]:
    """The content with some of its parts replaced, left out or repeated."""
    place = st.integers(0, len(content))

    def edit(changes: list[tuple[int, int, bytes]]) -> bytes:
        changed = content
        for start, length, put in changes:
            changed = changed[:start] + put + changed[start + length :]
        return changed

    change = st.tuples(place, st.integers(0, 8), st.binary(max_size=4))
    return st.lists(change, min_size=1, max_size=4).map(edit)


def words_of(text: str) -> st.SearchStrategy[str]:
    """A YAML text with some values replaced by others that YAML can hold."""
    document = yaml.safe_load(text)
    leaves = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([]), st.just({})
    )

    def places(value: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
        yield path
        if isinstance(value, dict):
            for key, part in value.items():
                yield from places(part, (*path, key))
        elif isinstance(value, list):
            for number, part in enumerate(value):
                yield from places(part, (*path, number))

    def put(path: tuple[object, ...], leaf: object) -> str:
        changed = yaml.safe_load(text)
        spot = changed
        for step in path[:-1]:
            spot = spot[step]
        spot[path[-1]] = leaf
        return yaml.safe_dump(changed)

    known = [path for path in places(document) if path]
    return st.builds(put, st.sampled_from(known), leaves)


@pytest.mark.slow
def test_random_configurations_end_with_a_sentence(home: Path) -> None:
    file = home / "benchmarks.yaml"

    def use() -> None:
        with contextlib.suppress(UserError):
            Bench.choose(load_config(), Store(f"sqlite:///{home / 'runs.sqlite'}"), Choice(forget=("1",)))

    @settings(CALM, max_examples=500)
    @given(edits(SMALL.encode()))
    def try_bytes(content: bytes) -> None:
        file.write_bytes(content)
        use()

    @settings(CALM, max_examples=300)
    @given(words_of(SMALL))
    def try_words(text: str) -> None:
        file.write_text(text, encoding="utf-8")
        use()

    try_bytes()
    try_words()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "ICO"])
def test_random_images_end_with_a_sentence(tmp_path: Path, kind: str) -> None:
    write_images(tmp_path / "own")
    victim = tmp_path / "own" / "a" / "0.png"
    size = 16 if kind == "ICO" else 8

    @settings(CALM, max_examples=60)
    @given(edits(picture(0, kind, size)))
    def try_one(content: bytes) -> None:
        victim.write_bytes(content)
        with contextlib.suppress(DataError):
            load(f"folder:{tmp_path / 'own'}", folder=tmp_path)
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)

    try_one()


@pytest.mark.slow
def test_random_archives_parquet_files_and_databases_end_with_a_sentence(tmp_path: Path, bench: Bench) -> None:
    archive = tmp_path / "tiny" / "tiny-imagenet-200.zip"
    archive.parent.mkdir()
    tiny_zip(archive)
    parquet = tmp_path / "parquet" / "cifar10"
    parquet.mkdir(parents=True)
    frame = pd.DataFrame(
        {"img": [{"bytes": picture(n, "PNG", 32)} for n in range(20)], "label": [n % 10 for n in range(20)]}
    )
    for split in ("train", "test"):
        frame.to_parquet(parquet / f"{split}-0.parquet")
    shard = parquet / "train-0.parquet"
    bench.store.record(new_run(bench, "original", "1", (0.5, 50.0)))
    assert bench.store.path
    database = tmp_path / "random.sqlite"

    def tried(name: str, file: Path, folder: Path, examples: int) -> None:
        @settings(CALM, max_examples=examples)
        @given(edits(file.read_bytes()))
        def try_one(content: bytes) -> None:
            file.write_bytes(content)
            with contextlib.suppress(DataError):
                load(name, folder=folder)

        try_one()

    tried("tiny_imagenet", archive, archive.parent, 150)
    tried("cifar10", shard, shard.parent.parent, 150)

    @settings(CALM, max_examples=150)
    @given(edits(bench.store.path.read_bytes()))
    def try_database(content: bytes) -> None:
        for old in tmp_path.glob("random.sqlite*"):
            old.unlink()
        database.write_bytes(content)
        with contextlib.suppress(StoreError):
            Store(f"sqlite:///{database}", create=False).runs()

    try_database()
