"""Messages of the worker and of the contract in the words of Blender's panels."""

from __future__ import annotations

import re
import textwrap

import bpy

from ..inference.contract import hints
from ..inference.contract.untrusted import readable

_ELSEWHERE = {
    "colorspace": "the Color Space of the strip or clip",
    "frames": "trim the strip",
    "ocio_config": "Blender's color configuration",
    "stream": "the strip's Stream Index",
    "overwrite": "Estimate into New Version",
    "plate": "Find Plate",
    "fps": "Frame Rate",
}
"""How is set in Blender what is no setting of the panel's."""
_BETWEEN_PIECES = re.compile(r"(\s+|(?<=[/\\])(?=\w))")


def worded(text: str) -> str:
    """A message with its settings named as the panels name them, see `inference.contract.hints`."""
    return hints.worded(text, _words)


def shown(text: str, most: int = 20_000) -> str:
    """A text for people: of so many letters at most, and with nothing in it that a terminal obeys."""
    return readable(text if len(text) <= most else f"{text[:most]} …")


def wrapped(text: str, letters: int) -> list[str]:
    """A text in lines of so many letters; its own line breaks stay.

    A line may end at spaces, and after the separators of a path.
    """
    wrapper = textwrap.TextWrapper(letters, break_on_hyphens=False)
    wrapper.wordsep_simple_re = _BETWEEN_PIECES
    return [line for part in text.splitlines() for line in wrapper.wrap(part)]


def _words(name: str, value: str | None) -> str:
    if name in _ELSEWHERE:
        return _ELSEWHERE[name] if value is None else f"{_ELSEWHERE[name]} {value}"
    group = bpy.types.Scene.bl_rna.properties.get("fathom")
    known = group.fixed_type.properties.get(name) if group else None
    return hints.labeled(known.name if known else hints.label(name), value)
