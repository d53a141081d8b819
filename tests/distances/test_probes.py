from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import KNeighborsClassifier
from tests.distances.digit_tasks import PAIR, representative_of, task_of

from tanas.distances.base import Pair
from tanas.distances.gate import GateConfig
from tanas.distances.heads import fit_ridge
from tanas.distances.intervals import IntervalConfig
from tanas.distances.pairs import make_pair
from tanas.distances.probes import KnnConfig, KnnDistance, ProbeDistance, votes
from tanas.ground.errors import SettingError
from tanas.ground.seeds import Seed
from tanas.tasks.performance import confusion_of, performance_of

SEED = Seed(3)


def pair() -> Pair:
    return make_pair(representative_of(0), representative_of(3), task_of(3), PAIR)


class TestVotes:
    @pytest.mark.parametrize("metric", ["cosine", "euclidean"])
    def test_are_those_of_scikit_learn(self, metric: str) -> None:
        p = pair()
        found = votes(
            p.source_fit, p.labels_fit, p.source_gate, 2, KnnConfig(k=5, metric=metric), balanced=False
        )
        known = KNeighborsClassifier(5, metric=metric).fit(p.source_fit.numpy(), p.labels_fit.numpy())
        expected = torch.from_numpy(known.predict_proba(p.source_gate.numpy())).float()
        # a near tie of two distances may fall either way
        assert float((found - expected).abs().max(dim=1).values.gt(1e-6).float().mean()) < 0.02

    def test_of_a_rare_class_weigh_more_when_balanced(self) -> None:
        fit = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.0, 1.0]])
        labels = torch.tensor([0, 0, 1, 0, 0])
        gate = torch.tensor([[1.0, 0.0]])
        config = KnnConfig(k=3)
        assert votes(fit, labels, gate, 2, config, balanced=False)[0].tolist() == pytest.approx(
            [2 / 3, 1 / 3]
        )
        # two votes of a quarter against one of a whole
        assert votes(fit, labels, gate, 2, config, balanced=True)[0].tolist() == pytest.approx([1 / 3, 2 / 3])

    def test_by_cosine_do_not_see_the_length_of_features(self) -> None:
        p = pair()
        longer = p.source_gate * torch.linspace(0.5, 3, len(p.source_gate))[:, None]
        found = [
            votes(p.source_fit, p.labels_fit, gate, 2, KnnConfig(), balanced=True)
            for gate in (p.source_gate, longer)
        ]
        assert float((found[0] - found[1]).abs().max(dim=1).values.gt(1e-6).float().mean()) < 0.02


class TestKnn:
    @pytest.mark.parametrize("measure", ["balanced", "accuracy"])
    def test_is_one_less_the_performance_of_the_vote(self, measure: str) -> None:
        p, gate = pair(), GateConfig(measure=measure)
        measurement = KnnDistance(gate=gate)(p, SEED)
        balanced = measure == "balanced"
        shares = votes(p.source_fit, p.labels_fit, p.source_gate, 2, KnnConfig(), balanced=balanced)
        confusion = confusion_of(p.labels_gate.numpy(), shares.argmax(dim=1).numpy(), 2)
        assert measurement.dense == pytest.approx(performance_of(confusion, measure))
        assert measurement.value == pytest.approx(1 - performance_of(confusion, measure))
        assert 0 < measurement.value < 1

    def test_needs_enough_images_of_each_class(self) -> None:
        few = replace(pair(), labels_fit=torch.zeros_like(pair().labels_fit))
        few.labels_fit[:4] = 1
        with pytest.raises(SettingError, match="'knn' distance needs at least 5 fit images of each class"):
            KnnDistance()(few, SEED)
        assert KnnDistance(KnnConfig(k=7))(few, SEED).value <= 1


class TestProbe:
    @pytest.mark.parametrize("measure", ["balanced", "accuracy"])
    def test_is_one_less_the_performance_of_a_ridge_head(self, measure: str) -> None:
        p = pair()
        head = fit_ridge(p.source_fit, p.labels_fit, 2, balanced=measure == "balanced")
        confusion = confusion_of(p.labels_gate.numpy(), head.answers(p.source_gate).numpy(), 2)
        measurement = ProbeDistance(GateConfig(measure=measure))(p, SEED)
        assert measurement.value == pytest.approx(1 - performance_of(confusion, measure))
        assert 0 < measurement.value < 1


@pytest.mark.parametrize("distance", [KnnDistance(), ProbeDistance()], ids=["knn", "probe"])
class TestBoth:
    def test_can_be_judged_by_the_area_under_the_curve(self, distance: KnnDistance | ProbeDistance) -> None:
        p = pair()
        if isinstance(distance, KnnDistance):
            scores = votes(p.source_fit, p.labels_fit, p.source_gate, 2, KnnConfig(), balanced=True)
        else:
            scores = fit_ridge(p.source_fit, p.labels_fit, 2, balanced=True).scores(p.source_gate)
        area = roc_auc_score(p.labels_gate.numpy(), scores[:, 1].numpy())
        measurement = replace(distance, gate=GateConfig(measure="area"))(p, SEED)
        assert measurement.value == pytest.approx(1 - (2 * area - 1), abs=1e-5)

    def test_order_sources_that_are_all_perfect_by_their_margin(
        self, distance: KnnDistance | ProbeDistance
    ) -> None:
        p = pair()

        def at(noise: float) -> Pair:
            drawn = [
                torch.randn(len(labels), 2, generator=SEED.child(name).torch())
                for name, labels in (("fit", p.labels_fit), ("gate", p.labels_gate))
            ]
            fit, gate = (
                torch.nn.functional.one_hot(labels, 2) + noise * random
                for labels, random in zip((p.labels_fit, p.labels_gate), drawn, strict=True)
            )
            return replace(p, source_fit=fit, source_gate=gate)

        near, far, wrong = (distance(at(noise), SEED) for noise in (0.01, 0.4, 30.0))
        assert near.value == 0
        assert near.surplus > 0
        assert near.order < far.order < wrong.order

    def test_draw_gate_rows_for_the_interval(self, distance: KnnDistance | ProbeDistance) -> None:
        intervals = IntervalConfig(draws=100, level=0.9)
        measurement = replace(distance, intervals=intervals)(pair(), SEED)
        assert len(measurement.draws) == 100
        assert measurement.interval is not None
        low, high = measurement.interval
        assert low < measurement.value < high
        assert measurement.value == distance(pair(), SEED).value


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"k": 0}, "'k' of KnnConfig must be at least 1"),
        ({"metric": "hamming"}, "'metric' of KnnConfig must be one of cosine, euclidean"),
    ],
    ids=["k", "metric"],
)
def test_config_refuses_what_makes_no_sense(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        KnnConfig(**wrong)  # type: ignore[arg-type]
