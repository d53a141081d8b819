from __future__ import annotations

import inspect

import pytest

from tanas.ground import errors
from tanas.ground.errors import SettingError, TanasError, check_choice, check_range, nearest_names

ALL_ERRORS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, TanasError)]


@pytest.mark.parametrize("kind", [kind for kind in ALL_ERRORS if kind is not TanasError])
def test_every_error_is_also_a_builtin(kind: type[TanasError]) -> None:
    builtin = [base for base in kind.__mro__ if base.__module__ == "builtins"]
    assert set(builtin) - {Exception, BaseException, object}, kind


@pytest.mark.parametrize("kind", ALL_ERRORS)
def test_every_error_keeps_its_message_as_it_is(kind: type[TanasError]) -> None:
    assert str(kind("What is wrong. What to do.")) == "What is wrong. What to do."


def test_what_fails_while_running_ends_with_1_and_wrong_input_with_2() -> None:
    statuses = {kind.__name__: kind.exit_status for kind in ALL_ERRORS}
    assert {name for name, status in statuses.items() if status == 1} == {
        "NonFiniteError",
        "SearchError",
        "ExportError",
    }
    assert set(statuses.values()) == {1, 2}


class TestCheckRange:
    @pytest.mark.parametrize("value", [0, 0.5, 1])
    def test_takes_the_ends_of_a_closed_range(self, value: float) -> None:
        check_range(value, "epsilon", "Owner", low=0, high=1)

    @pytest.mark.parametrize("value", [0, 1, 1.4, -3, float("nan")])
    def test_refuses_the_ends_of_an_open_range(self, value: float) -> None:
        with pytest.raises(SettingError, match=rf"'epsilon' of Owner .*\(0, 1\).* {value!r}"):
            check_range(value, "epsilon", "Owner", low=0, high=1, open_ends=True)

    @pytest.mark.parametrize(
        ("value", "limits", "expected"),
        [
            (-1, {"low": 0}, "at least 0.* -1"),
            (0, {"low": 0, "open_ends": True}, "greater than 0.* 0"),
            (3, {"low": 0, "high": 2}, r"\[0, 2\].* 3"),
            (float("nan"), {"low": 0}, "at least 0.* nan"),
        ],
    )
    def test_says_what_was_expected(self, value: float, limits: dict[str, float], expected: str) -> None:
        with pytest.raises(SettingError, match=f"'size' of Owner .*{expected}"):
            check_range(value, "size", "Owner", **limits)  # type: ignore[arg-type]


def test_a_wrong_choice_is_told_with_all_choices() -> None:
    check_choice("cpu", "device", "Owner", ("cpu", "cuda"))
    with pytest.raises(SettingError, match="'device' of Owner .*cpu, cuda.* 'gpu'"):
        check_choice("gpu", "device", "Owner", iter(("cpu", "cuda")))


class TestNearestNames:
    def test_finds_a_misspelt_name_whatever_its_case(self) -> None:
        told = nearest_names("Fashion-Mnits", ["mnist", "fashion-MNIST"])
        assert "'fashion-MNIST'" in told and "'mnist'" not in told

    def test_lists_what_is_known_if_nothing_is_near(self) -> None:
        assert "one, two" in nearest_names("zebra", ["one", "two"])

    def test_lists_twenty_at_most(self) -> None:
        listed = nearest_names("zebra", [f"class {i}" for i in range(100)])
        assert "class 19" in listed and "class 20" not in listed and "80" in listed
