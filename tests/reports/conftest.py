"""Results without a search: architectures, pictures and numbers that agree with one another."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tanas.algorithm.result import (
    RESULT_SCHEMA,
    Costs,
    FinalTraining,
    Metrics,
    Mistake,
    Neighbour,
    RepresentativeRecord,
    Result,
    Rival,
    SpaceRecord,
    TaskRecord,
)
from tanas.networks.architecture import Architecture, cost_of
from tanas.networks.cell import Cell
from tanas.networks.recipe import RecipeTried
from tanas.networks.scoring import ScoredArchitecture
from tanas.networks.skeleton import Skeleton
from tanas.strategies.base import Round, Stage
from tanas.tasks.performance import Evaluation

OPERATIONS = ("identity", "zero", "sep_conv_3x3", "dil_conv_3x3", "conv_7x1_1x7", "max_pool_2x2")
HOSTILE = ("<script>alert('x')</script>", "\"q\" & 'a' <img src=http://example.org/x.png onerror=y>")


def draw_architecture(random: np.random.Generator, nodes: int = 4) -> Architecture:
    edges = nodes * (nodes - 1) // 2
    cell = Cell.complete(nodes, tuple(str(name) for name in random.choice(OPERATIONS, edges)))
    if not cell.connected:
        return draw_architecture(random, nodes)
    widths = tuple(int(w) for w in random.choice((8, 16, 32), 3))
    return Architecture(
        skeleton=Skeleton(widths=widths, cells=(1, 2, 1), reductions=(False, True, True)), cell=cell
    )


def draw_picture(random: np.random.Generator, size: int = 28) -> str:
    rows, columns = np.mgrid[:size, :size]
    centre, radius = random.uniform(0.35, 0.65, 2) * size, random.uniform(0.2, 0.35) * size
    distance = np.hypot(rows - centre[0], columns - centre[1])
    pixels = (255 * np.exp(-((distance - radius) ** 2) / 4)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def draw_stages(
    random: np.random.Generator, stages: int, candidates: int, dropped: int | None
) -> tuple[Stage, ...]:
    alphas = np.full(candidates, 1 / candidates)
    made = []
    for stage in range(stages):
        alphas = alphas + random.normal(0, 1.2 / np.sqrt(stages), candidates)
        weights = np.exp(alphas) * [position != dropped for position in range(candidates)]
        weights /= weights.sum()
        made.append(
            Stage(
                alphas=tuple(map(float, alphas)),
                weights=tuple(map(float, weights)),
                train_loss=0.5 / (stage + 1),
                validation_loss=0.6 / (stage + 1),
            )
        )
    return tuple(made)


def draw_result(
    classes: tuple[str, ...] = ("rest", "moon"),
    *,
    atoms: int = 10,
    inherited: int = 3,
    rounds: int = 4,
    stages: int = 1,
    candidates: int = 3,
    nodes: int = 4,
    scored: bool = True,
    test: int = 1800,
    name: str = "quickdraw:is=moon",
    seed: int = 0,
) -> Result:
    """A result in which all parts agree; no search made it."""
    random = np.random.default_rng(seed)
    shape, count = (1, 28, 28), len(classes)

    shares = np.array([0.9] + [0.1 / (count - 1)] * (count - 1)) if count == 2 else np.full(count, 1 / count)
    labels = np.sort(random.choice(count, test, p=shares))
    answers = np.where(random.random(test) < 0.04, random.choice(count, test), labels)
    evaluation = Evaluation.of(labels, answers, count)
    constant = Evaluation.of(labels, np.full(test, np.bincount(labels).argmax()), count)
    svm, logistic = (
        Evaluation.of(labels, np.where(random.random(test) < share, (labels + 1) % count, labels), count)
        for share in (0.09, 0.12)
    )

    seen: dict[str, ScoredArchitecture] = {}
    history: list[Round] = []
    kept: Architecture | None = None
    for number in range(rounds):
        new = [draw_architecture(random, nodes) for _ in range(candidates - (kept is not None))]
        members = ([kept] if kept else []) + new
        dropped = candidates - 1 if number == 1 and candidates > 2 else None
        made = draw_stages(random, stages, candidates, dropped)
        winner = int(np.argmax(made[-1].weights)) if made else 0
        for member in members:
            size = int(10 ** random.uniform(3, 5.5))  # only the winner's is counted, which takes a while
            score = float(random.uniform(0.7, 0.97)) if scored else None
            seen.setdefault(
                member.key,
                ScoredArchitecture(architecture=member, score=score, parameters=size, macs=400 * size),
            )
        history.append(
            Round(
                candidates=tuple(members),
                keys=tuple(member.key for member in members),
                dropped=() if dropped is None else (members[dropped].key,),
                stages=made,
                winner=winner,
                took_s=2.5,
            )
        )
        kept = members[winner]
    best = kept or draw_architecture(random, nodes)
    cost = cost_of(best, shape, count)
    if best.key in seen:
        seen[best.key] = replace(seen[best.key], parameters=cost.parameters, macs=cost.macs)

    distances = tuple(
        Neighbour(
            atom=f"{'mnist' if number % 2 else 'fashion-mnist'}:is={number}",
            distance=min(1.0, 0.08 + 1.02 * number / max(atoms - 1, 1)),
            shortfall=0.013 * number if number >= atoms - 1 else 0.0,
            weak=number % 4 == 2,
            fingerprint=f"{number:016x}",
        )
        for number in range(atoms)
    )
    wrong = [(int(a), int(b)) for a, b in zip(labels, answers, strict=True) if a != b][:12]
    return Result(
        schema=RESULT_SCHEMA,
        task=TaskRecord(
            name=name,
            classes=classes,
            shape=shape,
            performance="balanced",
            train=6400,
            validation=1600,
            test=test,
            available=48000,
            fingerprint="0123456789abcdef",
            test_fingerprint="fedcba9876543210",
            split_seed=0,
            notes=("12 exact duplicates were kept on one side of the splits.",),
        ),
        architecture=best,
        parameters=cost.parameters,
        macs=cost.macs,
        layers=(
            ("stem", "8×28×28", 88, 56448),
            *((f"stage {n}, cell {c}", "16×14×14", 1200 * n, 99000) for n in (1, 2, 3) for c in (1, 2)),
            ("head", str(count), 33 * count, 32 * count),
        ),
        metrics=Metrics(
            test_error=evaluation.error,
            test_balanced_error=evaluation.balanced_error,
            test_performance=evaluation.performance("balanced"),
            validation_error=0.021,
            validation_balanced_error=0.052,
            validation_performance=0.896,
            constant_error=constant.error,
            constant_balanced_error=constant.balanced_error,
            test_calibration_error=0.034,
        ),
        training=FinalTraining(
            recipe="light",
            tried=(
                RecipeTried(recipe="plain", loss=0.31, performance=0.88),
                RecipeTried(recipe="light", loss=0.25, performance=0.9),
            ),
            judged_on=best.key,
            epochs=15,
            search_images=6400,
            train_images=48000,
            validation_images=1600,
            refit_images=49600,
        ),
        rivals=tuple(
            Rival(
                name=rival,
                settings="as always",
                images=5000,
                test_error=errs.error,
                test_balanced_error=errs.balanced_error,
                took_s=2.0,
            )
            for rival, errs in (("SVM on HOG", svm), ("logistic regression", logistic))
        ),
        confusion=evaluation.confusion,
        mistakes=tuple(
            Mistake(
                truth=classes[truth],
                answer=classes[answer],
                confidence=0.999 - 0.02 * place,
                png=draw_picture(random),
            )
            for place, (truth, answer) in enumerate(wrong)
        ),
        representative=RepresentativeRecord(performance=0.93, epsilon=0.04, weak=True, parameters=421642)
        if atoms
        else None,
        neighbours=distances[:inherited],
        distances=distances,
        space=SpaceRecord(
            base="standard",
            inherit="union",
            operations=OPERATIONS,
            nodes=nodes,
            skeletons=12,
            size=5 * 10**10,
            max_parameters=500_000,
            max_macs=None,
            note="Operations and skeletons of the nearest atoms' best architectures.",
        ),
        strategy="fuse",
        rounds=tuple(history),
        seen=tuple(seen.values()),
        stopped="rounds",
        training_losses=tuple(float(0.5 * 0.75**epoch + 0.02) for epoch in range(15)),
        costs=Costs(
            represent_s=21.4, distance_s=74.0, search_s=301.2, train_s=88.8, rivals_s=14.5, total_s=499.9
        ),
        dictionary=tuple((atom.atom, atom.fingerprint) for atom in distances),
        warnings=("The representative of quickdraw:is=moon reached l = 0.93 and misses 0.96: it is weak.",)
        if atoms
        else (),
        seed=seed,
        config={"strategy": {"candidates": candidates, "rounds": rounds}, "epsilon": 0.04},
        environment={"versions": {"tanas": "0.1.0", "torch": "2.14.1"}, "processor": "x86_64", "threads": 2},
        command=f"tanas search {name} --out moon --seed {seed}",
    )


@pytest.fixture(scope="session")
def moon() -> Result:
    """Two classes, ten known tasks of which three were inherited from, one stage a round."""
    return draw_result()


@pytest.fixture(scope="session")
def alone() -> Result:
    """An empty dictionary."""
    result = draw_result(atoms=0, inherited=0, rounds=2)
    space = replace(result.space, inherit="none", note="The dictionary is empty.")
    return replace(result, space=space)


@pytest.fixture(scope="session")
def digits() -> Result:
    """Ten classes, five stages a round, twelve rounds, a cell of five nodes."""
    return draw_result(tuple("0123456789"), rounds=12, stages=5, nodes=5, name="digits", test=360)


@pytest.fixture(scope="session")
def hundred() -> Result:
    """A hundred classes with long names, forty-five known tasks, nothing scored."""
    names = tuple(f"class number {number} of a hundred" for number in range(100))
    return draw_result(names, atoms=45, scored=False, nodes=2, name="cifar100", test=4000)


@pytest.fixture(scope="session")
def hostile() -> Result:
    """Names that are HTML."""
    result = draw_result(HOSTILE, name='folder:./<b>photos</b> & "more"', rounds=1)
    first, *others = result.distances
    evil = replace(first, atom="npz:</svg><script>1</script>'\"`]+{{x}}:is=a")
    return replace(
        result, distances=(evil, *others), neighbours=(evil,), warnings=("</li><script>2</script>",)
    )
