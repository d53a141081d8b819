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

    A small network gains little from a second thread of torch, but two networks side by side gain much. Every job has
    the same number of threads, so answers do not depend on the workers.

    Args:
        jobs: called with a listener that any thread may tell.
        workers: at least 1.
        listener: hears the events of the jobs, one at a time.
        threads: of torch within a job; None: those of the calling thread.
        give_up: called at an interrupt, or when a job fails, to end the other jobs soon. A job that goes on ends at its
            next event, with an `AbandonedError`.

    Raises:
        Exception: the error of one of the jobs.
    """
    lock, abandoned = threading.Lock(), threading.Event()

    def told(event: Event) -> None:
        if abandoned.is_set():
            raise AbandonedError
        with lock:
            listener(event)

    def run(job: Callable[[Listener], Answer]) -> Answer:
        if abandoned.is_set():
            raise AbandonedError
        return job(told)

    before = torch.get_num_threads()
    torch.set_num_threads(before if threads is None else threads)
    try:
        # trainings seed torch's global generator; side by side they can't restore it
        with torch.random.fork_rng(devices=[]), ThreadPoolExecutor(workers) as pool:
            try:
                running = [pool.submit(run, job) for job in jobs]
                for future in wait(running, return_when=FIRST_EXCEPTION).done:
                    future.result()  # raises the error of a job while others are still at work
                return [future.result() for future in running]
            except BaseException:
                abandoned.set()  # neither Ctrl-C nor an error waits for trainings to end
                give_up()
                raise
    finally:
        torch.set_num_threads(before)
