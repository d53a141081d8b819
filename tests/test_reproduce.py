"""`tanas reproduce` hands over to the laboratory where it is installed, and says how to install it where it is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cyclopts import App
from tests.conftest import Answer

from tanas.cli import commands


class Installed:
    """An entry point of a laboratory with one experiment."""

    def load(self) -> App:
        app = App(name="reproduce")

        @app.command
        def figure(*, seeds: int = 1) -> None:
            print(f"{seeds} seeds")

        return app


def test_without_a_laboratory_it_says_how_to_install_it(
    tanas: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "entry_points", lambda **_: ())
    answer = tanas("reproduce", "figure2", "--scale", "smoke")
    assert answer.status == 2
    assert answer.err.strip().endswith("pip install -e ./experiments")
    assert answer.out == ""


def test_a_laboratory_is_given_the_arguments(
    tanas: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "entry_points", lambda **_: (Installed(),))
    assert tanas("reproduce", "figure", "--seeds", "3").out == "3 seeds\n"
    wrong = tanas("reproduce", "figure", "--sedes", "3")
    assert wrong.status == 2
    assert "--sedes" in wrong.err
    assert wrong.err.strip().endswith("tanas reproduce figure --help")
