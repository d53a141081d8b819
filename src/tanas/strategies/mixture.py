"""The relaxed space of FUSE: candidates whose outputs are mixed by softmax(alpha) (section 3.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

from tanas.ground.context import Context
from tanas.ground.errors import SearchError
from tanas.networks.architecture import Architecture, build
from tanas.networks.scoring import Judgement, judgement_of
from tanas.networks.training import EVALUATION_BATCH, logits_of
from tanas.tasks.task import Task


@contextmanager
def side_by_side(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Compute candidates in so many threads at a time, each with one thread of torch.

    Small networks gain little from a second thread of torch, and the sums do not depend on the number of workers.
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
        self, candidates: Sequence[Architecture], task: Task, at: Context, *, step: str = "w"
    ) -> None:
        """Build the candidates' networks, all freshly initialised.

        Args:
            candidates: architectures, at least one.
            task: gives the shape, the classes and the pixels' mean and deviation.
            at: seed of the initial weights, device, workers and listener.
            step: name of the training, for the listener.
        """
        self.candidates, self.step = tuple(candidates), step
        self.networks = [
            build(c, task.shape, len(task.classes), at.seed.child("weights", i)).to(at.device)
            for i, c in enumerate(candidates)
        ]
        first, *others = self.networks
        first.norm.fit(task.train.parts(EVALUATION_BATCH))
        for network in others:
            network.norm.load_state_dict(first.norm.state_dict())
        self.alpha = torch.full((len(candidates),), 1 / len(candidates), dtype=torch.float64)  # section 3.3
        self.dropped: set[int] = set()
        self.images_seen = [0] * len(candidates)
        """Training images of each candidate so far; an image counts once an epoch."""
        self.device, self.workers = at.device, at.workers
        self._warn = at.warn
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
        """Return softmax(alpha) drawn towards equal weights, (candidates,) float64; dropped ones have 0.

        `floor` is the least weight of a candidate as a share of 1/|C|: 0 leaves softmax(alpha), 1 gives equal weights.
        """
        even = torch.zeros_like(self.alpha)
        even[self.active] = 1 / len(self.active)
        return floor * even + (1 - floor) * self.weights

    @property
    def best(self) -> int:
        """Arg max alpha over the active candidates; the first of equal ones."""
        return int(self.weights.argmax())

    def descend(
        self,
        pixels: Tensor,
        labels: Tensor,
        pool: ThreadPoolExecutor,
        *,
        floor: float = 0.0,
        own_loss: float = 0.0,
    ) -> float:
        """Add the gradients of the loss to w, candidates side by side, and return the mixture's loss in nats.

        The loss needs all candidates' outputs, but each candidate's own backward pass only its output's gradient.

        Args:
            pixels: (batch, channels, h, w) in [0, 1].
            labels: (batch,).
            pool: of `side_by_side`.
            floor: see `shares`.
            own_loss: weight of the sum of the candidates' own cross-entropies, which is added to the mixture's.
        """
        self._answers = {}
        active = self.active
        for i in active:
            self.images_seen[i] += len(labels)
        outputs = dict(zip(active, pool.map(lambda i: self.networks[i](pixels), active), strict=True))
        self._drop_unless_finite(outputs)
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
        """Return the finite logits of the active candidates on the validation images: (active, samples, classes)."""
        active = self.active
        with side_by_side(self.workers) as pool:
            answers = pool.map(
                lambda i: logits_of(self.networks[i], task.validation, device=self.device), active
            )
            logits = dict(zip(active, answers, strict=True))
        self._drop_unless_finite(logits)
        self._answers = {i: logits[i] for i in self.active}
        return torch.stack(list(self._answers.values()))

    def judgements(self, task: Task) -> tuple[Judgement | None, ...]:
        """Judge each candidate on its own by the validation images; None: it was dropped."""
        if not self._answers:
            self.validation_logits(task)
        answers = [self._answers.get(i) for i in range(len(self.networks))]
        return tuple(None if logits is None else judgement_of(logits, task) for logits in answers)

    def _drop_unless_finite(self, outputs: dict[int, Tensor]) -> None:
        for i, values in outputs.items():
            if not torch.isfinite(values).all():
                self.drop(i)

    def drop(self, position: int) -> None:
        """Leave a candidate out from now on.

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
        self._warn(f"The candidate {name} gave logits that are not finite and was left out.")


def mixture_loss(alpha: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy in nats of logits (candidates, samples, classes) mixed by softmax(alpha), (candidates,)."""
    return functional.cross_entropy(torch.einsum("c,csk->sk", alpha.softmax(0), logits), labels)
