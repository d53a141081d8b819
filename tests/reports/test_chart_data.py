from dataclasses import replace

import pytest

from tanas.networks.cell import Cell
from tanas.networks.skeleton import Skeleton
from tanas.reports import chart_data as rows


def test_only_the_neighbours_count_as_inherited(moon):
    marked = [row.atom for row in rows.distance_rows(moon) if row.inherited]
    assert marked == [neighbour.atom for neighbour in moon.neighbours]


def test_shares_begin_even_and_end_at_the_last_stage(digits):
    made = rows.alpha_rows(digits)
    assert len(made) == 12 * 3
    for row in made:
        assert row.weights[0] == pytest.approx(1 / 3)
        assert len(row.weights) == 1 + 5
    last = digits.rounds[-1].stages[-1]
    assert [row.weights[-1] for row in made[-3:]] == list(last.weights)
    assert [row.alpha for row in made[-3:]] == list(last.alphas)


def test_the_winner_of_a_round_is_the_kept_seed_of_the_next(moon):
    made = rows.alpha_rows(moon)
    assert not any(row.kept for row in made if row.round == 1)
    assert len(moon.rounds) > 1
    for number in range(1, len(moon.rounds)):
        winner = next(row.key for row in made if row.round == number and row.won)
        assert [row.key for row in made if row.round == number + 1 and row.kept] == [winner]


def test_dropped_candidates_are_marked(moon):
    dropped = [(row.round, row.key) for row in rows.alpha_rows(moon) if row.dropped]
    assert dropped == [(2, moon.rounds[1].dropped[0])]


def test_rounds_without_stages_have_no_shares(moon):
    plain = replace(moon, rounds=tuple(replace(round_, stages=()) for round_ in moon.rounds))
    made = rows.alpha_rows(plain)
    assert made
    assert all(row.weights == () and row.alpha is None for row in made)


def test_the_one_found_comes_first_then_the_best_scores(moon):
    found, *others = rows.candidate_rows(moon)
    assert found.key == moon.architecture.key
    assert [row.found for row in others] == [False] * len(others)
    scores = [row.score for row in others]
    assert scores == sorted(scores, reverse=True)
    assert sum(row.wins for row in (found, *others)) == len(moon.rounds)


def test_candidates_without_scores_keep_their_order(hundred):
    _, *others = rows.candidate_rows(hundred)
    seen = [s.architecture.key for s in hundred.seen if s.architecture.key != hundred.architecture.key]
    assert [row.key for row in others] == seen
    assert rows.better_scored(hundred) == 0


def test_classes_add_up_to_the_confusion(digits):
    made = rows.class_rows(digits)
    assert sum(row.images for row in made) == digits.task.test
    assert sum(row.answered for row in made) == digits.task.test
    assert sum(row.wrong for row in made) == rows.wrong_answers(digits)


def test_a_class_without_images_or_answers_has_no_shares(moon):
    empty, _ = rows.class_rows(replace(moon, confusion=((0, 0), (0, 5))))
    assert empty.error is None
    assert empty.precise is None


def test_confused_pairs_are_counted_most_often_first(digits):
    made = rows.confused_rows(digits, most=3)
    greatest = max(count for t, row in enumerate(digits.confusion) for a, count in enumerate(row) if t != a)
    assert made[0].count == greatest
    assert len(made) == 3


def test_phases_add_up_to_the_whole(moon):
    assert sum(seconds for _, seconds in rows.cost_rows(moon)) == pytest.approx(moon.costs.total_s)


def test_architectures_are_described_in_words():
    chain = Cell(3, ((0, 1, "identity"), (1, 2, "conv_3x3")))
    assert rows.describe_cell(chain) == "0→1 identity, 1→2 conv_3x3"
    skeleton = Skeleton(stem="half", widths=(16, 32), cells=(2, 1), reductions=(False, True))
    assert rows.describe_skeleton(skeleton) == "½ 2×16, ½ 1×32"
