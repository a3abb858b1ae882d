"""What a person sees of long work where standard error is no terminal."""

from collections.abc import Iterable

import pytest

from unlearn_bench.cli.terminal import Watch


def show(monkeypatch: pytest.MonkeyPatch, calls: Iterable[tuple[float, int]], total: int = 10) -> None:
    """Shows (seconds, units done) of a run of ``total`` units."""
    clock = [0.0]
    monkeypatch.setattr("unlearn_bench.cli.terminal.time.monotonic", lambda: clock[0])
    watch = Watch()
    for now, done in calls:
        clock[0] = now
        watch("a run", done, total)


def test_the_time_left_is_that_of_the_run_and_not_of_an_earlier_one_of_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    show(monkeypatch, ((0, 1), (40, 5), (50, 10), (1000, 1), (1020, 3), (1040, 5)))
    assert capsys.readouterr().err.splitlines() == [
        "a run: 5 of 10, about 50 s left",
        "a run: 5 of 10, about 50 s left",
    ]


def test_the_time_left_of_a_run_that_goes_on_is_that_of_the_steps_made_now(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    show(monkeypatch, ((0, 91), (40, 95)), total=100)
    assert capsys.readouterr().err == "a run: 95 of 100, about 50 s left\n"
