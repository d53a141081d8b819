"""Figure 2 on a few small tasks: what is measured, that it goes on, its folder, its command and its page."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from weakref import WeakSet

import numpy as np
import pytest
from experiments.tests.small_records import record_of
from tests.distances.digit_tasks import REPRESENTATIVE
from tests.sessions import lighten, tree, without_times

from tanas.algorithm.presets import SearchConfig
from tanas.cli.main import main
from tanas.distances.intervals import IntervalConfig
from tanas.distances.methods import DistanceConfig
from tanas.distances.pairs import PairConfig
from tanas.distances.representative import UNTRAINED, RepresentativeNetwork, represent
from tanas.distances.transform import TransformConfig
from tanas.ground.checkpoints import FolderCheckpoint, NoCheckpoint
from tanas.ground.context import Context
from tanas.ground.errors import SettingError, StoreError
from tanas.ground.events import ignore
from tanas.ground.executor import InThisProcess
from tanas.ground.records import read_record, to_plain
from tanas.ground.seeds import Seed
from tanas.ground.versions import versions
from tanas.tasks.library import Library
from tanas.tasks.names import parse_source
from tanas_experiments import figure2 as module
from tanas_experiments.figure2 import (
    Figure2Config,
    Figure2Record,
    at_scale,
    command_of,
    figure2,
    halves_of,
    kept_representatives,
    statements_of,
)
from tanas_experiments.figure2_page import (
    matrix_csv,
    matrix_text,
    page,
    reproduce_figure2,
    terminal_text,
)

TINY = Figure2Config(
    scale="smoke",
    tasks=("digits:is=0", "digits:is=1", "digits:is=7"),
    seeds=(0, 1),
    search=SearchConfig(
        limit=160,
        representative=replace(
            REPRESENTATIVE,
            features=16,
            training=replace(REPRESENTATIVE.training, epochs=2),
            most_epochs=2,
        ),
        pair=PairConfig(fit_images=60, gate_images=40),
        distance=DistanceConfig(
            method="transform",
            transform=TransformConfig(widths=(16, 8), epochs=3, batch=50),
            intervals=IntervalConfig(draws=20, maps=1),
        ),
    ),
)


class Interrupted(InThisProcess):
    """Does so many jobs, then it is as if the power failed."""

    def __init__(self, jobs):
        super().__init__()
        self.left = jobs
        self.done = 0

    def submit(self, function, /, *args, **kwargs):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.done += 1
        return super().submit(function, *args, **kwargs)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder in which the figure was measured, with its record."""
    folder = tmp_path_factory.mktemp("figure2") / "out"
    record = reproduce_figure2(
        folder, TINY, Library(), executor=InThisProcess(), device="cpu", listener=ignore
    )
    return folder, record


class TestWhatIsMeasured:
    def test_every_pair_of_every_seed_and_the_untrained_network(self, made):
        _, record = made
        assert (record.n, record.seeds) == (2, (0, 1))
        for run in record.runs:
            assert [column.target for column in run.columns] == list(TINY.tasks)
            for column in run.columns:
                assert list(column.sources) == [*TINY.tasks, UNTRAINED]
                assert column.sources[column.target].value == 0
                assert all(0 <= cell.value <= 1 for cell in column.sources.values())
        assert record.numbers().shape == (2, 3, 3)

    def test_seeds_differ_and_the_mean_is_theirs(self, made):
        _, record = made
        values = record.numbers("value")
        assert not np.array_equal(values[0], values[1])
        shown = [[record.mean[t].sources[s].value for t in range(3)] for s in TINY.tasks]
        assert np.allclose(shown, values.mean(axis=0))

    def test_an_interval_of_the_mean_holds_the_draws_of_all_seeds(self, made):
        _, record = made
        name, target = TINY.tasks[0], 1
        ends = [run.columns[target].sources[name].interval for run in record.runs]
        low, high = record.mean[target].sources[name].interval
        assert min(end[0] for end in ends) - 1e-9 <= low <= high <= max(end[1] for end in ends) + 1e-9

    def test_a_task_on_other_images_stands_beside_the_other_tasks_and_not_its_own(self, made):
        _, record = made
        for run in record.runs:
            assert [column.target for column in run.redrawn] == [
                "digits:is=0, half 1",
                "digits:is=0, half 2",
            ]
            assert list(run.redrawn[0].sources) == ["digits:is=0, half 2", "digits:is=1", "digits:is=7"]
            assert next(iter(run.redrawn[1].sources)) == "digits:is=0, half 1"

    def test_the_representative_is_the_one_a_dictionary_would_hold(self, made):
        _, record = made
        task = module._opened(Library(), "digits:is=1", TINY.search)
        own = represent(
            task,
            TINY.search.representative,
            at=Context(seed=Seed(1).child("atom", task.fingerprint, "represent")),
        )
        line = record.runs[1].representatives[1]
        assert (line.task, line.performance, line.epochs) == ("digits:is=1", own.performance, own.epochs)

    def test_halves_share_no_image_and_keep_the_question(self):
        task = Library().open("digits:is=0")
        first, second = halves_of(task, performance="balanced", limit=None)
        for name in ("train", "validation"):
            halves = [getattr(half, name) for half in (first, second)]
            seen = [{image.numpy().tobytes() for image in half.images[half.rows]} for half in halves]
            assert not seen[0] & seen[1]
            assert len(halves[0]) + len(halves[1]) == len(getattr(task, name))
            assert all(0 < half.labels.float().mean() < 0.2 for half in halves)
        assert first.classes == second.classes == task.classes

    def test_a_target_without_data_is_left_out_and_named(self, tmp_path):
        told = []
        search = replace(TINY.search, distance=DistanceConfig(method="leep"))
        config = replace(
            TINY, tasks=TINY.tasks[:2], seeds=(0,), targets=("quickdraw:is=moon",), search=search
        )
        record = figure2(
            config,
            Library(tmp_path, download=False),
            executor=InThisProcess(),
            listener=told.append,
            checkpoint=FolderCheckpoint(tmp_path / "pieces"),
        )
        assert record.targets == ()
        assert any("quickdraw:is=moon is left out" in str(getattr(event, "message", "")) for event in told)
        assert [s.verdict for s in record.statements if s.name == "nearest"] == ["can't be told"]


class TestGoingOn:
    def test_a_measurement_that_was_cut_off_twice_comes_to_the_same_numbers(self, made, tmp_path):
        _, whole = made
        config = replace(TINY, seeds=(1,))
        checkpoint = FolderCheckpoint(tmp_path)
        jobs = (3 + 2) + (3 * 4 + 2 * 3)  # representatives; pairs
        for after in (3, 8):  # among the representatives, among the pairs
            with pytest.raises(KeyboardInterrupt):
                figure2(config, Library(), executor=Interrupted(after), checkpoint=checkpoint)
        last = Interrupted(jobs)
        record = figure2(config, Library(), executor=last, checkpoint=checkpoint)
        # up to four pairs are under way when it is cut off
        assert jobs - (3 + 8) <= last.done <= jobs - (3 + 8) + 4
        assert without_times(to_plain(record.runs[0])) == without_times(to_plain(whole.runs[1]))

    def test_its_representatives_can_be_taken_without_training_any(self, made) -> None:
        folder, record = made
        checkpoint = FolderCheckpoint(folder / "pieces")
        kept = kept_representatives(TINY, Library(), 0, checkpoint)
        assert [task.name for task, _ in kept] == list(TINY.tasks)
        assert [(made.task, made.performance) for _, made in kept] == [
            (line.task, line.performance) for line in record.runs[0].representatives[: len(kept)]
        ]
        with pytest.raises(
            StoreError, match="no representative of digits:is=0 from seed 2 .* Make it by 'tanas"
        ):
            kept_representatives(TINY, Library(), 2, checkpoint)

    def test_one_that_keeps_nothing_is_told_which_network_is_missing(self) -> None:
        config = replace(TINY, tasks=TINY.tasks[:2], seeds=(0,))
        with pytest.raises(StoreError, match="no representative of digits:is=0 from seed 0"):
            figure2(config, Library(), executor=InThisProcess(), checkpoint=NoCheckpoint())

    def test_another_number_of_seeds_takes_what_is_there(self, made, tmp_path):
        folder, whole = made
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        fewer = replace(TINY, seeds=(1,))
        record = reproduce_figure2(
            copy, fewer, Library(), executor=Interrupted(0), device="cpu", listener=ignore
        )
        assert record.runs == whole.runs[1:]
        assert read_record(Figure2Record, copy / "figure2.json") == record

    def test_a_finished_folder_stays_as_it_is(self, made):
        folder, record = made
        before = tree(folder)
        again = reproduce_figure2(
            folder, TINY, Library(), executor=Interrupted(0), device="cpu", listener=ignore
        )
        assert again == record
        assert tree(folder) == before

    def test_other_settings_on_a_folder_are_refused_by_name(self, made):
        folder, _ = made
        other = replace(TINY, search=replace(TINY.search, limit=100))
        with pytest.raises(SettingError, match="was begun with limit = 160; now it is 100. Repeat"):
            reproduce_figure2(
                folder, other, Library(), executor=Interrupted(0), device="cpu", listener=ignore
            )

    def test_a_folder_of_something_else_is_refused(self, tmp_path):
        (tmp_path / "mine.txt").write_text("mine")
        with pytest.raises(StoreError, match="is not empty and holds no experiment. Name an empty or a new"):
            reproduce_figure2(
                tmp_path, TINY, Library(), executor=Interrupted(0), device="cpu", listener=ignore
            )


class TestMemory:
    @pytest.fixture
    def alive(self, monkeypatch):
        """How many representatives' networks were in memory when one more was made."""
        networks, counts = WeakSet(), []

        class Watched(RepresentativeNetwork):
            def __init__(self, *arguments):
                super().__init__(*arguments)
                networks.add(self)
                counts.append(len(networks))

        monkeypatch.setattr("tanas.distances.representative.RepresentativeNetwork", Watched)
        return counts

    def test_holds_no_more_networks_than_a_pair_and_the_one_that_is_read(self, alive, tmp_path):
        config = replace(
            TINY, seeds=(0,), search=replace(TINY.search, distance=DistanceConfig(method="leep"))
        )
        figure2(config, Library(), executor=InThisProcess(), checkpoint=FolderCheckpoint(tmp_path))
        assert max(alive) <= 3
        assert len(alive) > 3 * 4 + 2 * 3, "one is read for each pair"

    def test_reads_no_network_where_all_distances_are_there(self, alive, made, tmp_path):
        folder, _ = made
        shutil.copytree(folder / "pieces", tmp_path / "pieces")
        checkpoint = FolderCheckpoint(tmp_path / "pieces")
        figure2(TINY, Library(), executor=Interrupted(0), checkpoint=checkpoint)
        assert alive == []


class TestFiles:
    def test_the_folder_holds_record_matrices_pictures_and_summary(self, made):
        folder, record = made
        assert read_record(Figure2Record, folder / "figure2.json") == record
        rows = (folder / "matrix-seed-1.csv").read_text().splitlines()
        assert rows[0] == "source,digits:is=0,digits:is=1,digits:is=7"
        assert rows[1].startswith("digits:is=0,0,")
        assert rows[4].startswith(UNTRAINED)
        assert (folder / "matrix-mean.csv").read_text() == matrix_csv(record.mean)
        for name in ("figure2", "tasks"):
            assert "digits:is=7" in (folder / f"{name}.svg").read_text()
            assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert all(s.text in (folder / "summary.md").read_text() for s in record.statements)

    def test_the_record_holds_no_draws_and_says_how_it_was_made(self, made):
        folder, record = made
        text = (folder / "figure2.json").read_text()
        assert '"draws": [' not in text
        assert record.command == command_of(TINY)
        assert record.versions == versions()
        assert set(record.hardware) == {"processor", "cores"}


class TestPage:
    def record(self):
        orders = np.array(
            [[[0, 0.1, 0.6, 0.7], [0.2, 0, 0.65, 0.8], [0.9, 1.2, 0, 0.3], [0.8, 1.3, 0.25, 0]]] * 2
        )
        record = record_of(orders)
        return replace(record, statements=statements_of(record, None, ()))

    def test_it_says_scale_seeds_machine_and_command(self):
        text = page(self.record(), folder="pictures/")
        for part in ("Scale `smoke`", "n = 2 seeds (0, 1)", "on a processor (cores 2)", "torch 2.9"):
            assert part in text
        assert "`tanas reproduce figure2 --scale smoke --seeds 2`" in text
        assert "(pictures/figure2.svg)" in text

    def test_every_statement_is_a_row_with_its_verdict(self):
        record = self.record()
        text = page(record)
        assert {s.name for s in record.statements} == {
            *("within", "direction", "use", "identity", "asymmetry", "redrawn", "untrained", "stability")
        }
        for statement in record.statements:
            assert f"| {statement.claim} | **{statement.verdict}** |" in text
        rows = [line for line in text.splitlines() if line.startswith("|") and "**" in line]
        assert {row.count("|") for row in rows} == {6}, "a stroke within a cell would be a cell of its own"

    def test_a_distance_of_one_shows_what_it_misses(self):
        text = matrix_text(self.record())
        assert "1.20" in text
        assert text.splitlines()[0].split()[-4:] == ["1", "2", "3", "4"]

    def test_the_terminal_shows_the_verdicts(self, tmp_path):
        record = self.record()
        text = terminal_text(record, tmp_path)
        assert all(f"{s.verdict.upper()}: {s.claim}" in text for s in record.statements)


class TestScales:
    def test_each_is_whole_and_names_tasks_that_parse(self):
        for scale in ("smoke", "laptop", "paper"):
            config = at_scale(scale)
            assert config.scale == scale
            assert len(config.tasks) == 10
            assert config.search.distance.intervals is not None
            for name in (*config.tasks, *config.targets, *config.nearest):
                parse_source(name)
        assert at_scale("paper").search.distance.method == "exact"

    def test_seeds_follow_the_first(self):
        assert at_scale("laptop", first_seed=5, seeds=2).seeds == (5, 6)

    def test_the_command_names_what_departs_from_the_scale(self):
        plain = at_scale("laptop", seeds=4)
        assert command_of(plain) == "tanas reproduce figure2 --scale laptop --seeds 4"
        other = "knn" if plain.search.distance.method != "knn" else "probe"
        departing = at_scale("laptop", first_seed=2, seeds=4, method=other)
        assert command_of(departing) == f"{command_of(plain)} --seed 2 --method {other}"

    def test_laptop_has_three_seeds_or_more(self):
        assert len(at_scale("laptop").seeds) >= 3


class TestCommand:
    @pytest.fixture
    def tanas(self, monkeypatch, tmp_path, capsys):
        monkeypatch.chdir(tmp_path)
        lighten(monkeypatch.setattr)
        search = replace(TINY.search, distance=DistanceConfig(method="leep"))
        tiny = replace(TINY, tasks=TINY.tasks[:2], seeds=(0,), search=search)
        monkeypatch.setitem(module.SCALES, "smoke", lambda: tiny)

        def run(*arguments):
            status = main(["reproduce", "figure2", *arguments])
            out, err = capsys.readouterr()
            return status, out, err

        return run

    def test_it_prints_one_document_and_writes_the_record_where_it_is_told(self, tanas, tmp_path):
        status, out, err = tanas("--scale", "smoke", "--out", "f", "--record", "kept/figure2.json", "--json")
        assert status == 0, err
        assert json.loads(out) == json.loads((tmp_path / "f" / "figure2.json").read_text())
        assert (tmp_path / "kept/figure2.json").read_bytes() == (tmp_path / "f/figure2.json").read_bytes()
        assert "seed 0: distances" in err

        status, out, err = tanas("--scale", "smoke", "--out", "f")
        assert status == 0
        assert "f is finished already; nothing was changed." in err
        assert "source \\ target" in out
        assert "FOUND: " in out

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("--scale", "huge"), "huge"),
            (("--scale", "smoke", "--method", "tea-leaves"), "'tea-leaves' is no method of measuring"),
            (
                ("--scale", "smoke", "--seeds", "0"),
                "The 'seeds' of figure2 must be at least 1. Got 0 instead.",
            ),
        ],
    )
    def test_a_wrong_call_is_refused_with_2(self, tanas, arguments, said):
        status, out, err = tanas(*arguments)
        assert (status, out) == (2, "")
        assert said in err

    def test_help_explains_it(self, capsys):
        assert main(["reproduce", "figure2", "--help"]) == 0
        out = capsys.readouterr().out
        assert "Usage: tanas reproduce figure2" in out
        assert "--scale" in out
