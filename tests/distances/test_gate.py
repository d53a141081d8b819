from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from tests.distances.digit_tasks import PAIR, representative_of, task_of
from torch import Tensor
from torch.nn import functional

from tanas.distances.base import Measurement, Pair
from tanas.distances.gate import Gate, GateConfig, Trace, areas, crossing, judged, resampled_performances
from tanas.distances.heads import fit_ridge
from tanas.distances.intervals import IntervalConfig, row_counts
from tanas.distances.pairs import make_pair
from tanas.ground.errors import SettingError
from tanas.ground.seeds import Seed
from tanas.tasks.performance import confusion_of, performance_of

LABELS = (0,) * 8 + (1,) * 2


@pytest.fixture(scope="module")
def pair() -> Pair:
    return make_pair(representative_of(0), representative_of(3), task_of(3), PAIR)


@pytest.fixture
def ten(pair: Pair) -> Pair:
    """Ten gate rows, eight of one class and two of the other."""
    return replace(
        pair,
        labels_gate=torch.tensor(LABELS),
        source_gate=pair.source_gate[:10],
        target_gate=pair.target_gate[:10],
        epsilon=0.04,
    )


def asks(**changes: Any) -> GateConfig:
    """A gate on the head's answers, by the task's own measure and epsilon."""
    return replace(GateConfig(slack=None, measure=None), **changes)


def scoring(answers: Tensor) -> Tensor:
    """Scores of two classes that give answers."""
    return functional.one_hot(answers, 2).float()


def wrong_at(*rows: int) -> Tensor:
    """Scores whose answers are right but for some rows."""
    answers = torch.tensor(LABELS)
    answers[list(rows)] = 1 - answers[list(rows)]
    return scoring(answers)


class TestCrossing:
    def test_lies_where_a_line_over_the_logarithm_meets_the_gate(self) -> None:
        # l = 0.9 + 0.1 ln d / ln 10, a line over ln d: at the gate 0.75 the density is 10^-1.5
        densities = (1.0, 0.1, 0.01, 0.001)
        met = crossing(densities, (0.9, 0.8, 0.7, 0.6), 0.75)
        assert met.value == pytest.approx(10**-1.5)
        assert (met.shortfall, met.surplus) == (0, 0)

    def test_is_a_tried_density_where_that_reaches_the_gate_exactly(self) -> None:
        assert crossing((1.0, 0.1, 0.01), (0.9, 0.8, 0.5), 0.8).value == pytest.approx(0.1)

    def test_is_weighed_by_how_near_both_ends_come(self) -> None:
        met = crossing((1.0, 0.01), (0.9, 0.5), 0.8)
        assert met.value == pytest.approx(math.exp(0.25 * math.log(0.01)))

    def test_is_one_with_what_is_missing_where_the_whole_fails(self) -> None:
        met = crossing((1.0, 0.5), (0.7, 0.95), 0.9)
        assert met.value == 1
        assert met.shortfall == pytest.approx(0.2)
        assert met.surplus == 0

    def test_is_the_least_tried_with_what_is_left_over_where_all_pass(self) -> None:
        met = crossing((1.0, 0.1, 0.001), (0.9, 0.9, 0.85), 0.8)
        assert (met.value, met.shortfall) == (0.001, 0)
        assert met.surplus == pytest.approx(0.05)

    def test_ends_the_way_down_at_the_first_that_fails(self) -> None:
        met = crossing((1.0, 0.5, 0.25, 0.1), (0.9, 0.7, 0.9, 0.1), 0.8)
        assert met.value == pytest.approx(math.sqrt(0.5))

    def test_does_not_move_when_the_gate_falls_unless_down(self) -> None:
        densities = tuple(0.5**power for power in range(8))
        performances = (0.95, 0.93, 0.94, 0.8, 0.85, 0.4, 0.3, 0.1)
        gates = np.linspace(1, 0, 200)
        met = [crossing(densities, performances, gate) for gate in gates]
        orders = [one.value + one.shortfall - one.surplus for one in met]
        assert orders == sorted(orders, reverse=True)
        assert len(set(orders)) == len(orders)


class TestOrder:
    def test_sorts_saturated_measurements_by_shortfall_and_surplus(self) -> None:
        def measured(value: float, shortfall: float = 0.0, surplus: float = 0.0) -> Measurement:
            return Measurement(
                source="a", target="b", same=False, value=value, shortfall=shortfall, surplus=surplus
            )

        nearest_first = [
            Measurement(source="b", target="b", same=True, value=0.0),
            measured(0.001),
            measured(0.4),
            measured(1.0),
            measured(1.0, shortfall=0.1),
            measured(1.0, shortfall=0.3),
        ]
        assert sorted(reversed(nearest_first), key=lambda m: m.order) == nearest_first
        assert measured(0.001, surplus=0.02).order < measured(0.001, surplus=0.01).order
        assert measured(1.0, shortfall=0.25).order == 1.25


class TestAsked:
    def test_own_is_what_the_features_of_b_reach_minus_the_slack(self, ten: Pair) -> None:
        gate = Gate(asks(), ten)
        own = wrong_at(0)  # balanced accuracy (7/8 + 1) / 2, l = 7/8
        assert gate.score(own) == pytest.approx(7 / 8)
        assert gate.asked(own, wrong_at(0, 1)) == pytest.approx(7 / 8 - 0.04)

    def test_absolute_is_one_minus_the_slack(self, ten: Pair) -> None:
        gate = Gate(asks(asked="absolute", slack=0.1), ten)
        assert gate.asked(wrong_at(0), wrong_at(0, 1)) == pytest.approx(0.9)

    def test_dense_is_what_the_whole_map_reaches_minus_the_slack(self, ten: Pair) -> None:
        gate = Gate(asks(asked="dense"), ten)
        assert gate.asked(wrong_at(0), wrong_at(0, 1)) == pytest.approx(6 / 8 - 0.04)

    def test_slack_is_the_epsilon_of_b_unless_it_is_set(self, ten: Pair) -> None:
        assert Gate(asks(), ten).slack == ten.epsilon
        assert Gate(asks(slack=0.2), ten).slack == 0.2
        assert Gate(asks(slack=0.0), ten).slack == 0


class TestMeasure:
    def test_is_that_of_the_task_unless_it_is_set(self, ten: Pair) -> None:
        assert ten.measure == "balanced"
        assert Gate(asks(), ten).measure == "balanced"
        other = Gate(asks(measure="accuracy"), ten)
        assert other.measure == "accuracy"
        majority = scoring(torch.zeros(10, dtype=torch.int64))
        assert Gate(asks(), ten).score(majority) == 0
        assert other.score(majority) == pytest.approx(0.8)

    def test_decides_how_the_head_is_fitted(self, pair: Pair) -> None:
        for measure in ("balanced", "accuracy"):
            scores = Gate(asks(measure=measure), pair).own_scores()
            head = fit_ridge(pair.target_fit, pair.labels_fit, 2, balanced=measure == "balanced")
            assert torch.equal(scores, head.scores(pair.target_gate))


class TestScores:
    def test_of_a_frozen_head_are_those_of_b(self, pair: Pair) -> None:
        scores = Gate(asks(head="frozen"), pair).own_scores()
        assert torch.equal(scores, pair.target_gate @ pair.head_weight.T + pair.head_bias)
        assert Gate(asks(head="frozen"), pair).score(scores) == pair.own


@pytest.mark.parametrize("measure", ["balanced", "accuracy"])
class TestResampledPerformances:
    def slowly(
        self, answers: np.ndarray, labels: np.ndarray, counts: np.ndarray, classes: int, measure: str
    ) -> np.ndarray:
        found = np.zeros((len(counts), len(answers)))
        for draw, count in enumerate(counts):
            rows = np.repeat(np.arange(len(labels)), count)
            for at, answered in enumerate(answers):
                confusion = confusion_of(labels[rows], answered[rows], classes)
                found[draw, at] = performance_of(confusion, measure)
        return found

    def test_are_those_of_each_draw_by_itself(self, measure: str) -> None:
        generator = Seed(5).numpy()
        labels = np.sort(generator.integers(0, 3, size=30))
        answers = np.where(generator.random((4, 30)) < 0.6, labels, generator.integers(0, 3, size=(4, 30)))
        counts = row_counts(30, 40)
        found = resampled_performances(answers, labels, counts, 3, measure)
        assert found.shape == (40, 4)
        np.testing.assert_allclose(found, self.slowly(answers, labels, counts, 3, measure), atol=1e-12)

    def test_leave_out_classes_that_a_draw_does_not_hold(self, measure: str) -> None:
        labels = np.array([0, 0, 1, 2])
        answers = np.array([[0, 1, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
        counts = np.array([[2, 2, 0, 0], [1, 0, 3, 0], [0, 0, 0, 4], [1, 1, 1, 1]])
        found = resampled_performances(answers, labels, counts, 4, measure)
        np.testing.assert_allclose(found, self.slowly(answers, labels, counts, 4, measure), atol=1e-12)


class TestArea:
    def test_is_that_of_the_roc_curve_scaled_to_chance(self, pair: Pair) -> None:
        gate = Gate(GateConfig(), pair)
        scores = gate.own_scores()
        expected = 2 * roc_auc_score(pair.labels_gate.numpy(), (scores[:, 1] - scores[:, 0]).numpy()) - 1
        assert gate.score(scores) == pytest.approx(expected, abs=1e-9)

    def test_of_several_classes_is_the_mean_of_each_against_the_rest(self) -> None:
        generator = Seed(6).numpy()
        labels = generator.integers(0, 3, size=60)
        scores = (generator.normal(size=(60, 3)) + np.eye(3)[labels]).astype(np.float32)
        counts = row_counts(60, 5)
        for draw, count in enumerate(counts):
            rows = np.repeat(np.arange(60), count)
            each = [
                roc_auc_score(
                    labels[rows] == one, scores[rows, one] - np.delete(scores[rows], one, axis=1).max(axis=1)
                )
                for one in range(3)
            ]
            assert areas(scores, labels, counts)[draw] == pytest.approx(2 * np.mean(each) - 1, abs=1e-9)

    def test_counts_equal_scores_half(self) -> None:
        once = np.ones((1, 10), dtype=np.int64)
        assert areas(np.zeros((10, 2), dtype=np.float32), np.array(LABELS), once)[0] == 0
        assert areas(wrong_at().numpy(), np.array(LABELS), once)[0] == 1

    def test_does_not_ask_for_a_threshold(self, ten: Pair) -> None:
        shifted = wrong_at() * 0.1 + torch.tensor([0.9, 0.0])
        assert Gate(asks(), ten).score(shifted) == 0
        assert Gate(GateConfig(), ten).score(shifted) == 1


class TestJudged:
    DENSITIES = (1.0, 0.3, 0.05)

    def traces(self, maps: int = 1) -> list[Trace]:
        wrong = [(0,), (0, 1), (0, 1, 2, 8)]
        return [
            Trace(
                scores={
                    density: wrong_at(*(row + at if row < 8 else row for row in rows))
                    for density, rows in zip(self.DENSITIES, wrong, strict=True)
                }
            )
            for at in range(maps)
        ]

    def test_is_where_the_first_map_meets_the_gate(self, ten: Pair) -> None:
        gate = Gate(asks(slack=0.2), ten)
        measured = judged(gate, wrong_at(), self.traces(), None)
        performances = (7 / 8, 6 / 8, 0.125)
        assert measured.own == 1
        assert measured.gate == pytest.approx(0.8)
        assert measured.dense == pytest.approx(7 / 8)
        assert measured.value == pytest.approx(crossing(self.DENSITIES, performances, 0.8).value)
        assert [density for density, _ in measured.curve] == list(self.DENSITIES)
        assert [reached for _, reached in measured.curve] == pytest.approx(list(performances))
        assert (measured.interval, measured.draws) == (None, ())

    @pytest.mark.parametrize("maps", [1, 3])
    @pytest.mark.parametrize("asked", ["own", "absolute", "dense"])
    def test_draws_rows_anew_for_the_map_whose_turn_it_is(self, ten: Pair, asked: str, maps: int) -> None:
        gate = Gate(asks(slack=0.2, asked=asked), ten)
        traces, own = self.traces(maps), wrong_at(3)
        intervals = IntervalConfig(draws=31, maps=maps)
        measured = judged(gate, own, traces, intervals)
        assert len(measured.draws) == 31
        labels = ten.labels_gate.numpy()
        for at, count in enumerate(row_counts(10, 31)):
            rows = np.repeat(np.arange(10), count)

            def reached(scores: Tensor, rows: np.ndarray = rows) -> float:
                confusion = confusion_of(labels[rows], scores.argmax(dim=1).numpy()[rows], 2)
                return performance_of(confusion, "balanced")

            trace = traces[at % maps]
            performances = [reached(scores) for scores in trace.scores.values()]
            against = {"own": reached(own), "absolute": 1.0, "dense": performances[0]}[asked]
            met = crossing(trace.densities, performances, against - 0.2)
            order = met.value + met.shortfall - met.surplus
            assert measured.draws[at] == pytest.approx(order, abs=2e-6), at
        assert measured.interval == pytest.approx(intervals.around(measured.value, measured.draws))

    def test_draws_the_same_rows_for_each_source_of_a_target(self, ten: Pair) -> None:
        gate, intervals = Gate(asks(slack=0.2), ten), IntervalConfig(draws=60, maps=1)
        worse = [
            replace(trace, scores={at: self.with_another_error(a) for at, a in trace.scores.items()})
            for trace in self.traces()
        ]
        near = judged(gate, wrong_at(), self.traces(), intervals)
        other = replace(ten, source="another", source_gate=ten.source_gate + 1)
        far = judged(Gate(gate.config, other), wrong_at(), worse, intervals)
        # one more error never helps in the same draw; in draws of one's own it would seem to now and then
        assert all(a <= b for a, b in zip(near.draws, far.draws, strict=True))
        assert not all(a <= b for a, b in zip(near.draws, reversed(far.draws), strict=True))

    def with_another_error(self, scores: Tensor) -> Tensor:
        answers = scores.argmax(dim=1)
        answers[7] = 1
        return scoring(answers)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"asked": "half"}, "The 'asked' of GateConfig must be one of own, absolute, dense"),
        ({"head": "none"}, "The 'head' of GateConfig must be one of ridge, frozen"),
        ({"measure": "f1"}, "The 'measure' of GateConfig must be one of area, balanced, accuracy"),
        ({"slack": 1.1}, r"The 'slack' of GateConfig must be in \[0, 1\]"),
    ],
    ids=lambda case: "" if isinstance(case, str) else next(iter(case)),
)
def test_a_setting_that_makes_no_sense_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        asks(**wrong)  # type: ignore[arg-type]
