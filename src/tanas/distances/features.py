"""Features that were computed once and are kept while memory lasts."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from torch import Tensor

from tanas.distances.representative import Representative
from tanas.errors import check_range
from tanas.tasks.task import Split


def images_hash(split: Split) -> str:
    """A hash over the pixels of a split's images in their order; labels are left out."""
    images = split.images[split.rows].contiguous().numpy()
    total = hashlib.sha256(repr(images.shape).encode())
    total.update(images.data)
    return total.hexdigest()


class FeatureCache:
    """Features by representative and images: tasks over the same images share them.

    A matrix of ten tasks of two data sets asks for each feature five times. The longest unused go first
    when there are more than `most_bytes`.
    """

    def __init__(self, most_bytes: int = 2**29) -> None:
        check_range(most_bytes, "most_bytes", "FeatureCache", low=0)
        self._most_bytes = most_bytes
        self._features: OrderedDict[tuple[str, str], Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._features)

    def features(self, representative: Representative, split: Split) -> Tensor:
        """What `representative.features(split)` gives, (samples, features); not to be written to."""
        key = (representative.key, images_hash(split))
        if key not in self._features:
            self._features[key] = representative.features(split)
        self._features.move_to_end(key)
        found = self._features[key]
        while sum(kept.nbytes for kept in self._features.values()) > self._most_bytes:
            self._features.popitem(last=False)
        return found
