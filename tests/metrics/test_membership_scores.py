"""Attacks on scores beside the confidence: scores by naive loops, decisions by scikit-learn."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from support.imaginary import imaginary, with_logits

from unlearn_bench.metrics import membership_scores as scores
from unlearn_bench.metrics import metrics
from unlearn_bench.metrics.accuracy import top1
from unlearn_bench.models.outputs import ModelOutputs, Outputs

ATTACKS = {
    "mia_confidence": scores.label_confidence,
    "mia_entropy": scores.entropy,
    "mia_modified_entropy": scores.modified_entropy,
    "mia_loss": scores.loss,
    "mia_correctness": scores.correctness,
}
SAMPLES = [imaginary(seed, gain, gain / 2) for seed in range(2) for gain in (0.0, 1.0, 4.0)]


def naive_score(name: str, z: np.ndarray, y: int) -> float:
    """The definition of one sample's score, term by term."""
    total = math.fsum(math.exp(each) for each in z)
    p = [math.exp(each) / total for each in z]
    if name == "mia_correctness":
        return float(int(np.argmax(z)) == y)
    if name == "mia_entropy":
        return -math.fsum(each * math.log(each) for each in p)
    if name == "mia_modified_entropy":
        others = math.fsum(each * math.log(1 - each) for k, each in enumerate(p) if k != y)
        return -(1 - p[y]) * math.log(p[y]) - others
    return p[y] if name == "mia_confidence" else -math.log(p[y])


def naive(name: str, part: Outputs) -> np.ndarray:
    pairs = zip(part.logits.double().numpy(), part.labels.tolist(), strict=True)
    return np.array([naive_score(name, z, y) for z, y in pairs])


@pytest.mark.parametrize("outputs", SAMPLES)
@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_equal_scikit_learns_on_scores_by_naive_loops(name: str, outputs: ModelOutputs) -> None:
    members = naive(name, outputs.retain)
    others = np.concatenate([naive(name, outputs.test_retain), naive(name, outputs.test_forget)])
    assert ATTACKS[name](outputs.retain) == pytest.approx(members, abs=1e-12)
    x, y = np.concatenate([members, others])[:, None], np.repeat([1, 0], [len(members), len(others)])
    weight = np.where(y == 1, len(others) / len(members), 1.0)
    scaler = StandardScaler().fit(x, sample_weight=weight)
    attack = LogisticRegression(tol=1e-10, max_iter=10_000).fit(scaler.transform(x), y, sample_weight=weight)
    decided = attack.predict(scaler.transform(naive(name, outputs.forget)[:, None]))
    assert metrics.get(name).function(outputs) == pytest.approx(decided.mean(), abs=1e-12)


@pytest.mark.parametrize("outputs", SAMPLES)
def test_the_support_vector_machine_is_that_of_the_public_code(outputs: ModelOutputs) -> None:
    """Fewer than a thousand of each side: every unseen sample counts, and as many of D_r at even ranks."""
    others = np.concatenate([naive("mia_confidence", part) for part in (outputs.test_retain, outputs.test_forget)])
    ranked = sorted(naive("mia_confidence", outputs.retain))
    size = len(others)
    members = [ranked[int((k + 0.5) / size * len(ranked))] for k in range(size)]
    x = np.concatenate([members, others])[:, None]
    machine = SVC(C=3, gamma="auto", kernel="rbf").fit(x, np.repeat([1, 0], size))
    called = machine.predict(naive("mia_confidence", outputs.forget)[:, None])
    near = 1 / len(outputs.forget)  # another order of samples moves the solver by its tolerance
    assert scores.mia_svc_confidence(outputs) == pytest.approx(called.mean(), abs=near + 1e-9)


def test_the_machine_is_trained_on_at_most_a_thousand_of_each_side(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    class Counted(SVC):  # type: ignore[misc]
        def fit(self, x: np.ndarray, y: np.ndarray) -> "Counted":
            sizes.append((len(x), float(y.mean())))
            return super().fit(x, y)  # type: ignore[no-any-return]

    monkeypatch.setattr(scores, "SVC", Counted)
    monkeypatch.setattr(scores, "SVC_SAMPLES", 50)
    scores.mia_svc_confidence(SAMPLES[2])
    assert sizes == [(100, 0.5)]


def test_even_ranks_keep_the_distribution() -> None:
    values = np.random.default_rng(0).normal(size=10_001)
    chosen = scores.at_even_ranks(values, 500)
    assert set(chosen) <= set(values)
    assert np.quantile(chosen, [0.1, 0.5, 0.9]) == pytest.approx(np.quantile(values, [0.1, 0.5, 0.9]), abs=0.01)
    assert scores.at_even_ranks(values, len(values)) == pytest.approx(np.sort(values))


@pytest.mark.parametrize("score", ATTACKS.values())
def test_certain_outputs_have_finite_scores(score: Callable[[Outputs], np.ndarray]) -> None:
    """Probabilities of 0 and of 1 in float64, as of the bias cheat, right and wrong."""
    part = with_logits([[1e9, 0.0, -1e9], [-1e9, 0.0, 0.0], [800.0, 0.0, 0.0], [0.0, 0.0, 3e38]], [0, 0, 1, 0])
    assert np.isfinite(score(part)).all()


def test_modified_entropy_is_exact_where_a_probability_rounds_to_one() -> None:
    """log(1 − p) of a certain wrong output is −50 up to the other class: no cut at 1e-30 or at 1e-16."""
    wrong = with_logits([[0.0, 50.0]])
    assert scores.modified_entropy(wrong) == pytest.approx([100.0], abs=1e-12)
    assert scores.modified_entropy(with_logits([[50.0, 0.0]])) == pytest.approx([2 * math.exp(-50)], abs=1e-15)


@pytest.mark.parametrize("name", [*ATTACKS, "mia_svc_confidence"])
def test_equal_scores_and_a_single_unseen_sample_have_a_value(name: str) -> None:
    constant = with_logits([[2.0, 0.0]] * 6)
    metric = metrics.get(name)
    assert metric.function(ModelOutputs(constant, constant, constant, constant)) == 0, "nothing is a member by a tie"
    nobody = constant.where(torch.zeros(6, dtype=torch.bool))
    one = ModelOutputs(constant, constant, with_logits([[0.0, 1.0]]), nobody)
    assert 0 <= metric.function(one) <= 1


@pytest.mark.parametrize("name", ATTACKS)
def test_where_nothing_separates_the_sides_a_trained_sample_is_called_as_an_unseen_one(name: str) -> None:
    fair, overfit = (
        np.mean([metrics.get(name).function(imaginary(seed, gain, gain)) for seed in range(8)]) for gain in (0.0, 6.0)
    )
    assert overfit > 0.9 > fair


def test_the_attack_on_correctness_counts_correct_predictions() -> None:
    outputs = imaginary(0, gain=4.0, forgotten_gain=0.5)
    assert scores.mia_correctness(outputs) == pytest.approx(top1(outputs.forget) / 100)


def test_only_mia_calls_a_sample_of_another_class_a_member() -> None:
    """A model that is certain of a wrong class on D_f: confidence without the label, and with it."""
    seen, unsure = with_logits([[9.0, 0.0], [8.0, 0.0]]), with_logits([[0.5, 0.0], [0.0, 0.5]])
    outputs = ModelOutputs(seen, with_logits([[0.0, 9.0], [0.0, 8.0]]), unsure, unsure)
    found = {name: metrics.get(name).function(outputs) for name in ("mia", *ATTACKS)}
    assert found["mia"] == found["mia_entropy"] == 1
    assert sum(found.values()) == 2
