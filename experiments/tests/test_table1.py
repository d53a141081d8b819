"""Table 1 on tiny settings: what is compared, that it goes on, its folder, its command and its page."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
from tests.sessions import lighten, tree, without_times

import tanas.api.build
from tanas.algorithm.learn import Pace
from tanas.algorithm.presets import SearchConfig
from tanas.cli.main import main
from tanas.distances.pairs import PairConfig
from tanas.distances.representative import RepresentativeConfig
from tanas.engines.resources import Resources
from tanas.ground.errors import SearchError, SettingError, UnknownNameError
from tanas.ground.events import Told, ignore
from tanas.ground.executor import InThisProcess
from tanas.ground.records import SCHEMA, read_record, to_plain
from tanas.networks.scoring import ScoringConfig
from tanas.networks.training import TrainingConfig
from tanas.strategies.base import budget_refusal
from tanas.strategies.fuse import FuseConfig
from tanas.strategies.schedules import EqualWeights
from tanas.tasks.library import Library
from tanas.tasks.names import parse_source
from tanas_experiments import table1 as module
from tanas_experiments.by_maps import by_maps
from tanas_experiments.handmade import RateConfig, RateTried, TrainedNetwork
from tanas_experiments.searches import AWARE, SearchRow
from tanas_experiments.table1 import (
    KIND,
    PAPER_TARGETS,
    SEARCHES,
    Entry,
    Handmade,
    LeftOut,
    Plain,
    Table1Config,
    Table1Record,
    at_scale,
    command_of,
)
from tanas_experiments.table1_page import (
    LABELS,
    PAPER,
    against_found,
    comparisons,
    lines_of,
    reproduce_table1,
    table1_page,
    terminal_text,
)
from tanas_experiments.zoo import RESIDUAL

EPOCH = TrainingConfig(epochs=1, batch=32)
FUSE = FuseConfig(
    rounds=2, candidates=2, images=40, validation_images=30, schedule=EqualWeights(training=EPOCH)
)
TINY = Table1Config(
    scale="smoke",
    target="digits:is=8",
    known=("digits:is=3",),
    handmade=(Handmade(name=RESIDUAL), Handmade(name="residual@900", most_seeds=1)),
    seeds=(0,),
    search=by_maps(
        SearchConfig(
            warm_weights=False,
            limit=80,
            max_parameters=6_000,
            representative=RepresentativeConfig(
                architecture="small", features=16, training=EPOCH, more_epochs=1, most_epochs=1
            ),
            pair=PairConfig(fit_images=40, gate_images=20),
            fuse=FUSE,
            learn=FUSE,
            scoring=ScoringConfig(images=40, training=EPOCH),
            training=replace(EPOCH, epochs=2),
            recipes=("plain",),
            refit=False,
            reference=False,
            outlook=False,
        )
    ),
    rates=RateConfig(rates=(3e-3, 1e-2), images=40, epochs=1),
)


class Engine(InThisProcess):
    """Runs jobs here; after so many of them it is as if the power failed."""

    def __init__(self, jobs=None):
        super().__init__()
        self.left = jobs

    def submit(self, function, /, *args, **kwargs):
        if self.left is not None:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
        return super().submit(function, *args, **kwargs)

    def submit_heard(self, listener, function, /, *args):
        return self.submit(partial(function, *args, listener=listener))


def lighter(setattr_):
    """Jobs run here, and no time is spent on measuring what time will be spent."""
    lighten(setattr_)
    for where in (module, tanas.api.build):
        setattr_(where, "measure_pace", lambda *args, **kwargs: Pace(representative=1e-4, candidate=1e-3))


@pytest.fixture(autouse=True)
def light(monkeypatch):
    lighter(monkeypatch.setattr)


def reproduce(folder, config=TINY, *, engine=None, listener=ignore):
    return reproduce_table1(
        folder,
        config,
        Library(),
        resources=Resources(device="cpu", workers=1),
        engine=engine or Engine(),
        listener=listener,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder in which the table was made, its record, and what was told."""
    told = []
    with pytest.MonkeyPatch.context() as patch:
        lighter(patch.setattr)
        folder = tmp_path_factory.mktemp("table1") / "out"
        record = reproduce(folder, listener=told.append)
    return folder, record, told


def entry(record, method, seed=0):
    (found,) = (one for one in record.entries if (one.method, one.seed) == (method, seed))
    return found


class TestWhatIsCompared:
    def test_every_search_and_every_network_with_its_seeds_and_the_plain_answers(self, made):
        _, record, _ = made
        wanted = [*((arm.name, 0) for arm in SEARCHES), (RESIDUAL, 0), ("residual@900", 0)]
        assert [(one.method, one.seed) for one in record.entries] == wanted
        assert [(one.method, one.seed) for one in record.plain] == [
            ("logistic regression", 0),
            ("constant", 0),
        ]
        assert record.left_out == ()

    def test_the_searches_are_fuse_and_random_in_both_spaces_the_one_with_memory_first(self):
        assert [(arm.strategy, arm.inherit) for arm in SEARCHES] == [
            ("fuse", "prior"),
            ("random", "prior"),
            ("fuse", "none"),
            ("random", "none"),
        ]
        assert SEARCHES[0] is AWARE

    @pytest.mark.parametrize("scale", module.SCALES)
    def test_the_memory_is_inherited_from_as_the_scales_own_settings_say(self, scale, tmp_path, monkeypatch):
        asked = []

        def search(task, folder, memory, job, machine):
            asked.append(job.config.inherit)
            return SimpleNamespace(result=lambda: None)

        monkeypatch.setattr(module, "run_search", search)
        bench = SimpleNamespace(run=lambda arm, seed: tmp_path, resources=None, engine=None, listener=None)
        config = at_scale(scale)
        for arm in (SEARCHES[0], SEARCHES[2]):
            target = SimpleNamespace(limited=lambda most: None)
            module._result_of(config, target, arm, 0, None, (None, None), bench)
        assert asked == ["union" if scale == "paper" else "prior", "none"]

    def test_random_search_spends_no_more_than_fuse_has_spent(self, made):
        _, record, _ = made
        fuse, same, _, blind = (entry(record, arm.name).search for arm in SEARCHES)
        assert 0 < same.spent["search"] <= fuse.spent["search"]
        assert 0 < blind.spent["search"] <= fuse.spent_before_training

    def test_a_search_that_knows_nothing_pays_for_no_distance(self, made):
        _, record, _ = made
        aware, blind = (entry(record, SEARCHES[at].name).search for at in (0, 2))
        assert aware.spent["represent"] > 0
        assert aware.neighbours == ("digits:is=3",)
        assert (blind.spent["represent"], blind.spent["distance"], blind.neighbours) == (0, 0, ())

    def test_the_narrow_network_has_the_size_of_the_found_one_of_its_seed(self, made):
        _, record, _ = made
        found, narrow = (entry(record, name).trained for name in (AWARE.name, RESIDUAL))
        assert narrow.network == f"residual@{found.parameters}"
        assert abs(narrow.parameters / found.parameters - 1) < 0.06

    def test_the_cost_holds_search_rates_and_training_and_no_second_final_training(self, made):
        _, record, _ = made
        found = entry(record, AWARE.name)
        before = sum(found.search.spent[phase] for phase in ("represent", "distance", "search"))
        assert found.macs == before + found.trained.rate_macs + found.trained.train_macs
        assert found.trained.train_macs == found.search.spent["train"]
        hand = entry(record, RESIDUAL)
        assert hand.macs == hand.trained.rate_macs + hand.trained.train_macs

    def test_a_found_network_with_the_rate_of_its_search_has_its_figures(self, made):
        _, record, _ = made
        same = [one for one in record.entries if one.search and one.trained.learning_rate == 1e-2]
        assert same, "no search's rate was chosen: choose another seed for this test"
        for one in same:
            assert one.trained.test_error == one.search.test_error

    def test_the_time_it_takes_is_said_before_it_begins(self, made):
        _, _, told = made
        sentence = next(e.message for e in told if isinstance(e, Told))
        assert sentence.startswith("Table 1 at scale smoke is expected to take about ")
        assert "4 searches with their trainings" in sentence

    def test_a_network_that_diverges_is_left_out_and_the_others_are_there(self, made, tmp_path, monkeypatch):
        folder, whole, _ = made
        copy = shutil.copytree(folder, tmp_path / "copy")
        (copy / "table1.json").unlink()
        (copy / "networks" / "residual-900" / "seed-0.json").unlink()

        def diverging(*job, listener):
            raise SearchError("it diverged")

        monkeypatch.setattr(module, "trained_job", diverging)
        record = reproduce(copy)
        assert record.left_out == (LeftOut(method="residual@900", seed=0, reason="it diverged"),)
        assert record.entries == tuple(one for one in whole.entries if one.method != "residual@900")
        assert "Left out: residual@900, seed 0. it diverged" in table1_page(record)

    def test_a_search_whose_budget_pays_for_no_candidate_is_left_out(self, made, tmp_path, monkeypatch):
        folder, whole, _ = made
        copy = shutil.copytree(folder, tmp_path / "copy")
        (copy / "table1.json").unlink()
        shutil.rmtree(copy / "runs" / "task-aware-random-search")
        shutil.rmtree(copy / "networks" / "task-aware-random-search")
        aware = entry(whole, AWARE.name).search

        def search(task, folder, memory, job, machine):
            config = job.config
            assert config.budget_macs == aware.spent["search"]
            raise budget_refusal(config.budget_macs, 10**12)

        monkeypatch.setattr(module, "run_search", search)
        record = reproduce(copy, engine=Engine(0))
        (missing,) = record.left_out
        assert (missing.method, missing.seed) == ("task-aware random search", 0)
        assert "must be at least 1,000,000,000,000, what its first training costs" in missing.reason
        assert record.entries == tuple(one for one in whole.entries if one.method != missing.method)


class TestGoingOn:
    def test_a_finished_folder_stays_as_it_is(self, made):
        folder, record, _ = made
        before, told = tree(folder), []
        again = reproduce(folder, engine=Engine(0), listener=told.append)
        assert to_plain(again) == to_plain(record)
        assert tree(folder) == before
        assert any("is finished already; nothing was changed" in e.message for e in told)

    def test_what_was_cut_off_goes_on_to_the_same_record_and_does_nothing_twice(self, made, tmp_path):
        folder, whole, _ = made
        copy = shutil.copytree(folder, tmp_path / "copy")
        (copy / "table1.json").unlink()
        shutil.rmtree(copy / "networks")
        shutil.rmtree(copy / "runs" / "random-search-that-knows-nothing")
        with pytest.raises(KeyboardInterrupt):
            reproduce(copy, engine=Engine(2))  # of six networks
        record = reproduce(copy)
        assert without_times(to_plain(record)) == without_times(to_plain(whole))
        (copy / "table1.json").unlink()
        (copy / "networks" / "residual" / "seed-0.json").unlink()
        last = Engine(1)
        again = reproduce(copy, engine=last)
        assert last.left == 0
        assert without_times(to_plain(again)) == without_times(to_plain(whole))

    def test_another_number_of_seeds_takes_what_is_there(self, made, tmp_path):
        folder, whole, _ = made
        copy = shutil.copytree(folder, tmp_path / "copy")
        for first in [*copy.glob("runs/*/seed-0"), *copy.glob("networks/*/seed-0.json")]:
            second = first.with_name(first.name.replace("0", "1"))
            (shutil.copytree if first.is_dir() else shutil.copy)(first, second)
        record = reproduce(copy, replace(TINY, seeds=(0, 1)), engine=Engine(0))
        assert tuple(one for one in record.entries if one.seed == 0) == whole.entries
        assert {one.method for one in record.entries if one.seed == 1} == {
            one.method for one in whole.entries if one.method != "residual@900"
        }, "one network has a single seed"
        assert read_record(Table1Record, copy / "table1.json") == record

    def test_other_settings_on_a_folder_are_refused_by_name(self, made):
        folder, _, _ = made
        other = replace(TINY, rates=replace(TINY.rates, epochs=2))
        with pytest.raises(SettingError, match="was begun with rates.epochs = 1; now it is 2"):
            reproduce(folder, other)


def network(method, error, *, parameters=1_000_000, macs=10**7):
    return TrainedNetwork(
        network=method,
        parameters=parameters,
        macs=macs,
        rates=(RateTried(learning_rate=1e-2, score=0.9, loss=0.1),),
        learning_rate=1e-2,
        validation_error=error,
        validation_balanced_error=error,
        test_error=error,
        test_balanced_error=2 * error,
        rate_macs=10**12,
        train_macs=3 * 10**12,
        rate_s=10.0,
        train_s=30.0,
    )


def search_of(seed):
    return SearchRow(
        target="quickdraw:is=moon",
        seed=seed,
        arm=AWARE.name,
        test_error=0.5,
        test_balanced_error=0.5,
        validation_performance=0.5,
        parameters=20_000,
        macs=10**6,
        architecture="a",
        stopped="rounds",
        candidates=6,
        neighbours=(),
        spent={"represent": 10**12, "distance": 0, "search": 3 * 10**12, "train": 9 * 10**12},
        took_s={"represent": 5.0, "distance": 5.0, "search": 50.0, "train": 99.0},
    )


def record_of(target=PAPER_TARGETS[0]):
    found = [
        Entry(
            method=AWARE.name,
            seed=seed,
            trained=network("a", error, parameters=20_000),
            search=search_of(seed),
        )
        for seed, error in enumerate((0.010, 0.014, 0.012))
    ]
    resnet = [
        Entry(method="resnet18", seed=seed, trained=network("resnet18", error), search=None)
        for seed, error in enumerate((0.016, 0.020, 0.018))
    ]
    vgg = Entry(method="vgg16", seed=0, trained=network("vgg16", 0.008), search=None)
    return Table1Record(
        kind=KIND,
        schema=SCHEMA,
        scale="laptop",
        command="tanas reproduce table1 --scale laptop --seeds 3",
        n=3,
        seeds=(0, 1, 2),
        hardware={"processor": "a processor", "cores": 2},
        versions={"python": "3.11"},
        task=target,
        images={"train": 4000, "validation": 1000, "test": 2400},
        entries=(*found, *resnet, vgg),
        plain=tuple(
            Plain(method="constant", seed=seed, error=0.1, balanced_error=0.5, parameters=0)
            for seed in (0, 1, 2)
        ),
        left_out=(),
        dictionary_atoms=10,
        dictionary_macs=5 * 10**12,
        dictionary_s=700.0,
        config={
            "target": target,
            "search": to_plain(SearchConfig()),
            "rates": to_plain(RateConfig()),
        },
    )


class TestPage:
    def test_a_line_holds_mean_and_deviation_and_the_costs_apart(self):
        found, resnet, vgg, constant = lines_of(record_of())
        assert (found.method, found.n, found.error) == (AWARE.name, 3, "1.20 ± 0.20")
        assert found.balanced_error == "2.40 ± 0.40"
        assert (found.search_macs, found.training_macs, found.took_s) == (4e12, 4e12, 100.0)
        assert (resnet.error, resnet.search_macs, resnet.training_macs) == ("1.80 ± 0.20", None, 4e12)
        assert (vgg.n, vgg.error) == (1, "0.80")
        assert (constant.error, constant.macs, constant.took_s) == ("10.00 ± 0.00", None, None)

    def test_differences_are_paired_by_seed(self):
        record = record_of()
        resnet = against_found(record, "resnet18")
        assert (resnet.n, round(resnet.mean, 6), resnet.p) == (3, 0.006, 0.25)
        vgg = against_found(record, "vgg16")
        assert (vgg.n, round(vgg.mean, 6), vgg.p) == (1, -0.002, None)
        assert against_found(record, "densenet161") is None

    def test_each_method_has_a_row_whatever_it_says(self):
        resnet, vgg, constant = (one.cells for one in comparisons(record_of()))
        assert resnet[:2] == ["ResNet-18", "Not shown"]
        assert resnet[2].startswith("\N{MINUS SIGN}0.60 (95 % CI")
        assert resnet[4:] == ["3", "50", "0.5", "0.4"]
        assert vgg[2:5] == ["+0.20", "+0.40", "1"]
        assert constant[2].startswith("\N{MINUS SIGN}8.80 (95 % CI")
        assert constant[-1] == "-"

    def test_the_page_shows_the_papers_figures_beside_ours(self):
        text = table1_page(record_of(), title="# A title")
        _, row = (line for line in text.splitlines() if line.startswith("| ResNet-18 |"))
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[1:6] == ["3", "1.80 ± 0.20", "3.60 ± 0.40", "1", "10"]
        assert cells[6:8] == ["-", "4"]
        assert cells[-3:] == ["1.42", "11.44", "-"]
        assert "| 1.18 | 2.72 | 2 |" in text
        assert text.startswith("# A title\n\n## Is the found network better than the others?")
        assert "Scale `laptop`, task `quickdraw:is=moon`: 4,000 training" in text
        assert "Made by `tanas reproduce table1 --scale laptop --seeds 3` on a processor" in text

    def test_the_papers_figures_do_not_stand_beside_another_task(self):
        text = table1_page(record_of(target="digits:is=8"))
        assert "1.42" not in text
        assert "11.44" not in text

    def test_every_method_of_every_scale_has_a_name_for_people(self):
        for scale in module.SCALES:
            for one in at_scale(scale).handmade:
                assert one.name in LABELS
        assert all(arm.name in LABELS for arm in SEARCHES)
        assert set(PAPER) <= set(LABELS)

    def test_the_terminal_shows_lines_and_comparisons(self, tmp_path):
        text = terminal_text(record_of(), tmp_path)
        assert "FUSE, task-aware space" in text
        assert all(cell in text for one in comparisons(record_of()) for cell in one.cells)


class TestScales:
    def test_each_is_whole_and_names_tasks_that_parse(self):
        for scale in ("smoke", "laptop", "paper"):
            config = at_scale(scale)
            assert config.scale == scale
            assert RESIDUAL in {one.name for one in config.handmade}
            for name in (config.target, *config.known):
                parse_source(name)

    def test_the_papers_networks_are_among_those_of_laptop_and_paper(self):
        for scale in ("laptop", "paper"):
            names = {one.name for one in at_scale(scale).handmade}
            assert {"resnet18", "resnet34", "densenet161"} <= names
            assert len(at_scale(scale).known) == 10

    def test_laptop_has_three_seeds_or_more_for_the_searches_and_what_is_held_against_them(self):
        config = at_scale("laptop")
        assert len(config.seeds) >= 3
        assert {one.name for one in config.handmade if one.most_seeds is None} == {RESIDUAL, "resnet18"}

    def test_seeds_follow_the_first_and_the_command_says_so(self):
        assert at_scale("laptop", first_seed=5, seeds=2).seeds == (5, 6)
        assert command_of(at_scale("laptop", seeds=4)) == "tanas reproduce table1 --scale laptop --seeds 4"
        later = at_scale("smoke", first_seed=2, seeds=1)
        assert command_of(later) == "tanas reproduce table1 --scale smoke --seeds 1 --seed 2"

    def test_wrong_settings_are_refused(self):
        with pytest.raises(SettingError, match="The 'seeds' of Table1Config must be different numbers"):
            replace(TINY, seeds=(1, 1))
        with pytest.raises(UnknownNameError, match="'resnet81' is no network of the zoo"):
            Handmade(name="resnet81")
        with pytest.raises(SettingError, match="The 'most_seeds' of Handmade must be at least 1"):
            Handmade(name="resnet18", most_seeds=0)


class TestCommand:
    @pytest.fixture
    def tanas(self, monkeypatch, tmp_path, capsys, made):
        folder, _, _ = made
        monkeypatch.chdir(tmp_path)
        monkeypatch.setitem(module.SCALES, "smoke", lambda: TINY)
        shutil.copytree(folder, tmp_path / "t")

        def run(*arguments):
            status = main(["reproduce", "table1", *arguments])
            out, err = capsys.readouterr()
            return status, out, err

        return run

    def test_it_prints_one_document_and_writes_the_record_where_it_is_told(self, tanas, tmp_path):
        (tmp_path / "t" / "table1.json").unlink()
        status, out, err = tanas("--scale", "smoke", "--out", "t", "--record", "kept/table1.json", "--json")
        assert status == 0, err
        assert json.loads(out) == json.loads((tmp_path / "t" / "table1.json").read_text())
        assert (tmp_path / "kept/table1.json").read_bytes() == (tmp_path / "t/table1.json").read_bytes()

        status, out, err = tanas("--scale", "smoke", "--out", "t")
        assert status == 0
        assert "t is finished already; nothing was changed." in err
        assert "always the most frequent class" in out

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--scale", "huge"), "huge"),
            (
                ("--scale", "smoke", "--seeds", "0"),
                "The 'seeds' of table1 must be at least 1. Got 0 instead.",
            ),
        ],
    )
    def test_a_wrong_call_is_refused_with_2(self, tanas, arguments, said):
        status, out, err = tanas(*arguments)
        assert (status, out) == (2, "")
        assert said in err

    def test_help_explains_it(self, capsys):
        assert main(["reproduce", "table1", "--help"]) == 0
        out = capsys.readouterr().out
        assert "Usage: tanas reproduce table1" in out
        assert "--scale" in out
