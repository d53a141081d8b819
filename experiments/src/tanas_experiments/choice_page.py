"""What pages/fuse.md says of its record: how often a round of FUSE chooses the best, by the way it is trained."""

from __future__ import annotations

from types import MappingProxyType

from tanas_experiments.choice import BEYOND, REFERENCE, Against, Figures, StudyRecord

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

ALIKE = 0.1
"""Ways whose multiply-adds differ by less than this share cost the same."""


def choice_page(record: StudyRecord) -> str:
    """The part of the page that shows the record."""
    size = record.size
    lines = [
        f"Targets: {' and '.join(f'`{target}`' for target in record.targets)}; {size['images']:,} training images; the "
        f"truth about an architecture is l on {size['truth_images']:,} validation images after {size['epochs']} epochs "
        f"of its own, a mean over {len(record.truths[0].runs)} seeds; a round compares on {size['choice_images']:,} "
        f"others. {len(record.architectures)} architectures of the standard space. {record.hardware}; "
        f"{', '.join(f'{name} {version}' for name, version in record.versions.items())}; seed {record.seed}. "
        f"Remade by `{record.command}`.",
        "",
        *_verdict(record),
        "",
        *_table(record, None),
        "",
        "'Best' counts the groups whose best candidate differs from the second beyond noise; 'near' counts all groups "
        "in which the choice is the best or no further from it than noise. Intervals of shares are exact (95 %). The "
        "last column holds a way against the reference on the same groups: the difference of the mean regrets with "
        "its bootstrap interval and the p of a test that gives signs to the differences by chance, then the groups "
        "in which just one of the two chose the best, with the p of the exact McNemar test. Groups share "
        "architectures, so the intervals are a little too narrow.",
        "",
        "Noise and what it leaves:",
        "",
        "| target | between two runs (sd) | between architectures (sd) | noise |",
        "| --- | --- | --- | --- |",
        *(
            f"| `{one.target}` | {one.deviation:.2f} | {one.spread:.2f} | more than {one.least:.2f} points |"
            for one in record.noise
        ),
        "",
        f"Two truths differ beyond noise if they are more than {BEYOND:g} standard errors of their difference apart.",
    ]
    for target in record.targets:
        if any(one.target == target for one in record.figures):
            lines += ["", f"### {target}", "", *_table(record, target)]
    return "\n".join(lines) + "\n"


def summary(record: StudyRecord) -> str:
    """A few lines for a terminal."""
    return "\n".join(
        f"{one.way:18} {one.rule:12} best {one.best:3} of {one.decided:3}, near {one.near:3} of {one.n:3}, regret "
        f"{one.regret:5.2f}, tau {one.tau:5.2f}, {one.cpu_s:6.1f} CPU-s"
        + (f", against the reference {_difference(one.against)}" if one.against else "")
        for one in record.figures
        if one.target is None
    )


def _verdict(record: StudyRecord) -> list[str]:
    """Plain sentences: the default against its aim, the best way at the same cost, and separate trainings."""
    way, rule = record.default
    own = record.of(way, rule)
    reached = own.share is not None and own.share >= AIM_SHARE
    doubt = ", though so few groups leave it open" if reached and (own.low or 0.0) < AIM_SHARE else ""
    lines = [
        f"**The default is '{WAYS.get(way, way)}', chosen by {RULES[rule]}.** It chooses the best of {own.candidates} "
        f"in {_share(own)} of the groups told apart (aim: {AIM_SHARE:.0%}: {_met(reached)}{doubt}), misses the best by "
        f"{own.regret:.2f} points on average over all {own.n} groups, and Kendall's tau with the truth is "
        f"{own.tau:.2f} (aim: {AIM_TAU}: {_met(own.tau >= AIM_TAU)}).",
    ]
    reference = record.of(*REFERENCE)
    if (way, rule) != REFERENCE:
        lines += [
            "",
            f"The reference, '{WAYS[REFERENCE[0]]}' and {RULES[REFERENCE[1]]}, does so in {_share(reference)}, with a "
            f"regret of {reference.regret:.2f} and a tau of {reference.tau:.2f}.",
        ]
    alike = [
        one
        for one in record.figures
        if one.target is None
        and one.n == reference.n
        and one.candidates == reference.candidates
        and one.way not in (SEPARATE, WARM)
        and abs(one.macs / reference.macs - 1) < ALIKE
    ]
    best = min(alike, key=lambda one: (one.regret, -one.tau))
    lines += [
        "",
        f"Of the mixtures at the same cost the least regret is that of '{WAYS.get(best.way, best.way)}', chosen by "
        f"{RULES[best.rule]}: {best.regret:.2f} points, best in {_share(best)}"
        + (f" ({_difference(best.against)} against the reference)." if best.against else "."),
    ]
    apart = [one for one in record.figures if one.target is None and one.way == SEPARATE]
    if apart:
        least = min(apart, key=lambda one: (one.regret, -one.tau))
        lines += [
            "",
            f"Separate trainings at the same cost, chosen by {RULES[least.rule]}: best in {_share(least)}, "
            f"{least.regret:.2f} points of regret.",
        ]
    warm = [one for one in record.figures if one.target is None and one.way == WARM]
    if warm:
        kept = next((one for one in warm if one.rule == rule), warm[0])
        lines += [
            "",
            f"A first candidate that begins with trained weights is chosen in {kept.first_chosen} of {kept.n} groups "
            f"by {RULES[kept.rule]}; it is the best in {kept.first_best}.",
        ]
    return lines


def _table(record: StudyRecord, target: str | None) -> list[str]:
    lines = [
        "| way | chosen by | best | near | regret | tau | CPU s | GMACs | against the reference |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in record.figures:
        if one.target == target:
            lines.append(
                f"| {WAYS.get(one.way, one.way)} | {RULES[one.rule]} | {_share(one)} | {one.near} of {one.n} | "
                f"{one.regret:.2f} | {one.tau:.2f} | {one.cpu_s:.1f} | {one.macs / 1e9:.0f} | {_against(one)} |"
            )
    return lines


def _met(reached: bool) -> str:
    return "met" if reached else "missed"


def _share(one: Figures) -> str:
    if one.share is None or one.low is None or one.high is None:
        return "0 of 0"
    return f"{one.best} of {one.decided} ({one.share:.0%}, {one.low:.0%} to {one.high:.0%})"


def _against(one: Figures) -> str:
    if (one.way, one.rule) == REFERENCE:
        return "the reference"
    if one.against is None:
        return "other candidates"
    held = one.against
    return f"{_difference(held)}; best only here {held.only_own}, only there {held.only_reference}, p = {held.p:.3f}"


def _difference(held: Against) -> str:
    """The difference of the mean regrets, with its interval and test."""
    paired = held.regret
    if paired.low is None or paired.high is None or paired.p is None:
        return f"{paired.mean:+.2f} (one group)"
    return f"{paired.mean:+.2f} ({paired.low:+.2f} to {paired.high:+.2f}, p = {paired.p:.3f})"
