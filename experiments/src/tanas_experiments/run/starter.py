"""Makes the starter memory that tanas ships, from public data.

    TANAS_DATA=DIR python -m tanas_experiments.run.starter [--without LABEL ...] [--work WORK] [--out FOLDER]

One search an atom, each with an empty memory; the same command goes on where it stopped. About an hour on two cores.

Exit status 2 if the input is wrong.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from tanas.api.progress import listener_for
from tanas.api.run import Job, run_search
from tanas.dictionary.starter import FOLDER
from tanas.dictionary.store import Dictionary
from tanas.engines.resources import Machine, Resources, local_engine
from tanas.ground.errors import TanasError, check_choice
from tanas.ground.records import new_folder
from tanas.runs.folder import Run, slug
from tanas.tasks.library import Library
from tanas_experiments.places import RECORDS
from tanas_experiments.starter import (
    INGREDIENTS,
    Ingredient,
    card_of,
    packed_atom,
    starter_settings,
    typed_source,
    write_cards,
    write_experience,
)


def main(arguments: list[str]) -> int:
    """Does what is asked; 2 if the input is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    labels = [one.label for one in INGREDIENTS]
    parser.add_argument("--without", nargs="+", default=[], help="labels to leave out")
    parser.add_argument("--work", type=Path, default=Path("starter-work"))
    parser.add_argument("--out", type=Path, default=FOLDER)
    asked = parser.parse_args(arguments)
    try:
        for label in asked.without:
            check_choice(label, "without", "starter.py", labels)
        make(asked.out, asked.work, [one for one in INGREDIENTS if one.label not in asked.without])
    except TanasError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def make(out: Path, work: Path, ingredients: list[Ingredient]) -> None:
    """Search for each ingredient, and pack what ships."""
    library, finished = Library(), list[tuple[Ingredient, Run, Dictionary]]()
    for ingredient in ingredients:
        task = replace(
            library.open(typed_source(ingredient, library, work)),
            name=ingredient.label,
        )
        folder, resources = work / slug(ingredient.label), Resources()
        memory = Dictionary(folder.with_name(f"{folder.name}-memory"), may_be_new=True)
        with local_engine(resources) as engine:
            run = run_search(
                task,
                folder,
                memory,
                Job(
                    remember=True,
                    config=starter_settings(),
                    command="python -m tanas_experiments.run.starter",
                ),
                Machine(resources=resources, engine=engine, listener=listener_for(sys.stderr)),
            )
        finished.append((ingredient, run, memory))
    with new_folder(out) as folder:  # what was there goes when all of the new is there
        Dictionary.create(folder)
        cards = [
            card_of(ingredient, run.result(), packed_atom(memory, folder))
            for ingredient, run, memory in finished
            if ingredient.ships
        ]
        write_cards(cards, folder)
        write_experience(RECORDS, folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
