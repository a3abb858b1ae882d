"""Each metric against an independent reference, and the contracts that all keep."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler
from support.reference import naive_alignment
from torch.nn.functional import one_hot

from unlearn_bench.metrics import Metric, metrics
from unlearn_bench.metrics.accuracy import acc_forget, acc_retain
from unlearn_bench.metrics.alignment import da
from unlearn_bench.metrics.backdoor import acc_clean, acc_triggered, asr, asr_all
from unlearn_bench.metrics.clustering import best_cluster_f1, clusters, f1, nmi
from unlearn_bench.metrics.membership import confidence, mia, mia_accuracy
from unlearn_bench.metrics.probing import lp_forget, lp_retain, lp_subclass, probe
from unlearn_bench.models.outputs import ModelOutputs, Outputs


def blobs(seed: int, spread: float = 1.0, classes: int = 4, d: int = 12) -> ModelOutputs:
    """Outputs of an imaginary model: Gaussian classes, the last one the forget set."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, d)) * 2

    def draw(labels: np.ndarray) -> Outputs:
        x = centres[labels] + spread * rng.normal(size=(len(labels), d))
        z = -((x[:, None] - centres[None]) ** 2).sum(-1) / 2 + rng.normal(size=(len(labels), classes))
        fine = torch.tensor(2 * labels + (x[:, 0] > centres[labels, 0]))  # each class has two halves
        return Outputs(
            torch.tensor(x, dtype=torch.float32), torch.tensor(z, dtype=torch.float32), torch.tensor(labels), fine
        )

    retained = rng.integers(0, classes - 1, 300)
    return ModelOutputs(
        draw(retained),
        draw(np.full(100, classes - 1)),
        draw(retained[:90]),
        draw(np.full(30, classes - 1)),
    )


def poisoned(outputs: ModelOutputs) -> ModelOutputs:
    """The same with a trigger that some of the test images show."""
    return replace(outputs, triggered=outputs.test_retain.where(torch.arange(90) < 60), target=1)


SAMPLES = [blobs(seed, spread) for seed in range(3) for spread in (0.5, 2.0)]
POISONED = [poisoned(outputs) for outputs in SAMPLES]


@pytest.mark.parametrize("outputs", SAMPLES)
def test_da_equals_numpy(outputs: ModelOutputs) -> None:
    expected = naive_alignment(outputs.retain.features.double().numpy(), outputs.forget.features.double().numpy())
    assert da(outputs) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("outputs", SAMPLES)
def test_probes_equal_scikit_learn(outputs: ModelOutputs) -> None:
    for metric, train, test in (
        (lp_forget, [outputs.retain, outputs.forget], outputs.test_forget),
        (lp_retain, [outputs.retain], outputs.test_retain),
    ):
        x = np.concatenate([part.features.double().numpy() for part in train])
        y = np.concatenate([part.labels.numpy() for part in train])
        scaler = StandardScaler().fit(x)
        reference = LogisticRegression(tol=1e-10, max_iter=10_000).fit(scaler.transform(x), y)
        expected = 100 * reference.score(scaler.transform(test.features.double().numpy()), test.labels.numpy())
        assert metric(outputs) == pytest.approx(expected, abs=1e-9)


def test_a_probe_ignores_a_constant_feature_and_knows_only_the_classes_it_saw() -> None:
    x = torch.tensor([[0.0, 0.1], [1, 0.1], [2, 0.1], [3, 0.1]])
    y = torch.tensor([2, 2, 7, 7])
    assert probe(x, y, x, y) == 100
    assert probe(x, y, x, torch.tensor([1, 2, 7, 7])) == 75


@pytest.mark.parametrize("outputs", SAMPLES)
def test_clustering_metrics_equal_naive_ones(outputs: ModelOutputs) -> None:
    cluster, member = clusters(outputs)
    assert f1(outputs) == pytest.approx(max(f1_score(member, cluster == k) for k in range(outputs.classes)), abs=1e-12)
    joint = np.array([[np.mean((cluster == k) & (member == x)) for x in (0, 1)] for k in range(outputs.classes)])
    pk, px = joint.sum(1), joint.sum(0)
    information = sum(
        p * np.log(p / (pk[k] * px[x])) for k, row in enumerate(joint) for x, p in enumerate(row) if p > 0
    )
    entropies = [-sum(p * np.log(p) for p in part if p > 0) for part in (pk, px)]
    assert nmi(outputs) == pytest.approx(information / min(entropies), abs=1e-12)


@pytest.mark.parametrize("outputs", SAMPLES)
def test_clusters_are_no_worse_than_scikit_learns_on_the_images_as_they_come(outputs: ModelOutputs) -> None:
    x = torch.cat([outputs.retain.features, outputs.forget.features]).double().numpy()
    cluster, member = clusters(outputs)
    own = x[np.argsort(x.sum(1), kind="stable")]
    inertia = sum(((own[cluster == k] - own[cluster == k].mean(0)) ** 2).sum() for k in set(cluster))
    assert inertia <= KMeans(outputs.classes, n_init=10, random_state=1).fit(x).inertia_ * (1 + 1e-3)
    assert int(member.sum()) == len(outputs.forget)


def test_best_cluster_of_a_known_table() -> None:
    # cluster 1 holds 3 of 4 forgotten and one other: precision 3/4, recall 3/4
    assert best_cluster_f1(np.array([0, 0, 1, 1, 1, 1, 0]), np.array([0, 0, 1, 1, 1, 0, 1])) == pytest.approx(0.75)


def test_nmi_of_a_forget_set_that_is_a_cluster_is_one() -> None:
    outputs = blobs(0, spread=0.01)
    assert nmi(outputs) == pytest.approx(1)
    assert f1(outputs) == 1


def overfit(outputs: ModelOutputs, gain: float) -> ModelOutputs:
    """The same model, surer of its training images: where attacks work, and where their details matter."""

    def surer(part: Outputs, by: float) -> Outputs:
        return replace(part, logits=part.logits + by * one_hot(part.labels, outputs.classes))

    return replace(outputs, retain=surer(outputs.retain, gain), forget=surer(outputs.forget, gain / 2))


def attacked(samples: list[ModelOutputs]) -> list[ModelOutputs]:
    return [*samples, *(overfit(outputs, gain) for outputs in samples for gain in (1.0, 4.0))]


ATTACKED = attacked(SAMPLES)


@pytest.mark.parametrize("outputs", ATTACKED)
def test_attack_equals_its_definition(outputs: ModelOutputs) -> None:
    """The attack by weighted Newton steps in NumPy: no scikit-learn."""

    def q(part: Outputs) -> np.ndarray:
        z = part.logits.double().numpy()
        p = np.exp(z - z.max(1, keepdims=True))
        return (p / p.sum(1, keepdims=True)).max(1)

    members, others = q(outputs.retain), np.concatenate([q(outputs.test_retain), q(outputs.test_forget)])
    x, y = np.concatenate([members, others]), np.r_[np.ones(len(members)), np.zeros(len(others))]
    size = min(len(members), len(others))
    weight = np.where(y == 1, size / len(members), size / len(others))
    mean = (weight * x).sum() / weight.sum()
    std = np.sqrt((weight * (x - mean) ** 2).sum() / weight.sum())
    design = np.stack([(x - mean) / std, np.ones_like(x)], 1)
    theta = np.zeros(2)
    penalty = np.diag([1.0, 0.0])
    for _ in range(100):
        p = 1 / (1 + np.exp(-design @ theta))
        gradient = design.T @ (weight * (p - y)) + penalty @ theta
        hessian = design.T @ (design * (weight * p * (1 - p))[:, None]) + penalty
        theta -= np.linalg.solve(hessian, gradient)
    forget = (q(outputs.forget) - mean) / std
    assert mia(outputs) == pytest.approx(np.mean(theta[0] * forget + theta[1] > 0), abs=1e-12)
    assert np.allclose(confidence(outputs.retain), members)
    named = [np.mean(theta[0] * (side - mean) / std + theta[1] > 0) for side in (members, others)]
    assert mia_accuracy(outputs) == pytest.approx((named[0] + 1 - named[1]) / 2, abs=1e-12)


@pytest.mark.parametrize("outputs", attacked(SAMPLES[:2]))  # a hundred attacks each: one of every kind
def test_weights_are_what_equal_sizes_by_drawing_tend_to(outputs: ModelOutputs) -> None:
    """Equal sizes by weights against equal sizes by drawing, the median of 100 draws; 300 members, 120 others."""
    members = confidence(outputs.retain)
    others = np.concatenate([confidence(outputs.test_retain), confidence(outputs.test_forget)])
    rng, shares = np.random.default_rng(0), []
    for _ in range(100):
        chosen = rng.choice(members, len(others), replace=False)
        x = np.concatenate([chosen, others])[:, None]
        scaler = StandardScaler().fit(x)
        attack = LogisticRegression().fit(scaler.transform(x), np.r_[np.ones(len(chosen)), np.zeros(len(others))])
        shares.append(attack.predict(scaler.transform(confidence(outputs.forget)[:, None])).mean())
    one_image = 1 / len(outputs.forget)
    assert mia(outputs) == pytest.approx(np.median(shares), abs=one_image + 1e-9)


def test_accuracy_counts() -> None:
    outputs = blobs(2)
    for metric, part in ((acc_forget, outputs.test_forget), (acc_retain, outputs.test_retain)):
        hits = sum(int(np.argmax(z)) == int(y) for z, y in zip(part.logits.numpy(), part.labels, strict=True))
        assert metric(outputs) == pytest.approx(100 * hits / len(part))


@pytest.mark.parametrize("metric", list(metrics), ids=lambda metric: metric.name)
class TestContract:
    def test_is_documented(self, metric: Metric) -> None:
        assert metric.summary.endswith(".")
        assert metric.source
        assert metric.bounds[0] < metric.bounds[1]

    def test_stays_within_bounds(self, metric: Metric) -> None:
        for outputs in POISONED:
            assert metric.bounds[0] <= metric.function(outputs) <= metric.bounds[1]

    def test_order_of_images_changes_nothing_unless_it_is_declared(self, metric: Metric) -> None:
        if metric.by_position:
            return

        def shuffled(part: Outputs) -> Outputs:
            order = torch.randperm(len(part), generator=torch.Generator().manual_seed(4))
            return Outputs(part.features[order], part.logits[order], part.labels[order], part.fine[order])

        for outputs in POISONED:
            parts = (outputs.retain, outputs.forget, outputs.test_retain, outputs.test_forget, outputs.triggered)
            other = ModelOutputs(*(shuffled(part) for part in parts), target=outputs.target)
            assert metric.function(other) == pytest.approx(metric.function(outputs), abs=1e-9)

    def test_leaves_outputs_and_generators_alone(self, metric: Metric) -> None:
        outputs = poisoned(blobs(5))
        before, state = outputs.retain.features.clone(), torch.random.get_rng_state()
        numpy_state = np.random.get_state()[1].copy()
        metric.function(outputs)
        assert torch.equal(outputs.retain.features, before)
        assert torch.equal(torch.random.get_rng_state(), state)
        assert np.array_equal(np.random.get_state()[1], numpy_state)


def test_backdoor_metrics_count_as_their_definitions_say() -> None:
    """Six triggered images, target 1: by hand."""
    named = torch.tensor([1, 1, 0, 2, 1, 1])  # what the model says
    true = torch.tensor([0, 2, 0, 2, 1, 0])
    outputs = blobs(0)
    shown = Outputs(torch.zeros(6, 12), one_hot(named, 3).float(), true)
    others = shown.where(true != 1)
    aimed = replace(others, labels=torch.ones_like(others.labels))
    outputs = replace(outputs, triggered=shown, target=1, test_forget=aimed)
    assert asr(outputs) == pytest.approx(100 * 3 / 5)
    assert asr_all(outputs) == pytest.approx(100 * 4 / 6)
    assert acc_triggered(outputs) == pytest.approx(100 * 2 / 5)
    assert acc_clean(outputs) == acc_retain(outputs)
    with pytest.raises(ValueError, match="triggered"):
        asr_all(replace(outputs, triggered=None))


@pytest.mark.parametrize("outputs", SAMPLES[:2])
def test_the_subclass_probe_equals_scikit_learn(outputs: ModelOutputs) -> None:
    x = torch.cat([outputs.retain.features, outputs.forget.features]).double().numpy()
    y = torch.cat([outputs.retain.fine, outputs.forget.fine]).numpy()
    scaler = StandardScaler().fit(x)
    reference = LogisticRegression(tol=1e-10, max_iter=10_000).fit(scaler.transform(x), y)
    test = scaler.transform(outputs.test_forget.features.double().numpy())
    assert lp_subclass(outputs) == pytest.approx(
        100 * reference.score(test, outputs.test_forget.fine.numpy()), abs=1e-9
    )


def test_a_backdoors_attack_leaves_the_triggered_copies_out() -> None:
    outputs = overfit(blobs(1), 4.0)
    none = outputs.test_forget.where(torch.zeros(30, dtype=torch.bool))
    clean = replace(outputs, test_forget=none)
    assert mia(poisoned(outputs)) == mia(clean)
    assert mia_accuracy(poisoned(outputs)) == mia_accuracy(clean)


def test_an_attack_on_an_overfit_model_is_better_than_one_on_a_fair_model() -> None:
    outputs = blobs(0, spread=2.0)
    assert mia_accuracy(overfit(outputs, 4.0)) > mia_accuracy(overfit(outputs, 1.0)) > mia_accuracy(outputs)
    assert mia_accuracy(outputs) == pytest.approx(0.5, abs=0.1)
