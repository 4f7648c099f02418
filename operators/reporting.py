"""Errors as operators report them."""

import functools
from collections.abc import Callable
from typing import Any

import bpy

from ..scene.problems import PROBLEMS
from ..scene.wording import shown, worded, wrapped

_LETTERS = 80
"""In a line of an error that pops up."""
_MOST = 4000
"""In a whole report: what a file of somebody else's says may be endless."""


def pops_up(operator: bpy.types.Operator) -> bool:
    """Whether an error of an operator pops up in front of the artist; a script gets it as an exception instead."""
    return operator.options.is_invoke and not bpy.app.background


def report_error(operator: bpy.types.Operator, problem: Exception | str) -> set[str]:
    """Report an error in the words of the panels, broken into lines where it pops up: Blender breaks none there, and
    shows the same text without line breaks in the status bar.

    Returns what an operator returns that ends with it.
    """
    message = shown(worded(str(problem)), _MOST)
    operator.report({"ERROR"}, " \n".join(wrapped(message, _LETTERS)) if pops_up(operator) else message)
    return {"CANCELLED"}


def reporting(execute: Callable[[Any, Any], set[str]]) -> Callable[[Any, Any], set[str]]:
    """Have an operator's execute report what stands in its way, and cancel."""

    @functools.wraps(execute)
    def guarded(self: bpy.types.Operator, context: bpy.types.Context) -> set[str]:
        try:
            return execute(self, context)
        except PROBLEMS as problem:
            return report_error(self, problem)

    return guarded
