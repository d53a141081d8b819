"""1 - CKA: how unlike the two networks' features of the same images are, whatever the labels."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from tanas.distances.base import Distance, Measurement, Pair
from tanas.distances.from_score import placed_by_fit_rows
from tanas.distances.intervals import IntervalConfig
from tanas.ground.seeds import Seed


@dataclass(frozen=True)
class CkaDistance(Distance):
    """1 - linear CKA of N_A(X_B) and N_B(X_B) on the fit rows; symmetric in the two networks.

    0 where one is the other turned and scaled. It asks only whether features vary alike, not whether B's classes
    can be told from them. The interval is made of draws of the fit rows.

    Source: Kornblith et al., Similarity of Neural Network Representations Revisited, ICML 2019.
    """

    intervals: IntervalConfig | None = None

    name = "cka"

    def measured(self, pair: Pair, seed: Seed, beyond: float | None) -> Measurement:
        # products of rows with rows: a draw of rows then needs no product of features
        centred = [features - features.mean(dim=0) for features in (pair.source_fit, pair.target_fit)]
        source, target = (rows @ rows.T for rows in centred)  # (fit images, fit images)

        def order(rows: Tensor) -> float:
            return 1 - alignment(source[rows][:, rows], target[rows][:, rows])

        return placed_by_fit_rows(pair, order, self.intervals)


def alignment(first: Tensor, second: Tensor) -> float:
    """Linear CKA from two Gram matrices over the same rows, (samples, samples) each; in [0, 1].

    Features that do not vary share nothing with others: 0.
    """
    one, other = _centred(first), _centred(second)
    norms = float(one.norm()) * float(other.norm())
    return min(max(float((one * other).sum()) / norms, 0.0), 1.0) if norms > 0 else 0.0


def _centred(gram: Tensor) -> Tensor:
    """The Gram matrix of the same features less their mean over the rows."""
    means = gram.double().mean(dim=0)  # (samples,)
    return gram - means.float() - means.float()[:, None] + means.mean().float()
