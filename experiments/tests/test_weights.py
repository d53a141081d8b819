"""What it brings to begin with the weights of a known task."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.algorithm.test_learn import learnt, whole
from tests.dictionary.small_atoms import LEARN
from tests.opened import opened

from tanas.algorithm.presets import SearchConfig
from tanas.dictionary.stored_network import StoredNetwork
from tanas.networks.training import TrainingConfig
from tanas.tasks.task import image_keys
from tanas_experiments.weights import (
    SCRATCH,
    WeightsConfig,
    WeightsRecord,
    WeightsRow,
    apart,
    donor,
    gains,
    jobs,
    ranks,
    trained,
    weights_page,
    whole_targets,
)

SHORT = SearchConfig(training=TrainingConfig(epochs=1, batch=25), scoring=LEARN.scoring)
BROUGHT = {"near": 0.04, "middle": 0.01, "far": -0.02}
"""What each known task's weights take off the error of every seed."""


def network() -> StoredNetwork:
    made = learnt().network
    assert made is not None
    return made


CONFIG = WeightsConfig(architecture=network().record.architecture, seeds=(0, 1), search=SHORT)


def row(source: str, seed: int, share: float = 0.5, target: str = "t") -> WeightsRow:
    scratch = 0.3 + 0.01 * seed
    error = scratch if source == SCRATCH else scratch - BROUGHT[source] * share * 2
    return WeightsRow(
        target=target, source=source, share=share, seed=seed, test_error=error, validation_performance=0.5
    )


def record(*, seeds: int = 2, targets: tuple[str, ...] = ("t",)) -> WeightsRecord:
    rows = [
        row(source, seed, share, target)
        for target in targets
        for source, share, seed in jobs(replace(CONFIG, seeds=tuple(range(seeds))), BROUGHT, nearest="near")
    ]
    order = {"near": 0.1, "middle": 0.2, "far": 0.9}
    return WeightsRecord(
        command="python -m tanas_experiments.run.weights",
        n=len(rows),
        seeds=tuple(range(seeds)),
        architecture=CONFIG.architecture,
        parameters=1234,
        known={source: source for source in BROUGHT},
        targets={target: target for target in targets},
        distances=tuple((source, target, order[source]) for target in targets for source in BROUGHT),
        rows=tuple(rows),
        settings={"search": {"warm_share": 0.5}},
        hardware={"processor": "a processor"},
        versions={"tanas": "0.1.0"},
    )


def test_each_seed_is_trained_from_scratch_from_each_task_and_wholly_from_the_nearest() -> None:
    wanted = jobs(CONFIG, ["a", "b"], nearest="b")
    assert wanted[:4] == [(SCRATCH, 0.0, 0), ("a", 0.5, 0), ("b", 0.5, 0), ("b", 1.0, 0)]
    assert len(wanted) == len(set(wanted)) == 8


def test_gains_are_held_against_the_same_seed_from_scratch_nearest_first() -> None:
    found = [one for one in gains(record()) if one.share == 0.5]
    assert [one.source for one in found] == ["near", "middle", "far"]
    assert [one.errors.mean for one in found] == pytest.approx(list(BROUGHT.values()))
    assert ranks(found) == pytest.approx(1.0)
    assert ranks(list(reversed(found))) == pytest.approx(1.0), "whatever their order"
    assert ranks(found[:2]) is None


def test_the_nearest_and_the_farthest_are_paired_over_targets_and_seeds() -> None:
    made = record(seeds=3, targets=("t", "u"))
    nearest = apart(made, 0.5, lambda among: among[0])
    assert nearest is not None
    assert (nearest.n, nearest.mean) == (6, pytest.approx(0.04))
    assert apart(made, 0.25, lambda among: among[0]) is None


def test_the_page_says_what_the_record_holds() -> None:
    page = weights_page(record(seeds=3, targets=("t", "u"))).replace("\N{MINUS SIGN}", "-")
    assert "| t | 31.00 | -4.00 (near) | +2.00 (far) | -1.00 | +1.00 | -8.00 (near) |" in page
    assert "of the nearest known task: -4.00 points of test error" in page
    assert "Nearer is better on 2 of 2 targets (mean rank correlation +1.00)." in page
    assert "Not finished" not in page


def test_a_target_that_is_not_finished_is_left_out_and_named() -> None:
    made = record(targets=("t", "u"))
    part = replace(made, rows=made.rows[:-1], n=made.n - 1)
    assert {one.target for one in whole_targets(part).rows} == {"t"}
    assert "**Not finished**: u (9 trainings are there and not shown)." in weights_page(part)
    assert weights_page(replace(part, rows=(), n=0)) == "No target is finished yet.\n"


def test_trainings_differ_in_where_they_begin_and_repeat_exactly() -> None:
    task = whole().limited(150)
    scratch = trained(task, "t", SCRATCH, None, 0.0, 0, CONFIG)
    assert trained(task, "t", SCRATCH, None, 0.0, 0, CONFIG) == scratch
    with_none = trained(task, "t", "near", network(), 0.0, 0, CONFIG)
    assert 0 <= with_none.test_error <= 1
    assert trained(task, "t", "near", network(), 1.0, 0, CONFIG).share == 1.0


def test_a_network_that_has_seen_a_test_image_is_refused() -> None:
    seen = replace(network(), seen=image_keys(opened(whole())))
    with pytest.raises(ValueError, match="was trained on 359 test images of t"):
        trained(whole(), "t", "near", seen, 0.5, 0, CONFIG)


def test_a_donor_is_trained_as_a_dictionary_scores() -> None:
    made = donor(whole().limited(150), CONFIG)
    assert made.record.made_by == "score"
    assert len(made.seen) <= LEARN.scoring.images
    assert made.overlap(image_keys(opened(whole()))) == 0
