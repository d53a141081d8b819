import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from tanas.engines.local import LocalEngine, WorkerError, limited_threads
from tanas.ground.errors import SettingError
from tanas.ground.executor import InThisProcess, map_in_order


class AwkwardError(Exception):
    """Pickles, but does not come back from it."""

    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def raise_awkward_error():
    raise AwkwardError("bread", "butter")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def leave():
    sys.exit(3)


def print_something():
    print("a job may print", flush=True)
    return os.getpid()


def train_a_little(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(512, 300, generator=generator)
    w = torch.zeros(300, 40, requires_grad=True)
    for _ in range(5):
        (gradient,) = torch.autograd.grad((x @ w - x[:, :40]).square().mean(), w)
        w = (w - 0.1 * gradient).detach().requires_grad_()
    return w.detach().sum().item(), torch.get_num_threads()


def touch_then_sleep(folder, name):
    (folder / name).touch()
    time.sleep(60)


@pytest.fixture(scope="module")
def engine():
    with LocalEngine(2) as engine:
        yield engine


class TestLocalEngine:
    def test_gives_answers_in_the_order_of_the_jobs(self, engine):
        told = []
        answers = map_in_order(engine, math.factorial, [(n,) for n in range(20)], advanced=told.append)
        assert answers == [math.factorial(n) for n in range(20)]
        assert told == sorted(told)
        assert told[-1] == 20

    def test_gives_the_same_bits_as_this_process_with_as_many_threads(self, engine):
        with limited_threads(1):
            here = map_in_order(InThisProcess(), train_a_little, [(1,), (2,)])
        assert map_in_order(engine, train_a_little, [(1,), (2,)]) == here
        assert here[0][1] == 1

    def test_keeps_its_workers_for_the_next_jobs(self, engine):
        pids = {engine.submit(os.getpid).result() for _ in range(6)}
        assert len(pids) <= 2
        assert os.getpid() not in pids

    def test_passes_on_what_a_job_raises_and_where(self, engine):
        with pytest.raises(ValueError, match="negative") as caught:
            engine.submit(math.factorial, -1).result()
        assert "In a worker process:" in caught.value.__notes__[0]

    def test_passes_on_the_text_of_an_error_that_does_not_survive_pickling(self, engine):
        with pytest.raises(WorkerError, match="raise_awkward_error failed: AwkwardError: bread and butter"):
            engine.submit(raise_awkward_error).result()

    def test_names_a_job_whose_worker_was_killed_and_goes_on_with_a_new_one(self, engine):
        with pytest.raises(WorkerError, match=r"The job die did not end: .* killed \(signal 9\)"):
            engine.submit(die).result()
        assert map_in_order(engine, math.sqrt, [(n * n,) for n in range(5)]) == [0, 1, 2, 3, 4]

    def test_survives_a_job_that_leaves_its_process(self, engine):
        with pytest.raises(WorkerError, match=r"The job leave was left by SystemExit\(3\)"):
            engine.submit(leave).result()

    def test_keeps_what_a_job_prints_off_stdout(self, engine, capfd):
        assert engine.submit(print_something).result() > 0
        captured = capfd.readouterr()
        assert captured.out == ""

    def test_refuses_a_function_that_a_worker_could_not_import(self, engine):
        with pytest.raises(SettingError, match="must be a module's own.*<lambda>"):
            engine.submit(lambda: 1)

    def test_says_which_answer_can_not_be_sent_back(self, engine):
        with pytest.raises(WorkerError, match="job open can't be sent back"):
            engine.submit(open, __file__, "rb").result()

    def test_gives_freed_memory_one_heap_unless_it_is_told_otherwise(self, monkeypatch):
        monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
        with LocalEngine(1) as engine:
            assert engine.submit(os.getenv, "MALLOC_ARENA_MAX").result() == "1"
        monkeypatch.setenv("MALLOC_ARENA_MAX", "3")
        with LocalEngine(1) as engine:
            assert engine.submit(os.getenv, "MALLOC_ARENA_MAX").result() == "3"

    def test_refuses_no_workers(self):
        with pytest.raises(SettingError, match="'workers' of LocalEngine must be at least 1"):
            LocalEngine(0)

    def test_an_error_ends_running_jobs_at_once_and_cancels_waiting_ones(self, tmp_path):
        with pytest.raises(KeyboardInterrupt), LocalEngine(1) as engine:
            running = engine.submit(touch_then_sleep, tmp_path, "first")
            waiting = engine.submit(touch_then_sleep, tmp_path, "second")
            wait_for(tmp_path / "first")
            raise KeyboardInterrupt
        with pytest.raises(WorkerError, match="was cut off"):
            running.result(timeout=0)
        assert waiting.cancelled()
        assert not (tmp_path / "second").exists()

    def test_a_failed_job_cancels_those_that_wait(self, tmp_path):
        with LocalEngine(1) as engine:
            with pytest.raises(ValueError, match="negative"):
                map_in_order(engine, math.factorial, [(3,), (-1,), (4,)])
            assert engine.submit(math.factorial, 5).result() == 120


class TestPrograms:
    JOBS = """
        import math
        from tanas.engines.local import LocalEngine
        from tanas.ground.executor import map_in_order
        with LocalEngine(2) as engine:
            print(map_in_order(engine, math.factorial, [(3,), (4,)]))
    """

    def test_a_script_needs_no_main_guard(self, tmp_path):
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(self.JOBS))
        assert run([sys.executable, str(script)]).stdout == "[6, 24]\n"

    def test_a_command_line_program_works(self):
        assert run([sys.executable, "-c", textwrap.dedent(self.JOBS)]).stdout == "[6, 24]\n"

    def test_a_function_of_the_script_itself_is_refused(self):
        code = "from tanas.engines.local import LocalEngine\ndef f(): pass\nLocalEngine(1).submit(f)"
        done = run([sys.executable, "-c", code], expect=1)
        assert "must be a module's own" in done.stderr

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["SIGKILL", "SIGINT"])
    def test_workers_end_with_their_program(self, tmp_path, number):
        code = textwrap.dedent("""
            import pathlib, sys
            from tanas.engines.local import LocalEngine
            from tests.test_engines import write_pid_then_sleep
            with LocalEngine(1) as engine:
                engine.submit(write_pid_then_sleep, pathlib.Path(sys.argv[1])).result()
        """)
        pid_file = tmp_path / "pid"
        program = subprocess.Popen(
            [sys.executable, "-c", code, str(pid_file)],
            cwd=Path(__file__).parents[1],
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for(pid_file)
        program.send_signal(number)
        _, errors = program.communicate(timeout=60)
        assert errors.count("Traceback") == (0 if number == signal.SIGKILL else 1), errors
        worker = int(pid_file.read_text())
        give_up = time.monotonic() + 30
        while is_running(worker):
            assert time.monotonic() < give_up, "the worker outlived its program"
            time.sleep(0.05)


def write_pid_then_sleep(path):
    temporary = path.with_suffix(".part")
    temporary.write_text(str(os.getpid()))
    temporary.rename(path)
    time.sleep(120)


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that ended and that nobody has waited for yet still has its number.
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def wait_for(path):
    give_up = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < give_up, f"{path} never came"
        time.sleep(0.02)


def run(command, *, expect=0):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == expect, done.stderr
    return done


class TestInThisProcess:
    def test_gives_a_future_that_is_done(self):
        future = InThisProcess().submit(math.factorial, 4)
        assert future.done()
        assert future.result() == 24

    def test_keeps_an_error_for_result(self):
        future = InThisProcess().submit(math.factorial, -1)
        with pytest.raises(ValueError, match="negative"):
            future.result()

    def test_tells_of_each_job_as_it_ends(self):
        told = []
        ended = []
        map_in_order(
            InThisProcess(), ended.append, [(1,), (2,)], advanced=lambda n: told.append((n, len(ended)))
        )
        assert told == [(1, 1), (2, 2)]
