"""benchmarks.yaml: checked whole, wrong keys named with their place, and true to the code."""

from pathlib import Path

import pytest
from support.benchmark import SMALL

from unlearn_bench.config.benchmarks import Row, database_url, find_file, load
from unlearn_bench.config.selection import Choice, select
from unlearn_bench.config.tuned import read_tuned
from unlearn_bench.core.errors import ConfigError, OptionError, UnknownNameError
from unlearn_bench.metrics import metrics
from unlearn_bench.running.plan import check

SHIPPED = Path(__file__).parents[2] / "benchmarks.yaml"


def test_the_shipped_file_agrees_with_the_code() -> None:
    benchmarks = load(SHIPPED)
    for profile in benchmarks.profiles:
        for entry in benchmarks.tables.values():
            for row in entry.full_rows:
                check(select(benchmarks, Choice(profile=profile), table=entry, row=row), [row])
            assert set(entry.metrics) <= set(metrics.names())


def test_a_dataset_alone_chooses_its_profile() -> None:
    benchmarks = load(SHIPPED)
    assert select(benchmarks).profile == "demo"
    assert select(benchmarks, Choice(dataset="cifar10")).profile == "small"
    chosen = select(
        benchmarks, Choice(dataset="cifar10", profile="paper", forget=["2"], seeds=[4], precision="bfloat16")
    )
    assert (chosen.profile, chosen.configurations, chosen.experiment.precision) == ("paper", [("2", 4)], "bfloat16")
    assert select(benchmarks, Choice(dataset="folder:/some/where/mine")).experiment.dataset == "folder:mine"


def test_anything_that_changes_numbers_changes_the_key() -> None:
    benchmarks = load(SHIPPED)
    keys = {
        select(benchmarks, Choice(**choice)).experiment.key
        for choice in (
            {},
            {"precision": "bfloat16"},
            {"dataset": "cifar10"},
            {"profile": "paper"},
            {"dataset": "folder:a"},
        )
    }
    assert len(keys) == 5
    assert select(benchmarks, Choice(forget=["1"])).experiment.key in keys


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("metrics: [da, lp_forget]", "metric: [da]"), "tables.3: unknown key 'metric'. Did you mean 'metrics'?"),
        (("title: a few digits", "titel: x"), "profiles.tiny: unknown key 'titel'. Did you mean 'title'?"),
        (
            ("default_profile", "default_profil"),
            "top level: unknown key 'default_profil'. Did you mean 'default_profile'?",
        ),
        (("seeds: [0]", "seeds: []"), "profiles.tiny.seeds is []: list should have at least 1 item"),
        (
            ("dataset: digits", "dataset: digit"),
            "profiles.tiny.dataset: there is no data set 'digit' under `datasets`.",
        ),
        (
            ("digits: {profile: tiny,", "digits: {profile: tini,"),
            "there is no profile 'tini'. Did you mean 'tiny'?",
        ),
        (("augment: none", "augment: blur"), "datasets.digits.augment is 'blur'"),
        (("version: 1", "version: 2"), "version is 2"),
        (("version: 1", "version: [1"), "is not YAML"),
    ],
)
def test_mistakes_are_one_sentence_with_their_place(home: Path, change: tuple[str, str], sentence: str) -> None:
    assert change[0] in SMALL
    (home / "benchmarks.yaml").write_text(SMALL.replace(*change))
    with pytest.raises(ConfigError) as caught:
        load()
    assert str(caught.value).startswith("benchmarks.yaml")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_in_scientific_notation_are_numbers(home: Path) -> None:
    (home / "benchmarks.yaml").write_text(SMALL.replace("lr: 0.1,", "lr: 1e-1,"))
    assert load().profiles["tiny"].recipe["lr"] == 0.1


def test_a_subset_is_of_the_profiles_own_data_set() -> None:
    benchmarks = load(SHIPPED)
    assert select(benchmarks, Choice(profile="small")).experiment.train_per_class == 1000
    assert select(benchmarks, Choice(dataset="cifar10")).experiment.train_per_class == 1000
    assert select(benchmarks, Choice(dataset="folder:mine")).experiment.train_per_class is None


def test_a_recipe_must_state_every_parameter(home: Path) -> None:
    (home / "benchmarks.yaml").write_text(SMALL.replace(", decay: 0.998", ""))
    with pytest.raises(ConfigError, match=r"profiles\.tiny\.recipe leaves out decay\. .*such as decay: 0\.998"):
        check(select(load()), [])


def test_unknown_choices() -> None:
    benchmarks = load(SHIPPED)
    with pytest.raises(UnknownNameError, match=r"No profile named 'dmo'\. Did you mean 'demo'"):
        select(benchmarks, Choice(profile="dmo"))
    with pytest.raises(UnknownNameError, match=r"No dataset named 'cifar1'\. Did you mean 'cifar10'"):
        select(benchmarks, Choice(dataset="cifar1"))
    with pytest.raises(OptionError, match="Precision is 'float16', expected float32 or bfloat16"):
        select(benchmarks, Choice(precision="float16"))
    with pytest.raises(UnknownNameError, match="No table named '33'"):
        benchmarks.table("33")
    with pytest.raises(OptionError, match="method 'muda' has no option 'lrr'"):
        check(select(benchmarks), [Row(method="muda", options={"lrr": 1})])


def test_the_file_is_found_upwards_and_results_lie_beside_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(home / "deep" / "er")
    assert find_file()[1] == home
    assert database_url(load()) == f"sqlite:///{home / 'results' / 'runs.sqlite'}"
    monkeypatch.setenv("UNLEARN_BENCH_DB", "sqlite:///x")
    assert database_url(load()) == "sqlite:///x"
    assert database_url(load(), "sqlite:///y") == "sqlite:///y"
    with pytest.raises(ConfigError, match=r"There is no file nowhere\.yaml"):
        load(Path("nowhere.yaml"))


def test_curves_without_steps_are_refused(home: Path) -> None:
    file = home / "benchmarks.yaml"
    file.write_text(file.read_text() + 'figures: {"7": {title: x, kind: curves, rows: [muda], metrics: [da]}}\n')
    with pytest.raises(ConfigError, match=r"figures\.7 .*a figure of curves needs metrics and trace_every"):
        load()


@pytest.mark.parametrize("profile", ["demo", "small"])
def test_a_profiles_options_are_those_that_tuning_chose(profile: str) -> None:
    """Nothing in its tables was chosen by hand."""
    tuned = read_tuned(SHIPPED.parent / "results" / "tuned" / f"{profile}.yaml")
    assert {name: entry.options for name, entry in tuned.items()} == load(SHIPPED).profiles[profile].options
    assert {entry.objective for entry in tuned.values()} == {"honest"}
