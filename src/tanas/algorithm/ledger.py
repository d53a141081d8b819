"""The cost of each phase of a search, and the cost of the memory that it began with."""

from __future__ import annotations

from collections.abc import Sequence

from tanas.algorithm.final import Ending
from tanas.algorithm.related import RelatedTasks
from tanas.algorithm.result import DictionaryCost, LedgerRecord, PhaseCost
from tanas.algorithm.search import Found
from tanas.dictionary.learn import represent_macs
from tanas.dictionary.task_record import Atom
from tanas.distances.pairs import PairConfig
from tanas.distances.representative import Representative, macs_of
from tanas.ground.checkpoints import Stopwatch
from tanas.networks.architecture import cost_of
from tanas.strategies.base import training_macs
from tanas.tasks.task import Task

OWN = "the task's representative"
"""How a ledger names the network of the task itself."""


def ledger_of(found: Found, watch: Stopwatch) -> LedgerRecord:
    """Return the cost of each phase of a search, and the cost of the memory that it began with.

    Args:
        found: of the search.
        watch: seconds of the phases.
    """
    task, related = found.searched, found.related
    outcome = found.winner.outcome
    search = PhaseCost(
        phase="search",
        took_s=watch.seconds("search"),
        macs=outcome.ledger.macs,
        images=outcome.ledger.images,
    )
    if found.reused and related.known.own is not None:
        made = related.known.own[1].provenance
        search = PhaseCost(
            phase="search",
            took_s=made.search_s,
            macs=made.search_macs or 0,
            images=(),
            cached_s=made.search_s,
        )
    phases = (
        _represent(task, related.representative, watch),
        _distance(task, related, found.config.pair, watch),
        search,
        _train(task, found.trained.ending, watch),
        PhaseCost(phase="rivals", took_s=watch.seconds("rivals"), macs=0, images=()),
    )
    return LedgerRecord(
        phases=phases, dictionary=_dictionary([atom for _, atom in related.known.every], phases)
    )


def _train(task: Task, ending: Ending, watch: Stopwatch) -> PhaseCost:
    """The cost of all final trainings: searched and reference network, every recipe.

    An abandoned refit is not counted, because its length depends on timing.
    """
    images: list[tuple[str, int]] = []
    total = 0
    for one in (ending.found, *(() if ending.reference is None else (ending.reference,))):
        seen = sum(len(fit.losses) * fit.images for fit in (one.fitted, one.refitted) if fit is not None)
        if ending.recipe.judged_on == one.architecture.key:  # by the recipes that were not taken, too
            seen += max(len(ending.recipe.tried) - 1, 0) * len(one.fitted.losses) * one.fitted.images
        images.append((one.architecture.key, seen))
        total += training_macs(cost_of(one.architecture, task.shape, len(task.classes)).macs, seen)
    return PhaseCost(phase="train", took_s=watch.seconds("train"), macs=total, images=tuple(images))


def _represent(task: Task, representative: Representative | None, watch: Stopwatch) -> PhaseCost:
    seen = 0 if representative is None else representative.epochs * len(task.train)
    return PhaseCost(
        phase="represent",
        took_s=watch.seconds("represent"),
        macs=0 if representative is None else represent_macs(representative, task),
        images=((OWN, seen),) if seen else (),
    )


def _distance(task: Task, related: RelatedTasks, config: PairConfig, watch: Stopwatch) -> PhaseCost:
    """The networks' answers to the images of the pairs, once a network: features are kept; and the maps' trainings."""
    sizes = ((config.fit_images, len(task.train)), (config.gate_images, len(task.validation)))
    asked = sum(have if most is None else min(most, have) for most, have in sizes)
    networks = [(one.name, macs_of(one.atom.representative)) for one in related.measured]
    if networks and related.representative is not None:
        networks = [(OWN, macs_of(related.representative)), *networks]
    return PhaseCost(
        phase="distance",
        took_s=watch.seconds("distance") + related.reused_s,
        macs=sum(macs * asked for _, macs in networks)
        + sum(one.measurement.map_macs for one in related.measured),
        images=tuple((name, asked) for name, _ in networks),
        cached_s=related.reused_s,
    )


def _dictionary(atoms: Sequence[Atom], phases: Sequence[PhaseCost]) -> DictionaryCost:
    made = [atom.provenance for atom in atoms]
    each = [
        None
        if one.represent_macs is None or one.search_macs is None
        else one.represent_macs + one.search_macs
        for one in made
    ]
    known = [macs for macs in each if macs is not None]
    whole = sum(known) if len(known) == len(each) else None
    spent = sum(phase.macs for phase in phases if phase.phase not in ("train", "rivals"))
    return DictionaryCost(
        atoms=len(made),
        took_s=sum(one.represent_s + one.search_s for one in made),
        macs=whole,
        searches=None if whole is None or not spent else whole / spent,
    )
