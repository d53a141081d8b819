"""Advice to search or to reuse, from what past searches gained over reuse, at first from those of the laboratory."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tanas.dictionary.starter import Experience
from tanas.dictionary.task_record import Atom, best_first
from tanas.networks.architecture import Architecture

LEAST_SEARCHES = 3
"""Past searches that a mean gain needs before it is relied on."""

NOT_WORTH = 0.01
"""Mean gain, in l, below which a search is not worth its cost. A single gain says little: the scores of one
architecture from two seeds differ by more (`tanas.algorithm.winner`)."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The expected results of reusing the nearest task's architecture and of a search; as text, the advice."""

    nearest: str
    """The remembered task whose architecture would be reused; empty: no scored architecture fits."""
    score: float | None
    """l of that architecture on its own task after the fixed short training; None: only its final training is known."""
    searches: int
    """Past searches that measured their gain over reuse."""
    transfer: float | None
    """Mean score of the reused architectures in those searches; None: no such search."""
    gain: float | None
    """Mean gain over reuse, in l; it can be negative. None: no such search."""
    spread: float | None
    """Standard deviation of the gain; None: fewer than two searches."""
    search_macs: float | None
    """Mean multiply-adds of those searches; None: unknown."""
    experience: Experience | None = None
    """What counts while there are too few past searches; None: nothing does."""

    @property
    def reuse(self) -> bool:
        """Whether searches gained too little over reuse to be worth their cost."""
        if not self.nearest:
            return False
        if self.searches < LEAST_SEARCHES:
            return self.experience is not None and self.experience.reuse
        return self.gain is not None and self.gain < NOT_WORTH

    def __str__(self) -> str:
        if not self.nearest:
            return "Advice: search. No related task has a scored architecture that fits this task."
        architecture = f"the best architecture of {self.nearest}"
        if self.score is not None:
            architecture += f" (l = {self.score:.3f} there)"
        if self.searches < LEAST_SEARCHES and self.experience is not None:
            how = "Set inherit = 'transfer' to train known networks without a search."
            return f"Advice: {'reuse' if self.reuse else 'search'}. {self.experience} {how}"
        if self.gain is None or self.transfer is None:
            return (
                f"Advice: search. To reuse {architecture} without a search, set inherit = 'transfer'. "
                "No past search has measured its gain over reuse yet."
            )
        spread = "" if self.spread is None else f" (standard deviation {self.spread:.3f})"
        many = f"{self.searches} past search{'' if self.searches == 1 else 'es'}"
        based = (
            f"In {many}, the reused architecture scored l = {self.transfer:.3f} on average, "
            f"and the search gained {self.gain:+.3f}{spread}"
        )
        if self.searches < LEAST_SEARCHES:
            return f"Advice: search. {based}: too few searches to rely on."
        if self.reuse:
            return (
                f"Advice: reuse. Set inherit = 'transfer' to train {architecture} without a search. {based}."
            )
        return f"Advice: search. {based}."


def advise(
    related: Sequence[tuple[str, Atom]],
    known: Iterable[Atom],
    *,
    fits: Callable[[Architecture], bool] = lambda _: True,
    experience: Experience | None = None,
) -> Advice:
    """Return the advice for a task, from the gains over reuse of past searches.

    Args:
        related: (name, atom) of the related tasks, nearest first.
        known: every atom of the dictionary; some have the gain of their search.
        fits: whether an architecture can be reused, for example within the limits of the task.
        experience: what counts while there are fewer than `LEAST_SEARCHES` past searches.
    """
    past = [
        (atom.reuse, atom.provenance.search_macs)
        for atom in known
        if atom.reuse is not None and not atom.reuse.warm
    ]
    gains = [reuse.best - reuse.score for reuse, _ in past]
    macs = [spent for _, spent in past if spent is not None]
    usable = (  # lazily, because `fits` may have to measure the latency
        (name, None if best.final else best.score)
        for name, atom in related
        for best in best_first(atom.architectures)
        if best.score is not None and fits(best.architecture)
    )
    name, score = next(usable, ("", None))
    return Advice(
        nearest=name,
        score=score,
        searches=len(past),
        transfer=statistics.fmean(reuse.score for reuse, _ in past) if past else None,
        gain=statistics.fmean(gains) if gains else None,
        spread=statistics.stdev(gains) if len(gains) > 1 else None,
        search_macs=statistics.fmean(macs) if macs else None,
        experience=experience,
    )
