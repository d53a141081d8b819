"""Numbers and findings in words: the answer of a search in one sentence, and what to hold against it."""

from __future__ import annotations

from tanas.algorithm.result import FOUND, NO_SEARCH, Result, Rival
from tanas.networks.recipe import RECIPES
from tanas.reports.chart_data import constant_answer, wilson, wrong_answers

SPACE = "\N{NO-BREAK SPACE}"
"""Between a number and its unit: they stay on one line."""

SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def standing(result: Result) -> str:
    """Where the network stands among its rivals, in one sentence: the first line of every answer."""
    own, images, rivals = own_error(result), result.task.test, result.rivals
    kind = "balanced error" if result.task.performance == "balanced" else "test error"
    errs = f"{kind} {percent(own, images)}"
    if not rivals:
        return f"The network has {errs}."

    def shown(some: list[Rival]) -> str:
        return listed([f"{one.name} {percent(rival_error(result, one), images)}" for one in some])

    better = [one for one in rivals if rival_error(result, one) < own]
    level = [one for one in rivals if rival_error(result, one) == own]
    worse = [one for one in rivals if rival_error(result, one) > own]
    if better:
        others = f"; it errs less than {shown(worse)}" if worse else ""
        others += f"; as often as {shown(level)}" if level else ""
        return f"The network has {errs}, more than {shown(better)}{others}."
    if level:
        rest = f", and less than {shown(worse)}" if worse else ""
        return f"The network has {errs}, the same as {shown(level)}{rest}."
    many = "its only rival" if len(rivals) == 1 else f"all {len(rivals)} rivals"
    return f"The network has {errs}, less than {many}: {shown(worse)}."


def answer(result: Result) -> str:
    """What the network is and does, in one sentence with its numbers."""
    metrics, images = result.metrics, result.task.test
    return (
        f"It has {result.parameters:,} parameters and tells {_what(result)}, "
        f"with {percent(metrics.test_error, images)} test error "
        f"(balanced {percent(metrics.test_balanced_error, images)}); "
        f"always answering ‘{shorten(constant_answer(result))}’ "
        f"errs {percent(metrics.constant_error, images)}."
    )


def verdict(result: Result) -> str:
    """Whether the network beats those that it must beat, without kindness."""
    metrics, images = result.metrics, result.task.test
    _, high = wilson(wrong_answers(result), images)
    if metrics.test_balanced_error >= metrics.constant_balanced_error:
        return "Its balanced error is no better than a constant answer's: it has learnt nothing of use."
    sentence = ""
    if result.rivals:
        best = result.rivals[0]
        gain = rival_error(result, best) - own_error(result)
        if gain < 0 and best.name in (NO_SEARCH, FOUND) and result.reference and result.reference.replaces:
            sentence = f"‘{best.name}’ did better on the test images; the validation images decided."
        elif gain < 0:
            sentence = f"‘{best.name}’ does better here: prefer it, or give more images or time."
        elif gain == 0:
            sentence = f"‘{best.name}’ does as well: the network gains nothing over it."
        else:
            points = percent(gain, images).replace(f"{SPACE}%", "")
            chance = (
                "but that rival's error lies inside the network's 95 % interval: the gain may be chance"
                if best.test_error <= high
                else "and that rival's error lies outside the network's 95 % interval"
            )
            sentence = f"It is {points} points ahead of the best rival, {chance}."
    if metrics.constant_error <= high:
        inside = "is as low" if metrics.test_error >= metrics.constant_error else "lies inside it, too"
        sentence += f" The constant answer's error {inside}: judge by the balanced error."
    return sentence.strip().replace(" %", f"{SPACE}%")


def taken(result: Result) -> str:
    """Which of two architectures is handed over, and why; empty if the reference was not trained."""
    if (reference := result.reference) is None:
        return ""
    own, other = reference.found_validation_performance, reference.validation_performance
    if reference.taken:
        return (
            "This is the reference architecture, which needs no search. On the validation images what the search found "
            f"was not clearly better (by more than two standard errors): l = {own:.4f} against {other:.4f}."
        )
    clearly = ": clearly better, by more than two standard errors" if reference.replaces else ""
    return (
        "‘No search’ is the reference architecture of the space, after the same final training. On the validation "
        f"images it reached l = {other:.4f}, this network {own:.4f}{clearly}."
    )


def trained_on(result: Result) -> str:
    """The recipe of the final training, and how many images trained what."""
    training = result.training
    why = ""
    if training.tried:
        tried = [
            f"{one.recipe} {'diverged' if one.loss is None else f'{one.loss:.3f}'}" for one in training.tried
        ]
        what = (
            "this network" if training.judged_on == result.architecture.key else "the reference architecture"
        )
        why = f" It was chosen by the validation loss of {what} after a training by each: {listed(tried)}."
    text = (
        f"Recipe: {training.recipe} ({RECIPES.get(training.recipe, 'an own one')}), {training.epochs} epochs.{why} "
        f"The search used {training.search_images:,} training images, the training that validation judged "
        f"{training.train_images:,}."
    )
    if training.refit_images:
        text += f" Then the network was trained anew on all {training.refit_images:,} training and validation images."
    return text


def own_error(result: Result) -> float:
    """The error that counts for the task: balanced where performance is, else the share of wrong answers."""
    balanced = result.task.performance == "balanced"
    return result.metrics.test_balanced_error if balanced else result.metrics.test_error


def rival_error(result: Result, rival: Rival) -> float:
    """The same of a rival."""
    return rival.test_balanced_error if result.task.performance == "balanced" else rival.test_error


def caveat(result: Result) -> str:
    """What the numbers do not say: the spread over seeds, and the size of the test split."""
    images, wrong = result.task.test, wrong_answers(result)
    low, high = wilson(wrong, images)
    return (
        f"One run with one seed ({result.seed}): how far these numbers move from seed to seed is unknown; "
        f"repeat the run with other seeds to see it. {wrong:,} of {images:,} test images were "
        f"answered wrongly; from so many images, the 95{SPACE}% interval (Wilson) of the test error is "
        f"{percent(low, images)} to {percent(high, images)}."
    )


def known_architecture(result: Result) -> str:
    """That nothing was searched, in one sentence, where the task was known and reused; empty after a search."""
    if result.stopped != "reused":
        return ""
    return "The task was known: its best architecture was taken without a search, as asked, and trained anew."


def inheritance(result: Result) -> str:
    """What was known and what of it was taken, in one sentence."""
    if reused := known_architecture(result):
        return reused
    known, taken = len(result.distances), len(result.neighbours)
    others = [name for name, fingerprint in result.dictionary if fingerprint != result.task.fingerprint]
    if not known and "all" in (result.space.related, result.space.inherit) and others:
        return "Every known task counts alike, near or far: no distance was measured."
    if not known:
        return f"Nothing was known: the dictionary held no other task, so the space '{result.space.base}' was searched."
    tasks = "1 known task" if known == 1 else f"{known} known tasks"
    if not taken:
        return f"The distances to {tasks} were measured; none was inherited from."
    names = [f"{shorten(n.atom, 60)} (d{SPACE}={SPACE}{n.distance:.2f})" for n in result.neighbours]
    nearest = [n.atom for n in result.neighbours] == [n.atom for n in result.distances[:taken]]
    which = "the nearest " if nearest else ""
    return f"Of {tasks}, the search inherited from {which}{taken}: {listed(names)}."


def transformation(result: Result) -> str:
    """What a network became that was grown or compressed, in a few sentences; empty after a search."""
    grown = result.grown
    if grown is None:
        return ""
    size = f"{grown.before.parameters:,} parameters"
    began = f"It began with {grown.origin}, of {size}, to {grown.aim} it for this task."
    if not grown.differences:
        return f"{began} No candidate was found better: the network stayed as it was."
    share = f"{grown.after.parameters / grown.before.parameters:.2g}"
    parts = "; ".join(grown.differences)
    return f"{began} What was found has {share} times as many. {parts[0].upper()}{parts[1:]}."


def choice(result: Result) -> str:
    """What made a candidate of FUSE the winner of its round, and one of the winners the network that was found.

    Empty for a search without alphas.
    """
    if not any(past.stages for past in result.rounds):
        return ""
    fuse = result.config.get("fuse", {})
    winner = {
        "loss": "the least validation loss of its own",
        "performance": "the best validation performance l of its own",
    }.get(fuse.get("choice", "alpha"), "the largest alpha")
    first, *more = result.rounds
    if not more and first.keys[first.winner] == result.architecture.key:
        return f"The winner of the round has {winner}; it is the network found."
    found = (
        "the network found has the best score of a short training of its own"
        if fuse.get("final", "last") == "score" and result.grown is None
        else "the network found is the last winner"
    )
    return f"The winner of a round has {winner}; {found}."


def percent(share: float, images: int) -> str:
    """A share as per cent, with the decimals that so many images can tell apart."""
    decimals = 1 if images <= 1000 else 2
    return f"{100 * share:.{decimals}f}{SPACE}%"


def duration(seconds: float) -> str:
    """Seconds as a person says them: '0.4 s', '12 s', '3 min 20 s', '2 h 5 min'."""
    if seconds < 9.95:
        return f"{seconds:.1f}{SPACE}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{SPACE}s"
    if whole < 3600:
        return f"{whole // 60}{SPACE}min {whole % 60}{SPACE}s" if whole % 60 else f"{whole // 60}{SPACE}min"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours}{SPACE}h {minutes}{SPACE}min" if minutes else f"{hours}{SPACE}h"


def amount(number: int) -> str:
    """A count: all its digits, or three of them and a power of ten from a billion on."""
    if number < 10**9:
        return f"{number:,}"
    # digits, not floats: spaces can be larger than any float
    digits = str(number)
    power = str(len(digits) - 1).translate(SUPERSCRIPTS)
    return f"{digits[0]}.{digits[1:3]} × 10{power}"


def shorten(text: str, most: int = 40) -> str:
    """A name on one line; a long one loses its middle, as names differ at their ends."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    end = (most - 1) * 3 // 5
    return f"{line[: most - 1 - end]}…{line[-end:]}"


def listed(names: list[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _what(result: Result) -> str:
    names = [shorten(name) for name in result.task.classes]
    if len(names) == 2:
        first, second = names
        others = ("rest", "the rest", "others", f"not {second}".lower())
        return f"{second} from {'the rest' if first.lower() in others else first}"
    if len(names) <= 5:
        return f"{listed(names)} apart"
    return f"the {len(names)} classes of {shorten(result.task.name, 60)} apart"


def memory(result: Result) -> str:
    """What the dictionary cost that the search began with, a sentence; empty if there was none."""
    if result.ledger is None or not (known := result.ledger.dictionary).atoms:
        return ""
    tasks = f"{known.atoms} known task{'' if known.atoms == 1 else 's'}"
    text = f"The {tasks} took {duration(known.took_s)} to learn"
    if known.searches is None:
        return f"{text}."
    return (
        f"{text}, in multiply-adds as much as {known.searches:.2g} searches like this one (final trainings left out): "
        "they have paid back once they made so many searches needless."
    )


def beside(result: Result) -> str:
    """What random search beside was given and what it found, two sentences; empty if nobody asked for it."""
    if (control := result.control) is None:
        return ""
    spent = next((p.macs for p in result.ledger.phases if p.phase == "search"), 0) if result.ledger else 0
    share = f", {control.spent / spent:.0%} of what this search spent" if spent else ""
    return (
        f"Random search had the same space, training images and recipe and tried {control.candidates} candidates for "
        f"{control.spent:.3g} multiply-adds{share}. Its network has {control.parameters:,} parameters; one run of each "
        "says little of which is better."
    )
