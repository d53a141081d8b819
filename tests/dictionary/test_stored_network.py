"""The trained network that an atom keeps, and what another task takes of it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.algorithm.test_learn import learnt, whole
from tests.dictionary.small_atoms import atom_of, representative_of, task_of
from tests.opened import opened

from tanas.dictionary.store import Dictionary
from tanas.dictionary.stored_network import (
    StoredNetwork,
    carried,
    image_keys,
    stored,
    stored_from,
    tensors_of,
)
from tanas.ground.errors import StoreError
from tanas.ground.seeds import Seed
from tanas.tasks.library import Library


def network() -> StoredNetwork:
    made = learnt().network
    assert made is not None
    return replace(made, network=deepcopy(made.network))  # the same for all tests, whatever one does to it


def pixels(channels: int = 1) -> torch.Tensor:
    return torch.rand((5, channels, 8, 8), generator=Seed(1).torch())


class TestSeen:
    def test_equal_pixels_have_equal_keys_whatever_the_task_and_its_split(self) -> None:
        every = Library(split_seed=3).open("digits")
        keys = torch.cat([image_keys(split) for split in (every.train, every.validation, opened(every))])
        other = task_of("digits:is=3").train
        assert torch.isin(image_keys(other), keys).all()
        assert len(keys.unique()) > len(other)

    def test_what_a_network_began_with_counts(self) -> None:
        task = task_of()
        first, second = task.train.subset(torch.arange(10)), task.train.subset(torch.arange(10, 30))
        architecture = network().record.architecture
        args = network().network, architecture, task.shape, task.classes
        before = stored(*args, first, made_by="score")
        after = stored(*args, second, made_by="search", before=before)
        assert (
            before.overlap(image_keys(second)),
            after.overlap(image_keys(first)),
            after.overlap(image_keys(second)),
        ) == (0, 10, 20)


class TestStored:
    def test_answers_as_before(self) -> None:
        again = stored_from(network().record, tensors_of(network()))
        assert torch.equal(again.network(pixels()), network().network(pixels()))
        assert torch.equal(again.seen, network().seen)

    def test_other_weights_are_refused(self) -> None:
        tensors = tensors_of(network())
        del tensors["head.weight"]
        with pytest.raises(StoreError, match="not those of the architecture beside them"):
            stored_from(network().record, tensors)

    def test_a_dictionary_gives_it_back_and_sees_damage(self, tmp_path: Path) -> None:
        dictionary, made = Dictionary.create(tmp_path), learnt()
        dictionary.add(made.atom, made.representative, made.network)
        again = dictionary.network(made.atom)
        assert again is not None
        assert torch.equal(again.network(pixels()), network().network(pixels()))
        (file,) = tmp_path.glob("atoms/*/network.safetensors")
        file.write_bytes(file.read_bytes()[:-1] + b"x")
        with pytest.raises(StoreError, match="network.safetensors is damaged"):
            dictionary.network(made.atom)
        assert len(dictionary.verify()) == 1
        file.unlink()
        with pytest.raises(StoreError, match=r"network.safetensors can't be read"):
            dictionary.network(made.atom)

    def test_a_dictionary_on_top_finds_it_below(self, tmp_path: Path) -> None:
        below, made = Dictionary.create(tmp_path / "below"), learnt()
        below.add(made.atom, made.representative, made.network)
        above = Dictionary.create(tmp_path / "above", base=below)
        assert above.network(made.atom) is not None

    def test_an_atom_without_one_has_none(self, tmp_path: Path) -> None:
        dictionary = Dictionary.create(tmp_path)
        dictionary.add(atom_of(), representative_of())
        assert dictionary.network(atom_of()) is None

    def test_an_atom_that_speaks_of_one_is_not_added_without_it(self, tmp_path: Path) -> None:
        dictionary, made = Dictionary.create(tmp_path), learnt()
        with pytest.raises(StoreError, match="describes another trained network"):
            dictionary.add(made.atom, made.representative)
        assert dictionary.atoms() == ()


class TestCarried:
    def test_the_same_classes_keep_their_head(self) -> None:
        own = network()
        again = carried(own, own.record.shape, own.record.classes, Seed(5))
        again.norm.load_state_dict(own.network.norm.state_dict())
        assert torch.equal(again.eval()(pixels()), own.network(pixels()))

    def test_other_classes_get_a_new_head_and_all_else_stays(self) -> None:
        own = network()
        again = carried(own, own.record.shape, ("a", "b", "c"), Seed(5))
        old, new = own.network.state_dict(), again.state_dict()
        assert new["head.weight"].shape[0] == 3
        same = [name for name in new if not name.startswith(("head.", "norm."))]
        assert same and all(torch.equal(new[name], old[name]) for name in same)
        twice = carried(own, own.record.shape, ("a", "b", "c"), Seed(5))
        assert torch.equal(twice.head.weight, again.head.weight)

    def test_a_grey_stem_answers_alike_on_three_equal_colours(self) -> None:
        own = network()
        colour = carried(own, (3, 8, 8), own.record.classes, Seed(5))
        for each in (colour, own.network):
            each.norm.mean.zero_()
            each.norm.deviation.fill_(1.0)
        grey = pixels()
        torch.testing.assert_close(
            colour.eval()(grey.expand(-1, 3, -1, -1)), own.network(grey), rtol=1e-4, atol=1e-5
        )

    def test_another_stem_takes_what_it_shares_and_the_rest_is_new(self) -> None:
        own = network()
        old = own.record.architecture
        quarter = replace(old, skeleton=replace(old.skeleton, stem="quarter"))
        again = carried(own, (1, 40, 40), ("a", "b"), Seed(5), architecture=quarter)
        before, after = own.network.state_dict(), again.state_dict()
        assert set(before) < set(after)
        body = [name for name in before if not name.startswith(("norm.", "head."))]
        assert all(torch.equal(after[name], before[name]) for name in body)
        assert again(torch.rand(2, 1, 40, 40)).shape == (2, 2)

    def test_another_size_fits(self) -> None:
        own = network()
        larger = carried(own, (1, 20, 24), ("a", "b"), Seed(5))
        assert larger.eval()(torch.zeros(2, 1, 20, 24)).shape == (2, 2)

    def test_the_kept_one_stays_as_it_is(self) -> None:
        own = network()
        before = {name: value.clone() for name, value in own.network.state_dict().items()}
        again = carried(own, (1, 8, 8), ("a", "b"), Seed(5))
        with torch.no_grad():
            again.head.weight.add_(1)
            again.stem[0].weight.add_(1)
        assert all(torch.equal(before[n], v) for n, v in own.network.state_dict().items())


def test_the_record_can_be_read_again() -> None:
    from tanas.ground.records import from_plain, to_plain

    record = replace(network().record, made_by="search")
    assert from_plain(type(record), to_plain(record), where="here") == record
    assert whole().classes == record.classes
