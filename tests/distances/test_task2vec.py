from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from tests.distances.digit_tasks import PAIR, in_colour, representative_of, shuffled, task_of
from torch.nn import functional

from tanas.distances.base import Pair
from tanas.distances.pairs import make_pair
from tanas.distances.task2vec import (
    HEAD_PENALTY,
    PROBE_FILTERS,
    Task2VecDistance,
    embedding,
    embedding_distance,
    fit_logistic,
)
from tanas.ground.errors import NonFiniteError, SettingError
from tanas.ground.seeds import Seed
from tanas.tasks.task import Task

SEED = Seed(23)


def pair() -> Pair:
    return make_pair(representative_of(0), representative_of(3), task_of(3), PAIR, needs=("embedding",))


@cache
def few(digit: int) -> Task:
    """An indicator with 200 training images."""
    task = task_of(digit)
    return replace(task, train=task.train.stratified(200, SEED))


class TestEmbedding:
    def test_has_a_number_for_each_filter(self) -> None:
        numbers = embedding(few(0))
        assert len(numbers) == sum(PROBE_FILTERS)
        assert min(numbers) >= 0
        assert max(numbers) > 0

    def test_does_not_depend_on_the_order_of_samples_or_on_threads(self) -> None:
        threads = torch.get_num_threads()
        try:
            torch.set_num_threads(threads % 2 + 1)
            assert embedding(shuffled(few(0))) == embedding(few(0).without_test())
        finally:
            torch.set_num_threads(threads)

    def test_leaves_the_global_generator_as_it_was(self) -> None:
        torch.manual_seed(1)
        expected = torch.rand(3)
        torch.manual_seed(1)
        embedding(few(0))
        assert torch.equal(torch.rand(3), expected)

    def test_tells_tasks_apart_and_another_draw_of_one_task_least(self) -> None:
        own = torch.tensor(representative_of(0).embedding)
        half = replace(task_of(0), train=task_of(0).train.stratified(500, SEED))
        redrawn = embedding_distance(own, torch.tensor(embedding(half)))
        others = [
            embedding_distance(own, torch.tensor(representative_of(digit).embedding)) for digit in (1, 3)
        ]
        assert 0 < redrawn < min(others)

    def test_reaches_tasks_of_many_classes(self) -> None:
        train = few(0).train
        ten = replace(
            few(0), classes=tuple("0123456789"), train=replace(train, labels=train.strata), _test=None
        )
        numbers = torch.tensor(embedding(ten))
        assert torch.isfinite(numbers).all()
        assert embedding_distance(numbers, torch.tensor(embedding(few(0)))) > 0.05

    def test_is_made_of_tasks_of_any_size_and_colour(self) -> None:
        painted = embedding(in_colour(few(0), 12))
        assert len(painted) == sum(PROBE_FILTERS)
        assert painted != embedding(few(0))


def test_the_head_is_the_least_of_its_penalised_loss() -> None:
    features = torch.rand(60, 5, generator=SEED.torch()) * torch.tensor([1.0, 2.0, 3.0, 4.0, 0.0])
    labels = (features[:, 1] > 1).long() + (features[:, 2] > 2).long()
    weight, bias = fit_logistic(features, labels, 3)
    assert torch.equal(weight[:, 4], torch.zeros(3))  # of a feature that never changes
    scale = features.var(dim=0, correction=0).mean().sqrt()
    weight.requires_grad_(True)
    bias.requires_grad_(True)
    loss = functional.cross_entropy(features @ weight.T + bias, labels)
    loss = loss + HEAD_PENALTY * (weight * scale).square().sum()
    for gradient in torch.autograd.grad(loss, [weight, bias]):
        assert gradient.abs().max() < 1e-3


def test_the_head_does_not_blow_up_a_feature_that_is_hardly_ever_on() -> None:
    features = torch.rand(100, 3, generator=SEED.torch())
    features[:, 2] = 0
    features[7, 2] = 1e-3
    weight, _ = fit_logistic(features, (torch.arange(100) == 7).long(), 2)
    assert weight[:, 2].abs().max() < weight[:, :2].abs().max()


class TestDistance:
    def test_is_worked_out_by_hand(self) -> None:
        one, other = torch.tensor([1.0, 3.0, 0.0]), torch.tensor([3.0, 1.0, 0.0])
        # shares (1/4, 3/4) and (3/4, 1/4): cosine 6/10
        assert embedding_distance(one, other) == pytest.approx(0.4)
        assert embedding_distance(one, one) == pytest.approx(0)
        assert embedding_distance(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])) == 1

    def test_is_symmetric_and_without_an_interval(self) -> None:
        p = pair()
        back = replace(p, source_embedding=p.target_embedding, target_embedding=p.source_embedding)
        assert Task2VecDistance()(back, SEED).value == Task2VecDistance()(p, SEED).value
        assert 0 < Task2VecDistance()(p, SEED).value < 1
        assert Task2VecDistance()(p, SEED).interval is None

    def test_needs_embeddings_in_the_pair(self) -> None:
        with pytest.raises(SettingError, match=r'Make the pair with needs=\("embedding",\)'):
            Task2VecDistance()(replace(pair(), target_embedding=None), SEED)

    def test_says_that_an_atom_without_an_embedding_is_to_be_made_anew(self) -> None:
        old = replace(representative_of(0), embedding=())
        p = make_pair(old, representative_of(3), task_of(3), PAIR, needs=("embedding",))
        with pytest.raises(
            SettingError, match="atom of digits:is=0 has 0: .*Remove it from the dictionary and add it again"
        ):
            Task2VecDistance()(p, SEED)

    def test_refuses_a_damaged_embedding_by_name(self) -> None:
        damaged = torch.full((sum(PROBE_FILTERS),), float("nan"))
        with pytest.raises(NonFiniteError, match="embedding of digits:is=3 is not finite"):
            Task2VecDistance()(replace(pair(), target_embedding=damaged), SEED)
