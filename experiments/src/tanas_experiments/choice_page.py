"""What pages/fuse.md says of its record: how often a round of FUSE chooses the best, by the way it is trained."""

from __future__ import annotations

from types import MappingProxyType

from tanas_experiments.choice import BEYOND, REFERENCE, Against, Figures, StudyRecord
from tanas_experiments.markdown import effect, percent, provenance, signed, table

WAYS = MappingProxyType(
    {
        "equal": "equal weights for 2 epochs, alpha solved once",
        "own": "equal weights for 2 epochs, each candidate's own loss added (weight 1)",
        "separate": "no mixture: each candidate trained separately for 2 epochs",
        "solved": "alpha solved to convergence after each of 2 epochs",
        "floor": "the same, but no weight below half of 1/C while w descends",
        "tempered": "20 steps of alpha after each of 2 epochs",
        "own-1-epoch": "own loss added, 1 epoch",
        "own-half-images": "own loss added, half of the images",
        "own-warm": "own loss added, the first candidate begins with trained weights",
        "own-4-epochs": "own loss added, 4 epochs",
        "own-2-candidates": "own loss added, C = 2",
        "own-5-candidates": "own loss added, C = 5",
        "letter": "the paper's letter: up to 20 stages of an epoch, Adam at 1e-3",
    }
)
"""A way in words, also one that can only be read any more; one that is not here goes by its name."""

RULES = MappingProxyType(
    {"alpha": "arg max alpha", "loss": "own validation loss", "performance": "own validation l"}
)

SEPARATE, WARM = "separate", "own-warm"
"""Ways that are no mixture, or no fair one."""

AIM_SHARE, AIM_TAU = 0.75, 0.5
"""What is aimed at: the choice is the best of three in so many of the triples told apart, and so high a tau."""

HARDLY = 0.05
"""Points of regret; so small a difference between rules is none."""

ALIKE = 0.1
"""Ways whose multiply-adds differ by less than this share cost the same."""


def choice_page(record: StudyRecord) -> str:
    """The part of the page that shows the record: a section a question."""
    size, (way, rule) = record.size, record.default
    own = record.of(way, rule)
    aims = (
        f"Aim: {percent(AIM_SHARE)}, {_met((own.share or 0) >= AIM_SHARE)}; a tau of {AIM_TAU}, "
        f"{_met(own.tau >= AIM_TAU)}."
    )
    parts = [
        "## Does arg max alpha find the best candidate?",
        f"**The default finds the best of {own.candidates} in {_share(own)} groups whose best is clear.** {aims}",
        _ways(record, rule),
        f"The default is '{WAYS.get(way, way)}'. *Best*: of the groups whose best is clear, with the exact 95 % CI. "
        "*Near*: of all groups, the choice is the best or within noise of it. *Regret*: points of l below the best, "
        "mean over all groups. *Tau*: Kendall's, with the truth.",
        "The last column: mean regret minus that of the reference on the same groups. Groups share architectures, so "
        "the intervals are a little too narrow.",
        "## Do separate trainings choose better at the same cost?",
        _separate(record),
        "## Is there a better rule than alpha?",
        _rules(record),
        *_warm(record),
        "## Is it the same on each target?",
        _targets(record),
        "## How was it measured?",
        f"A truth is l on {size['truth_images']:,} validation images after {size['epochs']} epochs, a mean over "
        f"{len(record.truths[0].runs)} seeds. A round trains on {size['images']:,} images and compares on "
        f"{size['choice_images']:,} other validation images.",
        f"A best candidate is clear if it is more than {BEYOND:g} standard errors better than the second. "
        f"{len(record.architectures)} architectures of the standard space, seed {record.seed}.",
        provenance(record.command, record.hardware, record.versions),
    ]
    return "\n\n".join(parts) + "\n"


def _all_targets(record: StudyRecord, rule: str | None = None) -> list[Figures]:
    return [one for one in record.figures if one.target is None and rule in (None, one.rule)]


def _ways(record: StudyRecord, rule: str) -> str:
    """Every way by one rule, the least regret first; separate trainings, which have no alpha, by their own l."""
    found = [
        *_all_targets(record, rule),
        *(one for one in _all_targets(record, "performance") if one.way == SEPARATE),
    ]
    head = ["way", "best", "near", "regret", "tau", "CPU s", "GMACs", "regret against the reference"]
    return table(
        head,
        [
            [
                WAYS.get(one.way, one.way),
                _share(one),
                f"{one.near} of {one.n}",
                f"{one.regret:.2f}",
                signed(one.tau),
                f"{one.cpu_s:.1f}",
                f"{one.macs / 1e9:.0f}",
                _against(one),
            ]
            for one in sorted(found, key=lambda one: one.regret)
        ],
    )


def _separate(record: StudyRecord) -> str:
    """Separate trainings beside the mixture of the same cost that chooses best, each by its best rule."""
    reference = record.of(*REFERENCE)
    alike = [
        one
        for one in _all_targets(record)
        if one.candidates == reference.candidates
        and one.way not in (SEPARATE, WARM)
        and abs(one.macs / reference.macs - 1) < ALIKE
    ]
    best = min(alike, key=lambda one: (one.regret, -one.tau))
    way, reached = WAYS.get(best.way, best.way), f"{_share(best)}, {best.regret:.2f} points"
    mixture = f"'{way}' by {RULES[best.rule]}. It reaches {reached}"
    apart = [one for one in _all_targets(record) if one.way == SEPARATE]
    if not apart:
        return f"Not measured. The best mixture is {mixture}."
    least = min(apart, key=lambda one: (one.regret, -one.tau))
    return (
        f"**Separate trainings by {RULES[least.rule]}: {_share(least)}, {least.regret:.2f} points of regret**. The "
        f"best mixture of that cost is {mixture}."
    )


def _rules(record: StudyRecord) -> str:
    by = {(one.way, one.rule): one for one in _all_targets(record)}
    ways = dict.fromkeys(one.way for one in _all_targets(record))
    rows = [
        [
            WAYS.get(way, way),
            *(
                f"{by[way, rule].regret:.2f} ({by[way, rule].best} of {by[way, rule].decided})"
                if (way, rule) in by
                else "-"
                for rule in RULES
            ),
        ]
        for way in ways
    ]
    own = record.of(*record.default)
    least = min((one for one in by.values() if one.way == own.way), key=lambda one: one.regret)
    said = "No" if own.regret - least.regret < HARDLY else "Yes"
    return (
        f"**{said}: the default's regret is {own.regret:.2f} points by {RULES[own.rule]}, and "
        f"{least.regret:.2f} by {RULES[least.rule]}, the best rule.**\n\n"
        + table(["regret (best)", *RULES.values()], rows)
    )


def _warm(record: StudyRecord) -> list[str]:
    warm = [one for one in _all_targets(record) if one.way == WARM]
    if not warm:
        return []
    kept = next((one for one in warm if one.rule == record.default[1]), warm[0])
    return [
        "## Does a head start decide the choice?",
        f"**A first candidate that begins with trained weights is chosen in {kept.first_chosen} of {kept.n} groups by "
        f"{RULES[kept.rule]}; it is the best in {kept.first_best}.**",
    ]


def _targets(record: StudyRecord) -> str:
    shown = dict.fromkeys([record.default, REFERENCE, (SEPARATE, "performance")])
    noise = {one.target: one for one in record.noise}
    rows = [
        [
            f"`{one.target}`",
            WAYS.get(one.way, one.way),
            RULES[one.rule],
            _share(one),
            f"{one.near} of {one.n}",
            f"{one.regret:.2f}",
            signed(one.tau),
        ]
        for one in sorted(record.figures, key=lambda one: str(one.target))
        if one.target is not None and (one.way, one.rule) in shown
    ]
    spread = [
        [f"`{name}`", f"{one.deviation:.2f}", f"{one.spread:.2f}", f"more than {one.least:.2f} points"]
        for name, one in noise.items()
    ]
    return "\n\n".join(
        [
            table(["target", "way", "chosen by", "best", "near", "regret", "tau"], rows, text=3),
            table(["target", "sd between two runs", "sd between architectures", "clear if"], spread),
        ]
    )


def summary(record: StudyRecord) -> str:
    """A few lines for a terminal."""
    return "\n".join(
        f"{one.way:18} {one.rule:12} best {one.best:3} of {one.decided:3}, near {one.near:3} of {one.n:3}, regret "
        f"{one.regret:5.2f}, tau {one.tau:5.2f}, {one.cpu_s:6.1f} CPU-s"
        + (f", against the reference {_difference(one.against)}" if one.against else "")
        for one in record.figures
        if one.target is None
    )


def _met(reached: bool) -> str:
    return "met" if reached else "missed"


def _share(one: Figures) -> str:
    if one.share is None or one.low is None or one.high is None:
        return "0 of 0"
    return f"{one.best} of {one.decided} ({percent(one.low)} to {percent(one.high)})"


def _against(one: Figures) -> str:
    if (one.way, one.rule) == REFERENCE:
        return "the reference"
    return "other candidates" if one.against is None else _difference(one.against)


def _difference(held: Against) -> str:
    """The mean regret minus that of the reference, with its interval and test."""
    return effect(held.regret, unit=1, sign=1)
