"""Networks under one recipe: the learning rate is chosen on validation, and the test split is seen once."""

from dataclasses import replace

import pytest
from tests.opened import opened
from tests.sessions import without_times

from tanas.ground.checkpoints import FolderCheckpoint
from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError, SearchError, SettingError, UnknownNameError
from tanas.ground.events import StepStarted, Warned
from tanas.ground.records import to_plain
from tanas.ground.seeds import Seed
from tanas.networks.architecture import build
from tanas.networks.training import TrainingConfig, evaluate, fit
from tanas.spaces.named import named_space
from tanas.strategies.base import training_macs
from tanas.tasks.library import Library
from tanas_experiments import handmade as module
from tanas_experiments.handmade import (
    Before,
    RateConfig,
    RateTried,
    TrainedConfig,
    seconds_expected,
    subject_cost,
    train_and_test,
)

CONFIG = TrainedConfig(
    limit=200,
    training=TrainingConfig(epochs=3, batch=32),
    rates=RateConfig(rates=(1e-3, 1e-2), images=100, epochs=2),
)
NAME = "residual@1500"


@pytest.fixture(scope="module")
def task():
    return Library().open("digits:is=8")


@pytest.fixture(scope="module")
def made(task):
    return train_and_test(NAME, task, CONFIG, Context(seed=Seed(0)))


def architecture_for(task):
    classes = len(task.classes)
    space = named_space("standard", shape=task.shape)
    return space.sample(1, seed=Seed(3), shape=task.shape, classes=classes)[0]


def test_each_rate_of_the_grid_is_tried_and_the_best_by_validation_is_chosen(made):
    assert [one.learning_rate for one in made.rates] == [1e-3, 1e-2]
    best = max(made.rates, key=lambda one: (one.score, -one.loss))
    assert made.learning_rate == best.learning_rate
    assert made.network == NAME


def test_of_equal_scores_the_lower_loss_wins_and_a_diverged_rate_never():
    poor = RateTried(learning_rate=1e-3, score=0.0, loss=0.7)
    good = RateTried(learning_rate=1e-2, score=0.0, loss=0.3)
    gone = RateTried(learning_rate=1e-1, score=None, loss=None)
    assert max((poor, good, gone), key=lambda one: one.rank) is good
    assert max((gone, poor), key=lambda one: one.rank) is poor
    same = replace(good, learning_rate=3e-3)
    assert max((good, same), key=lambda one: one.rank) is same


def test_the_costs_are_those_of_all_trainings(made, task):
    cost = subject_cost(NAME, task.shape, 2)
    assert (made.parameters, made.macs) == (cost.parameters, cost.macs)
    assert made.rate_macs == 2 * training_macs(cost.macs, 2 * 100)
    assert made.train_macs == training_macs(cost.macs, 3 * 200)
    assert made.rate_s > 0
    assert made.train_s > 0


def test_the_test_split_is_out_of_reach_until_the_end(task, monkeypatch):
    seen = []
    monkeypatch.setattr(
        module, "judged", lambda network, given, **kw: seen.append(given._test is not None) or JUDGEMENT
    )
    without = replace(task, _test=None)
    with pytest.raises(Exception, match="can't be reached"):
        train_and_test(NAME, without, CONFIG, Context(seed=Seed(0)))
    assert seen == [False, False]


class JUDGEMENT:
    score, loss = 0.5, 0.5


def test_an_architecture_comes_to_what_the_final_training_of_a_search_comes_to(task):
    architecture = architecture_for(task)
    alone = replace(CONFIG, rates=replace(CONFIG.rates, rates=(1e-2,)))
    found = train_and_test(architecture, task, alone, Context(seed=Seed(5)))
    small = task.measured_by("balanced").limited(200)
    network = build(architecture, task.shape, 2, Seed(5).child("final", "weights"))
    fit(
        network,
        small.train,
        replace(CONFIG.training, learning_rate=1e-2),
        classes=2,
        at=Context(seed=Seed(5).child("final", "order")),
    )
    assert found.test_error == evaluate(network, opened(task), classes=2).error
    assert found.network == architecture.key


def test_what_a_search_has_trained_is_taken_where_its_rate_is_the_chosen_one(task, made):
    before = Before(
        learning_rate=made.learning_rate,
        validation_error=0.25,
        validation_balanced_error=0.26,
        test_error=0.27,
        test_balanced_error=0.28,
        took_s=9.0,
    )
    steps = []
    taken = train_and_test(NAME, task, CONFIG, Context(seed=Seed(0), listener=steps.append), before=before)
    figures = (taken.validation_error, taken.validation_balanced_error)
    assert (*figures, taken.test_error, taken.test_balanced_error) == (0.25, 0.26, 0.27, 0.28)
    assert (taken.train_s, taken.train_macs) == (9.0, made.train_macs)
    trained = [e.step for e in steps if isinstance(e, StepStarted) and e.step.startswith("train")]
    assert trained == []
    (other,) = (rate for rate in CONFIG.rates.rates if rate != made.learning_rate)
    anew = train_and_test(
        NAME, task, CONFIG, Context(seed=Seed(0)), before=replace(before, learning_rate=other)
    )
    assert without_times(to_plain(anew)) == without_times(to_plain(made))


def diverging(rates, steps=("try", "train")):
    """`fit`, but that some learning rates diverge in some steps."""

    def fitted(network, split, config, **options):
        if config.learning_rate in rates and options["step"].startswith(steps):
            raise NonFiniteError("The training loss is nan.")
        return fit(network, split, config, **options)

    return fitted


def test_a_rate_that_diverges_is_left_out_and_said_so(task, monkeypatch):
    told = []
    monkeypatch.setattr(module, "fit", diverging({1e-2}))
    found = train_and_test(NAME, task, CONFIG, Context(seed=Seed(0), listener=told.append))
    assert found.learning_rate == 1e-3
    assert (found.rates[1].score, found.rates[1].loss) == (None, None)
    assert any(isinstance(e, Warned) and "learning rate 0.01" in e.message for e in told)


def test_where_only_the_final_training_diverges_the_next_rate_is_taken_and_both_are_paid_for(
    task, monkeypatch, made
):
    monkeypatch.setattr(module, "fit", diverging({made.learning_rate}, ("train",)))
    found = train_and_test(NAME, task, CONFIG, Context(seed=Seed(0)))
    assert found.learning_rate != made.learning_rate
    assert found.train_macs == 2 * made.train_macs


def test_where_every_rate_diverges_it_is_an_error(task, monkeypatch):
    monkeypatch.setattr(module, "fit", diverging({1e-2, 1e-3}))
    with pytest.raises(SearchError, match="diverged on digits:is=8 with every learning rate of 0.001, 0.01"):
        train_and_test(NAME, task, CONFIG, Context(seed=Seed(0)))


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_what_was_cut_off_goes_on_to_the_same_figures(task, made, tmp_path, monkeypatch, cut):
    calls = []

    def stopping(network, split, config, **options):
        calls.append(options["step"])
        if len(calls) == cut:
            raise KeyboardInterrupt
        return fit(network, split, config, **options)

    checkpoint = FolderCheckpoint(tmp_path)
    monkeypatch.setattr(module, "fit", stopping)
    with pytest.raises(KeyboardInterrupt):
        train_and_test(NAME, task, CONFIG, Context(seed=Seed(0), checkpoint=checkpoint))
    again = train_and_test(NAME, task, CONFIG, Context(seed=Seed(0), checkpoint=checkpoint))
    assert without_times(to_plain(again)) == without_times(to_plain(made))
    assert len(calls) == 4, "what was done is not done again"


def test_the_expected_time_is_positive_and_touches_no_test_image(task):
    assert seconds_expected(NAME, replace(task, _test=None), CONFIG, "cpu") > 0


def test_settings_out_of_range_are_refused():
    with pytest.raises(SettingError, match="The 'rates' of RateConfig must be different learning rates"):
        RateConfig(rates=())
    with pytest.raises(SettingError, match="The 'rates' of RateConfig must be different learning rates"):
        RateConfig(rates=(0.1, 0.1))
    with pytest.raises(SettingError, match="The 'rates' of RateConfig must be greater than 0"):
        RateConfig(rates=(0.0,))
    with pytest.raises(SettingError, match="The 'epochs' of RateConfig must be at least 1"):
        RateConfig(epochs=0)


def test_an_unknown_network_is_refused(task):
    with pytest.raises(UnknownNameError, match="'resnet81' is no network of the zoo"):
        train_and_test("resnet81", task, CONFIG, Context(seed=Seed(0)))


def test_trials_on_few_images_get_more_epochs_where_the_final_training_does() -> None:
    rates = RateConfig(images=1_000, epochs=4)
    plain, least = TrainingConfig(batch=128), TrainingConfig(batch=128, least_steps=150)
    assert rates.suited_to(160, plain) == rates
    assert rates.suited_to(160, least).epochs == 50  # of two steps
    assert rates.suited_to(12_000, least).epochs == 13  # no more than 1,000 of them
    assert RateConfig(images=4_000, epochs=4).suited_to(12_000, least).epochs == 4
    assert TrainedConfig(training=least, rates=rates).suited_to(160).training.epochs == 75
