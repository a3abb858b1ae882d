"""What a person sees of long work where standard error is no terminal."""

import pytest

from unlearn_bench.cli.terminal import Watch


def test_the_time_left_is_that_of_the_run_and_not_of_an_earlier_one_of_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr("unlearn_bench.cli.terminal.time.monotonic", lambda: clock[0])
    watch = Watch()
    for now, done in ((0, 1), (40, 5), (50, 10), (1000, 1), (1020, 3), (1040, 5)):
        clock[0] = now
        watch("a run", done, 10)
    assert capsys.readouterr().err.splitlines() == [
        "a run: 5 of 10, about 40 s left",
        "a run: 5 of 10, about 40 s left",
    ]
