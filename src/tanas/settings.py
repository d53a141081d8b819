"""From a preset, a TOML file and options to the configuration of a search."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from tanas.errors import SettingError, StoreError, UnknownNameError, nearest_names
from tanas.presets import SearchConfig, preset
from tanas.records import from_plain, to_plain


def configure(name: str, file: Path | None, options: Mapping[str, Any]) -> SearchConfig:
    """The configuration of a search.

    Args:
        name: of a preset.
        file: TOML whose keys are the configuration's fields; its tables are the fields' own.
        options: fields by dotted name, such as 'fuse.rounds'; None leaves a field as it is.

    Raises:
        SettingError: a value is outside its range, or a key is none of the configuration's.
        UnknownNameError: there is no such preset.
    """
    config = preset(name)
    if file is not None:
        config = _from_file(config, file)
    for dotted, value in options.items():
        if value is not None:
            config = _with(config, dotted.split("."), value)
    return config


def _from_file(config: SearchConfig, file: Path) -> SearchConfig:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"The configuration {file} can't be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"The configuration {file} is no TOML: {error}.") from error
    merged = _merged(to_plain(config), content, str(file), "")
    try:
        result = from_plain(SearchConfig, merged, where=str(file))
    except StoreError as error:
        raise SettingError(str(error)) from error
    _merged(to_plain(result), content, str(file), "")  # refuses keys that another kind of schedule has not
    return result


def _merged(base: dict[str, Any], changes: Mapping[str, Any], where: str, path: str) -> dict[str, Any]:
    result = dict(base)
    if changes.get("kind", base.get("kind")) != base.get("kind"):
        return dict(changes)  # another kind of schedule has other fields
    for key, value in changes.items():
        if key not in base:
            name = f"{path}{key}"
            raise UnknownNameError(f"'{name}' in {where} is no setting. {nearest_names(key, base)}")
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
    """A duration in seconds from '90', '90s', '10m' or '2h'.

    Raises:
        SettingError: it is none.
    """
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (text[:-1], text[-1]) if text[-1:].lower() in units else (text, "s")
    try:
        value = float(number) * units[unit.lower()]
    except ValueError as error:
        raise SettingError(
            f"The '--time-limit' must be a duration such as 90s, 10m or 2h. Got {text!r} instead."
        ) from error
    if not 0 < value < math.inf:
        raise SettingError(f"The '--time-limit' must be more than 0 seconds. Got {text!r} instead.")
    return value


def count(text: str | None, name: str) -> int | str | None:
    """A number, or 'all' for no cap, which is given back as it is; None stays None.

    Raises:
        SettingError: it is neither.
    """
    if text is None or text == "all":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise SettingError(f"The '--{name}' must be a number of images, or all. Got {text!r} instead.")
    return int(text)
