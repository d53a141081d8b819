from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tanas.algorithm.presets import SearchConfig, default, paper, quick
from tanas.api.settings import configure, count, seconds
from tanas.distances.gate import GateConfig
from tanas.distances.intervals import IntervalConfig
from tanas.ground.errors import SettingError, StoreError, UnknownNameError
from tanas.strategies.schedules import Alternating, EqualWeights


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "own.toml"


class TestConfigure:
    def test_a_preset_alone_is_the_preset(self) -> None:
        assert configure("default", None, {}) == default()
        assert configure("quick", None, {"fuse.rounds": None, "neighbours": None}) == quick()

    def test_options_reach_nested_fields_and_leave_the_others(self) -> None:
        config = configure("quick", None, {"fuse.rounds": 7, "representative.epsilon": 0.1, "space": "paper"})
        assert config.fuse.rounds == 7
        assert config.representative.epsilon == 0.1
        assert config.space == "paper"
        assert config.fuse.schedule == quick().fuse.schedule
        assert config.learn == quick().learn

    def test_options_win_over_the_file_and_the_file_over_the_preset(self, toml: Path) -> None:
        toml.write_text(
            "limit = 500\n[fuse]\nrounds = 9\npatience = 2\n[fuse.schedule.training]\nepochs = 4\n"
        )
        config = configure("default", toml, {"fuse.rounds": 1})
        assert (config.limit, config.fuse.rounds, config.fuse.patience) == (500, 1, 2)
        assert isinstance(config.fuse.schedule, EqualWeights)
        assert config.fuse.schedule.training.epochs == 4
        assert config.fuse.schedule.training.batch == 128

    def test_options_are_set_at_once_as_one_may_only_go_with_another(self, toml: Path) -> None:
        toml.write_text('related = "all"\n')
        config = configure("quick", toml, {"neighbours": 2, "related": "nearest"})
        assert (config.related, config.neighbours) == ("nearest", 2)
        with pytest.raises(SettingError, match="can't go together"):
            configure("quick", toml, {"neighbours": 2})

    def test_a_file_reaches_the_parts_of_the_distance(self, toml: Path) -> None:
        toml.write_text(
            "[distance]\nmethod = 'exact'\n[distance.gate]\nasked = 'dense'\nslack = 0.2\n"
            "[distance.transform]\nepochs = 3\n[distance.intervals]\ndraws = 50\n"
        )
        distance = configure("quick", toml, {"distance.gate.head": "frozen"}).distance
        assert distance.method == "exact"
        assert distance.gate == GateConfig(asked="dense", slack=0.2, head="frozen")
        assert distance.transform == replace(quick().distance.transform, epochs=3)
        assert distance.intervals == IntervalConfig(draws=50)
        assert configure("quick", None, {"distance.method": "exact"}).distance.method == "exact"

    def test_an_unknown_method_is_refused_with_near_ones(self, toml: Path) -> None:
        toml.write_text("[distance]\nmethod = 'transfrom'\n")
        with pytest.raises(UnknownNameError, match="'distance.method' in .*own.toml: 'transfrom'"):
            configure("default", toml, {})

    def test_a_file_can_name_another_kind_of_schedule(self, toml: Path) -> None:
        toml.write_text("[fuse.schedule]\nkind = 'alternating'\nstages = 3\n")
        schedule = configure("default", toml, {}).fuse.schedule
        assert schedule == Alternating(stages=3)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("limits = 3", "'limits' in .*own.toml.* 'limit'"),
            ("[fuse]\nround = 3", "'fuse.round' in .*own.toml.* 'rounds'"),
            (
                "[fuse.schedule]\nstages = 3",
                "'fuse.schedule.stages' in .*own.toml",
            ),
            (
                "[distance.gate]\nask = 'own'",
                "'distance.gate.ask' in .*own.toml.* 'asked'",
            ),
            (
                "[fuse.schedule]\nkind = 'alternating'\nstage = 3",
                "'fuse.schedule.stage' in .*own.toml.* 'stages'",
            ),
        ],
        ids=["top", "nested", "of another kind", "of the gate", "within another kind"],
    )
    def test_a_misspelt_key_is_refused_with_near_ones(self, toml: Path, content: str, message: str) -> None:
        toml.write_text(content)
        with pytest.raises(UnknownNameError, match=message):
            configure("default", toml, {})

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("[fuse]\nrounds = 0", "'fuse.rounds' in .*own.toml .* at least 1"),
            (
                "[representative.training]\nepochs = 0",
                "'representative.training.epochs' in .*own.toml .* at least 1",
            ),
            (
                "[fuse]\nrounds = 'many'",
                "'fuse.rounds' in .*own.toml .*whole number.*'many'",
            ),
            ("limit = 1.5", "'limit' in .*own.toml .*whole number.* 1.5"),
            ("per_atom = 'all'", "'per_atom' in .*own.toml .* whole number.*'all'"),
            ("controls = 'maybe'", "'controls' in .*own.toml .*true or false.*'maybe'"),
            ("space = true", "'space' in .*own.toml .*text.* true"),
            ("space = ['paper']", "'space' in .*own.toml .*text.* list"),
            ("fuse = 3", "'fuse' in .*own.toml .*table.* 3"),
            (
                "[distance.transform]\nwidths = [16, 'x']",
                "'distance.transform.widths.1' in .*own.toml .*whole number.*'x'",
            ),
            (
                "[fuse.schedule]\nkind = 'greedy'",
                "'fuse.schedule.kind' in .*own.toml .*equal-weights, alternating.*'greedy'",
            ),
            (
                "[fuse.schedule]\nkind = 'alternating'\nstages = 'all'",
                "'fuse.schedule.stages' in .*own.toml .*whole number.*'all'",
            ),
            (
                "threshold = 0.5\nneighbours = 2",
                "own.toml.*'neighbours' and 'threshold' of SearchConfig",
            ),
            ("limit = ", "own.toml is not valid TOML"),
        ],
    )
    def test_a_wrong_value_is_refused_with_its_file(self, toml: Path, content: str, message: str) -> None:
        toml.write_text(content)
        with pytest.raises(SettingError, match=message):
            configure("default", toml, {})

    def test_bytes_that_are_no_text_are_no_toml(self, toml: Path) -> None:
        toml.write_bytes(b"\xff\xfe")
        with pytest.raises(SettingError, match="is not valid TOML"):
            configure("default", toml, {})

    def test_a_missing_file_is_named(self, toml: Path) -> None:
        with pytest.raises(StoreError, match="own.toml can't be read"):
            configure("default", toml, {})

    def test_a_wrong_option_is_refused_by_its_owner(self) -> None:
        with pytest.raises(SettingError, match=r"The 'epsilon' of RepresentativeConfig must be in \(0, 1\)"):
            configure("default", None, {"representative.epsilon": 1.4})
        with pytest.raises(UnknownNameError, match="'papre'.* 'paper'"):
            configure("papre", None, {})

    def test_a_setting_of_older_versions_is_read_at_the_value_that_is_built_in_now(self, toml: Path) -> None:
        toml.write_text("[distance.transform]\nrefine_epochs = 0\nepochs = 7\n")
        config = configure("default", toml, {})
        transform = replace(default().distance.transform, epochs=7)
        assert config == replace(default(), distance=replace(default().distance, transform=transform))
        toml.write_text("[distance.transform]\nrefine_epochs = 8\n")
        with pytest.raises(UnknownNameError, match="'distance.transform.refine_epochs' in"):
            configure("default", toml, {})

    def test_every_setting_of_a_preset_can_stand_in_a_file(self, toml: Path) -> None:
        toml.write_text(
            "performance = 'accuracy'\nneighbours = 3\nspace = 'paper'\ninherit_seed = false\n"
            "[representative]\narchitecture = 'paper'\n"
        )
        config = configure("default", toml, {})
        assert isinstance(config, SearchConfig)
        assert (config.performance, config.space, config.inherit_seed) == ("accuracy", "paper", False)
        assert config.representative.architecture == paper().representative.architecture


class TestSeconds:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("0.5H", 1800), ("1.5", 1.5)],
    )
    def test_reads_a_duration(self, text: str, expected: float) -> None:
        assert seconds(text) == expected

    @pytest.mark.parametrize("text", ["", "m", "ten minutes", "10 d", "1:30"])
    def test_refuses_what_is_none(self, text: str) -> None:
        with pytest.raises(SettingError, match=f"90s, 10m or 2h. .*{text!r}"):
            seconds(text)

    @pytest.mark.parametrize("text", ["0", "-5m", "nan", "inf"])
    def test_refuses_what_leaves_no_time(self, text: str) -> None:
        with pytest.raises(SettingError, match=f"more than 0 seconds. .*{text!r}"):
            seconds(text)


class TestCount:
    @pytest.mark.parametrize(("text", "expected"), [("12", 12), ("all", "all"), (None, None)])
    def test_reads_a_number_or_all(self, text: str | None, expected: int | str | None) -> None:
        assert count(text, "limit") == expected

    @pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", "", "²"])
    def test_refuses_what_is_neither(self, text: str) -> None:
        with pytest.raises(SettingError, match=f"'limit' .*'{text}'"):
            count(text, "limit")
