"""Frozen dataclasses to JSON and back, with every field validated, since the files may come from somebody else.

The two processes load this folder under different package names, so objects are never exchanged as pickles but as
JSON, and this module is the only one that reads it. Whatever a file contains, reading it takes bounded time and memory
and results in a valid record or one sentence. Standard library only.

A record's annotations define what is valid: types, and for numbers and texts their bounds (`Bounds`, `Text`).
Conditions across fields are checked by the record's method ``problems``, which yields what is wrong.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import re
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

from .untrusted import LARGEST_FILE, SURROGATE, RecordError, in_a_line, read_text

Record = TypeVar("Record")
Reader = Callable[[Any, bool], Any]
_BYTES_OF_A_VALUE = 32
"""Least average size of a value in a file: in memory a value takes about 100 bytes, however short its text is."""
_DEEPEST = 32
"""Levels of nesting in a field of any JSON."""
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Surrogates that do not encode a byte of a file name."""
_PARTS = re.compile(r"[/\\]")
"""Separators in a path."""


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Smallest and largest valid number, both included."""

    least: float
    most: float

    def problem(self, value: float) -> str | None:
        """What is wrong with a value, or None."""
        if self.least <= value <= self.most:
            return None
        if value < self.least:
            return f"must be at least {_number(self.least)}, not {_number(value)}"
        return f"must be at most {_number(self.most)}, not {_number(value)}"


@dataclasses.dataclass(frozen=True)
class Text:
    """Which texts are valid.

    Attributes
    ----------
    most : int
        Largest number of characters.
    pattern : str
        Regular expression that the whole text must match; empty: any.
    names : bool
        Whether it may contain bytes of a file name that are not UTF-8, as `os.fsdecode` returns them.
    lenient : bool
        Whether every text is valid, since it is only ever shown as `readable`.
    """

    most: int = 100_000
    pattern: str = ""
    names: bool = False
    lenient: bool = False

    def problem(self, text: str) -> str | None:
        """What is wrong with a text, or None."""
        if self.lenient:
            return None
        if len(text) > self.most:
            return f"must have at most {self.most} characters, not {len(text)}"
        if (_NO_BYTE if self.names else SURROGATE).search(text):
            return "must be text, but contains half a surrogate pair"
        if self.names and "\0" in text:
            return "must be a file name, but contains a zero byte"
        if self.names and any(len(part.encode("utf-8", "surrogateescape")) > 255 for part in _PARTS.split(text)):
            return "must be a file name, but a part of it has more than 255 bytes"
        if self.pattern and not re.fullmatch(self.pattern, text):
            return f"is not valid: {in_a_line(text)!r}"
        return None


FilePath = Annotated[str, Text(most=4000, names=True)]
"""A path, relative or absolute."""
FileName = Annotated[
    str, Text(most=255, names=True, pattern=r"(?!\.{1,2}\Z)" + (r"[^/\\:]+" if os.name == "nt" else "[^/]+"))
]
"""The name of a file in a known folder, without any path."""
Word = Annotated[str, Text(most=1000, pattern="[^\x00-\x1f\x7f-\x9f]*")]
"""A name or an id on one line."""
ForPeople = Annotated[str, Text(lenient=True)]
"""Any text, only ever shown as `readable`."""
Seconds = Annotated[float, Bounds(0, 1e12)]
_ANY_TEXT = Text(names=False)
_WHOLE = Bounds(-(2**63), 2**63 - 1)


def to_json(record: Any) -> Any:
    """Convert a record (or a value inside one) for ``json.dumps``; tuples become lists."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: to_json(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, (tuple, list)):
        return [to_json(item) for item in record]
    if isinstance(record, dict):
        return {str(key): to_json(value) for key, value in record.items()}
    return record


def dumps(record: Any, *, indent: int | None = 2) -> str:
    """The record as JSON text that can be encoded as UTF-8; NaN and infinity, which JSON lacks, are a ValueError.

    Bytes of a file name that are not UTF-8, lone surrogates in Python, are escaped and restored by `loads`.
    """
    text = json.dumps(to_json(record), indent=indent, ensure_ascii=False, allow_nan=False)
    return SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def load(
    cls: type[Record], path: str | Path, *, strict: bool, where: str | None = None, most: int = LARGEST_FILE
) -> Record:
    """`loads` for a file (`read_text`); `where` defaults to the file's name."""
    where = where or Path(path).name
    return from_json(cls, parse(read_text(path, most=most), where=where, most=most), where=where, strict=strict)


def loads(cls: type[Record], text: str, *, where: str, strict: bool) -> Record:
    """`from_json` for JSON text; invalid JSON is a `RecordError` too."""
    return from_json(cls, parse(text, where=where), where=where, strict=strict)


def parse(text: str, *, where: str, most: int = LARGEST_FILE) -> Any:
    """Parse JSON text in bounded time and memory: with at most as many values as a file of `most` bytes may hold.

    Raises
    ------
    RecordError
        The text is not JSON, has too many values, or a name twice in one object.
    """
    if text.count(",") + text.count("[") + text.count("{") > most // _BYTES_OF_A_VALUE:
        raise RecordError(f"{where} contains more than {most // _BYTES_OF_A_VALUE} values")
    try:
        return json.loads(text, parse_int=_whole, parse_constant=_no_number, object_pairs_hook=_object)
    except RecordError as error:
        raise RecordError(f"{where} is not valid: {error}") from None
    except RecursionError:
        raise RecordError(f"{where} is nested too deeply") from None
    except ValueError as error:
        raise RecordError(f"{where} is not valid JSON: {error}") from error


def _whole(digits: str) -> int:
    if len(digits) > 309:  # more than a float can have
        raise RecordError(f"a whole number has {len(digits)} digits")
    return int(digits)


def _no_number(text: str) -> NoReturn:
    raise RecordError(f"{text} is not a finite number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1) if len(names) < 1000 else "a name"
        raise RecordError(f"an object has '{in_a_line(twice)}' twice")
    return found


def from_json(cls: type[Record], data: Any, *, where: str, strict: bool) -> Record:
    """Build a record from parsed JSON.

    Parameters
    ----------
    cls : type
        A dataclass whose annotations use only scalars, ``Annotated`` ones with `Bounds` or `Text`, ``Literal``,
        ``X | None``, ``tuple``, ``dict``, ``Any`` and dataclasses.
    data : parsed JSON
    where : str
        What is being read, for the error message, such as ``job``.
    strict : bool
        Whether an unknown field is an error (a typing mistake in a job) or ignored (a newer version wrote it).

    Raises
    ------
    RecordError
        Naming the first field that is missing, unknown, of the wrong type or out of its bounds.
    """
    try:
        return typing.cast(Record, _reader(typing.cast(Any, cls))(data, strict))
    except _Wrong as wrong:
        raise RecordError(f"{where}{wrong.inside} {wrong.problem}") from None


def check(record: Any, *, where: str) -> None:
    """Validate a record that was made in code: raises RecordError as `from_json`."""
    from_json(type(record), to_json(record), where=where, strict=True)


class _Wrong(Exception):
    """What is wrong with a value, and the path to it, which grows as the exception is passed on."""

    def __init__(self, problem: str, inside: str = "") -> None:
        super().__init__(problem)
        self.problem, self.inside = problem, inside


@functools.cache
def _reader(hint: Any) -> Reader:
    """The function that validates and builds a value of an annotation from parsed JSON and `strict`."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _record_reader(typing.cast(type, hint))
    if origin in (typing.Union, types.UnionType):
        (inner,) = (_reader(a) for a in arguments if a is not type(None))  # only ``X | None`` is used in records
        return lambda data, strict: None if data is None else inner(data, strict)
    if origin is tuple:
        return _tuple_reader(arguments)
    if origin is dict:
        return _dict_reader(_reader(arguments[1]))
    if origin is typing.Literal:
        return functools.partial(_one_of, arguments)
    if hint is Any:
        return lambda data, strict: _any(data, _DEEPEST)
    kind, limits = (arguments[0], arguments[1:]) if origin is Annotated else (hint, ())
    default = {int: (_WHOLE,), str: (_ANY_TEXT,)}.get(kind, ())
    return functools.partial(_scalar, kind, limits or default)


def _record_reader(cls: type) -> Reader:
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}
    readers = {name: _reader(hints[name]) for name in fields}
    needed = [
        name
        for name, field in fields.items()
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    problems = getattr(cls, "problems", None)

    def read(data: Any, strict: bool) -> Any:
        if not isinstance(data, dict):
            raise _Wrong(f"must be an object, not {_name(data)}")
        if strict and (unknown := sorted(map(str, set(data) - set(fields)))):
            raise _Wrong(f"has no field '{in_a_line(unknown[0])}'; it has {', '.join(sorted(fields))}")
        values = {}
        for name, reader in readers.items():
            if name in data:
                values[name] = _inside(reader, data[name], strict, f".{name}")
        for name in needed:
            if name not in values:
                raise _Wrong("is missing", f".{name}")
        record = cls(**values)
        if problems is not None and (problem := next(problems(record), None)) is not None:
            raise _Wrong(problem)
        return record

    return read


def _inside(reader: Reader, data: Any, strict: bool, place: str) -> Any:
    try:
        return reader(data, strict)
    except _Wrong as wrong:
        raise _Wrong(wrong.problem, place + wrong.inside) from None


def _tuple_reader(arguments: tuple[Any, ...]) -> Reader:
    endless = len(arguments) == 2 and arguments[1] is Ellipsis
    readers = [_reader(argument) for argument in arguments[:1]] if endless else [_reader(a) for a in arguments]

    def read(data: Any, strict: bool) -> tuple[Any, ...]:
        if not isinstance(data, (list, tuple)):
            raise _Wrong(f"must be a list, not {_name(data)}")
        if not endless and len(data) != len(readers):
            raise _Wrong(f"must have {len(readers)} items, not {len(data)}")
        made = []
        try:
            for reader, item in zip(readers * len(data) if endless else readers, data):
                made.append(reader(item, strict))
        except _Wrong as wrong:
            raise _Wrong(wrong.problem, f"[{len(made)}]{wrong.inside}") from None
        return tuple(made)

    return read


def _dict_reader(reader: Reader) -> Reader:
    def read(data: Any, strict: bool) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise _Wrong(f"must be an object, not {_name(data)}")
        for key in data:
            _scalar(str, (_ANY_TEXT,), key, strict)
        return {key: _inside(reader, value, strict, f".{in_a_line(key)}") for key, value in data.items()}

    return read


def _one_of(choices: tuple[Any, ...], data: Any, strict: bool) -> Any:
    if data not in choices:
        shown = in_a_line(repr(data)) if isinstance(data, (str, int, float)) else _name(data)
        raise _Wrong(f"must be one of {', '.join(map(repr, choices))}, not {shown}")
    return data


def _any(data: Any, levels: int) -> Any:
    """Any JSON, with the usual limits for numbers and texts; texts may be paths."""
    if isinstance(data, (dict, list, tuple)) and not levels:
        raise _Wrong(f"is nested deeper than {_DEEPEST} levels")
    if isinstance(data, dict):
        return {_scalar(str, (_ANY_TEXT,), key, True): _any(value, levels - 1) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_any(item, levels - 1) for item in data]
    if data is None or isinstance(data, bool):
        return data
    if isinstance(data, str):
        return data if not _NO_BYTE.search(data) else _scalar(str, (_ANY_TEXT,), data, True)
    if isinstance(data, int):
        return _scalar(int, (_WHOLE,), data, True)
    return _scalar(float, (), data, True)


def _scalar(kind: type, limits: tuple[Any, ...], data: Any, strict: bool) -> Any:
    if kind is float and isinstance(data, (int, float)) and not isinstance(data, bool):
        try:
            data = float(data)
        except OverflowError:
            raise _Wrong("must be a finite number") from None
        if not math.isfinite(data):
            raise _Wrong("must be a finite number")
    elif not isinstance(data, kind) or (kind is int and isinstance(data, bool)):
        raise _Wrong(f"must be of type {kind.__name__}, not {_name(data)}")
    for limit in limits:
        if (problem := limit.problem(data)) is not None:
            raise _Wrong(problem)
    return data


def _number(value: float) -> str:
    """A number for a message; whole numbers below 1e10 with all digits."""
    return str(int(value)) if abs(value) < 1e10 and value == int(value) else f"{float(value):.6g}"


def _name(data: Any) -> str:
    return "null" if data is None else type(data).__name__
