from __future__ import annotations

from dataclasses import replace

import pytest
from tests.dictionary.small_atoms import atom_of, representative_of, task_of
from tests.strategies.small_search import one_edge

from tanas.dictionary.task_record import Atom, AtomTask, atom_key, best_first
from tanas.ground.errors import StoreError
from tanas.ground.records import SCHEMA, from_plain, to_json, to_plain
from tanas.networks.scoring import unscored
from tanas.strategies.base import Round


def test_an_atom_survives_json() -> None:
    read = from_plain(Atom, to_plain(atom_of()), where="here")
    assert read == atom_of()
    assert to_json(read) == to_json(atom_of())


def test_an_atom_describes_its_task_without_its_data() -> None:
    task = task_of()
    described = AtomTask.of(task, test_fingerprint="tested", limit=150)
    assert described.name == "digits:is=3"
    assert described.classes == task.classes
    assert described.shape == (1, 8, 8)
    assert (described.train, described.validation) == (len(task.train), len(task.validation))
    assert described.fingerprint == task.fingerprint
    assert described.test_fingerprint == "tested"


class TestKey:
    def test_is_that_of_the_data_and_the_representatives_settings(self) -> None:
        atom = atom_of()
        config = representative_of().config
        assert atom.key == atom_key(task_of().fingerprint, config, "balanced")
        same = replace(
            atom,
            architectures=(),
            provenance=replace(atom.provenance, seed=9),
            task=replace(atom.task, name="another name", test_fingerprint="other"),
        )
        assert same.key == atom.key

    def test_differs_with_data_settings_and_measure(self) -> None:
        config = representative_of().config
        keys = {
            atom_key("data", config, "balanced"),
            atom_key("other data", config, "balanced"),
            atom_key("data", replace(config, epsilon=0.1), "balanced"),
            atom_key("data", config, "accuracy"),
        }
        assert len(keys) == 4


class TestBest:
    def test_is_the_highest_score_and_the_first_of_equal_ones(self) -> None:
        bare = [unscored(one_edge(name), task_of()) for name in ("identity", "conv_3x3", "sep_conv_3x3")]
        scored = (bare[0], replace(bare[1], score=0.5), replace(bare[2], score=0.5))
        assert replace(atom_of(), architectures=scored).best == scored[1]

    def test_is_none_if_nothing_was_scored(self) -> None:
        assert replace(atom_of(), architectures=(unscored(one_edge("identity"), task_of()),)).best is None
        assert replace(atom_of(), architectures=()).best is None

    def test_a_score_of_nothing_is_a_score(self) -> None:
        zero = replace(unscored(one_edge("identity"), task_of()), score=0.0)
        assert replace(atom_of(), architectures=(zero,)).best == zero

    def test_comes_first_and_the_unscored_last_in_the_order_seen(self) -> None:
        names = ("identity", "conv_3x3", "sep_conv_3x3", "max_pool_3x3", "dil_conv_3x3")
        bare = [unscored(one_edge(name), task_of()) for name in names]
        scores = (None, 0.0, 0.7, None, 0.7)
        made = tuple(replace(one, score=score) for one, score in zip(bare, scores, strict=True))
        assert best_first(made) == (made[2], made[4], made[1], made[0], made[3])


def test_what_was_trained_alike_is_compared_round_by_round() -> None:
    first, second, third = (one_edge(name) for name in ("identity", "conv_3x3", "sep_conv_3x3"))
    past = Round(
        candidates=(first, second, third),
        keys=(first.key, second.key, third.key),
        dropped=(second.key,),
        stages=(),
        winner=2,
        took_s=1.0,
        losses=(0.4, None, 0.2),
    )
    alone = replace(past, losses=(None, 0.3, None))
    old = replace(past, losses=())
    compared = replace(atom_of(), rounds=(alone, past, old)).compared
    assert [one.losses for one in compared] == [(0.4, 0.2)]
    assert compared[0].architectures == (first.canonical(), third.canonical())


def test_an_atom_of_another_schema_is_refused_with_both_versions() -> None:
    plain = to_plain(atom_of()) | {"schema": SCHEMA + 1}
    message = rf"digits:is=3 has schema {SCHEMA + 1}; this tanas reads schema {SCHEMA}"
    with pytest.raises(StoreError, match=message):
        from_plain(Atom, plain, where="here")
