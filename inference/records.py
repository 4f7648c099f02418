"""Frozen dataclasses to JSON and back, checked field by field.

The two processes load this folder under different package names, so objects never cross as pickles: they cross as
JSON, and this module is the one place that reads it. Standard library only.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import types
import typing
from typing import Any, TypeVar

Record = TypeVar("Record")
_SURROGATE = re.compile("[\ud800-\udfff]")


class RecordError(ValueError):
    """JSON that does not describe the record it should; the message names the field."""


def to_json(record: Any) -> Any:
    """Turn a record (or a value inside one) into what ``json.dumps`` takes.

    Parameters
    ----------
    record : dataclass instance, tuple, dict or scalar

    Returns
    -------
    dict, list or scalar
        Fields in their order of declaration; tuples become lists.
    """
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: to_json(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, (tuple, list)):
        return [to_json(item) for item in record]
    if isinstance(record, dict):
        return {str(key): to_json(value) for key, value in record.items()}
    return record


def dumps(record: Any, *, indent: int | None = 2) -> str:
    """The record as JSON text that any UTF-8 file takes; NaN and infinity are refused because JSON has neither.

    Bytes of a file name that are no UTF-8, which Python holds as lone surrogates, become escapes and read back alike.
    """
    text = json.dumps(to_json(record), indent=indent, ensure_ascii=False, allow_nan=False)
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def readable(text: str) -> str:
    """A text for people: bytes of a file name that are no UTF-8, which no interface takes, become question marks."""
    return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)


def from_json(cls: type[Record], data: Any, *, where: str, strict: bool) -> Record:
    """Build a record from parsed JSON.

    Parameters
    ----------
    cls : type
        A dataclass whose annotations use only scalars, ``Literal``, ``X | None``, ``tuple``, ``dict`` and dataclasses.
    data : parsed JSON
    where : str
        What is being read, for the error message, such as ``job``.
    strict : bool
        Whether a field that ``cls`` does not know is an error (a typing mistake in a job) or is passed over
        (a file that a newer version wrote).

    Raises
    ------
    RecordError
        Naming the first field that is missing, unknown or of the wrong type.
    """
    return typing.cast(Record, _value(cls, data, where, strict))


def loads(cls: type[Record], text: str, *, where: str, strict: bool) -> Record:
    """``from_json`` on JSON text; text that is no JSON is a `RecordError` as well."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{where} is not valid JSON: {error}") from error
    return from_json(cls, data, where=where, strict=strict)


def _record(cls: type, data: Any, where: str, strict: bool) -> Any:
    if not isinstance(data, dict):
        raise RecordError(f"{where} must be an object, not {_name(data)}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    unknown = sorted(set(data) - set(fields))
    if unknown and strict:
        raise RecordError(f"{where} has no field '{unknown[0]}'; it has {', '.join(sorted(fields))}")
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _value(hints[name], data[name], f"{where}.{name}", strict)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise RecordError(f"{where}.{name} is missing")
    return cls(**values)


def _value(hint: Any, data: Any, where: str, strict: bool) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _record(typing.cast(type, hint), data, where, strict)
    if hint is Any:
        return data
    if origin in (typing.Union, types.UnionType):
        if data is None and type(None) in arguments:
            return None
        (inner,) = (a for a in arguments if a is not type(None))  # only ``X | None`` is used in records
        return _value(inner, data, where, strict)
    if origin is typing.Literal:
        if data not in arguments:
            raise RecordError(f"{where} must be one of {', '.join(map(repr, arguments))}, not {data!r}")
        return data
    if origin is tuple:
        return _tuple(arguments, data, where, strict)
    if origin is dict:
        if not isinstance(data, dict):
            raise RecordError(f"{where} must be an object, not {_name(data)}")
        return {key: _value(arguments[1], value, f"{where}.{key}", strict) for key, value in data.items()}
    return _scalar(hint, data, where)


def _tuple(arguments: tuple[Any, ...], data: Any, where: str, strict: bool) -> tuple[Any, ...]:
    if not isinstance(data, (list, tuple)):
        raise RecordError(f"{where} must be a list, not {_name(data)}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(data)
    if len(data) != len(arguments):
        raise RecordError(f"{where} must have {len(arguments)} items, not {len(data)}")
    return tuple(_value(a, item, f"{where}[{i}]", strict) for i, (a, item) in enumerate(zip(arguments, data)))


def _scalar(hint: Any, data: Any, where: str) -> Any:
    if hint is float and isinstance(data, (int, float)) and not isinstance(data, bool):
        if not math.isfinite(data):
            raise RecordError(f"{where} must be a finite number")
        return float(data)
    if isinstance(data, hint) and not (hint is int and isinstance(data, bool)):
        return data
    raise RecordError(f"{where} must be of type {hint.__name__}, not {_name(data)}")


def _name(data: Any) -> str:
    return "null" if data is None else type(data).__name__
