"""The relaxed space of FUSE: candidates whose outputs are mixed by softmax(alpha) (section 3.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError, SearchError
from tanas.ground.events import Warned
from tanas.networks.architecture import Architecture, build
from tanas.networks.scoring import Judgement, judgement_of
from tanas.networks.training import logits_of
from tanas.tasks.task import Task


@contextmanager
def side_by_side(workers: int) -> Iterator[ThreadPoolExecutor]:
    """A thread a candidate, so many of them at a time; each computes with one thread of torch.

    Small networks gain little from a second thread, and two of them side by side much; and as every
    candidate is computed with one thread, the sums are the same whatever the number of workers.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(workers) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


class Mixture:
    """c-bar: the candidates' logits weighted by softmax(alpha).

    A candidate whose logits stop being finite is dropped with a warning; its weight is 0 from then on.
    """

    def __init__(
        self,
        candidates: Sequence[Architecture],
        task: Task,
        at: Context,
    ) -> None:
        """Builds the candidates' networks, all freshly initialised.

        Args:
            candidates: architectures, at least one.
            task: gives the shape, the classes and the pixels' mean and deviation.
            at: its seed is that of the initial weights; as many candidates as it has workers are computed side by side.
        """
        self.candidates = tuple(candidates)
        self.networks = [
            build(c, task.shape, len(task.classes), at.seed.child("weights", i)).to(at.device)
            for i, c in enumerate(candidates)
        ]
        pixels = task.train.pixels()
        for network in self.networks:
            network.norm.fit(pixels)
        self.alpha = torch.full((len(candidates),), 1 / len(candidates), dtype=torch.float64)  # section 3.3
        self.dropped: set[int] = set()
        self.images_seen = [0] * len(candidates)
        """Training images of each candidate so far; an image counts once an epoch."""
        self.device, self.workers = at.device, at.workers
        self._tell = at.tell
        self._answers: dict[int, Tensor] = {}  # validation logits by position, as long as w stands still

    @property
    def active(self) -> list[int]:
        """Positions of the candidates that were not dropped."""
        return [i for i in range(len(self.networks)) if i not in self.dropped]

    @property
    def weights(self) -> Tensor:
        """softmax(alpha) over the active candidates, 0 for dropped ones: (candidates,) float64."""
        alpha = self.alpha.clone()
        alpha[sorted(self.dropped)] = -torch.inf
        return alpha.softmax(dim=0)

    def shares(self, floor: float) -> Tensor:
        """softmax(alpha) drawn towards equal weights, (candidates,) float64; dropped ones have 0.

        Args:
            floor: least weight of a candidate as a share of 1/|C|: 0 leaves softmax(alpha), 1 gives equal weights.
        """
        even = torch.zeros_like(self.alpha)
        even[self.active] = 1 / len(self.active)
        return floor * even + (1 - floor) * self.weights

    @property
    def best(self) -> int:
        """Arg max alpha over the active candidates; the first of equal ones."""
        return int(self.weights.argmax())

    def parameters(self) -> list[nn.Parameter]:
        """w: the weights of all candidates."""
        return [p for network in self.networks for p in network.parameters()]

    def side_by_side(self) -> AbstractContextManager[ThreadPoolExecutor]:
        """A thread a candidate, `workers` of them at a time."""
        return side_by_side(self.workers)

    def descend(
        self,
        pixels: Tensor,
        labels: Tensor,
        pool: ThreadPoolExecutor,
        *,
        floor: float = 0.0,
        own_loss: float = 0.0,
    ) -> float:
        """Adds the gradients of the loss to w, candidates side by side; gives the mixture's loss, in nats.

        The loss needs all candidates' outputs, but each candidate's own backward pass only its output's gradient.

        Args:
            pixels: (batch, channels, h, w) in [0, 1].
            labels: (batch,).
            pool: of `side_by_side`.
            floor: least weight of a candidate in the mixture, as a share of 1/|C|; see `shares`.
            own_loss: weight of the sum of the candidates' own cross-entropies, which is added to the mixture's.
        """
        self._answers = {}
        active = self.active
        for i in active:
            self.images_seen[i] += len(labels)
        outputs = dict(zip(active, pool.map(lambda i: self.networks[i](pixels), active), strict=True))
        for i in active:
            if not torch.isfinite(outputs[i]).all():
                self.drop(i)
        active = self.active
        weights = self.shares(floor).to(pixels.device, torch.float32)
        leaves = {i: outputs[i].detach().requires_grad_(True) for i in active}
        mixed = torch.stack([weights[i] * leaves[i] for i in active]).sum(dim=0)  # (batch, classes)
        loss = functional.cross_entropy(mixed, labels)
        whole = loss
        if own_loss:
            whole = loss + own_loss * sum(functional.cross_entropy(leaves[i], labels) for i in active)
        whole.backward()  # type: ignore[no-untyped-call]
        list(pool.map(lambda i: outputs[i].backward(leaves[i].grad), active))
        return loss.item()

    def validation_logits(self, task: Task) -> Tensor:
        """Every active candidate's logits on the validation images: (active, samples, classes)."""
        active = self.active
        with self.side_by_side() as pool:
            answers = pool.map(
                lambda i: logits_of(self.networks[i], task.validation, device=self.device), active
            )
            logits = dict(zip(active, answers, strict=True))
        for i, values in logits.items():
            if not torch.isfinite(values).all():
                self.drop(i)
        self._answers = {i: logits[i] for i in self.active}
        return torch.stack([logits[i] for i in self.active])

    def judgements(self, task: Task) -> tuple[Judgement | None, ...]:
        """How well each candidate does on its own on the validation images; None: it was dropped.

        What it answered last is used if its weights have stood still since.
        """
        if not self._answers:
            self.validation_logits(task)
        return tuple(
            judgement_of(self._answers[i], task) if i in self._answers else None
            for i in range(len(self.networks))
        )

    def drop(self, position: int) -> None:
        """Leaves a candidate out from now on.

        Raises:
            SearchError: it was the last one.
        """
        self.dropped.add(position)
        name = self.candidates[position].key
        if not self.active:
            raise SearchError(
                f"All {len(self.networks)} candidates of a round gave logits that are not finite, {name} last. "
                "Lower the learning rate of the search."
            )
        self._tell(Warned(message=f"The candidate {name} gave logits that are not finite and was left out."))


def mixture_loss(alpha: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the mixed outputs, a scalar in nats.

    Args:
        alpha: (candidates,).
        logits: (candidates, samples, classes).
        labels: (samples,).
    """
    return functional.cross_entropy(torch.einsum("c,csk->sk", alpha.softmax(0), logits), labels)


def check_finite(logits: Tensor) -> None:
    """Refuses logits that are not finite, (candidates, samples, classes).

    Raises:
        NonFiniteError: the message names the first such candidate.
    """
    bad = torch.nonzero(~torch.isfinite(logits).flatten(1).all(dim=1)).flatten()
    if len(bad):
        raise NonFiniteError(f"The logits of candidate {int(bad[0])} are not finite. Leave it out.")
