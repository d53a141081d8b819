"""With which weights the final training begins: whole searches, and the choice alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from tests.algorithm.test_learn import learnt, whole
from tests.conftest import Answer, bars
from tests.dictionary.small_atoms import SEED
from tests.sessions import without_times

from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.result import WarmStart
from tanas.algorithm.warm_start import Offered, begin
from tanas.ground.context import Context
from tanas.ground.records import from_plain
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import unscored
from tanas.strategies.base import Ledger, Outcome

Tanas = Callable[..., Answer]
COMMON = ("--config", "tiny.toml", "--dictionary", "known", "--warm-weights", "--quiet")


def result(desk: Path, run: str = "run") -> Any:
    return json.loads((desk / run / "result.json").read_bytes())


class TestWholeSearches:
    def test_the_networks_of_the_nearest_are_tried_and_paid_for(self, tanas: Tanas, desk: Path) -> None:
        answer = tanas("search", "npz:bars.npz:is=square", *COMMON, "--out", "run")
        assert answer.status == 0
        found = result(desk)
        begun = found["beginning"]
        assert [one["atom"] for one in begun["tried"]] == [one["atom"] for one in found["neighbours"]]
        assert all(0 <= one["score"] <= 1 and one["left_out"] == "" for one in begun["tried"])
        best = max(one["score"] for one in begun["tried"])
        taken = begun["atom"]
        assert (taken != "") == (best > begun["scratch"])
        of = {one["atom"]: one["architecture"] for one in begun["tried"]}
        best_key = from_plain(Architecture, found["architecture"], where="result").key
        assert best_key == (of[taken] if taken else begun["found"])
        search = next(one for one in found["ledger"]["phases"] if one["phase"] == "search")
        paid = [name for name, _ in search["images"] if "weights of" in name]
        assert len(paid) == len(begun["tried"])
        assert begun["note"] in answer.out

    @pytest.mark.long
    def test_the_same_command_gives_the_same_result(self, tanas: Tanas, desk: Path) -> None:
        for run in ("one", "two"):
            assert tanas("search", "npz:bars.npz:is=square", *COMMON, "--out", run).status == 0
        assert without_times(result(desk, "one")) == without_times(result(desk, "two"))
        weights = [load_file(desk / run / "weights.safetensors") for run in ("one", "two")]
        assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])

    def test_a_network_that_has_seen_a_test_image_is_never_taken(self, tanas: Tanas, desk: Path) -> None:
        # what the known tasks were learnt from is this task's test split
        x, y = bars(150, seed=1)
        other, labels = bars(150, seed=7)
        np.savez(desk / "other.npz", x_train=other, y_train=labels, x_test=x, y_test=y)
        assert tanas("search", "npz:other.npz:is=2", *COMMON, "--out", "run").status == 0
        begun = result(desk)["beginning"]
        assert begun["atom"] == ""
        assert begun["tried"]
        for one in begun["tried"]:
            assert one["score"] is None
            # every image that the short training of the dictionary has seen
            assert "32 of this task's test images" in one["left_out"]

    def test_nor_one_that_has_seen_an_image_by_which_it_is_judged(self, tanas: Tanas, desk: Path) -> None:
        # another split of the same pictures
        options = ("--split-seed", "5", "--out", "run")
        assert tanas("search", "npz:bars.npz:is=square", *COMMON, *options).status == 0
        tried = result(desk)["beginning"]["tried"]
        assert tried
        assert all("images" in one["left_out"] and one["score"] is None for one in tried)

    def test_damaged_weights_are_refused_before_any_work(self, tanas: Tanas, desk: Path) -> None:
        file = next((desk / "known").glob("atoms/*/network.safetensors"))
        file.write_bytes(file.read_bytes()[:-1] + b"x")
        answer = tanas("search", "npz:bars.npz:is=square", *COMMON, "--out", "run")
        assert answer.status == 2
        assert "network.safetensors is damaged" in answer.err
        assert not (desk / "run").exists()

    def test_operations_of_another_user_are_left_out_and_their_weights_not_read(
        self, tanas: Tanas, desk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tanas.algorithm.warm_start.known_here", lambda record: False)
        monkeypatch.setattr("tanas.algorithm.warm_start.carried", None)  # can't be called
        assert tanas("search", "npz:bars.npz:is=square", *COMMON, "--out", "run").status == 0
        tried = result(desk)["beginning"]["tried"]
        assert tried
        assert all("operations" in one["left_out"] for one in tried)

    def test_limits_hold_for_the_networks_too(self, tanas: Tanas, desk: Path) -> None:
        status = tanas(
            *("search", "npz:bars.npz:is=square", *COMMON, "--max-parameters", "700", "--out", "run")
        ).status
        assert status == 0
        found = result(desk)
        assert found["parameters"] <= 700
        tried = found["beginning"]["tried"]
        assert tried
        assert all(one["left_out"] == "" or "limits" in one["left_out"] for one in tried)

    def test_a_memory_keeps_what_was_seen_on_the_way(self, tanas: Tanas, desk: Path) -> None:
        answer = tanas("search", "npz:bars.npz:is=square", *COMMON, "--remember", "--out", "run")
        assert answer.status == 0
        atoms = [json.loads(file.read_bytes()) for file in (desk / "known").glob("atoms/*/atom.json")]
        made = next(one for one in atoms if one["atom"]["task"]["name"] == "npz:bars.npz:is=square")
        assert made["atom"]["kept"]["made_by"] == "search"
        assert made["kept_sha256"]
        assert tanas("dictionary", "verify", "known").status == 0

    def test_without_the_option_nothing_is_tried(self, tanas: Tanas, desk: Path) -> None:
        options = [one for one in COMMON if one != "--warm-weights"]
        assert tanas("search", "npz:bars.npz:is=square", *options, "--out", "run").status == 0
        assert result(desk)["beginning"] is None


class TestTheChoice:
    """Of what the search found and of what related tasks offer."""

    def outcome(self, score: float | None) -> Outcome:
        atom = learnt().atom
        best = replace(unscored(atom.rounds[0].candidates[0], whole()), score=score)
        return Outcome(best=best.architecture, rounds=atom.rounds, seen=(best,), stopped="rounds")

    def starts(self, *scores: float | None) -> Offered:
        network = learnt().network
        tried = tuple(
            (
                WarmStart(
                    atom=f"atom {place}",
                    distance=0.25,
                    architecture="key",
                    score=score,
                    left_out="" if score is not None else "it exceeds the limits",
                ),
                None if score is None else network,
            )
            for place, score in enumerate(scores)
        )
        return Offered(tried, Ledger(macs=7, images=(("key, weights of atom 0", 3),)))

    def test_a_network_that_is_ahead_is_taken_and_named(self) -> None:
        start = begin(self.outcome(0.5), self.starts(0.6, 0.7, 0.7), whole())
        assert start.weights is learnt().network
        assert start.beginning is not None
        assert start.beginning.atom == "atom 1"  # of equal ones the nearer
        assert start.weights is not None
        assert start.outcome.best == start.weights.record.architecture
        assert start.outcome.best in {one.architecture for one in start.outcome.seen}
        assert start.outcome.ledger.macs == 7

    @pytest.mark.parametrize("scores", [(), (None,), (0.5, 0.4), (None, 0.2)])
    def test_else_it_begins_from_scratch_and_says_why(self, scores: tuple[float | None, ...]) -> None:
        start = begin(self.outcome(0.5), self.starts(*scores), whole())
        assert start.weights is None
        assert start.network(whole(), SearchConfig(), Context(seed=SEED)) is None
        assert start.outcome.best == self.outcome(0.5).best
        assert start.beginning is not None
        assert start.beginning.atom == "" and start.beginning.note

    def test_what_has_no_score_is_not_given_up(self) -> None:
        start = begin(self.outcome(None), self.starts(0.9), whole())
        assert start.weights is None
        assert start.beginning is not None
        assert start.beginning.scratch is None and "no score" in start.beginning.note
