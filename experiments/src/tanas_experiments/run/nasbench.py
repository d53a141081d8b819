"""Free ground truth: regret against queries on NAS-Bench-201's table, with and without a memory of other data sets.

    TANAS_DATA=DIR python -m tanas_experiments.run.nasbench [--seeds 200] [--out FILE]
    python -m tanas_experiments.run.nasbench --table FILE [--seeds 200] [--out FILE]

The table is DIR/nas-tables/nats_bench_tss_test_accuracy.csv, or your own file of that form: a header `arch` and the
data sets' names, then a row a cell, accuracies in percent. The figures go to records/nasbench.json, those of
your own file to nasbench.json here.
Exit status 2 if the file is not of that form.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path

from tanas.ground.errors import TanasError
from tanas.ground.records import write_json
from tanas.ground.versions import processor, versions
from tanas_experiments.nasbench import NasBenchConfig, NasBenchRecord, study
from tanas_experiments.nasbench_table import read_table
from tanas_experiments.places import RECORDS

RECORD = RECORDS / "nasbench.json"
OWN_COMMAND = "python -m tanas_experiments.run.nasbench --table FILE"
OWN_RECORD = Path("nasbench.json")
TABLE = Path("nas-tables") / "nats_bench_tss_test_accuracy.csv"


def main(arguments: list[str]) -> int:
    """Runs the study and writes the record; 2 if the input is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", type=Path, help="your own file; else that under $TANAS_DATA")
    parser.add_argument("--seeds", type=int, default=NasBenchConfig().seeds)
    parser.add_argument("--out", type=Path, help="the record")
    asked = parser.parse_args(arguments)
    path = asked.table or Path(os.environ.get("TANAS_DATA", ".")) / TABLE
    try:
        config = NasBenchConfig(seeds=asked.seeds)
        table = read_table(path)
    except TanasError as error:
        print(error, file=sys.stderr)
        return 2
    command = (
        "TANAS_DATA=DIR python -m tanas_experiments.run.nasbench" if asked.table is None else OWN_COMMAND
    )
    if config.seeds != NasBenchConfig().seeds:
        command += f" --seeds {config.seeds}"
    began = time.monotonic()
    targets, curves = study(table, config)
    record = NasBenchRecord(
        what="NAS-Bench-201: regret against queries, the other data sets as dictionary; test accuracies, an oracle",
        command=command,
        n=config.seeds,
        seeds=tuple(range(config.seeds)),
        hardware={"processor": processor(), "cores": os.cpu_count()},
        versions=versions(),
        table=hashlib.sha256(path.read_bytes()).hexdigest(),
        cells=len(table.cells),
        config=config,
        seconds=round(time.monotonic() - began, 1),
        targets=targets,
        curves=curves,
    )
    out = asked.out or (RECORD if asked.table is None else OWN_RECORD)
    write_json(out, record)
    print(f"wrote {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
