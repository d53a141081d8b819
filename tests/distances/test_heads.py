from __future__ import annotations

import pytest
import torch
from torch.nn import functional

import tanas.distances.heads as heads
from tanas.distances.heads import fit_ridge
from tanas.ground.seeds import Seed


def drawn(samples: int, features: int = 5, positives: float = 0.5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = Seed(6).torch()
    values = torch.randn(samples, features, generator=generator, dtype=torch.float64)
    noisy = values[:, 0] + 0.5 * torch.randn(samples, generator=generator, dtype=torch.float64)
    return values, (noisy >= noisy.quantile(1 - positives)).long()


def test_tells_classes_that_features_tell() -> None:
    features, labels = drawn(400)
    head = fit_ridge(features[:300], labels[:300], 2, balanced=True)
    assert (head.answers(features[300:]) == labels[300:]).double().mean() > 0.75


def test_answers_a_rare_class_if_balanced_and_hardly_if_not() -> None:
    features, labels = drawn(2000, positives=0.05)
    found = {}
    for balanced in (True, False):
        answers = fit_ridge(features, labels, 2, balanced=balanced).answers(features)
        found[balanced] = float((answers[labels == 1] == 1).double().mean())
    assert found[True] > 0.8
    assert found[False] < 0.3


def test_does_not_depend_on_scale_and_shift_of_the_features() -> None:
    features, labels = drawn(300)
    scaled = features * 100 + 7
    one = fit_ridge(features, labels, 2, balanced=True).answers(features)
    assert torch.equal(one, fit_ridge(scaled, labels, 2, balanced=True).answers(scaled))


@pytest.mark.parametrize("balanced", [True, False])
def test_takes_the_penalty_that_leaving_each_out_favours(
    balanced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, labels = drawn(24, features=12)
    penalties = (0.01, 0.1, 1.0, 10.0)
    counts = torch.bincount(labels)
    weights = 1 / counts[labels].double() if balanced else torch.ones(len(labels), dtype=torch.float64)
    weights = weights / weights.sum()
    onehot = functional.one_hot(labels, 2).double()
    centred = (features - weights @ features) * weights.sqrt()[:, None]
    scale = centred.square().sum(dim=0).mean()

    def left_out_error(penalty: float) -> float:
        total = 0.0
        for left in range(len(labels)):
            rest = torch.arange(len(labels)) != left
            # the same objective without one sample, its offset fitted too
            design = torch.cat([features[rest], torch.ones(int(rest.sum()), 1, dtype=torch.float64)], dim=1)
            weighted = design * weights[rest, None]
            ridge = penalty * scale * torch.diag(torch.tensor([1.0] * 12 + [0.0], dtype=torch.float64))
            solved = torch.linalg.solve(design.T @ weighted + ridge, weighted.T @ onehot[rest])
            missed = onehot[left] - torch.cat([features[left], torch.ones(1, dtype=torch.float64)]) @ solved
            total += float(weights[left] * missed.square().sum())
        return total

    best = min(penalties, key=left_out_error)
    monkeypatch.setattr(heads, "PENALTIES", penalties)
    chosen = fit_ridge(features, labels, 2, balanced=balanced).weight
    monkeypatch.setattr(heads, "PENALTIES", (best,))
    torch.testing.assert_close(chosen, fit_ridge(features, labels, 2, balanced=balanced).weight)


def test_survives_features_that_are_constant_or_copies() -> None:
    features, labels = drawn(50)
    degenerate = torch.cat([features, features, torch.ones(50, 40)], dim=1).float()
    assert torch.isfinite(fit_ridge(degenerate, labels, 2, balanced=True).weight).all()
    flat = fit_ridge(torch.ones(50, 8), labels, 2, balanced=True)
    assert torch.isfinite(flat.answers(torch.ones(3, 8)).double()).all()


def test_takes_many_classes() -> None:
    features = torch.eye(7).repeat(9, 1)
    labels = torch.arange(7).repeat(9)
    assert torch.equal(fit_ridge(features, labels, 7, balanced=True).answers(features), labels)


def test_answers_the_same_from_orthonormal_coordinates_of_the_features() -> None:
    features, labels = drawn(300)
    basis, _ = torch.linalg.qr(torch.randn(40, 5, generator=Seed(8).torch(), dtype=torch.float64))
    wide = features @ basis.T + torch.arange(40)  # (samples, 40), five directions and a shift
    whole = fit_ridge(wide[:200], labels[:200], 2, balanced=True)
    few = fit_ridge(features[:200], labels[:200], 2, balanced=True, width=40)
    scores = wide[200:] @ whole.weight.T + whole.bias
    torch.testing.assert_close(features[200:] @ few.weight.T + few.bias, scores)
    assert torch.equal(few.answers(features[200:]), whole.answers(wide[200:]))


def test_takes_a_milder_penalty_if_the_coordinates_stand_for_more_features() -> None:
    features, labels = drawn(300)
    alone = fit_ridge(features, labels, 2, balanced=True).weight
    of_many = fit_ridge(features, labels, 2, balanced=True, width=4000).weight
    assert of_many.norm() > alone.norm()
