"""A table of the truth: a hundred architectures trained on their own on eight targets, two seeds each.

    TANAS_DATA=DIR python -m tanas_experiments.run.truth [--workers 2] [--hours H] [--shard I/N] [--work WORK]
        [--out FOLDER]
    TANAS_DATA=DIR python -m tanas_experiments.run.truth --merge TABLE.csv
    TANAS_DATA=DIR python -m tanas_experiments.run.truth --distances
    TANAS_DATA=DIR python -m tanas_experiments.run.truth --triples 120 [--targets fashion,ten]
    TANAS_DATA=DIR python -m tanas_experiments.run.truth --analyse

The first fills the table: FOLDER/truth.csv, a row a training, and FOLDER/truth.json, its architectures, targets,
versions and hardware. It goes on where it stopped, makes no training twice, and its rows come in an order in which
every beginning of the table is a fair sample. WORK is for what is made on the way and not kept: MNIST with its pixels
permuted, representatives. `--shard` makes a part of the rows, in a folder of its own, for another machine; `--merge`
adds its rows to the table.

`--distances` measures d between the targets. `--triples` compares so many triples of the table's architectures,
shared between the targets, by one round of FUSE and by short separate trainings; it takes triples whose trainings are
in the table, and goes on where it stopped. Both write into truth.json of a table that was begun. `--analyse` reads all
of it, a part of the table too, and writes FOLDER/truth-analysis.json, from which the page in docs/ is made.

Exit status 2 if the input is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from tanas.algorithm.presets import default
from tanas.distances.memory import Memory
from tanas.distances.methods import make_distance
from tanas.distances.pairs import make_pair
from tanas.distances.representative import represent
from tanas.engines.local import LocalEngine, limited_threads
from tanas.ground.checkpoints import FolderCheckpoint
from tanas.ground.context import Context
from tanas.ground.errors import SettingError, TanasError
from tanas.ground.executor import InThisProcess
from tanas.ground.records import read_record, to_plain, write_json
from tanas.ground.seeds import Seed
from tanas.ground.versions import processor, versions
from tanas.spaces.named import named_space
from tanas.strategies.fuse import FuseConfig
from tanas.tasks.task import Task
from tanas_experiments.by_maps import by_maps
from tanas_experiments.places import RECORDS
from tanas_experiments.truth import (
    TARGETS,
    DistanceStudy,
    Place,
    Row,
    TaskDistance,
    TripleStudy,
    TruthConfig,
    TruthRecord,
    check_same,
    described,
    draw_architectures,
    fill,
    jobs,
    open_target,
    place_of,
    read_table,
    shard_of,
    table_digest,
    target_named,
    whole_positions,
    write_table,
)
from tanas_experiments.truth_analysis import AnalysisConfig, analysed
from tanas_experiments.truth_triples import compare, draw_triples

DRAWN_EACH = 200
"""Triples that are drawn for each that is compared: enough where a fifth of the table is there."""

COMMAND = "TANAS_DATA=DIR python -m tanas_experiments.run.truth"


def main(arguments: list[str]) -> int:
    """Does what is asked; 2 if the input is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=1, help="trainings at a time")
    parser.add_argument(
        "--hours", type=float, help="no training begins after so many; else until all are made"
    )
    parser.add_argument("--shard", default="1/1", help="I/N: the I-th of N parts")
    parser.add_argument("--out", type=Path, default=RECORDS)
    parser.add_argument("--work", type=Path, default=Path("truth-work"))
    parser.add_argument("--images", type=int, default=TruthConfig().images, help="most training images")
    parser.add_argument("--merge", type=Path, help="adds the rows of another table")
    parser.add_argument("--distances", action="store_true", help="measures d between the targets")
    parser.add_argument("--triples", type=int, help="compares so many triples")
    parser.add_argument("--targets", default="fashion,ten", help="of the triples")
    parser.add_argument("--analyse", action="store_true", help="makes the figures of the page")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        if asked.merge:
            merge(asked.out, asked.merge)
            return 0
        if asked.analyse:
            analyse(asked.out)
            return 0
        number, of = parts_of(asked.shard)
        config = TruthConfig(images=asked.images)
        place = place_of(None, asked.work)
        record = begun(asked.out, config, place)
        if asked.distances:
            measure_distances(asked.out, record, place)
        elif asked.triples is not None:
            compare_triples(asked.out, record, place, asked.triples, tuple(asked.targets.split(",")))
        else:
            make_table(asked.out, record, place, workers=asked.workers, hours=asked.hours, shard=(number, of))
    except TanasError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def parts_of(shard: str) -> tuple[int, int]:
    """The two numbers of `--shard`.

    Raises:
        SettingError: they are no two numbers.
    """
    number, slash, of = shard.partition("/")
    if not (slash and number.isdigit() and of.isdigit()):
        raise SettingError(f"The 'shard' must be I/N, such as 1/2. Got {shard!r} instead.")
    return int(number), int(of)


def begun(out: Path, config: TruthConfig, place: Place) -> TruthRecord:
    """The record of the table, made if it is not there.

    Raises:
        SettingError: it was begun otherwise.
    """
    targets = tuple(
        described(target, open_target(place, target.id, config.images, config.test_images), config)
        for target in TARGETS
    )
    path = out / "truth.json"
    if path.exists():
        record = read_record(TruthRecord, path)
        check_same(record, targets, config)
        return record
    record = TruthRecord(
        what="stand-alone trainings of architectures of the standard space on eight targets; the test columns are an "
        "oracle, which no choice sees",
        command=COMMAND,
        n=config.architectures * len(targets) * len(config.seeds),
        seeds=config.seeds,
        config=config,
        architectures=draw_architectures(config),
        targets=targets,
        hardware={"processor": processor(), "cores": os.cpu_count(), "threads used": 1},
        versions=versions(),
    )
    write_json(path, record)
    return record


def make_table(
    out: Path, record: TruthRecord, place: Place, *, workers: int, hours: float | None, shard: tuple[int, int]
) -> None:
    """Makes the rows that are not there."""
    path = out / "truth.csv"
    rows = list(read_table(path))
    began = time.monotonic()

    def left() -> float:
        return float("inf") if hours is None else hours * 3600 - (time.monotonic() - began)

    def finished(row: Row) -> None:
        rows.append(row)
        write_table(path, rows)
        print(
            f"{len(rows)} rows: {row.position} on {row.target}, seed {row.seed}: l {row.unclipped:.3f}, test error "
            f"{row.test_error:.3f}, {row.seconds:.1f} s",
            flush=True,
        )

    wanted = shard_of(jobs(record.config), *shard)
    inline = nullcontext(InThisProcess())
    with limited_threads(1), inline if workers == 1 else LocalEngine(workers) as engine:
        made = fill(
            record.architectures,
            record.config,
            place,
            wanted=wanted,
            done={row.job for row in rows},
            engine=engine,
            workers=workers,
            deadline=left,
            finished=finished,
        )
    print(f"{made} trainings were made; {path} holds {len(rows)}.")


def measure_distances(out: Path, record: TruthRecord, place: Place) -> None:
    """Measures d between every two targets, by the default method with the default representatives."""
    search = by_maps(default())
    began = time.monotonic()
    tasks = {one.id: task_of(record, place, one.id).without_test() for one in record.targets}
    representatives = {}
    for name, task in tasks.items():
        checkpoint = FolderCheckpoint(Path(place.work) / "represent" / name)
        at = Context(seed=Seed(0).child("represent"), checkpoint=checkpoint)
        representatives[name] = represent(task, search.representative, at)
        print(f"the representative of {name} has l {representatives[name].performance:.3f}", flush=True)
    distance, cache, values = make_distance(search.distance), Memory(2**28), []
    for target, task in tasks.items():
        for source in tasks:
            if source != target:
                pair = make_pair(
                    representatives[source],
                    representatives[target],
                    task,
                    search.pair,
                    cache,
                    needs=distance.needs,
                )
                d = distance(pair, Seed(0).child("distance", source, target))
                values.append(
                    TaskDistance(
                        source=source, target=target, value=round(d.value, 5), order=round(d.order, 7)
                    )
                )
                print(f"d({source} -> {target}) = {d.value:.4f}", flush=True)
    study = DistanceStudy(
        method=search.distance.method,
        seed=0,
        seconds=round(time.monotonic() - began, 1),
        values=tuple(values),
        versions=versions(),
        hardware={"processor": processor(), "cores": os.cpu_count(), "threads used": 1},
    )
    # read again: triples may have been added meanwhile
    write_json(out / "truth.json", replace(read_record(TruthRecord, out / "truth.json"), distances=study))


def compare_triples(
    out: Path, record: TruthRecord, place: Place, count: int, targets: tuple[str, ...]
) -> None:
    """Compares triples that are not there yet, until there are so many.

    Raises:
        SettingError: a target is not in the table, or triples that are there were compared by another schedule.
    """
    schedule = FuseConfig().schedule
    tasks = {one: task_of(record, place, one) for one in targets}
    study = record.triples or TripleStudy(
        seed=0,
        schedule=to_plain(schedule),
        triples=(),
        versions=versions(),
        hardware={"processor": processor(), "cores": os.cpu_count(), "threads used": 1},
    )
    if study.schedule != to_plain(schedule):
        raise SettingError(
            "The triples in the record were compared by another schedule of FUSE. Take them out of it first."
        )
    whole = set(whole_positions(read_table(out / "truth.csv"), targets, record.config.seeds))
    for target in targets:
        share = count // len(targets) + (targets.index(target) < count % len(targets))
        there = [one for one in study.triples if one.target == target]
        # the whole table is drawn from; of a part of it, those triples are taken whose trainings are there
        drawn = draw_triples(
            range(record.config.architectures),
            share * DRAWN_EACH,
            Seed(study.seed).child("triples", target),
        )
        left = [
            (number, one)
            for number, one in enumerate(drawn)
            if set(one) <= whole and number not in {past.number for past in there}
        ]
        for number, positions in left[: max(share - len(there), 0)]:
            made = compare(
                [record.architectures[position] for position in positions],
                tasks[target],
                schedule,
                target=target,
                number=number,
                positions=positions,
                seed=Seed(study.seed).child("triple", target, number),
            )
            # read again: distances may have been added meanwhile
            now = read_record(TruthRecord, out / "truth.json")
            study = replace(study, triples=(*study.triples, made))
            write_json(out / "truth.json", replace(now, triples=study))
            print(
                f"{len(study.triples)} triples: {positions} on {target}, alpha {made.weights}, separate "
                f"{made.separate}, {made.alpha_s + made.separate_s:.0f} s",
                flush=True,
            )


def analyse(out: Path) -> None:
    """Makes the figures of the page from what is there."""
    record = read_record(TruthRecord, out / "truth.json")
    path = out / "truth.csv"
    rows = read_table(path)
    analysis = analysed(
        rows,
        record.architectures,
        [one.id for one in record.targets],
        record.config.seeds,
        named_space(record.config.space),
        record.distances.values if record.distances else (),
        record.triples.triples if record.triples else (),
        AnalysisConfig(),
        digest=table_digest(rows),
    )
    write_json(out / "truth-analysis.json", analysis)
    print(f"{out / 'truth-analysis.json'} is of {analysis.architectures} architectures.")


def task_of(record: TruthRecord, place: Place, id: str) -> Task:
    """A target as the table has it."""
    return open_target(place, target_named(id).id, record.config.images, record.config.test_images)


def merge(out: Path, other: Path) -> None:
    """Adds the rows of another table to the table; where both have a training, the table's row stays.

    Raises:
        SettingError: the other table is of other architectures.
    """
    record = read_record(TruthRecord, out / "truth.json")
    keys = [one.key for one in record.architectures]
    rows = {row.job: row for row in read_table(out / "truth.csv")}
    for row in read_table(other):
        if row.position >= len(keys) or row.key != keys[row.position]:
            raise SettingError(f"{other} is a table of other architectures than {out / 'truth.json'}.")
        rows.setdefault(row.job, row)
    write_table(out / "truth.csv", rows.values())
    print(f"{out / 'truth.csv'} holds {len(rows)} rows.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
