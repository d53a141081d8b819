"""Reuse or search again? What past searches say that a search adds to the nearest task's architecture."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tanas.dictionary.task_record import Atom, best_first
from tanas.networks.architecture import Architecture

LEAST_SEARCHES = 3
"""Of fewer, a mean says nothing that could be acted on."""

NOT_WORTH = 0.01
"""Of l: a search that adds less in the mean is not worth its cost. A single one tells nothing: the scores of one
architecture from two seeds differ by more (`tanas.algorithm.search_gain`)."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What is expected of taking the nearest task's architecture over, and of a search."""

    nearest: str
    """The atom whose architecture would be taken over; empty: none has one with a score that fits."""
    score: float | None
    """l that it reached on its own task after the fixed short training; None: it had its final training only."""
    searches: int
    """Past searches in which what was taken over has been scored beside what was found: all that this rests on."""
    transfer: float | None
    """Mean score there of what was taken over; None: no such search."""
    gain: float | None
    """Mean of what the search added to it, in l; below 0 where what was chosen turned out to be no better."""
    spread: float | None
    """Standard deviation of that; None: of fewer than two."""
    search_macs: float | None
    """Mean multiply-adds of those searches; None: not known."""

    @property
    def reuse(self) -> bool:
        """Whether the past says that a search is not worth its cost."""
        enough = self.nearest and self.searches >= LEAST_SEARCHES
        return bool(enough and self.gain is not None and self.gain < NOT_WORTH)

    def __str__(self) -> str:
        if not self.nearest:
            return "Reuse or search again? No related task has a scored architecture that can be taken over: search."
        taken = f"the best architecture of {self.nearest}"
        if self.score is not None:
            taken += f" (l = {self.score:.3f} there)"
        if self.gain is None or self.transfer is None:
            return (
                f"Reuse or search again? `--inherit transfer` takes {taken} without a search. No search of this "
                "dictionary has been held against such a transfer yet, so what a search adds is not known: search."
            )
        spread = "" if self.spread is None else f" (standard deviation {self.spread:.3f})"
        many = f"{self.searches} past search{'' if self.searches == 1 else 'es'}"
        based = f"In {many} of this dictionary what was taken over scored l = {self.transfer:.3f} in the mean"
        added = f"and the search added {self.gain:+.3f}{spread}"
        if self.searches < LEAST_SEARCHES:
            return f"Reuse or search again? {based}, {added}: too few to rely on. Search."
        verdict = (
            f"`--inherit transfer` takes {taken} without a search, at little loss"
            if self.reuse
            else "a search is worth its cost"
        )
        return f"Reuse or search again? {based}, {added}: {verdict}."


def advise(
    related: Sequence[tuple[str, Atom]],
    known: Iterable[Atom],
    *,
    warm: bool = False,
    fits: Callable[[Architecture], bool] = lambda _: True,
) -> Advice:
    """What the past says of a task.

    Args:
        related: (name, atom) of those to inherit from, nearest first.
        known: every atom of the dictionary; those that came of a search know what it added.
        warm: whether weights are taken over too; only searches that did the same say what that comes to.
        fits: whether an architecture can be taken over: a task may have limits that the nearest's best breaks.
    """
    past = [
        (atom.reuse, atom.provenance.search_macs)
        for atom in known
        if atom.reuse is not None and atom.reuse.warm == warm
    ]
    gains = [reuse.best - reuse.score for reuse, _ in past]
    macs = [spent for _, spent in past if spent is not None]
    usable = (  # one by one: whether an architecture fits may have to be timed
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
    )
