"""The commands of `tanas reproduce`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cyclopts import App

from tanas.cli.help import EPILOGUE, EVERYDAY, HELP, HELP_ALL
from tanas.cli.options import (
    MACHINE,
    OUTPUT,
    SOURCES,
    Machine,
    Output,
    Sources,
    Whole,
    library_of,
    listening,
    resources_of,
    show,
    starting,
)

if TYPE_CHECKING:
    from tanas.engines.local import LocalEngine
    from tanas.engines.resources import Resources
    from tanas.ground.events import Listener

app = App(
    name="reproduce",
    help="The paper's experiments, each into a folder of its own.",
    help_flags=(*HELP, HELP_ALL),
    help_epilogue=EPILOGUE,
    group_parameters=EVERYDAY,
)


@contextmanager
def _working(
    machine: Machine, output: Output, record: Path | None
) -> Iterator[tuple[Resources, LocalEngine, Listener]]:
    """Resources, workers and listener of an experiment; a record that can't be written is refused first."""
    from tanas.engines.resources import local_engine
    from tanas.runs.folder import check_file

    if record is not None:
        check_file(record)
    resources = resources_of(machine)
    with listening(output) as listener, local_engine(resources) as engine:
        yield resources, engine, listener


@app.command(name="figure2")
def reproduce_figure(
    *,
    scale: Literal["smoke", "laptop", "paper"] = "laptop",
    seeds: Whole | None = None,
    method: str | None = None,
    out: Path | None = None,
    record: Path | None = None,
    data: Sources = SOURCES,
    machine: Machine = MACHINE,
    output: Output = OUTPUT,
) -> None:
    """Measure the paper's distance matrix and hold its sentences against it; the same command goes on.

    Args:
        scale: smoke (ten digits tasks, offline, minutes), laptop (the paper's ten tasks, 12,000 images each) or
            paper (its network, all images, its pruning and gate; days).
        seeds: how many, from --seed on; more are added to those that a folder has.
        method: of measuring a distance, instead of the scale's own.
        out: folder of the experiment; figure2-SCALE if left out.
        record: file to write the record to as well, such as one that a page is made from.
        data: options of commands that open tasks.
        machine: options of commands that compute.
        output: options of commands that show progress.
    """
    starting(output)
    from tanas.ground.devices import choose_device
    from tanas.ground.records import to_plain, write_json
    from tanas_experiments.figure2 import at_scale
    from tanas_experiments.figure2_page import reproduce_figure2, terminal_text

    folder = out or Path(f"figure2-{scale}")
    config = at_scale(scale, first_seed=machine.seed, seeds=seeds, method=method)
    with _working(machine, output, record) as (resources, engine, listener):
        device = choose_device(resources.device)
        made = reproduce_figure2(
            folder, config, library_of(data), executor=engine, device=device, listener=listener
        )
    if record is not None:
        write_json(record, made)
    show(output, to_plain(made), terminal_text(made, folder))


@app.command(name="search")
def reproduce_searches(
    *,
    scale: Literal["smoke", "laptop"] = "laptop",
    seeds: Whole | None = None,
    target: tuple[str, ...] = (),
    out: Path | None = None,
    record: Path | None = None,
    dictionary: Path | None = None,
    data: Sources = SOURCES,
    machine: Machine = MACHINE,
    output: Output = OUTPUT,
) -> None:
    """Search with near, far and no known tasks, by FUSE and by rivals, at equal cost; the same command goes on.

    Args:
        scale: smoke (a digits target, offline, minutes) or laptop (six targets, hours).
        seeds: how many, from --seed on; more are added to those that are there.
        target: only this one, by its label; can be given several times.
        out: folder of the experiment; search-SCALE if left out.
        record: file to add the record to as well; searches that stand in it are not made again. Commands with
            different targets or seeds, each with its own --out, can write to one record at a time.
        dictionary: folder of the known tasks, which such commands can share; one in --out if left out.
        data: options of commands that open tasks.
        machine: options of commands that compute.
        output: options of commands that show progress.
    """
    starting(output)
    from tanas.ground.records import to_plain
    from tanas_experiments.searches import at_scale
    from tanas_experiments.searches_page import reproduce_search, terminal_text

    folder = out or Path(f"search-{scale}")
    config = at_scale(scale, first_seed=machine.seed, seeds=seeds, targets=target)
    with _working(machine, output, record) as (resources, engine, listener):
        made = reproduce_search(
            folder,
            config,
            library_of(data),
            record=record,
            dictionary=dictionary,
            resources=resources,
            engine=engine,
            listener=listener,
        )
    show(output, to_plain(made), terminal_text(made, folder))


@app.command(name="stream")
def reproduce_tasks(
    *,
    scale: Literal["smoke", "laptop"] = "laptop",
    orders: Whole | None = None,
    out: Path | None = None,
    record: Path | None = None,
    data: Sources = SOURCES,
    machine: Machine = MACHINE,
    output: Output = OUTPUT,
) -> None:
    """Let tasks arrive one after the other, with a memory and without; the same command goes on.

    Args:
        scale: smoke (six digits tasks, offline, minutes) or laptop (twenty tasks in three orders, hours).
        orders: how many, from --seed on; more are added to those that a folder has.
        out: folder of the experiment; stream-SCALE if left out.
        record: file to add the record to as well; orders that stand in it whole are not made again. Commands with
            different orders, each with its own --out, can write to one record at a time.
        data: options of commands that open tasks.
        machine: options of commands that compute.
        output: options of commands that show progress.
    """
    starting(output)
    from tanas.ground.records import to_plain
    from tanas_experiments.stream import at_scale, reproduce_stream, terminal_text

    folder = out or Path(f"stream-{scale}")
    config = at_scale(scale, first_order=machine.seed, orders=orders)
    with _working(machine, output, record) as (resources, engine, listener):
        made = reproduce_stream(
            folder,
            config,
            library_of(data),
            record=record,
            resources=resources,
            engine=engine,
            listener=listener,
        )
    show(output, to_plain(made), terminal_text(made, folder))


@app.command(name="table1")
def reproduce_table(
    *,
    scale: Literal["smoke", "laptop", "paper"] = "laptop",
    seeds: Whole | None = None,
    out: Path | None = None,
    record: Path | None = None,
    data: Sources = SOURCES,
    machine: Machine = MACHINE,
    output: Output = OUTPUT,
) -> None:
    """Compare what a search finds with networks made by hand, in error, size and cost; the same command goes on.

    Args:
        scale: smoke (a digits target, offline, minutes), laptop (the paper's target and base tasks, 4,000 images and
            12 epochs for every method, about two hours on two cores) or paper (all images, its space, its distance;
            days on a CPU).
        seeds: how many, from --seed on; more are added to those that a folder has.
        out: folder of the experiment; table1-SCALE if left out.
        record: file to write the record to as well, such as one that a page is made from.
        data: options of commands that open tasks.
        machine: options of commands that compute.
        output: options of commands that show progress.
    """
    starting(output)
    from tanas.ground.records import to_plain, write_json
    from tanas_experiments.table1 import at_scale
    from tanas_experiments.table1_page import reproduce_table1, terminal_text

    folder = out or Path(f"table1-{scale}")
    config = at_scale(scale, first_seed=machine.seed, seeds=seeds)
    with _working(machine, output, record) as (resources, engine, listener):
        made = reproduce_table1(
            folder, config, library_of(data), resources=resources, engine=engine, listener=listener
        )
    if record is not None:
        write_json(record, made)
    show(output, to_plain(made), terminal_text(made, folder))
