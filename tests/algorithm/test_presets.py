from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tanas.algorithm.presets import DEFAULT_NEIGHBOURS, PRESETS, SearchConfig, default, paper, preset, quick
from tanas.dictionary.task_record import atom_key
from tanas.distances.methods import METHODS, DistanceConfig, make_distance
from tanas.distances.transform import paper_gate, paper_transform
from tanas.ground.errors import SettingError, UnknownNameError
from tanas.ground.records import digest, from_plain, lasting, to_json, to_plain
from tanas.spaces.named import SPACES
from tanas.strategies.schedules import Alternating


@pytest.mark.parametrize("make", PRESETS.values(), ids=PRESETS)
class TestEveryPreset:
    def test_is_a_fresh_equal_value_each_time(self, make: Callable[[], SearchConfig]) -> None:
        assert make() == make()

    def test_survives_json(self, make: Callable[[], SearchConfig]) -> None:
        read = from_plain(SearchConfig, to_plain(make()), where="here")
        assert read == make()
        assert to_json(read) == to_json(make())

    def test_names_a_space_that_there_is(self, make: Callable[[], SearchConfig]) -> None:
        assert make().space in SPACES

    def test_names_a_method_that_there_is(self, make: Callable[[], SearchConfig]) -> None:
        assert make().distance.method in METHODS

    def test_builds_dictionaries_that_its_search_can_inherit_from(
        self, make: Callable[[], SearchConfig]
    ) -> None:
        config = make()
        learning = config.learning(strict=True)
        for name in ("performance", "limit", "representative", "space", "scoring"):
            assert getattr(learning, name) == getattr(config, name), name
        assert learning.fuse == config.learn
        assert learning.strict
        assert not config.learning().strict


KEYS = {
    "default": ("c23576c355ed5fed", "8a9a35ad55cba9f8", "01a854f888661659"),
    "quick": ("7e3103c0f675f132", "2fab7bbfbbf2a6de", "c2cb46f44873ae0d"),
    "paper": ("fd413d12e36f7610", "ee985726629e3a97", "041dcb9ef07f6921"),
}
"""Hashes over a preset: of a run's settings, of an unfinished atom, and of an atom. The last is that of version 0.1."""
DISTANCE_KEYS = {
    "transform": "a1dc5662c54a63e5",
    "exact": "6fc1b831bc402dc1",
    "narrow": "bbad00d7eb4fba51",
    "linear": "3723a5561f4281f9",
}


@pytest.mark.parametrize("name", KEYS)
def test_what_earlier_versions_stored_is_found_under_the_same_keys(name: str) -> None:
    config = PRESETS[name]()
    atom = atom_key("data", config.representative, config.performance)
    assert (digest(config), digest(config.learning(), 0), atom) == KEYS[name]


@pytest.mark.parametrize("method", DISTANCE_KEYS)
def test_distances_that_earlier_versions_stored_are_found_under_the_same_keys(method: str) -> None:
    assert digest(make_distance(DistanceConfig(), method)) == DISTANCE_KEYS[method]


def test_settings_written_before_refine_epochs_was_removed_are_read_and_runs_with_them_go_on() -> None:
    plain = lasting(default())  # the request of a run
    assert plain["distance"]["transform"]["refine_epochs"] == 0
    assert "refine_epochs" not in to_plain(default())["distance"]["transform"]
    assert from_plain(SearchConfig, plain, where="here") == default()


def test_paper_is_the_papers_experiment() -> None:
    config = paper()
    assert config.performance == "accuracy"
    assert config.limit is None
    assert (config.neighbours or DEFAULT_NEIGHBOURS) == 3
    assert config.space == "paper"
    assert (config.inherit, config.inherit_seed) == ("union", False)
    assert (config.fuse.candidates, config.fuse.images, config.fuse.validation_images) == (3, None, None)
    assert config.fuse.schedule == Alternating(floor=0.0, own_loss=0.0)
    assert config.fuse.final == "last"
    assert config.representative.architecture == "paper"
    assert (config.representative.training.epochs, config.representative.training.batch) == (1, 64)
    assert config.distance.method == "exact"
    assert (config.pair.fit_images, config.pair.gate_images) == (None, None), "all of B's data"
    assert (config.distance.gate, config.distance.transform) == (paper_gate(), paper_transform())


def test_unknown_preset_is_told_near_ones() -> None:
    with pytest.raises(UnknownNameError, match="'defualt'.* 'default'"):
        preset("defualt")
    assert preset("quick") == PRESETS["quick"]()
    with pytest.raises(UnknownNameError, match="'smoke' .* 'quick'"):
        preset("smoke")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"performance": "f1"},
            "The 'performance' of SearchConfig must be one of balanced, accuracy",
        ),
        ({"inherit": "every"}, "The 'inherit' of SearchConfig must be one of prior, union, transfer, none"),
        ({"limit": 1}, "The 'limit' of SearchConfig must be at least 2"),
        ({"neighbours": 0}, "The 'neighbours' of SearchConfig must be at least 1"),
        ({"max_parameters": 0}, "The 'max_parameters' of SearchConfig must be at least 1"),
        ({"rounds_led": 0}, "The 'rounds_led' of SearchConfig must be at least 1"),
        ({"max_macs": 0}, "The 'max_macs' of SearchConfig must be at least 1"),
        ({"max_latency_ms": 0.0}, "The 'max_latency_ms' of SearchConfig must be greater than 0"),
        ({"per_atom": 0}, "The 'per_atom' of SearchConfig must be at least 1"),
        ({"threshold": 1.2}, r"The 'threshold' of SearchConfig must be in \[0, 1\]"),
        ({"threshold": 0.2, "neighbours": 1}, "'neighbours' and 'threshold' of SearchConfig"),
        (
            {"related": "all", "neighbours": 1},
            "'neighbours' and related = 'all' of SearchConfig",
        ),
        ({"inherit": "all"}, "inherit = 'all' .* related = 'all'"),
        ({"related": "every"}, "The 'related' of SearchConfig must be one of nearest, all"),
        ({"related": "all", "inherit": "union"}, "'inherit' and related = 'all' of SearchConfig"),
        ({"related": "all", "threshold": 0.2}, "'threshold' and related = 'all' of SearchConfig"),
    ],
)
def test_a_setting_outside_its_range_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        SearchConfig(**wrong)


class TestSuited:
    def test_a_large_task_leaves_every_recipe_as_it_is(self) -> None:
        assert default().suited_to(12_000) == default()
        assert default().suited_to(1_594) == default()

    def test_a_small_task_gets_more_epochs_in_every_recipe(self) -> None:
        small = default().suited_to(160)  # two steps of 128, three of 64
        assert small.training == default().training, (
            "it is suited to all images of the task, once they are known"
        )
        assert small.scoring.training.epochs == 25
        assert small.fuse.schedule.training.epochs == 13
        assert small.shared.training.epochs == 67
        assert small.darts.training.epochs == 17
        assert small.halving.first_epochs == 6, "as much longer as a score"
        assert small.suited_to(160) == small

    def test_the_smallest_preset_does_so_too_and_leaves_the_demonstration_as_it_is(self) -> None:
        assert quick().suited_to(1_151) == quick()
        assert quick().training.suited_to(64).epochs == 300

    def test_a_base_task_is_learnt_by_the_same_scores(self) -> None:
        assert default().learning().suited_to(160).scoring == default().suited_to(160).scoring

    def test_a_representative_gets_more_in_proportion(self) -> None:
        config = default().representative
        assert config.epochs_for(12_000) == (4, 4, 12)
        assert config.epochs_for(160) == (17, 17, 51)
