"""Searches side by side: who gets what, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tanas.engines.resources import Resources
from tanas.ground.errors import BudgetError, SettingError
from tanas.ground.events import ignore
from tanas.ground.records import from_plain, to_plain, write_json
from tanas.ground.seeds import Seed
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.named import named_space
from tanas.strategies.registry import STRATEGIES
from tanas.tasks.library import Library
from tanas_experiments import searches
from tanas_experiments import searches_page as searches_page_module
from tanas_experiments.packed import read_packed
from tanas_experiments.progress import Progress
from tanas_experiments.searches import (
    ARMS,
    AWARE,
    EVERY,
    LARGEST,
    NO_END,
    RIVALS,
    UNION,
    UNSEARCHED,
    ZERO_LINE,
    SearchRow,
    allowance,
    arms_of,
    at_scale,
    configured,
    searched,
    settings_of,
)
from tanas_experiments.searches_page import (
    SearchesRecord,
    answers,
    arms_in,
    compared,
    compared_by_target,
    reproduce_search,
    searches_page,
    terminal_text,
)

SMOKE = at_scale("smoke")


def row(arm: str, seed: int = 0, target: str = "digits:is=8", error: float = 0.1) -> SearchRow:
    return SearchRow(
        target=target,
        seed=seed,
        arm=arm,
        test_error=error,
        test_balanced_error=2 * error,
        validation_performance=0.9,
        parameters=1000,
        macs=2000,
        architecture="k",
        stopped="rounds",
        candidates=5,
        neighbours=("digits:is=3",),
        spent={"represent": 1, "distance": 20, "search": 300, "train": 4000},
        took_s={"represent": 1.0, "distance": 1.0, "search": 1.0, "train": 1.0},
    )


def record_of(*rows: SearchRow) -> SearchesRecord:
    return SearchesRecord(
        kind="searches",
        schema=1,
        scale="smoke",
        command="tanas reproduce search",
        n=len(rows),
        seeds=tuple(sorted({one.seed for one in rows})),
        hardware={"processor": "a"},
        versions={"torch": "2"},
        settings=settings_of(SMOKE),
        targets=tuple(dict.fromkeys(one.target for one in rows)),
        rows=rows,
    )


class TestArms:
    def test_all_share_everything_but_strategy_inheritance_and_budget(self) -> None:
        aware = row(AWARE.name)
        for arm in (*ARMS, *RIVALS):
            config = configured(arm, SMOKE.search, aware)
            assert config.strategy in STRATEGIES
            assert config.neighbours == (None if arm.inherit in ("none", "all") else 2)
            same = replace(
                config,
                strategy=SMOKE.search.strategy,
                inherit=SMOKE.search.inherit,
                related=SMOKE.search.related,
                budget_macs=None,
                fuse=SMOKE.search.fuse,
                halving=SMOKE.search.halving,
                neighbours=SMOKE.search.neighbours,
                random=SMOKE.search.random,
                evolution=SMOKE.search.evolution,
                predictor=SMOKE.search.predictor,
                rounds_led=SMOKE.search.rounds_led,
            )
            assert same == SMOKE.search, arm.name

    def test_random_search_may_spend_what_fuse_did_and_no_more(self) -> None:
        aware = row(AWARE.name)
        budgets = {arm.name: configured(arm, SMOKE.search, aware).budget_macs for arm in ARMS}
        assert budgets["task-aware random search"] == 300
        assert budgets["random search that knows nothing"] == 321, "what representing and measuring cost too"
        assert budgets[AWARE.name] is None, "as its configuration has it"
        assert budgets["FUSE that knows nothing"] is None

    def test_all_searches_by_fuse_may_spend_the_same_and_are_ended_by_nothing_else(self) -> None:
        search = replace(SMOKE.search, budget_macs=1000)
        found = {arm.name: configured(arm, search, row(AWARE.name)) for arm in ARMS if not arm.budget}
        for name in (AWARE.name, "FUSE from the farthest", "FUSE from random tasks", UNION):
            config = found[name]
            assert (config.budget_macs, config.fuse.rounds, config.fuse.patience) == (1000, NO_END, NO_END)
        for name in ("FUSE that knows nothing", EVERY):
            assert found[name].budget_macs == 1021, "what representing and measuring cost too"
        assert found[EVERY].neighbours is None, "of tasks that all count alike there are no nearest"

    def test_what_tries_candidates_one_after_the_other_is_ended_by_its_budget_alone(self) -> None:
        for arm in RIVALS:
            config = configured(arm, SMOKE.search, row(AWARE.name))
            assert config.budget_macs == 300
            assert {config.random.candidates, config.evolution.candidates, config.predictor.candidates} == {
                NO_END
            }
            # of four that the budget pays for, evolution mutates and the predictor predicts two
            assert config.evolution.population == config.predictor.initial == 2
            assert config.evolution.children == config.predictor.batch == 1

    def test_what_searches_nothing_draws_one_architecture_or_the_largest_and_inherits_nothing(self) -> None:
        zero, largest = arms_of(SMOKE, "digits:is=8", 0)[-2:]
        assert (zero.name, zero.strategy) == (ZERO_LINE, "random")
        assert (largest.name, largest.strategy) == (LARGEST, "largest")
        for arm in (zero, largest):
            config = configured(arm, SMOKE.search, row(AWARE.name))
            assert (config.inherit, config.inherit_seed, config.budget_macs) == ("none", False, None)
            assert config.random.candidates == 1

    def test_the_arm_that_sets_the_budgets_runs_first_and_rivals_on_their_targets_only(self) -> None:
        config = replace(SMOKE, rivals_on=("digits:is=8",), rival_seeds=1)
        assert arms_of(config, "digits:is=8", 0)[0] == AWARE
        assert set(RIVALS) <= set(arms_of(config, "digits:is=8", 0))
        assert not set(RIVALS) & set(arms_of(config, "digits:is=8", 1))
        assert not set(RIVALS) & set(arms_of(config, "another", 0))

    def test_known_tasks_and_targets_of_the_laptop_scale_are_named_and_differ(self) -> None:
        laptop = at_scale("laptop")
        names = [named.name for named in (*laptop.known, *laptop.targets)]
        assert len(set(names)) == len(names) == 14
        assert set(laptop.rivals_on) <= {target.label for target in laptop.targets}

    def test_what_the_experiment_is_not_about_runs_for_the_first_seeds_only(self) -> None:
        few = {arm.name for arm in ARMS if arm.few}
        assert few == {UNION, "transfer, no search"}
        for seed, there in ((3, True), (4, False)):
            arms = {arm.name for arm in arms_of(SMOKE, "digits:is=8", seed)}
            assert (few <= arms) == there
            assert {arm.name for arm in ARMS if not arm.few} <= arms

    def test_which_arms_a_seed_has_does_not_depend_on_what_else_a_process_does(self) -> None:
        for seed in range(8):
            alone = at_scale("laptop", first_seed=seed, seeds=1)
            assert arms_of(alone, "digits", seed) == arms_of(at_scale("laptop"), "digits", seed)

    def test_a_search_may_spend_some_scores_of_the_mean_architecture(self) -> None:
        task = Library().open("digits:is=8")
        once = allowance(task, replace(SMOKE, budget_scores=1))
        assert allowance(task, replace(SMOKE, budget_scores=5)) == 5 * once
        images = len(task.measured_by("balanced").limited(1000).train) * 4
        space = named_space("standard", shape=task.shape)
        costs = [
            cost_by_parts(one, task.shape, 2).macs
            for one in space.sample(40, seed=Seed(1), shape=task.shape, classes=2)
        ]
        assert min(costs) < once / (3 * images) < max(costs)
        cheap = replace(SMOKE, search=replace(SMOKE.search, max_macs=min(costs) * 3))
        assert allowance(task, cheap) < 3 * images * 12 * min(costs) * 3

    def test_settings_are_the_same_whatever_targets_and_seeds_a_process_takes(self) -> None:
        part = at_scale("laptop", first_seed=2, seeds=3, targets=("digits",))
        assert settings_of(part) == settings_of(at_scale("laptop"))

    def test_a_target_that_is_none_is_refused(self) -> None:
        with pytest.raises(SettingError, match="targets"):
            at_scale("smoke", targets=("mars",))


class TestRunning:
    @pytest.fixture
    def scripted(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str, int | None]]:
        """Searches are not run: each is noted, and gives a row."""
        asked: list[tuple[int, str, int | None]] = []

        class Run:
            def result(self) -> SimpleNamespace:
                return SimpleNamespace(neighbours=(SimpleNamespace(fingerprint="f"),))

        def run_search(task: Any, folder: Path, dictionary: Any, job: Any, machine: Any) -> Run:
            assert (dictionary == "nothing") == (job.config.inherit == "none")
            asked.append((job.seed, folder.name, job.config.budget_macs))
            return Run()

        monkeypatch.setattr(searches, "run_search", run_search)
        monkeypatch.setattr(searches, "memory_of", lambda *_, **__: None)
        monkeypatch.setattr(searches, "labels_of", lambda *_: {"f": "digits:is=3"})
        monkeypatch.setattr(searches, "allowance", lambda *_: 5000)
        monkeypatch.setattr(searches, "opened", lambda named, *_: SimpleNamespace(limited=lambda most: named))
        monkeypatch.setattr(searches.Dictionary, "create", lambda folder: folder.name)
        monkeypatch.setattr(searches, "row_of", lambda target, seed, arm, _: row(arm, seed, target))
        return asked

    def run(self, there: tuple[SearchRow, ...] = ()) -> tuple[tuple[SearchRow, ...], list[int]]:
        kept: list[int] = []
        made = searched(
            SMOKE,
            Library(),
            Path("nowhere"),
            there=there,
            resources=None,  # type: ignore[arg-type]
            engine=None,  # type: ignore[arg-type]
            listener=ignore,
            done=lambda rows: kept.append(len(rows)),
        )
        return made, kept

    def test_every_arm_of_every_seed_runs_once_and_is_kept_at_once(
        self, scripted: list[tuple[int, str, int | None]]
    ) -> None:
        made, kept = self.run()
        each = len(ARMS) + len(UNSEARCHED)
        budgets = {arm: budget for _, arm, budget in scripted if "FUSE-from" in arm}
        assert budgets.pop("FUSE-from-all-known-tasks-none-measured") == 5021
        assert set(budgets.values()) == {5000}
        assert len(made) == len(scripted) == 2 * each
        assert kept == list(range(1, 2 * each + 1))
        assert [seed for seed, _, _ in scripted] == [0] * each + [1] * each, "seed by seed"

    def test_what_is_there_is_not_made_again(self, scripted: list[tuple[int, str, int | None]]) -> None:
        first, _ = self.run()
        scripted.clear()
        again, _ = self.run(first[:10])
        assert set(map(repr, again)) == set(map(repr, first))
        assert len(scripted) == len(first) - 10

    def test_without_the_arm_that_sets_the_budgets_the_others_do_not_run(
        self, scripted: list[tuple[int, str, int | None]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = searches.run_search

        def refused(task: Any, folder: Path, dictionary: Any, job: Any, machine: Any) -> Any:
            if job.seed == 0:
                raise BudgetError("too little")
            return run(task, folder, dictionary, job, machine)

        monkeypatch.setattr(searches, "run_search", refused)
        made, _ = self.run()
        assert {one.seed for one in made} == {1}


class TestPage:
    def test_differences_are_paired_by_target_and_seed(self) -> None:
        far = "FUSE from the farthest"
        record = record_of(
            row(AWARE.name, 0, error=0.10),
            row(AWARE.name, 1, error=0.20),
            row(far, 0, error=0.13),
            row(far, 1, error=0.25),
            row(far, 2, error=0.90),  # has no partner
        )
        found = compared(record, far)
        assert found is not None
        assert (found.n, found.mean) == (2, pytest.approx(0.04))
        balanced = compared(record, far, balanced=True)
        assert balanced is not None
        assert balanced.mean == pytest.approx(0.08)
        assert compared(record, "FUSE that knows nothing") is None

    def test_the_answers_say_yes_no_or_that_it_can_not_be_told(self) -> None:
        seeds = range(8)
        rows = [row(AWARE.name, seed, error=0.1) for seed in seeds]
        rows += [row("FUSE that knows nothing", seed, error=0.12) for seed in seeds]
        rows += [row("FUSE from the farthest", seed, error=0.08) for seed in seeds]
        rows += [row("FUSE from random tasks", seed, error=0.1 + 0.01 * (-1) ** seed) for seed in seeds]
        found = answers(record_of(*rows))
        assert found[0].question == "Does knowing other tasks help FUSE?"
        said = found[0].text.replace("\N{MINUS SIGN}", "-")
        assert said == "Yes: -2.00 points of test error (95 % CI -2.00 to -2.00, p = 0.0078); n = 8."
        assert found[1].question == "Does it matter that the known tasks are near?"
        assert found[1].text.startswith("No: +2.00 points of test error")
        assert found[2].text.startswith("Not shown: ")
        assert len(found) == 3, "only what was measured"

    def test_what_measures_nothing_is_held_against_what_knows_nothing_too(self) -> None:
        seeds = range(8)
        rows = [row(AWARE.name, seed, error=0.1) for seed in seeds]
        rows += [row(EVERY, seed, error=0.09) for seed in seeds]
        rows += [row("random search that knows nothing", seed, error=0.12) for seed in seeds]
        record = record_of(*rows)
        *_, pays, every = answers(record)
        assert (pays.own, pays.other) == (AWARE.name, EVERY)
        assert pays.text.startswith("No: +1.00 points of test error")
        assert (every.own, every.other) == (EVERY, "random search that knows nothing")
        assert every.text.startswith("Yes: \N{MINUS SIGN}3.00 points of test error")
        text = searches_page(record)
        assert "**Yes against random search that knows nothing: \N{MINUS SIGN}3.00 points (95 % CI" in text
        assert "This question was asked with half of the searches in view." in text

    def test_over_several_targets_each_counts_once_and_all_six_must_agree(self) -> None:
        targets = [f"t{number}" for number in range(6)]
        rows = [row(AWARE.name, seed, target, error=0.1) for target in targets for seed in range(2)]
        rows += [
            row("FUSE that knows nothing", seed, target, error=0.12)
            for target in targets
            for seed in range(2)
        ]
        rows += [
            row("FUSE from the farthest", seed, target, error=0.12 if at < 5 else 0.09)
            for at, target in enumerate(targets)
            for seed in range(2)
        ]
        record = record_of(*rows)
        found = compared_by_target(record, "FUSE from the farthest")
        assert found is not None
        assert (found.means.n, found.less) == (6, 5)
        knows, near, *_ = answers(record)
        said = knows.text.replace("\N{MINUS SIGN}", "-")
        assert (
            said == "Yes: -2.00 points of test error (95 % CI -2.00 to -2.00, p = 0.031); 6 targets, n = 12."
        )
        assert near.text.startswith("Not shown: "), "although all pairs together would say so"
        (line,) = [
            one
            for one in searches_page(record).splitlines()
            if one.startswith("| FUSE from the farthest | N")
        ]
        assert "| 5 of 6 (0) |" in line

    def test_the_page_has_what_a_search_cost_against_task_aware_fuse_and_the_final_training(self) -> None:
        dear = replace(
            row("FUSE from the farthest"),
            spent={"represent": 1, "distance": 20, "search": 621, "train": 9 * 10**9},
            took_s={"represent": 1.0, "distance": 2.0, "search": 3.0, "train": 7.0},
            left_out=(30, 200),
        )
        text = searches_page(record_of(row(AWARE.name), dear))
        *_, line = [one for one in text.splitlines() if one.startswith("| FUSE from the farthest")]
        assert "| 200 % | 9 | 6 + 7 | 1,000 |" in line
        assert "reject 15 % of what is drawn" in text
        assert "cores" in searches_page(replace(record_of(dear), hardware={"processor": "a", "cores": 2}))

    def test_the_page_says_how_soon_each_arm_of_fuse_has_what_fuse_without_knowledge_ends_with(self) -> None:
        def told(arm: str, *figures: tuple[int, float]) -> SearchRow:
            steps = tuple(Progress(spent=spent * 10**9, score=score) for spent, score in figures)
            return replace(row(arm), progress=steps)

        nothing = told("FUSE that knows nothing", (100, 0.5), (200, 0.7), (300, 0.7))
        text = searches_page(record_of(told(AWARE.name, (120, 0.6), (240, 0.8)), nothing, row(ZERO_LINE)))
        assert "| task-aware FUSE | 1 | 2.0 | 0.600 | 0.800 | 0.800 | 240 | 1 of 1 | 120 % |" in text
        assert "| FUSE that knows nothing | 1 | 3.0 | 0.500 | 0.700 | 0.700 | 300 | 1 of 1 | 100 % |" in text
        assert "How soon" not in searches_page(record_of(told(AWARE.name, (120, 0.6)), row(ZERO_LINE)))

    def test_the_zero_line_comes_last_and_the_page_has_every_arm(self) -> None:
        record = record_of(row(ZERO_LINE), row(AWARE.name), row("DARTS"))
        assert arms_in(record) == (AWARE.name, "DARTS", ZERO_LINE)
        text = searches_page(record)
        assert all(arm in text for arm in arms_in(record))
        assert "10.00" in text
        assert ZERO_LINE in terminal_text(record, Path("f"))

    def test_an_empty_record_says_so(self) -> None:
        assert searches_page(record_of()) == "No search has been made yet.\n"

    def test_a_page_of_some_of_the_searches_says_that_it_is_not_finished(self) -> None:
        seeds = at_scale("smoke").seeds
        every = [row(arm.name, seed) for seed in seeds for arm in arms_of(SMOKE, "digits:is=8", seed)]
        assert searches_page(record_of(*every[:3])).startswith(
            f"**Not finished**: 3 of {len(every)} searches."
        )
        assert "Not finished" not in searches_page(record_of(*every))


def test_rows_are_read_again_as_they_were_written() -> None:
    made = replace(row(AWARE.name), distances=(0.25,), left_out=(3, 200), allowed=7)
    assert from_plain(SearchRow, to_plain(made), where="a test") == made


class TestRecord:
    def reproduce(self, work: Path, record: Path, *, dictionary: Path | None = None) -> SearchesRecord:
        return reproduce_search(
            work,
            SMOKE,
            Library(),
            record=record,
            dictionary=dictionary,
            resources=Resources(workers=1),
            engine=None,  # type: ignore[arg-type]
            listener=ignore,
        )

    def test_one_of_other_settings_is_refused(self, tmp_path: Path) -> None:
        other = replace(record_of(row(AWARE.name)), settings={"other": 1})
        write_json(tmp_path / "record.json", other)
        with pytest.raises(SettingError, match="made with other settings"):
            self.reproduce(tmp_path / "work", tmp_path / "record.json")

    def test_an_arm_more_leaves_the_rows_of_the_others_as_they_are(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kept: list[SearchRow] = []
        monkeypatch.setattr(
            searches_page_module, "searched", lambda *_, there, **__: kept.extend(there) or there
        )
        settings = settings_of(SMOKE)
        fewer = [arm for arm in settings["arms"] if arm["name"] != EVERY]
        path = tmp_path / "record.json"
        write_json(path, replace(record_of(row(AWARE.name)), settings={**settings, "arms": fewer}))
        self.reproduce(tmp_path / "work", path)
        assert [one.arm for one in kept] == [AWARE.name]
        stranger = replace(record_of(row(AWARE.name), row(EVERY)), settings={**settings, "arms": fewer})
        for old in (stranger, replace(stranger, settings={**settings, "arms": []})):
            write_json(path, old)
            with pytest.raises(SettingError, match="made with other settings"):
                self.reproduce(tmp_path / "stranger", path)
        changed = [{**arm, "budget": "all"} for arm in fewer]
        write_json(path, replace(record_of(row(AWARE.name)), settings={**settings, "arms": changed}))
        with pytest.raises(SettingError, match="made with other settings"):
            self.reproduce(tmp_path / "elsewhere", path)

    def test_a_setting_that_an_older_record_lacks_is_at_its_default(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(searches_page_module, "searched", lambda *_, there, **__: there)
        settings = settings_of(SMOKE)
        older = {name: value for name, value in settings["search"].items() if name != "rounds_led"}
        path = tmp_path / "record.json"
        write_json(path, replace(record_of(row(AWARE.name)), settings={**settings, "search": older}))
        assert self.reproduce(tmp_path / "work", path).n == 1
        write_json(
            path, replace(record_of(row(AWARE.name)), settings={**settings, "search": {**older, "limit": 7}})
        )
        with pytest.raises(SettingError, match="made with other settings"):
            self.reproduce(tmp_path / "work", path)

    def test_two_processes_add_to_one_record_and_what_is_there_is_not_made_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = tmp_path / "record.json"
        asked: list[int] = []

        def searched(*_: Any, there: Any, done: Any, dictionary: Path, **__: Any) -> None:
            asked.append(len(there))
            assert dictionary == tmp_path / "shared"
            rows = (*there, row(AWARE.name, 0))
            done(rows)
            # meanwhile another process adds one
            found = read_packed(SearchesRecord, record)
            write_json(record, replace(found, rows=(*found.rows, row("DARTS", 1))))
            done((*rows, row(ZERO_LINE, 0)))

        monkeypatch.setattr(searches_page_module, "searched", searched)
        made = self.reproduce(tmp_path / "work", record, dictionary=tmp_path / "shared")
        assert [(one.arm, one.seed) for one in made.rows] == [(AWARE.name, 0), (ZERO_LINE, 0), ("DARTS", 1)]
        assert read_packed(SearchesRecord, record) == made
        assert {"processor", "cores", "threads", "workers"} <= set(made.hardware)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["record.json", "work"], "no lock is left"

        again = self.reproduce(tmp_path / "elsewhere", record, dictionary=tmp_path / "shared")
        assert asked == [0, 3]
        assert again == made
