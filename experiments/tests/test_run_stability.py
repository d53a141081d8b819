"""How alike the distances of several seeds are."""

from __future__ import annotations

from tanas.distances.methods import DistanceConfig
from tanas.distances.transform import TransformDistance
from tanas_experiments.run.stability import EIGHTH, agreement, distance_of

ONE = {("a", "t"): 0.1, ("b", "t"): 0.2, ("c", "t"): 0.3, ("a", "u"): 0.5, ("b", "u"): 0.6, ("c", "u"): 0.7}


def test_the_same_order_agrees_wholly() -> None:
    other = dict(reversed([(pair, 2 * order) for pair, order in ONE.items()]))
    assert agreement([ONE, other]) == {
        "spearman mean": 1.0,
        "spearman least": 1.0,
        "within": 1.0,
        "same nearest": 1.0,
    }


def test_another_order_within_one_target_shows_in_each_figure() -> None:
    turned = {**ONE, ("a", "u"): 0.7, ("c", "u"): 0.5}
    found = agreement([ONE, ONE, turned])
    assert found["within"] == round(
        (2 + 0 + 0) / 6, 3
    )  # two of three comparisons have one target turned round
    assert found["same nearest"] == round(4 / 6, 3)
    assert found["spearman least"] < found["spearman mean"] < 1


def test_one_seed_says_nothing() -> None:
    assert agreement([ONE]) == {
        "spearman mean": None,
        "spearman least": None,
        "within": None,
        "same nearest": None,
    }


def test_the_exact_method_can_have_an_eighth_of_the_hidden_widths() -> None:
    narrow, whole = (distance_of(DistanceConfig(), name) for name in (EIGHTH, "exact"))
    assert isinstance(narrow, TransformDistance) and isinstance(whole, TransformDistance)
    assert narrow.name == whole.name == "exact"
    assert [8 * width for width in narrow.config.widths] == list(whole.config.widths)
