"""The table of the README: what it says of a record."""

from __future__ import annotations

from typing import Any

import pytest

from tanas.errors import SettingError
from tanas.evidence.moon_page import moon_page

MOON, STYLE = "quickdraw:is=moon", "one_style:is=moon"


def found(error: float, parameters: int, **rivals: float) -> dict[str, Any]:
    return {
        "metrics": {
            "test_error": error,
            "test_balanced_error": 2 * error,
            "baseline_error": 0.3,
            "constant_error": 0.4,
        },
        "images": {"test": 1000},
        "parameters": parameters,
        "command_s": 120.0,
        "rivals": [
            {"network": name, "test_error": value, "parameters": 11_000} for name, value in rivals.items()
        ],
    }


def record(*runs: dict[str, Any]) -> dict[str, Any]:
    return {
        "n": len(runs),
        "hardware": {"processor": "Chip", "cores": 2},
        "versions": {"torch": "2.1", "numpy": "2"},
        "runs": list(runs),
    }


def test_figures_are_means_with_their_spread_and_ranges() -> None:
    text = moon_page(
        record(
            {"dictionary_s": 600.0, "targets": {MOON: found(0.01, 2_000)}},
            {"dictionary_s": 900.0, "targets": {MOON: found(0.03, 9_000)}},
        )
    )
    assert "n = 2 seeds" in text and "torch 2.1" in text and "numpy" not in text
    row = "| `quickdraw:is=moon` | 1,000 | 2.00 ± 1.41 % | 4.0 ± 2.8 % | 2,000 to 9,000 | 30.00 % | 40.00 % |"
    assert row in text
    assert "one style" not in text, "a target that was not searched has no row"
    assert "a dictionary took 10.0 to 15.0, a search with distances, final training and report 2.0." in text


def test_times_stand_by_the_processors_that_there_were_and_the_largest_memory_is_named() -> None:
    one = {**found(0.01, 1), "command_processors": 1, "command_peak_gb": 1.24}
    two = {**found(0.01, 1), "command_processors": 2, "command_peak_gb": 1.76}
    dictionary = {"dictionary_s": 600.0, "dictionary_processors": 2, "dictionary_peak_gb": 0.9}
    text = moon_page(record({"targets": {MOON: one}}, {**dictionary, "targets": {MOON: two}}))
    assert (
        "In minutes, with 1 processor, a search with distances, final training and report 2.0. In minutes, with 2 "
        "processors, a dictionary took 10.0, a search with distances, final training and report 2.0. At most, in GB "
        "of memory with all workers, a dictionary 0.9, a search 1.8."
    ) in text


def test_a_network_beside_is_held_against_what_was_found_from_the_same_seeds() -> None:
    runs = [
        {"targets": {MOON: found(0.02, 1, resnet18=0.01)}},
        {"targets": {MOON: found(0.02, 1, resnet18=0.03), STYLE: found(0.02, 1)}},
        {"targets": {MOON: found(0.02, 1, resnet18=0.02)}},
    ]
    text = moon_page(record(*runs))
    assert (
        "ResNet-18 (11,000 parameters; the same recipe, its learning rate not tuned) errs 2.00 ± 1.00 % on "
        "`quickdraw:is=moon` (n = 3; less than the network found from 1 of 3 seeds, more from 1)."
    ) in text
    assert "small images" not in text


def test_searches_of_different_settings_are_not_averaged() -> None:
    runs = [{"targets": {MOON: {**found(0.01, 1), "settings": name}}} for name in ("a", "b")]
    with pytest.raises(SettingError, match="is=moon in moon.json have different settings"):
        moon_page(record(*runs))
    assert "2 seeds" in moon_page(record(runs[0], runs[0]))


def test_one_seed_has_no_spread() -> None:
    text = moon_page(record({"targets": {STYLE: found(0.02, 1, **{"resnet18-small": 0.01})}}))
    assert "| 1,000 | 2.00 % | 4.0 % | 1 | 30.00 % |" in text
    assert "errs 1.00 % on moon among nine categories of one style (n = 1;" in text
