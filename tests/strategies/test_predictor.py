from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr
from tests.strategies.small_search import (
    LARGE,
    SEED,
    SMALL,
    SPACE,
    every_architecture,
    one_edge,
    run,
    scripted,
    tiny,
)

from tanas.ground.checkpoints import NoCheckpoint
from tanas.ground.context import Context
from tanas.ground.errors import SettingError
from tanas.ground.events import ignore
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.networks.cell import Cell
from tanas.networks.scoring import Judgement
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.space import SearchSpace
from tanas.strategies.driver import Problem
from tanas.strategies.history import Trial
from tanas.strategies.predictor import Predictor, PredictorConfig, encode

TASK = tiny().without_test()
EVERY = every_architecture()
WORTH = {"sep_conv_3x3": 0.15, "max_pool_3x3": 0.05, "identity": 0.02}
PREDICTOR = Predictor(PredictorConfig(pool=60))


def learnable(candidate: Architecture) -> float:
    """What an architecture is made of decides, and a little noise that is its own."""
    noise = int(candidate.key[:6], 16) / 16**6 - 0.5
    worth = sum(WORTH[name] for _, _, name in candidate.cell.edges)
    return 0.3 + worth + 0.1 * (candidate.skeleton == LARGE) + 0.02 * noise


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


def trial(architecture: Architecture, score: float | None, loss: float = 0.0) -> Trial:
    judged = None if score is None else Judgement(score=score, loss=loss)
    return Trial(architecture=architecture, judgement=judged)


def known(seed: Seed, count: int = 14) -> tuple[Trial, ...]:
    drawn = SPACE.sample(count, seed=seed, shape=TASK.shape, classes=2)
    return tuple(trial(one, learnable(one)) for one in drawn)


def ranked(tried: tuple[Trial, ...], count: int = 60, seed: Seed = SEED) -> tuple[Architecture, ...]:
    seen = frozenset(one.architecture for one in tried)
    return PREDICTOR.draw(asked_with(), tried, count, seen, seed)


def agreement(order: tuple[Architecture, ...]) -> float:
    """Spearman's rank correlation of a ranking, best first, with the truth."""
    return float(spearmanr(-np.arange(len(order)), [learnable(one) for one in order]).statistic)


def test_ranks_what_it_has_not_seen_far_better_than_chance() -> None:
    for number in range(4):
        order = ranked(known(SEED.child(number)))
        assert len(order) == 60
        assert agreement(order) > 0.7


def test_learns_from_scores_and_not_from_the_names_of_what_was_tried() -> None:
    tried = known(SEED)
    upside_down = tuple(trial(one.architecture, 1 - learnable(one.architecture)) for one in tried)
    assert agreement(ranked(upside_down)) < -0.7
    scores = np.random.default_rng(3).permutation([learnable(one.architecture) for one in tried])
    shuffled = tuple(trial(one.architecture, float(s)) for one, s in zip(tried, scores, strict=True))
    assert agreement(ranked(shuffled)) < agreement(ranked(tried))


def test_where_all_scores_are_equal_the_losses_decide() -> None:
    tried = tuple(trial(one.architecture, 0.0, 1 - learnable(one.architecture)) for one in known(SEED))
    assert agreement(ranked(tried)) > 0.7
    same = tuple(trial(one.architecture, 0.0, 0.5) for one in tried)
    assert set(ranked(same)) == set(ranked(tried)), "where nothing can be told apart it proposes all the same"


def test_where_scores_differ_the_losses_decide_nothing() -> None:
    tried = known(SEED)
    lying = tuple(
        trial(one.architecture, learnable(one.architecture), learnable(one.architecture)) for one in tried
    )
    assert ranked(lying) == ranked(tried)


def test_leaves_out_those_that_failed() -> None:
    tried = known(SEED)
    failed = tuple(trial(one, None) for one in EVERY if one not in {t.architecture for t in tried})[:5]
    with_them = PREDICTOR.draw(
        asked_with(), (*tried, *failed), 60, frozenset(one.architecture for one in tried), SEED
    )
    assert with_them == ranked(tried)


def test_proposes_nothing_that_was_tried_and_what_chance_gives_where_one_alone_is_known() -> None:
    tried = known(SEED)
    assert not {one.architecture for one in tried} & set(ranked(tried))
    alone = ranked((tried[0], trial(tried[1].architecture, None)))
    drawn = SPACE.sample(
        60,
        seed=SEED.child("pool"),
        shape=TASK.shape,
        classes=2,
        without=[one.architecture for one in tried[:2]],
    )
    assert alone == drawn


def test_asks_for_the_score_of_nothing_but_what_it_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Architecture] = []

    def says(candidate: Architecture, epochs: int) -> float:
        calls.append(candidate)
        return learnable(candidate)

    script = scripted(monkeypatch, says)
    config = PredictorConfig(candidates=13, initial=6, batch=3, pool=40)
    outcome = run(Predictor(config), task=TASK)
    assert [len(candidates) for candidates, _ in script.asked] == [6, 3, 3, 1]
    assert calls == [one.architecture for one in outcome.seen]
    assert Counter(calls).most_common(1)[0][1] == 1


def test_what_is_tried_next_does_not_depend_on_what_is_not_known_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    config = PredictorConfig(candidates=8, initial=6, batch=2, pool=40)
    scripted(monkeypatch, lambda candidate, epochs: learnable(candidate))
    first = [one.architecture for one in run(Predictor(config), task=TASK).seen]
    scripted(monkeypatch, lambda candidate, epochs: learnable(candidate) if candidate in first[:6] else 0.01)
    assert [one.architecture for one in run(Predictor(config), task=TASK).seen] == first


def test_finds_better_ones_than_chance_with_as_many_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, lambda candidate, epochs: learnable(candidate))
    config = PredictorConfig(candidates=12, initial=6, batch=2, pool=60)
    later = []
    for number in range(4):
        outcome = run(Predictor(config), task=TASK, seed=SEED.child(number))
        later += [learnable(one.architecture) for one in outcome.seen[6:]]
    mean, deviation = np.mean([learnable(one) for one in EVERY]), np.std([learnable(one) for one in EVERY])
    assert np.mean(later) > mean + deviation


class TestEncoding:
    def encoded(self, architecture: Architecture, space: SearchSpace = SPACE) -> np.ndarray:
        return encode(architecture, cost_by_parts(architecture, TASK.shape, 2), space)

    def test_tells_all_architectures_apart(self) -> None:
        rows = {tuple(self.encoded(one)) for one in EVERY}
        assert len(rows) == len(EVERY)
        assert len({len(row) for row in rows}) == 1

    def test_an_edge_to_the_output_is_the_same_in_cells_of_any_size(self) -> None:
        short = one_edge("sep_conv_3x3")
        long = Architecture(
            skeleton=SMALL,
            cell=Cell(3, ((0, 1, "identity"), (0, 2, "sep_conv_3x3"), (1, 2, "identity"))),
        )
        pairs, operations = [(0, 1), (0, 2), (1, 2)], SPACE.operations
        place = pairs.index((0, 2)) * len(operations) + operations.index("sep_conv_3x3")
        assert self.encoded(short)[place] == self.encoded(long)[place] == 1
        edges = len(pairs) * len(operations)
        assert self.encoded(short)[:edges].sum() == 1
        assert self.encoded(long)[:edges].sum() == 3

    def test_what_the_space_does_not_have_is_left_out(self) -> None:
        large = Architecture(
            skeleton=SMALL,
            cell=Cell(
                4, ((0, 1, "identity"), (0, 3, "conv_3x3"), (1, 2, "sep_conv_3x3"), (2, 3, "identity"))
            ),
        )
        edges = 3 * len(SPACE.operations)
        coded = self.encoded(large)
        assert coded[:edges].sum() == 1
        assert coded[edges : edges + len(SPACE.operations)].sum() == 3
        assert np.isfinite(coded).all()

    def test_names_operations_as_the_space_does(self) -> None:
        fewer = replace(SPACE, operations=("sep_conv_3x3",), nodes=2)
        assert len(self.encoded(one_edge("sep_conv_3x3"), fewer)) == 1 + 1 + 8


@pytest.mark.parametrize("name", ["candidates", "initial", "batch", "pool"])
def test_sizes_below_one_are_refused(name: str) -> None:
    with pytest.raises(SettingError, match=f"'{name}' of PredictorConfig must be at least 1"):
        PredictorConfig(**{name: 0})
