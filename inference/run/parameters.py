"""An estimator's parameters: what a job names, checked against what is declared. Standard library only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import depth_sequence, exit_codes
from ..estimators.base import EstimatorInfo, Parameter
from ..faults import Failure
from ..hints import setting

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def resolve(info: EstimatorInfo, given: dict[str, Any]) -> dict[str, Any]:
    """Every parameter that an estimator declares, with the given value or its default.

    Raises
    ------
    Failure
        USAGE: a name that is not declared, or a value of the wrong type or outside its bounds.
    """
    declared = {parameter.name: parameter for parameter in info.parameters}
    for name in given:
        if name not in declared:
            has = f"it has {', '.join(sorted(declared))}" if declared else "it has none"
            raise Failure(exit_codes.USAGE, f"The estimator {info.name} has no parameter '{name}'; {has}.")
    return {name: _checked(given[name], p, info) if name in given else p.default for name, p in declared.items()}


def parse(info: EstimatorInfo, texts: list[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` texts of the command line into values of the declared types; `resolve` checks the rest."""
    declared = {parameter.name: parameter for parameter in info.parameters}
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise Failure(exit_codes.USAGE, f"--parameter takes NAME=VALUE, not '{text}'.")
        values[name.strip()] = _typed(value.strip(), declared[name.strip()]) if name.strip() in declared else value
    return values


def _typed(text: str, parameter: Parameter) -> Any:
    kind = type(parameter.default)
    if kind is bool:
        if text.lower() in _TRUE + _FALSE:
            return text.lower() in _TRUE
    elif kind is str:
        return _folder(text) if parameter.depth_sequence else text
    else:
        try:
            return kind(text)
        except ValueError:
            pass
    raise Failure(exit_codes.USAGE, f"{setting(parameter.name)} takes {_kind(parameter)}, not '{text}'.")


def _checked(value: object, parameter: Parameter, info: EstimatorInfo) -> object:
    kind = type(parameter.default)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if parameter.choices and type(value) is int:  # a choice such as "1" that was read as JSON
        value = str(value)
    name = f"{setting(parameter.name)} of {info.label}"
    if type(value) is not kind:
        raise Failure(exit_codes.USAGE, f"{name} takes {_kind(parameter)}, not {value!r}.")
    if parameter.choices and value not in parameter.choices:
        raise Failure(exit_codes.USAGE, f"{name} must be one of {', '.join(parameter.choices)}, not {value!r}.")
    below = parameter.minimum is not None and isinstance(value, (int, float)) and not value >= parameter.minimum
    above = parameter.maximum is not None and isinstance(value, (int, float)) and not value <= parameter.maximum
    if below or above:
        bounds = [f"at least {parameter.minimum:g}"] if parameter.minimum is not None else []
        bounds += [f"at most {parameter.maximum:g}"] if parameter.maximum is not None else []
        raise Failure(exit_codes.USAGE, f"{name} must be {' and '.join(bounds)}, not {value}.")
    return _folder(value) if parameter.depth_sequence and isinstance(value, str) else value


def _folder(text: str) -> str:
    """The folder of a depth sequence, absolute; empty for none."""
    path = Path(text).absolute()
    return str(path.parent if path.name == depth_sequence.SIDECAR else path) if text else ""


def _kind(parameter: Parameter) -> str:
    if parameter.choices:
        return f"one of {', '.join(parameter.choices)}"
    if parameter.depth_sequence:
        return "a folder"
    return {bool: "yes or no", int: "a whole number", float: "a number", str: "a text"}[type(parameter.default)]
