from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import pytest
from tests.strategies.small_search import SEED, SPACE, every_architecture, run, scripted, tiny

from tanas.ground.checkpoints import NoCheckpoint
from tanas.ground.context import Context
from tanas.ground.errors import SettingError
from tanas.ground.events import ignore
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import Judgement
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Outcome
from tanas.strategies.driver import Problem
from tanas.strategies.evolution import Evolution, EvolutionConfig
from tanas.strategies.history import Trial

TASK = tiny().without_test()
EVERY = every_architecture()


def falling() -> Callable[[Architecture, int], float]:
    """Each candidate is a little worse than all that were tried before it."""
    order: dict[Architecture, int] = {}
    return lambda candidate, epochs: 1 - order.setdefault(candidate, len(order)) / 100


def searched(**config: int) -> Outcome:
    return run(Evolution(EvolutionConfig(**config)), task=TASK)


def asked_with(space: SearchSpace = SPACE) -> Problem:
    return Problem(
        space=space,
        task=TASK,
        seed_architecture=None,
        at=Context(
            seed=SEED,
            device="cpu",
            workers=1,
            deadline=lambda: math.inf,
            listener=ignore,
            checkpoint=NoCheckpoint(),
        ),
        budget_macs=None,
    )


def trials(scores: list[float | None], losses: list[float] | None = None) -> tuple[Trial, ...]:
    losses = losses or [0.0] * len(scores)
    return tuple(
        Trial(
            architecture=EVERY[10 + at],
            judgement=None if score is None else Judgement(score=score, loss=loss),
        )
        for at, (score, loss) in enumerate(zip(scores, losses, strict=True))
    )


@pytest.fixture
def parents(monkeypatch: pytest.MonkeyPatch) -> list[Architecture]:
    """Every architecture that is mutated, in order."""
    mutate, made = SearchSpace.mutate, []

    def watched(self: SearchSpace, architecture: Architecture, **given: object) -> Architecture:
        made.append(architecture)
        return mutate(self, architecture, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(SearchSpace, "mutate", watched)
    return made


def parents_of(
    tried: tuple[Trial, ...], parents: list[Architecture], *, seeds: int = 1, **config: int
) -> Counter[int]:
    """How often each position of the trials became the parent of an only child."""
    evolution, chosen = Evolution(EvolutionConfig(**config)), Counter[int]()
    for number in range(seeds):
        parents.clear()
        seen = frozenset(trial.architecture for trial in tried)
        evolution.draw(asked_with(), tried, 1, seen, SEED.child("draw", number))
        chosen[[trial.architecture for trial in tried].index(parents[0])] += 1
    return chosen


def test_the_first_population_is_drawn_and_all_others_are_mutations(
    monkeypatch: pytest.MonkeyPatch, parents: list[Architecture]
) -> None:
    script = scripted(monkeypatch, falling())
    outcome = searched(candidates=11, population=5, sample=2, children=2)
    assert [len(candidates) for candidates, _ in script.asked] == [5, 2, 2, 2]
    assert len(outcome.seen) == len({one.architecture for one in outcome.seen}) == 11
    assert len(parents) >= 6


def test_the_oldest_dies_however_good_it_is(
    monkeypatch: pytest.MonkeyPatch, parents: list[Architecture]
) -> None:
    scripted(monkeypatch, falling())
    # forty draws with replacement from three hold each of them, so that the best of the living is the parent
    outcome = searched(candidates=9, population=3, sample=40, children=1)
    order = [one.architecture for one in outcome.seen]
    assert list(dict.fromkeys(parents)) == order[:6], (
        "the best of the last three is always the oldest of them"
    )
    assert outcome.best == order[0], "what died is not forgotten by the search"


def test_the_population_is_the_youngest_of_those_that_did_not_fail(parents: list[Architecture]) -> None:
    tried = trials([0.9, 0.8, None, 0.2, None, 0.3, 0.1])
    chosen = parents_of(tried, parents, seeds=60, population=3, sample=1)
    assert set(chosen) == {3, 5, 6}


def test_the_best_of_the_sample_is_the_parent(parents: list[Architecture]) -> None:
    tried = trials([0.1, 0.3, 0.2])
    chosen = parents_of(tried, parents, seeds=450, population=3, sample=2)
    # two draws with replacement: the best is among them in 5 of 9, only the worst in 1 of 9
    assert chosen[1] / 450 == pytest.approx(5 / 9, abs=0.07)
    assert chosen[2] / 450 == pytest.approx(3 / 9, abs=0.07)
    assert chosen[0] / 450 == pytest.approx(1 / 9, abs=0.05)


def test_of_equal_scores_the_lower_loss_is_the_parent(parents: list[Architecture]) -> None:
    tried = trials([0.0, 0.0, 0.0], [0.7, 0.6, 0.4])
    assert set(parents_of(tried, parents, seeds=10, population=3, sample=40)) == {2}
    tried = trials([0.1, 0.0, 0.0], [0.7, 0.6, 0.4])
    assert set(parents_of(tried, parents, seeds=10, population=3, sample=40)) == {0}


def test_a_child_is_one_change_away_from_its_parent() -> None:
    tried = trials([0.5])
    parent = tried[0].architecture
    neighbours = {
        SPACE.mutate(parent, seed=Seed(number), shape=TASK.shape, classes=2) for number in range(300)
    }
    evolution = Evolution(EvolutionConfig(population=1, sample=1))
    seen = frozenset({parent})
    for number in range(30):
        (child,) = evolution.draw(asked_with(), tried, 1, seen, SEED.child(number))
        assert child in neighbours
        assert child != parent


def test_where_all_around_the_parent_is_known_a_child_is_drawn() -> None:
    tried = trials([0.5])
    parent = tried[0].architecture
    neighbours = {
        SPACE.mutate(parent, seed=Seed(number), shape=TASK.shape, classes=2) for number in range(300)
    }
    known = frozenset({parent, *neighbours})
    evolution = Evolution(EvolutionConfig(population=1, sample=1))
    (child,) = evolution.draw(asked_with(), tried, 1, known, SEED)
    assert child not in known
    assert SPACE.contains(child)


def test_children_of_one_population_differ_and_end_with_the_space() -> None:
    tried = trials([0.5, 0.4])
    seen = frozenset(trial.architecture for trial in tried)
    evolution = Evolution(EvolutionConfig(population=2, sample=2))
    many = evolution.draw(asked_with(), tried, 20, seen, SEED)
    assert len(set(many)) == 20
    assert not seen & set(many)
    left = frozenset(EVERY[3:])
    assert sorted(evolution.draw(asked_with(), tried, 20, left, SEED)) == sorted(EVERY[:3])


@pytest.mark.parametrize("name", ["candidates", "population", "sample", "children"])
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(SettingError, match=f"'{name}' of EvolutionConfig must be at least 1"):
        EvolutionConfig(**{name: 0})
