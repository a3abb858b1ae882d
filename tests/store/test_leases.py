"""Leases: one owner a model, taken over from the dead alone, whatever the clocks say."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from unlearn_bench.store import Store, leases
from unlearn_bench.store.leases import Leases


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'runs.sqlite'}")


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(leases, "STALE_SECONDS", 0.5)
    return


def test_a_claim_has_one_owner_until_it_is_given_back(store: Store) -> None:
    with Leases(store) as first, Leases(store) as second:
        assert first.take("a") and first.take("a")
        assert not second.take("a")
        assert (first.of_others(), second.of_others()) == ({}, {"a": f"process {os.getpid()}"})
        second.release("a")  # not its own: nothing happens
        assert not second.take("a")
        first.release("a")
        assert second.take("a")


def test_the_end_of_a_process_gives_its_leases_back(store: Store) -> None:
    with Leases(store) as first:
        first.take("a")
    with Leases(store) as second:
        assert second.of_others() == {}
        assert second.take("a")


def test_a_claim_of_a_process_that_is_gone_is_taken_over_at_once(
    store: Store, dead_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Leases(store)
    monkeypatch.setattr(gone, "_pid", dead_pid)
    assert gone.take("a")
    with Leases(store) as other:
        assert other.of_others() == {}
        assert other.take("a")
    assert os.getpid() != dead_pid


@pytest.mark.usefixtures("fast")
def test_a_claim_of_another_machine_lasts_while_it_beats(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with Leases(store) as far:
        monkeypatch.setattr(far, "_host", "another machine")
        far.take("a")
        with Leases(store) as near:
            deadline = time.monotonic() + 1.5
            while time.monotonic() < deadline:
                assert not near.take("a")
                # clocks that are set back or run apart must not matter: nothing stored is a time
                monkeypatch.setattr(time, "time", lambda: 0.0)
                time.sleep(0.05)


@pytest.mark.usefixtures("fast")
def test_a_claim_of_another_machine_that_beats_no_more_is_taken_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = Leases(store)  # never entered: it sends no heartbeat
    monkeypatch.setattr(silent, "_host", "another machine")
    silent.take("a")
    with Leases(store) as near:
        assert not near.take("a")  # the watch begins here
        time.sleep(0.6)
        assert near.take("a")


def contend(url: str, keys: list[str], together: Any, answer: Any) -> None:
    with Leases(Store(url)) as mine:
        together.wait()
        won = [key for key in keys if mine.take(key)]
        together.wait()  # nobody gives back before everybody has tried
        answer.put(won)


def test_of_many_processes_each_claim_has_one_winner(store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    answer, together = context.SimpleQueue(), context.Barrier(4)
    keys = [f"{number:064}" for number in range(50)]
    processes = [context.Process(target=contend, args=(store.url, keys, together, answer)) for _ in range(4)]
    for process in processes:
        process.start()
    won = [answer.get() for _ in processes]
    for process in processes:
        process.join()
    assert sorted(key for part in won for key in part) == keys
