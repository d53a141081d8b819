import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.distances.digit_tasks import representative_in_colour, representative_of, task_of

from tanas.ground.errors import SettingError, TaskError
from tanas.ground.seeds import Seed
from tanas.networks.training import TrainingConfig
from tanas_experiments.transfer import (
    STATISTICS,
    TransferConfig,
    estimates,
    fit_logistic,
    scores,
    scores_of_chance,
    scores_of_orders,
    static_orders,
    transfer_value,
)

QUICK = TransferConfig(
    images=60,
    draws=2,
    test_images=200,
    training=TrainingConfig(epochs=10, batch=20, learning_rate=3e-3, class_weights=True),
)
NAN = float("nan")


class TestTransferValue:
    def test_a_source_is_worth_more_to_its_own_task_than_to_another(self):
        own = transfer_value(representative_of(3), task_of(3), QUICK, seed=Seed(0))
        other = transfer_value(representative_of(0), task_of(3), QUICK, seed=Seed(0))
        assert np.mean(own.frozen) > np.mean(other.frozen) + 0.05
        assert np.mean(own.fine_tuned) > np.mean(other.fine_tuned) + 0.05

    def test_of_a_poor_source_is_more_when_it_is_fine_tuned(self):
        value = transfer_value(representative_of(0), task_of(3), QUICK, seed=Seed(0))
        assert np.mean(value.fine_tuned) > np.mean(value.frozen)

    def test_repeats_exactly_and_has_a_value_for_each_draw(self):
        first = transfer_value(representative_of(0), task_of(3), QUICK, seed=Seed(0))
        assert first == transfer_value(representative_of(0), task_of(3), QUICK, seed=Seed(0))
        assert len(first.frozen) == len(first.fine_tuned) == 2
        assert first.frozen[0] != first.frozen[1]

    def test_leaves_the_representative_as_it_was(self):
        source = representative_of(1)
        before = {name: value.clone() for name, value in source.network.state_dict().items()}
        transfer_value(source, task_of(3), replace(QUICK, draws=1), seed=Seed(0))
        after = source.network.state_dict()
        assert all(torch.equal(value, after[name]) for name, value in before.items())

    def test_takes_a_source_of_other_channels_and_size(self):
        value = transfer_value(representative_in_colour(3, 12), task_of(3), QUICK, seed=Seed(0))
        assert np.mean(value.frozen) > 0.5
        assert np.mean(value.fine_tuned) > 0.5

    def test_refuses_a_task_whose_test_split_is_out_of_reach(self):
        with pytest.raises(TaskError, match="test split of digits:is=3 can't be reached"):
            transfer_value(representative_of(0), task_of(3).without_test(), QUICK, seed=Seed(0))

    def test_refuses_no_draws(self):
        with pytest.raises(SettingError, match="'draws' of TransferConfig"):
            TransferConfig(draws=0)


class TestFitLogistic:
    @staticmethod
    def clouds(classes):
        labels = torch.arange(60) % classes
        centres = torch.eye(classes, 20) * 4
        return centres[labels] + torch.randn(60, 20, generator=Seed(0).torch()), labels

    @pytest.mark.parametrize("classes", [2, 3])
    def test_tells_separate_classes_apart(self, classes):
        features, labels = self.clouds(classes)
        answers = fit_logistic(features[:30], labels[:30], classes).answers(features[30:])
        assert (answers == labels[30:]).float().mean() > 0.9

    @pytest.mark.parametrize("classes", [2, 3])
    def test_does_not_depend_on_shift_and_scale(self, classes):
        features, labels = self.clouds(classes)
        moved = features * 64 + 128
        plain = fit_logistic(features[:30], labels[:30], classes).answers(features[30:])
        assert (plain == fit_logistic(moved[:30], labels[:30], classes).answers(moved[30:])).all()

    def test_knows_a_class_of_a_single_image(self):
        features, labels = self.clouds(3)
        kept = torch.cat([torch.nonzero(labels != 2).flatten(), torch.tensor([2])])
        answers = fit_logistic(features[kept], labels[kept], 3).answers(features[labels == 2])
        assert (answers == 2).float().mean() > 0.4  # a third by chance


class TestScores:
    values = np.array([0.9, 0.7, 0.5, 0.2])

    def test_of_the_right_order_are_perfect(self):
        assert scores(self.values, -self.values) == pytest.approx([1, 0, 0])

    def test_of_the_reversed_order_are_the_worst(self):
        assert scores(self.values, self.values) == pytest.approx([-1, 0.7, 0.2])

    def test_of_an_order_without_differences_foretell_nothing(self):
        assert scores(self.values, np.zeros(4))[0] == 0

    def test_hold_it_against_a_method_that_it_refuses_the_best(self):
        assert scores(self.values, np.array([NAN, 1, 2, 3])) == pytest.approx([1, 0.2, 0.2])

    def test_are_missing_where_two_sources_are_ordered_or_a_value_is_not_known(self):
        assert np.isnan(scores(self.values, np.array([NAN, NAN, 1, 2]))).all()
        assert np.isnan(scores(np.array([NAN, 0.7, 0.5, 0.2]), np.arange(4.0))).all()

    def test_of_chance_are_the_mean_over_all_orders(self):
        values = np.array([0.9, 0.4, 0.7, 0.2, 0.5])
        each = [scores(values, np.array(order, dtype=float)) for order in itertools.permutations(range(5))]
        found = scores_of_chance(values[None, None])
        assert found.shape == (1, 1, len(STATISTICS))
        assert found[0, 0] == pytest.approx(np.mean(each, axis=0), abs=1e-12)

    def test_of_chance_are_missing_where_a_value_is_not_known(self):
        assert np.isnan(scores_of_chance(np.array([[[0.5, NAN, 0.1]]]))).all()


class TestStaticOrders:
    values = np.array([[[0.9, 0.1, 0.5]], [[0.2, 0.8, 0.5]], [[0.3, 0.7, 0.5]]])  # (targets, seeds, sources)

    def test_rank_by_the_mean_over_the_other_targets(self):
        assert static_orders(self.values)[0, 0] == pytest.approx([-0.25, -0.75, -0.5])

    def test_know_nothing_of_the_target_itself(self):
        changed = self.values.copy()
        changed[0] = [[0.0, 1.0, 0.0]]
        assert static_orders(changed)[0] == pytest.approx(static_orders(self.values)[0])

    def test_leave_out_targets_that_were_not_measured(self):
        changed = self.values.copy()
        changed[2] = NAN
        assert static_orders(changed)[0, 0] == pytest.approx([-0.2, -0.8, -0.5])

    def test_are_missing_for_the_only_target(self):
        assert np.isnan(static_orders(self.values[:1])).all()


class TestEstimates:
    def found(self, targets=6):
        values = Seed(0).numpy().random((targets, 2, 8))
        orders = -values + Seed(1).numpy().normal(0, 0.3, values.shape)
        return scores_of_orders(values, orders)

    def test_are_means_over_targets_and_seeds_inside_their_intervals(self):
        found = self.found()
        known = estimates(found, Seed(2))
        assert [estimate.mean for estimate in known] == pytest.approx(found.mean(axis=(0, 1)))
        assert all(estimate.interval[0] < estimate.mean < estimate.interval[1] for estimate in known)
        assert {estimate.columns for estimate in known} == {12}

    def test_are_surer_with_more_targets(self):
        few, many = estimates(self.found(4), Seed(2))[0], estimates(self.found(64), Seed(2))[0]
        assert many.interval[1] - many.interval[0] < few.interval[1] - few.interval[0]

    def test_of_a_method_against_itself_are_exactly_zero(self):
        found = self.found()
        assert all(e.mean == 0 and e.interval == (0, 0) for e in estimates(found - found, Seed(2)))

    def test_leave_out_columns_without_a_score(self):
        found = self.found()
        found[0, 1] = found[3] = NAN
        known = estimates(found, Seed(2))
        assert known[0].columns == 9
        assert known[0].mean == pytest.approx(np.nanmean(found[..., 0]))

    def test_are_none_without_any_score(self):
        assert estimates(np.full((3, 2, 3), NAN), Seed(2)) is None
