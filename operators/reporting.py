"""Errors as operators report them."""

import functools
from collections.abc import Callable
from typing import Any

import bpy

from ..scene.wording import shown, worded, wrapped

_LETTERS = 80
"""In a line of an error that pops up."""
_MOST = 4000
"""In a whole report: what a file of somebody else's says may be endless."""


def pops_up(operator: bpy.types.Operator) -> bool:
    """Whether an error of an operator pops up in front of the artist; a script gets it as an exception instead."""
    return operator.options.is_invoke and not bpy.app.background


def report_error(operator: bpy.types.Operator, problem: Exception | str) -> None:
    """Report an error in the words of the panels, broken into lines where it pops up: Blender breaks none there."""
    message = shown(worded(str(problem)), _MOST)
    operator.report({"ERROR"}, "\n".join(wrapped(message, _LETTERS)) if pops_up(operator) else message)


def reporting(*problems: type[Exception]) -> Callable[[Callable[[Any, Any], set[str]]], Callable[[Any, Any], set[str]]]:
    """Have an operator's execute report some problems, and cancel, where it meets them."""

    def decorate(execute: Callable[[Any, Any], set[str]]) -> Callable[[Any, Any], set[str]]:
        @functools.wraps(execute)
        def guarded(self: bpy.types.Operator, context: bpy.types.Context) -> set[str]:
            try:
                return execute(self, context)
            except problems as problem:
                report_error(self, problem)
                return {"CANCELLED"}

        return guarded

    return decorate
