"""Found networks beside networks made by hand, on several targets: what is trained, kept and said."""

from concurrent.futures import Future
from dataclasses import replace
from types import SimpleNamespace

import pytest
from experiments.tests import test_searches as searches
from experiments.tests.test_handmade import architecture_for
from experiments.tests.test_table1 import network
from tests.sessions import without_times
from torchvision import models

from tanas.algorithm.presets import quick
from tanas.ground.checkpoints import FolderCheckpoint
from tanas.ground.errors import SettingError
from tanas.ground.records import to_plain
from tanas.networks.training import TrainingConfig
from tanas.runs.folder import RESULT_FILE, slug
from tanas.tasks.library import Library
from tanas_experiments import by_hand as module
from tanas_experiments import zoo
from tanas_experiments.by_hand import METHODS, ByHandConfig, ByHandRow, by_hand, found_in, jobs_of, recorded
from tanas_experiments.by_hand_page import by_hand_answers, by_hand_page
from tanas_experiments.handmade import RateConfig
from tanas_experiments.run import by_hand as command
from tanas_experiments.searches import AWARE, Named, smoke_scale
from tanas_experiments.zoo import RESIDUAL

NAME = "digits:is=8"
CONFIG = ByHandConfig(
    searches=replace(
        smoke_scale(),
        targets=(Named(label="eights", name=NAME),),
        search=replace(quick(), limit=100, training=TrainingConfig(epochs=1, batch=50, least_steps=2)),
    ),
    rates=RateConfig(rates=(3e-3,), images=100, epochs=1),
)


class AtOnce:
    """Does each job when it is handed over, and counts."""

    def __init__(self):
        self.done = []

    def submit_heard(self, listener, function, *args):
        self.done.append(args)
        future = Future()
        future.set_result(function(*args, listener=listener))
        return future


@pytest.fixture(scope="module")
def found():
    architecture = architecture_for(Library().open(NAME))
    row = search_row(architecture.key)
    metrics = SimpleNamespace(
        validation_error=0.1, validation_balanced_error=0.2, test_error=0.3, test_balanced_error=0.4
    )
    result = SimpleNamespace(architecture=architecture, metrics=metrics, costs=SimpleNamespace(train_s=1.0))
    return {("eights", seed): (replace(row, seed=seed), result) for seed in (0, 1)}


def search_row(key):
    return replace(
        searches.row(AWARE.name, target="eights"), architecture=key, spent={"search": 700, "train": 50}
    )


def trained(found, folder, there=(), engine=None):
    kept = []
    rows = by_hand(
        found,
        CONFIG,
        Library(),
        folder,
        there=there,
        engine=engine or AtOnce(),
        listener=lambda _: None,
        checkpoint=FolderCheckpoint(folder / "pieces"),
        done=kept.append,
    )
    return rows, kept


def test_every_target_and_seed_has_the_found_network_one_of_its_size_and_a_large_one(found):
    jobs = jobs_of(found, CONFIG)
    assert [(job.seed, job.method) for job in jobs] == [
        (seed, method) for seed in (0, 1) for method in METHODS
    ]
    own, narrow, large = jobs[:3]
    assert (own.search_macs, narrow.search_macs, large.search_macs) == (700, 0, 0)
    assert (narrow.subject, large.subject) == (f"{RESIDUAL}@1000", "resnet18")
    assert own.before is not None
    assert own.before.test_error == 0.3
    assert narrow.before is None
    assert large.before is None


def test_networks_are_kept_one_by_one_and_made_once_by_one_recipe(found, tmp_path, monkeypatch):
    light = zoo._Design(make=models.shufflenet_v2_x0_5, first="conv1.0")  # ResNet-18 would take half a minute
    monkeypatch.setitem(zoo._DESIGNS, "resnet18", light)
    one = {key: value for key, value in found.items() if key[1] == 0}
    rows, kept = trained(one, tmp_path)
    assert [len(each) for each in kept] == [1, 2, 3]
    assert {row.method for row in rows} == set(METHODS)
    assert {tuple(rate.learning_rate for rate in row.trained.rates) for row in rows} == {(3e-3,)}
    engine = AtOnce()
    more, _ = trained(found, tmp_path, there=rows, engine=engine)
    assert len(engine.done) == 3, "the first seed is there"
    assert len(more) == 6
    again = [one for one in trained(found, tmp_path / "anew", there=more[3:])[0] if one.seed == 0]
    assert without_times(to_plain(tuple(again))) == without_times(to_plain(rows))
    assert not [path for path in (tmp_path / "pieces").rglob("*") if path.is_file()], (
        "no state is left behind"
    )


def test_a_search_is_found_in_whichever_folder_holds_it(tmp_path, monkeypatch):
    wanted = search_row("k")

    def result(key, performance):
        return SimpleNamespace(
            architecture=SimpleNamespace(key=key), metrics=SimpleNamespace(validation_performance=performance)
        )

    results = {"another": result("k", 0.1), "bigger": result("q", 0.9), "right": result("k", 0.9)}
    for name in results:
        run = tmp_path / name / "runs" / "eights" / "seed-0" / slug(AWARE.name)
        run.mkdir(parents=True)
        (run / RESULT_FILE).touch()
    opened = SimpleNamespace(
        open=lambda run: SimpleNamespace(result=lambda: results[run.relative_to(tmp_path).parts[0]])
    )
    monkeypatch.setattr(module, "Run", opened)
    folders = [tmp_path / name for name in ("empty", *results)]
    assert found_in(folders, wanted) is results["right"]
    with pytest.raises(SettingError, match="No folder of --searches"):
        found_in(folders[:3], wanted)


def test_a_search_that_no_folder_holds_is_named(tmp_path):
    with pytest.raises(SettingError, match="No folder of --searches holds the search for 'eights'.*seed 0"):
        found_in([tmp_path], search_row("0" * 16))


def test_the_command_refuses_a_folder_without_the_searches(tmp_path, capsys):
    status = command.main(["--searches", str(tmp_path), "--out", str(tmp_path), "--work", str(tmp_path)])
    assert status == 2
    assert "No folder of --searches holds" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def row(target, seed, method, error, parameters, macs):
    made = replace(network("x", error, parameters=parameters, macs=1), rate_macs=0, train_macs=macs)
    return ByHandRow(target=target, seed=seed, method=method, trained=made, search_macs=0)


def record(targets=("a", "b", "c", "d", "e", "f"), seeds=(0, 1)):
    rows = [
        row(target, seed, method, error + 0.001 * at, parameters, macs)
        for at, target in enumerate(targets)
        for seed in seeds
        for method, error, parameters, macs in zip(
            METHODS, (0.1, 0.12, 0.09), (100, 101, 10_000), (50, 25, 200), strict=True
        )
    ]
    made = recorded(rows, CONFIG, "python -m tanas_experiments.run.by_hand")
    return replace(made, targets=targets)


def test_the_page_answers_both_questions_whatever_the_answer():
    page = by_hand_page(record())
    assert "| a | 2 | 10.00 ± 0.00 | 12.00 ± 0.00 | 9.00 ± 0.00 | 100 | 100 | 0 | 0.50 | 4.00 |" in page
    narrow, large = (
        [part.replace("\N{MINUS SIGN}", "-") for part in answer] for answer in by_hand_answers(record())
    )
    assert narrow[0] == "Does a found network err less than a narrow residual network of its size?"
    assert (
        narrow[1] == "Yes: -2.00 points of test error (95 % CI -2.00 to -2.00, p = 0.031); 6 targets, n = 12."
    )
    assert "Balanced error: -4.00 (95 % CI -4.00 to -4.00, p = 0.031)." in narrow[2]
    assert narrow[2].endswith("has 1.01 times the parameters and takes 1 times the multiply-adds an image.")
    assert large[1].startswith("No: +1.00 points of test error")
    assert "ResNet-18 has 100 times the parameters and takes 1 times the multiply-adds an image." in large[2]


def test_a_seed_that_lacks_a_network_is_left_out():
    whole = record()
    part = replace(whole, rows=whole.rows[:-1])
    assert "33 networks, seeds 0, 1;" in by_hand_page(part)
    alone = record(targets=("a",), seeds=(0,))
    assert by_hand_answers(replace(alone, rows=alone.rows[:2])) == ()
