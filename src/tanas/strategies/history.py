"""What a search has done so far: rounds of candidates that were compared, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tanas.ground.checkpoints import Checkpoint
from tanas.ground.errors import SearchError
from tanas.ground.records import from_plain, to_plain
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import Judgement
from tanas.strategies.base import Ledger, Round


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training of a candidate."""

    architecture: Architecture
    judgement: Judgement | None
    """None: a loss or an answer was not finite."""
    images: int = 0
    """Training images; an image counts once an epoch."""


@dataclass(frozen=True, kw_only=True)
class History:
    """The rounds of a search, and what all trainings cost."""

    rounds: tuple[Round, ...] = ()
    ledger: Ledger = field(default_factory=Ledger)
    stopped: str = ""
    """Why no round can follow: 'budget' if the last one had to be cut."""
    state: Mapping[str, Any] = field(default_factory=dict)
    """Tensors that the next round continues from."""

    @classmethod
    def restored(cls, checkpoint: Checkpoint) -> History:
        """Load the last saved history; an empty one if there is none."""
        if (saved := checkpoint.load("log")) is None:
            return cls()
        stored = from_plain(_Stored, saved["log"], where="the search's checkpoint")
        state = {name: value for name, value in saved.items() if name != "log"}
        return cls(rounds=stored.rounds, ledger=stored.ledger, stopped=stored.stopped, state=state)

    def save(self, checkpoint: Checkpoint) -> None:
        """Save it in a checkpoint."""
        stored = _Stored(rounds=self.rounds, ledger=self.ledger, stopped=self.stopped)
        checkpoint.save("log", {"log": to_plain(stored), **self.state})

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The candidates in the order in which they were first tried, each as it was judged then."""
        first: dict[Architecture, Trial] = {}
        for past in self.rounds:
            for trial in trials_of(past):
                first.setdefault(trial.architecture, trial)
        return tuple(first.values())

    @property
    def best(self) -> Architecture | None:
        """The winner of the last round; None before any."""
        return self.rounds[-1].candidates[self.rounds[-1].winner] if self.rounds else None

    @property
    def seen(self) -> frozenset[Architecture]:
        """Every candidate."""
        return frozenset(candidate for past in self.rounds for candidate in past.candidates)


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """The part of a history that is stored as JSON."""

    rounds: tuple[Round, ...]
    ledger: Ledger
    stopped: str


def trials_of(past: Round) -> tuple[Trial, ...]:
    """Return the candidates of a round as they were judged; in a round compared by alpha none was."""
    unknown = (None,) * len(past.candidates)
    judged = zip(past.candidates, past.scores or unknown, past.losses or unknown, strict=True)
    return tuple(
        Trial(
            architecture=candidate,
            judgement=None if score is None or loss is None else Judgement(score=score, loss=loss),
        )
        for candidate, score, loss in judged
    )


def best_of(judgements: Sequence[Judgement | None]) -> int | None:
    """Return the position of the best (`Judgement.rank`), the first of equals; None if nothing was judged."""
    ranks = {at: judgement.rank for at, judgement in enumerate(judgements) if judgement is not None}
    return max(ranks, key=ranks.__getitem__, default=None)


def round_of(trials: Sequence[Trial]) -> Round:
    """Return a round of candidates that were judged by scores.

    Raises:
        SearchError: none was judged.
    """
    judgements = [trial.judgement for trial in trials]
    winner = best_of(judgements)
    if winner is None:
        raise SearchError(
            f"All {len(trials)} candidates of a round had a loss that is not finite, "
            f"{trials[-1].architecture.key} last. Lower the learning rate of the search."
        )
    return Round(
        candidates=tuple(trial.architecture for trial in trials),
        keys=tuple(trial.architecture.key for trial in trials),
        dropped=tuple(trial.architecture.key for trial in trials if trial.judgement is None),
        stages=(),
        winner=winner,
        took_s=0.0,
        scores=tuple(None if judgement is None else judgement.score for judgement in judgements),
        losses=tuple(None if judgement is None else judgement.loss for judgement in judgements),
    )
