"""Trainings side by side, in threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

from tanas.ground.events import Event, Listener
from tanas.networks.training import AbandonedError

Answer = TypeVar("Answer")


def in_threads(
    jobs: Sequence[Callable[[Listener], Answer]],
    workers: int,
    listener: Listener,
    *,
    threads: int | None = None,
    give_up: Callable[[], None] = lambda: None,
) -> list[Answer]:
    """Answers of jobs, in their order, as many at a time as there are workers.

    Small networks gain little from a second thread of torch, and two of them side by side much. Each job computes
    with the same number of threads, so that answers do not depend on the workers.

    Args:
        jobs: are called with a listener that can be told from any thread.
        workers: at least 1.
        listener: is told what the jobs tell, one event at a time.
        threads: of torch within a job; None: as many as in the calling thread.
        give_up: is called when a job failed, or at an interrupt, so that the others end soon. Those that go on end with
            an `AbandonedError` when they tell their next event.

    Raises:
        Exception: what one of the jobs raised.
    """
    lock, abandoned = threading.Lock(), threading.Event()

    def told(event: Event) -> None:
        if abandoned.is_set():
            raise AbandonedError
        with lock:  # a listener need not bear several threads
            listener(event)

    def run(job: Callable[[Listener], Answer]) -> Answer:
        if abandoned.is_set():
            raise AbandonedError
        return job(told)

    before = torch.get_num_threads()
    torch.set_num_threads(before if threads is None else threads)
    try:
        # trainings seed torch's global generator for themselves; side by side they can't put it back in order
        with torch.random.fork_rng(devices=[]), ThreadPoolExecutor(workers) as pool:
            try:
                running = [pool.submit(run, job) for job in jobs]
                for future in wait(running, return_when=FIRST_EXCEPTION).done:
                    future.result()  # raises what one of them raised, while others are still at work
                return [future.result() for future in running]
            except BaseException:
                abandoned.set()  # neither Ctrl-C nor an error waits for trainings to end
                give_up()
                raise
    finally:
        torch.set_num_threads(before)
