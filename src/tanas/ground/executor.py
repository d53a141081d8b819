"""What an algorithm needs of an engine: something to give a job to. Engines stand in `tanas.engines`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import ParamSpec, Protocol, TypeVar

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")


class Executor(Protocol):
    """Takes jobs, as executors of `concurrent.futures` do."""

    def submit(
        self, function: Callable[Parameters, Answer], /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Future[Answer]:
        """Starts a job, or keeps it until a worker is free.

        Args:
            function: a module's own (no lambda): it may run in another process.
            args: what it is called with; unchanged until the job is done.
            kwargs: the same.
        """


class InThisProcess:
    """Runs each job at once, where it is called: for small jobs, and where a debugger should follow."""

    def submit(
        self, function: Callable[Parameters, Answer], /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Future[Answer]:
        """Runs the job; the future is done. Its error is raised by `result()`, an interrupt at once."""
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
    """Answers of a function for many arguments, in the order of the arguments whoever ends first.

    Args:
        executor: where the jobs run.
        function: is called once a job.
        jobs: its arguments, a tuple a job.
        advanced: is told how many jobs are done each time that one ends, in the calling thread.

    Raises:
        Exception: what a job raised, of those that have ended the first in order; jobs that had not begun
            are cancelled.
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
            elif advanced is not None:  # an engine that runs jobs as they come
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
