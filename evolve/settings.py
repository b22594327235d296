"""Builds frozen records from TOML tables, refusing what it does not know.

Every record that a user can set (limits of a task, parts of a run's configuration) is a dataclass beside the class it
configures. This is the one place that turns text into them, so that a mistyped key gets the same answer everywhere.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from evolve.errors import ConfigError, nearest_hint

T = TypeVar("T")


def build(kind: type[T], table: Mapping[str, object], where: str) -> T:
    """Builds a dataclass from a table whose keys are its fields.

    Args:
        kind: A dataclass; fields may be bool, int, float, str, enumerations, dataclasses, tuples of these, mappings from
            names to these, None, or Any, which is kept as it is.
        table: What the user wrote.
        where: How messages call the table, such as ``"task.toml [limits]"``.

    Raises:
        ConfigError: If a key is unknown or missing, or a value has the wrong type or is refused by the dataclass.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(kind)
    for key in table:
        if key not in fields:
            raise ConfigError(f"{where}: unknown key {key!r}; {nearest_hint(key, list(fields))}")
    for name, field in fields.items():
        if name not in table and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}: key {name!r} is missing")
    values = {key: _value(hints[key], value, f"{where}: {key}") for key, value in table.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _value(hint: Any, value: object, where: str) -> object:  # Any: a type hint has no type
    """Converts one value to what its type hint says."""
    if hint is Any:
        return value
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        options = [option for option in typing.get_args(hint) if option is not type(None)]
        return None if value is None else _value(options[0], value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} must be a list, got {value!r}")
        return tuple(_value(typing.get_args(hint)[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a table, got {value!r}")
        return {str(key): _value(typing.get_args(hint)[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} must be a table, got {value!r}")
        return build(typing.cast(type, hint), value, where)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return _choice(hint, value, where)
    return _plain(hint, value, where)


def _choice(hint: type[StrEnum], value: object, where: str) -> StrEnum:
    known = [member.value for member in hint]
    if value not in known:
        raise ConfigError(f"{where} must be one of {', '.join(known)}; got {value!r}")
    return hint(str(value))


def _plain(hint: type, value: object, where: str) -> object:
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    # bool is an int to Python; `steps = true` is a mistake all the same.
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{where} must be {_article(hint.__name__)}, got {value!r}")
    return value


def _article(type_name: str) -> str:
    names = {"int": "a whole number", "float": "a number", "str": "a text in quotes", "bool": "true or false"}
    return names.get(type_name, f"a {type_name}")


def read_toml(path: Path) -> dict[str, Any]:  # Any: TOML values, checked by build()
    """Reads a TOML file.

    Raises:
        ConfigError: If it is missing, unreadable, or not TOML (with the line).
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def assign(table: dict[str, Any], setting: str) -> None:  # Any: TOML values
    """Puts one ``dotted.key=value`` of the command line into a nested table; the value is TOML, or else a text.

    Raises:
        ConfigError: If it has no ``=``, or a part of the key is no table.
    """
    key, found, text = setting.partition("=")
    if not found or not key.strip():
        raise ConfigError(f"--set takes KEY=VALUE, got {setting!r}")
    *parts, last = key.strip().split(".")
    for part in parts:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {setting}: {part!r} is a value, not a table")
    try:
        table[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        table[last] = text.strip()


def anchored(table: Mapping[str, Any], keys: Sequence[str], folder: Path) -> dict[str, Any]:  # Any: TOML values
    """Makes paths in a nested table absolute, so that they mean the same wherever they are read again.

    Args:
        table: What the user wrote.
        keys: Dotted keys of settings that hold a path; ``~`` is the user's home. What is missing or no text is left as it is.
        folder: What a relative path starts from.
    """
    result = dict(table)
    for key in keys:
        first, _, rest = key.partition(".")
        value = result.get(first)
        if rest and isinstance(value, Mapping):
            result[first] = anchored(value, [rest], folder)
        elif not rest and isinstance(value, str) and value.strip():
            result[first] = str((folder / os.path.expanduser(value)).resolve())
    return result


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:  # Any: TOML values
    """Lays one nested table over another; values of ``over`` win, tables are merged."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def plain(record: object) -> Any:  # Any: JSON values
    """Turns a record back into the JSON values that `build` would make it from."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {field.name: plain(getattr(record, field.name)) for field in dataclasses.fields(record)}
    if isinstance(record, Mapping):
        return {str(key): plain(value) for key, value in record.items()}
    if isinstance(record, list | tuple):
        return [plain(item) for item in record]
    return json.loads(json.dumps(record))
