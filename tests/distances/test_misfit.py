"""How badly a trained network fits a new task."""

from __future__ import annotations

import pytest
import torch
from tests.dictionary.small_atoms import task_of
from torch.nn import functional

from tanas.distances.intervals import IntervalConfig
from tanas.distances.misfit import (
    MisfitDistance,
    judged_images,
    misfit,
    pair_of_features,
    stage_features,
)
from tanas.ground.seeds import Seed
from tanas.networks.architecture import build
from tanas.spaces.named import named_space
from tanas.spaces.reference import reference_architecture
from tanas.tasks.library import Library


def drawn(images: int, width: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = Seed(3).torch()
    return (
        torch.randn((images, width), generator=generator),
        torch.randint(classes, (images,), generator=generator),
    )


def test_is_nothing_where_the_features_are_the_labels_and_one_where_they_say_nothing() -> None:
    noise, labels = drawn(400, 5, 3)
    assert misfit(functional.one_hot(labels, 3).float(), labels, 3) < 0.01
    assert 0.9 < misfit(noise, labels, 3) < 1.1


@pytest.mark.parametrize("images", [12, 60])
def test_is_the_error_at_images_that_are_left_out(images: int) -> None:
    features, labels = drawn(images, 20, 2)
    features[:, 0] += 2 * labels
    f = features.double()
    f = (f - f.mean(0)) / f.std(0)
    y = functional.one_hot(labels, 2).double()
    y = y - y.mean(0)
    errors = []
    for penalty in (1e-3, 1e-2, 1e-1, 1.0, 10.0):
        total = 0.0
        for out in range(images):
            # the penalty stays that of all images, and so do the means
            kept = [row for row in range(images) if row != out]
            design = torch.cat([f, torch.ones(images, 1, dtype=torch.float64)], dim=1)
            shrink = penalty * images * torch.eye(21, dtype=torch.float64)
            shrink[-1, -1] = 0
            weights = torch.linalg.solve(design[kept].T @ design[kept] + shrink, design[kept].T @ y[kept])
            total += float((y[out] - design[out] @ weights).square().mean())
        errors.append(total / images)
    assert misfit(features, labels, 2) == pytest.approx(min(errors) / float(y.square().mean()), rel=1e-6)


def test_does_not_depend_on_the_scale_of_features_nor_on_dead_ones() -> None:
    features, labels = drawn(50, 6, 3)
    features[:, 1] += labels
    scaled = torch.cat([1000 * features, torch.zeros(50, 2)], dim=1)
    assert misfit(scaled, labels, 3) == pytest.approx(misfit(features, labels, 3), rel=1e-3)


def test_features_of_all_stages_leave_the_network_as_it_was() -> None:
    task = task_of()
    space = named_space("standard", shape=task.shape)
    architecture = space.sample(1, seed=Seed(1), shape=task.shape, classes=2)[0]
    network = build(architecture, task.shape, 2, Seed(2)).eval()
    before = {
        name: value.clone() for name, value in network.state_dict().items() if "num_batches" not in name
    }
    split = task.train.subset(torch.arange(30))
    first = stage_features(network, split)
    assert first.shape == (30, sum(architecture.skeleton.widths))
    assert torch.equal(first, stage_features(network, split))
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not network.training
    momenta = [module.momentum for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert set(momenta) == {0.1}


def test_a_last_image_alone_is_no_part_of_its_own() -> None:
    task = Library().open("digits:take=501").without_test()
    space = named_space("standard", shape=task.shape)
    reference = reference_architecture(space, task.shape, 10)
    assert reference is not None
    network = build(reference, task.shape, 10, Seed(2)).eval()
    assert len(task.train) == 501
    assert stage_features(network, task.train).shape[0] == 501


def test_large_networks_are_judged_on_fewer_images_and_every_class_on_some() -> None:
    many = Library().open("digits").without_test().train
    assert [len(judged_images(many, macs)) for macs in (10**6, 5 * 10**6, 10**9)] == [1_000, 600, 300]
    assert set(judged_images(many, 10**9).labels.tolist()) == set(range(10))
    few = task_of().train.subset(torch.arange(7))
    assert judged_images(few, 10**9) is few


def test_rare_classes_have_more_than_their_share() -> None:
    many = Library().open("digits").without_test().train
    rare = many.labels == 3
    keep = torch.cat([torch.nonzero(~rare).flatten(), torch.nonzero(rare).flatten()[:6]])
    judged = judged_images(many.subset(keep), 10**9)
    assert len(judged) == 300
    assert int((judged.labels == 3).sum()) >= 5


def test_labels_of_one_class_are_a_guess() -> None:
    features, labels = drawn(30, 4, 2)
    assert misfit(features, torch.zeros_like(labels), 2) == 1.0


def test_an_interval_is_found_where_a_class_has_one_image() -> None:
    features, labels = drawn(40, 4, 2)
    labels = torch.zeros_like(labels)
    labels[7] = 1
    pair = pair_of_features("a", task_of(), features, labels, same=False)
    measured = MisfitDistance(IntervalConfig())(pair, Seed(0))
    assert measured.interval is not None
    assert measured.interval[0] <= measured.value <= measured.interval[1]
