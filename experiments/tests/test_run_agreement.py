"""What decides a piece names it, gates are read from a walk, and the record says what the pieces hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.distances.digit_tasks import PAIR, representative_of, task_of

from tanas.api.build import PAPER_STARTER
from tanas.distances.base import Need, Pair
from tanas.distances.methods import METHODS, DistanceConfig
from tanas.distances.pairs import make_pair
from tanas.distances.probes import KnnConfig
from tanas_experiments.run import agreement as module
from tanas_experiments.run.agreement import (
    DEVELOPMENT,
    OTHERS,
    Asked,
    Work,
    gates,
    order_under,
    ordered,
    write_record,
)

FIRST, SECOND = PAPER_STARTER[:2]


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """A folder whose tasks and representatives are names alone."""
    found = Work(tmp_path / "work")
    for name in PAPER_STARTER:
        found._tasks[name] = SimpleNamespace(fingerprint=f"data of {name}")  # type: ignore[assignment]
        found._representatives[name] = SimpleNamespace(key=f"weights of {name}")  # type: ignore[assignment]
    return found


def keep(
    work: Work,
    part: str,
    name: str,
    order: Callable[[str, str], float],
    targets: tuple[str, ...],
    seed: int = 0,
) -> None:
    for source, target in ordered(targets):
        *_, path = module._planned(work, part, name, seed, source, target)
        piece = {"order": order(source, target), "value": min(order(source, target), 1.0), "cpu_s": 2.0}
        module._write(path, piece)


class TestPieces:
    def test_have_another_name_where_anything_that_decides_them_differs(self, work: Work) -> None:
        def path(how: object = KnnConfig(), seed: int = 0, rows: int = 100) -> Path:
            return work.kept("eighth-knn", how, seed, FIRST, SECOND, rows)

        paths = [path(), path(KnnConfig(k=2)), path(seed=1), path(rows=101)]
        for name in (FIRST, SECOND):
            kept = work._representatives[name]
            work._representatives[name] = SimpleNamespace(key="other weights")  # type: ignore[assignment]
            paths.append(path())
            work._representatives[name] = kept
        work._tasks[SECOND] = SimpleNamespace(fingerprint="other data")  # type: ignore[assignment]
        paths.append(path())
        assert len(set(paths)) == len(paths) == 7

    def test_are_measured_once_and_anew_with_other_settings(
        self, work: Work, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []

        def pair(self: Work, source: str, target: str, needs: dict[str, Need], rows: int) -> Pair:
            asked.append(rows)
            return make_pair(representative_of(0), representative_of(3), task_of(3), PAIR, needs=needs)

        monkeypatch.setattr(Work, "pair", pair)
        for _ in range(2):
            module._measure(work, "eighth", "knn", 0, FIRST, SECOND)
        assert asked == [module.ROWS]
        changed = (DistanceConfig(knn=KnnConfig(k=1)), 100)
        monkeypatch.setitem(module.SETTINGS, "eighth", changed)
        module._measure(work, "eighth", "knn", 0, FIRST, SECOND)
        assert asked == [module.ROWS, 100]
        pieces = [json.loads(path.read_bytes()) for path in (work.folder / "pieces").iterdir()]
        assert len(pieces) == 2
        assert all(0 < piece["order"] < 1 and piece["cpu_s"] > 0 for piece in pieces)


class TestGates:
    def test_all_have_names_of_their_own(self) -> None:
        names = [asked.name for asked in gates()]
        assert len(set(names)) == len(names)

    @pytest.mark.parametrize(
        ("asked", "slack", "low", "high"),
        [
            ("own", 0.1, 0.25, 0.5),  # 0.85 is asked for
            ("dense", 0.35, 0.2, 0.2),  # 0.55: even the least density has 0.05 more
            ("absolute", 0.05, 1.05, 1.05),  # 0.95: the whole map has 0.05 less
        ],
    )
    def test_read_d_from_a_walk(self, asked: str, slack: float, low: float, high: float) -> None:
        reads = [{"balanced area": reached} for reached in (0.9, 0.86, 0.6)]
        own = {"balanced area": 0.95}
        walked = {"densities": [1.0, 0.5, 0.25], "reads": reads, "own": own}
        order = order_under(Asked("balanced", "area", asked, slack), walked)
        assert low - 1e-9 <= order <= high + 1e-9


class TestRecord:
    @pytest.fixture
    def record(self, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        place = {name: at / 20 for at, name in enumerate(PAPER_STARTER)}
        keep(work, "eighth", "exact", lambda source, target: place[source], PAPER_STARTER)
        keep(
            work,
            "eighth",
            "knn",
            lambda source, target: (-1 if target in DEVELOPMENT else 1) * place[source],
            PAPER_STARTER,
        )
        monkeypatch.setattr(module, "RECORD", tmp_path / "agreement.json")
        write_record(work)
        return json.loads((tmp_path / "agreement.json").read_text())  # type: ignore[no-any-return]

    def test_holds_the_agreement_with_and_without_the_development_targets(
        self, record: dict[str, Any]
    ) -> None:
        everything, others = record["eighth"], record["eighth, other targets"]
        assert set(everything) == set(others) == {"exact", "knn"} <= set(METHODS)
        assert (everything["knn"]["pairs"], others["knn"]["pairs"]) == (90, 72)
        assert others["knn"]["with exact"] == {
            "spearman": 1.0,
            "mean spearman within a target": 1.0,
            "same nearest": "8 of 8",
        }
        assert everything["knn"]["with exact"]["spearman"] < 1
        assert everything["knn"]["with exact"]["mean spearman within a target"] == 0.6  # (8 - 2) / 10
        assert everything["knn"]["with exact"]["same nearest"] == "8 of 10"
        assert everything["knn"]["cpu_s mean"] == 2.0

    def test_leaves_out_what_was_not_measured(self, record: dict[str, Any]) -> None:
        assert record["gate"] == {}
        assert record["paper"] == {}
        assert "between seeds" not in record["eighth"]["exact"]

    def test_keeps_the_parts_of_which_it_has_nothing_and_no_others(
        self, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "RECORD", tmp_path / "agreement.json")
        keep(work, "eighth", "exact", lambda source, target: 0.1, PAPER_STARTER)
        write_record(work)
        old = {"gate": {"pairs": 18}, "paper": {"exact": {}}, "eighth": {"cka": {}}}
        made = {key: json.loads(module.RECORD.read_text())[key] for key in ("hardware", "versions")}
        module.RECORD.write_text(json.dumps({**made, **old, "versions": {"torch": "another"}}))
        write_record(work)
        assert json.loads(module.RECORD.read_text())["gate"] == {}, "what others made is not kept"
        module.RECORD.write_text(json.dumps({**made, **old}))
        write_record(work)
        record = json.loads(module.RECORD.read_text())
        assert (record["gate"], record["paper"]) == (old["gate"], old["paper"])
        assert set(record["eighth"]) == {"exact"}

    def test_holds_every_method_against_the_mean_of_the_exact_ones_seeds(
        self, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "RECORD", tmp_path / "agreement.json")
        place = {name: at / 20 for at, name in enumerate(PAPER_STARTER)}
        nearest = PAPER_STARTER[-1]
        # one seed in three has another nearest source; the mean has the order of the other two
        for seed in module.EXACT_SEEDS:
            keep(
                work,
                "eighth",
                "exact",
                lambda source, target, odd=seed == 1: -0.01 if odd and source == nearest else place[source],
                PAPER_STARTER,
                seed,
            )
        for name in ("knn", "linear"):
            keep(work, "eighth", name, lambda source, target: place[source], PAPER_STARTER)
        keep(
            work,
            "eighth",
            "cka",
            lambda source, target: -1.0 if source == nearest else place[source],
            PAPER_STARTER,
        )
        write_record(work)
        found = json.loads(module.RECORD.read_text())["eighth, mean of exact"]
        assert (found["seeds"], found["pairs"]) == ([0, 1, 2], 90)
        knn, cka = found["methods"]["knn"], found["methods"]["cka"]
        assert (knn["same nearest"], knn["nearest of a seed"]) == ("10 of 10", "10 of 10")
        assert cka["same nearest"] == "1 of 10", "only where the nearest itself is the target"
        assert cka["nearest of a seed"] == "10 of 10"
        assert knn["spearman"] > cka["spearman"]
        blind = found["methods"][module.BLIND]
        assert blind["spearman"] < knn["spearman"], "it tells no source from another"
        assert found["orders"]["linear"][nearest][FIRST] == place[FIRST]
        assert set(found["orders"]) == {"exact, seed 0", "exact, seed 1", "exact, seed 2", "linear"}
        first, odd, _ = found["each seed with the others"]
        assert first["spearman"] > odd["spearman"]

    def test_has_eight_targets_that_the_choice_of_the_gate_has_not_seen(self) -> None:
        assert len(OTHERS) == 8
        assert not set(OTHERS) & set(DEVELOPMENT)
