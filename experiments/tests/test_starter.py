"""What the starter memory of the package says of the laboratory's records."""

from __future__ import annotations

from pathlib import Path

from tanas.dictionary.starter import EXPERIENCE_FILE
from tanas_experiments.places import RECORDS
from tanas_experiments.starter import write_experience

SHIPPED = Path(__file__).parents[2] / "src/tanas/starter" / EXPERIENCE_FILE


def test_the_shipped_experience_is_that_of_the_records(tmp_path: Path) -> None:
    write_experience(RECORDS, tmp_path)
    assert (tmp_path / EXPERIENCE_FILE).read_text() == SHIPPED.read_text()
