"""The engine of this machine: jobs side by side in worker processes.

However many workers there are, a job has one thread of torch and the numeric libraries. Sums are then added in the same
order, and results are the same to the bit.
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import BinaryIO, Self, cast

from tanas.ground.errors import SettingError, TanasError, check_range
from tanas.ground.events import Event, Listener, ignore
from tanas.ground.executor import Answer, Parameters

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Read by torch and the numeric libraries when they start."""

ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
"""Read by glibc when it starts: all threads share one heap, so one thread reuses what another freed. Candidates are
trained in threads of their own: a worker that learns an atom peaked at 1.25 GB instead of 1.6, in the same time."""

EXIT_GRACE_S = 5.0
"""Seconds that a worker has to end before it is killed."""


class WorkerError(TanasError, RuntimeError):
    """A worker process ended in the middle of a job, or could not take or answer a job."""

    exit_status = 1


class LocalEngine:
    """Runs jobs in worker processes of this machine.

    A worker is a fresh Python that imports only what a job names, never the program that was started. So scripts need
    no `if __name__ == "__main__"`, and notebooks and `python -c` work too. In turn a job's function and arguments must
    come from importable modules. A worker starts with its first job (importing torch takes seconds) and stays. Ctrl-C
    does not reach workers: the calling process decides. If that process dies, they end at once.

    Use it in a `with` block. Its end waits for all jobs. After an error or an interrupt, waiting jobs are cancelled and
    workers end at once.

    Args:
        workers: most processes at a time, at least 1.
    """

    def __init__(self, workers: int) -> None:
        check_range(workers, "workers", "LocalEngine", low=1)
        # a thread feeds one process: it hands over a job, waits for the answer, and sees the process die
        self._feeders = ThreadPoolExecutor(workers, thread_name_prefix="tanas-feeder")
        self._own = threading.local()
        self._workers: list[_Worker] = []
        self._lock = threading.Lock()
        self._telling = threading.Lock()
        self._closed = False

    def submit(
        self, function: Callable[Parameters, Answer], /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Future[Answer]:
        """Queue a job.

        The future raises the error of the job, or `WorkerError` if its worker died; later jobs get a new worker.
        Arguments are copied to the worker when it takes the job.

        Raises:
            SettingError: a worker can't import the function: it stands in `__main__`, or is a lambda or local.
        """
        name = getattr(function, "__qualname__", "")
        if getattr(function, "__module__", None) == "__main__" or "<" in name:
            raise SettingError(
                f"The 'function' of a job must be a module's own: workers import it. Got {name} instead. "
                "Put it into a module."
            )
        return self._feeders.submit(self._run, None, function, args, kwargs)

    def submit_heard(
        self, listener: Listener, function: Callable[..., Answer], /, *args: object
    ) -> Future[Answer]:
        """Queue a job that tells what happens: it is called with a keyword `listener` of its own.

        Args:
            listener: hears each event of the job in this process, one at a time.
            function: see `submit`.
            args: its other arguments.
        """
        return self._feeders.submit(self._run, listener, function, args, {})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        at_once = kind is not None
        try:
            self._feeders.shutdown(wait=not at_once, cancel_futures=at_once)
        except BaseException:  # an interrupt while waiting: the workers must not outlive it
            at_once = True
            raise
        finally:
            with self._lock:
                self._closed = True
                workers = tuple(self._workers)
            for worker in workers:
                worker.end(at_once=at_once)
            self._feeders.shutdown(wait=True, cancel_futures=True)

    def _run(
        self,
        listener: Listener | None,
        function: Callable[..., Answer],
        args: tuple[object, ...],
        kwargs: dict[str, object],
    ) -> Answer:
        """Run a job in this thread's worker."""
        try:
            job = pickle.dumps((function, args, kwargs, listener is not None), pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            raise WorkerError(f"The job {_name(function)} can't be sent to a worker: {error}.") from error
        worker: _Worker | None = getattr(self._own, "worker", None)
        if worker is None or not worker.alive():
            worker = self._own.worker = self._start()

        def told(event: Event) -> None:
            with self._telling:
                (listener or ignore)(event)

        good, answer = worker.ask(job, _name(function), told)
        if good:
            return cast(Answer, answer)
        raise cast(Exception, answer)

    def _start(self) -> _Worker:
        with self._lock:
            if self._closed:
                raise WorkerError("The engine was shut down before the job began.")
            worker = _Worker()
            self._workers.append(worker)
        return worker


class _Worker:
    """One process and the pipes to it. Pickled bytes go both ways."""

    def __init__(self) -> None:
        code = f"import sys; sys.path[:] = {sys.path!r}; from tanas.engines.local import serve; serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**ONE_ARENA, **os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")},
            start_new_session=True,  # Ctrl-C in the terminal goes to the calling process only
        )
        self._jobs = cast(BinaryIO, self._process.stdin)
        self._answers = cast(BinaryIO, self._process.stdout)
        self._cut_off = False

    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, job: bytes, name: str, listener: Listener) -> tuple[bool, object]:
        """Whether the job went well, and its answer or its error; events on the way go to the listener."""
        try:
            pickle.dump(job, self._jobs)
            self._jobs.flush()
        except (OSError, ValueError) as error:
            raise self._died(name) from error
        while isinstance(answer := self._next(name), Event):
            try:
                listener(answer)
            except BaseException:
                self._process.kill()  # in the middle of a job, it can take no other
                raise
        good, content, trace = cast(tuple[bool, bytes, str], answer)
        value: object = pickle.loads(content)
        if isinstance(value, BaseException) and trace:
            value.add_note(f"In a worker process:\n{trace}")
        return good, value

    def _next(self, name: str) -> object:
        try:
            return pickle.load(self._answers)
        except (OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
            raise self._died(name) from error

    def _died(self, name: str) -> WorkerError:
        if self._cut_off:
            return WorkerError(f"The job {name} was cut off: the engine was shut down.")
        return WorkerError(f"The job {name} did not end: {self._cause_of_death()}")

    def end(self, *, at_once: bool) -> None:
        self._cut_off = True
        if at_once:
            self._process.kill()
        try:
            self._jobs.close()  # the worker notices and ends
        except OSError:  # nobody reads what was still to be written
            self._process.kill()
        try:
            self._process.wait(EXIT_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()

    def _cause_of_death(self) -> str:
        try:
            status = self._process.wait(EXIT_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return "its worker process sent something other than an answer, and was ended."
        if status == -9:
            return "its worker process was killed (signal 9). Most often memory ran out: take fewer workers."
        if status < 0:
            return f"its worker process died of signal {-status}."
        return f"its worker process ended with status {status}; its output stands above."


def serve() -> None:
    """Do jobs from stdin until it closes: the body of a worker process."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a job prints must not get between the answers
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_jobs, args=(sys.stdin.buffer, jobs), daemon=True).start()

    def tell(event: Event) -> None:
        pickle.dump(event, answers)
        answers.flush()

    while True:
        pickle.dump(_answer(jobs.get(), tell), answers)
        answers.flush()


def _read_jobs(pipe: BinaryIO, jobs: queue.SimpleQueue[bytes]) -> None:
    """Pass jobs on; end the process, even in the middle of a job, when the caller closes the pipe or dies."""
    try:
        while True:
            jobs.put(pickle.load(pipe))
    except (EOFError, OSError, pickle.UnpicklingError):
        os._exit(0)


def _answer(job: bytes, listener: Listener) -> tuple[bool, bytes, str]:
    """(went well, pickled answer or error, traceback) of a job."""
    try:
        function, args, kwargs, heard = pickle.loads(job)
    except Exception as error:
        failure = WorkerError(
            f"A worker can't read its job: {error}. Its function and arguments must come from importable modules, "
            "not from the program that was started."
        )
        return False, pickle.dumps(failure), ""
    try:
        value = function(*args, **kwargs, **({"listener": listener} if heard else {}))
    except BaseException as error:
        return False, _pickled_error(error, function), traceback.format_exc()
    try:
        return True, pickle.dumps(value, pickle.HIGHEST_PROTOCOL), ""
    except Exception as error:
        failure = WorkerError(f"The answer of the job {_name(function)} can't be sent back: {error}.")
        return False, pickle.dumps(failure), ""


def _pickled_error(error: BaseException, function: Callable[..., object]) -> bytes:
    """The error as it is if it survives pickling, else a `WorkerError` that says the same."""
    try:
        content = pickle.dumps(error)
        if isinstance(pickle.loads(content), Exception):
            return content
    except Exception as reason:
        # errors with constructors of their own often do not survive pickling; their text does
        text = f"{type(error).__name__}: {error} (not passed on as it is: {reason})"
        return pickle.dumps(WorkerError(f"The job {_name(function)} failed: {text}"))
    return pickle.dumps(WorkerError(f"The job {_name(function)} was left by {error!r}."))


@contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """Let torch and the numeric libraries use that many threads (at least 1); restore the number afterwards."""
    import torch  # imported here: an engine of workers needs no torch in the calling process
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(limits=threads):
            yield
    finally:
        torch.set_num_threads(before)


def _name(function: object) -> str:
    return str(getattr(function, "__qualname__", repr(function)))
