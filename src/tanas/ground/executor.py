"""What an algorithm needs of an engine: something to give a job to. `tanas.engines` has one of worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import ParamSpec, Protocol, TypeVar

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")


class Executor(Protocol):
    """Takes jobs, like executors of `concurrent.futures`."""

    def submit(
        self, function: Callable[Parameters, Answer], /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Future[Answer]:
        """Start a job, or keep it until a worker is free.

        Args:
            function: importable from a module (no lambda): it may run in another process.
            args: unchanged until the job is done.
            kwargs: unchanged until the job is done.
        """


class InThisProcess:
    """Runs each job at once in the calling process: for small jobs, and where a debugger should follow."""

    def submit(
        self, function: Callable[Parameters, Answer], /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Future[Answer]:
        """The future is done and raises the job's error from `result()`; an interrupt is raised at once."""
        future: Future[Answer] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(function(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def map_in_order(
    executor: Executor,
    function: Callable[..., Answer],
    jobs: Iterable[tuple[object, ...]],
    *,
    advanced: Callable[[int], None] | None = None,
) -> list[Answer]:
    """Answers of a function for many arguments, in the order of the arguments.

    Args:
        executor: where the jobs run.
        function: called once a job.
        jobs: a tuple of arguments for each job.
        advanced: called with the number of jobs done each time that a job ends, in the calling thread.

    Raises:
        Exception: the error of a job, the first in order of those that have ended. Waiting jobs are cancelled.
    """
    futures: list[Future[Answer]] = []
    waiting: set[Future[Answer]] = set()
    try:
        for arguments in jobs:
            future = executor.submit(function, *arguments)
            futures.append(future)
            if not future.done():
                waiting.add(future)
            elif future.exception():
                break
            elif advanced is not None:  # the job ran at once
                advanced(len(futures) - len(waiting))
        while waiting and not any(future.done() and future.exception() for future in futures):
            _, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            if advanced is not None:
                advanced(len(futures) - len(waiting))
        for future in futures:
            if future.done():
                future.result()  # raises if it failed
        return [future.result() for future in futures]
    finally:
        for future in futures:
            future.cancel()
