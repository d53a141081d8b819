import re
from dataclasses import replace

import pytest

from tanas.algorithm.result import NO_SEARCH, Grown, Outlook, Reference, Sized
from tanas.reports.chart_data import wilson
from tanas.reports.sentences import (
    amount,
    answer,
    calibrated,
    caveat,
    choice,
    duration,
    inheritance,
    outlook,
    percent,
    shorten,
    standing,
    taken,
    trained_on,
    transformation,
    verdict,
)


def numbers(text):
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]


def with_errors(result, **errors):
    return replace(result, metrics=replace(result.metrics, **errors))


def reference_of(result, *, taken=False, replaces=True):
    return Reference(
        architecture=result.architecture,
        parameters=90_000,
        macs=10,
        found="abc",
        validation_performance=0.9,
        found_validation_performance=0.8,
        replaces=replaces,
        taken=taken,
    )


def with_rival(result, balanced, *, error=None, name="SVM on HOG"):
    """The same with another best rival."""
    error = balanced if error is None else error
    best = replace(result.rivals[0], name=name, test_error=error, test_balanced_error=balanced)
    return replace(result, rivals=(best, result.rivals[1]))


class TestAnswer:
    def test_holds_the_numbers_of_the_result(self, moon):
        metrics = moon.metrics
        said = numbers(answer(moon))
        assert said[0] == moon.parameters
        shares = (
            metrics.test_error,
            metrics.test_balanced_error,
            metrics.constant_error,
        )
        assert said[1:] == [round(100 * share, 2) for share in shares]

    def test_names_few_classes_and_counts_many(self, moon, digits):
        few = replace(moon, task=replace(moon.task, classes=("a", "b", "c")))
        assert "a, b and c" in answer(few)
        assert "10 classes of digits" in answer(digits)


class TestChoice:
    def test_says_what_the_configuration_asked_for(self, moon):
        def said(**fuse):
            return choice(replace(moon, config={"fuse": fuse}))

        by_alpha, by_loss = said(choice="alpha", final="score"), said(choice="loss", final="last")
        assert "alpha" in by_alpha and "score" in by_alpha
        assert "loss" in by_loss and "score" not in by_loss
        assert "performance" in said(choice="performance")

    def test_of_what_was_grown_the_last_winner_is_found_as_no_score_is_asked(self, moon):
        sized = Sized(architecture=moon.architecture, parameters=2_000, macs=10, score=None)
        grown = Grown(
            aim="grow", origin="x", before=sized, after=sized, differences=(), recorded=None,
            kept_weights=False, weights="",
        )  # fmt: skip
        said = choice(replace(moon, grown=grown, config={"fuse": {"final": "score"}}))
        assert said and "score" not in said

    def test_says_that_the_winner_of_one_round_was_found_if_it_was(self, moon):
        past, config = moon.rounds[0], {"fuse": {"final": "score"}}
        won, lost = (
            choice(replace(moon, rounds=(past,), architecture=past.candidates[place], config=config))
            for place in (past.winner, past.winner - 1)
        )
        assert "score" not in won and "score" in lost

    def test_is_silent_where_there_are_no_alphas(self, moon):
        alone = replace(moon, rounds=tuple(replace(past, stages=()) for past in moon.rounds))
        assert choice(alone) == ""


class TestTransformation:
    def grown(self, result, differences, parameters):
        sized = Sized(architecture=result.architecture, parameters=2_000, macs=10, score=None)
        grown = Grown(
            aim="grow",
            origin="the network of moon",
            before=sized,
            after=replace(sized, parameters=parameters),
            differences=differences,
            recorded=None,
            kept_weights=False,
            weights="",
        )
        return replace(result, grown=grown)

    def test_says_what_changed_and_by_how_much(self, moon):
        said = transformation(self.grown(moon, ("cells of the stages 1 became 2", "1 stage became 2"), 5_000))
        for told in ("the network of moon", "2,000", "2.5 times", "stages 1 became 2", "1 stage became 2"):
            assert told in said

    def test_says_when_nothing_better_was_found(self, moon):
        said = transformation(self.grown(moon, (), 2_000))
        assert "the network of moon" in said and "times" not in said

    def test_says_nothing_of_a_search(self, moon):
        assert transformation(moon) == ""


class TestVerdict:
    def test_says_when_nothing_was_learnt(self, moon):
        useless = with_errors(moon, test_balanced_error=0.5)
        assert "constant answer" in verdict(useless)

    def test_says_when_a_rival_is_better(self, moon):
        said = verdict(with_rival(moon, 0.001))
        assert "SVM on HOG" in said and "use it" in said

    def test_says_that_other_images_decided_between_it_and_no_search(self, moon):
        better = with_rival(moon, 0.001, name=NO_SEARCH)
        said = verdict(replace(better, reference=reference_of(moon, taken=False)))
        assert "eference network" in said and "use it" not in said
        assert "use it" in verdict(replace(better, reference=reference_of(moon, replaces=False)))

    def test_says_when_the_gain_may_be_chance(self, moon):
        near = with_rival(moon, moon.metrics.test_balanced_error + 0.001, error=moon.metrics.test_error)
        assert "0.10 points" in verdict(near) and "chance" in verdict(near)

    def test_says_when_the_gain_is_clear(self, moon):
        said = verdict(with_rival(moon, 0.4))
        assert "95" in said and "chance" not in said

    def test_warns_of_a_constant_answer_that_errs_as_rarely(self, moon):
        rare = with_errors(with_rival(moon, 0.4), constant_error=moon.metrics.test_error)
        assert "balanced error" in verdict(rare)
        assert "balanced error" not in verdict(with_rival(moon, 0.4))


class TestStanding:
    """The first line of the answer."""

    def test_names_all_rivals_and_their_errors_where_the_network_is_best(self, moon):
        own = percent(moon.metrics.test_balanced_error, 1800)
        svm, logistic = (percent(one.test_balanced_error, 1800) for one in moon.rivals)
        said = standing(moon)
        assert said.startswith(own) and "1,800" in said
        assert f"SVM on HOG ({svm})" in said and f"logistic regression ({logistic})" in said
        assert "not better" not in said

    def test_names_the_rivals_that_are_better(self, moon):
        said = standing(with_rival(moon, 0.001))
        assert re.search(r"better than logistic regression.* not better than an SVM on HOG", said)

    def test_says_who_is_level(self, moon):
        said = standing(with_rival(moon, moon.metrics.test_balanced_error))
        assert "equal to an SVM on HOG" in said and "better than logistic regression" in said

    def test_goes_by_the_error_that_performance_goes_by(self, moon):
        plain = replace(moon, task=replace(moon.task, performance="accuracy"))
        assert standing(plain).startswith(percent(moon.metrics.test_error, 1800))
        assert "balanced" not in standing(plain)

    def test_stands_alone_where_there_are_no_rivals(self, moon):
        own = percent(moon.metrics.test_balanced_error, 1800)
        said = standing(replace(moon, rivals=()))
        assert said.startswith(own) and "better" not in said


class TestTaken:
    def said(self, moon, **changes):
        return taken(replace(moon, reference=reference_of(moon, **changes)))

    def test_says_when_the_search_found_nothing_better(self, moon):
        said = self.said(moon, taken=True)
        assert "0.8000" in said and "0.9000" in said

    def test_says_what_no_search_is(self, moon):
        said = self.said(moon, taken=False)
        assert "0.8000" in said and "0.9000" in said
        assert "clearly better" in said and "clearly better" not in self.said(moon, replaces=False)
        assert taken(moon) == ""

    def test_says_when_the_search_ended_with_the_reference_network(self, moon):
        same = replace(reference_of(moon, taken=True), found=moon.architecture.key)
        said = taken(replace(moon, reference=same))
        assert "reference network" in said and not numbers(said)


class TestOutlook:
    def said(self, moon, *, half_images, half_epochs):
        known = Outlook(
            half_images=half_images,
            half_epochs=half_epochs,
            whole=0.1,
            images_spread=0.01,
            epochs_spread=0.02,
        )
        return outlook(replace(moon, training=replace(moon.training, outlook=known)))

    def test_says_what_half_of_the_images_and_of_the_epochs_cost(self, moon):
        said = self.said(moon, half_images=0.25, half_epochs=0.13)
        assert numbers(said) == [12.0, 1.0, 3.0, 2.0]
        assert "more images would probably help" in said
        assert "longer training would probably help" not in said, "three points are not twice their spread"
        assert "longer training would probably help" in self.said(moon, half_images=0.1, half_epochs=0.15)

    def test_of_an_older_result_is_empty(self, moon):
        assert outlook(replace(moon, training=replace(moon.training, outlook=None))) == ""


class TestTrainedOn:
    def test_says_how_many_images_trained_what_and_why_the_recipe(self, moon):
        said = trained_on(moon)
        assert "light" in said and "15 epochs" in said
        assert "plain 0.310, light 0.250" in said
        assert all(number in said for number in ("6,400", "48,000", "49,600"))

    def test_says_nothing_of_a_refit_that_was_left_out(self, moon):
        alone = replace(moon, training=replace(moon.training, refit_images=0, tried=()))
        assert "49,600" not in trained_on(alone) and "0.310" not in trained_on(alone)


class TestCaveat:
    def test_counts_the_wrong_answers_and_gives_their_interval(self, moon):
        wrong = sum(sum(row) for row in moon.confusion) - sum(moon.confusion[i][i] for i in range(2))
        low, high = wilson(wrong, moon.task.test)
        said = caveat(moon)
        assert f"{wrong} of 1,800 test images" in said
        assert numbers(said)[-2:] == [round(100 * low, 2), round(100 * high, 2)]


class TestInheritance:
    def test_names_the_tasks_that_were_reused(self, moon):
        said = inheritance(moon)
        assert "10 remembered tasks" in said and "nearest 3" in said
        assert all(neighbour.atom in said for neighbour in moon.neighbours)
        other = inheritance(replace(moon, neighbours=moon.distances[2:3]))
        assert moon.distances[2].atom in other and "nearest" not in other, "the nearest had nothing to give"

    def test_says_when_nothing_was_searched(self, moon):
        said = inheritance(replace(moon, stopped="reused"))
        assert said and not any(neighbour.atom in said for neighbour in moon.neighbours)

    def test_says_when_nothing_was_reused(self, moon):
        said = inheritance(replace(moon, neighbours=()))
        assert "10 remembered tasks" in said and not any(one.atom in said for one in moon.distances)

    def test_says_when_no_distance_was_asked_for(self, moon):
        every = replace(moon, neighbours=(), distances=(), space=replace(moon.space, related="all"))
        own = (("itself", moon.task.fingerprint),)
        nothing, alone = (inheritance(replace(every, dictionary=known)) for known in ((), own))
        assert nothing == alone != inheritance(every)


@pytest.mark.parametrize(
    ("wrong", "images", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (1, 10, 0.0179, 0.4042),
        (50, 100, 0.4038, 0.5962),
        (10, 10, 0.7225, 1.0),
        (0, 0, 0.0, 1.0),
    ],
)
def test_wilson_gives_the_known_intervals(wrong, images, low, high):
    assert wilson(wrong, images) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (9.96, "10 s"), (59.7, "1 min"), (80, "1 min 20 s"), (3599.6, "1 h"), (7500, "2 h 5 min")],
)
def test_durations_read_as_a_person_says_them(seconds, text):
    assert duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == text


def test_large_amounts_keep_three_digits():
    assert amount(43210) == "43,210"
    assert amount(5 * 10**10) == "5.00 × 10¹⁰"


def test_long_names_lose_their_middle():
    short = shorten("npz:../shared/quickdraw/one_style.npz:is=moon", 30)
    assert len(short) == 30
    assert short.startswith("npz:")
    assert short.endswith("one_style.npz:is=moon"[-17:])
    assert shorten("two\n words") == "two words"


class TestCalibrated:
    def test_says_how_far_confidence_can_be_believed(self, moon):
        said = numbers(calibrated(moon))
        assert said[0] == round(100 * moon.metrics.test_calibration_error, 1)
        assert said[1] == moon.training.temperature

    def test_says_nothing_where_an_older_version_measured_nothing(self, moon):
        assert calibrated(with_errors(moon, test_calibration_error=None)) == ""
