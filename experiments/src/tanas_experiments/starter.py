"""The starter memory that tanas ships: from which public data it is made, and how it is packed."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import safetensors.torch
from PIL import Image
from torch import Tensor

from tanas.algorithm.presets import SearchConfig, default
from tanas.algorithm.result import Result
from tanas.dictionary.starter import (
    CARDS_FILE,
    CARDS_KIND,
    EXPERIENCE_FILE,
    EXPERIENCE_KIND,
    Card,
    Cards,
    Experience,
)
from tanas.dictionary.store import NETWORK_FILE, WEIGHTS_FILE, AtomFile, Dictionary
from tanas.distances.representative import RepresentativeConfig
from tanas.ground.records import SCHEMA, read_record, write_json
from tanas.tasks.library import Library
from tanas.tasks.quickdraw import category_files
from tanas.tasks.quickdraw_categories import CATEGORIES
from tanas.tasks.spelling import class_word
from tanas_experiments.starter_gain import GainRecord, gain_of_starter
from tanas_experiments.targets import TargetsRecord

FEATURES = 384
"""Of a starter's representative: the default has 1,024, which alone would take 3 MB an atom."""

RECIPE = "mixed"
"""Of the networks that are kept. The competition chose 'plain' (of 52 drawings 'light'). With half of their weights,
the mean error of other targets changed by -1.6 points from clothes (6 targets), -0.4 from digits (4), +0.1 from small
photos (7) and +0.7 from 52 drawings (7). Small photos themselves err 22.0 % in place of 25.0 (n = 1 each, no record).
"""

KEPT_BACK = (
    *("airplane", "banana", "bicycle", "bird", "book", "bowtie", "cat", "diamond", "dog", "eye"),
    *("candle", "door", "lightning", "moon", "mountain", "shoe", "sword", "t-shirt", "telephone"),
)
"""Categories of drawings that targets of experiments have: `apart` is made without them."""


@dataclass(frozen=True, kw_only=True)
class Ingredient:
    """An atom of the starter memory, and the public data that it is made from."""

    label: str
    """The name of its task."""
    source: str
    """As a person types it; {data} stands for the data root, {work} for the folder of work, {drawings} for all
    categories at hand, {apart} for those but `KEPT_BACK`."""
    data: str
    licence: str
    ships: bool = True
    """False: for experiments alone."""


INGREDIENTS = (
    Ingredient(
        label="drawings", source="quickdraw:only={drawings}", data="Quick, Draw!", licence="CC BY 4.0"
    ),
    Ingredient(label="digits", source="mnist", data="MNIST", licence="CC BY-SA 3.0"),
    Ingredient(label="clothes", source="fashion-mnist", data="Fashion-MNIST", licence="MIT"),
    Ingredient(
        label="small photos",
        source="npz:{work}/cifar10.npz",
        data="CIFAR-10, re-encoded as JPEG",
        licence="none stated by its authors",
    ),
    Ingredient(
        label="drawings apart",
        source="quickdraw:only={apart}",
        data="Quick, Draw!",
        licence="CC BY 4.0",
        ships=False,
    ),
)


def starter_settings() -> SearchConfig:
    """The default search, with a smaller representative, one recipe, and nothing that only a user's report needs.

    One recipe, because the competition of recipes is for the task itself, and these networks are for others.
    """
    return replace(
        default(),
        representative=RepresentativeConfig(features=FEATURES),
        recipes=(RECIPE,),
        warm_weights=False,
        refit=False,
        rivals=False,
        outlook=False,
    )


def typed_source(ingredient: Ingredient, library: Library, work: Path) -> str:
    """The name of an ingredient's task as it is typed on this machine; makes the file that it needs."""
    data = Path(library.reading.data)
    name = ingredient.source.replace("{data}", str(data)).replace("{work}", str(work))
    if "{work}/cifar10.npz" in ingredient.source and not (work / "cifar10.npz").exists():
        _decode_cifar(data / "cifar10_jpeg.npz", work / "cifar10.npz")
    if "{drawings}" in name or "{apart}" in name:
        here = _categories_here(data)
        name = name.replace("{drawings}", ",".join(here))
        name = name.replace("{apart}", ",".join(one for one in here if one not in KEPT_BACK))
    return name


def _categories_here(data: Path) -> list[str]:
    here = category_files(data)
    return [name for name in CATEGORIES if class_word(name) in here]


def _decode_cifar(jpeg: Path, place: Path) -> None:
    """CIFAR-10 from one array of JPEG bytes, as a file that tanas reads: x, y, test, classes."""
    with np.load(jpeg, allow_pickle=False) as file:
        content, start = file["jpg"], file["start"]
        pictures = [
            np.asarray(Image.open(io.BytesIO(content[begin:end].tobytes()))) for begin, end in pairwise(start)
        ]
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f"part-{place.name}")
        np.savez(part, x=np.stack(pictures), y=file["y"], test=file["test"], classes=file["classes"])
        part.replace(place)


def packed_atom(memory: Dictionary, target: Path) -> str:
    """Copy the only atom of a memory into another folder of atoms, its weights as float16; return the hash.

    The hash is that of the file with the network.
    """
    (folder,) = (memory.folder / "atoms").glob("[!.]*")
    place = target / "atoms" / folder.name
    place.mkdir(parents=True)
    hashes = {}
    for name in (WEIGHTS_FILE, NETWORK_FILE):
        tensors = safetensors.torch.load((folder / name).read_bytes())
        content = safetensors.torch.save({key: _halved(value) for key, value in tensors.items()})
        (place / name).write_bytes(content)
        hashes[name] = hashlib.sha256(content).hexdigest()
    file = read_record(AtomFile, folder / "atom.json")
    packed = replace(file, weights_sha256=hashes[WEIGHTS_FILE], kept_sha256=hashes[NETWORK_FILE])
    write_json(place / "atom.json", packed)
    return hashes[NETWORK_FILE]


def _halved(value: Tensor) -> Tensor:
    return value.half() if value.is_floating_point() else value


def card_of(ingredient: Ingredient, result: Result, network_sha256: str) -> Card:
    """What a starter atom is, for people."""
    return Card(
        name=ingredient.label,
        data=ingredient.data,
        licence=ingredient.licence,
        classes=len(result.task.classes),
        images=result.task.available,
        shape=result.task.shape,
        architecture=result.architecture.key,
        parameters=result.parameters,
        recipe=result.training.recipe,
        test_error=result.metrics.test_error,
        network_sha256=network_sha256,
    )


def write_experience(records: Path, target: Path) -> None:
    """What the laboratory's records say of searches and of known weights, as the advice of a search needs it."""
    searches = read_record(TargetsRecord, records / "targets.json").rows
    gain = gain_of_starter(read_record(GainRecord, records / "starter-gain.json"))
    assert gain.low is not None and gain.high is not None
    experience = Experience(
        kind=EXPERIENCE_KIND,
        schema=SCHEMA,
        searches=len(searches),
        better=sum(not row.reference_taken for row in searches),
        share=round(
            sum(row.took_s["search"] for row in searches) / sum(row.took_s["total"] for row in searches), 3
        ),
        tasks=gain.n,
        points=round(100 * gain.mean, 2),
        low=round(100 * gain.low, 2),
        high=round(100 * gain.high, 2),
    )
    write_json(target / EXPERIENCE_FILE, experience)


def write_cards(cards: list[Card], target: Path) -> None:
    """The cards of a starter memory, sorted by name."""
    ordered = tuple(sorted(cards, key=lambda card: card.name))
    write_json(target / CARDS_FILE, Cards(kind=CARDS_KIND, schema=SCHEMA, cards=ordered))
