"""From a preset, a TOML file and options to the configuration of a search."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tanas.algorithm.presets import SearchConfig, preset
from tanas.ground.errors import SettingError, StoreError, UnknownNameError, nearest_names
from tanas.ground.records import from_plain, to_plain

_OWN = re.compile(r"The '([\w.]+)' of \w+ (must be .*)", re.DOTALL)
"""The message of a configuration class about one of its fields."""

_EXPECTED = {
    "int_": "a whole number",
    "float_": "a number",
    "bool_": "true or false",
    "string_": "text in quotes",
    "dataclass_": "a table of settings",
    "model_": "a table of settings",
    "tuple_": "a list",
    "list_": "a list",
    "too_": "a list of another length",
    "literal_": "one of {choices}",
}
"""The expected value, by the beginning of the name of pydantic's error."""


def configure(name: str, file: Path | None, options: Mapping[str, Any]) -> SearchConfig:
    """The configuration of a search.

    Args:
        name: of a preset.
        file: TOML; its keys are fields of the configuration, and its tables those of nested configurations.
        options: fields by dotted name, such as 'fuse.rounds'; None leaves a field as it is.

    Raises:
        SettingError: a value is outside its range.
        UnknownNameError: the preset or a key of the file is unknown.
    """
    config = preset(name)
    if file is not None:
        config = _from_file(config, file)
    given = {dotted: value for dotted, value in options.items() if value is not None}
    for dotted in [name for name in given if "." in name]:
        config = _with(config, dotted.split("."), given.pop(dotted))
    return replace(config, **given)  # together: an option may be valid only with another


def _from_file(config: SearchConfig, file: Path) -> SearchConfig:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"The configuration {file} can't be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"The configuration {file} is not valid TOML: {error}.") from error
    content = _without_retired(config, content)
    merged = _merged(to_plain(config), content, str(file), "")
    try:
        result = from_plain(SearchConfig, merged, where=str(file))
    except UnknownNameError as error:
        raise UnknownNameError(f"{_key_of(str(error), content) or 'A setting'} in {file}: {error}") from error
    except StoreError as error:
        assert isinstance(error.__cause__, ValidationError)
        raise SettingError(_complaint(error.__cause__, merged, file)) from error
    _merged(to_plain(result), content, str(file), "")  # refuses keys that the chosen kind of schedule lacks
    return result


def _without_retired(config: object, content: Mapping[str, Any]) -> dict[str, Any]:
    """The content without settings that only older versions had, if they are at the value that is built in now."""
    retired = getattr(config, "RETIRED", {})
    return {
        key: _without_retired(getattr(config, key, None), value) if isinstance(value, Mapping) else value
        for key, value in content.items()
        if key not in retired or value != retired[key]
    }


def _complaint(error: ValidationError, content: Mapping[str, Any], file: Path) -> str:
    """One sentence about the first refused value: its key, its file, and what was expected."""
    problems = error.errors()
    # a schedule of one kind is refused by every other kind, too
    kinds = [each for each in problems if each["type"] == "literal_error" and each["loc"][-1:] == ("kind",)]
    first = next((each for each in problems if each not in kinds), problems[0])
    kind, inside = first["type"], content
    path: list[str] = []
    for part in first["loc"]:
        if isinstance(inside, Mapping) and part in inside:
            inside = inside[str(part)]
        elif isinstance(inside, Sequence) and isinstance(part, int) and part < len(inside):
            inside = inside[part]
        elif kind != "missing":
            continue  # the kind of a schedule, which is no key
        path.append(str(part))
    key = f"'{'.'.join(path)}' in {file}" if path else str(file)
    if kind == "missing":
        return f"{key} is missing."
    if kind == "value_error":
        message = str(first["ctx"]["error"])
        if named := _OWN.match(message):  # who writes a file does not know the class
            return f"'{'.'.join([*path, named[1]])}' in {file} {named[2]}"
        return f"{key}: {message}"
    choices = ", ".join(str(each["ctx"]["expected"]).replace("'", "") for each in kinds)
    expected = next(
        (words for start, words in _EXPECTED.items() if kind.startswith(start)), "of another kind"
    )
    return f"{key} must be {expected.format(choices=choices)}. Got {_shown(inside)} instead."


def _key_of(message: str, content: Mapping[str, Any], before: str = "") -> str:
    """The quoted key whose value a message quotes first; empty if there is none."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            if found := _key_of(message, value, f"{before}{key}."):
                return found
        elif isinstance(value, str) and message.split("'")[1:2] == [value]:
            return f"'{before}{key}'"
    return ""


def _shown(value: Any) -> str:
    """A value in the notation of TOML."""
    if isinstance(value, Mapping | list | tuple):
        return "a table" if isinstance(value, Mapping) else "a list"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _merged(base: dict[str, Any], changes: Mapping[str, Any], where: str, path: str) -> dict[str, Any]:
    result = dict(base)
    if changes.get("kind", base.get("kind")) != base.get("kind"):
        return dict(changes)  # another kind of schedule has other fields
    for key, value in changes.items():
        if key not in base:
            name = f"{path}{key}"
            raise UnknownNameError(f"Unknown setting '{name}' in {where}. {nearest_names(key, base)}")
        inner = base[key]
        if isinstance(inner, dict) and isinstance(value, Mapping):
            value = _merged(inner, value, where, f"{path}{key}.")
        result[key] = value
    return result


def _with(config: Any, path: list[str], value: Any) -> Any:
    assert is_dataclass(config) and path[0] in {f.name for f in fields(config)}
    if len(path) > 1:
        value = _with(getattr(config, path[0]), path[1:], value)
    return replace(config, **{path[0]: value})  # type: ignore[type-var]


def seconds(text: str) -> float:
    """The seconds of a duration such as '90', '90s', '10m' or '2h'; SettingError for any other text."""
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (text[:-1], text[-1]) if text[-1:].lower() in units else (text, "s")
    try:
        value = float(number) * units[unit.lower()]
    except ValueError as error:
        raise SettingError(
            f"The 'time_limit' must be a duration such as 90s, 10m or 2h. Got {text!r} instead."
        ) from error
    if not 0 < value < math.inf:
        raise SettingError(f"The 'time_limit' must be more than 0 seconds. Got {text!r} instead.")
    return value


def count(text: str | None, name: str) -> int | str | None:
    """A number of images; 'all' (no cap) and None are returned unchanged, any other text is a SettingError."""
    if text is None or text == "all":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise SettingError(f"The '{name}' must be a number of images, or all. Got {text!r} instead.")
    return int(text)
