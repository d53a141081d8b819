"""The recipes, and which of them are tried when."""

from __future__ import annotations

from tanas.networks.recipe import LONG, RECIPES, USUAL, in_turn, suited_to


def test_tiny_images_get_no_cutmix_unless_nothing_else_is_asked_for() -> None:
    assert suited_to(USUAL, (1, 28, 28)) == USUAL
    assert suited_to(USUAL, (1, 8, 28)) == suited_to(USUAL, (1, 8, 8)) == ("light", "plain")
    assert suited_to(("mixed",), (1, 8, 8)) == ("mixed",)
    assert in_turn(("light", "plain")) == ("light", "plain")


def test_every_recipe_of_a_list_is_tried_at_once_or_after_one_that_is() -> None:
    for names in (USUAL, LONG):
        first = in_turn(names)
        then = [name for leader in first for name in in_turn(names, leader)]
        assert sorted([*first, *then]) == sorted(names)
    assert {*USUAL, *LONG} == {*RECIPES}
