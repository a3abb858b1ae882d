"""Copies of artefacts: bounded, those that were not used for longest go first."""

import os
import time
from pathlib import Path

import pytest

from unlearn_bench.core import artefact_cache
from unlearn_bench.core.errors import OptionError
from unlearn_bench.core.files import atomic_write


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Five copies of 1 kB below two URLs, used 500 to 100 seconds ago."""
    monkeypatch.setenv("UNLEARN_BENCH_CACHE", str(tmp_path / "cache"))
    files = [artefact_cache.folder() / f"url{k % 2}" / "models" / f"{k}.safetensors" for k in range(5)]
    for k, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"0" * 1000)
        os.utime(file, (time.time() - 500 + 100 * k,) * 2)
    return files


def left(copies: list[Path]) -> list[int]:
    return [k for k, file in enumerate(copies) if file.exists()]


def test_the_least_recently_used_go_first(copies: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNLEARN_BENCH_ARTEFACT_CACHE_GB", "3e-6")
    artefact_cache.mark_used(copies[0])
    artefact_cache.trim()
    assert left(copies) == [0, 3, 4]
    monkeypatch.setenv("UNLEARN_BENCH_ARTEFACT_CACHE_GB", "0")
    artefact_cache.trim()
    assert left(copies) == [0], "a process may be reading what was used just now"


def test_below_the_limit_nothing_goes_but_what_killed_processes_left(
    copies: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with atomic_write(copies[0]) as part:
        part.write_bytes(b"1" * 1000)
        unfinished = part.with_name(part.name.replace(f".{os.getpid()}.", f".{2**22 + 1}."))
        unfinished.write_bytes(b"half")
        artefact_cache.trim()
        assert part.exists() and not unfinished.exists()
    assert left(copies) == [0, 1, 2, 3, 4]
    monkeypatch.setenv("UNLEARN_BENCH_ARTEFACT_CACHE_GB", "much")
    with pytest.raises(OptionError, match="'much', expected a number of gigabytes such as 10"):
        artefact_cache.trim()
