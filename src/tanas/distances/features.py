"""Features, and what else comes of images and a network, computed once and kept while memory lasts."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor

from tanas.distances.fisher import fisher_information
from tanas.distances.representative import Representative
from tanas.ground.errors import check_range
from tanas.tasks.task import Split


def images_hash(split: Split) -> str:
    """A hash over the pixels of a split's images in their order; labels are left out."""
    images = split.images[split.rows].contiguous().numpy()
    total = hashlib.sha256(repr(images.shape).encode())
    total.update(images.data)
    return total.hexdigest()


class FeatureCache:
    """Features and Fisher informations by representative and images: whatever asks for the same gets the same.

    A target's own are asked for by each of its sources, and several methods ask for those of one pair. Two tasks share
    them only if they have the same images: under a limit of images they don't, as each is drawn by its own classes.
    The longest unused go first when there are more than `most_bytes`.
    """

    def __init__(self, most_bytes: int = 2**29) -> None:
        check_range(most_bytes, "most_bytes", "FeatureCache", low=0)
        self._most_bytes = most_bytes
        self._kept: OrderedDict[tuple[str, str, str], Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def features(self, representative: Representative, split: Split) -> Tensor:
        """What `representative.features(split)` gives, (samples, features); not to be written to."""
        return self._once("features", representative, split, representative.features)

    def fisher(self, representative: Representative, split: Split) -> Tensor:
        """What `fisher_information(representative, split)` gives, (weights,); not to be written to."""
        return self._once(
            "fisher", representative, split, lambda images: fisher_information(representative, images)
        )

    def _once(
        self, what: str, representative: Representative, split: Split, compute: Callable[[Split], Tensor]
    ) -> Tensor:
        key = (what, representative.key, images_hash(split))
        if key not in self._kept:
            self._kept[key] = compute(split)
        self._kept.move_to_end(key)
        found = self._kept[key]
        while sum(kept.nbytes for kept in self._kept.values()) > self._most_bytes:
            self._kept.popitem(last=False)
        return found
