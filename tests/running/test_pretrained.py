"""Original and retrained models start from a file of weights, and every run knows which file."""

import functools
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from unlearn_bench.config.benchmarks import Row, load
from unlearn_bench.config.model_choice import ModelChoice
from unlearn_bench.config.selection import Choice
from unlearn_bench.core.errors import CheckpointError, UserError
from unlearn_bench.methods import Method, UnlearningProblem, methods
from unlearn_bench.models import Classifier, build
from unlearn_bench.models.external import External
from unlearn_bench.report.bench import Bench
from unlearn_bench.running.making import ExecutionConfig, make_runs
from unlearn_bench.running.recorded_models import network_of
from unlearn_bench.store import Store

NAME, OF_TORCHVISION = "torchvision:shufflenet_v2_x0_5", {"name": "torchvision:shufflenet_v2_x0_5"}


def public_weights(file: Path, seed: int = 9) -> dict[str, Tensor]:
    """Writes weights for 20 classes, and returns them."""
    public = build(OF_TORCHVISION, channels=1, classes=20, seed=seed, side=(8, 8))
    state = public.own_state()
    torch.save(state, file)
    return state


def chosen(bench: Bench, model: ModelChoice) -> Bench:
    return Bench.choose(bench.benchmarks, bench.store, Choice(forget=("1",), model=model))


def untrained_like(entry: Method) -> Callable[..., Classifier]:
    """Returns a method with the options of another one, whose result are the start weights."""

    @functools.wraps(entry.function)
    def start(problem: UnlearningProblem, **_options: object) -> Classifier:
        return problem.copy_of_original()

    return start


@pytest.fixture
def untrained(register: Callable[..., ExitStack]) -> None:
    """References that do not train, so that their weights are those that they start from."""
    for name in ("original", "retrained"):
        entry: Method = methods.get(name)
        register(methods, replace(entry, function=untrained_like(entry)))


@pytest.mark.usefixtures("untrained")
def test_references_start_from_the_file_with_heads_of_their_own(
    home: Path, bench: Bench, execution: ExecutionConfig
) -> None:
    public = public_weights(home / "public.pt")
    said: list[str] = []
    started = chosen(bench, ModelChoice(NAME, pretrained=Path("public.pt")))
    outcome = make_runs(started, [Row(method="original"), Row(method="retrained")], replace(execution, say=said.append))
    assert outcome.failures == 0
    assert said[0].startswith("public.pt has a head of 20 outputs, and the images have 10 classes")
    networks = [network_of(run, bench.store) for run in started.recorded(outcome.runs)]
    states = [network.own_state() for network in networks]
    for state in states:
        assert all(torch.equal(value, public[name]) for name, value in state.items() if not name.startswith("fc."))
    heads = [network.head.weight for network in networks]
    assert heads[0].shape == (10, 1024) and not torch.equal(heads[0], heads[1]), "each is drawn from its own seed"
    again = make_runs(started, [Row(method="original"), Row(method="retrained")], execution)
    assert again.made == ()


@pytest.mark.usefixtures("untrained")
def test_a_file_of_the_profile_is_used_with_its_head_where_that_fits(home: Path, execution: ExecutionConfig) -> None:
    public = build({"name": "resnet18", "width": 4, "groups": 2}, channels=1, classes=10, seed=9)
    torch.save(public.state_dict(), home / "public.pt")
    file = home / "benchmarks.yaml"
    file.write_text(file.read_text().replace("width: 4, groups: 2}", "width: 4, groups: 2, pretrained: public.pt}"))
    started = Bench.choose(load(), Store(f"sqlite:///{home / 'runs.sqlite'}"), Choice(forget=("1",)))
    said: list[str] = []
    outcome = make_runs(started, [Row(method="original")], replace(execution, say=said.append))
    (run,) = started.recorded(outcome.runs)
    state = network_of(run, started.store).state_dict()
    assert all(torch.equal(value, public.state_dict()[name]) for name, value in state.items())
    assert not any("drawn anew" in line for line in said)


@pytest.mark.usefixtures("untrained")
def test_another_file_makes_other_runs(home: Path, bench: Bench, execution: ExecutionConfig) -> None:
    rows = [Row(method="original")]
    made = []
    for seed in (9, 10):
        public_weights(home / "public.pt", seed)
        made.append(make_runs(chosen(bench, ModelChoice(NAME, pretrained=Path("public.pt"))), rows, execution))
    made.append(make_runs(chosen(bench, ModelChoice(NAME)), rows, execution))
    assert [outcome.made for outcome in made] == [("done",)] * 3
    assert len({outcome.runs for outcome in made}) == 3
    assert len({run.model.weights_digest for run in bench.store.runs() if run.model}) == 3


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (ModelChoice("torchvision:resnet81"), r"^torchvision has no classifier 'resnet81'\. Did you mean 'resnet18'\?"),
        (ModelChoice("timm:test_vti"), r"^timm has no model 'test_vti'\. Did you mean 'test_vit'\?"),
        (ModelChoice(NAME, {"widht": 8}), r"cannot be built: .*unexpected keyword argument 'widht'\. Change"),
        (ModelChoice("timm:test_vit"), r"does not accept images of 3×8×8: .*Give the side in pixels .*--size"),
        (ModelChoice(NAME, {"last_stage": "layer4"}), r"^The network has no module 'layer4' with parameters"),
        (ModelChoice(NAME, {"normalise": "imgnet"}), r"Did you mean 'imagenet'\?"),
        (ModelChoice(NAME, {"weights_backbone": "DEFAULT"}), r"from the files that you give, with --pretrained FILE"),
        (
            ModelChoice("torchvision:resnet18", pretrained=Path("public.pt")),
            r"^public\.pt does not fit torchvision:r",
        ),
        (ModelChoice(NAME, pretrained=Path("broken.pt")), r"broken\.pt"),
    ],
    ids=lambda value: value.name if isinstance(value, ModelChoice) else "",
)
def test_what_does_not_fit_is_refused_before_anything_is_made(
    home: Path, bench: Bench, execution: ExecutionConfig, model: ModelChoice, sentence: str
) -> None:
    public_weights(home / "public.pt")
    (home / "broken.pt").write_bytes(b"no weights at all")
    with pytest.raises(UserError, match=sentence) as told:
        make_runs(chosen(bench, model), [Row(method="original")], execution)
    assert "weights_only" not in str(told.value)
    assert bench.store.runs() == [] and list(bench.store.models_folder.glob("*")) == []


def test_a_file_that_changes_meanwhile_stops_the_command(home: Path, bench: Bench, execution: ExecutionConfig) -> None:
    public_weights(home / "public.pt")
    started = chosen(bench, ModelChoice(NAME, pretrained=Path("public.pt")))
    public_weights(home / "public.pt", seed=10)
    with pytest.raises(CheckpointError, match=r"public\.pt changed after this command read it"):
        make_runs(started, [Row(method="original")], execution)
    assert bench.store.runs() == []


def test_a_network_from_a_file_is_not_prepared_from_images(problem: UnlearningProblem) -> None:
    class Prepared(External):
        def prepare(self, x: Tensor) -> None:
            self.backbone[1].weight.data.fill_(7.0)

    def make() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Linear(6, 10))

    network = Prepared(make(), make, example=torch.zeros(2, 1, 8, 8), classes=10)
    recipe = {**methods.get("original").presets.get("paper", {}), "epochs": 1, "lr": 1e-9, "weight_decay": 0.0}
    for is_pretrained in (False, True):
        network.is_pretrained = is_pretrained
        trained = methods.get("original").unlearn(replace(problem, original=network), recipe)
        weight = trained.state_dict()["backbone.1.weight"]
        assert bool((weight - 7.0).abs().max() < 1e-3) is not is_pretrained
