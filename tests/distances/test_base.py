from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.distances.digit_tasks import PAIR, representative_of, task_of

from tanas.distances.base import Pair, check_classes
from tanas.distances.methods import DistanceConfig, make_distance
from tanas.distances.pairs import make_pair
from tanas.distances.probes import ProbeDistance
from tanas.ground.errors import NonFiniteError, SettingError
from tanas.ground.seeds import Seed


def pair() -> Pair:
    return make_pair(representative_of(0), representative_of(3), task_of(3), PAIR)


@pytest.mark.parametrize("field", ["source_fit", "source_gate", "target_fit", "target_gate"])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_features_that_are_no_numbers_are_refused_by_name(field: str, wrong: float) -> None:
    features = getattr(pair(), field).clone()
    features[5, 3] = wrong
    task = "digits:is=0" if field.startswith("source") else "digits:is=3"
    with pytest.raises(NonFiniteError, match=f"representative of {task} on images of digits:is=3"):
        ProbeDistance()(replace(pair(), **{field: features}), Seed(0))


def test_fit_rows_of_one_class_are_refused() -> None:
    blank = replace(pair(), labels_fit=torch.zeros_like(pair().labels_fit))
    with pytest.raises(SettingError, match="'probe' distance needs images of at least two classes of digits"):
        check_classes(blank, "probe")


@pytest.mark.parametrize("name", ["linear", "transform", "narrow", "exact"])
def test_maps_whose_head_is_refitted_refuse_fit_rows_of_one_class(name: str) -> None:
    blank = replace(pair(), labels_fit=torch.zeros_like(pair().labels_fit))
    with pytest.raises(SettingError, match=f"'{name}' distance needs images of at least two classes"):
        make_distance(DistanceConfig(), name)(blank, Seed(0))


def test_too_few_samples_of_a_class_are_refused_with_their_number() -> None:
    few = int((pair().labels_fit == 1).sum())
    check_classes(pair(), "knn", least=few)
    with pytest.raises(
        SettingError, match=f"needs at least {few + 1} fit images of each class.*number 1 has {few}"
    ):
        check_classes(pair(), "knn", least=few + 1)
