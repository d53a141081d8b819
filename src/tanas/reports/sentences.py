"""Results in words: the answer of a search in one sentence, and the limits of its numbers."""

from __future__ import annotations

from tanas.algorithm.result import DONOR, FOUND, NO_SEARCH, Beginning, Metrics, Result, Rival, WarmStart
from tanas.distances.misfit import MisfitDistance
from tanas.networks.recipe import RECIPES
from tanas.reports.chart_data import constant_answer, rival_label, wilson, wrong_answers

SPACE = "\N{NO-BREAK SPACE}"
"""Between a number and its unit: they stay on one line."""

MOST_STARTS = 6
"""Known networks in the table of a report."""

SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def standing(result: Result) -> str:
    """The first line of every answer: the network's test error, and how it compares with its rivals."""
    own, images = counted_error(result, result.metrics), result.task.test
    kind = "balanced error" if result.task.performance == "balanced" else "error"
    text = f"{percent(own, images)} {kind} on {images:,} test images"
    groups: dict[str, list[str]] = {"better than": [], "equal to": [], "not better than": []}
    for rival in result.rivals:
        error = counted_error(result, rival)
        group = "better than" if own < error else "equal to" if own == error else "not better than"
        groups[group].append(f"{_with_article(rival.name)} ({percent(error, images)})")
    parts = [f"{group} {listed(rivals)}" for group, rivals in groups.items() if rivals]
    return f"{text}: {', '.join(parts)}." if parts else f"{text}."


def answer(result: Result) -> str:
    """The network's size, its errors, and the error of a constant answer."""
    metrics, images = result.metrics, result.task.test
    return (
        f"The network has {result.parameters:,} parameters and tells {_what(result)} "
        f"with {percent(metrics.test_error, images)} test error "
        f"(balanced: {percent(metrics.test_balanced_error, images)}). "
        f"Always answering ‘{shorten(constant_answer(result))}’ gives "
        f"{percent(metrics.constant_error, images)} error."
    )


def verdict(result: Result) -> str:
    """Whether the network beats a constant answer and its best rival, and whether that may be chance."""
    metrics, images = result.metrics, result.task.test
    _, high = wilson(wrong_answers(result), images)
    if metrics.test_balanced_error >= metrics.constant_balanced_error:
        return "It has learnt nothing useful: its balanced error is no lower than that of a constant answer."
    sentence = _against_rival(result, result.rivals[0], high) if result.rivals else ""
    if metrics.constant_error <= high:
        sentence += " A constant answer reaches as low a test error: judge by the balanced error."
    return sentence.strip().replace(" %", f"{SPACE}%")


def _against_rival(result: Result, best: Rival, high: float) -> str:
    """Whether the best rival has less error than the network, whose 95 % interval ends at `high`."""
    name = _capital(_with_article(best.name))
    gain = counted_error(result, best) - counted_error(result, result.metrics)
    if gain == 0:
        return f"{name} has the same error: the network gains nothing over it."
    if gain > 0:
        points = percent(gain, result.task.test).replace(f"{SPACE}%", "")
        chance = (
            "This may be chance: the rival's error lies inside the network's 95 % interval."
            if best.test_error <= high
            else "The rival's error lies outside the network's 95 % interval."
        )
        return f"The best rival has {points} points more error. {chance}"
    if best.name in (NO_SEARCH, FOUND, DONOR) and result.reference and result.reference.replaces:
        return f"{name} has less error on the test images, but the validation images decided which network you get."
    return f"{name} has less error here: use it, or give tanas more images or time."


def worth_showing(beginning: Beginning) -> tuple[WarmStart, ...]:
    """The known networks that competed, those that could not be used, and some of the others."""
    unused = [start for start in beginning.tried if start.misfit is not None and start.left_out]
    most = max(MOST_STARTS - (len(beginning.tried) - len(unused)), 0)
    return tuple(start for start in beginning.tried if start not in unused[most:])


def taken(result: Result) -> str:
    """Which of two networks is handed over, and why; empty if the reference network was not trained."""
    if (reference := result.reference) is None:
        return ""
    own, other = reference.found_validation_performance, reference.validation_performance
    if result.beginning is not None and (atom := result.beginning.atom):
        began = f"the network that began with weights of {shorten(atom)}"
        if reference.found == reference.architecture.key:
            return f"You get {began}: no search was needed for its architecture."
        if reference.taken:
            return (
                f"You get {began}: the {_found(result)} network was not clearly better on validation images "
                f"(l = {own:.4f} against {other:.4f}; it needs a lead of two standard errors)."
            )
        return (
            f"On validation images this network reached l = {own:.4f}, {began} l = {other:.4f}: this network is "
            "clearly better, by more than two standard errors."
        )
    if reference.found == reference.architecture.key:
        return "The search ended with the reference network, which needs no search."
    if reference.taken:
        return (
            f"You get the reference network, which needs no search: the {_found(result)} network was not clearly "
            f"better on validation images (l = {own:.4f} against {other:.4f}; it needs a lead of two standard errors)."
        )
    clearly = (
        " This network is clearly better: by more than two standard errors." if reference.replaces else ""
    )
    return (
        "The reference network is a fixed network that needs no search. After the same final training it reached "
        f"l = {other:.4f} on validation images; this network reached l = {own:.4f}.{clearly}"
    )


def trained_on(result: Result) -> str:
    """The recipe of the final training, why it was chosen, and how many images each training used."""
    training = result.training
    why = ""
    if training.tried:
        tried = [
            f"{recipe.recipe}{f' from {shorten(recipe.atom)}' if recipe.atom else ''} "
            f"{'diverged' if recipe.loss is None else f'{recipe.loss:.3f}'}"
            for recipe in training.tried
        ]
        what = "this network" if training.judged_on == result.architecture.key else "the reference network"
        why = (
            f" It was chosen by the validation loss of {what} after half of the epochs: {', '.join(tried)}. A later "
            "one needs a clear lead."
        )
    words = RECIPES[training.recipe].words if training.recipe in RECIPES else "your own"
    text = (
        f"Recipe: {training.recipe} ({words}), {training.epochs} epochs.{why} "
        f"The search used {training.search_images:,} training images, the final training {training.train_images:,}."
    )
    if training.refit_images:
        text += (
            " A refit then did the second half again, with all "
            f"{training.refit_images:,} training and validation images."
        )
    return text


def outlook(result: Result) -> str:
    """What more images or a longer training would bring, as far as half of each tells; empty if it is not known."""
    if (known := result.training.outlook) is None:
        return ""

    def gained(what: str, before: float, after: float, spread: float, advice: tuple[str, str]) -> str:
        gain = before - after
        return (
            f"With half of the {what} the validation error was {100 * abs(gain):.1f} points "
            f"(+- {100 * spread:.1f}) {'lower' if gain < 0 else 'higher'}: "
            f"{advice[0] if gain > 2 * spread else advice[1]}."
        )

    images = gained(
        "training images",
        known.half_images,
        known.half_epochs,
        known.images_spread,
        ("more images would probably help", "this is no sign that more images would help"),
    )
    epochs = gained(
        "epochs",
        known.half_epochs,
        known.whole,
        known.epochs_spread,
        ("a longer training would probably help", "this is no sign that a longer training would help"),
    )
    return f"{images} {epochs}"


def calibrated(result: Result) -> str:
    """How far the network's probabilities can be believed; empty for a result of an older version."""
    if (error := result.metrics.test_calibration_error) is None:
        return ""
    return (
        f"On the test images, confidence and accuracy differ by {100 * error:.1f} points on average "
        "(expected calibration error). "
        f"The logits are divided by {result.training.temperature:.2f}, which was fitted on validation images."
    )


def counted_error(result: Result, errors: Metrics | Rival) -> float:
    """The test error that counts for the task: balanced if its performance is, else the share of wrong answers."""
    return errors.test_balanced_error if result.task.performance == "balanced" else errors.test_error


def caveat(result: Result) -> str:
    """The limits of the numbers: one seed, and the interval that the size of the test split allows."""
    images, wrong = result.task.test, wrong_answers(result)
    low, high = wilson(wrong, images)
    return (
        f"One run with one seed ({result.seed}): repeat it with other seeds to see how much these numbers vary. "
        f"{wrong:,} of {images:,} test images were answered wrongly: the 95{SPACE}% interval (Wilson) of the test "
        f"error is {percent(low, images)} to {percent(high, images)}."
    )


def known_architecture(result: Result) -> str:
    """A sentence that nothing was searched because the task was remembered and reused; empty after a search."""
    if result.stopped != "reused":
        return ""
    return (
        "Nothing was searched, as you asked: the best remembered architecture of this task was trained anew."
    )


def _found(result: Result) -> str:
    return "transferred" if result.stopped == "transferred" else "searched"


def by_misfit(result: Result) -> bool:
    """Whether the distances of a result are misfits of known networks."""
    return bool(result.config.get("distance", {}).get("method") == MisfitDistance.name)


def inheritance(result: Result) -> str:
    """How many tasks were remembered, and which of them the search reused, in one sentence."""
    if reused := known_architecture(result):
        return reused
    known, taken = len(result.distances), len(result.neighbours)
    others = [name for name, fingerprint in result.dictionary if fingerprint != result.task.fingerprint]
    if not known and "all" in (result.space.related, result.space.inherit) and others:
        return "Every remembered task counts alike: no distance was measured."
    if not known:
        return "No other task is remembered."
    tasks = "1 remembered task" if known == 1 else f"{known} remembered tasks"
    if not taken:
        return f"The distances of {tasks} were measured, but nothing was reused from them."
    names = [f"{shorten(n.atom, 60)} (distance{SPACE}{n.distance:.2f})" for n in result.neighbours]
    nearest = [n.atom for n in result.neighbours] == [n.atom for n in result.distances[:taken]]
    which = "the nearest " if nearest else ""
    return f"Of {tasks}, the search reused {which}{taken}: {listed(names)}."


def transformation(result: Result) -> str:
    """The differences between a network and what it was grown or compressed to; empty after a search."""
    grown = result.grown
    if grown is None:
        return ""
    did = {"grow": "grew", "compress": "compressed"}.get(grown.aim, grown.aim)
    size = f"{grown.before.parameters:,} parameters"
    began = f"The search began with {grown.origin} ({size}) and {did} it for this task."
    if not grown.differences:
        return f"{began} No candidate was better, so the network stayed as it was."
    share = f"{grown.after.parameters / grown.before.parameters:.2g}"
    parts = "; ".join(grown.differences)
    return f"{began} The network found has {share} times as many. {_capital(parts)}."


def choice(result: Result) -> str:
    """How FUSE chose each round's winner, and the architecture among the winners; empty for other strategies."""
    if not any(past.stages for past in result.rounds):
        return ""
    fuse = result.config.get("fuse", {})
    winner = {"loss": "the lowest validation loss", "performance": "the best validation performance l"}.get(
        fuse.get("choice", "alpha"), "the largest alpha"
    )
    first, *more = result.rounds
    if not more and first.keys[first.winner] == result.architecture.key:
        return f"The winner of the round has {winner}; it is the architecture found."
    found = (
        "the architecture found is the winner with the best score"
        if fuse.get("final", "last") == "score" and result.grown is None
        else "the architecture found is the last winner"
    )
    return f"The winner of each round has {winner}; {found}."


def percent(share: float, images: int) -> str:
    """A share in per cent, with as many decimals as that number of images resolves."""
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
    """A name on one line; a long name loses its middle, because names differ at their ends."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    end = (most - 1) * 3 // 5
    return f"{line[: most - 1 - end]}…{line[-end:]}"


def listed(names: list[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _with_article(rival: str) -> str:
    """The name of a rival as it stands inside a sentence."""
    if rival == "SVM on HOG":
        return f"an {rival}"
    return f"the {rival_label(rival)}" if rival in (NO_SEARCH, FOUND, DONOR) else rival


def _capital(text: str) -> str:
    """A sentence that begins with a capital letter, unless it begins with a name such as k-NN."""
    return text if text.startswith("k-NN") else f"{text[0].upper()}{text[1:]}"


def _what(result: Result) -> str:
    """The task as the object of 'tells': 'moon from the rest', 'a, b and c apart'."""
    names = [shorten(name) for name in result.task.classes]
    if len(names) == 2:
        first, second = names
        others = ("rest", "the rest", "others", f"not {second}".lower())
        return f"{second} from {'the rest' if first.lower() in others else first}"
    if len(names) <= 5:
        return f"{listed(names)} apart"
    return f"the {len(names)} classes of {shorten(result.task.name, 60)} apart"


def memory(result: Result) -> str:
    """What it cost to learn the remembered tasks, in two sentences; empty if there were none."""
    if result.ledger is None or not (known := result.ledger.dictionary).atoms:
        return ""
    tasks = f"{known.atoms} remembered task{'' if known.atoms == 1 else 's'}"
    text = f"Learning the {tasks} took {duration(known.took_s)}"
    if known.searches is None:
        return f"{text}."
    return (
        f"{text}: as many multiply-adds as {known.searches:.2g} searches like this one, final trainings left out. "
        "The memory pays off once it has saved that many searches."
    )


def beside(result: Result) -> str:
    """What random search at equal cost tried and found, in a few sentences; empty if nobody asked for it."""
    if (control := result.control) is None:
        return ""
    spent = next((p.macs for p in result.ledger.phases if p.phase == "search"), 0) if result.ledger else 0
    share = f" ({control.spent / spent:.0%} of what this search spent)" if spent else ""
    return (
        f"Random search used the same space, training images and recipe. It tried {control.candidates} candidates for "
        f"{control.spent:.3g} multiply-adds{share}. Its network has {control.parameters:,} parameters. One run of each "
        "says little about which is better."
    )
