"""The leaderboard: gaps in units of the noise floor, mean ranks with their test, cost, the front of what none beats."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import friedmanchisquare, t
from support.benchmark import new_run
from support.command import command
from support.exchange import whole

from unlearn_bench.config.benchmarks import Row
from unlearn_bench.config.selection import Choice
from unlearn_bench.core.errors import MissingRunError, OptionError
from unlearn_bench.report.bench import Bench
from unlearn_bench.report.leaderboard import Leaderboard, leaderboard
from unlearn_bench.report.leaderboard.ranks import Ranking, rank
from unlearn_bench.report.leaderboard.standings import Standing

# by method: DA and LP(D_f) of forget sets 1 and 3, a line for each seed
VALUES = {
    "original": [[(0.40, 90.0), (0.44, 92.0)], [(0.42, 91.0), (0.40, 93.0)], [(0.41, 90.0), (0.43, 92.0)]],
    "retrained": [[(0.80, 60.0), (0.84, 64.0)], [(0.82, 62.0), (0.80, 60.0)], [(0.78, 61.0), (0.83, 66.0)]],
    "ft": [[(0.60, 80.0), (0.62, 85.0)], [(0.65, 79.0), (0.60, 84.0)], [(0.61, 80.0), (0.66, 81.0)]],
    "muda": [[(0.79, 63.0), (0.85, 62.0)], [(0.84, 64.0), (0.82, 66.0)], [(0.77, 60.0), (0.80, 69.0)]],
}
IMAGES = {"original": 900, "retrained": 1000, "ft": 100, "muda": 300}
OPTIONS: dict[str, dict[str, object]] = {"ft": {"epochs": 2}, "muda": {"iterations": 12}}


@pytest.fixture
def filled(bench: Bench) -> Bench:
    for method, by_seed in VALUES.items():
        for seed, line in enumerate(by_seed):
            for forget, values in zip(("1", "3"), line, strict=True):
                run = new_run(bench, method, forget, values, options=OPTIONS.get(method))
                run = whole(replace(run, spec=replace(run.spec, seed=seed)))
                assert run.model is not None
                model = replace(run.model, forward_images=IMAGES[method] // 2, backward_images=IMAGES[method] // 2)
                bench.store.record(replace(run, model=model))
    return bench


def board_of(bench: Bench, seeds: tuple[int, ...], *tables: str) -> Leaderboard:
    chosen = Bench.choose(bench.benchmarks, bench.store, Choice(seeds=seeds))
    entries = [(name, chosen.benchmarks.table(name)) for name in tables or ("3",)]
    return leaderboard([(name, entry, chosen.placed(entry)) for name, entry in entries], chosen.store)


def test_gaps_are_those_of_arrays(filled: Bench) -> None:
    """The same numbers from arrays of (seed, forget set, metric) by NumPy and SciPy."""
    arrays = {method: np.array(values) for method, values in VALUES.items()}
    means = arrays["retrained"].mean(axis=1)  # (seed, metric)
    unit = 2 / np.sqrt(np.pi) * means.std(axis=0, ddof=1)
    board = board_of(filled, (0, 1, 2))
    rows = {standing.label: standing for standing in board.standings}
    assert [standing.label for standing in board.standings] == ["Original", "Retrained", "MUDA", "FT"]
    for label, method in (("FT", "ft"), ("MUDA", "muda"), ("Original", "original")):
        gaps = np.abs((arrays[method].mean(axis=1) - means.mean(axis=0)) / unit).mean(axis=1)
        assert list(rows[label].by_block.values()) == pytest.approx(gaps)
        assert rows[label].gap == pytest.approx(gaps.mean())
        interval = t.interval(0.95, 2, gaps.mean(), gaps.std(ddof=1) / np.sqrt(3))
        assert rows[label].interval == pytest.approx((max(0, interval[0]), interval[1]))
        assert rows[label].cost == pytest.approx(IMAGES[method] / 1000)
    others = np.array([means[[k for k in range(3) if k != seed]].mean(axis=0) for seed in range(3)])
    assert rows["Retrained"].gap == pytest.approx(np.abs((means - others) / unit).mean())
    far = np.abs((arrays["ft"].mean(axis=(0, 1)) - means.mean(axis=0)) / unit)
    assert rows["FT"].largest == (("DA", "LP(D_f)")[int(far.argmax())], pytest.approx(far.max()))
    assert board.ranking.means == {"MUDA": 1.0, "FT": 2.0}
    assert rows["MUDA"] in board.front
    assert rows["FT"] in board.front  # cheaper


def test_with_one_seed_blocks_are_forget_sets_and_there_is_no_interval(filled: Bench) -> None:
    board = board_of(filled, (1,))
    (muda,) = [standing for standing in board.methods if standing.label == "MUDA"]
    assert list(muda.by_block) == ["table 3, forget set 1", "table 3, forget set 3"]
    assert muda.interval is None


def test_a_metric_in_which_retrained_models_agree_has_a_step_as_unit(bench: Bench) -> None:
    for seed in (0, 1):
        for method, da in (("original", 0.4), ("retrained", 0.8), ("ft", 0.7), ("muda", 0.8)):
            run = new_run(bench, method, "1", (da, 60.0 + seed), options=OPTIONS.get(method))
            bench.store.record(replace(run, spec=replace(run.spec, seed=seed)))
    chosen = Bench.choose(bench.benchmarks, bench.store, Choice(seeds=(0, 1), forget=("1",)))
    entry = chosen.benchmarks.table("3")
    board = leaderboard([("3", entry, chosen.placed(entry))], chosen.store)
    assert "All retrained models have the same DA, so its unit is 0.01." in board.notes
    (ft,) = [standing for standing in board.methods if standing.label == "FT"]
    assert ft.largest == ("DA", pytest.approx(10.0))
    assert ft.cost is None


def test_a_seed_given_twice_counts_once_and_one_block_has_a_figure(filled: Bench) -> None:
    seeds = ["--seed", "0", "--seed", "0", "--seed", "1"]
    shown = command("report", "--table", "3", "--leaderboard", *seeds)
    assert (shown.returncode, "over 2 blocks (table 3, seeds 0, 1)" in shown.stdout) == (0, True), shown.stderr
    assert "have the seeds 0, 1, 2." in shown.stdout
    drawn = command("figure", "ranks", "--table", "3", "--forget", "1", "--output", "one.png")
    assert drawn.returncode == 0, drawn.stderr


def test_a_method_needs_all_its_runs(filled: Bench) -> None:
    with pytest.raises(
        MissingRunError, match=r"No method has all its runs in Table 3\. Make them with: .*--table 3 .*--seed 3$"
    ):
        board_of(filled, (0, 1, 2, 3))


def test_tables_of_one_experiment_do_not_count_twice(filled: Bench) -> None:
    entry = filled.benchmarks.table("3")
    both = replace(filled, benchmarks=filled.benchmarks.model_copy(update={"tables": {"3": entry, "4": entry}}))
    with pytest.raises(OptionError, match="Tables 3 and 4 contain the same runs"):
        board_of(both, (0, 1, 2), "3", "4")


def test_a_row_of_the_same_label_has_a_name_of_its_own(filled: Bench) -> None:
    entry = filled.benchmarks.table("3")
    twice = entry.model_copy(
        update={"rows": ["original", "retrained", Row(method="ft", label="MUDA"), Row(method="muda")]}
    )
    chosen = Bench.choose(filled.benchmarks, filled.store, Choice(seeds=(0, 1, 2)))
    board = leaderboard([("3", twice, chosen.placed(twice))], chosen.store)
    assert board.ranking.means == {"MUDA": 2.0, "MUDA (row 2)": 1.0}


def test_the_critical_difference_is_demsars() -> None:
    """Demšar 2006, table 5 and section 3.2.2: quantiles at 5 %, and four algorithms on fourteen data sets."""
    rng = np.random.default_rng(0)
    for methods, quantile in ((2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)):
        gaps = {str(k): {str(b): float(rng.normal()) for b in range(14)} for k in range(methods)}
        critical = rank(gaps).critical
        assert critical == pytest.approx(quantile * math.sqrt(methods * (methods + 1) / (6 * 14)), rel=1e-3)


def test_ranks_and_their_test_are_scipys() -> None:
    gaps = np.random.default_rng(1).normal(size=(4, 6)) + np.arange(4)[:, None]
    found = rank({str(k): {str(b): float(gaps[k, b]) for b in range(6)} for k in range(4)})
    assert list(found.means.values()) == pytest.approx((gaps.argsort(axis=0).argsort(axis=0) + 1).mean(axis=1))
    assert found.p_value == pytest.approx(friedmanchisquare(*gaps).pvalue)
    equal = rank({name: {"x": 0.5, "y": 0.5} for name in "abc"})
    assert (equal.p_value, equal.decides, equal.tied_with_best()) == (1.0, False, ["a", "b", "c"])
    assert rank({"a": {"x": 1.0}}) == Ranking({"a": 1.0}, 1, None, None)


def test_equal_methods_are_rarely_told_apart_and_far_ones_are() -> None:
    rng = np.random.default_rng(2)

    def decided(shift: float) -> float:
        cases = []
        for _ in range(300):
            gaps = rng.normal(size=(5, 8)) + shift * np.arange(5)[:, None]
            found = rank({str(k): {str(b): float(gaps[k, b]) for b in range(8)} for k in range(5)})
            cases.append(found.decides and len(found.tied_with_best()) < 5)
        return float(np.mean(cases))

    assert decided(0.0) <= 0.09  # nominal 5 %, three standard errors
    assert decided(2.0) >= 0.95


def test_the_front_holds_what_no_other_beats() -> None:
    def standing(label: str, gap: float, kept: float | None, cost: float | None) -> Standing:
        return Standing(label, False, {"x": gap}, {}, ("DA", gap), kept, cost)

    rows = (
        standing("near", 1, -1, 9),
        standing("cheap", 5, -1, 1),
        standing("worse", 5, -2, 9),
        standing("kept", 6, 0, 9),
    )
    ranking = Ranking({}, 1, None, None)
    assert [each.label for each in Leaderboard(rows, ranking, ()).front] == ["near", "cheap", "kept"]
    without = tuple(replace(row, kept=None) for row in rows)
    assert [each.label for each in Leaderboard(without, ranking, ()).front] == ["near", "cheap"]


def test_the_leaderboard_as_typed(filled: Bench) -> None:
    seeds = [word for seed in range(3) for word in ("--seed", str(seed))]
    shown = command("report", "--table", "3", "--leaderboard", *seeds)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    places = [next(k for k, line in enumerate(lines) if line.startswith(name)) for name in ("Retrained", "MUDA", "FT")]
    assert all(a < b for a, b in pairwise(places))
    assert "Mean rank over 3 blocks (table 3, seeds 0, 1, 2)." in shown.stdout
    drawn = command("figure", "ranks", *seeds, "--output", "ranks.svg")
    assert drawn.returncode == 0, drawn.stderr
    assert "MUDA" in (filled.store.models_folder.parent.parent / "ranks.svg").read_text()
    for words, says in (
        (["report", "--table", "3", "--leaderboard", "--classes"], "exclude each other"),
        (["report", "--leaderboard"], "Give --table, also repeatedly"),
        (["report", "--table", "3", "--leaderboard", "--output", "x.csv"], "ends in .txt or .md"),
        (["figure", "rank", "--table", "3", "--output", "a.png"], "No figure named 'rank'"),
        (["figure", "gaps", "--table", "3", "--table", "3", "--output", "a.png"], "Give --table once"),
    ):
        refused = command(*words)
        assert (refused.returncode, refused.stdout) == (2, ""), words
        assert says in refused.stderr
