"""The final training: the recipe, what validation judges, the refit, the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.opened import opened
from torch import Tensor

from tanas.algorithm import final, trainings
from tanas.algorithm.final import Ending, finish, taking
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.rival import rivals_beside
from tanas.algorithm.trainings import Finished, shares_right
from tanas.algorithm.warm_start import Start
from tanas.ground.checkpoints import Checkpoint, FolderCheckpoint, NoCheckpoint
from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError, SettingError
from tanas.ground.events import Event, Listener, StepAdvanced, StepStarted, Warned, ignore
from tanas.ground.seeds import Seed
from tanas.networks import recipe as recipe_module
from tanas.networks.architecture import Architecture, build
from tanas.networks.cell import Cell
from tanas.networks.recipe import ChosenRecipe
from tanas.networks.skeleton import Skeleton
from tanas.networks.training import Fitted, Training, TrainingConfig, evaluation_of, logits_of
from tanas.strategies.base import Outcome
from tanas.tasks.arrays import task_from_arrays
from tanas.tasks.library import Library
from tanas.tasks.task import Split, Task

SEED = Seed(4)
EPOCHS = 2 + 2 + 2 + 2 + 4 + 4 + 2
"""Two recipes to the middle; then one to its end and its refit, half of the images for as many steps, and what was
found, with its refit."""
CONFIG = SearchConfig(
    training=TrainingConfig(epochs=4, batch=32, averaging=0.9, balanced=True), recipes=("plain", "light")
)
CELL = Cell(3, ((0, 1, "conv_3x3"), (0, 2, "identity"), (1, 2, "conv_3x3")))
SMALL, LARGE = (
    Architecture(skeleton=Skeleton(widths=(width,), cells=(1,), reductions=(False,)), cell=CELL)
    for width in (4, 8)
)


@cache
def task() -> Task:
    return Library().open("digits:only=1,7,8:take=120")


def at_work(
    *, workers: int = 2, listener: Listener = ignore, checkpoint: Checkpoint | None = None
) -> Context:
    return Context(
        seed=SEED.child("final"),
        workers=workers,
        listener=listener,
        checkpoint=checkpoint or NoCheckpoint(),
    )


def ended(config: SearchConfig = CONFIG, at: Context | None = None, **options: Any) -> Ending:
    blind, begun = task().without_test(), options.pop("network", None)
    searched = Start(architecture=SMALL, network=begun)
    return finish(searched, blind, config, at or at_work(), reference=LARGE, **options)


def states(ending: Ending) -> dict[str, Tensor]:
    parts = {"found": ending.found, "reference": ending.reference}
    return {
        f"{name} {which} {key}": value
        for name, one in parts.items()
        if one is not None
        for which, network in (("after", one.network), ("before", one.before))
        for key, value in network.state_dict().items()
    }


def assert_same(one: Ending, other: Ending) -> None:
    own, others = states(one), states(other)
    assert own.keys() == others.keys()
    assert all(torch.equal(own[name], others[name]) for name in own)
    assert one.recipe == other.recipe


@pytest.fixture
def trained_on(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """(step, images) of every training that was begun."""
    made: list[tuple[str, int]] = []
    begin = Training.__init__

    def counted(self: Training, network: Any, split: Split, *args: Any, **options: Any) -> None:
        made.append((options["step"], len(split)))
        begin(self, network, split, *args, **options)

    monkeypatch.setattr(Training, "__init__", counted)
    return made


class TestFinish:
    def test_never_reaches_the_test_split(self) -> None:
        assert not task().without_test()._test
        assert ended().found.fitted.images == len(task().train)  # `ended` is given no test split

    def test_the_network_handed_over_has_seen_validation_images_and_the_one_judged_has_not(
        self, trained_on: list[tuple[str, int]]
    ) -> None:
        ending = ended()
        train, every = len(task().train), len(task().train) + len(task().validation)
        assert ending.found.refitted is not None
        assert (ending.found.fitted.images, ending.found.refitted.images) == (train, every)
        assert len(ending.found.refitted.losses) == len(ending.found.fitted.losses) == 4
        assert (ending.found.fitted.seen, ending.found.refitted.seen) == (4 * train, 2 * every)
        middle = ending.found.fitted.losses[:2]
        assert ending.found.refitted.losses[:2] == middle != ending.found.fitted.losses[2:]
        assert {(step.split()[0], images) for step, images in trained_on} == {
            ("train", train),
            ("refit", every),
            ("outlook", train // 2),
        }
        assert not torch.equal(ending.found.network.head.weight, ending.found.before.head.weight)

    def test_without_a_refit_they_are_the_same(self) -> None:
        ending = ended(replace(CONFIG, refit=False))
        assert ending.found.refitted is None
        assert ending.found.network is ending.found.before

    def test_the_recipe_is_judged_on_the_reference_and_what_was_found_is_trained_by_it_alone(
        self, trained_on: list[tuple[str, int]]
    ) -> None:
        ending = ended()
        assert ending.recipe.judged_on == LARGE.key
        assert [one.recipe for one in ending.recipe.tried] == ["plain", "light"]
        steps = [step for step, _ in trained_on if step.startswith(f"train {SMALL.key}")]
        assert len(steps) == 1 and steps[0].endswith(ending.recipe.name)

    def test_without_a_reference_it_is_judged_on_what_was_found(self) -> None:
        ending = finish(Start(architecture=SMALL), task().without_test(), CONFIG, at_work())
        assert ending.recipe.judged_on == SMALL.key
        assert ending.reference is None and ending.other is None

    def test_a_reference_that_was_found_is_trained_once(self, trained_on: list[tuple[str, int]]) -> None:
        ending = finish(Start(architecture=SMALL), task().without_test(), CONFIG, at_work(), reference=SMALL)
        assert ending.alike and ending.reference is None and ending.other is None
        assert len(trained_on) == 4, "two recipes, a refit and half of the images"

    def test_half_of_the_images_and_half_of_the_epochs_are_held_against_the_whole(self) -> None:
        ending = ended()
        assert ending.reference is not None and ending.outlook is not None
        assert ending.outlook.whole == pytest.approx(1 - float(ending.reference.right.sum()))
        tried = next(one for one in ending.recipe.tried if one.recipe == ending.recipe.name)
        assert tried.performance == pytest.approx(1 - ending.outlook.half_epochs * 3 / 2), "above chance"
        assert ended(replace(CONFIG, outlook=False)).outlook is None
        few = task_from_arrays(*drawn(10, 3, (12, 12), 0), name="few")
        assert finish(Start(architecture=SMALL), few.without_test(), CONFIG, at_work()).outlook is None

    def test_a_single_epoch_has_no_half_and_no_outlook(self) -> None:
        short = replace(CONFIG, training=replace(CONFIG.training, epochs=1))
        assert finish(Start(architecture=SMALL), task().without_test(), short, at_work()).outlook is None

    def test_a_recipe_that_is_not_chosen_ends_in_the_middle(self) -> None:
        epochs: dict[str, int] = {}

        def told(event: Event) -> None:
            if isinstance(event, StepAdvanced):
                epochs[event.step] = epochs.get(event.step, 0) + 1

        ending = ended(at=at_work(listener=told))
        own, other = (
            next(count for step, count in epochs.items() if step.startswith("train") and step.endswith(name))
            for name in (ending.recipe.name, *({"plain", "light"} - {ending.recipe.name}))
        )
        assert (own, other) == (4, 2)
        assert ending.recipe.spent == 2 * len(task().train) + 4 * (len(task().train) // 2)

    def test_the_recipes_are_judged_by_the_weights_of_the_middle(self) -> None:
        half = replace(CONFIG, refit=False, recipes=("light",))
        training = trainings.Trainings(task().without_test(), half, at_work()).make(
            Start(architecture=LARGE), "light"
        )
        training.begin(2)
        assert training.middle is not None
        logits = logits_of(training.network_at(training.middle), task().validation)
        light = next(one for one in ended().recipe.tried if one.recipe == "light")
        assert light.loss == float(trainings.loss_shares(logits, task()).sum())

    @pytest.mark.parametrize(
        ("first", "second", "needed"),
        [("mixed", "mirrored", 1), ("mixed", "light", 2), ("light", "plain", 2)],
    )
    def test_a_later_one_needs_a_lead_of_a_standard_error_or_two_if_it_changes_images_less(
        self, first: str, second: str, needed: int
    ) -> None:
        draw = torch.randn(400, generator=torch.Generator().manual_seed(0)).double()
        draw -= draw.mean()
        spread = float(draw.square().sum().sqrt()) / 400
        earlier, later = (Start(architecture=SMALL), first), (Start(architecture=SMALL), second)
        behind = torch.ones(400).double() / 400
        for over, chosen in (((needed - 0.1) * spread, earlier), ((needed + 0.1) * spread, later)):
            losses = {earlier: behind + (draw + over) / 400, later: behind}
            assert trainings.best_try(losses) == chosen
        assert trainings.best_try({earlier: behind, later: behind + 0.1}) == earlier

    def test_a_noisy_lead_is_no_reason_to_leave_the_first(self) -> None:
        # 'pasted' is behind 'mixed', and not clearly behind 'light' because it differs so much
        draw = torch.randn(400, generator=torch.Generator().manual_seed(1)).double()
        draw -= draw.mean()
        start, mean = Start(architecture=SMALL), torch.full((400,), 0.3).double()
        noise = {"mixed": 0.0, "pasted": 2.0, "light": 0.1}
        losses = {
            (start, name): (mean + gap + noise[name] * draw) / 400
            for name, gap in (("mixed", 0.004), ("pasted", 0.03), ("light", 0.0))
        }
        assert trainings.best_try(losses) == (start, "mixed")

    def test_whichever_that_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for best in ("plain", "light"):
            losses = iter((1.0, 0.5) if best == "light" else (0.5, 1.0))  # in the order of the recipes
            monkeypatch.setattr(
                trainings, "loss_shares", lambda *_, losses=losses: torch.full((10,), next(losses) / 10)
            )
            ending = ended()
            assert ending.recipe.name == best

    def test_a_single_recipe_is_taken_without_a_choice(self, trained_on: list[tuple[str, int]]) -> None:
        ending = ended(replace(CONFIG, recipes=("light",)))
        assert (ending.recipe.name, ending.recipe.tried) == ("light", ())
        assert all(step.endswith("light") for step, _ in trained_on)

    def test_the_same_for_any_number_of_workers(self) -> None:
        assert_same(ended(at=at_work(workers=1)), ended(at=at_work(workers=3)))

    @pytest.mark.parametrize("moment", [1, 3, 4, 7, 11, 13])
    def test_resumes_to_the_same_bits_wherever_it_was_interrupted(
        self, moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tanas.networks.training.SAVED_EVERY_S", 0.0)
        epochs = 0

        def interrupted(event: Event) -> None:
            nonlocal epochs
            epochs += isinstance(event, StepAdvanced)
            if epochs == moment:
                raise KeyboardInterrupt

        checkpoint = FolderCheckpoint(tmp_path)
        with pytest.raises(KeyboardInterrupt):
            ended(at=at_work(workers=1, listener=interrupted, checkpoint=checkpoint))
        told: list[Event] = []
        again = ended(at=at_work(workers=1, listener=told.append, checkpoint=checkpoint))
        assert_same(again, ended())
        assert sum(isinstance(event, StepAdvanced) for event in told) == EPOCHS - moment, (
            "no epoch is done twice"
        )

    def test_begins_every_training_of_what_was_found_with_the_weights_that_are_given(self) -> None:
        begun = build(SMALL, task().shape, 3, Seed(99))
        before = {name: value.clone() for name, value in begun.state_dict().items()}
        one = ended(network=begun)
        assert all(torch.equal(value, begun.state_dict()[name]) for name, value in before.items()), "copied"
        assert not torch.equal(one.found.network.head.weight, ended().found.network.head.weight)
        assert_same(one, ended(network=begun))

    def test_only_balanced_performance_trains_for_equal_classes(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: set[bool] = set()
        begin = Training.__init__

        def noted(self: Training, network: Any, split: Any, config: TrainingConfig, **options: Any) -> None:
            seen.add(config.balanced)
            begin(self, network, split, config, **options)

        monkeypatch.setattr(Training, "__init__", noted)
        ended()
        assert seen == {True}
        seen.clear()
        finish(Start(architecture=SMALL), task().without_test().measured_by("accuracy"), CONFIG, at_work())
        assert seen == {False}


class TestDivergence:
    @pytest.fixture
    def diverging(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        """Lets the trainings diverge whose step matches."""
        epoch = Training._epoch

        def made(part: str) -> None:
            def runs(self: Training, number: int) -> float:
                if part in self.step:
                    raise NonFiniteError(f"The training loss of '{self.step}' is nan.")
                return epoch(self, number)

            monkeypatch.setattr(Training, "_epoch", runs)

        return made

    def test_of_one_recipe_leaves_the_other(self, diverging: Callable[[str], None]) -> None:
        diverging("light")
        recipe = ended().recipe
        assert recipe.name == "plain"
        assert [one.loss is None for one in recipe.tried] == [False, True]

    def test_of_all_recipes_is_an_error(self, diverging: Callable[[str], None]) -> None:
        diverging("train")
        with pytest.raises(NonFiniteError, match="diverged with every recipe: plain, light. Lower"):
            ended()

    def test_of_the_reference_leaves_what_was_found_alone(self, diverging: Callable[[str], None]) -> None:
        diverging(LARGE.key)
        told: list[Event] = []
        ending = ended(at=at_work(listener=told.append), replaces=True)
        assert ending.reference is None and ending.taken.architecture == SMALL
        assert ending.recipe.judged_on == SMALL.key
        assert any(
            "is not compared with the reference network" in getattr(event, "message", "") for event in told
        )

    def test_of_the_refit_leaves_the_first_network_with_a_warning(
        self, diverging: Callable[[str], None]
    ) -> None:
        diverging("refit")
        told: list[Event] = []
        ending = ended(at=at_work(listener=told.append))
        assert ending.found.refitted is None
        assert ending.found.network is ending.found.before
        warned = [event.message for event in told if isinstance(event, Warned)]
        assert any("trained on the training images alone is handed over" in message for message in warned)


def finished(architecture: Architecture, right: Tensor) -> Finished:
    network = build(architecture, task().shape, 3, SEED)
    split = task().validation
    return Finished(
        architecture=architecture,
        network=network,
        before=network,
        validation=evaluation_of(torch.zeros(len(split), 3), split, classes=3),
        temperature=1.0,
        right=right,
        fitted=Fitted(losses=(), images=1, seconds=0.0),
        refitted=None,
    )


class TestReplaced:
    """Where the reference does better, what was found is not refitted."""

    def test_what_is_not_handed_over_has_no_refit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(final, "clearly_better", lambda one, other: False)
        ending = ended(replaces=True)
        assert ending.taken.architecture == LARGE and ending.taken.refitted is not None
        assert ending.found.refitted is None
        assert ending.found.network is ending.found.before
        monkeypatch.setattr(final, "clearly_better", lambda one, other: True)
        ending = ended(replaces=True)
        assert ending.taken.architecture == SMALL and ending.taken.refitted is not None

    def test_decides_as_the_answers_on_validation_say(self) -> None:
        ending = ended(replaces=True)
        assert ending.reference is not None
        logits = [logits_of(one.before, task().validation) for one in (ending.found, ending.reference)]
        difference = shares_right(logits[0], task()) - shares_right(logits[1], task())
        clearly = float(difference.sum()) > 2 * float(difference.square().sum().sqrt())
        assert ending.reference_taken == (not clearly)
        assert (ending.found.refitted is None) == ending.reference_taken


class TestTaken:
    """Of a hundred validation images: the reference unless what was found is clearly better."""

    @pytest.mark.parametrize(
        ("gained", "lost", "replaces", "taken"),
        [
            (0, 10, True, LARGE),
            (0, 0, True, LARGE),
            (1, 0, True, LARGE),
            (14, 6, True, LARGE),  # eight images, with a standard error of the root of twenty
            (15, 5, True, SMALL),
            (4, 0, True, LARGE),
            (5, 0, True, SMALL),
            (0, 10, False, SMALL),
        ],
    )
    def test_needs_more_than_two_standard_errors(
        self, gained: int, lost: int, replaces: bool, taken: Architecture
    ) -> None:
        reference = torch.full((100,), 0.01, dtype=torch.float64)
        found = reference.clone()
        reference[:gained] = 0.0
        found[gained : gained + lost] = 0.0
        ending = Ending(
            recipe=ChosenRecipe(name="plain", tried=(), judged_on=LARGE.key, spent=0),
            settings=CONFIG.training,
            found=finished(SMALL, found),
            reference=finished(LARGE, reference),
            replaces=replaces,
            start=Start(architecture=LARGE),
        )
        assert ending.taken.architecture == taken
        assert ending.other is not None and ending.other.architecture != taken
        outcome = Outcome(best=SMALL, rounds=(), seen=(), stopped="rounds")
        made = taking(ending, outcome, task())
        assert made.best == taken
        assert [one.architecture for one in made.seen] == ([LARGE] if taken == LARGE else [])

    def test_counts_classes_alike_where_performance_is_balanced(self) -> None:
        labels = task().validation.labels
        right = torch.nn.functional.one_hot(labels, 3).float()
        assert float(shares_right(right, task()).sum()) == pytest.approx(1.0)
        zero = torch.tensor([1.0, 0.0, 0.0]).expand(len(labels), 3)
        assert float(shares_right(zero, task()).sum()) == pytest.approx(1 / 3)
        plain = shares_right(zero, task().measured_by("accuracy"))
        assert float(plain.sum()) == pytest.approx(float((labels == 0).double().mean()))


def drawn(images: int, classes: int, shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Different noise around a brightness of the class."""
    labels = np.arange(images) % classes
    noise = np.random.default_rng(seed).integers(0, 60, (images, *shape), dtype=np.uint8)
    return noise + (60 * labels).astype(np.uint8).reshape(-1, *[1] * len(shape)), labels


@pytest.mark.parametrize(
    ("images", "classes", "shape"),
    [
        pytest.param(6, 3, (12, 12), id="two images a class"),
        pytest.param(40, 2, (8, 8), id="8x8"),
        pytest.param(40, 2, (3, 5), id="3x5"),
        pytest.param(40, 2, (10, 12, 3), id="colour"),
    ],
)
def test_any_task_is_trained_tested_and_held_against_rivals(
    images: int, classes: int, shape: tuple[int, ...]
) -> None:
    x, y = drawn(images, classes, shape, 0)
    x_test, y_test = drawn(30, classes, shape, 1)
    whole = task_from_arrays(x, y, x_test=x_test, y_test=y_test, name="any")
    at, (blind, sealed) = at_work(), whole.sealed()
    test = sealed.open()
    ending = finish(Start(architecture=SMALL), blind, CONFIG, at, reference=LARGE, replaces=True)
    assert ending.taken.refitted is not None and ending.taken.refitted.images == images
    made = final.examine(ending.taken.network, blind, test, at)
    assert 0 <= made.evaluation.error <= 1
    outcome = Outcome(best=SMALL, rounds=(), seen=(), stopped="rounds")
    trained = final.Trained(ending=ending, outcome=outcome, test=test, examined=made)
    rivals = rivals_beside(trained, blind, CONFIG, at)
    assert {"k-NN", "logistic regression", "SVM on HOG"} < {one.name for one in rivals}
    errors = [one.test_balanced_error for one in rivals]
    assert errors == sorted(errors)


def test_pixels_that_were_dealt_out_anew_are_left_as_they_are() -> None:
    """Shifts ruin images whose neighbouring pixels belong apart: the recipe has to be 'plain' there."""
    whole = Library().open("digits")
    order = np.random.default_rng(0).permutation(64)
    pixels = whole.train.pixels().mul(255).byte().numpy().reshape(-1, 64)[:, order].reshape(-1, 8, 8)
    permuted = task_from_arrays(pixels, whole.train.labels.numpy(), name="permuted")
    config = replace(CONFIG, training=TrainingConfig(epochs=12, batch=64, averaging=0.9), refit=False)
    assert (
        finish(Start(architecture=LARGE), permuted.without_test(), config, at_work()).recipe.name == "plain"
    )


def test_an_interrupt_ends_all_trainings_before_their_next_step() -> None:
    steps = 0

    def told(event: Event) -> None:
        nonlocal steps
        steps += isinstance(event, StepAdvanced)
        if isinstance(event, StepStarted) and event.step.endswith("light"):
            raise KeyboardInterrupt

    long = replace(CONFIG, training=TrainingConfig(epochs=10_000, batch=32))
    with pytest.raises(KeyboardInterrupt):
        ended(long, at_work(listener=told))
    assert steps < 1_000


def test_the_test_counts_the_answers_on_the_test_split() -> None:
    network = ended().found.network
    made = final.examine(network, task(), opened(task()), at_work())
    answers = logits_of(network, opened(task())).argmax(dim=1)
    assert made.evaluation.error == pytest.approx(float((answers != opened(task()).labels).float().mean()))
    assert len(made.mistakes) == min(int((answers != opened(task()).labels).sum()), final.MISTAKES)


@pytest.mark.parametrize(
    ("first", "then"), [("mixed", {"mirrored", "light"}), ("pasted", {"plain"})], ids=["mixed", "pasted"]
)
def test_recipes_are_tried_in_turn(first: str, then: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter((0.5, 1.0, 0.7, 0.6) if first == "mixed" else (1.0, 0.5, 0.4))
    monkeypatch.setattr(trainings, "loss_shares", lambda *_: torch.full((10,), next(losses) / 10))
    monkeypatch.setattr(recipe_module, "CUTMIX_SIDE", 0)  # the images are tiny
    config = replace(CONFIG, recipes=SearchConfig().recipes, outlook=False, refit=False)
    recipe = finish(Start(architecture=SMALL), task().without_test(), config, at_work()).recipe
    assert {one.recipe for one in recipe.tried} == {"mixed", "pasted"} | then
    assert recipe.name == ("mixed" if first == "mixed" else "plain")


def donor() -> Start:
    """A network of the task itself, trained: a donor that can't be nearer."""
    network = finish(Start(architecture=SMALL), task().without_test(), CONFIG, at_work()).found.before
    return Start(architecture=SMALL, network=network, atom="near")


@pytest.mark.parametrize(("donated", "who"), [(0.3, "near"), (0.9, "")], ids=["ahead", "behind"])
def test_donors_train_by_the_leading_recipe_and_who_leads_by_those_that_follow(
    donated: float, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = donor()
    losses = iter((0.5, 1.0, donated, 0.95, 0.95))  # mixed, pasted, the donor, mirrored, light
    monkeypatch.setattr(trainings, "loss_shares", lambda *_: torch.full((10,), next(losses) / 10))
    monkeypatch.setattr(recipe_module, "CUTMIX_SIDE", 0)  # the images are tiny
    config = replace(CONFIG, recipes=SearchConfig().recipes, outlook=False, refit=False)
    start = Start(architecture=SMALL)
    recipe = finish(start, task().without_test(), config, at_work(), donors=[begun]).recipe
    assert [(one.recipe, one.atom) for one in recipe.tried] == [
        ("mixed", ""),
        ("pasted", ""),
        ("mixed", "near"),
        ("mirrored", who),
        ("light", who),
    ]
    assert (recipe.name, recipe.atom) == ("mixed", who)


@pytest.mark.parametrize(
    ("donated", "atom"), [(0.4, "near"), (0.5, "near"), (0.6, "")], ids=["ahead", "equal", "behind"]
)
def test_weights_of_a_related_task_are_taken_unless_new_ones_are_clearly_ahead(
    donated: float, atom: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = donor()
    losses = iter((0.5, 0.7, donated))  # plain, light, the donor
    monkeypatch.setattr(trainings, "loss_shares", lambda *_: torch.full((10,), next(losses) / 10))
    config = replace(CONFIG, outlook=False, refit=False)
    ending = finish(Start(architecture=SMALL), task().without_test(), config, at_work(), donors=[begun])
    assert (ending.recipe.atom, ending.recipe.name) == (atom, "plain")
    assert [(one.recipe, one.atom) for one in ending.recipe.tried] == [
        ("plain", ""),
        ("light", ""),
        ("plain", "near"),
    ]
    assert ending.donor is (begun if atom else None)


def test_a_donor_takes_the_place_of_the_reference_network_and_has_a_refit_and_an_outlook(
    trained_on: list[tuple[str, int]],
) -> None:
    begun = donor()
    ending = ended(donors=[begun])
    assert ending.recipe.atom == "near", "it was trained on the same task for as long before"
    assert ending.reference is not None and ending.reference.architecture == SMALL
    assert ending.replaces and ending.outlook is not None
    assert ending.taken.refitted is not None
    assert ending.donor is (begun if ending.reference_taken else None)
    steps = [step for step, _ in trained_on if "from near" in step]
    assert {step.split()[0] for step in steps} == {"train", "refit", "outlook"}


@pytest.mark.parametrize("recipes", [(), ("plain", "plain"), ("heavy",)])
def test_recipes_that_are_none_are_refused(recipes: tuple[str, ...]) -> None:
    with pytest.raises(SettingError, match="The 'recipes' of SearchConfig must be"):
        SearchConfig(recipes=recipes)
