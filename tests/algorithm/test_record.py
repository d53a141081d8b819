"""What each phase of a search cost, and what its memory cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

from tanas.algorithm.final import Ending, Examined, Trained
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.record import OWN, ledger_of
from tanas.algorithm.related import KnownTasks, RelatedTasks
from tanas.algorithm.result import LedgerRecord
from tanas.algorithm.search import Found
from tanas.algorithm.target import Target
from tanas.algorithm.trainings import Finished
from tanas.algorithm.warm_start import Start
from tanas.algorithm.winner import Winner
from tanas.dictionary.bench import Related
from tanas.dictionary.stored_network import StoredRecord
from tanas.dictionary.task_record import Atom, AtomTask, Provenance
from tanas.distances.base import Measurement
from tanas.distances.methods import DistanceConfig
from tanas.distances.pairs import PairConfig
from tanas.distances.representative import (
    Representative,
    RepresentativeConfig,
    macs_of,
    represent,
    state_of,
)
from tanas.ground.checkpoints import NoCheckpoint, Stopwatch
from tanas.ground.context import Context
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, build, cost_of
from tanas.networks.recipe import ChosenRecipe, RecipeTried
from tanas.networks.scoring import unscored
from tanas.networks.training import Fitted, TrainingConfig
from tanas.spaces.inherit import Inherited
from tanas.spaces.latency import MeasuredLatency
from tanas.spaces.named import named_space
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Ledger, Outcome, training_macs
from tanas.tasks.library import Library
from tanas.tasks.performance import Evaluation
from tanas.tasks.task import Sealed, Task

BY_NETWORKS = SearchConfig(
    pair=PairConfig(fit_images=40, gate_images=10_000), training=TrainingConfig(epochs=3)
)
CONFIG = replace(BY_NETWORKS, distance=DistanceConfig(method="linear"))


@pytest.fixture(scope="module")
def task() -> Task:
    return Library().open("digits:is=3:take=60")


@pytest.fixture(scope="module")
def representative(task: Task) -> Representative:
    config = RepresentativeConfig(
        architecture="small", features=16, epsilon=0.9, training=TrainingConfig(epochs=2)
    )
    return represent(task, config, at=Context(seed=Seed(0)))


def architecture_of(task: Task) -> Architecture:
    return named_space("paper").sample(1, seed=Seed(1), shape=task.shape, classes=2)[0]


def atom_of(task: Task, representative: Representative, **provenance: Any) -> Atom:
    made: dict[str, Any] = {"represent_s": 3.0, "search_s": 5.0, "represent_macs": 700, "search_macs": 300}
    return Atom(
        task=AtomTask.of(task, test_fingerprint="tested", limit=None),
        representative=state_of(representative)[0],
        architectures=(),
        rounds=(),
        provenance=Provenance(made_by="build", seed=0, versions={}, settings={}, **(made | provenance)),
    )


def measured(name: str, atom: Atom, *, map_macs: int = 0) -> Related:
    measurement = Measurement(
        source=name,
        target="t",
        same=False,
        value=0.5,
        shortfall=0.0,
        gate=0.9,
        own=0.9,
        dense=0.9,
        map_macs=map_macs,
        took_s=1.0,
    )
    return Related(name=name, atom=atom, measurement=measurement)


def ending_of(task: Task, best: Architecture, *, recipes: int = 1, refit: int = 0) -> Ending:
    """Of a final training of three epochs; other recipes had two, a refit two more."""
    network = build(best, task.shape, 2, Seed(0))
    fitted = Fitted(losses=(0.3, 0.2, 0.1), images=len(task.train), seconds=1.0)
    finished = Finished(
        architecture=best,
        network=network,
        before=network,
        validation=Evaluation(confusion=((1, 0), (0, 1))),
        temperature=1.0,
        right=torch.ones(2) / 2,
        fitted=fitted,
        refitted=replace(fitted, images=refit, shared=1) if refit else None,
    )
    tried = tuple(RecipeTried(recipe=f"r{n}", loss=0.1, performance=0.9) for n in range(recipes))
    recipe = ChosenRecipe(
        name="r0",
        tried=tried if recipes > 1 else (),
        judged_on=best.key,
        spent=(recipes - 1) * 2 * len(task.train),
    )
    return Ending(
        recipe=recipe,
        settings=CONFIG.training,
        found=finished,
        reference=None,
        replaces=False,
        start=Start(architecture=best),
    )


def ledger(
    task: Task,
    representative: Representative | None,
    atoms: Mapping[str, Atom],
    map_macs: int = 0,
    *,
    ending: Ending | None = None,
    reused: Atom | None = None,
    reused_s: float = 0.0,
    spent: Ledger | None = None,
    config: SearchConfig = CONFIG,
) -> LedgerRecord:
    """Of a search whose candidate took 20 images of 10 multiply-adds each, unless it is said what was spent."""
    best = architecture_of(task)
    spent = Ledger().plus(best.key, 10, 20) if spent is None else spent
    outcome = Outcome(best=best, rounds=(), seen=(unscored(best, task),), stopped="rounds", ledger=spent)
    near = tuple(measured(name, atom, map_macs=map_macs) for name, atom in atoms.items())
    sealed = Sealed(task.name, task.classes, task.validation)
    space = SearchSpace(name="one", operations=("identity",), nodes=2, skeletons=(best.skeleton,))
    found = Found(
        target=Target(
            task=task, sealed=sealed, searched=task, config=config, latency=MeasuredLatency.of(Context())
        ),
        related=RelatedTasks(
            known=KnownTasks(
                others=() if reused else tuple(atoms.items()), own=("a", reused) if reused else None
            ),
            representative=representative,
            measured=near,
            order=near,
            neighbours=near,
            reused_s=reused_s,
        ),
        space=Inherited(space=space, seed_architecture=None, mode="none", note=""),
        search=outcome,
        winner=Winner(outcome=outcome),
        trained=Trained(
            ending=ending or ending_of(task, best),
            outcome=outcome,
            test=sealed.open(),
            examined=Examined(
                evaluation=Evaluation(confusion=((1, 0), (0, 1))), mistakes=(), calibration_error=0.0
            ),
        ),
        reused=reused is not None,
    )
    return ledger_of(found, Stopwatch(NoCheckpoint()))


def test_every_phase_says_what_it_cost(task: Task, representative: Representative) -> None:
    atom = atom_of(task, representative)
    found = ledger(task, representative, {"a": atom, "b": atom})
    represent_, distance, search, train, _ = found.phases
    assert [phase.phase for phase in found.phases] == ["represent", "distance", "search", "train", "rivals"]
    images = len(task.train)
    answer = macs_of(representative)
    assert represent_.macs == training_macs(answer, images * representative.epochs)
    assert represent_.images == ((OWN, images * representative.epochs),)
    asked = 40 + len(task.validation)
    assert distance.images == ((OWN, asked), ("a", asked), ("b", asked)), "each network answers once"
    assert distance.macs == 3 * answer * asked
    assert search.macs == 3 * 10 * 20
    trained = ledger(task, representative, {"a": atom, "b": atom}, map_macs=7).phases[1]
    assert trained.macs == distance.macs + 14, "what the maps' trainings took comes on top"
    best = architecture_of(task)
    assert train.images == ((best.key, images * 3),)
    assert train.macs == training_macs(cost_of(best, task.shape, 2).macs, images * 3)


def test_distances_by_networks_cost_their_answers_to_the_judged_images(
    task: Task, representative: Representative
) -> None:
    old = atom_of(task, representative)
    best = architecture_of(task)
    kept = StoredRecord(architecture=best, shape=task.shape, classes=task.classes, made_by="build")
    atoms = {"old": old, "new": replace(old, kept=kept)}
    distance = ledger(task, representative, atoms, config=BY_NETWORKS).phases[1]
    images = len(task.train)
    assert distance.images == (("old", images), ("new", images))
    assert distance.macs == images * (macs_of(representative) + cost_of(best, task.shape, 2).macs)


def test_a_final_training_counts_every_recipe_the_refit_and_the_reference(
    task: Task, representative: Representative
) -> None:
    best, images = architecture_of(task), len(task.train)
    ending = ending_of(task, best, recipes=2, refit=images + 10)
    train = ledger(task, representative, {}, ending=ending).phases[3]
    whole = 3 * images + 2 * (images + 10)
    assert train.images == ((best.key, whole + 2 * images),)

    ending = replace(ending, reference=ending.found, recipe=replace(ending.recipe, judged_on="another"))
    train, rivals = ledger(task, representative, {}, ending=ending).phases[3:]
    assert (train.phase, rivals.phase) == ("train", "rivals")
    assert train.images == ((best.key, whole),) * 2
    assert train.macs == 2 * training_macs(cost_of(best, task.shape, 2).macs, whole)
    assert (rivals.macs, rivals.images) == (0, ())


def test_the_memory_is_held_against_what_a_search_costs(task: Task, representative: Representative) -> None:
    atom = atom_of(task, representative)
    found = ledger(task, representative, {"a": atom, "b": atom})
    spent = sum(phase.macs for phase in found.phases if phase.phase != "train")
    assert found.dictionary.atoms == 2
    assert found.dictionary.took_s == 16
    assert found.dictionary.macs == 2000
    assert found.dictionary.searches == pytest.approx(2000 / spent)


def test_an_atom_from_before_there_were_ledgers_leaves_the_price_of_the_memory_open(
    task: Task, representative: Representative
) -> None:
    old = atom_of(task, representative, represent_macs=None, search_macs=None)
    found = ledger(task, representative, {"a": old, "b": atom_of(task, representative)})
    assert found.dictionary.macs is None
    assert found.dictionary.searches is None
    assert found.dictionary.took_s == 16


def test_what_was_done_before_has_its_own_cost_and_is_marked(
    task: Task, representative: Representative
) -> None:
    atom = atom_of(task, representative)
    found = ledger(task, representative, {"a": atom}, reused=atom, reused_s=2.5)
    _, distance, search, _, _ = found.phases
    assert (search.took_s, search.macs, search.cached_s) == (5.0, 300, 5.0)
    assert (distance.took_s, distance.cached_s) == (2.5, 2.5)


def test_nothing_known_costs_nothing(task: Task) -> None:
    found = ledger(task, None, {}, spent=Ledger())
    assert [phase.macs for phase in found.phases[:3]] == [0, 0, 0]
    assert found.dictionary.atoms == 0
