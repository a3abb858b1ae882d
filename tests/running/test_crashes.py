"""Whatever happens to a process or a disk: the next command makes what is missing, and ends with the same numbers."""

import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.benchmark import SMALL
from support.command import Command, command

from unlearn_bench.checks.doctor import database_findings
from unlearn_bench.config.benchmarks import load as load_config
from unlearn_bench.core.files import PART
from unlearn_bench.store import Store

pytestmark = pytest.mark.slow  # whole commands, killed and begun again

DONE = re.compile(r"\[\d+/\d+\] (.*): done")


def start(home: Path, *words: str, database: str = "runs", **environment: str) -> Command:
    return Command(*words, "--db", f"sqlite:///{home / database / 'runs.sqlite'}", folder=home, **environment)


def values(home: Path, database: str = "runs") -> dict[str, dict[str, float]]:
    return {run.key: run.values for run in Store(f"sqlite:///{home / database / 'runs.sqlite'}").runs()}


def assert_whole(home: Path, database: str = "runs") -> None:
    folder = home / database
    assert not list(folder.rglob(f"*{PART}"))
    wrong = [
        finding for finding in database_findings(f"sqlite:///{folder / 'runs.sqlite'}") if finding.state == "wrong"
    ]
    assert not [finding for finding in wrong if finding.area != "disk"]


@pytest.mark.parametrize(("workers", "times"), [("1", 8), ("2", 2)])
def test_killed_at_any_moment_and_begun_again_it_ends_with_the_same_numbers(
    home: Path, workers: str, times: int
) -> None:
    """Ten kills in all; a table that was finished is begun anew until they are used up.

    With one worker a kill hits the process that makes and records runs; with two, the parent that hands them out.
    """
    words = ("reproduce", "--table", "3", "--workers", workers)
    command("list", "methods")  # starts the server, whose imports are no part of a command's time
    began = time.monotonic()
    assert start(home, *words, database="whole").wait() == 0
    wall = time.monotonic() - began
    expected = values(home, "whole")
    assert len(expected) == 8
    moments, kills, table = random.Random(int(workers)), 0, 0
    # a worker whose parent dies while Python starts it ends with a traceback of Python's own: later, with two
    shares = (0.1, 0.7) if workers == "1" else (0.4, 0.95)
    while kills < times:
        table += 1
        database, said = f"killed-{table}", Counter[str]()
        while True:
            process = start(home, *words, database=database, UNLEARN_BENCH_SAVE_SECONDS="0")
            try:
                _, errors = process.communicate(timeout=moments.uniform(*shares) * wall if kills < times else None)
                ended = process.returncode
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                _, errors = process.communicate()
                ended, kills = None, kills + 1
            said.update(DONE.findall(errors))
            assert "Traceback" not in errors
            if ended is not None:
                assert ended == 0, errors
                break
        assert values(home, database) == expected
        assert_whole(home, database)
        assert max(said.values()) == 1, "a run that was recorded is never made again"


MANY = SMALL.replace("seeds: [0]", f"seeds: {list(range(10))}").replace("epochs: 3", "epochs: 1")
MANY = MANY.replace(
    "rows: [original, retrained, ft, muda]", "rows: [original, retrained, ft_classifier, muda, bias_cheat]"
)
MANY = MANY.replace("muda: {iterations: 12}", "muda: {iterations: 2}")


def test_eight_processes_share_a_hundred_runs_and_three_are_killed(home: Path) -> None:
    (home / "benchmarks.yaml").write_text(MANY)
    processes = [start(home, "reproduce", "--table", "3", "--workers", "1") for _ in range(8)]
    store = Store(f"sqlite:///{home / 'runs' / 'runs.sqlite'}")
    killed, runs = 3, 100
    while store.count() < 20:
        time.sleep(0.05)
    for process in processes[:killed]:
        process.kill()
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes[killed:]] == [0] * (8 - killed), errors
    assert "locked" not in "".join(errors)
    said = Counter(title for text in errors for title in DONE.findall(text))
    assert {run.status for run in store.runs()} == {"done"}
    assert store.count() == runs
    assert set(said.values()) == {1}, "each run is made once"
    # of a killed process, a run may be recorded that it had no time to tell of
    assert runs - killed <= len(said) <= runs
    assert_whole(home)


def test_a_training_that_is_killed_goes_on_in_the_middle(home: Path) -> None:
    (home / "benchmarks.yaml").write_text(SMALL.replace("epochs: 3", "epochs: 12"))
    words = ("run", "--method", "original", "--forget", "1", "--workers", "1")
    process = start(home, *words, UNLEARN_BENCH_SAVE_SECONDS="0")
    deadline = time.monotonic() + 120
    while not list((home / "runs").glob("models/*.training")):
        assert time.monotonic() < deadline, "nothing was saved"
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert values(home) == {}
    _, errors = (second := start(home, *words)).communicate()
    assert second.returncode == 0, errors
    assert re.search(r"original, digits, forget 1, seed 0: goes on from step \d+ of 180\.", errors)
    assert start(home, *words, database="whole").wait() == 0
    assert values(home) == values(home, "whole")
    assert not list((home / "runs").glob("models/*.training"))
    assert_whole(home)


def test_an_interrupt_keeps_what_is_done_and_leaves_nothing_behind(home: Path) -> None:
    process = start(home, "reproduce", "--table", "3", "--workers", "1")
    first = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert errors.endswith("Interrupted. Finished runs are recorded; run the same command again to continue.\n")
    found = values(home)
    assert len(found) >= len(DONE.findall(first)) == 1
    assert_whole(home)
    assert start(home, "reproduce", "--table", "3", "--workers", "1").wait() == 0
    assert found.items() <= values(home).items()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_command_alone_ends_its_workers_too(home: Path, kind: signal.Signals) -> None:
    """As `kill` and a cluster send it; a terminal sends it to all of them."""
    process = start(home, "reproduce", "--table", "3", "--workers", "2")
    process.stderr.readline()
    pids = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    process.send_signal(kind)
    _, errors = process.communicate(timeout=60)  # which workers keep open
    assert process.returncode == 130
    assert errors.endswith("Interrupted. Finished runs are recorded; run the same command again to continue.\n")
    assert "leaked" not in errors
    await_end(pids)
    if kind == signal.SIGTERM:
        found = values(home)
        assert start(home, "reproduce", "--table", "3", "--workers", "2").wait() == 0
        assert found.items() <= values(home).items()
        assert_whole(home)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_workers_end_with_a_parent_that_is_killed(home: Path) -> None:
    process = start(home, "reproduce", "--table", "3", "--workers", "2")
    process.stderr.readline()
    pids = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    process.kill()
    process.communicate()
    assert len(pids) >= 2
    await_end(pids)


def await_end(pids: list[int]) -> None:
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}/stat").exists() and not is_zombie(pid) for pid in pids):
        assert time.monotonic() < deadline, "a worker outlived its parent"
        time.sleep(0.1)


def is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def tiny_disk(home: Path) -> Iterator[Path]:
    """A disk of four megabytes, mounted at ``runs``."""
    folder = home / "runs"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("a file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=False)


@pytest.mark.parametrize(("free_kib", "workers"), [(0, "1"), (100, "1"), (400, "2")])
def test_a_full_disk_is_a_sentence_and_loses_nothing(home: Path, tiny_disk: Path, free_kib: int, workers: str) -> None:
    """The less is free, the sooner it ends: in the claim, the checkpoint, the outputs, or the commit."""
    assert start(home, "run", "--method", "ft", "--forget", "1", "--workers", "1").wait() == 0
    before = values(home)
    filler = tiny_disk / "filler"
    filler.write_bytes(b"\0" * max(0, shutil.disk_usage(tiny_disk).free - free_kib * 1024))
    process = start(home, "reproduce", "--table", "3", "--workers", workers)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2, errors
    assert "Traceback" not in errors
    assert re.search(r"(No space left on device|disk is full|disk I/O error)", errors), errors
    filler.unlink()
    assert before.items() <= values(home).items()
    # what could not be made for lack of room, nor tidied up, is once there is room
    assert start(home, "reproduce", "--table", "3", "--workers", "1").wait() == 0
    assert len(values(home)) == 8
    assert_whole(home)


def test_a_disk_that_becomes_read_only_is_a_sentence(home: Path, tiny_disk: Path) -> None:
    assert start(home, "run", "--method", "ft", "--forget", "1", "--workers", "1").wait() == 0
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    process = start(home, "reproduce", "--table", "3", "--workers", "1")
    _, errors = process.communicate()
    assert process.returncode == 2, errors
    assert "Traceback" not in errors
    assert len(errors.strip().splitlines()) == 1


def test_a_database_that_is_removed_while_in_use_takes_no_more_writes(home: Path) -> None:
    process = start(home, "reproduce", "--table", "3", "--workers", "1")
    process.stderr.readline()
    for file in (home / "runs").glob("runs.sqlite*"):
        file.unlink()
    _, errors = process.communicate()
    assert process.returncode == 2, errors
    assert "was removed or replaced while it was in use" in errors
    assert start(home, "reproduce", "--table", "3", "--workers", "1").wait() == 0


def test_a_run_that_waits_for_another_process_tells_and_makes_nothing_twice(home: Path) -> None:
    one, two = (start(home, "reproduce", "--table", "3", "--workers", "1") for _ in range(2))
    said = [DONE.findall(process.communicate()[1]) for process in (one, two)]
    assert (one.returncode, two.returncode) == (0, 0)
    assert len(said[0]) + len(said[1]) == len({*said[0], *said[1]}) == 8


def test_the_examples_of_this_file_are_what_they_claim(home: Path) -> None:
    (home / "benchmarks.yaml").write_text(MANY)
    benchmarks = load_config()
    assert len(benchmarks.profiles["tiny"].seeds) * 2 * len(benchmarks.tables["3"].rows) == 100
