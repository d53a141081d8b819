from __future__ import annotations

from dataclasses import replace

from tanas.algorithm.presets import default
from tanas.ground.records import to_plain
from tanas_experiments.run import weights


def test_only_what_decides_a_row_keeps_a_record_from_being_gone_on_with() -> None:
    before = weights.decisive(to_plain(default()))
    assert weights.decisive(to_plain(replace(default(), inherit="union"))) == before
    assert weights.decisive(to_plain(replace(default(), warm_share=0.4))) != before
