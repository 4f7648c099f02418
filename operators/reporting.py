"""Errors as operators report them."""

import bpy

from ..inference.contract.records import readable
from ..scene.wording import worded, wrapped

_LETTERS = 80
"""In a line of an error that pops up."""


def pops_up(operator: bpy.types.Operator) -> bool:
    """Whether an error of an operator pops up in front of the artist; a script gets it as an exception instead."""
    return operator.options.is_invoke and not bpy.app.background


def report_error(operator: bpy.types.Operator, problem: Exception | str) -> None:
    """Report an error in the words of the panels, broken into lines where it pops up: Blender breaks none there."""
    message = readable(worded(str(problem)))
    operator.report({"ERROR"}, "\n".join(wrapped(message, _LETTERS)) if pops_up(operator) else message)
